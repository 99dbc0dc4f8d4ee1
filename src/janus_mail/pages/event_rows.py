"""One row of the list of events: what is kept of it in the cache, and how it is shown."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel

from janus_mail.models.states import EventStatus, SendAs, State
from janus_mail.pages.progress import Progress, progress
from janus_mail.pages.times import Clock, number
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
    through: str
    note: str
    parked: str  # what waits for a decision, where the status does not say it
    progress: Progress | None


def shown_row(row: EventRow, clock: Clock) -> ShownRow:
    many = row.recipients_count
    group = row.send_as is SendAs.GROUP
    if many >= _MANY:
        to, more = f"{number(many)} recipients", "one mail to all" if group else "one mail each"
    else:
        to, more = row.first_recipient, f"and {number(many - 1)} more" if many > 1 else ""
    worth_a_bar = row.status is EventStatus.SENDING and sum(row.counts.values()) >= _WORTH_A_BAR
    through, note = _through(row)
    parked = row.counts.get(State.PARKED, 0) if row.status is not EventStatus.PARKED else 0
    return ShownRow(
        row.id, row.subject, row.tags, to, more, row.expected_sent_at, STATUSES[row.status], through, note,
        f"{number(parked)} parked: your decision" if parked else "",
        progress(row.counts, row.exactly_sent_at, clock.now) if worth_a_bar else None,
    )  # fmt: skip


def _through(row: EventRow) -> tuple[str, str]:
    """The provider's column: a name, and under it what is worth saying."""
    if row.status is EventStatus.PENDING and not row.through:
        first = f"{row.route[0]} first" if len(row.route) > 1 else "".join(row.route)
        return first, "" if first else "no provider"
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
