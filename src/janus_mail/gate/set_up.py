"""The first account of a fresh install: its administrator, made through a link that a command on the server prints."""

import logging
import uuid
from typing import Final

from janus_mail.audit.actors import Other
from janus_mail.audit.record import record
from janus_mail.errors import Conflict
from janus_mail.gate import queries
from janus_mail.gate.links import find_link, make_link, public_address, take_link
from janus_mail.gate.passwords import check_new_password, digest_password
from janus_mail.gate.registering import link_gone, make_account, read_email, read_name
from janus_mail.models.states import ActorKind, LinkPurpose, Role
from janus_mail.settings import Settings
from janus_mail.storage.database import Connection, Database
from janus_mail.web.context import Context

LASTS_S: Final = 86_400
_WORKSPACE: Final = "default"  # which every install has

_log = logging.getLogger(__name__)


async def is_set_up(connection: Connection) -> bool:
    """Whether somebody has an account; who has only begun to register has none."""
    found: bool = await connection.fetchval(queries.ANY_USER)
    return found


async def set_up_link(database: Database, settings: Settings) -> str:
    """A new one, which replaces the one before. Raises `Conflict` (`set_up_done`)."""
    async with database.transaction() as connection:
        if await is_set_up(connection):
            raise Conflict(
                "There is an account already. `janus users create EMAIL` makes further ones, and with --administrator "
                "one that administers this server.",
                code="set_up_done",
            )
        secret = await make_link(connection, LinkPurpose.SET_UP, user_id=None, email=None, lasts_s=LASTS_S)
    return public_address(settings, f"/set-up/{secret}")


async def say_set_up(context: Context) -> None:
    """In the log of a start, how the first account is made, where there is none. `janus dev` prints the link itself."""
    if context.settings.anonymous_workspace is not None:
        return
    async with context.database.transaction() as connection:
        if not await is_set_up(connection):
            _log.info("nobody has an account yet: `janus users set-up-link` prints the link that makes the first")


async def find_set_up(context: Context, secret: str) -> None:
    """Raises `NotFound` (`link_gone`) where it opens nothing."""
    async with context.database.transaction() as connection:
        if await find_link(connection, LinkPurpose.SET_UP, secret) is None or await is_set_up(connection):
            raise link_gone()


async def set_up(
    context: Context, secret: str, *, email: str, name: str, password: str, address: str
) -> uuid.UUID:  # fmt: skip
    """The administrator's account, confirmed, an owner of the workspace `default`.

    Raises `NotFound` (`link_gone`) and `InvalidInput`; the link is not used by these.
    """
    await find_set_up(context, secret)
    email, name = read_email(email), read_name(name)
    check_new_password(password, email=email, name=name)
    digest = await digest_password(password)
    async with context.database.transaction() as connection:
        # Of several who come with it at once the first holds it; the others then find it used.
        if await take_link(connection, LinkPurpose.SET_UP, secret) is None or await is_set_up(connection):
            raise link_gone()
        user_id = await make_account(
            connection, email=email, name=name, password_digest=digest, confirmed=True, administrator=True
        )
        actor = Other(ActorKind.USER, email, user_id, address)
        await record(
            connection, actor, "account.made", "user", user_id, workspace_id=None, name=email,
            after={"administrator": True},
        )  # fmt: skip
        workspace_id = await connection.fetchval(queries.JOIN_WORKSPACE, user_id, Role.OWNER, _WORKSPACE)
        if workspace_id is not None:
            await record(
                connection, actor, "member.added", "user", user_id, workspace_id=workspace_id, name=email,
                after={"role": Role.OWNER},
            )  # fmt: skip
    return user_id
