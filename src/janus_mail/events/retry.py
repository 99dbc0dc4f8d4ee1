"""Asking for another try: of what failed, of what waits, of what nobody knows about."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from janus_mail.accounts.callers import Caller
from janus_mail.audit.record import record
from janus_mail.delivery import control
from janus_mail.delivery.rollup import roll_up
from janus_mail.errors import Conflict, NotFound
from janus_mail.events import queries
from janus_mail.storage.database import Connection
from janus_mail.web.context import Context


async def retry(context: Context, caller: Caller, event_id: uuid.UUID) -> int:
    """Failed, parked and suppressed messages once more; how many. Raises NotFound, or Conflict (`nothing_to_retry`)."""
    async with context.database.transaction() as connection:
        await _require(connection, queries.EVENT_EXISTS, caller, event_id)
        many = await control.retry(
            connection, caller.workspace_id, event_id, give_up_s=context.settings.give_up_seconds
        )
        if not many:
            raise Conflict("No message of this event has failed, is parked or suppressed.", code="nothing_to_retry")
        await _note(connection, caller, "event.retried", "event", event_id, {"messages": many})
    await _announce(context, event_id)
    return many


async def send_now(context: Context, caller: Caller, event_id: uuid.UUID) -> int:
    """What waits is due at once; how many. Raises NotFound, or Conflict (`nothing_to_send`)."""
    async with context.database.transaction() as connection:
        await _require(connection, queries.LOCK_EVENT_ONLY, caller, event_id)
        many = await control.send_now(connection, caller.workspace_id, event_id)
        if not many:
            raise Conflict("No message of this event is waiting.", code="nothing_to_send")
        await connection.execute(queries.BRING_FORWARD, caller.workspace_id, event_id)
        await _note(connection, caller, "event.sent_now", "event", event_id, {"messages": many})
    await _announce(context, event_id)
    return many


async def resolve(
    context: Context, caller: Caller, message_id: uuid.UUID, outcome: Literal["sent", "resend", "failed"]
) -> None:
    """A person's word on a parked message. Raises NotFound, or Conflict (`not_parked`)."""
    async with context.database.transaction() as connection:
        event_id = await control.resolve(
            connection, caller.workspace_id, message_id, outcome, give_up_s=context.settings.give_up_seconds
        )
        if event_id is None:
            if await connection.fetchrow(queries.MESSAGE, caller.workspace_id, message_id) is None:
                raise NotFound("There is no such message.")
            raise Conflict("This message is not parked.", code="not_parked")
        await _note(connection, caller, "message.resolved", "message", message_id, {"outcome": outcome})
    await _announce(context, event_id)


async def _require(connection: Connection, query: str, caller: Caller, event_id: uuid.UUID) -> None:
    """Raises NotFound."""
    if not await connection.fetchval(query, caller.workspace_id, event_id):
        raise NotFound("There is no such event.")


async def _note(
    connection: Connection, caller: Caller, action: str, kind: str, object_id: uuid.UUID, after: Mapping[str, Any]
) -> None:
    """In the audit log."""
    await record(connection, caller, action, kind, object_id, workspace_id=caller.workspace_id, after=after)


async def _announce(context: Context, event_id: uuid.UUID) -> None:
    """After the commit."""
    context.bell.ring([datetime.now(UTC)])
    await roll_up(context.database, context.list_cache, event_ids=[event_id])
