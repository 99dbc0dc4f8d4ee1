"""`--processes N`: several workers, or several API processes on one port, with one command."""

import asyncio
import os
import signal
import socket
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from janus_mail import cli
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from tests.conftest import TEST_KEY
from tests.delivery.conftest import Workshop
from tests.faults.process import Process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

PATIENCE_S = 30


class Several:
    """`janus … --processes N` and the processes that it started."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def said(self) -> str:
        return self.process.output.read_text() + self.process.errors.read_text()

    def children(self) -> set[int]:
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {int(pid) for pid in found}

    async def until_said(self, text: str) -> None:
        await until(lambda: text in self.said(), text)


@pytest.fixture
async def shop(database: Database, workspace_id: uuid.UUID, settings: Settings) -> Workshop:
    return Workshop(database, workspace_id, settings)


@pytest.fixture
def several(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Callable[..., Several]]:
    """Starts one; all that was started ends with the test."""
    started: list[Process] = []

    def start(*arguments: str, **environment: str) -> Several:
        settings = {"JANUS_ENV": "development", "JANUS_SECRET_KEYS": TEST_KEY, "DATABASE_URL": database_url,
                    "REDIS_URL": redis_url, "TMPDIR": str(tmp_path), **environment}  # fmt: skip
        started.append(Process(tmp_path, arguments[0], ["janus_mail.cli", *arguments], settings))
        return Several(started[-1])

    yield start
    for process in started:
        process.stop()


async def until(condition: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not (met if isinstance(met := condition(), bool) else await met):
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not in {PATIENCE_S} s: {what}") from None


async def worker_pids(database: Database) -> dict[int, uuid.UUID]:
    return {row["pid"]: row["id"] for row in await database.pool.fetch("SELECT id, pid FROM workers")}


async def both_work(database: Database, workers: Several) -> None:
    async def there() -> bool:
        return set(await worker_pids(database)) == workers.children() and len(workers.children()) == 2

    await until(there, "two workers have reported")


def gone(pids: set[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.timeout(90)
async def test_two_workers_share_the_work_and_what_a_killed_one_held_is_taken_over_at_once(
    several: Callable[..., Several], shop: Workshop
) -> None:
    workers = several("worker", "--processes", "2", JANUS_WORKER_CONCURRENCY="1", JANUS_CLAIM_BATCH="2")
    await both_work(shop.database, workers)
    provider_id = await shop.provider(sandbox_mode="slow")
    event_id = await shop.event(*(f"r{n}@example.org" for n in range(4)))

    async def busy() -> bool:
        states = [message["state"] for message in await shop.messages(event_id)]
        return states.count("sending") == 2

    await until(busy, "each of them sends a mail")
    assert {attempt["worker_id"] for attempt in await shop.attempts(event_id)} == set(
        (await worker_pids(shop.database)).values()
    )
    await shop.database.pool.execute("UPDATE providers SET sandbox_mode = 'ok' WHERE id = $1", provider_id)
    killed, killed_id = next(iter((await worker_pids(shop.database)).items()))
    os.kill(killed, signal.SIGKILL)
    # A lease lasts 60 s: only who saw it die can know sooner.
    messages = await shop.until(event_id, "sent", "uncertain", within_s=PATIENCE_S)
    assert [message["state"] for message in messages].count("uncertain") == 1
    assert "was killed by SIGKILL; it starts again" in workers.said()
    await both_work(shop.database, workers)
    assert killed_id not in (await worker_pids(shop.database)).values()

    children = workers.children()
    workers.process.send(signal.SIGTERM)
    assert await workers.process.ended(within_s=15) == 0
    assert gone(children)
    assert await worker_pids(shop.database) == {}  # each of them has left in order
    assert not list(workers.process.output.parent.glob("janus-metrics-*"))


@pytest.mark.timeout(60)
async def test_a_killed_parent_leaves_no_worker_behind(several: Callable[..., Several], database: Database) -> None:
    workers = several("worker", "--processes", "2")
    await both_work(database, workers)
    children = workers.children()
    workers.process.send(signal.SIGKILL)
    await until(lambda: gone(children), "its workers have ended")
    assert await worker_pids(database) == {}


@pytest.mark.timeout(90)
@pytest.mark.usefixtures("workspace_id")
async def test_two_api_processes_answer_on_one_port_and_are_counted_as_one(several: Callable[..., Several]) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    apis = several("api", "--processes", "2", PORT=str(port))
    await until(lambda: ready(url), "the API is ready")
    (folder,) = apis.process.output.parent.glob("janus-metrics-*")

    async def both_have_answered() -> bool:
        assert await answers(url, "/healthz")
        files = [folder / f"counter_{pid}.db" for pid in apis.children()]
        return len(files) == 2 and all(file.exists() and b"/healthz" in file.read_bytes() for file in files)

    await until(both_have_answered, "each has taken a connection")
    first = apis.children()
    os.kill(min(first), signal.SIGKILL)
    await until(lambda: gone({min(first)}), "it is dead")
    for _ in range(20):  # each on a connection of its own: none is lost, whoever is away
        assert await answers(url, "/readyz")
    await until(lambda: len(apis.children()) == 2 and apis.children() != first, "the dead one is replaced")
    await apis.until_said("was killed by SIGKILL; it starts again")

    await until(both_have_answered, "each has taken a connection")
    before = await counted(url)
    for _ in range(10):
        assert await answers(url, "/healthz")
    assert await counted(url) == before + 10  # whoever answers answers for all

    taken = several("api", "--processes", "2", PORT=str(port))
    assert await taken.process.ended(PATIENCE_S) == 1
    assert f"PORT: {port} cannot be used" in taken.said()

    children = apis.children()
    apis.process.send(signal.SIGTERM)
    assert await apis.process.ended(within_s=15) == 0
    assert gone(children)
    assert not await answers(url, "/healthz")


async def test_an_id_is_one_processs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database_url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("JANUS_SECRET_KEYS", TEST_KEY)
    monkeypatch.setattr(sys, "argv", ["janus", "worker", "--processes", "2", "--id", str(uuid.uuid4())])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == "--id and --succeeds are one process's: leave --processes away\n"


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
    return port


async def answers(url: str, path: str) -> bool:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        try:
            return (await client.get(url + path)).status_code == 200
        except httpx.TransportError:
            return False


async def ready(url: str) -> bool:
    return await answers(url, "/readyz")


async def counted(url: str) -> float:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        text = (await client.get(f"{url}/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("janus_http_requests_total{") and "healthz" in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
