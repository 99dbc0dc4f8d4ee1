"""A forgotten password: a link by mail, a new password, and every place where the old one opened something closed."""

import uuid
from typing import Final

import asyncpg

from janus_mail.accounts import queries_account
from janus_mail.accounts.account_mails import NOTICE_LASTS_S, password_changed
from janus_mail.audit.actors import Other
from janus_mail.audit.record import Actor, record
from janus_mail.errors import TooManyRequests
from janus_mail.gate import queries
from janus_mail.gate.links import Link, find_link, make_link, public_address, take_link
from janus_mail.gate.passwords import check_new_password, digest_password
from janus_mail.gate.registering import link_gone, read_email
from janus_mail.gate.throttle import charge_account, charge_address
from janus_mail.models.states import ActorKind, LinkPurpose
from janus_mail.notices.system_mail import queue_mail, worded
from janus_mail.settings import Settings
from janus_mail.storage.database import Connection
from janus_mail.web.context import Context

RESET_LASTS_S: Final = 3600
GIVEN_LASTS_S: Final = 3 * 86_400  # of a link that a command prints: it is handed on by a person


async def may_ask(context: Context, email: str, *, address: str) -> str:
    """The address as it is stored. The same whether it has an account or not.

    Raises `InvalidInput` for what is none, `TooManyRequests` for too many from one place.
    """
    email = read_email(email)
    await charge_address(context, "forgot", address)
    return email


async def send_reset(context: Context, email: str, *, address: str) -> None:
    """A link goes to the address if it has an account. Called when the answer is out, which tells nothing thereby."""
    try:
        # Nobody's mailbox is to be filled by this. Each of these mails has a link that works, so whoever uses the tries
        # up keeps the owner from nothing; other mails are counted apart.
        await charge_account(context, "forgot", email)
    except TooManyRequests:
        return
    async with context.database.transaction() as connection:
        row = await connection.fetchrow(queries.USER_BY_EMAIL, email)
        if row is None or row["disabled"]:
            return
        link = await reset_link(connection, context.settings, row, lasts_s=RESET_LASTS_S)
        mail = worded(
            row["email"],
            "Set a new password",
            (
                "Somebody, probably you, asked for a new password for the account of this address. Choose one here:",
                "The link works once, within an hour. If it was not you, there is nothing to do: the password stays "
                "as it is.",
            ),
            button=("Choose a password", link),
        )
        await queue_mail(connection, context, mail, lasts_s=RESET_LASTS_S)
        actor = Other(ActorKind.USER, "somebody", None, address)
        await record(
            connection, actor, "password.reset_asked", "user", row["id"], workspace_id=None, name=row["email"]
        )  # fmt: skip


async def reset_link(connection: Connection, settings: Settings, user: asyncpg.Record, *, lasts_s: float) -> str:
    """The whole address under which this person sets a password, once."""
    secret = await make_link(
        connection, LinkPurpose.RESET, user_id=user["id"], email=user["email"], lasts_s=lasts_s
    )  # fmt: skip
    return public_address(settings, f"/reset/{secret}")


async def find_reset(context: Context, secret: str) -> str:
    """The email of the account whose password it would set. Raises `NotFound` (`link_gone`)."""
    async with context.database.transaction() as connection:
        email: str = (await _user(connection, await find_link(connection, LinkPurpose.RESET, secret)))["email"]
    return email


async def reset_password(context: Context, secret: str, password: str, *, address: str) -> uuid.UUID:
    """Ends every session, refresh token and link of the person, and tells the address. A link may be somebody else's:
    who knew the old password can have asked to change the account's address to theirs.

    Raises `NotFound` (`link_gone`), `InvalidInput` (`weak_password`); the link is not used by these.
    """
    async with context.database.transaction() as connection:
        user = await _user(connection, await find_link(connection, LinkPurpose.RESET, secret))
    check_new_password(password, email=user["email"], name=user["name"])
    digest = await digest_password(password)
    async with context.database.transaction() as connection:
        user = await _user(connection, await take_link(connection, LinkPurpose.RESET, secret))
        if await connection.fetchval(queries.STORE_DIGEST, user["id"], digest) is None:
            raise link_gone()
        await end_everything(connection, user["id"])
        actor = Other(ActorKind.USER, user["email"], user["id"], address)
        await record(
            connection, actor, "password.reset", "user", user["id"], workspace_id=None, name=user["email"]
        )  # fmt: skip
        mail = password_changed(context.settings, user["email"])
        await queue_mail(connection, context, mail, lasts_s=NOTICE_LASTS_S)
    found: uuid.UUID = user["id"]
    return found


async def end_everything(connection: Connection, user_id: uuid.UUID) -> None:
    """Every session and refresh token of the person, with these their access tokens, and every link that waits."""
    await connection.execute(queries.END_SESSIONS, user_id)
    await connection.execute(queries.END_REFRESH_TOKENS, user_id)
    await connection.execute(queries_account.FORGET_LINKS, user_id)


async def note_link(connection: Connection, actor: Actor, user: asyncpg.Record) -> None:
    """In the audit log, that somebody was given a link that sets this password."""
    await record(
        connection, actor, "password.link_made", "user", user["id"], workspace_id=None, name=user["email"]
    )  # fmt: skip


async def _user(connection: Connection, link: Link | None) -> asyncpg.Record:
    """Whose link it is, if the address is still theirs. Raises `NotFound` (`link_gone`)."""
    user = await connection.fetchrow(queries.USER, link.user_id) if link is not None else None
    if link is None or user is None or user["disabled"] or user["erased"]:
        raise link_gone()
    if user["email"].lower() != (link.email or "").lower():
        raise link_gone()
    return user
