"""Accounts as whoever runs the server handles them, by a command and without mail."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from janus_mail.audit.actors import COMMAND
from janus_mail.audit.record import record
from janus_mail.errors import Conflict, NotFound
from janus_mail.gate import queries
from janus_mail.gate.passwords import check_new_password, digest_password
from janus_mail.gate.registering import make_account, read_email, read_name
from janus_mail.gate.resetting import GIVEN_LASTS_S, end_everything, note_link, reset_link
from janus_mail.models.states import Role
from janus_mail.settings import Settings
from janus_mail.storage.database import Connection, Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What a list shows of a person."""

    email: str
    name: str
    created_at: datetime
    confirmed_at: datetime | None
    disabled_at: datetime | None
    administrator: bool
    needs_code: bool
    seen_at: datetime | None
    workspaces: int


async def create_person(
    database: Database,
    settings: Settings,
    *,
    email: str,
    name: str | None,
    administrator: bool,
    place: tuple[str, Role] | None,
    password: str | None,
) -> str | None:
    """A confirmed account; `place` is a workspace, by handle or id, and a role. Without a password the link to set it.

    Raises `InvalidInput`, `Conflict` (`email_taken`), `NotFound` for the workspace.
    """
    email = read_email(email)
    name = read_name(name if name is not None else email.rpartition("@")[0])
    digest = None
    if password is not None:
        check_new_password(password, email=email, name=name)
        digest = await digest_password(password)
    async with database.transaction() as connection:
        user_id = await make_account(
            connection, email=email, name=name, password_digest=digest, confirmed=True, administrator=administrator
        )
        await record(
            connection, COMMAND, "account.made", "user", user_id, workspace_id=None, name=email,
            after={"administrator": administrator},
        )  # fmt: skip
        if place is not None:
            workspace, role = place
            workspace_id = await connection.fetchval(queries.JOIN_WORKSPACE, user_id, role, workspace)
            if workspace_id is None:
                raise NotFound(f"There is no workspace {workspace!r}.")
            await record(
                connection, COMMAND, "member.added", "user", user_id, workspace_id=workspace_id, name=email,
                after={"role": role},
            )  # fmt: skip
        return await _link(connection, settings, email) if digest is None else None


async def list_people(database: Database) -> list[Listed]:
    """The oldest first; erased ones are nobody."""
    return [Listed(**dict(row)) for row in await database.pool.fetch(queries.LIST_USERS)]


async def confirm_person(database: Database, email: str) -> None:
    """The account opens without its mail. Raises `NotFound`, `Conflict`."""
    async with database.transaction() as connection:
        user = await _found(connection, email)
        if await connection.fetchval(queries.CONFIRM_USER, user["id"]) is None:
            why = "is disabled" if user["disabled"] else "is confirmed already"
            raise Conflict(f"{user['email']} {why}.")
        await _note(connection, "account.confirmed", user)


async def set_disabled(database: Database, email: str, *, disabled: bool) -> None:
    """A disabled account opens nothing, from now on; its sessions end. Twice changes nothing. Raises `NotFound`."""
    async with database.transaction() as connection:
        user = await _found(connection, email)
        if user["disabled"] == disabled:
            return
        await connection.execute(queries.SET_DISABLED, user["id"], disabled)
        if disabled:
            await end_everything(connection, user["id"])
        await _note(connection, "account.disabled" if disabled else "account.enabled", user)


async def set_administrator(database: Database, email: str, *, administrator: bool) -> None:
    """Twice changes nothing. Raises `NotFound`."""
    async with database.transaction() as connection:
        user = await _found(connection, email)
        if user["administrator"] == administrator:
            return
        await connection.execute(queries.SET_ADMINISTRATOR, user["id"], administrator)
        await _note(
            connection, "account.changed", user,
            before={"administrator": not administrator}, after={"administrator": administrator},
        )  # fmt: skip


async def give_reset_link(database: Database, settings: Settings, email: str) -> str:
    """A link that sets the password, once. Raises `NotFound`, `Conflict` for a disabled account."""
    async with database.transaction() as connection:
        return await _link(connection, settings, email)


async def _link(connection: Connection, settings: Settings, email: str) -> str:
    user = await _found(connection, email)
    if user["disabled"]:
        raise Conflict(f"{user['email']} is disabled: `janus users enable` first.")
    await note_link(connection, COMMAND, user)
    return await reset_link(connection, settings, user, lasts_s=GIVEN_LASTS_S)


async def _found(connection: Connection, email: str) -> asyncpg.Record:
    user = await connection.fetchrow(queries.USER_BY_EMAIL_LOCKED, read_email(email))
    if user is None:
        raise NotFound(f"{email} has no account.")
    return user


async def _note(
    connection: Connection,
    action: str,
    user: asyncpg.Record,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    await record(
        connection, COMMAND, action, "user", user["id"], workspace_id=None, name=user["email"], before=before,
        after=after,
    )  # fmt: skip
