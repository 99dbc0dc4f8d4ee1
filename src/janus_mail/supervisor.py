"""`janus dev`: everything for a first try, in one data folder; started, watched and stopped together."""

import asyncio
import http.client
import os
import time
from collections.abc import Callable
from contextlib import ExitStack

import asyncpg
import typer

from janus_mail.errors import Conflict
from janus_mail.gate.set_up import set_up_link
from janus_mail.keys.key import create_key, prove_key
from janus_mail.processes import (
    CannotStart,
    Child,
    Watched,
    WorkerCommand,
    check_port,
    run_until_signal,
    stop,
    watch_until,
)
from janus_mail.routing.seed import DEFAULT_WORKSPACE, seed_development
from janus_mail.settings import Settings, SettingsError, load_settings
from janus_mail.storage.child_process import end_with_parent
from janus_mail.storage.data_folder import DATABASE, DataFolder
from janus_mail.storage.database import Database
from janus_mail.storage.folder_lock import FolderInUse, FolderLock
from janus_mail.storage.migrate import is_migrated, migrate
from janus_mail.storage.owned_server import OwnedServer
from janus_mail.storage.secrets import SecretBox

_HOST = "127.0.0.1"
_READY_S = 60.0
_STOP_S = 8.5  # for API and worker; with the servers it stays under 10
_FINISH_S = 6.0  # the worker's, for what is sending


def run(*, tied_to_parent: bool = False) -> int:
    """Until Ctrl-C, SIGTERM or SIGHUP; the exit code. Raises `SettingsError`, `CannotStart`, `EmbeddedServerError`."""
    if tied_to_parent:
        end_with_parent(os.getppid())
    settings = load_settings(env="development", host=_HOST, anonymous_workspace=DEFAULT_WORKSPACE)
    if "allow_private_hosts" not in settings.model_fields_set:  # a mail server to try with is often at home
        settings = settings.model_copy(update={"allow_private_hosts": True})
    run_until_signal(lambda stack: _start_and_watch(settings, stack), say)
    return 0


def _start_and_watch(settings: Settings, stack: ExitStack) -> None:
    folder = DataFolder(settings.data_dir)
    lock = FolderLock(folder.path)
    url = f"http://localhost:{settings.port}"
    _hold(lock, folder)
    stack.callback(lock.release)
    check_port(_HOST, settings.port)
    database_url, redis_url, servers = _open_storage(settings, folder, stack)
    keys = folder.secret_keys(settings)
    api_key = _prepare_database(database_url, keys, folder)
    lock.publish(url=url, database_url=database_url, redis_url=redis_url)
    environment = _environment(settings, folder, url, database_url, redis_url, keys)
    children = {"The API": Child(environment, lambda: ["api"]), "The worker": Child(environment, WorkerCommand())}
    stack.callback(stop, children.values(), _STOP_S)
    for child in children.values():
        child.start()
    watched = [Watched(server.name, server.start, _ending_of(server), say) for server in servers]
    watched += [Watched(name, child.start, child.ending, say) for name, child in children.items()]
    deadline = time.monotonic() + _READY_S
    watch_until(lambda: _is_ready(settings.port, deadline), watched)
    public = settings.model_copy(update={"public_url": settings.public_url or url})
    _say_ready(settings, url, api_key, folder, _set_up_link(database_url, public))
    watch_until(lambda: False, watched)


def _hold(lock: FolderLock, folder: DataFolder) -> None:
    try:
        lock.take(wait_s=1)
    except FolderInUse as error:
        where = f" at {error.state['url']}" if "url" in error.state else ""
        raise CannotStart(
            f"Janus already runs in {folder.path}{where}: stop it, or set JANUS_DATA_DIR and PORT for another one"
        ) from None
    except OSError as error:
        raise CannotStart(f"JANUS_DATA_DIR: {error.strerror}: {error.filename}") from None


