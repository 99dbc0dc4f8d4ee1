"""`janus dev`, as a newcomer meets it: ready, restarted where it dies, gone without a trace."""

import http.client
import json
import os
import queue
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest

from janus_mail.processes import Watched
from janus_mail.supervisor import say
from tests.conftest import NewDatabase

PATIENCE_S = 20


class Dev:
    """A running `janus dev` and what it says."""

    def __init__(self, folder: Path, port: int, **environment: str) -> None:
        self.folder = folder
        self.port = port
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TEST_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "janus_mail.cli", "dev"],
            env={**clean, "JANUS_DATA_DIR": str(folder), "PORT": str(port), **environment},
            cwd=folder.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        self.said: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))

    def wait_for(self, pattern: str) -> str:
        """The next line that fits."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no line {pattern!r} in:\n" + "\n".join(self.said))
            self.said.append(line)
            if re.search(pattern, line):
                return line

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def child(self, name: str) -> tuple[int, list[str]]:
        """The process id of `janus {name}`, and what it was told."""
        (found,) = [(pid, line) for pid, line in processes_of(self.folder) if f"janus_mail.cli {name}" in line]
        return found[0], found[1].partition(f"janus_mail.cli {name}")[2].split()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        return self._process.wait(timeout=10)


def processes_of(folder: Path) -> list[tuple[int, str]]:
    """Id and command of each process that belongs to a data folder: it names it, or was told it."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            told = f"JANUS_DATA_DIR={folder}\0".encode() in (place / "environ").read_bytes()
            here = (place / "cwd").readlink().is_relative_to(folder)
        except OSError:
            continue
        if command and (told or here):
            found.append((int(place.name), command))
    return found


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
    return port


EVENT = {
    "email_subject": "Hello World",
    "email_content": "This is a test email.",
    "expected_sent_at": "2024-07-15T10:00:00",
    "recipients": "test@example.com",
}


@pytest.mark.timeout(180)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_first_try_runs_survives_deaths_keeps_its_data_and_leaves_nothing_behind(servers_dir: Path) -> None:
    folder = servers_dir / "dev"
    with Dev(folder, free_port()) as dev:
        dev.wait_for(f"Janus is ready at http://localhost:{dev.port}$")
        key = dev.wait_for("API key").split()[2]
        dev.wait_for(f"Make the first account  http://localhost:{dev.port}/set-up/")
        dev.wait_for(f"curl -X POST http://localhost:{dev.port}/api/events")
        assert json.loads(dev.wait_for("-d '").split("'")[1]) == EVENT
        assert sum("Creating the database files" in line for line in dev.said) == 1
        status, answer = dev.ask("POST", "/api/events", EVENT, Prefer="wait=10")
        assert (status, answer["event"]["status"]) == (201, "sent")

        worker, (_, worker_id) = dev.child("worker")
        os.kill(worker, signal.SIGKILL)
        dev.wait_for("The worker was killed by SIGKILL; it starts again")
        dev.wait_for("worker .* is ready")
        assert dev.child("worker")[1][2:] == ["--succeeds", worker_id]
        os.kill(dev.child("api")[0], signal.SIGKILL)
        dev.wait_for("The API was killed by SIGKILL; it starts again")
        redis = next(pid for pid, line in processes_of(folder) if "redis-server" in line)
        os.kill(redis, signal.SIGKILL)
        dev.wait_for("==> Redis ended; it starts again")
        wait_until(lambda: can_connect(dev.port), "the API is back")
        status, answer = dev.ask("POST", "/api/events", EVENT, Prefer="wait=10")
        assert (status, answer["event"]["status"]) == (201, "sent")

        at_home = {"kind": "smtp", "name": "At home", "config": {"host": "127.0.0.1"}}
        assert dev.ask("POST", "/api/providers?verify=false", at_home)[0] == 201

        dev.send(signal.SIGINT)
        assert dev.wait() == 0  # within 10 s
        assert processes_of(folder) == []

    with Dev(folder, dev.port) as again:
        assert again.wait_for("API key").split()[2] == key
        assert not any("Creating" in line or "Migrating" in line for line in again.said)
        status, answer = again.ask("GET", "/api/events", None, Authorization=f"Bearer {key}")
        assert (status, len(answer["data"])) == (200, 2)

        with Dev(folder, free_port()) as second:
            second.wait_for(f"already runs in {folder} at http://localhost:{dev.port}: stop it, or set JANUS_DATA_DIR")
            assert second.wait() == 1
        with Dev(servers_dir / "other", dev.port) as second:
            second.wait_for(f"^PORT: {dev.port} cannot be used .*set another")
            assert second.wait() == 1

        again.send(signal.SIGKILL)
        again.wait()
        wait_until(lambda: processes_of(folder) == [], "nothing is left of a supervisor that was killed")
    for name in ("api_key", "secret_key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def can_connect(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.timeout(120)
async def test_named_servers_are_used_and_a_key_that_is_no_longer_good_is_replaced(
    servers_dir: Path, new_database: NewDatabase, redis_url: str
) -> None:
    folder = servers_dir / "named"
    folder.mkdir()
    (folder / "api_key").write_text("janus_of_another_database")
    with Dev(folder, free_port(), DATABASE_URL=await new_database.empty(), REDIS_URL=redis_url) as dev:
        dev.wait_for("Migrating the database")
        key = dev.wait_for("API key").split()[2]
        status, _ = dev.ask("GET", "/api/providers", None, Authorization=f"Bearer {key}")
        assert status == 200
        assert not (folder / "postgres").exists()
        assert not (folder / "redis").exists()
        dev.send(signal.SIGTERM)
        assert dev.wait() == 0
    with Dev(folder, free_port(), DATABASE_URL="postgresql://janus:hunter2@127.0.0.1:1/janus") as dev:
        line = dev.wait_for("^DATABASE_URL: PostgreSQL cannot be used")
        assert dev.wait() == 1
        assert "hunter2" not in line


def test_what_dies_again_and_again_is_started_ever_more_slowly(capsys: pytest.CaptureFixture[str]) -> None:
    starts: list[float] = []
    alive = True
    clock = 100.0

    def start() -> None:
        nonlocal alive
        alive = True
        starts.append(clock)

    watched = Watched("The worker", start, lambda: None if alive else "ended with code 1", say)
    for _ in range(5):
        alive = False
        while not alive:
            watched.tend(clock)
            clock += 0.5
    pauses = [after - before - 0.5 for before, after in pairwise(starts)]
    assert pauses == [0, 1, 2, 4]
    assert "The worker ended with code 1; it starts again in 4 s" in capsys.readouterr().out

    clock += 60  # it lived
    alive = False
    watched.tend(clock)
    assert starts[-1] == clock
    assert capsys.readouterr().out == "==> The worker ended with code 1; it starts again\n"
