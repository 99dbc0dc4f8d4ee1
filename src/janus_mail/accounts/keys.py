"""API keys: `janus_<prefix>_<secret>`, found by the prefix, proven by the digest; the key itself is never stored."""

import hashlib
import hmac
import re
import secrets
import string
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import asyncpg
from uuid_utils.compat import uuid7

from janus_mail.accounts import queries
from janus_mail.accounts.permissions import ALL_SCOPES
from janus_mail.errors import InvalidInput, NotFound
from janus_mail.storage.coalesce import Coalescer, PerDatabase
from janus_mail.storage.database import Database

_LETTERS = string.ascii_letters + string.digits
_PREFIX_LENGTH = 10
_SECRET_LENGTH = 43  # of 62 letters: 256 bits
_MAX_NAME_LENGTH = 100
_KEY = re.compile(rf"janus_([a-zA-Z0-9]{{{_PREFIX_LENGTH}}})_[a-zA-Z0-9]{{{_SECRET_LENGTH}}}")


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


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be shown of a key."""

    id: uuid.UUID
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


async def create_key(
    database: Database,
    *,
    workspace: str,
    name: str,
    scopes: Sequence[str] = ALL_SCOPES,
    expires_at: datetime | None = None,
) -> str:
    """Make a key and return it, this once.

    Raises `InvalidInput` for an unknown scope or a name that cannot be shown, `NotFound` for the workspace.
    """
    unknown = [scope for scope in scopes if scope not in ALL_SCOPES]
    if unknown or not scopes:
        raise InvalidInput(f"Unknown scopes: {', '.join(unknown) or 'none given'}. There are {', '.join(ALL_SCOPES)}.")
    if not (name.strip() and name.isprintable() and len(name) <= _MAX_NAME_LENGTH):
        raise InvalidInput(f"A key's name is 1 to {_MAX_NAME_LENGTH} printable characters.")
    prefix = _random(_PREFIX_LENGTH)
    key = f"janus_{prefix}_{_random(_SECRET_LENGTH)}"
    made = await database.pool.fetchval(
        queries.INSERT_KEY, uuid7(), workspace, name, prefix, _digest(key), list(scopes), expires_at
    )
    if made is None:
        raise NotFound(f"There is no workspace {workspace!r}.")
    return key


async def prove_key(database: Database, key: str) -> ProvenKey | None:
    """Whose key this is; none if it is unknown, expired or revoked. The digest is compared in constant time."""
    match = _KEY.fullmatch(key)
    row = await _keys(database)(match[1]) if match else None
    if row is None or not hmac.compare_digest(row["digest"], _digest(key)) or not row["valid"]:
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


async def list_keys(database: Database, *, workspace: str) -> list[KeyInfo]:
    """The workspace's keys, newest first, revoked ones too."""
    rows = await database.pool.fetch(queries.LIST_KEYS, workspace)
    return [KeyInfo(**{**dict(row), "scopes": tuple(row["scopes"])}) for row in rows]


async def revoke_key(database: Database, *, workspace: str, prefix: str) -> None:
    """From now on the key is refused; revoking twice changes nothing. Raises `NotFound`."""
    if await database.pool.fetchval(queries.REVOKE_KEY, workspace, prefix) is None:
        raise NotFound(f"Workspace {workspace!r} has no key {prefix!r}.")


async def _read_keys(database: Database, prefixes: Sequence[str]) -> list[asyncpg.Record | None]:
    found = {row["prefix"]: row for row in await database.pool.fetch(queries.KEYS_BY_PREFIX, list(set(prefixes)))}
    return [found.get(prefix) for prefix in prefixes]


# The keys of requests that come at the same moment are looked up together.
_keys: PerDatabase[Coalescer[str, asyncpg.Record | None]] = PerDatabase(
    lambda database: Coalescer(partial(_read_keys, database), lanes=1, keep=lambda _: False)
)


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
