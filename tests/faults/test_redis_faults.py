"""Redis is replaceable: without it, or with all it knew gone, mail is accepted and leaves in time."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import OutOfMemoryError

from tests.faults.smtp_proxy import SmtpProxy
from tests.faults.workspace import Workspace

LATE_S = 1.5


@pytest.fixture(autouse=True)
async def redis_comes_back(workspace: Workspace) -> AsyncIterator[None]:
    yield
    if workspace.stand.redis_server.pid is None:
        await workspace.stand.start_redis()
    await workspace.stand.redis.config_set("maxmemory", 0)


async def test_flushall_and_a_restart_of_the_worker_lose_nothing_and_delay_nothing(
    workspace: Workspace, line: SmtpProxy
) -> None:
    stand = workspace.stand
    stand.stop_workers()
    recipients = await workspace.accept(20, due_in_s=3)
    assert await stand.redis.dbsize() > 0
    await stand.redis.flushall()
    await stand.start_worker()
    report = await workspace.settled()
    assert (report.sent, report.uncertain, report.extra_copies) == (20, 0, 0)
    assert (await workspace.lateness_s(recipients))[-1] < LATE_S


async def test_redis_restarts_while_mail_is_accepted_and_leaves(workspace: Workspace, line: SmtpProxy) -> None:
    stand = workspace.stand
    await stand.worker()
    before = await workspace.accept(20, due_in_s=1.5)
    await stand.end_redis()
    await stand.start_redis()
    after = await workspace.accept(20, due_in_s=1)
    report = await workspace.settled()
    assert (report.sent, report.uncertain, report.extra_copies) == (40, 0, 0)
    assert (await workspace.lateness_s(before + after))[-1] < LATE_S


async def test_redis_out_of_memory_delays_nothing(workspace: Workspace, line: SmtpProxy) -> None:
    stand = workspace.stand
    await stand.worker()
    await stand.redis.config_set("maxmemory", 1)
    recipients = await workspace.accept(10) + await workspace.accept(10, due_in_s=1)
    report = await workspace.settled()
    with pytest.raises(OutOfMemoryError):
        await stand.redis.set("full", "yes")
    assert (report.sent, report.uncertain, report.extra_copies) == (20, 0, 0)
    assert (await workspace.lateness_s(recipients))[-1] < LATE_S


async def test_without_redis_mail_is_accepted_listed_and_sent(workspace: Workspace, line: SmtpProxy) -> None:
    stand = workspace.stand
    worker = await stand.worker()
    await stand.end_redis()
    recipients = await workspace.accept(10, due_in_s=0.5)
    listed = await stand.client.get("/api/events", headers=workspace.headers)
    assert len(listed.json()["data"]) == 10
    await asyncio.sleep(3)  # an outage, not a moment
    recipients += await workspace.accept(10)
    report = await workspace.settled()
    assert worker.process.alive
    assert (report.sent, report.uncertain, report.extra_copies) == (20, 0, 0)
    assert (await workspace.lateness_s(recipients))[-1] < LATE_S
