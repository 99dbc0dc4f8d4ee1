"""Accepting: an event and its messages are stored in one transaction; the answer means that they are committed."""

import uuid
from collections.abc import Sequence

from janus_mail.accounts.callers import Caller
from janus_mail.delivery.crash_points import reached
from janus_mail.events.answers import EventOut
from janus_mail.events.attachments import read_files
from janus_mail.events.intake import facts_for, insert, read_facts, store
from janus_mail.events.rows import NewEvent, NewFile
from janus_mail.events.schemas import EventCreate
from janus_mail.events.show import read_event, show_event
from janus_mail.events.suppressed import warn_of_suppressed
from janus_mail.events.understand import Facts, understand
from janus_mail.telemetry import metrics
from janus_mail.web import idempotency
from janus_mail.web.context import Context
from janus_mail.web.idempotency import OnceOnly
from janus_mail.workspaces.usage import over_minute, over_month


async def accept(context: Context, caller: Caller, event: EventCreate) -> EventOut:
    """Store what was understood and wake the workers. Raises InvalidInput, and TooManyRequests for a quota."""
    files = await read_files(event.attachments) if event.attachments else ()
    facts = await facts_for(context, caller.workspace_id)
    new = understand(event, facts, workspace_id=caller.workspace_id, created_by=caller.label, files=files)
    if facts.suppresses:
        await warn_of_suppressed(context.database.pool, [new])
    await _keep_to_minute(context, facts, new)
    await store(context, new, facts.monthly_quota)
    await announce(context, caller.workspace_id, [new])
    return show_event(new.row)


async def accept_once(
    context: Context, caller: Caller, event: EventCreate, once: OnceOnly, *, files: Sequence[NewFile] | None = None
) -> tuple[EventOut, bool]:
    """As `accept`, but a repeated request is answered with what the first one made; true says that it was.

    `files` stand in for the event's attachments. Raises InvalidInput, TooManyRequests for a quota, or Conflict for the
    key.
    """
    if files is None:
        files = await read_files(event.attachments)
    async with context.database.transaction() as connection:
        kept = await idempotency.begin(connection, caller.workspace_id, once)
        if kept is None:
            facts = await read_facts(context, connection, caller.workspace_id)
            new = understand(event, facts, workspace_id=caller.workspace_id, created_by=caller.label, files=files)
            if facts.suppresses:
                await warn_of_suppressed(connection, [new])
            await _keep_to_minute(context, facts, new)
            (refusal,) = await over_month(connection, caller.workspace_id, facts.monthly_quota, [new.mails], whole=True)
            if refusal is not None:
                raise refusal
            await insert(connection, [new], context.settings.give_up_seconds)
            await idempotency.keep(connection, caller.workspace_id, once, resource_id=new.row.id)
    if kept is not None:
        assert kept.resource_id is not None  # noqa: S101
        return await read_event(context, caller, kept.resource_id), True
    await announce(context, caller.workspace_id, [new])
    return show_event(new.row), False


async def _keep_to_minute(context: Context, facts: Facts, new: NewEvent) -> None:
    """Raises TooManyRequests (`minute_quota_exceeded`)."""
    (refusal,) = await over_minute(context, new.row.workspace_id, facts.minute_quota, [new.mails], whole=True)
    if refusal is not None:
        raise refusal


async def announce(context: Context, workspace_id: uuid.UUID, new: Sequence[NewEvent]) -> None:
    """After the commit. Whatever is lost here, or never comes to be called, the patrol makes good."""
    reached("after_accept")
    metrics.accepted(len(new), sum(len(event.messages) for event in new))
    context.bell.ring(event.due_at for event in new)
    await context.list_cache.renew(workspace_id)
