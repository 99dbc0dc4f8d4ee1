"""Making, changing, revoking and rotating the API keys of a workspace, each written down."""

import hashlib
import secrets
import string
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from uuid_utils.compat import uuid7

from janus_mail.accounts.callers import Caller
from janus_mail.accounts.permissions import scopes_may
from janus_mail.audit.record import Actor, record
from janus_mail.errors import Conflict, Detail, Forbidden, InvalidInput, NotFound
from janus_mail.keys import queries
from janus_mail.keys.schemas import MAX_DAYS, ApiKey, ApiKeyCreate, ApiKeyPatch
from janus_mail.storage.database import Connection, Database
from janus_mail.web import idempotency
from janus_mail.web.context import Context
from janus_mail.web.idempotency import OnceOnly

PREFIX_LENGTH: Final = 10
SECRET_LENGTH: Final = 43  # of 62 letters: 256 bits
MAX_KEYS: Final = 200  # of a workspace, that open something
SHOWN_DAYS: Final = 30  # after it ended
_LETTERS: Final = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Made:
    """A new key, and what it is, this once; null where the same request had been answered before."""

    id: uuid.UUID
    secret: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """What a key is made of."""

    name: str
    scopes: Sequence[str]
    expires_at: datetime | None = None
    rate_limit: int | None = None


async def accept_key(context: Context, caller: Caller, wanted: ApiKeyCreate, once: OnceOnly | None = None) -> Made:
    """Raises InvalidInput (expiry), Forbidden (`insufficient_scope`), Conflict (`too_many_keys`, and for `once`)."""
    new = NewKey(
        name=wanted.name, scopes=wanted.scopes, expires_at=_expiry(wanted), rate_limit=wanted.rate_limit
    )  # fmt: skip
    _refuse_wider(caller, new.scopes)
    async with context.database.transaction() as connection:
        kept = await idempotency.begin(connection, caller.workspace_id, once) if once else None
        if kept is not None and kept.resource_id is not None:
            return Made(kept.resource_id, None)
        made = await make_key(connection, caller, caller.workspace_id, new)
        if once:
            await idempotency.keep(connection, caller.workspace_id, once, resource_id=made.id)
    return made


async def make_key(connection: Connection, actor: Actor, workspace_id: uuid.UUID, new: NewKey) -> Made:
    """In a transaction. Raises Conflict (`too_many_keys`)."""
    await connection.execute(queries.LOCK_WORKSPACE, workspace_id)
    if await connection.fetchval(queries.COUNT_KEYS, workspace_id) >= MAX_KEYS:
        message = f"A workspace has up to {MAX_KEYS} keys: revoke those that nobody uses."
        raise Conflict(message, code="too_many_keys")
    key_id, prefix = uuid7(), _random(PREFIX_LENGTH)
    secret = f"janus_{prefix}_{_random(SECRET_LENGTH)}"
    scopes = list(dict.fromkeys(new.scopes))
    await connection.execute(
        queries.INSERT_KEY, key_id, workspace_id, new.name, prefix, digest_of(secret), scopes, new.expires_at,
        new.rate_limit, actor.label,
    )  # fmt: skip
    after: dict[str, Any] = {"prefix": prefix, "scopes": scopes}
    if new.expires_at is not None:
        after["expires_at"] = new.expires_at.isoformat()
    if new.rate_limit is not None:
        after["rate_limit"] = new.rate_limit
    await _note(connection, actor, "key.created", workspace_id, key_id, new.name, after=after)
    return Made(key_id, secret)


async def list_keys_of(
    database: Database, workspace_id: uuid.UUID, *, after: uuid.UUID | None = None, limit: int | None = None
) -> list[ApiKey]:
    """Newest first; those that are over for some days more."""
    rows = await database.pool.fetch(queries.LIST_KEYS, workspace_id, after, limit, SHOWN_DAYS)
    return [ApiKey.model_validate(dict(row)) for row in rows]


async def read_key(database: Database, workspace_id: uuid.UUID, key_id: uuid.UUID) -> ApiKey:
    """Raises NotFound."""
    async with database.transaction() as connection:
        return await _read(connection, queries.KEY, workspace_id, key_id)


