"""A form of a page: what stands in it, and what is to be put right, field by field."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData

from janus_mail.errors import ApiError
from janus_mail.pages.visit import text_of
from janus_mail.web.validation import invalid_input


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to put right; without a field it is about the whole."""

    field: str
    label: str
    sentence: str


class TypedForm:
    """For the macros of `parts/forms.html`. `labels` are the fields that are shown, by name."""

    def __init__(self, labels: Mapping[str, str], values: Mapping[str, str]) -> None:
        self._labels = labels
        self._values = dict(values)
        self.problems: list[Problem] = []

    @classmethod
    def sent(cls, labels: Mapping[str, str], form: FormData, *, secret: Collection[str] = ()) -> "TypedForm":
        """As it came; what is secret is not shown again."""
        return cls(labels, {name: text_of(form, name).strip() for name in labels if name not in secret})

    def __getitem__(self, name: str) -> str:
        return self._values.get(name, "")

    def wrong(self, name: str) -> list[str]:
        return [problem.sentence for problem in self.problems if problem.field == name]

    def note(self, error: ApiError) -> None:
        """What a service function refused. A path such as `allowed_senders[2]` is about its field."""
        for detail in error.details or ():
            self.add(detail.field.partition("[")[0], detail.message)
        if not error.details:
            self.add("", error.message)

    def add(self, field: str, sentence: str) -> None:
        known = field if field in self._labels else ""
        problem = Problem(known, self._labels.get(known, ""), sentence)
        if problem not in self.problems:
            self.problems.append(problem)

    def read(self, kind: type[Any], given: Mapping[str, Any]) -> Any:
        """What was typed as the body that the API would take; none where something is wrong, which is noted."""
        try:
            return TypeAdapter(kind).validate_python(dict(given))
        except ValidationError as error:
            self.note(invalid_input(error.errors(include_url=False)))
            return None


def lines_of(text: str) -> Sequence[str]:
    """What stands in a text field, one a line or with commas between."""
    return [part.strip() for line in text.split("\n") for part in line.split(",") if part.strip()]
