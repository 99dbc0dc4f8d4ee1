"""The roll-up: renews the counts and status of events whose messages changed, and the list cache's token."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

from janus_mail.delivery.queries import counts
from janus_mail.models.states import FINAL, EventStatus, State
from janus_mail.storage.database import Database
from janus_mail.storage.list_cache import ListCache

_MOST_MARKS = 5000
# None sent: the first of these that any message ended in.
_WORST_FIRST = (
    (State.PARKED, EventStatus.PARKED),
    (State.FAILED, EventStatus.FAILED),
    (State.SUPPRESSED, EventStatus.SUPPRESSED),
    (State.EXPIRED, EventStatus.EXPIRED),
    (State.CANCELED, EventStatus.CANCELED),
)


@dataclass(slots=True)
class _Sum:
    states: dict[str, int] = field(default_factory=dict)
    attempts: int = 0
    first_sent_at: datetime | None = None
    last_error: str | None = None


async def roll_up(database: Database, list_cache: ListCache, *, event_ids: Sequence[uuid.UUID] | None = None) -> bool:
    """One transaction for what is marked, or for all marks of these events. True: there may be more."""
    async with database.transaction() as connection:
        if event_ids is None:
            marks = await connection.fetch(counts.TAKE_DIRTY, _MOST_MARKS)
        else:
            marks = await connection.fetch(counts.TAKE_DIRTY_OF, event_ids)
        if not marks:
            return False
        dirty = list({mark["event_id"] for mark in marks})
        # Counted after the lock: what committed before is seen, what commits later has a mark of its own.
        events = await connection.fetch(counts.LOCK_EVENTS, dirty)
        sums = _sum_up(await connection.fetch(counts.COUNT_STATES, dirty))
        found = [sums.get(event["id"], _Sum()) for event in events]
        await connection.execute(
            counts.WRITE_COUNTS, [event["id"] for event in events],
            [status_of(found_.states, begun=found_.attempts > 0) for found_ in found],
            [found_.states for found_ in found], [found_.first_sent_at for found_ in found],
            [found_.last_error for found_ in found],
        )  # fmt: skip
    await list_cache.renew(*{event["workspace_id"] for event in events})
    return event_ids is None and len(marks) == _MOST_MARKS


def status_of(states: Mapping[str, int], *, begun: bool = False) -> EventStatus:
    """The status of an event from its messages' states; `begun`: some try was made, though none is final."""
    final = sum(states.get(state, 0) for state in FINAL)
    if final < sum(states.values()):
        waiting = states.get(State.SCHEDULED, 0) + states.get(State.LEASED, 0)
        return EventStatus.PENDING if waiting == sum(states.values()) and not begun else EventStatus.SENDING
    if states.get(State.SENT, 0):
        return EventStatus.SENT if states[State.SENT] == final else EventStatus.PARTLY_SENT
    for state, status in _WORST_FIRST:
        if states.get(state, 0):
            return status
    return EventStatus.PENDING


def _sum_up(rows: Sequence[asyncpg.Record]) -> dict[uuid.UUID, _Sum]:
    sums: dict[uuid.UUID, _Sum] = {}
    for row in rows:
        total: Any = sums.setdefault(row["event_id"], _Sum())
        total.states[row["state"]] = row["many"]
        total.attempts += row["attempts"]
        total.first_sent_at = min(filter(None, (total.first_sent_at, row["first_sent_at"])), default=None)
        total.last_error = row["last_error"] or total.last_error
    return sums
