"""Canceling: what has not begun to leave never leaves."""

import uuid

from janus_mail.accounts.callers import Caller
from janus_mail.audit.record import record
from janus_mail.delivery import control
from janus_mail.delivery.control import Canceled
from janus_mail.delivery.rollup import roll_up
from janus_mail.errors import NotFound
from janus_mail.events import queries
from janus_mail.web.context import Context


async def cancel(context: Context, caller: Caller, event_id: uuid.UUID) -> Canceled:
    """How many messages were stopped, and how many were too late. Raises NotFound."""
    async with context.database.transaction() as connection:
        if not await connection.fetchval(queries.EVENT_EXISTS, caller.workspace_id, event_id):
            raise NotFound("There is no such event.")
        canceled = await control.cancel(connection, caller.workspace_id, event_id)
        await record(
            connection, caller, "event.canceled", "event", event_id, workspace_id=caller.workspace_id,
            after={"messages": canceled.canceled, "too_late": canceled.too_late},
        )  # fmt: skip
    await roll_up(context.database, context.list_cache, event_ids=[event_id])
    return canceled
