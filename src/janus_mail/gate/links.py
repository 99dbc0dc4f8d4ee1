"""Links with a secret that open something once: an account to confirm, a password to set, the first account to make."""

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from typing import Final

import asyncpg
from uuid_utils.compat import uuid7

from janus_mail.gate import queries
from janus_mail.models.states import LinkPurpose
from janus_mail.settings import Settings
from janus_mail.storage.database import Connection

_SECRET_OCTETS: Final = 32
_SECRET_LENGTH: Final = 43  # of them in URL-safe base64


@dataclass(frozen=True, slots=True)
class Link:
    """What a secret opens. `user_id` is null where there is nobody yet; `email` is the address that it was sent to."""

    id: uuid.UUID
    user_id: uuid.UUID | None
    email: str | None


async def make_link(
    connection: Connection, purpose: LinkPurpose, *, user_id: uuid.UUID | None, email: str | None, lasts_s: float
) -> str:
    """The secret, this once. It replaces what the same person has for the same purpose: the newest mail counts."""
    secret = secrets.token_urlsafe(_SECRET_OCTETS)
    await connection.execute(queries.LOCK_LINKS, f"{purpose}/{user_id}")
    await connection.execute(queries.DELETE_LINKS, purpose, user_id)
    await connection.execute(queries.INSERT_LINK, uuid7(), purpose, user_id, email, _digest(secret), lasts_s)
    return secret


async def find_link(connection: Connection, purpose: LinkPurpose, secret: str) -> Link | None:
    """What it would open; none if it is unknown, used, too old or for something else."""
    return await _read(connection, queries.FIND_LINK, purpose, secret)


async def take_link(connection: Connection, purpose: LinkPurpose, secret: str) -> Link | None:
    """The same, and it is used: of several who come with it at once, one gets it, once its transaction commits."""
    return await _read(connection, queries.TAKE_LINK, purpose, secret)


def public_address(settings: Settings, path: str) -> str:
    """An address for somebody elsewhere. Never from a request's `Host`: whoever asks could choose it."""
    base = settings.public_url or f"http://localhost:{settings.port}"
    return f"{base.rstrip('/')}{path}"


async def _read(connection: Connection, statement: str, purpose: LinkPurpose, secret: str) -> Link | None:
    if len(secret) != _SECRET_LENGTH or not secret.isascii():
        return None
    row: asyncpg.Record | None = await connection.fetchrow(statement, _digest(secret), purpose)
    return Link(row["id"], row["user_id"], row["email"]) if row is not None else None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
