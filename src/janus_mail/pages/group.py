"""The recipients of a group's one mail, and what became of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from janus_mail.events.answers import EventOut, RecipientOut
from janus_mail.events.show import read_message
from janus_mail.models.states import FINAL
from janus_mail.pages import queries
from janus_mail.pages.times import number
from janus_mail.pages.visit import Visit
from janus_mail.pages.words import STATES, WAITING, Look, count, said_by

_MOST_SHOWN = 100
_ROLES = {"to": "", "cc": "copy", "bcc": "blind copy"}
_LOOKS: Mapping[str, Look] = {**STATES, "waiting": WAITING, "deferred": Look("Deferred", "clock", "warn")}


@dataclass(frozen=True, slots=True)
class Member:
    """One recipient; `role` is empty for those that the mail is to."""

    address: str
    role: str
    look: Look
    said: str


@dataclass(frozen=True, slots=True)
class Group:
    """The first of its members in the order in which they were given, `hidden` more; `words` where they differ."""

    members: Sequence[Member]
    hidden: int
    words: str


async def read_group(visit: Visit, event: EventOut) -> Group | None:
    """None where there is nobody but the one whom the list of messages names."""
    if event.send_as != "group":
        return None
    mail = await visit.context.database.pool.fetchrow(queries.MAIL, visit.caller.workspace_id, event.id, None)
    if mail is None:
        return None
    message = await read_message(visit.context, visit.caller, mail["id"])
    many = message.recipients
    if len(many) < 2:
        return None
    members = [
        Member(one.address, _ROLES[one.role], _LOOKS[one.state], said_by(one.code, one.response))
        for one in many[:_MOST_SHOWN]
    ]
    return Group(members, len(many) - len(members), _words(many, over=message.state in FINAL))


def _words(many: Sequence[RecipientOut], *, over: bool) -> str:
    """What it means that some have it and others do not."""
    have = sum(one.state == "sent" for one in many)
    refused = sum(one.state == "failed" for one in many)
    rest = len(many) - have - refused
    if not have or have == len(many):
        return ""
    said = [f"{number(have)} of {count(len(many), 'recipient')} {'has' if have == 1 else 'have'} it."]
    if refused:
        said.append(f"{number(refused)} {'was' if refused == 1 else 'were'} refused or could not be reached.")
    if rest and not over:
        others = f"the other {number(rest)}" if rest > 1 else "the one that is left"
        said.append(f"It is tried again for {others} alone: who has it gets it once.")
    return " ".join(said)
