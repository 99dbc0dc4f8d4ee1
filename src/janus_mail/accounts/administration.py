"""What an administrator of the server does: to accounts and to workspaces, and to nothing that is in them.

Nobody disables themselves, and somebody stays who can do all this: the last administrator keeps that right.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from janus_mail.accounts import queries_account
from janus_mail.accounts import queries_administration as queries
from janus_mail.accounts.account_mails import (
    NOTICE_LASTS_S,
    email_changed,
    reset_by_administrator,
    second_factor_changed,
)
from janus_mail.accounts.second_factor import switch_off
from janus_mail.audit.record import Actor, record
from janus_mail.errors import Conflict, NotFound
from janus_mail.gate import queries as queries_people
from janus_mail.gate.registering import read_email
from janus_mail.gate.resetting import GIVEN_LASTS_S, end_everything, note_link, reset_link
from janus_mail.notices.system_mail import can_mail, queue_mail
from janus_mail.storage.database import Connection, Database
from janus_mail.web.context import Context
from janus_mail.workspaces.queries_usage import SCHEDULED_THIS_MONTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account; `workspaces` is how many they are in."""

    id: uuid.UUID
    email: str
    name: str
    created_at: datetime
    confirmed: bool
    disabled: bool
    administrator: bool
    second_factor: bool
    seen_at: datetime | None
    workspaces: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One workspace; a quota that is null is the server's, 0 is any number."""

    id: uuid.UUID
    name: str
    created_at: datetime
    owners: Sequence[str]
    members: int
    minute_quota: int | None
    monthly_quota: int | None
    mails: int  # scheduled in this calendar month, UTC


async def list_accounts(database: Database, words: str, *, after: uuid.UUID | None, limit: int) -> list[Account]:
    """The newest first; `words` is part of the address or of the name."""
    rows = await database.pool.fetch(queries.LIST_ACCOUNTS, words.strip(), after, limit)
    return [Account(**row) for row in rows]


async def list_tenants(database: Database, words: str, *, after: uuid.UUID | None, limit: int) -> list[Tenant]:
    """The newest first; `words` is part of the name."""
    async with database.transaction() as connection:
        rows = await connection.fetch(queries.LIST_TENANTS, words.strip(), after, limit)
        return [Tenant(**row, mails=await connection.fetchval(SCHEDULED_THIS_MONTH, row["id"])) for row in rows]


async def confirm_by_hand(context: Context, actor: Actor, user_id: uuid.UUID) -> None:
    """The address is taken for theirs. Raises `NotFound`, `Conflict` where there is nothing to confirm."""
    async with context.database.transaction() as connection:
        user = await _held(connection, user_id)
        if await connection.fetchval(queries_people.CONFIRM_USER, user_id) is None:
            raise Conflict("This account is confirmed already, or disabled.")
        await _note(connection, actor, "account.confirmed", user)


async def set_disabled(context: Context, actor: Actor, user_id: uuid.UUID, *, disabled: bool) -> None:
    """Who is disabled is signed out everywhere at once. Raises `NotFound`, `Conflict`."""
    async with context.database.transaction() as connection:
        await connection.fetch(queries_account.HOLD_ADMINISTRATORS)
        user = await _held(connection, user_id)
        if disabled and actor.actor_id == user_id:
            raise Conflict("You cannot disable yourself.", code="oneself")
        if disabled and user["administrator"]:
            await _require_another(connection, user_id)
        if user["disabled"] == disabled:
            return
        await connection.execute(queries_people.SET_DISABLED, user_id, disabled)
        if disabled:
            await end_everything(connection, user_id)
        await _note(connection, actor, "account.disabled" if disabled else "account.enabled", user)


