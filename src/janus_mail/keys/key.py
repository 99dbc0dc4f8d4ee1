"""API keys: `janus_<prefix>_<secret>`, found by the prefix, proven by the digest; the key itself is never stored."""

import hmac
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

import asyncpg

from janus_mail.accounts.permissions import ALL_SCOPES
from janus_mail.audit.actors import COMMAND
from janus_mail.errors import InvalidInput, NotFound
from janus_mail.keys import changes as key_changes
from janus_mail.keys import queries
from janus_mail.keys.changes import PREFIX_LENGTH, SECRET_LENGTH, NewKey, digest_of
from janus_mail.keys.schemas import MAX_NAME, ApiKey
from janus_mail.storage.coalesce import Coalescer, PerDatabase
from janus_mail.storage.database import Connection, Database

_KEY: Final = re.compile(rf"janus_([a-zA-Z0-9]{{{PREFIX_LENGTH}}})_[a-zA-Z0-9]{{{SECRET_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class ProvenKey:
    """A key that was shown and is valid. `stale`: `touch` is due."""

    id: uuid.UUID
    name: str
    scopes: frozenset[str]
    workspace_id: uuid.UUID
    workspace_name: str
    rate_limit: int | None
    stale: bool


async def create_key(
    database: Database,
    *,
    workspace: str,
    name: str,
    scopes: Sequence[str] = ALL_SCOPES,
    expires_at: datetime | None = None,
    rate_limit: int | None = None,
) -> str:
    """Make a key for a command and return it, this once. `workspace` is a handle or an id, as in all of these.

    Raises `InvalidInput` for an unknown scope or a name that cannot be shown, `NotFound` for the workspace, `Conflict`.
    """
    unknown = [scope for scope in scopes if scope not in ALL_SCOPES]
    if unknown or not scopes:
        raise InvalidInput(f"Unknown scopes: {', '.join(unknown) or 'none given'}. There are {', '.join(ALL_SCOPES)}.")
    if not (name.strip() and name.isprintable() and len(name) <= MAX_NAME):
        raise InvalidInput(f"A key's name is 1 to {MAX_NAME} printable characters.")
    new = NewKey(name=name, scopes=scopes, expires_at=expires_at, rate_limit=rate_limit)
    async with database.transaction() as connection:
        made = await key_changes.make_key(connection, COMMAND, await _called(connection, workspace), new)
    return str(made.secret)


async def list_keys(database: Database, *, workspace: str) -> list[ApiKey]:
    """Newest first; those that are over for some days more. None where there is no such workspace."""
    workspace_id = await database.pool.fetchval(queries.WORKSPACE_CALLED, workspace)
    return [] if workspace_id is None else await key_changes.list_keys_of(database, workspace_id)


async def revoke_key(database: Database, *, workspace: str, prefix: str) -> None:
    """From now on the key is refused; revoking twice changes nothing. Raises `NotFound`."""
    async with database.transaction() as connection:
        workspace_id, key_id = await _named(connection, workspace, prefix)
        await key_changes.revoke(connection, COMMAND, workspace_id, key_id)


async def rotate_key(database: Database, *, workspace: str, prefix: str, overlap_hours: int) -> str:
    """Its successor, this once. Raises `NotFound`, `Conflict`."""
    async with database.transaction() as connection:
        workspace_id, key_id = await _named(connection, workspace, prefix)
        made = await key_changes.rotate(connection, COMMAND, workspace_id, key_id, overlap_hours)
    return str(made.secret)


async def prove_key(database: Database, key: str) -> ProvenKey | None:
    """Whose key this is; none if it is unknown, expired or revoked. The digest is compared in constant time."""
    match = _KEY.fullmatch(key)
    row = await _keys(database)(match[1]) if match else None
    if row is None or not hmac.compare_digest(row["digest"], digest_of(key)) or not row["valid"]:
        return None
    return ProvenKey(
        id=row["id"],
        name=row["name"],
        scopes=frozenset(row["scopes"]),
        workspace_id=row["workspace_id"],
        workspace_name=row["workspace_name"],
        rate_limit=row["rate_limit"],
        stale=row["stale"],
    )


async def touch(database: Database, key: ProvenKey) -> None:
    """Note that the key was used, at most once a minute."""
    await database.pool.execute(queries.TOUCH_KEY, key.workspace_id, key.id)


async def _called(connection: Connection, workspace: str) -> uuid.UUID:
    workspace_id: uuid.UUID | None = await connection.fetchval(queries.WORKSPACE_CALLED, workspace)
    if workspace_id is None:
        raise NotFound(f"There is no workspace {workspace!r}.")
    return workspace_id


async def _named(connection: Connection, workspace: str, prefix: str) -> tuple[uuid.UUID, uuid.UUID]:
    workspace_id = await _called(connection, workspace)
    key_id: uuid.UUID | None = await connection.fetchval(queries.KEY_CALLED, workspace_id, prefix)
    if key_id is None:
        raise NotFound(f"Workspace {workspace!r} has no key {prefix!r}.")
    return workspace_id, key_id


async def _read_keys(database: Database, prefixes: Sequence[str]) -> list[asyncpg.Record | None]:
    found = {row["prefix"]: row for row in await database.pool.fetch(queries.KEYS_BY_PREFIX, list(set(prefixes)))}
    return [found.get(prefix) for prefix in prefixes]


# The keys of requests that come at the same moment are looked up together.
_keys: PerDatabase[Coalescer[str, asyncpg.Record | None]] = PerDatabase(
    lambda database: Coalescer(partial(_read_keys, database), lanes=1, keep=lambda _: False)
)
