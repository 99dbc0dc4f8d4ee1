"""Deleting one's own account.

No workspace loses its last owner by it: as long as others are in one, somebody else must be made its owner first. One
in which somebody is alone is refused too, rather than deleted along with them: it may hold mail that waits, and keys
of programs that send, so it is deleted by itself, on its own page, where its name is typed. A workspace that settings
call by its handle, `default`, is the server's; it cannot be deleted and stays.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from janus_mail.accounts import account_mails as mails
from janus_mail.accounts import queries_account as queries
from janus_mail.accounts.account import Me, prove_me_twice
from janus_mail.accounts.erase_person import erase_person
from janus_mail.errors import Conflict
from janus_mail.notices.system_mail import queue_mail
from janus_mail.storage.database import Connection
from janus_mail.web.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindrances:
    """What stands in the way: names of workspaces, and whether the server would be without an administrator."""

    owned: Sequence[str]  # others are in them and nobody else owns them
    alone: Sequence[str]
    last_administrator: bool

    def __bool__(self) -> bool:
        return bool(self.owned or self.alone or self.last_administrator)


async def hindrances(connection: Connection, me: Me) -> Hindrances:
    owned, alone = await left_to_nobody(connection, me.user_id)
    return Hindrances(
        owned=owned,
        alone=alone,
        last_administrator=me.person.administrator
        and not await connection.fetchval(queries.ANOTHER_ADMINISTRATOR, me.user_id),
    )


async def left_to_nobody(connection: Connection, user_id: uuid.UUID) -> tuple[list[str], list[str]]:
    """The names of the workspaces without an owner but for them: those where others are, and those where nobody is."""
    rows = await connection.fetch(queries.THEIR_WORKSPACES, user_id)
    return (
        [row["name"] for row in rows if row["last_owner"] and not row["alone"]],
        [row["name"] for row in rows if row["alone"] and not row["servers"]],
    )


async def delete_account(context: Context, me: Me, current: str, code: str) -> None:
    """Raises `InvalidInput` (`wrong_password`, `wrong_code`), `TooManyRequests`, and `Conflict` where a workspace
    (`last_owner`, `alone_in_workspace`) or the server (`last_administrator`) would be left to nobody."""
    await prove_me_twice(context, me, current, code)
    async with context.database.transaction() as connection:
        await connection.fetch(queries.HOLD_ADMINISTRATORS)
        await connection.fetch(queries.HOLD_WORKSPACES, me.user_id)
        _refuse(await hindrances(connection, me))
        await queue_mail(connection, context, mails.account_deleted(me.person.email), lasts_s=mails.NOTICE_LASTS_S)
        named_in = await erase_person(connection, me.actor, me.user_id)
    await context.list_cache.renew(*named_in)


def _refuse(found: Hindrances) -> None:
    if found.last_administrator:
        raise Conflict(
            "You are the only administrator of this server. Make somebody else one first.", code="last_administrator"
        )
    if found.owned:
        raise Conflict(
            f"You are the only owner of {_listed(found.owned)}, and others are there. Make one of them an owner first.",
            code="last_owner",
        )
    if found.alone:
        raise Conflict(
            f"You are alone in {_listed(found.alone)}, which nobody could reach any more. Delete it first, in its "
            "settings.",
            code="alone_in_workspace",
        )  # fmt: skip


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"“{name}”" for name in names)