async def set_administrator(context: Context, actor: Actor, user_id: uuid.UUID, *, administrator: bool) -> None:
    """Raises `NotFound`, `Conflict` (`last_administrator`, and for who cannot sign in)."""
    async with context.database.transaction() as connection:
        await connection.fetch(queries_account.HOLD_ADMINISTRATORS)
        user = await _held(connection, user_id)
        if user["administrator"] == administrator:
            return
        if administrator and not user["may_sign_in"]:
            raise Conflict("Somebody who cannot sign in is no administrator: confirm or enable the account first.")
        if not administrator:
            await _require_another(connection, user_id)
        await connection.execute(queries_people.SET_ADMINISTRATOR, user_id, administrator)
        await record(
            connection, actor, "account.changed", "user", user_id, workspace_id=None, name=user["email"],
            before={"administrator": not administrator}, after={"administrator": administrator},
        )  # fmt: skip


async def change_email(context: Context, actor: Actor, user_id: uuid.UUID, email: str) -> None:
    """Without a link, for a server that sends no mail: the administrator answers for whose address it is. The old one
    is told where that can be. Raises `NotFound`, `InvalidInput`, `Conflict` (`email_taken`)."""
    email = read_email(email)
    async with context.database.transaction() as connection:
        user = await _held(connection, user_id)
        await connection.execute(queries_people.DELETE_UNCONFIRMED, email)
        try:
            async with connection.transaction():
                await connection.execute(queries_account.SET_EMAIL, user_id, email)
        except asyncpg.UniqueViolationError:
            raise Conflict("Another account has this address.", code="email_taken") from None
        await connection.execute(queries_account.FORGET_LINKS, user_id)
        await record(
            connection, actor, "email.changed", "user", user_id, workspace_id=None, name=email,
            before={"email": user["email"]}, after={"email": email},
        )  # fmt: skip
        await queue_mail(connection, context, email_changed(context.settings, user["email"]), lasts_s=NOTICE_LASTS_S)


async def switch_second_factor_off(context: Context, actor: Actor, user_id: uuid.UUID) -> None:
    """For who has lost phone and recovery codes; they are told. Raises `NotFound`, `Conflict` where there is none."""
    async with context.database.transaction() as connection:
        user = await _held(connection, user_id)
        if not user["needs_code"]:
            raise Conflict("This account has no second factor.")
        await switch_off(connection, actor, user_id, name=user["email"])
        mail = second_factor_changed(context.settings, user["email"], on=False)
        await queue_mail(connection, context, mail, lasts_s=NOTICE_LASTS_S)


async def sign_out_everywhere(context: Context, actor: Actor, user_id: uuid.UUID) -> None:
    """Every browser and every program. Raises `NotFound`."""
    async with context.database.transaction() as connection:
        user = await _held(connection, user_id)
        await end_everything(connection, user_id)
        await _note(connection, actor, "sessions.ended", user)


async def offer_reset(context: Context, actor: Actor, user_id: uuid.UUID) -> str | None:
    """A link that sets a new password: mailed, or where no mail is set up handed to whoever asks, this once.

    Raises `NotFound`, `Conflict` for a disabled account.
    """
    async with context.database.transaction() as connection:
        user = await _held(connection, user_id)
        if user["disabled"]:
            raise Conflict("This account is disabled: enable it first.")
        link = await reset_link(connection, context.settings, user, lasts_s=GIVEN_LASTS_S)
        await note_link(connection, actor, user)
        if not can_mail(context.settings):
            return link
        await queue_mail(connection, context, reset_by_administrator(user["email"], link), lasts_s=NOTICE_LASTS_S)
    return None


async def _held(connection: Connection, user_id: uuid.UUID) -> asyncpg.Record:
    user = await connection.fetchrow(queries_people.USER_LOCKED, user_id)
    if user is None or user["erased"]:
        raise NotFound("There is no such account.")
    return user


async def _require_another(connection: Connection, user_id: uuid.UUID) -> None:
    if not await connection.fetchval(queries_account.ANOTHER_ADMINISTRATOR, user_id):
        raise Conflict("This is the last administrator. Make somebody else one first.", code="last_administrator")


async def _note(connection: Connection, actor: Actor, action: str, user: asyncpg.Record) -> None:
    await record(connection, actor, action, "user", user["id"], workspace_id=None, name=user["email"])
