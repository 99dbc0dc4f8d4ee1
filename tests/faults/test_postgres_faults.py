"""PostgreSQL breaks: what was accepted is there, what was begun is known, and a 250 in hand is written down."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from janus_mail.delivery.queries import lease, tries
from tests.faults.postgres_proxy import Cut, Order, PostgresProxy
from tests.faults.proxy import Fault
from tests.faults.smtp_proxy import SmtpProxy
from tests.faults.stand import LEASE_S
from tests.faults.workspace import Workspace

OUTAGE_S = 3.0  # three leases


@pytest.fixture(autouse=True)
async def postgres_comes_back(workspace: Workspace) -> AsyncIterator[None]:
    yield
    if workspace.stand.postgres.pid is None:
        await workspace.stand.start_postgres()


async def test_an_immediate_restart_while_mail_is_accepted_and_leaves(workspace: Workspace, line: SmtpProxy) -> None:
    stand = workspace.stand
    worker = await stand.worker()
    await workspace.accept(300, per_event=10)
    await workspace.has_left(20)
    await stand.end_postgres(immediate=True)
    accepting = asyncio.create_task(workspace.accept(20))
    await stand.start_postgres()
    await accepting
    report = await workspace.settled(within_s=40)
    assert worker.process.alive
    assert (report.accepted, report.sent, report.extra_copies) == (320, 320, 0)


async def test_the_backends_are_killed_while_mail_is_leaving(workspace: Workspace, line: SmtpProxy) -> None:
    stand = workspace.stand
    await stand.worker()
    await workspace.accept(200, per_event=10)
    await workspace.has_left(20)
    killed = await stand.ask(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = 'janus' AND pid <> pg_backend_pid()"
    )
    assert killed >= 2
    report = await workspace.settled(within_s=30)
    assert (report.sent, report.extra_copies) == (200, 0)


@pytest.mark.parametrize("cut", list(Cut))
@pytest.mark.parametrize("step", ["claim", "begin", "finish"])
async def test_the_connection_is_cut_during_a_commit(
    workspace: Workspace, line: SmtpProxy, step: str, cut: Cut
) -> None:
    stand = workspace.stand
    statement = {"claim": lease.CLAIM_BY_TIME, "begin": tries.BEGIN, "finish": tries.FINISH}[step]
    stand.stop_workers()
    folder = stand.folder / f"proxy-{workspace.domain}"
    async with PostgresProxy.to(stand.environment["DATABASE_URL"], folder) as (proxy, dsn):
        await stand.start_worker(database_url=dsn)
        proxy.orders.extend([Order(statement, cut)] * 2)
        for _ in range(3):
            await workspace.accept(4)
            await asyncio.sleep(0.2)
        await proxy.all_fired()
        report = await workspace.settled()
        stand.stop_workers()
    assert proxy.fired[cut] == 2
    assert (report.sent, report.uncertain, report.extra_copies) == (12, 0, 0)


async def test_postgresql_is_gone_for_longer_than_a_lease_while_mail_is_accepted(
    workspace: Workspace, line: SmtpProxy
) -> None:
    stand = workspace.stand
    worker = await stand.worker()
    await workspace.accept(5, due_in_s=1)
    await stand.end_postgres()
    accepting = asyncio.create_task(workspace.accept(10))
    await asyncio.sleep(OUTAGE_S)
    await stand.start_postgres()
    await accepting
    report = await workspace.settled(within_s=30)
    assert worker.process.alive
    assert workspace.unavailable
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in workspace.unavailable)
    assert (report.accepted, report.sent, report.uncertain, report.extra_copies) == (15, 15, 0, 0)


async def test_postgresql_is_gone_for_longer_than_a_lease_while_a_worker_holds_250s(
    workspace: Workspace, line: SmtpProxy
) -> None:
    stand = workspace.stand
    await stand.worker()
    line.orders.extend([Fault.SLOW_ANSWER] * 3)
    await workspace.accept(3)
    await line.until_fired(Fault.SLOW_ANSWER, 3)
    await stand.end_postgres(immediate=True)
    assert OUTAGE_S > 2 * LEASE_S
    await asyncio.sleep(OUTAGE_S)
    await stand.start_postgres()
    report = await workspace.settled(within_s=30)
    assert (report.sent, report.extra_copies, len(workspace.entries())) == (3, 0, 3)


async def test_a_worker_starts_while_its_connections_keep_breaking(workspace: Workspace, line: SmtpProxy) -> None:
    stand = workspace.stand
    stand.stop_workers()
    await workspace.accept(3)
    folder = stand.folder / f"proxy-{workspace.domain}"
    async with PostgresProxy.to(stand.environment["DATABASE_URL"], folder) as (proxy, dsn):
        proxy.breaks.extend((1, 6, 14))
        worker = await stand.start_worker(database_url=dsn)
        await proxy.all_fired()
        report = await workspace.settled()
        assert worker.process.alive
        stand.stop_workers()
    assert (report.sent, report.uncertain, report.extra_copies) == (3, 0, 0)