def _open_storage(settings: Settings, folder: DataFolder, stack: ExitStack) -> tuple[str, str, list[OwnedServer]]:
    """The addresses of PostgreSQL and Redis, and the servers that we run ourselves."""
    servers: list[OwnedServer] = []
    try:
        database_url = settings.database_dsn
    except SettingsError:
        say(f"Starting PostgreSQL in {folder.path / 'postgres'}")
        postgres = stack.enter_context(folder.postgres(say))
        servers.append(postgres)
        database_url = postgres.url(DATABASE)
    if settings.redis_url is not None:
        return database_url, settings.redis_url.get_secret_value(), servers
    say(f"Starting Redis in {folder.path / 'redis'}")
    redis = stack.enter_context(folder.redis())
    return database_url, redis.url, [*servers, redis]


def _prepare_database(url: str, keys: tuple[str, ...], folder: DataFolder) -> str:
    """Migrate, seed, and make the API key; an earlier start's key when it is still good."""
    try:
        return asyncio.run(_prepared(url, keys, folder))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CannotStart(f"DATABASE_URL: PostgreSQL cannot be used: {error}") from error


async def _prepared(url: str, keys: tuple[str, ...], folder: DataFolder) -> str:
    database = await Database.open(url, pool_size=2)
    try:
        if not await is_migrated(database):
            say("Migrating the database")
            await migrate(url)
        await seed_development(database, SecretBox(keys))
        api_key = folder.api_key()
        if api_key is None or await prove_key(database, api_key) is None:
            api_key = await create_key(database, workspace=DEFAULT_WORKSPACE, name="janus dev")
            folder.keep_api_key(api_key)
        return api_key
    finally:
        await database.close()


def _environment(
    settings: Settings, folder: DataFolder, url: str, database_url: str, redis_url: str, keys: tuple[str, ...]
) -> dict[str, str]:
    return {
        **os.environ,
        "JANUS_ENV": settings.env,
        "JANUS_ANONYMOUS_WORKSPACE": DEFAULT_WORKSPACE,
        "JANUS_HOST": _HOST,
        "PORT": str(settings.port),
        "JANUS_PUBLIC_URL": settings.public_url or url,
        "JANUS_DATA_DIR": str(folder.path),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "JANUS_SECRET_KEYS": ",".join(keys),
        "JANUS_ALLOW_PRIVATE_HOSTS": str(settings.allow_private_hosts).lower(),
        "JANUS_SHUTDOWN_SECONDS": str(min(settings.shutdown_seconds, _FINISH_S)),
    }


def _ending_of(server: OwnedServer) -> Callable[[], str | None]:
    return lambda: None if server.pid else "ended"


def _is_ready(port: int, deadline: float) -> bool:
    if time.monotonic() > deadline:
        raise CannotStart(f"The API is not ready after {_READY_S:.0f} s; the lines above say why")
    connection = http.client.HTTPConnection(_HOST, port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _set_up_link(url: str, settings: Settings) -> str | None:
    """None where somebody has an account, or PostgreSQL is away again."""
    try:
        return asyncio.run(_made_set_up_link(url, settings))
    except (Conflict, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None


async def _made_set_up_link(url: str, settings: Settings) -> str:
    database = await Database.open(url, pool_size=1)
    try:
        return await set_up_link(database, settings)
    finally:
        await database.close()


def _say_ready(settings: Settings, url: str, api_key: str, folder: DataFolder, first_account: str | None) -> None:
    curl = (
        f'curl -X POST {url}/api/events -H "Content-Type: application/json" \\\n'
        '  -d \'{"email_subject": "Hello World", "email_content": "This is a test email.",'
        ' "expected_sent_at": "2024-07-15T10:00:00", "recipients": "test@example.com"}\''
    )
    where = f"through {settings.mail_server}" if settings.mail_server else "into the mailbox"
    lines = [
        "",
        typer.style("Janus is ready", bold=True) + f" at {url}",
        "",
        f"  Events     {url}/",
        f"  Schedule   {url}/add",
        f"  Mailbox    {url}/mailbox  (what the sandbox providers caught)",
        f"  API        {url}/docs",
        f"  API key    {api_key}  (kept in {folder.api_key_file})",
        *([f"  Make the first account  {first_account}"] if first_account else []),
        "",
        f"Schedule a mail; its time is past, so it leaves at once, {where}:",
        "",
        curl,
        "",
        "Ctrl-C stops everything.",
        "",
    ]
    typer.echo("\n".join(lines))


def say(text: str) -> None:
    """A line for the person at the terminal, at once."""
    typer.echo(f"==> {text}")
