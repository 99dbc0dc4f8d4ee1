"""How much memory a worker takes while it sends many big mails: about what its weights allow, and no more."""

import asyncio
import os
import random
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

from uuid_utils.compat import uuid7

from janus_mail.delivery.weights import MOST_BYTES
from janus_mail.settings import Settings
from tests.conftest import TEST_KEY
from tests.delivery.conftest import Workshop
from tests.providers.fake_http import Reply
from tests.providers.fake_sendgrid import FakeSendGrid
from tests.providers.sendgrid_rules import KEY

MAILS = 60
WORKSPACES = 3  # one alone has half the weights at most
OCTETS = 10_000_000
ALLOCATOR = 2  # it keeps a good deal of what is freed for later


async def test_60_mails_of_10_mb_take_about_the_memory_that_they_are_weighed(
    shop: Workshop, settings: Settings
) -> None:
    server = await FakeSendGrid(always=Reply(202, headers={"X-Message-Id": "taken"})).start()
    try:
        async with _worker(settings) as pid:
            await _ready(shop)
            before = _memory(pid, "VmRSS")
            events = await _events(shop, server.url)
            async with asyncio.timeout(60):
                while await shop.database.pool.fetchval("SELECT count(*) FROM messages WHERE state <> 'sent'"):
                    server.requests.clear()  # this process is not to have them all
                    await asyncio.sleep(0.02)
            more = _memory(pid, "VmHWM") - before
    finally:
        await server.stop()
    assert len(events) == MAILS
    assert MOST_BYTES / 4 < more < MOST_BYTES * ALLOCATOR


async def _events(shop: Workshop, url: str) -> list[uuid.UUID]:
    """One mail each, due together; each has the file for itself as far as the worker knows."""
    content = random.Random(1).randbytes(OCTETS)
    digest, config = sha256(content), {"api_key": KEY, "endpoint": url}
    paper = {"filename": "a.pdf", "content_type": "application/pdf", "size": OCTETS, "digest": digest.hexdigest(),
             "content_id": None}  # fmt: skip
    made = []
    for number in range(WORKSPACES):
        workspace_id = await shop.database.pool.fetchval(
            "INSERT INTO workspaces (id, name, from_email) VALUES ($1, $2, 'janus@example.com') RETURNING id",
            uuid7(), f"number {number}",
        )  # fmt: skip
        await shop.database.pool.execute(
            "INSERT INTO attachments (workspace_id, digest, size, content) VALUES ($1, $2, $3, $4)",
            workspace_id, digest.digest(), OCTETS, content,
        )  # fmt: skip
        own = Workshop(shop.database, workspace_id, shop.settings)
        await own.provider("SendGrid", "sendgrid", sandbox=False, config=config, from_email="news@example.com")
        made += [await own.event(attachments=[paper]) for _ in range(MAILS // WORKSPACES)]
    return made


@asynccontextmanager
async def _worker(settings: Settings) -> AsyncIterator[int]:
    """A worker of its own process; its id."""
    assert settings.database_url is not None
    environment = {
        "DATABASE_URL": settings.database_url.get_secret_value(), "JANUS_ENV": "development",
        "JANUS_SECRET_KEYS": TEST_KEY, "JANUS_PATROL_SECONDS": "0.2", "PATH": os.environ["PATH"],
        "JANUS_ALLOW_PRIVATE_HOSTS": "true",
    }  # fmt: skip
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c",
        "import uuid; from janus_mail.settings import load_settings; from janus_mail import worker; "
        "worker.run(load_settings(), worker_id=uuid.uuid4())",
        env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield worker.pid
    finally:
        worker.terminate()
        await worker.wait()


async def _ready(shop: Workshop) -> None:
    async with asyncio.timeout(20):
        while not await shop.database.pool.fetchval("SELECT count(*) FROM workers"):
            await asyncio.sleep(0.02)


def _memory(pid: int, which: str) -> int:
    """Bytes, as Linux counts them."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{which}:"))
