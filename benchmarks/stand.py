"""The bench that every measurement stands on: PostgreSQL and Redis as durable as in production, API, workers, a sink.

Everything is embedded and on loopback, in a folder that goes when the block ends.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from cryptography.fernet import Fernet

from janus_mail.accounts.keys import create_key
from janus_mail.routing.create import create_provider
from janus_mail.routing.seed import seed_workspace
from janus_mail.storage.database import Database
from janus_mail.storage.embedded import EmbeddedPostgres, EmbeddedRedis
from janus_mail.storage.migrate import migrate
from janus_mail.storage.secrets import SecretBox


class Process:
    """A child whose standard output is kept in a file."""

    def __init__(self, folder: Path, name: str, arguments: list[str], environment: dict[str, str]) -> None:
        self.output = folder / f"{name}-{uuid.uuid4().hex[:6]}.out"
        with self.output.open("wb") as output:
            self._child = subprocess.Popen(arguments, stdout=output, env={**os.environ, **environment})

    def stop(self) -> None:
        self._child.terminate()
        self._child.wait(15)


@dataclass
class Stand:
    """What a measurement uses."""

    folder: Path
    environment: dict[str, str]
    database: Database
    api: httpx.AsyncClient
    sink: Process
    workers: list[Process]

    def start_worker(self) -> Process:
        arguments = [sys.executable, "-m", "janus_mail.cli", "worker"]
        self.workers.append(Process(self.folder, "worker", arguments, self.environment))
        return self.workers[-1]

    def arrivals(self) -> dict[str, float]:
        """When each mail came to the sink, in epoch seconds by Message-ID; a double is an error."""
        found: dict[str, float] = {}
        for line in self.sink.output.read_text().splitlines()[1:]:
            at, _, message_id = line.partition(" ")
            if message_id in found:
                raise RuntimeError(f"{message_id} arrived twice")
            found[message_id] = float(at)
        return found

    async def all_final(self, within_s: float) -> None:
        """Wait until no message is on its way any more."""
        async with asyncio.timeout(within_s):
            while await self.database.pool.fetchval(
                "SELECT exists(SELECT FROM messages WHERE state IN ('scheduled', 'leased', 'sending', 'uncertain'))"
            ):
                await asyncio.sleep(0.1)


@asynccontextmanager
async def stand(**settings: str) -> AsyncIterator[Stand]:
    """An API process and a sink, ready; workers are started by the measurement. `settings` go to both as `JANUS_…`."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="janus-bench-")))
        dsn = stack.enter_context(EmbeddedPostgres(folder / "postgres")).url("janus")
        redis_url = stack.enter_context(EmbeddedRedis(folder / "redis")).url
        await migrate(dsn)
        await refuse_weak_durability(dsn)
        key = Fernet.generate_key().decode()
        sink = stack.enter_context(running(Process(folder, "sink", [sys.executable, "-m", "benchmarks.sink"], {})))
        environment = {
            "JANUS_ENV": "development", "JANUS_SECRET_KEYS": key, "DATABASE_URL": dsn, "REDIS_URL": redis_url,
            "JANUS_LOG_LEVEL": "WARNING", "PORT": str(await free_port()), "JANUS_ALLOW_PRIVATE_HOSTS": "1",
            **{f"JANUS_{name.upper()}": value for name, value in settings.items()},
        }  # fmt: skip
        database = await Database.open(dsn)
        workspace_id = await seed_workspace(database, "default", from_email="janus@example.com", from_name="Janus")
        port = int((await first_line(sink)).strip())
        await create_provider(
            database, SecretBox([key]), workspace_id, kind="smtp", name="sink",
            config={"host": "127.0.0.1", "port": port, "security": "none"},
        )  # fmt: skip
        api_key = await create_key(database, workspace="default", name="benchmark")
        stack.enter_context(
            running(Process(folder, "api", [sys.executable, "-m", "janus_mail.cli", "api"], environment))
        )
        workers: list[Process] = []
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{environment['PORT']}",
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=60,
        ) as api:
            await ready(api)
            try:
                yield Stand(folder, environment, database, api, sink, workers)
            finally:
                for worker in workers:
                    worker.stop()
                await database.close()


async def refuse_weak_durability(dsn: str) -> None:
    """A figure that was bought with lost mail is worth nothing."""
    connection = await asyncpg.connect(dsn)
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        value: Any = await connection.fetchval(f"SHOW {name}")
        if value != "on":
            raise RuntimeError(f"{name} is {value}")
    await connection.close()


@contextmanager
def running(process: Process) -> Iterator[Process]:
    try:
        yield process
    finally:
        process.stop()


async def first_line(process: Process) -> str:
    async with asyncio.timeout(10):
        while "\n" not in (text := process.output.read_text()):
            await asyncio.sleep(0.02)
    return text.partition("\n")[0]


async def ready(api: httpx.AsyncClient) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                if (await api.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            await asyncio.sleep(0.05)


async def free_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port
