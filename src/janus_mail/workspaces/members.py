"""Who is in a workspace, and as what. There is always an owner."""

import uuid
from collections.abc import Sequence

import asyncpg

from janus_mail.accounts.callers import Caller
from janus_mail.audit.record import record
from janus_mail.errors import Conflict, Forbidden, NotFound
from janus_mail.models.states import Role
from janus_mail.storage.database import Connection, Database
from janus_mail.web.context import Context
from janus_mail.workspaces import queries
from janus_mail.workspaces.schemas import Member


async def list_members(
    database: Database, workspace_id: uuid.UUID, *, after: uuid.UUID | None = None, limit: int | None = None
) -> Sequence[Member]:
    """The newest accounts first."""
    return [_member(row) for row in await database.pool.fetch(queries.MEMBERS, workspace_id, after, limit)]


async def change_role(context: Context, caller: Caller, user_id: uuid.UUID, role: Role) -> Member:
    """Raises NotFound, Forbidden for who may not make owners, Conflict (`last_owner`)."""
    async with context.database.transaction() as connection:
        await hold_workspace(connection, caller)
        before = await _read(connection, caller.workspace_id, user_id)
        if role is not before.role:
            require_may_give(caller, role)
            await connection.execute(queries.SET_ROLE, caller.workspace_id, user_id, role)
            await require_an_owner(connection, caller.workspace_id, before.role)
            await record(
                connection, caller, "member.role_changed", "member", user_id, workspace_id=caller.workspace_id,
                name=before.email, before={"role": before.role}, after={"role": role},
            )  # fmt: skip
    return before.model_copy(update={"role": role})


async def remove_member(context: Context, caller: Caller, user_id: uuid.UUID) -> Member:
    """Ends what their programs hold here; their browsers fall back to another workspace by themselves.

    API keys are the workspace's and stay. Raises NotFound, Conflict (`last_owner`).
    """
    async with context.database.transaction() as connection:
        await hold_workspace(connection, caller)
        gone = await _read(connection, caller.workspace_id, user_id)
        await connection.execute(queries.DELETE_MEMBER, caller.workspace_id, user_id)
        await require_an_owner(connection, caller.workspace_id, gone.role)
        await connection.execute(queries.REVOKE_TOKENS, caller.workspace_id, user_id)
        await record(
            connection, caller, "member.removed", "member", user_id, workspace_id=caller.workspace_id,
            name=gone.email, before={"role": gone.role},
        )  # fmt: skip
    return gone


async def hold_workspace(connection: Connection, caller: Caller) -> asyncpg.Record:
    """The workspace: from here to the end of the transaction nobody else changes who is in it; a person's right to is
    asked again, for it may have gone while they waited. Raises NotFound, Forbidden."""
    workspace = await connection.fetchrow(queries.LOCK_WORKSPACE, caller.workspace_id)
    if workspace is None:
        raise NotFound("The workspace is gone.")
    if caller.person is not None:
        role = await connection.fetchval(queries.ROLE, caller.workspace_id, caller.person.user_id)
        if role != Role.OWNER:
            raise Forbidden("You are no owner of this workspace any more.", code="insufficient_role")
    return workspace


async def require_an_owner(connection: Connection, workspace_id: uuid.UUID, gone: Role) -> None:
    """That one is left, after somebody in the role `gone` has lost it. Raises Conflict (`last_owner`), which takes the
    change back."""
    if gone is Role.OWNER and not await connection.fetchval(queries.HAS_OWNER, workspace_id):
        raise Conflict("A workspace has an owner: make somebody else one first.", code="last_owner")


def require_may_give(caller: Caller, role: Role) -> None:
    """Raises Forbidden: a key that could make owners would outlive its own revocation."""
    if role is Role.OWNER and caller.role is not Role.OWNER:
        raise Forbidden("Only an owner makes owners: an API key cannot.", code="insufficient_role")


async def _read(connection: Connection, workspace_id: uuid.UUID, user_id: uuid.UUID) -> Member:
    row = await connection.fetchrow(queries.MEMBER, workspace_id, user_id)
    if row is None:
        raise NotFound("There is nobody with this id in the workspace.")
    return _member(row)


def _member(row: asyncpg.Record) -> Member:
    return Member(
        user_id=row["user_id"], email=row["email"], name=row["name"], role=row["role"], since=row["since"]
    )  # fmt: skip
