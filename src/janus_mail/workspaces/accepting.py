"""Taking an invitation: as somebody who is signed in, or with an account that is made for it. It works once."""

import uuid
from dataclasses import dataclass

from janus_mail.audit.actors import Other
from janus_mail.audit.record import Actor, record
from janus_mail.errors import Conflict, Forbidden, NotFound
from janus_mail.gate.passwords import check_new_password, digest_password
from janus_mail.gate.registering import make_account, read_name
from janus_mail.gate.throttle import charge_address
from janus_mail.models.states import ActorKind
from janus_mail.storage.database import Connection
from janus_mail.web.context import Context
from janus_mail.workspaces import queries
from janus_mail.workspaces import queries_invitations as invitation_queries
from janus_mail.workspaces.invitations import Offer, find_offer
from janus_mail.workspaces.places import Somebody, hold_person


@dataclass(frozen=True, slots=True)
class Account:
    """What somebody without an account chooses for it."""

    name: str
    password: str


async def has_account(context: Context, offer: Offer) -> bool:
    """Whether the invited address has one, so that whoever comes signs in first."""
    found = await context.database.pool.fetchrow(invitation_queries.ACCOUNT_OF, offer.workspace_id, offer.email)
    return found is not None


async def is_member(context: Context, offer: Offer, user_id: uuid.UUID) -> bool:
    """Whether this person has what is offered."""
    return await context.database.pool.fetchval(queries.ROLE, offer.workspace_id, user_id) is not None


async def join(context: Context, somebody: Somebody, secret: str) -> uuid.UUID:
    """Into the workspace, as the person who is signed in, whatever their address; its id.

    Raises NotFound (`invitation_gone`), Conflict (`already_a_member`, `too_many_workspaces`; `has_account` where the
    invitation is to make an account), Unauthorized where their account was erased meanwhile.
    """
    offer = await _offer(context, secret)
    if offer.workspace_id is None:
        raise Conflict("You have an account already: this invitation makes one.", code="has_account")
    user_id = somebody.person.user_id
    async with context.database.transaction() as connection:
        await _hold(connection, offer)
        await hold_person(connection, user_id)
        await _enter(connection, somebody, offer, user_id, offer.workspace_id)
    return offer.workspace_id


async def join_with_new_account(
    context: Context, wanted: Account, secret: str, *, address: str
) -> tuple[uuid.UUID, uuid.UUID | None]:
    """Makes the account, confirmed, and joins; the user's id and the workspace's. `address` is where they come from.

    Raises NotFound (`invitation_gone`), InvalidInput (name, password), Conflict (`email_taken`), Forbidden
    (`registration_closed`), TooManyRequests.
    """
    offer = await _offer(context, secret)
    if context.settings.registration == "closed":
        raise Forbidden("This server makes no accounts: ask whoever runs it for one.", code="registration_closed")
    name = read_name(wanted.name)
    check_new_password(wanted.password, email=offer.email, name=name)
    await charge_address(context, "register", address)
    digest = await digest_password(wanted.password)
    async with context.database.transaction() as connection:
        await _hold(connection, offer)
        user_id = await make_account(
            connection, email=offer.email, name=name, password_digest=digest, confirmed=True
        )  # fmt: skip
        actor = Other(ActorKind.USER, offer.email, user_id, address)
        await record(connection, actor, "account.registered", "user", user_id, workspace_id=None, name=offer.email)
        if offer.workspace_id is None:
            await _take(connection, offer)
        else:
            await _enter(connection, actor, offer, user_id, offer.workspace_id)
    return user_id, offer.workspace_id


async def _offer(context: Context, secret: str) -> Offer:
    offer = await find_offer(context.database, secret)
    if offer is None:
        raise invitation_gone()
    return offer


async def _hold(connection: Connection, offer: Offer) -> None:
    if offer.workspace_id is None:
        await connection.execute(invitation_queries.LOCK_SERVER)
    else:
        await connection.execute(queries.LOCK_WORKSPACE, offer.workspace_id)


async def _enter(
    connection: Connection, actor: Actor, offer: Offer, user_id: uuid.UUID, workspace_id: uuid.UUID
) -> None:
    await _take(connection, offer)
    if await connection.fetchval(queries.INSERT_MEMBER, workspace_id, user_id, offer.role) is None:
        raise Conflict("You are in this workspace already.", code="already_a_member")
    await record(
        connection, actor, "member.joined", "member", user_id, workspace_id=workspace_id, name=actor.label,
        after={"role": offer.role, "invited_as": offer.email, "invited_by": offer.invited_by},
    )  # fmt: skip


async def _take(connection: Connection, offer: Offer) -> None:
    """Of several who come at once, one gets it."""
    if await connection.fetchval(invitation_queries.ACCEPT_INVITATION, offer.id) is None:
        raise invitation_gone()


def invitation_gone() -> NotFound:
    """Whyever: used, withdrawn, too old, never there, or whoever made it may not invite any more."""
    return NotFound(
        "This invitation was used already, was withdrawn, or is too old. Ask for a new one.", code="invitation_gone"
    )
