"""Refresh tokens of people's programs: each is exchanged once for the next; one that comes again ends them all.

A token that comes a second time is in two hands, and nobody can tell which is the thief's, so the whole family ends
and its person is told (RFC 9700 section 4.14.2). That is strict: a program whose answer was lost signs in again. Only
a request that was there already while another exchanged the same token, two tabs of one program, is no second use: it
is refused, and the family stays. Should it have been a thief who came first, the program that was refused tries again,
and that is a second use.
"""

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from typing import Final

import asyncpg
from uuid_utils.compat import uuid7

from janus_mail.accounts.account_mails import NOTICE_LASTS_S, tokens_reused
from janus_mail.accounts.own_account import scopes_of
from janus_mail.accounts.user_agents import in_words
from janus_mail.audit.actors import Other
from janus_mail.audit.record import record
from janus_mail.errors import Unauthorized
from janus_mail.models.states import ActorKind, Role
from janus_mail.notices.system_mail import queue_mail
from janus_mail.storage.database import Connection
from janus_mail.telemetry.boot_clock import boot_clock_s
from janus_mail.tokens import queries
from janus_mail.tokens.access_tokens import issue_access_token
from janus_mail.web.context import Context

_OCTETS: Final = 32
_LENGTH: Final = 43  # of them in URL-safe base64
_MOST_USER_AGENT: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A pair of tokens, and what they open: so many seconds, with these scopes, in this workspace."""

    access_token: str
    refresh_token: str
    expires_in_s: int
    scopes: tuple[str, ...]
    workspace_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """From where a program calls."""

    address: str
    user_agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Whose tokens, where, in which family."""

    user_id: uuid.UUID
    workspace_id: uuid.UUID
    role: Role
    family_id: uuid.UUID


async def begin_family(
    context: Context, connection: Connection, user_id: uuid.UUID, workspace_id: uuid.UUID | None, origin: Origin
) -> Issued | None:
    """The first pair of somebody who has just proved who they are, in this workspace, else in the first of theirs;
    none where they are in no such."""
    place = await connection.fetchrow(queries.PLACE_OF, user_id, workspace_id)
    if place is None:
        return None
    at = _Place(
        user_id=user_id, workspace_id=place["workspace_id"], role=Role(place["role"]), family_id=uuid7()
    )  # fmt: skip
    token = secrets.token_urlsafe(_OCTETS)
    lasts_s = context.settings.refresh_token_seconds
    await connection.execute(
        queries.BEGIN_FAMILY, uuid7(), at.family_id, user_id, at.workspace_id, _digest(token), lasts_s,
        origin.address, origin.user_agent[:_MOST_USER_AGENT],
    )  # fmt: skip
    return _issued(context, at, token, lasts_s)


async def exchange(context: Context, token: str, workspace_id: uuid.UUID | None, origin: Origin) -> Issued:
    """The next pair, in another workspace of the same person where one is named. Raises `Unauthorized`
    (`invalid_grant`) for what is unknown, used, expired or revoked, and for who may not sign in, all alike."""
    arrived_s = boot_clock_s()
    if len(token) != _LENGTH or not token.isascii():
        raise _invalid_grant()
    async with context.database.transaction() as connection:
        waited_s = boot_clock_s() - arrived_s
        row = await connection.fetchrow(queries.HOLD_REFRESH, _digest(token), workspace_id, waited_s)
        issued = None
        if row is not None and row["used"]:
            if not row["at_the_same_time"]:
                await _end_reused(context, connection, row, origin)
        elif row is not None and row["valid"]:
            issued = await _next(context, connection, row, origin)
    if issued is None:
        raise _invalid_grant()
    return issued


async def revoke_token(context: Context, token: str, origin: Origin) -> None:
    """End the family of a token; one that is unknown or over changes nothing (RFC 7009 section 2.2)."""
    if len(token) != _LENGTH or not token.isascii():
        return
    async with context.database.transaction() as connection:
        row = await connection.fetchrow(queries.HOLD_REFRESH, _digest(token), None, 0.0)
        if row is not None and await end_family(connection, row["user_id"], row["family_id"]):
            await record(
                connection, _person(row, origin), "tokens.revoked", "user", row["user_id"], workspace_id=None,
                name=row["email"],
            )  # fmt: skip


async def end_family(connection: Connection, user_id: uuid.UUID, family_id: uuid.UUID) -> bool:
    """From now on none of its tokens opens anything, access tokens included; whether one did."""
    return bool(await connection.fetch(queries.END_FAMILY, user_id, family_id))


async def _next(context: Context, connection: Connection, row: asyncpg.Record, origin: Origin) -> Issued:
    """The family keeps the instants of its sign-in and of its end."""
    place = _Place(
        user_id=row["user_id"], workspace_id=row["place_id"], role=Role(row["role"]), family_id=row["family_id"]
    )  # fmt: skip
    fresh = secrets.token_urlsafe(_OCTETS)
    await connection.execute(queries.MARK_USED, row["id"])
    await connection.execute(
        queries.NEXT_OF_FAMILY, row["id"], uuid7(), place.workspace_id, _digest(fresh), origin.address,
        origin.user_agent[:_MOST_USER_AGENT],
    )  # fmt: skip
    return _issued(context, place, fresh, row["left_s"])


async def _end_reused(context: Context, connection: Connection, row: asyncpg.Record, origin: Origin) -> None:
    """Whoever has it twice: the family ends, which is noted and told once."""
    if not await end_family(connection, row["user_id"], row["family_id"]):
        return
    await record(
        connection, _person(row, origin), "tokens.reused", "user", row["user_id"], workspace_id=None,
        name=row["email"], after={"program": in_words(row["user_agent"])},
    )  # fmt: skip
    mail = tokens_reused(context.settings, row["email"], in_words(row["user_agent"]), origin.address)
    await queue_mail(connection, context, mail, lasts_s=NOTICE_LASTS_S)


def _issued(context: Context, place: _Place, refresh_token: str, left_s: int) -> Issued:
    """No access token outlives its family."""
    lasts_s = min(context.settings.access_token_seconds, left_s)
    access_token = issue_access_token(
        context.settings.require_secret_keys(), user_id=place.user_id, workspace_id=place.workspace_id,
        family_id=place.family_id, lasts_s=lasts_s,
    )  # fmt: skip
    return Issued(
        access_token=access_token, refresh_token=refresh_token, expires_in_s=lasts_s,
        scopes=tuple(scopes_of(place.role)), workspace_id=place.workspace_id,
    )  # fmt: skip


def _person(row: asyncpg.Record, origin: Origin) -> Other:
    return Other(ActorKind.USER, row["email"], row["user_id"], origin.address)


def _invalid_grant() -> Unauthorized:
    return Unauthorized("This refresh token is not valid, or no longer: sign in again.", code="invalid_grant")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
