"""The stand that every fault strikes: PostgreSQL and Redis as in production, API, workers, ledgers, all real processes.

Times are shortened by the environment, and nothing else is.
"""

import asyncio
import os
import signal
import socket
import tempfile
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography.fernet import Fernet
from redis.asyncio import Redis

from janus_mail.models.states import FINAL
from janus_mail.storage.database import CONNECTION_LOST, Database
from janus_mail.storage.embedded import EmbeddedPostgres, EmbeddedRedis
from janus_mail.storage.migrate import migrate
from tests.faults.audit import install_audit
from tests.faults.ledger import Ledger
from tests.faults.process import Process, Worker

LEASE_S = 1.0
GRACE_S = 1.5  # longer than a worker waits between two tries to write a result down, as it is in production
DOT_TIMEOUT_S = 2.0
CONCURRENCY = 8

TIMES = {
    "LEASE_SECONDS": LEASE_S, "GRACE_SECONDS": GRACE_S, "PATROL_SECONDS": 0.3, "ROLLUP_SECONDS": 0.2,
    "RETRY_BASE_SECONDS": 0.2, "RETRY_CAP_SECONDS": 1, "SHUTDOWN_SECONDS": 4,
    "SMTP_CONNECT_TIMEOUT_SECONDS": 2, "SMTP_COMMAND_TIMEOUT_SECONDS": 2, "SMTP_DATA_TIMEOUT_SECONDS": 2,
    "SMTP_BLOCK_TIMEOUT_SECONDS": 2, "SMTP_DOT_TIMEOUT_SECONDS": DOT_TIMEOUT_S,
    "HTTP_CONNECT_TIMEOUT_SECONDS": 2, "HTTP_TIMEOUT_SECONDS": DOT_TIMEOUT_S,
    "CIRCUIT_OPEN_SECONDS": 1, "CIRCUIT_CAP_SECONDS": 2, "STALL_SECONDS": 1,
}  # fmt: skip


_DURABLE = """
    SELECT bool_and(setting = 'on') FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes')
"""


@dataclass
class Stand:
    """`workers` holds every worker of the test that is running; `start_worker` adds to it."""

    folder: Path
    postgres: EmbeddedPostgres
    redis_server: EmbeddedRedis
    database: Database
    redis: Redis
    environment: dict[str, str]
    smtp: Ledger
    http: Ledger
    client: httpx.AsyncClient
    api: Process | None = None
    workers: list[Worker] = field(default_factory=list)

    # Processes of Janus

    async def start_api(self, **settings: str) -> Process:
        """The API on its port, in place of the one that was there. `settings` go to it as `JANUS_…`."""
        self.stop_api()
        self.api = Process(self.folder, "api", ["janus_mail.cli", "api"], self._environment(settings))
        async with asyncio.timeout(60):
            while self.api.alive and not await self._api_is_ready():
                await asyncio.sleep(0.02)
        assert self.api.alive or "crash_at" in settings, self.api.last_words()
        return self.api

    async def _api_is_ready(self) -> bool:
        try:
            return (await self.client.get("/readyz")).is_success
        except httpx.TransportError:
            return False

    def stop_api(self) -> None:
        if self.api is not None:
            self.api.stop()

    async def start_worker(self, *, crash_at: str | None = None, clock_offset_s: float = 0, **settings: str) -> Worker:
        """A worker that is at work when this returns, unless `crash_at` ends it before."""
        if crash_at is not None:
            settings["crash_at"] = crash_at
        worker = Worker.start(self.folder, self._environment(settings), clock_offset_s=clock_offset_s)
        worker.altered = bool(settings or clock_offset_s)
        self.workers.append(worker)
        async with asyncio.timeout(30):
            while worker.process.alive and not await self.ask(
                "SELECT exists(SELECT FROM workers WHERE id = $1)", worker.id
            ):
                await asyncio.sleep(0.02)
        assert worker.process.alive or crash_at, worker.process.last_words()
        return worker

    async def worker(self) -> Worker:
        """A worker without a fault of its own: one that is there, else a new one."""
        alive = [worker for worker in self.workers if worker.process.alive and not (worker.killed or worker.altered)]
        return alive[0] if alive else await self.start_worker()

    async def has_beaten(self, worker: Worker, within_s: float = 10) -> None:
        """Wait until a worker has shown that it is at work from now on."""
        now = await self.ask("SELECT clock_timestamp()")
        async with asyncio.timeout(within_s):
            while not await self.ask(
                "SELECT exists(SELECT FROM workers WHERE id = $1 AND seen_at > $2)", worker.id, now
            ):
                await asyncio.sleep(0.02)

    def stop_workers(self) -> None:
        """SIGKILL, for between tests: nothing is under way then."""
        for worker in self.workers:
            worker.process.stop()
        self.workers.clear()

    def _environment(self, settings: dict[str, str]) -> dict[str, str]:
        named = {f"JANUS_{name.upper()}": value for name, value in settings.items() if name != "database_url"}
        if "database_url" in settings:
            named["DATABASE_URL"] = settings["database_url"]
        return self.environment | named

    # PostgreSQL

    async def ask(self, statement: str, *values: Any, within_s: float = 20) -> Any:
        """One value, from a PostgreSQL that may just be on its way back."""
        async with asyncio.timeout(within_s):
            while True:
                try:
                    return await self.database.pool.fetchval(statement, *values)
                except CONNECTION_LOST:
                    await asyncio.sleep(0.05)

    async def end_postgres(self, *, immediate: bool = False) -> None:
        """Stop it: with a checkpoint, or as a crash would (`pg_ctl stop -m immediate`)."""
        pid = self.postgres.pid
        assert pid is not None
        if immediate:
            os.kill(pid, signal.SIGQUIT)
            while self.postgres.pid is not None:
                await asyncio.sleep(0.01)
        else:
            await asyncio.to_thread(self.postgres.stop)

    async def start_postgres(self) -> None:
        await asyncio.to_thread(self.postgres.start)

    async def all_ended(self, message_ids: Sequence[uuid.UUID], within_s: float = 60) -> None:
        """Wait until each of these is final."""
        async with asyncio.timeout(within_s):
            while await self.ask(
                "SELECT exists(SELECT FROM messages WHERE id = ANY($1::uuid[]) AND state <> ALL($2))",
                message_ids,
                FINAL,
            ):
                await asyncio.sleep(0.02)

    # Redis

    async def end_redis(self) -> None:
        await asyncio.to_thread(self.redis_server.stop)

    async def start_redis(self) -> None:
        await asyncio.to_thread(self.redis_server.start)

    def words_of_the_dying(self) -> str:
        """What processes said that nobody wants to read in a log."""
        processes = [worker.process for worker in self.workers] + ([self.api] if self.api else [])
        texts = [f"{process.name}: {process.last_words(4000)}" for process in processes]
        return "\n".join(text for text in texts if "Traceback" in text or "ERROR" in text)


