"""The caller's workspace: how it stands, the stop button, what becomes of mail that may have left."""

from datetime import UTC, datetime
from typing import Literal

from janus_mail.accounts import queries
from janus_mail.accounts.callers import Caller
from janus_mail.accounts.schemas import Workspace
from janus_mail.delivery import control
from janus_mail.errors import NotFound
from janus_mail.storage.database import Connection
from janus_mail.web.context import Context


async def read_workspace(context: Context, caller: Caller) -> Workspace:
    """Raises NotFound when the workspace is gone."""
    async with context.database.transaction() as connection:
        return await _read(context, connection, caller)


async def pause(context: Context, caller: Caller) -> Workspace:
    """From now on nothing more begins to leave; what is leaving goes through. Pausing twice changes nothing."""
    async with context.database.transaction() as connection:
        await control.pause(connection, caller.workspace_id)
    # Once more: a claim that was under way at the commit may not have seen the pause.
    async with context.database.transaction() as connection:
        await control.pause(connection, caller.workspace_id)
        paused = await _read(context, connection, caller)
    await context.list_cache.renew(caller.workspace_id)
    return paused


async def resume(context: Context, caller: Caller) -> Workspace:
    """What is due leaves at once. Resuming what is not paused changes nothing."""
    async with context.database.transaction() as connection:
        await control.resume(connection, caller.workspace_id, give_up_s=context.settings.give_up_seconds)
        resumed = await _read(context, connection, caller)
    context.bell.ring([datetime.now(UTC)])
    await context.list_cache.renew(caller.workspace_id)
    return resumed


async def set_on_uncertain(context: Context, caller: Caller, policy: Literal["resend", "park"]) -> Workspace:
    """For events accepted from now on that do not name a policy themselves."""
    async with context.database.transaction() as connection:
        await connection.execute(queries.SET_ON_UNCERTAIN, caller.workspace_id, policy)
        return await _read(context, connection, caller)


async def _read(context: Context, connection: Connection, caller: Caller) -> Workspace:
    row = await connection.fetchrow(queries.WORKSPACE, caller.workspace_id)
    if row is None:
        raise NotFound("The workspace is gone.")
    counts = await control.waiting(connection, caller.workspace_id)
    return Workspace.model_validate(
        {
            **row, "timezone": row["timezone"] or context.settings.tz,
            "waiting": counts.waiting, "due": counts.due, "sending": counts.sending,
            "uncertain": counts.uncertain,
        }
    )  # fmt: skip
