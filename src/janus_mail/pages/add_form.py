"""The form of `/add`: its fields, what was typed into them, and the event that they ask for."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self

from starlette.datastructures import FormData

from janus_mail.content.addresses import Mailbox
from janus_mail.events.answers import EventOut
from janus_mail.pages.times import Clock, zone_named
from janus_mail.pages.visit import text_of

WHENS = {
    "now": "Now",
    "1h": "In 1 hour",
    "tomorrow": "Tomorrow 09:00",
    "monday": "Monday 09:00",
    "at": "Another time",
}
# Each field with its label, in the order of the page.
LABELS: Mapping[str, str] = {
    "email_subject": "Subject",
    "recipients": "Recipients",
    "email_content": "Text",
    "email_html": "HTML",
    "when": "When",
    "send_at": "Date and time",
    "timezone": "Time zone",
    "from_email": "From",
    "from_name": "Sender’s name",
    "reply_to": "Reply to",
    "send_as": "Sent as",
    "cc": "Copies",
    "bcc": "Blind copies",
    "provider": "First provider",
    "failover": "Failover",
    "priority": "Priority",
    "expires_at": "Expires",
    "on_uncertain": "If it may have left",
    "tags": "Tags",
    "attachments": "Attachments",
    "headers": "Extra headers",
    "metadata": "Metadata",
}
MORE = tuple(LABELS)[tuple(LABELS).index("from_email") :]
# The API's names where the form has the predecessor's.
_OURS = {"expected_sent_at": "send_at"}
_LINE = re.compile(r"([^:=\s]+)\s*[:=]\s*(.*)")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to put right; without a field it is about the whole."""

    field: str
    sentence: str

    @property
    def label(self) -> str:
        return LABELS.get(self.field, "")


@dataclass(slots=True)
class AddForm:
    """What was typed, word for word. `ticket` lets a form that is sent twice make one event."""

    values: dict[str, str]
    ticket: str
    problems: list[Problem] = field(default_factory=list)
    about_files: str = ""  # that they are to be chosen again

    @classmethod
    def blank(cls, clock: Clock) -> Self:
        """As it is when someone opens it: for the next full hour that is at least half an hour ahead."""
        soon = (clock.now + timedelta(minutes=90)).replace(minute=0, second=0, microsecond=0)
        values = dict.fromkeys(LABELS, "") | {
            "when": "at", "send_at": clock.for_field(soon), "timezone": clock.zone.key, "send_as": "individual",
            "failover": "on", "priority": "normal",
        }  # fmt: skip
        return cls(values, secrets.token_urlsafe(16))

    @classmethod
    def sent(cls, form: FormData, clock: Clock) -> Self:
        """What a browser sent, or a script that knows the four fields of old."""
        values = {name: text_of(form, name) for name in LABELS} | {"attachments": ""}
        values["when"] = values["when"] if values["when"] in WHENS else "at"
        values["timezone"] = values["timezone"] or clock.zone.key
        values["send_as"] = values["send_as"] or "individual"
        values["priority"] = values["priority"] or "normal"
        if "ticket" not in form:
            values["failover"] = "on"  # a browser leaves out a box that is not ticked
        return cls(values, text_of(form, "ticket")[:64] or secrets.token_urlsafe(16))

    @classmethod
    def again(cls, event: EventOut, recipients: Sequence[Mailbox], clock: Clock) -> Self:
        """A new form with an earlier event's content."""
        form = cls.blank(clock)
        form.values |= {
            "email_subject": event.email_subject,
            "recipients": ",\n".join(_written(mailbox) for mailbox in recipients),
            "email_content": event.email_content or "",
            "email_html": event.email_html or "",
            "from_email": event.from_email or "",
            "from_name": event.from_name or "",
            "reply_to": ", ".join(_written(Mailbox(to.email, to.name)) for to in event.reply_to),
            "send_as": event.send_as,
            "cc": ", ".join(_written(Mailbox(to.email, to.name)) for to in event.cc),
            "bcc": ", ".join(_written(Mailbox(to.email, to.name)) for to in event.bcc),
            "provider": event.provider or "",
            "failover": "on" if event.failover else "",
            "priority": event.priority,
            "on_uncertain": event.on_uncertain,
            "tags": ", ".join(event.tags),
            "headers": "\n".join(f"{name}: {value}" for name, value in event.headers.items()),
            "metadata": "\n".join(f"{name} = {value}" for name, value in event.metadata.items()),
        }
        if event.attachments:
            form.about_files = "The files of the earlier email do not come along: choose them again."
        return form

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def wrong(self, name: str) -> list[str]:
        return [problem.sentence for problem in self.problems if problem.field == name]

    @property
    def more_is_open(self) -> bool:
        """Something was typed into it, or is wrong in it."""
        usual = {"failover": "on", "priority": "normal", "send_as": "individual"}
        typed = any(self.values[name] != usual.get(name, "") for name in MORE if name != "on_uncertain")
        return typed or bool(self.about_files) or any(problem.field in MORE for problem in self.problems)

    def asked(self, clock: Clock) -> tuple[dict[str, Any], list[Problem]]:
        """The body that the API would get, and the lines that are no header or no metadata."""
        values = self.values
        headers, odd_headers = self._pairs("headers")
        metadata, odd_metadata = self._pairs("metadata")
        event: dict[str, Any] = {
            "email_subject": values["email_subject"].strip(),
            "email_content": values["email_content"] if values["email_content"].strip() else None,
            "email_html": values["email_html"] if values["email_html"].strip() else None,
            "expected_sent_at": self._time(clock),
            "timezone": values["timezone"].strip(),
            "recipients": values["recipients"],
            "send_as": values["send_as"],
            "failover": values["failover"] == "on",
            "priority": values["priority"],
            "tags": [tag.strip() for tag in values["tags"].split(",") if tag.strip()],
            "headers": headers,
            "metadata": metadata,
        }
        optional = ("from_email", "from_name", "reply_to", "cc", "bcc", "provider", "expires_at", "on_uncertain")
        event |= {name: values[name].strip() for name in optional if values[name].strip()}
        return event, odd_headers + odd_metadata

    def _time(self, clock: Clock) -> str:
        """«Tomorrow» and «Monday» are days of the zone that is chosen, in which the API reads them too."""
        there = clock.seen_from(zone_named(self.values["timezone"]) or clock.zone)
        match self.values["when"]:
            case "now":
                return "now"
            case "1h":
                return (clock.now + timedelta(hours=1)).isoformat()
            case "tomorrow":
                return f"{there.days_on(1)}T09:00:00"
            case "monday":
                return f"{there.days_on(7 - there.weekday)}T09:00:00"
        return self.values["send_at"].strip()

    def _pairs(self, name: str) -> tuple[dict[str, str], list[Problem]]:
        pairs: dict[str, str] = {}
        odd: list[Problem] = []
        for line in filter(str.strip, self.values[name].splitlines()):
            match = _LINE.fullmatch(line.strip())
            if match is None:
                odd.append(Problem(name, f"“{line.strip()}” is not a name, a colon and a value."))
            else:
                pairs[match[1]] = match[2]
        return pairs, odd


def our_field(path: str) -> str:
    """The form's field for the API's: `recipients[2]` is in «recipients»."""
    name = re.split(r"[.\[]", path, maxsplit=1)[0]
    name = _OURS.get(name, name)
    return name if name in LABELS else ""


def _written(mailbox: Mailbox) -> str:
    if not mailbox.name:
        return mailbox.address
    quoted = mailbox.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{mailbox.address}>'
