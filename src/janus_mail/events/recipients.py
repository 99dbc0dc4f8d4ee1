"""Who gets an event: reading recipients, group roles, and what `{{placeholders}}` need of each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from janus_mail.content.addresses import InvalidEntry, Mailbox, ParsedRecipients, Recipient, parse_recipients
from janus_mail.content.variables import FilledLength, InvalidVariable, check_header_values, placeholders, values_for
from janus_mail.errors import Detail, InvalidInput
from janus_mail.events.schemas import MAX_RECIPIENTS, EventCreate, RecipientIn

_MOST_NAMED = 20  # of what is wrong, in one answer

Given = str | Sequence[str | RecipientIn]


@dataclass(frozen=True, slots=True)
class Audience:
    """`to` holds at least one; `cc` and `bcc` are empty unless the event is for a group."""

    to: list[Recipient]
    cc: list[Recipient]
    bcc: list[Recipient]
    doubles: int

    def __len__(self) -> int:
        return len(self.to) + len(self.cc) + len(self.bcc)


def read_audience(event: EventCreate) -> Audience:
    """Raises InvalidInput: `invalid_recipients`, `recipients_required`, `too_many_recipients`, `not_a_group`."""
    if event.send_as == "group":
        roles = {role: read_mailboxes(getattr(event, field), field) for role, field in _FIELDS.items()}
        audience = _without_doubles(roles)
    else:
        for field in ("cc", "bcc"):
            if getattr(event, field):
                message = f"{field} needs `send_as: group`, where all recipients see one another."
                raise InvalidInput(message, code="not_a_group", details=[Detail(field, message)])
        to = read_mailboxes(event.recipients, "recipients")
        audience = Audience(to.recipients, [], [], to.doubles)
    if not audience.to:
        message = "Recipients are required."
        raise InvalidInput(message, code="recipients_required", details=[Detail("recipients", message)])
    if len(audience) > MAX_RECIPIENTS:
        message = f"An event may have up to {MAX_RECIPIENTS:,} recipients; these are {len(audience):,}."
        raise InvalidInput(message, code="too_many_recipients", details=[Detail("recipients", message)])
    return audience


def read_mailboxes(given: Given | None, field: str) -> ParsedRecipients:
    """Raises InvalidInput (`invalid_recipients`), naming each that cannot be mailed."""
    parsed = parse_recipients(given or ())
    if parsed.invalid:
        named = ", ".join(entry.text for entry in parsed.invalid[:_MOST_NAMED])
        more = len(parsed.invalid) - _MOST_NAMED
        message = f"Invalid emails: {named}" + (f" and {more} more" if more > 0 else "")
        details = [_detail(entry, field) for entry in parsed.invalid[:_MOST_NAMED]]
        raise InvalidInput(message, code="invalid_recipients", details=details)
    return parsed


MOST_SUBJECT = 998  # characters of a filled subject, RFC 5322 section 2.1.1
MOST_CONTENT = 2**20  # of a filled text or HTML: variables must not make of a small request a mail of any size


def check_placeholders(
    mails: Iterable[tuple[Mailbox, Mapping[str, str]]],
    *,
    subject: str,
    text: str | None,
    html: str | None,
    to_several: bool = False,
) -> None:
    """Each mail, by its recipient and variables, must have what the texts ask for. Raises InvalidInput.

    A mail `to_several` has no `{{name}}` and `{{email}}` of its own: they would be those of one of them.
    """
    names = placeholders(subject, text, html)
    if not names:
        return
    in_subject = placeholders(subject)
    parts = (
        ("email_subject", FilledLength(subject), MOST_SUBJECT),
        ("email_content", FilledLength(text), MOST_CONTENT),
        ("email_html", FilledLength(html, html=True), MOST_CONTENT),
    )
    wrong: list[str] = []
    for mailbox, variables in mails:
        values = variables if to_several else values_for(mailbox, variables)
        missing = ", ".join(f"{{{{{name}}}}}" for name in sorted(names - values.keys()))
        if missing:
            wrong.append(f"{mailbox.address} has no value for {missing}.")
        try:
            check_header_values(in_subject, values)
        except InvalidVariable as error:
            wrong.append(f"{mailbox.address}: {error}")
        wrong += [
            f"{mailbox.address}: {field} would be longer than {most:,} characters with its variables filled in."
            for field, length, most in parts
            if length.of(values) > most
        ]
        if len(wrong) >= _MOST_NAMED:
            break
    if wrong:
        details = [Detail("recipients", sentence) for sentence in wrong]
        raise InvalidInput(wrong[0], code="invalid_variables", details=details)


def as_columns(mailboxes: Iterable[Mailbox]) -> list[dict[str, Any]]:
    """How mailboxes lie in JSON columns."""
    return [{"email": mailbox.address, "name": mailbox.name} for mailbox in mailboxes]


_FIELDS = {"to": "recipients", "cc": "cc", "bcc": "bcc"}


def _without_doubles(parsed: Mapping[str, ParsedRecipients]) -> Audience:
    """Who is in `to` is not in `cc` as well, nor in `bcc` who is in either."""
    seen: set[str] = set()
    kept: dict[str, list[Recipient]] = {}
    for role, part in parsed.items():
        kept[role] = [recipient for recipient in part.recipients if recipient.address not in seen]
        seen.update(recipient.address for recipient in kept[role])
    given = sum(len(part.recipients) + part.doubles for part in parsed.values())
    return Audience(kept["to"], kept["cc"], kept["bcc"], doubles=given - len(seen))


def _detail(entry: InvalidEntry, field: str) -> Detail:
    return Detail(f"{field}[{entry.index}]", entry.reason)