async def change_key(context: Context, caller: Caller, key_id: uuid.UUID, patch: ApiKeyPatch) -> ApiKey:
    """Its name and its limit. Raises NotFound, InvalidInput where nothing is given."""
    if not patch:
        raise InvalidInput("Say what to change.")
    async with context.database.transaction() as connection:
        before = await _read(connection, queries.KEY_TO_CHANGE, caller.workspace_id, key_id)
        after = before.model_copy(update=dict(patch))
        changed = [name for name in patch if getattr(after, name) != getattr(before, name)]
        if changed:
            await connection.execute(
                queries.UPDATE_KEY, caller.workspace_id, key_id, after.name, after.rate_limit
            )  # fmt: skip
            was, now = ({name: getattr(key, name) for name in changed} for key in (before, after))
            await _note(
                connection, caller, "key.changed", caller.workspace_id, key_id, after.name, before=was, after=now
            )  # fmt: skip
    return after


async def revoke(connection: Connection, actor: Actor, workspace_id: uuid.UUID, key_id: uuid.UUID) -> ApiKey:
    """In a transaction: the key as it is then. Revoking twice changes nothing. Raises NotFound."""
    key = await _read(connection, queries.KEY_TO_CHANGE, workspace_id, key_id)
    if await connection.fetchval(queries.REVOKE_KEY, workspace_id, key_id) is None:
        return key
    await _note(connection, actor, "key.revoked", workspace_id, key_id, key.name, before={"prefix": key.prefix})
    return await _read(connection, queries.KEY, workspace_id, key_id)


async def rotate(
    connection: Connection, actor: Actor, workspace_id: uuid.UUID, key_id: uuid.UUID, overlap_hours: int
) -> Made:
    """In a transaction: a successor that may do the same for as long as the old one was made for; that one ends after
    the overlap. Raises NotFound, Conflict (`key_is_over`, `already_rotated`)."""
    await connection.execute(queries.LOCK_WORKSPACE, workspace_id)  # before the key: as who deletes the workspace does
    old = await _read(connection, queries.KEY_TO_CHANGE, workspace_id, key_id)
    if old.status != "active":
        raise Conflict("This key is over: make a new one.", code="key_is_over")
    if old.successor_id is not None:
        raise Conflict("This key has a successor already: rotate that one.", code="already_rotated")
    if isinstance(actor, Caller):
        _refuse_wider(actor, old.scopes)
    expires_at = await connection.fetchval(queries.SAME_SPAN, workspace_id, key_id)
    new = NewKey(name=old.name, scopes=old.scopes, expires_at=expires_at, rate_limit=old.rate_limit)
    made = await make_key(connection, actor, workspace_id, new)
    await connection.execute(queries.SUCCEED_KEY, workspace_id, key_id, made.id, overlap_hours)
    await _note(
        connection, actor, "key.rotated", workspace_id, key_id, old.name,
        after={"successor": str(made.id), "overlap_hours": overlap_hours},
    )  # fmt: skip
    return made


def digest_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _expiry(wanted: ApiKeyCreate) -> datetime | None:
    """Raises InvalidInput."""
    now, at = datetime.now(UTC), wanted.expires_at
    if wanted.expires_in_days is not None:
        if at is not None:
            raise _wrong("expires_in_days", "Give either `expires_at` or `expires_in_days`.")
        return now + timedelta(days=wanted.expires_in_days)
    if at is not None and at <= now:
        raise _wrong("expires_at", "It would be over already: name a time to come.")
    if at is not None and at > now + timedelta(days=MAX_DAYS):
        raise _wrong("expires_at", f"Name a time within {MAX_DAYS:,} days, or none for a key that does not end.")
    return at


def _refuse_wider(caller: Caller, scopes: Sequence[str]) -> None:
    """Nobody hands out more than they have. Raises Forbidden; people who may make keys are owners."""
    if caller.role is not None or scopes_may(caller.scopes, "workspace:write"):
        return
    wider = [scope for scope in scopes if scope not in caller.scopes]
    if wider:
        raise Forbidden(f"This API key lacks the scope {wider[0]}, so it gives it to none.", code="insufficient_scope")


async def _read(connection: Connection, statement: str, workspace_id: uuid.UUID, key_id: uuid.UUID) -> ApiKey:
    row = await connection.fetchrow(statement, workspace_id, key_id)
    if row is None:
        raise NotFound("There is no such key.")
    return ApiKey.model_validate(dict(row))


async def _note(
    connection: Connection,
    actor: Actor,
    action: str,
    workspace_id: uuid.UUID,
    key_id: uuid.UUID,
    name: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    await record(
        connection, actor, action, "key", key_id, workspace_id=workspace_id, name=name, before=before, after=after
    )


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def _wrong(name: str, sentence: str) -> InvalidInput:
    return InvalidInput(sentence, details=[Detail(name, sentence)])
