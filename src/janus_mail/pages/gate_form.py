"""A short form at the gate: what was typed into it, but for passwords, and what is to be put right."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import FormData
from starlette.responses import Response

from janus_mail.errors import ApiError
from janus_mail.pages.visit import text_of

LABELS: Final[Mapping[str, str]] = {
    "email": "Email",
    "name": "Name",
    "password": "Password",
    "code": "Code",
}
_NOT_SHOWN: Final = frozenset({"password", "code"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to put right; without a field it is about the whole."""

    field: str
    sentence: str

    @property
    def label(self) -> str:
        return LABELS.get(self.field, "")


class GateForm:
    """For the macros of `parts/forms.html`."""

    def __init__(self, values: Mapping[str, str] | None = None, error: ApiError | None = None) -> None:
        self._values = values or {}
        self.problems: list[Problem] = []
        if error is not None:
            about = [Problem(detail.field, detail.message) for detail in error.details]
            self.problems = about or [Problem("", error.message)]

    @classmethod
    def sent(cls, form: FormData, fields: Iterable[str], error: ApiError) -> "GateForm":
        """As it came, with what is wrong."""
        return cls({name: text_of(form, name) for name in fields if name not in _NOT_SHOWN}, error)

    def __getitem__(self, name: str) -> str:
        return self._values.get(name, "")

    def wrong(self, name: str) -> list[str]:
        return [problem.sentence for problem in self.problems if problem.field == name]


def refused(response: Response, error: ApiError) -> Response:
    """The page that shows a form again: when to try once more is said there too."""
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response
