"""The recipients of a group's one mail, and what became of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from janus_mail.events.answers import EventOut, MessageDetail, RecipientOut
from janus_mail.events.show import read_message
from janus_mail.models.states import FINAL, State
from janus_mail.pages import queries
from janus_mail.pages.feedback_words import LOOKS
from janus_mail.pages.times import number
from janus_mail.pages.visit import Visit
from janus_mail.pages.words import STATES, WAITING, Look, count, said_by

_MOST_SHOWN = 100
IN_PART = Look("Sent", "partly", "warn")  # a group's mail that not all of it have
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
    """The first of its members in the order in which they were given, `hidden` more; `words` where they differ.

    `counts`: as if each of them were a message.
    """

    members: Sequence[Member]
    hidden: int
    words: str
    counts: Mapping[State, int]

    @property
    def in_part(self) -> bool:
        """Whether some have it and others do not."""
        return 0 < self.counts[State.SENT] < sum(self.counts.values())

    @property
    def look(self) -> Look:
        """Of a mail that is sent, to some of them."""
        return replace(IN_PART, word=f"Sent: {have_it(self.counts[State.SENT], sum(self.counts.values()))}")


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
    members = [_member(one, message) for one in many[:_MOST_SHOWN]]
    over = message.state in FINAL
    have = sum(one.state == "sent" for one in many)
    refused = sum(one.state == "failed" for one in many)
    left_out = sum(one.state == "suppressed" for one in many)
    rest = len(many) - have - refused - left_out
    counts = {State.SENT: have, State.FAILED: refused, State.SUPPRESSED: left_out, State.SCHEDULED: rest}
    return Group(members, len(many) - len(members), _words(counts, over=over), counts)


def _member(one: RecipientOut, message: MessageDetail) -> Member:
    """What came back of it later tells more than that it was taken."""
    look, said = _LOOKS[one.state], said_by(one.code, one.response)
    if one.state == "sent" and one.delivery_status is not None:
        address = one.address.lower()
        reasons = [
            told.reason for told in message.feedback
            if told.type == one.delivery_status and (told.recipient or "").lower() == address
        ]  # fmt: skip
        look, said = LOOKS[one.delivery_status], next(filter(None, reversed(reasons)), "")
    return Member(one.address, _ROLES[one.role], look, said)


def have_it(have: int, total: int) -> str:
    """«3 of 4 have it»."""
    return f"{number(have)} of {number(total)} {'has' if have == 1 else 'have'} it"


def _words(counts: Mapping[State, int], *, over: bool) -> str:
    """What it means that some have it and others do not."""
    have, refused, left_out, rest = counts.values()
    total = sum(counts.values())
    if not have or have == total:
        return ""
    said = [f"{number(have)} of {count(total, 'recipient')} {'has' if have == 1 else 'have'} it."]
    if refused:
        said.append(f"{number(refused)} {'was' if refused == 1 else 'were'} refused or could not be reached.")
    if left_out:
        said.append(f"{number(left_out)} {'is' if left_out == 1 else 'are'} suppressed and left out of the mail.")
    if rest and not over:
        others = f"the other {number(rest)}" if rest > 1 else "the one that is left"
        said.append(f"It is tried again for {others} alone: who has it gets it once.")
    return " ".join(said)
