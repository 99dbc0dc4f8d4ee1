"""The form of a provider: what is typed into it, and what the API would be sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData

from janus_mail.errors import ApiError, InvalidInput
from janus_mail.pages.form_fields import Control, Field, Part, decimal, fields_of, read, typed, whole
from janus_mail.pages.visit import text_of
from janus_mail.providers.registry import KINDS, config_schema
from janus_mail.routing.config import valid_config
from janus_mail.routing.schemas import Provider, ProviderCreate, ProviderPatch
from janus_mail.web.validation import invalid_input

# The columns of every provider, with their labels, in the order of the page.
COLUMNS: Mapping[str, str] = {
    "name": "Name",
    "from_email": "From",
    "from_name": "Sender’s name",
    "sender_domains": "Sender domains",
    "rate_per_second": "Mails a second",
    "daily_quota": "Mails a day",
}
KEPT_IN_STEP = ("name", "from_email", "from_name")  # of the provider that MAIL_* settings make
# Where the API's own sentence speaks of patterns, or of one of several.
_SENTENCES = {
    "name": "One line of up to 100 characters, with no blank at its beginning or end.",
    "sender_domains": "Each must be a domain alone, such as example.com.",
}
_PATCH: TypeAdapter[ProviderPatch] = TypeAdapter(ProviderPatch)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to put right; without a field it is about the whole."""

    field: str
    sentence: str
    label: str = ""


