"""The connections to PostgreSQL: an asyncpg pool for named statements, an SQLAlchemy engine for migrations."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import asyncpg
import orjson
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection

# What says «the database is away or let go of us», as opposed to «the statement is wrong».
CONNECTION_LOST: tuple[type[Exception], ...] = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,
    TimeoutError,
)


def connection_lost(error: BaseException) -> bool:
    """Whether an error of those classes is what its class says: asyncpg also says `InterfaceError` to our mistakes."""
    if isinstance(error, asyncpg.InterfaceError):
        return re.search("closed|closing|released", str(error)) is not None
    return isinstance(error, CONNECTION_LOST)


# With `off` a crash of the server takes back what was answered as stored. What is stricter than `on` stays.
_DURABLE = """
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""


class Database:
    """Opened once per process and closed with it."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", dsn: str) -> None:
        self.pool = pool
        self.beside: dict[object, Any] = {}  # what others keep as long as this is open
        self._engine = engine(dsn, poolclass=NullPool)

    @classmethod
    async def open(cls, dsn: str, *, pool_size: int = 10, plan_once: bool = False) -> Self:
        """Connect. Raises `OSError` or asyncpg's errors when PostgreSQL cannot be reached.

        With `plan_once` a statement is planned once a connection, whatever it is given: a worker repeats the same few,
        and planning them would cost more than it can save. They must not depend on how many rows a `LIMIT $1` lets
        through, which such a plan takes for a tenth of the table.
        """
        set_up = _set_up_to_plan_once if plan_once else _set_up
        pool = await asyncpg.create_pool(
            dsn, min_size=1, max_size=pool_size, init=set_up, reset=_nothing_to_reset, command_timeout=60, timeout=10,
            server_settings={"application_name": "janus", "timezone": "UTC"},
        )  # fmt: skip
        return cls(pool, dsn)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction on a connection of the pool, for named SQL."""
        async with self.pool.acquire() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def schema_connection(self) -> AsyncIterator[AsyncConnection]:
        """A plain SQLAlchemy connection, for Alembic's checks."""
        async with self._engine.connect() as connection:
            yield connection

    async def close(self) -> None:
        await self._engine.dispose()
        await self.pool.close()


async def _nothing_to_reset(_: Connection) -> None:
    """No statement of ours leaves anything behind in a session, so giving a connection back costs no round trip."""


async def _set_up(connection: Connection) -> None:
    """JSON columns travel as Python objects, and a commit is a commit."""
    await connection.execute(_DURABLE)
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=_encode_json, decoder=orjson.loads, format="binary"
    )
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_encode_jsonb, decoder=_decode_jsonb, format="binary"
    )


async def _set_up_to_plan_once(connection: Connection) -> None:
    await _set_up(connection)
    await connection.execute("SELECT set_config('plan_cache_mode', 'force_generic_plan', false)")


def _encode_json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode()


def _encode_jsonb(value: Any) -> bytes:
    return b"\x01" + _encode_json(value)  # the version of the format


def _decode_jsonb(data: bytes) -> Any:
    return orjson.loads(data[1:])


def engine(dsn: str, **options: Any) -> AsyncEngine:
    """SQLAlchemy's engine. `sslmode` and a socket folder as host are asyncpg's words, so asyncpg gets the whole DSN."""
    return create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: connect(dsn), hide_parameters=True, **options
    )


async def connect(dsn: str) -> Connection:
    """One connection of its own."""
    return await asyncpg.connect(dsn, timeout=10, server_settings={"application_name": "janus", "timezone": "UTC"})
