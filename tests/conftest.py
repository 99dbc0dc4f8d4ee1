"""What every test may ask for: a migrated database of its own, a Redis of its own, settings, a workspace."""

import asyncio
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi import FastAPI
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from redis.asyncio import Redis
from uuid_utils.compat import uuid7

from janus_mail.app import create_app
from janus_mail.gate import passwords
from janus_mail.keys.key import create_key
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from janus_mail.storage.embedded import EmbeddedPostgres, EmbeddedRedis
from janus_mail.storage.migrate import migrate
from janus_mail.storage.redis import open_redis

# What a developer's shell or .env says must not reach a test.
for _name in [name for name in os.environ if name.startswith(("JANUS_", "MAIL_", "POSTGRES_"))]:
    del os.environ[_name]
for _name in ("DATABASE_URL", "REDIS_URL", "TZ", "PORT"):
    os.environ.pop(_name, None)
Settings.model_config["env_file"] = None

TEST_KEY = Fernet.generate_key().decode()


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """Argon2id at its least: what it costs in production is what it is for."""
    costly, passwords.hasher = passwords.hasher, PasswordHash((Argon2Hasher(1, 8, 1),))
    yield
    passwords.hasher = costly


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    # Not under pytest's own folder: each pytest that starts closes that to the account PostgreSQL has under root.
    with tempfile.TemporaryDirectory(prefix="janus-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres_url(servers_dir: Path) -> Iterator[str]:
    """A server on which databases may be made: the one that is named, else an embedded one."""
    named = os.environ.get("TEST_DATABASE_URL")
    if named:
        yield named
        return
    with EmbeddedPostgres(servers_dir / "postgres", durable=False) as server:
        yield server.url("postgres")


@pytest.fixture(scope="session")
def redis_url(servers_dir: Path, worker_id: str) -> Iterator[str]:
    """A Redis whose numbered database is this test process's alone."""
    named = os.environ.get("TEST_REDIS_URL")
    if named:
        number = int(worker_id.removeprefix("gw")) + 1 if worker_id.startswith("gw") else 1
        yield urlunsplit(urlsplit(named)._replace(path=f"/{number}"))
        return
    with EmbeddedRedis(servers_dir / "redis") as server:
        yield server.url


@pytest.fixture(scope="session")
def new_database(postgres_url: str) -> Iterator["NewDatabase"]:
    """Makes migrated databases from one template; all are dropped at the end."""
    maker = NewDatabase(postgres_url)
    yield maker
    asyncio.run(maker.drop_all())


class NewDatabase:
    """Call it for the DSN of a fresh, migrated and empty database."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._made: list[str] = []
        self._template: str | None = None

    async def __call__(self) -> str:
        if self._template is None:
            self._template = await self._create("TEMPLATE template0")
            await migrate(self._dsn(self._template))
        return self._dsn(await self._create(f'TEMPLATE "{self._template}"'))

    async def empty(self) -> str:
        """A database without a schema."""
        return self._dsn(await self._create("TEMPLATE template0"))

    def _dsn(self, name: str) -> str:
        return urlunsplit(urlsplit(self._server)._replace(path=f"/{name}"))

    async def _create(self, how: str) -> str:
        name = f"janus_test_{uuid.uuid4().hex[:12]}"
        connection = await asyncpg.connect(self._server)
        await connection.execute(f'CREATE DATABASE "{name}" {how}')
        await connection.close()
        self._made.append(name)
        return name

    async def drop_all(self) -> None:
        connection = await asyncpg.connect(self._server)
        for name in self._made:
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await connection.close()


@pytest.fixture(scope="session")
async def database_url(new_database: NewDatabase) -> str:
    """The one database that the tests of this process share; `database` empties it for each."""
    return await new_database()


@pytest.fixture(scope="session")
async def open_database(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, pool_size=10)
    yield database
    await database.close()


@pytest.fixture
async def database(open_database: Database) -> Database:
    """A clean database: every table belongs to a workspace or to a person, or is named here."""
    # The audit log is append-only, but for who may switch triggers off.
    await open_database.pool.execute("""
        WITH a AS (DELETE FROM workspaces), b AS (DELETE FROM event_dirty), c AS (DELETE FROM duties),
             d AS (DELETE FROM attempts), e AS (DELETE FROM users), f AS (DELETE FROM account_links),
             g AS (DELETE FROM invitations), h AS (DELETE FROM system_mails)
        DELETE FROM workers;
        BEGIN;
        SET LOCAL session_replication_role = replica;
        DELETE FROM audit_log;
        COMMIT""")
    return open_database


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """An empty Redis."""
    client = open_redis(redis_url)
    assert client is not None
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
def settings(settings_here: Settings, tmp_path: Path) -> Settings:
    """Development settings on the test servers; change them with `model_copy(update=…)`."""
    return settings_here.model_copy(update={"data_dir": tmp_path})


@pytest.fixture(scope="session")
def settings_here(database_url: str, redis_url: str, servers_dir: Path) -> Settings:
    return Settings.model_validate(
        {
            "env": "development",
            "database_url": database_url,
            "redis_url": redis_url,
            "data_dir": servers_dir,
            "secret_keys": TEST_KEY,
            "public_url": "http://testserver",
            "allow_private_hosts": True,  # the services that we send to are on loopback
            # Who tests asks often.
            **{name: 0 for name in Settings.model_fields if name.startswith("rate_limit_")},
        }
    )


@pytest.fixture
async def workspace_id(database: Database) -> uuid.UUID:
    """The workspace `default`, with a sender and nothing else."""
    workspace_id = uuid7()
    await database.pool.execute(
        """INSERT INTO workspaces (id, handle, name, from_email, from_name)
           VALUES ($1, 'default', 'default', 'janus@example.com', 'Janus')""",
        workspace_id,
    )
    return workspace_id


@pytest.fixture(scope="session")
def built_apps(settings_here: Settings) -> dict[bool, FastAPI]:
    """By whether they take anonymous callers. Kept, since an application builds its routes at its first request."""
    anonymous = settings_here.model_copy(update={"anonymous_workspace": "default"})
    return {False: create_app(settings_here), True: create_app(anonymous)}


@pytest.fixture
async def app(built_apps: dict[bool, FastAPI], workspace_id: uuid.UUID, redis: Redis) -> AsyncIterator[FastAPI]:
    """The application as it runs, with its lifespan."""
    app = built_apps[False]
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def api_key(database: Database, workspace_id: uuid.UUID) -> str:
    """A key of the workspace `default` with every scope."""
    return await create_key(database, workspace="default", name="test")


@pytest.fixture
async def api(app: FastAPI, api_key: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `app` that sends `api_key`."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://testserver",
        headers={"Authorization": f"Bearer {api_key}"},
    ) as client:
        yield client


@pytest.fixture
async def anonymous_app(
    built_apps: dict[bool, FastAPI], workspace_id: uuid.UUID, redis: Redis
) -> AsyncIterator[FastAPI]:
    """The application as `make run` has it: who comes from this machine is the workspace `default`."""
    app = built_apps[True]
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def anonymous_api(anonymous_app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `anonymous_app` on the same machine, without a key."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(anonymous_app), base_url="http://127.0.0.1") as client:
        yield client