@dataclass(slots=True)
class ProviderForm:
    """What was typed, word for word, but for secrets, which are never shown again. `stored` is null when one is added;
    `fields` is empty where the kind asks for nothing."""

    kind: str
    fields: Sequence[Field]
    values: dict[str, str]
    stored: Provider | None = None
    sandbox: bool = False
    typed_secrets: dict[str, str] = field(default_factory=dict, repr=False)
    dropped: frozenset[str] = frozenset()  # secrets that are to be removed
    problems: list[Problem] = field(default_factory=list)

    @classmethod
    def blank(cls, kind: str, taken: Sequence[str]) -> Self:
        """As it is when someone opens it, with a name that no other provider has."""
        label = KINDS[kind].label
        names = (f"{label} {number}" if number > 1 else label for number in range(1, len(taken) + 2))
        known = {name.casefold() for name in taken}
        values = dict.fromkeys(COLUMNS, "") | {"name": next(name for name in names if name.casefold() not in known)}
        form = cls(kind, _fields(kind), values)
        form._fill({})
        return form

    @classmethod
    def of(cls, provider: Provider) -> Self:
        """As the provider is stored."""
        fields = _fields(provider.kind) if provider.kind in KINDS else []
        values = {
            "name": provider.name,
            "from_email": provider.from_email or "",
            "from_name": provider.from_name or "",
            "sender_domains": ", ".join(provider.sender_domains or ()),
            "rate_per_second": f"{provider.rate_per_second:g}" if provider.rate_per_second is not None else "",
            "daily_quota": str(provider.daily_quota or ""),
        }
        form = cls(provider.kind, fields, values, provider, provider.sandbox)
        form._fill(provider.config or {})
        return form

    def take(self, sent: FormData) -> None:
        """What a browser sent in place of what stood there."""
        self.values = {name: text_of(sent, name) for name in self.values}
        secrets = [one for one in self.fields if one.control is Control.SECRET]
        self.typed_secrets = {one.key: text_of(sent, one.key) for one in secrets}
        self.dropped = frozenset(one.name for one in secrets if text_of(sent, f"{one.key}.remove") == "on")
        for one in secrets:
            self.values[one.key] = ""
        if self.stored is None:
            self.sandbox = text_of(sent, "sandbox") == "on"

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def wrong(self, name: str) -> list[str]:
        return [problem.sentence for problem in self.problems if problem.field == name]

    def part(self, part: str) -> list[Field]:
        return [one for one in self.fields if one.part == part]

    def mask(self, one: Field) -> str:
        """A stored secret as it is shown: «•••• mnop»."""
        shown = (self.stored.config or {}).get(one.name) if self.stored is not None else None
        return str(shown or "")

    def example(self, one: Field) -> str:
        """What stands in an empty field: what holds then, else an example."""
        filled = self._filled().get(one.name)
        return typed(one, filled) if filled is not None else one.example

    def has_problem(self, part: str) -> bool:
        return any(self.wrong(one.key) for one in self.part(part))

    @property
    def from_environment(self) -> bool:
        return self.stored is not None and self.stored.from_environment

    @property
    def more_is_open(self) -> bool:
        return self.has_problem(Part.MORE) or any(self.wrong(name) for name in tuple(COLUMNS)[1:])

    def create(self) -> ProviderCreate | None:
        """What to set up, or null where something is wrong, all of which is noted."""
        body: dict[str, Any] = {"kind": self.kind, "sandbox": self.sandbox, **self._columns(), "config": self._config()}
        asked: ProviderCreate | None = None
        try:
            asked = ProviderCreate.model_validate(body)
        except ValidationError as error:
            self.note(invalid_input(error.errors(include_url=False, include_input=False), body))
        try:
            valid_config(self.kind, body["config"], sandbox=self.sandbox)
        except InvalidInput as error:
            self.note(error)
        return None if self.problems else asked

    def patch(self, version: str) -> ProviderPatch | None:
        """What to change; the same."""
        columns = self._columns()
        body: dict[str, Any] = {name: columns[name] for name in columns if not self._is_kept(name)}
        if self.fields and not self.from_environment:
            body["config"] = self._config()
        if version.isdecimal() and len(version) < 10:
            body["version"] = int(version)
        asked: ProviderPatch | None = None
        try:
            asked = _PATCH.validate_python(body)
        except ValidationError as error:
            self.note(invalid_input(error.errors(include_url=False, include_input=False), body))
        return None if self.problems else asked

    def note(self, refusal: ApiError) -> None:
        """What a refusal of the API means to who fills in the form."""
        labels = {**COLUMNS, **{one.key: one.label for one in self.fields}}
        known = [problem.field for problem in self.problems]
        for detail in refusal.details:
            name = detail.field.partition("[")[0]
            name = name if name in labels else ""
            if not name or name not in known:
                sentence = detail.message if name else f"{detail.field}: {detail.message}"
                self.problems.append(Problem(name, _SENTENCES.get(name, sentence), labels.get(name, "")))
        if not refusal.details:
            name = "name" if refusal.code == "name_taken" else ""
            self.problems.append(Problem(name, refusal.message, labels.get(name, "")))
        self._put_in_order()

    def _put_in_order(self) -> None:
        """As they stand on the page."""
        own = {part: [one.key for one in self.part(part)] for part in Part}
        name, *columns = COLUMNS
        order = ["", name, *own[Part.FIRST], *own[Part.FEEDBACK], *columns, *own[Part.MORE]]
        self.problems.sort(key=lambda problem: order.index(problem.field))

    def _fill(self, config: Mapping[str, Any]) -> None:
        """Settings as they are; where none is stored, boxes and choices stand as they usually are."""
        for one in self.fields:
            value = config.get(one.name, one.standing)
            self.values[one.key] = "" if one.control is Control.SECRET else typed(one, value)

    def _is_kept(self, name: str) -> bool:
        return self.from_environment and name in KEPT_IN_STEP

    def _columns(self) -> dict[str, Any]:
        values = {name: self.values[name].strip() for name in COLUMNS}
        domains = [one.strip() for one in values["sender_domains"].replace("\n", ",").split(",") if one.strip()]
        columns: dict[str, Any] = {
            "name": values["name"],
            "from_email": values["from_email"] or None,
            "from_name": values["from_name"] or None,
            "sender_domains": domains or None,
        }
        for name, understand in (("rate_per_second", decimal), ("daily_quota", whole)):
            try:
                columns[name] = understand(values[name])
            except ValueError as error:
                self.problems.append(Problem(name, str(error), COLUMNS[name]))
                columns[name] = None
        return columns

    def _config(self) -> dict[str, Any]:
        """What differs from what would hold anyway. Secrets that are left empty are left out, and so stay."""
        stored = (self.stored.config or {}) if self.stored is not None else {}
        filled = self._filled()
        config: dict[str, Any] = {}
        for one in self.fields:
            try:
                value = read(one, self.typed_secrets.get(one.key, self.values[one.key]))
            except ValueError as error:
                self.problems.append(Problem(one.key, str(error), one.label))
                continue
            if one.name in self.dropped and value is None:
                config[one.name] = None
            elif value is not None and (one.name in stored or value != filled.get(one.name, one.standing)):
                config[one.name] = value
        return config

    def _filled(self) -> Mapping[str, Any]:
        """What the chosen preset fills in."""
        chooser = next((one for one in self.fields if one.fills), None)
        return chooser.fills.get(self.values[chooser.key], {}) if chooser is not None and chooser.fills else {}


def _fields(kind: str) -> list[Field]:
    """Its model may say besides what no real connection can do without."""
    return fields_of(config_schema(kind), getattr(KINDS[kind].config_model, "needed", ()))
