"""Sessions of browsers: a cookie with 256 random bits, of which only the digest is stored."""

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from typing import Final

from uuid_utils.compat import uuid7

from janus_mail.accounts.callers import Caller, Person
from janus_mail.accounts.queries import INSERT_SESSION, PROVE_SESSION, REVOKE_SESSION, TOUCH_SESSION
from janus_mail.models.states import ActorKind, Role
from janus_mail.storage.database import Connection, Database

_TOKEN_OCTETS: Final = 32
_TOKEN_LENGTH: Final = 43  # of them in URL-safe base64
_MOST_USER_AGENT: Final = 300


@dataclass(frozen=True, slots=True)
class ProvenSession:
    """A session that is in force. `caller` is null where the person is in no workspace."""

    id: uuid.UUID
    person: Person
    caller: Caller | None
    stale: bool  # `touch_session` is due


async def open_session(
    connection: Connection, user_id: uuid.UUID, *, address: str, user_agent: str, lasts_s: int
) -> str:
    """Begin one for a person who has just proved who they are; what its cookie holds, this once."""
    token = secrets.token_urlsafe(_TOKEN_OCTETS)
    await connection.execute(
        INSERT_SESSION, uuid7(), user_id, _digest(token), address, user_agent[:_MOST_USER_AGENT], lasts_s
    )
    return token


async def prove_session(database: Database, token: str, *, address: str) -> ProvenSession | None:
    """Whose it is, with their place in the workspace it shows; none if it is unknown, over or revoked, or its person
    may not sign in any more."""
    if len(token) != _TOKEN_LENGTH or not token.isascii():
        return None
    row = await database.pool.fetchrow(PROVE_SESSION, _digest(token))
    if row is None:
        return None
    person = Person(
        user_id=row["user_id"], email=row["email"], name=row["name"], administrator=row["administrator"]
    )  # fmt: skip
    caller = None
    if row["workspace_id"] is not None:
        caller = Caller(
            workspace_id=row["workspace_id"], workspace_name=row["workspace_name"], kind=ActorKind.USER,
            label=person.email, address=address, role=Role(row["role"]), person=person,
        )  # fmt: skip
    return ProvenSession(row["id"], person, caller, row["stale"])


async def touch_session(database: Database, session_id: uuid.UUID) -> None:
    """Note that it was used, at most once a minute."""
    await database.pool.execute(TOUCH_SESSION, session_id)


async def close_session(connection: Connection, user_id: uuid.UUID, session_id: uuid.UUID) -> bool:
    """From now on it opens nothing; whether it was theirs and open."""
    return await connection.fetchval(REVOKE_SESSION, user_id, session_id) is not None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
