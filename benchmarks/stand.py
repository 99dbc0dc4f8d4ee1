"""The bench that every measurement stands on: PostgreSQL and Redis as durable as in production, API, workers, a sink.

Everything is embedded and on loopback, in a folder that goes when the block ends.
"""

import asyncio
import os
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM

import asyncpg
import httpx
from cryptography.fernet import Fernet

from benchmarks.checks import check_arrivals, check_message_ids, check_records
from benchmarks.ledger import Ledger
from benchmarks.letters import Letter
from janus_mail.keys.key import create_key
from janus_mail.routing.create import create_provider
from janus_mail.routing.seed import seed_workspace
from janus_mail.storage.child_process import start_child, stop_children
from janus_mail.storage.database import Database
from janus_mail.storage.embedded import EmbeddedPostgres, EmbeddedRedis
from janus_mail.storage.migrate import migrate
from janus_mail.storage.secrets import SecretBox

_STOP_S = 15.0
_FIRST_LOOK_S = 1.0  # of a worker that is alive
# Counted as in production, which costs time, and never reached.
_LIMITS = ("READ", "WRITE", "SEND", "WORKSPACE", "ADDRESS", "HOOKS")
_NO_LIMIT = "1000000000"
# What a developer's shell says must not change what is measured.
_OURS = ("JANUS_", "MAIL_", "POSTGRES_", "DATABASE_URL", "REDIS_URL")