@asynccontextmanager
async def open_stand(**settings: str) -> AsyncIterator[Stand]:
    """Everything but workers. `settings` go to API and workers as `JANUS_…`, before the shortened times."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="janus-faults-")))
        postgres = stack.enter_context(EmbeddedPostgres(folder / "pg"))
        redis_server = stack.enter_context(EmbeddedRedis(folder / "redis"))
        dsn = postgres.url("janus")
        await migrate(dsn)
        await install_audit(dsn)
        database = await Database.open(dsn)
        assert await database.pool.fetchval(_DURABLE), "a proof that was bought with lost commits is none"
        stack.push_async_callback(database.close)
        environment = {
            "JANUS_ENV": "development", "JANUS_SECRET_KEYS": Fernet.generate_key().decode(), "DATABASE_URL": dsn,
            "REDIS_URL": redis_server.url, "JANUS_LOG_LEVEL": "INFO", "PORT": str(_free_port()),
            "JANUS_DATA_DIR": str(folder), "JANUS_WORKER_CONCURRENCY": str(CONCURRENCY),
            "JANUS_ALLOW_PRIVATE_HOSTS": "true",
            **{f"JANUS_{name}": str(value) for name, value in TIMES.items()},
            **{f"JANUS_{name.upper()}": value for name, value in settings.items()},
        }  # fmt: skip
        smtp = await stack.enter_async_context(Ledger.running(folder, "tests.providers.ledger_smtp"))
        http = await stack.enter_async_context(Ledger.running(folder, "tests.providers.fake_sendgrid"))
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{environment['PORT']}", timeout=30)
        )
        redis = Redis.from_url(redis_server.url)
        stack.push_async_callback(redis.aclose)
        stand = Stand(folder, postgres, redis_server, database, redis, environment, smtp, http, client)
        stack.callback(stand.stop_workers)
        stack.callback(stand.stop_api)
        await stand.start_api()
        yield stand


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def unique_name() -> str:
    """For workspaces, and so for the domain of their recipients."""
    return f"w{uuid.uuid4().hex[:8]}"
