"""Inviting somebody: a link that is mailed, or where no mail is set up shown to whoever invites, this once.

A link that is shown proves nothing of the address: whoever has it may make an account in that name. So it is for
servers without mail, whose people trust who invites them; and it opens no account that is there already.
"""

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from uuid_utils.compat import uuid7

from janus_mail.accounts.callers import Caller
from janus_mail.audit.record import Actor, record
from janus_mail.errors import Conflict, Forbidden, NotFound, TooManyRequests
from janus_mail.gate.links import public_address
from janus_mail.gate.throttle import charge_account
from janus_mail.models.states import Role
from janus_mail.notices.system_mail import can_mail, queue_mail
from janus_mail.storage.database import Connection, Database
from janus_mail.web import idempotency
from janus_mail.web.context import Context
from janus_mail.web.idempotency import OnceOnly
from janus_mail.workspaces import queries_invitations as queries
from janus_mail.workspaces.invitation_mail import invitation_mail
from janus_mail.workspaces.members import hold_workspace, require_may_give
from janus_mail.workspaces.schemas import Invitation

LASTS_S: Final = 7 * 86_400
MAX_OPEN: Final = 200  # of a workspace, and of the server
_REST_S: Final = 60  # between two mails to the same address
_SECRET_OCTETS: Final = 32
_SECRET_LENGTH: Final = 43  # of them in URL-safe base64


@dataclass(frozen=True, slots=True)
class Invited:
    """What was made. `link` is there where no mail goes out, this once; null too where it was made before."""

    id: uuid.UUID
    link: str | None = field(repr=False)
    mailed: bool = False
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """An invitation as whoever opens its link sees it; `workspace_id` is null for a place on the server alone."""

    id: uuid.UUID
    email: str
    role: Role
    invited_by: str
    workspace_id: uuid.UUID | None
    workspace_name: str | None


async def invite(context: Context, caller: Caller, email: str, role: Role, once: OnceOnly | None = None) -> Invited:
    """Invite an address into the caller's workspace; what was open for it before is replaced.

    Raises Conflict (`already_a_member`, `too_many_invitations`), Forbidden (owners, `registration_closed`),
    TooManyRequests, and Conflict for the key.
    """
    async with context.database.transaction() as connection:
        kept = await idempotency.begin(connection, caller.workspace_id, once) if once else None
        if kept is not None and kept.resource_id is not None:
            return Invited(kept.resource_id, None, mailed=can_mail(context.settings), replayed=True)
        await hold_workspace(connection, caller)
        require_may_give(caller, role)
        account = await connection.fetchrow(queries.ACCOUNT_OF, caller.workspace_id, email)
        if account is not None and account["member"]:
            raise Conflict(f"{email} is in this workspace already.", code="already_a_member")
        _refuse_closed(context, email, known=account is not None)
        made = await _make(
            context, connection, caller, email, role, workspace=(caller.workspace_id, caller.workspace_name),
            invited_by=_in_words(caller),
        )  # fmt: skip
        if once:
            await idempotency.keep(connection, caller.workspace_id, once, resource_id=made.id)
    return made


async def invite_to_server(context: Context, administrator: Actor, email: str) -> Invited:
    """To make an account, and workspaces of their own. Raises as `invite`, and Conflict where there is an account."""
    async with context.database.transaction() as connection:
        await connection.execute(queries.LOCK_SERVER)
        if await connection.fetchrow(queries.ACCOUNT_OF, None, email) is not None:
            raise Conflict(f"{email} has an account already.", code="already_a_member")
        _refuse_closed(context, email, known=False)
        return await _make(
            context, connection, administrator, email, Role.OWNER, workspace=None, invited_by=administrator.label
        )


async def invite_again(context: Context, caller: Caller, invitation_id: uuid.UUID) -> Invited:
    """With a new link and another week; whoever asks is who invites now. Raises NotFound, and as `invite`."""
    row = await context.database.pool.fetchrow(queries.INVITATION, caller.workspace_id, invitation_id)
    if row is None:
        raise _no_such_invitation()
    return await invite(context, caller, row["email"], Role(row["role"]))


async def list_invitations(
    database: Database, workspace_id: uuid.UUID, *, after: uuid.UUID | None = None, limit: int | None = None
) -> Sequence[Invitation]:
    """Those that stand, newest first."""
    rows = await database.pool.fetch(queries.INVITATIONS, workspace_id, after, limit)
    return [Invitation.model_validate(dict(row)) for row in rows]


