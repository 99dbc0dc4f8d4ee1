"""Whether PostgreSQL and Redis can be used, in a line each, for the person who sets Janus up."""

from dataclasses import dataclass

import asyncpg

from janus_mail.settings import Settings, SettingsError
from janus_mail.storage.database import CONNECTION_LOST, Database
from janus_mail.storage.migrate import is_migrated
from janus_mail.storage.redis import REDIS_AWAY, open_redis

_NO_USE: tuple[type[BaseException], ...] = (*CONNECTION_LOST, asyncpg.PostgresError)


@dataclass(frozen=True, slots=True)
class Finding:
    """`good`: nothing has to be done."""

    good: bool
    text: str


def check_public_url(settings: Settings) -> Finding:
    """Links in our mail lead there, and services post there; the proxy in front speaks TLS."""
    if settings.env == "development" or (settings.public_url or "").startswith("https://"):
        return Finding(True, f"Links lead to {settings.public_url or 'this machine'}")
    return Finding(False, "JANUS_PUBLIC_URL: set it to the address that the world reaches Janus at, with https://")


async def check_postgres(settings: Settings) -> Finding:
    try:
        database = await Database.open(settings.database_dsn, pool_size=1)
    except SettingsError as error:
        return Finding(False, f"PostgreSQL: {error}")
    except _NO_USE as error:
        return Finding(False, f"PostgreSQL: cannot be used: {error or type(error).__name__}")
    try:
        version = await database.pool.fetchval("SHOW server_version")
        if await is_migrated(database):
            return Finding(True, f"PostgreSQL: version {version}, migrated")
        return Finding(False, f"PostgreSQL: version {version}, not migrated to this Janus: run `janus migrate`")
    finally:
        await database.close()


async def check_redis(settings: Settings) -> Finding:
    """Redis may be missing, then mail still leaves, but lists are not cached and wake-ups come late."""
    client = open_redis(settings.redis_url.get_secret_value() if settings.redis_url else None)
    if client is None:
        return Finding(True, "Redis: REDIS_URL is not set: mail due at once waits for the patrol, lists are not cached")
    try:
        server = await client.info("server")
    except REDIS_AWAY as error:
        return Finding(False, f"Redis: cannot be used: {error or type(error).__name__}")
    else:
        return Finding(True, f"Redis: version {server['redis_version']}")
    finally:
        await client.aclose()
