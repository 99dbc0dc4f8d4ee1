"""What the API process opens when it starts and closes when it ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import asyncpg
from fastapi import FastAPI
from redis.asyncio import Redis

from janus_mail.delivery.bell import Bell
from janus_mail.settings import Settings
from janus_mail.storage.database import CONNECTION_LOST, Database
from janus_mail.storage.list_cache import ListCache
from janus_mail.storage.redis import open_redis
from janus_mail.storage.secrets import SecretBox
from janus_mail.web.context import Context
from janus_mail.web.limiter import Limiter

_START_PATIENCE_S: Final = 3  # for PostgreSQL; after it requests are taken and answered 503
_RETRY_S: Final = 1
_CLOSE_PATIENCE_S: Final = 3
_NOT_YET: Final[tuple[type[BaseException], ...]] = (*CONNECTION_LOST, asyncpg.PostgresError)

_log = logging.getLogger(__name__)


def lifespan(
    settings: Settings, prepare: Callable[[Context], Awaitable[None]]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """For `FastAPI(lifespan=…)`. `prepare` is awaited once the database is there and migrated.

    Raises `SettingsError` at once where a setting is missing.
    """
    dsn, secrets = settings.database_dsn, SecretBox(settings.require_secret_keys())
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        redis = app.state.redis = open_redis(redis_url)
        app.state.context = None
        opening = asyncio.create_task(_open(app, settings, dsn, redis, secrets, prepare))
        try:
            await asyncio.wait({opening}, timeout=_START_PATIENCE_S)
            if opening.done():
                opening.result()
            yield
        finally:
            opening.cancel()
            await asyncio.wait({opening})
            await _close(app.state.context, redis)

    return run


async def _open(
    app: FastAPI,
    settings: Settings,
    dsn: str,
    redis: Redis | None,
    secrets: SecretBox,
    prepare: Callable[[Context], Awaitable[None]],
) -> None:
    context = app.state.context = Context(
        settings=settings,
        database=await _reach(dsn, settings.database_pool_size),
        redis=redis,
        list_cache=ListCache(redis, settings.list_cache_seconds),
        secrets=secrets,
        bell=Bell(redis, horizon_s=settings.horizon_seconds),
        limiter=Limiter(redis),
    )
    while True:
        try:
            return await prepare(context)
        except _NOT_YET as error:  # not migrated yet, which /readyz says
            _log.warning("the database is not ready, trying again: %s", type(error).__name__)
        await asyncio.sleep(_RETRY_S)


async def _reach(dsn: str, pool_size: int) -> Database:
    """PostgreSQL that is away is waited for, however long."""
    while True:
        try:
            return await Database.open(dsn, pool_size=pool_size)
        except _NOT_YET as error:
            if isinstance(error, ValueError):  # the address cannot be read: waiting does not help
                raise
            _log.warning("PostgreSQL cannot be reached, trying again: %s: %s", type(error).__name__, error)
        await asyncio.sleep(_RETRY_S)


async def _close(context: Context | None, redis: Redis | None) -> None:
    """In the reverse order; a connection that does not let go is cut."""
    if context is not None:
        await context.bell.close()
        await context.limiter.close()
        try:
            async with asyncio.timeout(_CLOSE_PATIENCE_S):
                await context.database.close()
        except TimeoutError:
            _log.warning("database connections were still in use and have been cut")
    if redis is not None:
        await redis.aclose()