async def read_invitation(database: Database, workspace_id: uuid.UUID, invitation_id: uuid.UUID) -> Invitation:
    """However it stands by now. Raises NotFound."""
    row = await database.pool.fetchrow(queries.INVITATION_MADE, workspace_id, invitation_id)
    if row is None:
        raise _no_such_invitation()
    return Invitation.model_validate(dict(row))


async def withdraw(context: Context, caller: Caller, invitation_id: uuid.UUID) -> Invitation:
    """Its link opens nothing from now on. Raises NotFound."""
    async with context.database.transaction() as connection:
        await hold_workspace(connection, caller)
        row = await connection.fetchrow(queries.INVITATION, caller.workspace_id, invitation_id)
        if row is None:
            raise _no_such_invitation()
        await connection.execute(queries.REVOKE_INVITATION, caller.workspace_id, invitation_id)
        await record(
            connection, caller, "invitation.withdrawn", "invitation", invitation_id,
            workspace_id=caller.workspace_id, name=row["email"], before={"role": row["role"]},
        )  # fmt: skip
    return Invitation.model_validate(dict(row))


async def find_offer(database: Database, secret: str) -> Offer | None:
    """What a link's secret opens; none if it is unknown, taken, withdrawn or too old."""
    if len(secret) != _SECRET_LENGTH or not secret.isascii():
        return None
    row = await database.pool.fetchrow(queries.INVITATION_SHOWN, _digest(secret))
    if row is None:
        return None
    return Offer(
        row["id"], row["email"], Role(row["role"]), row["invited_by"], row["workspace_id"], row["workspace_name"]
    )


async def _make(
    context: Context,
    connection: Connection,
    actor: Actor,
    email: str,
    role: Role,
    *,
    workspace: tuple[uuid.UUID, str] | None,
    invited_by: str,
) -> Invited:
    workspace_id = workspace[0] if workspace else None
    mailed = can_mail(context.settings)
    await _refuse_too_many(context, connection, workspace_id, email, mailed=mailed)
    await connection.execute(queries.REPLACE_INVITATION, workspace_id, email)
    secret, invitation_id = secrets.token_urlsafe(_SECRET_OCTETS), uuid7()
    await connection.fetchrow(
        queries.INSERT_INVITATION, invitation_id, workspace_id, email, role, _digest(secret), invited_by, LASTS_S
    )
    await record(
        connection, actor, "invitation.made", "invitation", invitation_id, workspace_id=workspace_id, name=email,
        after={"role": role, "link_shown": not mailed},
    )  # fmt: skip
    link = public_address(context.settings, f"/invitations/{secret}")
    if not mailed:
        return Invited(invitation_id, link)
    mail = invitation_mail(email, link, invited_by, workspace[1] if workspace else None)
    await queue_mail(connection, context, mail, lasts_s=LASTS_S)
    return Invited(invitation_id, None, mailed=True)


async def _refuse_too_many(
    context: Context, connection: Connection, workspace_id: uuid.UUID | None, email: str, *, mailed: bool
) -> None:
    """Raises Conflict (`too_many_invitations`); TooManyRequests, so that nobody is pestered through us, from one
    workspace or from many."""
    [standing] = await connection.fetch(queries.OPEN_INVITATIONS, workspace_id, email, _REST_S)
    if standing["many"] >= MAX_OPEN:
        message = f"Up to {MAX_OPEN} invitations stand open at a time: withdraw some."
        raise Conflict(message, code="too_many_invitations")
    if mailed and (standing["rests_s"] or 0) > 0:
        message = f"{email} was invited a moment ago. Wait a minute before the next mail."
        raise TooManyRequests(message, retry_after_s=standing["rests_s"])
    if mailed:
        await charge_account(context, "mail", email)


def _refuse_closed(context: Context, email: str, *, known: bool) -> None:
    if context.settings.registration == "closed" and not known:
        raise Forbidden(
            f"{email} has no account, and this server makes none: whoever runs it makes one with `janus users create`.",
            code="registration_closed",
        )


def _in_words(caller: Caller) -> str:
    """For the one who is invited."""
    if caller.person is not None:
        return f"{caller.person.name} ({caller.person.email})" if caller.person.name else caller.person.email
    return caller.label if caller.key_id else "whoever runs this server"


def _no_such_invitation() -> NotFound:
    return NotFound("There is no such invitation: it was taken, withdrawn, or is too old.")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
