"""`janus dev`: everything for a first try, in one data folder; started, watched and stopped together."""

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NoReturn

import asyncpg
import typer
from uuid_utils.compat import uuid7

from janus_mail.accounts.keys import create_key, prove_key
from janus_mail.routing.seed import DEFAULT_WORKSPACE, seed_development
from janus_mail.settings import Settings, SettingsError, load_settings
from janus_mail.storage.child_process import end_with_parent, start_child, stop_children
from janus_mail.storage.data_folder import DATABASE, DataFolder
from janus_mail.storage.database import Database
from janus_mail.storage.folder_lock import FolderInUse, FolderLock
from janus_mail.storage.migrate import is_migrated, migrate
from janus_mail.storage.owned_server import OwnedServer
from janus_mail.storage.secrets import SecretBox

_HOST = "127.0.0.1"
_POLL_S = 0.1
_READY_S = 60.0
_STOP_S = 8.5  # for API and worker; with the servers it stays under 10
_FINISH_S = 6.0  # the worker's, for what is sending
_STEADY_S = 10.0  # who lived that long did not die of its start
_PAUSE_CAP_S = 30.0


class CannotStart(Exception):
    """One line that says why, and what to do."""


class Watched:
    """What is to run for as long as we do: started again whenever it ends, at once and then ever more slowly."""

    def __init__(self, name: str, start: Callable[[], None], ending: Callable[[], str | None]) -> None:
        """`ending` says how it ended, None while it runs."""
        self._name = name
        self._start = start
        self._ending = ending
        self._started_at = 0.0
        self._quick_ends = 0
        self._start_at: float | None = None

    def tend(self, now: float) -> None:
        """`now` in seconds of any clock that only goes forward."""
        if self._start_at is None and (how := self._ending()) is not None:
            self._quick_ends = self._quick_ends + 1 if now - self._started_at < _STEADY_S else 0
            pause_s = min(2.0 ** (self._quick_ends - 2), _PAUSE_CAP_S) if self._quick_ends > 1 else 0.0
            say(f"{self._name} {how}; it starts again" + (f" in {pause_s:.0f} s" if pause_s else ""))
            self._start_at = now + pause_s
        if self._start_at is not None and now >= self._start_at:
            self._start_at = None
            self._started_at = now
            self._start()


class Child:
    """A process of ours, `janus …`."""

    def __init__(self, environment: dict[str, str], command: Callable[[], Sequence[str]]) -> None:
        self._environment = environment
        self._command = command
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "janus_mail.cli", *self._command()]
        self.process = start_child(command, env=self._environment)

    def ending(self) -> str | None:
        if self.process is None:
            return "never started"
        code = self.process.poll()
        if code is None:
            return None
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


class WorkerCommand:
    """Each worker process has an id of its own, and is told which one's end we saw."""

    def __init__(self) -> None:
        self._id: uuid.UUID | None = None

    def __call__(self) -> Sequence[str]:
        former, self._id = self._id, uuid7()
        return ["worker", "--id", str(self._id), *(["--succeeds", str(former)] if former else [])]


def run(*, tied_to_parent: bool = False) -> int:
    """Until Ctrl-C, SIGTERM or SIGHUP; the exit code. Raises `SettingsError`, `CannotStart`, `EmbeddedServerError`."""
    if tied_to_parent:
        end_with_parent(os.getppid())
    settings = load_settings(env="development", host=_HOST, anonymous_workspace=DEFAULT_WORKSPACE)
    # Also SIGINT: a shell starts what is in its background with that ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, _interrupt)
    with ExitStack() as stack:
        try:
            _start_and_watch(settings, stack)
        except KeyboardInterrupt:
            say("Stopping")
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
    return 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _start_and_watch(settings: Settings, stack: ExitStack) -> None:
    folder = DataFolder(settings.data_dir)
    lock = FolderLock(folder.path)
    url = f"http://localhost:{settings.port}"
    _hold(lock, folder)
    stack.callback(lock.release)
    _check_port(settings.port)
    database_url, redis_url, servers = _open_storage(settings, folder, stack)
    keys = folder.secret_keys(settings)
    api_key = _prepare_database(database_url, keys, folder)
    lock.publish(url=url, database_url=database_url, redis_url=redis_url)
    environment = _environment(settings, folder, database_url, redis_url, keys)
    children = {"The API": Child(environment, lambda: ["api"]), "The worker": Child(environment, WorkerCommand())}
    stack.callback(_stop, children)
    for child in children.values():
        child.start()
    watched = [Watched(server.name, server.start, _ending_of(server)) for server in servers]
    watched += [Watched(name, child.start, child.ending) for name, child in children.items()]
    _watch_until(lambda: _is_ready(settings.port), watched, time.monotonic() + _READY_S)
    _say_ready(settings, url, api_key, folder)
    _watch_until(lambda: False, watched, None)


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


def _check_port(port: int) -> None:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((_HOST, port))
        except OSError as error:
            raise CannotStart(
                f"PORT: {port} cannot be used ({error.strerror}); set another, such as PORT=8001"
            ) from None


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
    settings: Settings, folder: DataFolder, database_url: str, redis_url: str, keys: tuple[str, ...]
) -> dict[str, str]:
    return {
        **os.environ,
        "JANUS_ENV": settings.env,
        "JANUS_ANONYMOUS_WORKSPACE": DEFAULT_WORKSPACE,
        "JANUS_HOST": _HOST,
        "PORT": str(settings.port),
        "JANUS_DATA_DIR": str(folder.path),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "JANUS_SECRET_KEYS": ",".join(keys),
        "JANUS_SHUTDOWN_SECONDS": str(min(settings.shutdown_seconds, _FINISH_S)),
    }


def _ending_of(server: OwnedServer) -> Callable[[], str | None]:
    return lambda: None if server.pid else "ended"


def _watch_until(done: Callable[[], bool], watched: list[Watched], deadline: float | None) -> None:
    while not done():
        now = time.monotonic()
        if deadline is not None and now > deadline:
            raise CannotStart(f"The API is not ready after {_READY_S:.0f} s; the lines above say why")
        for each in watched:
            each.tend(now)
        time.sleep(_POLL_S)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection(_HOST, port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(children: dict[str, Child]) -> None:
    processes = [child.process for child in children.values() if child.process is not None]
    stop_children(processes, signal.SIGTERM, timeout_s=_STOP_S)


def _say_ready(settings: Settings, url: str, api_key: str, folder: DataFolder) -> None:
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
