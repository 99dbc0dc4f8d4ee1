"""Signing in with email and password, without telling whether there is such an account.

Unknown, wrong, unconfirmed, disabled and erased take the same time and are answered in the same words.

Tries are counted before the password is looked at, wrong and right ones alike: from one address, for one account from
one address, and for one account from anywhere. Where only the last is used up, strangers may have done it: a right
password still opens then from an address from which this person has begun a session before, and a wrong one is answered
as from everywhere. So nobody can be locked out of their account from elsewhere, and who guesses learns nothing by it.
"""

import uuid
from dataclasses import dataclass

import asyncpg
from uuid_utils.compat import uuid7

from janus_mail.accounts.callers import Person
from janus_mail.accounts.sessions import open_session
from janus_mail.audit.actors import Other
from janus_mail.audit.record import record
from janus_mail.content.addresses import InvalidAddress, parse_mailbox
from janus_mail.content.characters import UNFIT_IN_NAME
from janus_mail.errors import TooManyRequests, Unauthorized
from janus_mail.gate import queries
from janus_mail.gate.passwords import check_password
from janus_mail.gate.throttle import charge_account, charge_address
from janus_mail.models.states import ActorKind
from janus_mail.storage.database import Connection
from janus_mail.web.client_address import counted_as, read_address
from janus_mail.web.context import Context


@dataclass(frozen=True, slots=True)
class Proven:
    """Who has shown the right password; with `needs_code` the second factor is still to come."""

    user_id: uuid.UUID
    needs_code: bool
    password_digest: str  # now in force: what is bound to it ends with it


@dataclass(frozen=True, slots=True)
class Known:
    """Who may sign in, and the digest of their password."""

    id: uuid.UUID
    email: str
    password_digest: str | None


async def prove_password(context: Context, email: str, password: str, *, address: str) -> Proven:
    """Raises `Unauthorized` (`invalid_credentials`), `TooManyRequests`. A refusal is in the audit log."""
    email = _as_stored(email)
    await charge_address(context, "sign-in", address)
    await charge_account(context, "sign-in", email, address=address)
    throttled = await _throttled(context, email)
    user = await _user(context, email)
    checked = await check_password(password, user["password_digest"] if user is not None else None)
    user_id = user["id"] if user is not None else None
    async with context.database.transaction() as connection:
        known = await _is_known(connection, user_id or uuid7(), address)
        fits = user is not None and checked.fits and user["may_sign_in"] and (throttled is None or known)
        if not fits or user is None:
            # Also where there is no such account, so that both take as long; what was typed may then be a password.
            label = user["email"] if user is not None else "somebody"
            await record(
                connection, Other(ActorKind.USER, label, None, address), "session.refused", "user", user_id,
                workspace_id=None, name=label if user is not None else None,
            )  # fmt: skip
        elif checked.renewed is not None:
            await connection.execute(queries.RENEW_DIGEST, user_id, user["password_digest"], checked.renewed)
    if not fits or user is None:
        raise throttled or _do_not_fit()
    return Proven(user["id"], user["needs_code"], checked.renewed or user["password_digest"])


async def begin_session(
    context: Context,
    connection: Connection,
    user_id: uuid.UUID,
    *,
    address: str,
    user_agent: str,
    password_digest: str | None = None,
) -> str:
    """For who has proved who they are, a second factor included: what the cookie holds, this once.

    `password_digest` is that of the password that was shown, where one was. Raises `Unauthorized`
    (`invalid_credentials`) where it is no longer in force: somebody may have just set another to keep this one out.
    """
    user = await connection.fetchrow(queries.USER_LOCKED, user_id)
    changed = user is not None and password_digest not in (None, user["password_digest"])
    if user is None or not user["may_sign_in"] or changed:
        raise _do_not_fit()
    token = await open_session(
        connection, user_id, address=address, user_agent=user_agent, lasts_s=context.settings.session_seconds
    )
    await record(
        connection, Other(ActorKind.USER, user["email"], user_id, address), "session.begun", "user", user_id,
        workspace_id=None, name=user["email"],
    )  # fmt: skip
    return token


async def who_may_sign_in(context: Context, user_id: uuid.UUID) -> Known | None:
    """Somebody who has shown their password a moment ago, as they are now; none if they may not come in any more."""
    row = await context.database.pool.fetchrow(queries.USER, user_id)
    if row is None or not row["may_sign_in"]:
        return None
    return Known(row["id"], row["email"], row["password_digest"])


async def note_refused_code(context: Context, user: Known, *, address: str) -> None:
    """Somebody knew the password, and no code: that is worth knowing."""
    async with context.database.transaction() as connection:
        await record(
            connection, Other(ActorKind.USER, user.email, None, address), "session.refused", "user", user.id,
            workspace_id=None, name=user.email, after={"step": "code"},
        )  # fmt: skip


async def note_ended(connection: Connection, person: Person, *, address: str) -> None:
    """Signed out."""
    await record(
        connection, Other(ActorKind.USER, person.email, person.user_id, address), "session.ended", "user",
        person.user_id, workspace_id=None, name=person.email,
    )  # fmt: skip


def _do_not_fit() -> Unauthorized:
    return Unauthorized("This email and password do not fit together.", code="invalid_credentials")


async def _throttled(context: Context, email: str) -> TooManyRequests | None:
    try:
        await charge_account(context, "sign-in", email)
    except TooManyRequests as error:
        return error
    return None


async def _is_known(connection: Connection, user_id: uuid.UUID, address: str) -> bool:
    """Whether this person has signed in from there before; an IPv6 network counts as one address, as for limits."""
    here = counted_as(address)
    rows = await connection.fetch(queries.ADDRESSES_OF, user_id)
    return read_address(address) is not None and any(counted_as(row["address"]) == here for row in rows)


async def _user(context: Context, email: str) -> asyncpg.Record | None:
    row: asyncpg.Record | None = None
    if not UNFIT_IN_NAME.search(email):  # else nobody's, and PostgreSQL may not take it
        row = await context.database.pool.fetchrow(queries.USER_BY_EMAIL, email)
    return row


def _as_stored(email: str) -> str:
    """With its domain as mail has it; what is no address stays as it is."""
    try:
        return parse_mailbox(email.strip()).address
    except InvalidAddress:
        return email.strip()
