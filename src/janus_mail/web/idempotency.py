"""The same request twice does its work once (`Idempotency-Key`).

The lock and the kept answer live in the transaction that does the work: either all is there, or nothing.
"""

import asyncio
import hashlib
import uuid
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Request

from janus_mail.errors import Conflict, InvalidInput
from janus_mail.storage.database import Connection
from janus_mail.web import queries
from janus_mail.web.context import context_of

MAX_KEY_LENGTH = 256
_MANY_OCTETS = 2**20  # a thread hashes them

# The header of an answer that was given before, for a route's `responses=`.
REPLAYED: Final[dict[str, Any]] = {
    "Idempotent-Replayed": {
        "description": "`true` when this request had been answered before.",
        "schema": {"type": "string"},
        "example": "true",
    }
}


@dataclass(frozen=True, slots=True)
class OnceOnly:
    """A request that bears a key. `route` is method and path."""

    route: str
    key: str
    request_hash: bytes  # of method, path and body
    keep_s: int


@dataclass(frozen=True, slots=True)
class Kept:
    """The first answer: what it made, or all that it said."""

    resource_id: uuid.UUID | None
    answer: Any


def once_only(key: str, *, method: str, path: str, query: str, body: bytes, keep_s: int) -> OnceOnly:
    """Raises InvalidInput (`invalid_idempotency_key`)."""
    if not 1 <= len(key) <= MAX_KEY_LENGTH:
        message = f"Idempotency-Key must have 1 to {MAX_KEY_LENGTH} characters."
        raise InvalidInput(message, code="invalid_idempotency_key")
    route = f"{method} {path}"
    request_hash = hashlib.sha256(f"{route}?{query}\n".encode() + body).digest()
    return OnceOnly(route, key, request_hash, keep_s)


async def begin(connection: Connection, workspace_id: uuid.UUID, once: OnceOnly) -> Kept | None:
    """The kept answer, or null: then the work is to be done in this transaction, which alone holds the key now.

    Raises Conflict (`idempotency_key_in_use`, `idempotency_key_reused`).
    """
    name = f"{workspace_id} {once.route} {once.key}"
    lock = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    if not await connection.fetchval(queries.LOCK_KEY, lock):
        message = "A request with this Idempotency-Key is still running."
        raise Conflict(message, code="idempotency_key_in_use")
    # A statement of its own: its snapshot must be younger than the lock.
    row = await connection.fetchrow(queries.KEPT_ANSWER, workspace_id, once.route, once.key, once.keep_s)
    if row is None:
        return None
    if row["request_hash"] != once.request_hash:
        message = "This Idempotency-Key was used for another request."
        raise Conflict(message, code="idempotency_key_reused")
    return Kept(row["resource_id"], row["answer"])


async def keep(
    connection: Connection,
    workspace_id: uuid.UUID,
    once: OnceOnly,
    *,
    resource_id: uuid.UUID | None = None,
    answer: Any = None,
) -> None:
    """Note what the request made, in the transaction that made it."""
    await connection.execute(
        queries.KEEP_ANSWER,
        workspace_id,
        once.route,
        once.key,
        once.request_hash,
        HTTPStatus.CREATED,
        resource_id,
        answer,
    )


async def _once(
    request: Request,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="1 to 256 characters: the same request under the same key is done once in 24 hours.",
            examples=["5f0c7a1e-order-4711"],
        ),
    ] = None,
) -> OnceOnly | None:
    if key is None:
        return None
    body = await request.body()
    once = partial(
        once_only, key, method=request.method, path=request.url.path, query=request.url.query, body=body,
        keep_s=context_of(request).settings.idempotency_seconds,
    )  # fmt: skip
    return once() if len(body) < _MANY_OCTETS else await asyncio.to_thread(once)


# For a route that creates: null where the request bears no key.
Once = Annotated[OnceOnly | None, Depends(_once)]
