"""Where somebody is signed in: browsers, and programs that hold tokens of theirs. Each can be ended."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from janus_mail.accounts import queries_account as queries
from janus_mail.accounts.account import Me
from janus_mail.accounts.sessions import close_session
from janus_mail.accounts.user_agents import in_words
from janus_mail.audit.record import record
from janus_mail.errors import NotFound
from janus_mail.storage.database import Database
from janus_mail.tokens.refresh_tokens import end_family


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A browser, or a program with its workspace: what it calls itself in words, and from where it came."""

    id: uuid.UUID
    what: str
    address: str
    since: datetime
    seen_at: datetime
    this_one: bool = False
    workspace_name: str = ""


async def list_sessions(database: Database, me: Me) -> list[Place]:
    rows = await database.pool.fetch(queries.LIST_SESSIONS, me.user_id)
    return [
        Place(
            id=row["id"], what=in_words(row["user_agent"]), address=row["address"], since=row["created_at"],
            seen_at=row["seen_at"], this_one=row["id"] == me.session_id,
        )
        for row in rows
    ]  # fmt: skip


async def list_programs(database: Database, me: Me) -> list[Place]:
    rows = await database.pool.fetch(queries.LIST_PROGRAMS, me.user_id)
    return [
        Place(
            id=row["family_id"], what=in_words(row["user_agent"]), address=row["address"], since=row["begun_at"],
            seen_at=row["seen_at"], workspace_name=row["workspace_name"],
        )
        for row in rows
    ]  # fmt: skip


async def end_session(database: Database, me: Me, session_id: uuid.UUID) -> None:
    """Raises `NotFound` for one that is over or somebody else's."""
    async with database.transaction() as connection:
        if not await close_session(connection, me.user_id, session_id):
            raise NotFound("There is no such session, or it is over.")
        await record(
            connection, me.actor, "session.revoked", "session", session_id, workspace_id=None, name=me.person.email
        )  # fmt: skip


async def end_other_sessions(database: Database, me: Me) -> int:
    """All but this one; how many there were."""
    async with database.transaction() as connection:
        ended = await connection.fetch(queries.END_OTHER_SESSIONS, me.user_id, me.session_id)
        for row in ended:
            await record(
                connection, me.actor, "session.revoked", "session", row["id"], workspace_id=None, name=me.person.email
            )  # fmt: skip
    return len(ended)


async def end_program(database: Database, me: Me, family_id: uuid.UUID) -> None:
    """Raises `NotFound`."""
    async with database.transaction() as connection:
        if not await end_family(connection, me.user_id, family_id):
            raise NotFound("There is no such program, or it was signed out.")
        await record(
            connection, me.actor, "tokens.revoked", "user", me.user_id, workspace_id=None, name=me.person.email
        )  # fmt: skip
