"""A worker in this process, providers to send through, and messages to send."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from uuid_utils.compat import uuid7

from janus_mail.delivery.rollup import roll_up
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from janus_mail.storage.list_cache import ListCache
from janus_mail.storage.secrets import SecretBox
from janus_mail.worker import WorkerProcess
from tests.conftest import TEST_KEY


class Workshop:
    """What the tests of this folder make and look at, by SQL: no API in between."""

    def __init__(self, database: Database, workspace_id: uuid.UUID, settings: Settings) -> None:
        self.database = database
        self.workspace_id = workspace_id
        self.settings = settings
        self.positions = 0

    async def provider(self, name: str = "", kind: str = "ses", **columns: Any) -> uuid.UUID:
        """A provider at the end of the route; a sandbox unless `sandbox=False`."""
        provider_id = uuid7()
        self.positions += 1
        config = SecretBox([TEST_KEY]).seal(columns.pop("config", {}))
        given = {"sandbox": True, **columns}
        names = ["id", "workspace_id", "kind", "name", "position", "config", *given]
        values = [provider_id, self.workspace_id, kind, name or f"provider {self.positions}", self.positions, config,
                  *given.values()]  # fmt: skip
        places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
        await self.database.pool.execute(f"INSERT INTO providers ({', '.join(names)}) VALUES ({places})", *values)
        return provider_id

    async def smtp(self, port: int, name: str = "", **columns: Any) -> uuid.UUID:
        """A real SMTP provider on loopback."""
        config = {"host": "127.0.0.1", "port": port, "security": "none", **columns.pop("config", {})}
        return await self.provider(name, "smtp", sandbox=False, config=config, **columns)

    async def event(
        self, *recipients: str, due_in_s: float = 0.0, expires_in_s: float | None = None, give_up_in_s: float = 86_400,
        workspace_id: uuid.UUID | None = None, **columns: Any,
    ) -> uuid.UUID:  # fmt: skip
        """An event with one message a recipient."""
        event_id, now = uuid7(), datetime.now(UTC)
        due_at = now + timedelta(seconds=due_in_s)
        expires_at = None if expires_in_s is None else now + timedelta(seconds=expires_in_s)
        to = recipients or ("ann@example.org",)
        given = {
            "id": event_id, "workspace_id": workspace_id or self.workspace_id, "subject": "Hello", "text": "Hi there.",
            "expected_sent_at": due_at, "priority": 1, "expires_at": expires_at, "failover": True,
            "on_uncertain": "resend", "first_recipients": [{"email": r, "name": None} for r in to],
            "recipients_count": len(to), "counts": {"scheduled": len(to)}, **columns,
        }  # fmt: skip
        places = ", ".join(f"${n}" for n in range(1, len(given) + 1))
        await self.database.pool.execute(f"INSERT INTO events ({', '.join(given)}) VALUES ({places})", *given.values())
        await self.database.pool.executemany(
            """INSERT INTO messages (id, workspace_id, event_id, recipient, due_at, next_try_at, priority, expires_at,
                                     give_up_at) VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8)""",
            [
                (uuid7(), given["workspace_id"], event_id, r, due_at, given["priority"], expires_at,
                 due_at + timedelta(seconds=give_up_in_s)) for r in to
            ],
        )  # fmt: skip
        return event_id

    async def messages(self, event_id: uuid.UUID) -> list[dict[str, Any]]:
        rows = await self.database.pool.fetch("SELECT * FROM messages WHERE event_id = $1 ORDER BY id", event_id)
        return [dict(row) for row in rows]

    async def message(self, event_id: uuid.UUID) -> dict[str, Any]:
        (row,) = await self.messages(event_id)
        return row

    async def attempts(self, event_id: uuid.UUID) -> list[dict[str, Any]]:
        rows = await self.database.pool.fetch(
            """SELECT t.* FROM attempts t JOIN messages m ON m.id = t.message_id
               WHERE m.event_id = $1 ORDER BY t.message_id, t.number""",
            event_id,
        )
        return [dict(row) for row in rows]

    async def story(self, event_id: uuid.UUID) -> list[tuple[str, str | None]]:
        """What was tried, in order: provider and outcome."""
        return [(attempt["provider_name"], attempt["outcome"]) for attempt in await self.attempts(event_id)]

    async def captured(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.database.pool.fetch("SELECT * FROM captured_mails ORDER BY id")]

    async def event_row(self, event_id: uuid.UUID) -> dict[str, Any]:
        """The event after a roll-up."""
        while await roll_up(self.database, ListCache(None, 0)):
            pass
        return dict(await self.database.pool.fetchrow("SELECT * FROM events WHERE id = $1", event_id) or {})

    async def until(self, event_id: uuid.UUID, *states: str, within_s: float = 10) -> list[dict[str, Any]]:
        """Wait until each of the event's messages is in one of these states."""
        async with asyncio.timeout(within_s):
            while True:
                messages = await self.messages(event_id)
                if all(message["state"] in states for message in messages):
                    return messages
                await asyncio.sleep(0.02)


@pytest.fixture
def quick(settings: Settings) -> Settings:
    """The times of delivery, shortened; nothing else."""
    return settings.model_copy(
        update={
            "lease_seconds": 1.0, "grace_seconds": 0.3, "patrol_seconds": 0.2, "rollup_seconds": 0.1,
            "retry_base_seconds": 0.2, "retry_cap_seconds": 1.0, "shutdown_seconds": 3.0,
            "smtp_dot_timeout_seconds": 1.0, "smtp_connect_timeout_seconds": 1.0, "smtp_command_timeout_seconds": 2.0,
            "circuit_open_seconds": 0.4, "circuit_cap_seconds": 1.6, "stall_seconds": 0.5,
        }
    )  # fmt: skip


@pytest.fixture
async def shop(database: Database, workspace_id: uuid.UUID, quick: Settings) -> Workshop:
    return Workshop(database, workspace_id, quick)


Working = Callable[..., "AsyncIterator[WorkerProcess]"]


@pytest.fixture
async def worker(shop: Workshop, redis: Redis) -> AsyncIterator[WorkerProcess]:
    """A running worker."""
    async with working(shop.settings, shop.database, redis) as process:
        yield process


@asynccontextmanager
async def working(
    settings: Settings, database: Database, redis: Redis | None, worker_id: uuid.UUID | None = None
) -> AsyncIterator[WorkerProcess]:
    """A worker that runs until the block ends, then stops as SIGTERM would have it."""
    process = WorkerProcess(settings, database, redis, worker_id or uuid7())
    stop = asyncio.Event()
    task: Awaitable[None] = asyncio.create_task(process.until(stop))
    try:
        yield process
    finally:
        stop.set()
        await task
