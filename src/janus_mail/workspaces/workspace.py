"""The caller's workspace: how it stands, its settings, the stop button."""

from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from janus_mail.accounts.callers import Caller
from janus_mail.audit.masking import difference
from janus_mail.audit.record import record
from janus_mail.delivery import control
from janus_mail.errors import Detail, InvalidInput, NotFound
from janus_mail.storage.database import Connection
from janus_mail.web.context import Context
from janus_mail.workspaces import queries
from janus_mail.workspaces.schemas import Workspace, WorkspacePatch
from janus_mail.workspaces.senders import check_sender
from janus_mail.workspaces.usage import read_usage

USUAL_LANGUAGE: Final = "en-GB"
_DAY_S: Final = 86_400
_CHANGEABLE: Final = (
    "name", "timezone", "language", "from_email", "from_name", "allowed_senders", "on_uncertain", "retention_days",
)  # fmt: skip


async def read_workspace(context: Context, caller: Caller) -> Workspace:
    """Raises NotFound when the workspace is gone."""
    async with context.database.transaction() as connection:
        return await _read(context, connection, caller)


async def change_workspace(context: Context, caller: Caller, patch: WorkspacePatch) -> Workspace:
    """Change what is given. Raises InvalidInput where the parts do not fit together."""
    if not patch:
        raise InvalidInput("Say what to change.")
    days = patch.get("retention_days")
    if days is not None and days * _DAY_S < context.settings.idempotency_seconds:
        least = -(-context.settings.idempotency_seconds // _DAY_S)
        message = f"At least {least} days: until then a request that comes again must find what it made."
        raise InvalidInput(message, details=[Detail("retention_days", message)])
    async with context.database.transaction() as connection:
        row = await connection.fetchrow(queries.WORKSPACE_TO_CHANGE, caller.workspace_id)
        if row is None:
            raise _gone()
        before = {name: row[name] for name in _CHANGEABLE}
        after: dict[str, Any] = {**before, **patch}
        if after["from_email"] is not None and {"from_email", "allowed_senders"} & patch.keys():
            _require_allowed(after, patch)
        await connection.execute(queries.UPDATE_WORKSPACE, caller.workspace_id, *(after[name] for name in _CHANGEABLE))
        was, now = difference(before, after)
        if now:
            await record(
                connection, caller, "workspace.changed", "workspace", caller.workspace_id,
                workspace_id=caller.workspace_id, name=after["name"], before=was, after=now,
            )  # fmt: skip
        changed = await _read(context, connection, caller)
    await context.list_cache.renew(caller.workspace_id)
    return changed


async def pause(context: Context, caller: Caller) -> Workspace:
    """From now on nothing more begins to leave; what is leaving goes through. Pausing twice changes nothing."""
    async with context.database.transaction() as connection:
        row = await connection.fetchrow(queries.WORKSPACE_TO_CHANGE, caller.workspace_id)
        await control.pause(connection, caller.workspace_id)
        if row is not None and row["paused_at"] is None:
            await _note(connection, caller, "workspace.paused", row)
    # Once more: a claim that was under way at the commit may not have seen the pause.
    async with context.database.transaction() as connection:
        await control.pause(connection, caller.workspace_id)
        paused = await _read(context, connection, caller)
    await context.list_cache.renew(caller.workspace_id)
    return paused


async def resume(context: Context, caller: Caller) -> Workspace:
    """What is due leaves at once. Resuming what is not paused changes nothing."""
    async with context.database.transaction() as connection:
        row = await connection.fetchrow(queries.WORKSPACE_TO_CHANGE, caller.workspace_id)
        await control.resume(connection, caller.workspace_id, give_up_s=context.settings.give_up_seconds)
        if row is not None and row["paused_at"] is not None:
            await _note(connection, caller, "workspace.resumed", row)
        resumed = await _read(context, connection, caller)
    context.bell.ring([datetime.now(UTC)])
    await context.list_cache.renew(caller.workspace_id)
    return resumed


async def _note(connection: Connection, caller: Caller, action: str, row: asyncpg.Record) -> None:
    await record(
        connection, caller, action, "workspace", caller.workspace_id, workspace_id=caller.workspace_id, name=row["name"]
    )


def _require_allowed(after: dict[str, Any], patch: WorkspacePatch) -> None:
    """Raises InvalidInput: mail without a sender of its own would be refused from now on."""
    try:
        check_sender(after["from_email"], after["allowed_senders"])
    except InvalidInput as error:
        field = "from_email" if "from_email" in patch else "allowed_senders"
        message = f"The usual sender {after['from_email']} is none of the senders that are allowed."
        raise InvalidInput(message, code=error.code, details=[Detail(field, message)]) from None


async def _read(context: Context, connection: Connection, caller: Caller) -> Workspace:
    row = await connection.fetchrow(queries.WORKSPACE, caller.workspace_id)
    if row is None:
        raise _gone()
    counts = await control.waiting(connection, caller.workspace_id)
    usage = await read_usage(connection, caller.workspace_id, context.settings)
    return Workspace.model_validate(
        {
            **row, "timezone": row["timezone"] or context.settings.tz, "language": row["language"] or USUAL_LANGUAGE,
            "waiting": counts.waiting, "due": counts.due, "sending": counts.sending,
            "uncertain": counts.uncertain, "minute_quota": usage.minute_quota, "monthly_quota": usage.monthly_quota,
            "used_this_month": usage.used,
        }
    )  # fmt: skip


def _gone() -> NotFound:
    return NotFound("The workspace is gone.")
