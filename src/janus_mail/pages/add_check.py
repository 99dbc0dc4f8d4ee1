"""Reading the form of `/add` as the API would, but naming everything that is wrong at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from janus_mail.content.addresses import parse_recipients
from janus_mail.errors import InvalidInput
from janus_mail.events.rows import NewEvent
from janus_mail.events.schemas import EventCreate
from janus_mail.events.understand import Facts, understand
from janus_mail.pages.add_files import FIELD as FILES
from janus_mail.pages.add_files import NO_FILES, Uploads
from janus_mail.pages.add_form import LABELS, AddForm, Problem, our_field
from janus_mail.pages.times import number
from janus_mail.pages.visit import Visit
from janus_mail.pages.words import shortened
from janus_mail.web.validation import invalid_input

# What stands for a field that is wrong while the others are looked at.
_STAND_INS: Mapping[str, Any] = {
    "email_subject": "subject",
    "email_content": "text",
    "recipients": [{"email": "someone@example.com", "name": "Someone"}],
    "expected_sent_at": "now",
    "from_email": "someone@example.com",
}
# By code and field, where the API's sentence speaks of its own names.
_SENTENCES: Mapping[tuple[str, str], str] = {
    ("missing_fields", "email_content"): "Write a text, or HTML.",
    ("missing_fields", ""): "This is needed.",
    ("expires_too_early", ""): "This is not after the sending time.",
    ("too_far_ahead", ""): "This is more than five years ahead.",
    ("sender_required", ""): "There is no sender yet: name one here.",
    ("not_a_group", ""): "Only one mail to all can have copies.",
}
_MOST_ROUNDS = 12
_MOST_SHOWN = 30
_MOST_NAMED = 5  # of what is wrong with one field


@dataclass(frozen=True, slots=True)
class Understood:
    """What the form means: `new` with stand-ins for the API's fields in `wrong`; `event` only where nothing is."""

    event: EventCreate | None
    new: NewEvent | None
    wrong: frozenset[str]
    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class ReadRecipients:
    """How the recipients' text was read: names or addresses, those that are none, and doubles."""

    good: tuple[str, ...]
    bad: tuple[str, ...]
    doubles: int

    @property
    def shown(self) -> list[tuple[str, bool]]:
        """The first of them, as (text, whether it is an address); what is wrong comes first."""
        both = [*((text, False) for text in self.bad), *((text, True) for text in self.good)]
        return both[:_MOST_SHOWN]

    @property
    def hidden(self) -> int:
        return max(0, len(self.good) + len(self.bad) - _MOST_SHOWN)


def check(form: AddForm, facts: Facts, visit: Visit, uploads: Uploads = NO_FILES) -> Understood:
    """Each round finds what the wrong fields of the last one hid, until nothing is hidden."""
    asked, problems = form.asked(visit.clock)
    problems += uploads.problems
    wrong: set[str] = set()
    event: EventCreate | None = None
    new: NewEvent | None = None
    for _ in range(_MOST_ROUNDS):
        try:
            event = EventCreate.model_validate(asked)
            new = understand(
                event, facts, workspace_id=visit.caller.workspace_id, created_by=visit.caller.label,
                files=() if FILES in wrong else uploads.files,
            )  # fmt: skip
            break
        except ValidationError as error:
            refusal = invalid_input(error.errors(include_url=False), asked)
        except InvalidInput as error:
            refusal = error
        found = {_top(detail.field) for detail in refusal.details} - wrong
        if refusal.details and not found:  # what is wrong with a stand-in is no one's fault
            break
        problems += [problem for problem in _problems(form, refusal) if problem not in problems]
        if not found:
            break
        wrong |= found
        for name in found:
            asked.pop(name, None)
            if name in _STAND_INS:
                asked[name] = _STAND_INS[name]
    sound = new is not None and not problems
    return Understood(event if sound else None, new, frozenset(wrong), _in_order(problems))


def read_recipients(text: str) -> ReadRecipients:
    parsed = parse_recipients(text)
    return ReadRecipients(
        tuple(recipient.name or recipient.address for recipient in parsed.recipients),
        tuple(entry.text for entry in parsed.invalid),
        parsed.doubles,
    )


def _problems(form: AddForm, refusal: InvalidInput) -> list[Problem]:
    """What a refusal of the API means to who fills in the form."""
    if refusal.code == "invalid_recipients":
        return _addresses(form, _top(refusal.details[0].field))
    if not refusal.details:
        return [Problem("", refusal.message)]
    problems = []
    for detail in refusal.details:
        field = our_field(name := _top(detail.field))
        # A refusal for missing fields tells of others, too, that are there and wrong.
        there = refusal.code == "missing_fields" and form.values.get(field, "").strip() != ""
        problems.append(Problem(field, (None if there else _sentence(refusal.code, name)) or detail.message))
    return problems


def _addresses(form: AddForm, field: str) -> list[Problem]:
    return [
        Problem(field, f"“{shortened(entry.text, 80)}” is not an email address. {entry.reason}")
        for entry in parse_recipients(form[field]).invalid
    ]


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    """In the order of the page, and of each field no more than anyone would read."""
    ordered: list[Problem] = []
    for field in ("", *LABELS):
        of_field = [problem for problem in problems if problem.field == field]
        ordered += of_field[:_MOST_NAMED]
        if len(of_field) > _MOST_NAMED:
            ordered.append(Problem(field, f"{number(len(of_field) - _MOST_NAMED)} more like these."))
    return ordered


def _sentence(code: str, name: str) -> str | None:
    return _SENTENCES.get((code, name)) or _SENTENCES.get((code, ""))


def _top(path: str) -> str:
    """`recipients` of `recipients[2].name`."""
    return path.split(".")[0].partition("[")[0]
