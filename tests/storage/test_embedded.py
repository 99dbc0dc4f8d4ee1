"""The embedded servers: owned by one process, found by others, gone with their owner."""

import errno
import importlib.util
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from janus_mail.storage.embedded import (
    EmbeddedPostgres,
    EmbeddedRedis,
    EmbeddedServerError,
)
from janus_mail.storage.folder_lock import published
from janus_mail.storage.redis import open_redis

OWNER = """
import sys, time
from pathlib import Path
from janus_mail.storage import child_process
from janus_mail.storage.embedded import EmbeddedPostgres, EmbeddedRedis
if "--untied" in sys.argv:
    child_process._libc = None
folder = Path(sys.argv[1])
postgres, redis = EmbeddedPostgres(folder / "postgres", durable=False), EmbeddedRedis(folder / "redis")
postgres.start(), redis.start()
postgres.url("kept")
print(postgres.pid, redis.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Not under pytest's own folder, which each other pytest that starts closes to PostgreSQL's account under root."""
    with tempfile.TemporaryDirectory(prefix="janus-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def folder(servers_dir: Path) -> Path:
    return servers_dir / "embedded"


@pytest.fixture(scope="module")
def postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(folder / "postgres", durable=False) as server:
        yield server


@pytest.fixture(scope="module")
def redis_server(folder: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(folder / "redis") as server:
        yield server


def start_owner(folder: Path, *arguments: str) -> tuple["subprocess.Popen[str]", list[int]]:
    """Another process that owns both servers; with their process ids."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, folder, *arguments], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    return owner, [int(pid) for pid in owner.stdout.readline().split()]


def kill(owner: "subprocess.Popen[str]") -> None:
    owner.kill()
    owner.communicate()


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def ask(url: str, statement: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_a_database_is_made_once_and_kept_over_a_restart(tmp_path: Path) -> None:
    said: list[str] = []
    for start in range(2):
        with EmbeddedPostgres(tmp_path, durable=False, progress=said.append) as server:
            url = server.url("janus")
            if start == 0:
                await ask(url, "CREATE TABLE kept AS SELECT 1")
            assert server.url("janus") == url
            assert await ask(url, "SELECT count(*) FROM kept") == 1
    assert said == ["Creating the database files (once)"]


async def test_a_server_that_died_is_started_again_at_the_same_address(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        url, pid = server.url, server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: server.pid is None)
        server.start()
        client = open_redis(url)
        assert client is not None
        assert await client.ping()
        await client.aclose()


async def test_another_process_finds_the_servers_of_a_folder_while_they_run(tmp_path: Path) -> None:
    owner, _ = start_owner(tmp_path)
    try:
        state = published(tmp_path / "postgres")
        assert state is not None
        assert await ask(state["url"], "SELECT count(*) FROM pg_database WHERE datname = 'kept'") == 1
        assert published(tmp_path / "redis") is not None
    finally:
        kill(owner)
    assert published(tmp_path / "postgres") is None
    assert published(tmp_path / "nothing here") is None


def test_a_folder_in_use_is_refused_with_a_line_that_names_its_owner(postgres: EmbeddedPostgres, folder: Path) -> None:
    second = EmbeddedPostgres(folder / "postgres", durable=False)
    with pytest.raises(EmbeddedServerError, match=rf"is in use by the process {os.getpid()}"):
        second.start(wait_s=0)
    assert postgres.pid is not None
    assert published(folder / "postgres") is not None


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not tell a child that its parent died")
async def test_the_servers_end_with_an_owner_that_is_killed_and_the_data_stays(tmp_path: Path) -> None:
    owner, servers = start_owner(tmp_path)
    kill(owner)
    wait_until(lambda: not any(is_alive(pid) for pid in servers))
    with EmbeddedPostgres(tmp_path / "postgres", durable=False) as server:
        assert await ask(server.url("postgres"), "SELECT count(*) FROM pg_database WHERE datname = 'kept'") == 1


async def test_servers_that_outlived_their_owner_are_replaced(tmp_path: Path) -> None:
    owner, leftovers = start_owner(tmp_path, "--untied")
    kill(owner)
    assert all(is_alive(pid) for pid in leftovers)
    assert published(tmp_path / "postgres") is None
    with EmbeddedPostgres(tmp_path / "postgres", durable=False) as server, EmbeddedRedis(tmp_path / "redis"):
        assert not any(is_alive(pid) for pid in leftovers)
        assert await ask(server.url("kept"), "SELECT 1") == 1


def test_a_process_that_took_over_the_number_of_a_dead_server_is_left_alone(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, durable=False):
        pass
    bystander = subprocess.Popen(["sleep", "60"], cwd="/")
    try:
        (tmp_path / "data" / "postmaster.pid").write_text(f"{bystander.pid}\n{tmp_path / 'data'}\n")
        with EmbeddedPostgres(tmp_path, durable=False):
            assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_an_interrupted_first_start_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path, durable=False) as server:
        assert server.pid is not None


def test_only_this_user_can_reach_the_servers(
    postgres: EmbeddedPostgres, redis_server: EmbeddedRedis, folder: Path
) -> None:
    for name in ("postgres", "redis"):
        assert stat.S_IMODE((folder / name / "socket").stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / name / "state.json").stat().st_mode) == 0o600
        assert stat.S_IMODE((folder / name).stat().st_mode) & stat.S_IRWXO == 0
    listening = Path("/proc/net/tcp").read_text() if Path("/proc/net/tcp").exists() else ""
    for server in (postgres, redis_server):
        sockets = [str(path.readlink()) for path in Path(f"/proc/{server.pid}/fd").glob("*") if path.is_symlink()]
        inodes = [name[8:-1] for name in sockets if name.startswith("socket:[")]
        assert inodes
        assert not any(f" {inode} " in listening for inode in inodes)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try as somebody else")
def test_another_user_of_the_machine_is_kept_out(postgres: EmbeddedPostgres, folder: Path) -> None:
    address = str(folder / "postgres" / "socket" / EmbeddedPostgres.socket_name)
    with socket.socket(socket.AF_UNIX) as ours:
        ours.connect(address)
    assert postgres.pid is not None
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        with socket.socket(socket.AF_UNIX) as theirs:
            os._exit(theirs.connect_ex(address))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == errno.EACCES


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's server needs no other account")
def test_under_root_the_folders_above_open_to_the_server_and_to_nobody_else(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with EmbeddedPostgres(closed / "postgres", durable=False) as server:
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    assert stat.S_IMODE(closed.stat().st_mode) == 0o710


async def test_a_folder_too_deep_for_a_socket_gets_a_short_one(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a folder with a long name"] * 5)
    with EmbeddedPostgres(deep / "postgres", durable=False) as server, EmbeddedRedis(deep / "redis") as redis:
        assert await ask(server.url("janus"), "SELECT 1") == 1
        place = Path(redis.url.removeprefix("unix://")).parent
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        os.kill(redis.pid or 0, signal.SIGKILL)
        wait_until(lambda: redis.pid is None)
        redis.start()
        assert place.is_dir()
    assert not place.exists()


def test_a_folder_that_cannot_be_used_gives_the_servers_own_word(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, durable=False):
        pass
    (tmp_path / "data" / "postgresql.conf").write_text("no setting\n")
    with pytest.raises(EmbeddedServerError, match=r"PostgreSQL did not start .*unrecognized configuration parameter"):
        EmbeddedPostgres(tmp_path, durable=False).start()
    (tmp_path / "data" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(EmbeddedServerError, match=r"made by PostgreSQL 9\.6"):
        EmbeddedPostgres(tmp_path, durable=False)


def test_without_the_wheels_a_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(EmbeddedServerError, match=r"set DATABASE_URL, or install .*janus-mail\[embedded\]"):
        EmbeddedPostgres(tmp_path)
    with pytest.raises(EmbeddedServerError, match=r"set REDIS_URL, or install .*redis-server"):
        EmbeddedRedis(tmp_path)


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server on the PATH")
def test_without_its_wheel_redis_comes_from_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with EmbeddedRedis(tmp_path) as server:
        assert Path(f"/proc/{server.pid}/exe").resolve() == Path(shutil.which("redis-server") or "").resolve()