class Process:
    """A child whose standard output is kept in a file, and beside it what it logs. It ends when we end."""

    def __init__(self, folder: Path, name: str, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self.output = folder / f"{name}-{uuid.uuid4().hex[:6]}.out"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        with self.output.open("wb") as output, self.output.with_suffix(".log").open("wb") as log:
            self.child = start_child(arguments, stdout=output, stderr=log, env=kept | environment)

    @property
    def pid(self) -> int:
        return self.child.pid

    def stop(self) -> None:
        stop_children([self.child], SIGTERM, timeout_s=_STOP_S)


@dataclass
class Stand:
    """What a measurement uses."""

    folder: Path
    environment: dict[str, str]
    database: Database
    api: httpx.AsyncClient
    ledger: Ledger
    workers: list[tuple[Process, int]]  # and of how many processes each consists
    postgres: EmbeddedPostgres
    redis_url: str

    @property
    def dsn(self) -> str:
        return self.environment["DATABASE_URL"]

    def start_worker(self, processes: int = 1) -> Process:
        """`janus worker --processes N`. It is not ready yet: see `workers_ready`."""
        arguments = [sys.executable, "-m", "janus_mail.cli", "worker", f"--processes={processes}"]
        worker = Process(self.folder, "worker", arguments, self.environment)
        self.workers.append((worker, processes))
        return worker

    async def workers_ready(self) -> None:
        """Wait until each that was started says that it is alive, and has found that nothing is to be done yet."""
        async with asyncio.timeout(30):
            many = sum(processes for _, processes in self.workers)
            while await self.database.pool.fetchval("SELECT count(*) FROM workers") < many:
                if any(worker.child.poll() is not None for worker, _ in self.workers):
                    raise RuntimeError("a worker ended")
                await asyncio.sleep(0.05)
        await asyncio.sleep(_FIRST_LOOK_S)

    async def stop_workers(self) -> None:
        """SIGTERM, and wait: what they were sending is recorded then."""
        children = [worker.child for worker, _ in self.workers]
        await asyncio.to_thread(stop_children, children, SIGTERM, timeout_s=_STOP_S)
        self.workers.clear()

    async def all_sent(self, start: int, mails: int, within_s: float) -> None:
        """Wait until so many more than `start` are in the sink, and are on record.

        The sink is asked and not the database, whose answer would cost those who are measured.
        """
        async with asyncio.timeout(within_s):
            while self.ledger.count() - start < mails:
                await asyncio.sleep(0.1)
        await self.all_final(within_s)

    async def proven(
        self, start: int, expected: Mapping[str, tuple[int, Letter]], *, waiting: int = 0
    ) -> dict[str, float]:
        """When each mail from number `start` on came, by Message-ID: each once, as it was written, and on record.

        So many are `waiting` still. Raises RuntimeError. It takes a while, and others may work meanwhile.
        """
        arrived = await asyncio.to_thread(check_arrivals, self.ledger.mails(start), expected)
        await check_records(self.database, len(expected), waiting=waiting)
        await check_message_ids(self.database, arrived)
        return arrived

    async def all_final(self, within_s: float) -> None:
        """Wait until no message is on its way any more."""
        async with asyncio.timeout(within_s):
            while await self.database.pool.fetchval(
                "SELECT exists(SELECT FROM messages WHERE state IN ('scheduled', 'leased', 'sending', 'uncertain'))"
            ):
                await asyncio.sleep(0.1)

    async def clear(self) -> None:
        """No event, message or attempt is left."""
        await self.database.pool.execute("TRUNCATE events, messages, attempts, event_dirty, idempotency_keys CASCADE")

    async def settle(self) -> None:
        """Every run begins with statistics that fit and no dirty pages of the filling before it."""
        await self.database.pool.execute("ANALYZE")
        await self.database.pool.execute("CHECKPOINT")

    async def connect_up_to(self, connections: int | None) -> None:
        """How many connections a worker may have to the sink; null: as by default. Workers read it within a second."""
        (provider,) = (await self.api.get("/api/providers")).json()["data"]
        config = {name: value for name, value in provider["config"].items() if name != "max_connections"}
        if connections is not None:
            config["max_connections"] = connections
        answer = await self.api.patch(f"/api/providers/{provider['id']}", json={"config": config})
        answer.raise_for_status()

    async def post(self, path: str, json: object = None) -> httpx.Response:
        """Ask the API. Raises `httpx.HTTPStatusError` when it refuses."""
        answer = await self.api.post(path, json=json)
        answer.raise_for_status()
        return answer


@asynccontextmanager
async def stand(*, api: bool = True, **settings: str) -> AsyncIterator[Stand]:
    """A sink and, unless `api` is false, an API process, ready; workers are started by the measurement.

    `settings` go to API and workers as `JANUS_…`.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="janus-bench-")))
        postgres = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
        dsn = postgres.url("janus")
        redis_url = stack.enter_context(EmbeddedRedis(folder / "redis")).url
        await migrate(dsn)
        await refuse_weak_durability(dsn)
        key = Fernet.generate_key().decode()
        environment = {
            "JANUS_ENV": "development", "JANUS_SECRET_KEYS": key, "DATABASE_URL": dsn, "REDIS_URL": redis_url,
            "PORT": str(await free_port()), "JANUS_ALLOW_PRIVATE_HOSTS": "1",
            **{f"JANUS_RATE_LIMIT_{name}": _NO_LIMIT for name in _LIMITS},
            **{f"JANUS_{name.upper()}": value for name, value in settings.items()},
        }  # fmt: skip
        ledger = await _start_sink(stack, folder)
        database = await Database.open(dsn)
        workspace_id = await seed_workspace(database, "default", from_email="janus@example.com", from_name="Janus")
        await create_provider(
            database, SecretBox([key]), workspace_id, kind="smtp", name="sink",
            config={"host": "127.0.0.1", "port": ledger.port, "security": "none"},
        )  # fmt: skip
        api_key = await create_key(database, workspace="default", name="benchmark")
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{environment['PORT']}",
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=60,
        ) as client:
            if api:
                command = [sys.executable, "-m", "janus_mail.cli", "api"]
                stack.enter_context(running(Process(folder, "api", command, environment)))
                await ready(client)
            bench = Stand(folder, environment, database, client, ledger, [], postgres, redis_url)
            try:
                yield bench
            finally:
                await bench.stop_workers()
                await database.close()


async def refuse_weak_durability(dsn: str) -> None:
    """A figure that was bought with lost mail is worth nothing."""
    connection = await asyncpg.connect(dsn)
    try:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            value = await connection.fetchval(f"SHOW {name}")
            if value != "on":
                raise RuntimeError(f"{name} is {value}")
    finally:
        await connection.close()


async def _start_sink(stack: ExitStack, folder: Path) -> Ledger:
    kept = folder / "sink"
    kept.mkdir()
    command = [sys.executable, "-m", "benchmarks.sink", str(kept)]
    sink = stack.enter_context(running(Process(folder, "sink", command, {})))
    return Ledger(kept, int(await first_line(sink)))


@contextmanager
def running(process: Process) -> Iterator[Process]:
    """Stopped when the block ends."""
    try:
        yield process
    finally:
        process.stop()


async def first_line(process: Process) -> str:
    """What a child says when it is ready."""
    async with asyncio.timeout(15):
        while "\n" not in (text := process.output.read_text()):
            if process.child.poll() is not None:
                raise RuntimeError(f"{process.output.stem} ended with {process.child.returncode}")
            await asyncio.sleep(0.02)
    return text.partition("\n")[0].strip()


async def ready(api: httpx.AsyncClient, path: str = "/readyz") -> None:
    """Wait until a server answers 200."""
    async with asyncio.timeout(30):
        while True:
            try:
                if (await api.get(path)).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            await asyncio.sleep(0.05)


async def free_port() -> int:
    """A port that nobody listens on just now."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def output_of(arguments: Sequence[str], environment: dict[str, str], *, within_s: float = 600) -> str:
    """Run a program to its end; its standard output. Raises RuntimeError with what it said when it failed."""
    child = await asyncio.create_subprocess_exec(
        *arguments, env=os.environ | environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        output, errors = await asyncio.wait_for(child.communicate(), within_s)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        said = (errors or output).decode(errors="replace")[-2000:]
        raise RuntimeError(f"{' '.join(arguments[:4])} ended with {child.returncode}: {said}")
    return output.decode()
