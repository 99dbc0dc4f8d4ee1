"""Canceling all that fits: in batches, so that nothing is held for long and what was done stays done."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from janus_mail.accounts.callers import Caller
from janus_mail.audit.record import record
from janus_mail.delivery import control
from janus_mail.delivery.rollup import roll_up
from janus_mail.errors import InvalidInput
from janus_mail.events import queries
from janus_mail.events.listing import EventFilters, read_filters
from janus_mail.web.context import Context

# Of one transaction; an event more than that is a batch of its own.
_MOST_EVENTS = 500
_MOST_MESSAGES = 5_000


@dataclass(frozen=True, slots=True)
class CanceledMany:
    """`events` fit and are not over; `messages` of them were canceled, or would be; the rest is too late."""

    dry_run: bool
    events: int
    messages: int
    too_late: int


async def cancel_matching(context: Context, caller: Caller, filters: EventFilters, *, dry_run: bool) -> CanceledMany:
    """Cancel what has not begun to leave of every event that fits and was accepted before now; or only count it.

    A batch is a transaction: who is cut off has canceled some events whole, and asks again for the others.
    Raises InvalidInput (`filter_required`, `invalid_filter`).
    """
    values = await read_filters(context, caller, filters)
    if not values:
        message = "Name at least one filter: tag, status, recipient, from_email, provider, q, or a time."
        raise InvalidInput(message, code="filter_required")
    said = dict(values)
    accepted_by: datetime = await context.database.pool.fetchval(queries.NOW)
    values |= {"accepted_by": accepted_by, "after": uuid.UUID(int=0)}
    events = messages = too_late = 0
    while batch := await _next(context, caller, values):
        done = await _one_batch(context, caller, batch, None if dry_run else said)
        events, messages, too_late = events + len(batch), messages + done.canceled, too_late + done.too_late
        values["after"] = batch[-1]
    return CanceledMany(dry_run, events, messages, too_late)


async def _next(context: Context, caller: Caller, values: dict[str, Any]) -> list[uuid.UUID]:
    rows = await context.database.pool.fetch(
        queries.events_to_cancel(values, _MOST_MESSAGES), caller.workspace_id, _MOST_EVENTS, *values.values()
    )
    return [row["id"] for row in rows]


async def _one_batch(
    context: Context, caller: Caller, event_ids: list[uuid.UUID], filters: dict[str, Any] | None
) -> control.Canceled:
    """Without filters, which the audit log is told, it only counts."""
    if filters is None:
        async with context.database.transaction() as connection:
            return await control.would_cancel(connection, caller.workspace_id, event_ids)
    async with context.database.transaction() as connection:
        done = await control.cancel_events(connection, caller.workspace_id, event_ids)
        await record(
            connection, caller, "events.canceled", "events", workspace_id=caller.workspace_id,
            after={"filters": filters, "events": len(event_ids), "messages": done.canceled, "too_late": done.too_late},
        )  # fmt: skip
    await roll_up(context.database, context.list_cache, event_ids=event_ids)
    return done
