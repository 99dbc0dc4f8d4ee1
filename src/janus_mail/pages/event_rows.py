"""One row of the list of events: what is kept of it in the cache, and how it is shown."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel

from janus_mail.models.states import EventStatus, SendAs, State
from janus_mail.pages.group import IN_PART, have_it
from janus_mail.pages.progress import Progress, progress
from janus_mail.pages.times import Clock, number
from janus_mail.pages.waiting import Wait, in_short
from janus_mail.pages.words import ORDINALS, STATUSES, Look, explain

_MANY = 1000  # from so many recipients on the first one's address says nothing
_WORTH_A_BAR = 50  # messages; fewer are done before anyone has looked


class EventRow(BaseModel):
    """What the list shows of an event, without anything that depends on who looks or when."""

    id: uuid.UUID
    subject: str
    tags: list[str]
    first_recipient: str
    recipients_count: int
    send_as: SendAs
    expected_sent_at: datetime
    status: EventStatus
    counts: Mapping[State, int]
    error_message: str | None
    exactly_sent_at: datetime | None
    route: list[str]  # the names of the providers it may take, first first
    through: list[str]  # those it was tried at, the most used first
    lacking: int  # of a group, who was refused or put off
    test: bool = False  # of a provider

    def may_wait(self, now: datetime) -> bool:
        """Whether it may be that all that is left of it waits past its time."""
        begun = (State.LEASED, State.SENDING, State.UNCERTAIN)
        return (
            self.expected_sent_at <= now
            and self.counts.get(State.SCHEDULED, 0) > 0
            and not any(self.counts.get(state, 0) for state in begun)
        )


@dataclass(frozen=True, slots=True)
class Held:
    """Why all that is left of an event waits, and until when; `second_copies`: it may have arrived."""

    waiting_for: str
    next_try_at: datetime
    second_copies: bool


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row as the template takes it."""

    id: uuid.UUID
    subject: str
    tags: Sequence[str]
    to: str
    to_more: str
    at: datetime
    look: Look
    hint: str  # what of a group's recipients have it, where not all do
    through: str
    note: str
    parked: str  # what waits for a decision, where the status does not say it
    progress: Progress | None
    test: bool


def shown_row(row: EventRow, clock: Clock, held: Held | None = None) -> ShownRow:
    """`held`: what all that is left of it waits for."""
    many = row.recipients_count
    group = row.send_as is SendAs.GROUP
    if many >= _MANY:
        to, more = f"{number(many)} recipients", "one mail to all" if group else "one mail each"
    else:
        to, more = row.first_recipient, f"and {number(many - 1)} more" if many > 1 else ""
    worth_a_bar = row.status is EventStatus.SENDING and sum(row.counts.values()) >= _WORTH_A_BAR
    through, note = _through(row)
    if held is not None and row.route:
        through = (row.through or row.route)[0]
        wait = Wait(held.waiting_for, held.next_try_at, [through] if held.second_copies else row.route)
        note = in_short(wait, clock)
    look, hint = STATUSES[row.status], ""
    if group and row.status is EventStatus.SENT and row.lacking:
        look, hint = IN_PART, have_it(many - row.lacking, many)
    parked = row.counts.get(State.PARKED, 0) if row.status is not EventStatus.PARKED else 0
    return ShownRow(
        row.id, row.subject, row.tags, to, more, row.expected_sent_at, look, hint, through, note,
        f"{number(parked)} parked: your decision" if parked else "",
        progress(row.counts, row.exactly_sent_at, clock.now) if worth_a_bar else None, row.test,
    )  # fmt: skip


def _through(row: EventRow) -> tuple[str, str]:
    """The provider's column: a name, and under it what is worth saying."""
    if row.status is EventStatus.PENDING and not row.through:
        first = f"{row.route[0]} first" if len(row.route) > 1 else "".join(row.route)
        return first, "" if first else "no provider may take it"
    name = row.through[0] if row.through else ""
    match row.status:
        case EventStatus.PARKED:
            return name, "your decision"
        case EventStatus.FAILED:
            return name, explain(row.error_message)[0]
        case EventStatus.PARTLY_SENT:
            total = sum(row.counts.values())
            return name, f"{number(row.counts.get(State.SENT, 0))} of {number(total)}"
        case EventStatus.CANCELED | EventStatus.EXPIRED | EventStatus.SUPPRESSED:
            return name, ""
    if len(row.through) > 1:
        return name, f"and {', '.join(row.through[1:])}"
    place = row.route.index(name) if name in row.route else 0
    return name, f"{ORDINALS[place].lower()} in the route" if 0 < place < len(ORDINALS) else ""
