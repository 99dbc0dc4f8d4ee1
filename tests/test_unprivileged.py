"""API and worker as the image runs them: an account that may write nowhere, least of all where the program lies."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest

from janus_mail.routing.seed import seed_development
from janus_mail.storage.child_process import start_child, stop_children
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox
from janus_mail.storage.server_account import ServerAccount
from tests.conftest import TEST_KEY
from tests.test_processes import free_port, until

ROOT = Path(__file__).parents[1]
_COMPILED = shutil.ignore_patterns("__pycache__")  # left out, so that Python would write it
_UNUSED = shutil.ignore_patterns("site-packages", "test", "idlelib", "tkinter", "lib2to3", "ensurepip")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="copies the interpreter as Linux lays it out")


@dataclass
class House:
    """A source tree that nobody may write, an empty folder to stand in, and who lives there."""

    folder: Path
    account: ServerAccount | None  # None: whoever runs the tests, who is not root

    @classmethod
    def build(cls, folder: Path) -> Self:
        folder.chmod(0o755)
        for part in ("src", "alembic"):
            shutil.copytree(ROOT / part, folder / "tree" / part, ignore=_COMPILED)
        (folder / "empty").mkdir()
        house = cls(folder, ServerAccount.find())
        house.close(0o555, 0o444)
        return house

    def close(self, folders: int, files: int) -> None:
        for path in (*self.folder.rglob("tree/**/*"), self.folder / "tree", self.folder / "empty"):
            path.chmod(folders if path.is_dir() else files)

    def python(self) -> Path:
        """The interpreter; a copy where it lies in a folder that the account may not enter, such as root's own."""
        program, lib = Path(sys.executable).resolve(), Path(sysconfig.get_path("stdlib"))
        if self.account is None or self._runs(program):
            return program
        copy = self.folder / "python"
        if not copy.exists():
            (copy / "bin").mkdir(parents=True)
            shutil.copytree(lib, copy / "lib" / lib.name, ignore=_UNUSED, copy_function=_linked)
            _linked(program, copy / "bin" / program.name)
            for shared in lib.parent.glob("libpython*.so*"):
                _linked(shared, copy / "lib" / shared.name)
        return copy / "bin" / program.name

    def _runs(self, program: Path) -> bool:
        try:
            return subprocess.run([program, "-c", ""], check=False, **self.options({})).returncode == 0
        except PermissionError:
            return False

    def options(self, environment: Mapping[str, str]) -> dict[str, Any]:
        """Of `subprocess.Popen`: no home, nothing of our environment, bytecode written as Python would."""
        installed = [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
        libraries = [str(self.folder / "python" / "lib"), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        options: dict[str, Any] = {
            "cwd": self.folder / "empty",
            "env": {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join([str(self.folder / "tree" / "src"), *installed]),
                    "LD_LIBRARY_PATH": os.pathsep.join(libraries), **environment},
        }  # fmt: skip
        if self.account:
            options |= {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}
        return options

    def refuses(self, program: str) -> bool:
        """Whether the account cannot write into the package."""
        attempt = "import janus_mail, pathlib; pathlib.Path(janus_mail.__path__[0], 'written').touch()"
        done = subprocess.run([program, "-c", attempt], check=False, capture_output=True, text=True, **self.options({}))
        return "PermissionError" in done.stderr

    def may_reach(self, url: str) -> None:
        """Let the account open a Unix socket of ours, which only we could."""
        parts = urlsplit(url)
        socket = Path(unquote(parts.path)) if parts.scheme == "unix" else None
        if host := parse_qs(parts.query).get("host"):
            socket = Path(host[0]) / ".s.PGSQL.5432"
        if self.account and socket and socket.exists():
            self.account.open_way_to(socket)
            os.chown(socket, self.account.uid, -1)

    def contents(self) -> set[str]:
        return {str(path) for name in ("tree", "empty") for path in (self.folder / name).rglob("*")}


def user_of(process: "subprocess.Popen[bytes]") -> int:
    return Path(f"/proc/{process.pid}").stat().st_uid


def _linked(source: Any, copy: Any) -> None:
    try:
        os.link(os.path.realpath(source), copy)
    except OSError:  # another file system
        shutil.copy2(source, copy)


@pytest.fixture
def house() -> Iterator[House]:
    with tempfile.TemporaryDirectory(prefix="janus-test-") as folder:
        house = House.build(Path(folder))
        yield house
        house.close(0o755, 0o644)


@pytest.mark.timeout(60)
async def test_api_and_worker_need_no_right_to_write_anywhere(
    house: House, database: Database, database_url: str, redis_url: str, api_key: str
) -> None:
    await seed_development(database, SecretBox([TEST_KEY]))
    for url in (database_url, redis_url):
        house.may_reach(url)
    port, python, before = free_port(), str(house.python()), house.contents()
    environment = {
        "DATABASE_URL": database_url, "REDIS_URL": redis_url, "JANUS_SECRET_KEYS": TEST_KEY, "PORT": str(port),
        "JANUS_PUBLIC_URL": "https://janus.example.com",
    }  # fmt: skip
    assert house.refuses(python)  # else the rest proves nothing

    with ExitStack() as stack, (house.folder / "said").open("wb") as said:
        running = [
            start_child([python, "-m", "janus_mail.cli", name], stdout=said, stderr=said, **house.options(environment))
            for name in ("api", "worker")
        ]
        stack.callback(stop_children, running, signal.SIGKILL, timeout_s=5)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:

            async def ready() -> bool:
                words = (house.folder / "said").read_text()
                assert all(process.poll() is None for process in running), words
                try:
                    return (await client.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(ready, "the API is ready")
            assert 0 not in {user_of(process) for process in running}
            assert (await client.get("/readyz")).json() == {"ready": True, "database": "ok", "redis": "ok"}
            scheduled = await client.post(
                "/api/events",
                headers={"Authorization": f"Bearer {api_key}", "Prefer": "wait=20"},
                json={
                    "email_subject": "Hello", "email_content": "From nobody special.", "expected_sent_at": "now",
                    "recipients": "ann@example.com",
                },
            )  # fmt: skip
        assert scheduled.status_code == 201, scheduled.text
        assert scheduled.json()["event"]["status"] == "sent"
        assert await database.pool.fetchval("SELECT count(*) FROM captured_mails") == 1
        stop_children(running, signal.SIGTERM, timeout_s=10)
    # The API's server finishes and then ends by the signal that it was sent; the worker leaves in order.
    assert [process.returncode for process in running] == [-signal.SIGTERM, 0], (house.folder / "said").read_text()
    assert not await database.pool.fetchval("SELECT count(*) FROM workers")
    assert house.contents() == before
