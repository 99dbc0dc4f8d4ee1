"""Time: a worker whose clock is wrong, many mails in one second, and instants that are not whole seconds."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.smtp_proxy import SmtpProxy
from tests.faults.workspace import Workspace

LATE_S = 1.5


@pytest.mark.parametrize("offset_s", [-300.0, 300.0])
async def test_a_workers_wrong_clock_makes_no_mail_early_or_late(
    workspace: Workspace, line: SmtpProxy, offset_s: float
) -> None:
    stand = workspace.stand
    stand.stop_workers()
    worker = await stand.start_worker(clock_offset_s=offset_s)
    recipients = await workspace.accept(5) + await workspace.accept(20, due_in_s=1.5)
    report = await workspace.settled()
    assert f"clock is off by {offset_s:+.0f} s" in worker.process.errors.read_text()
    assert (report.sent, report.uncertain, report.extra_copies) == (25, 0, 0)
    assert (await workspace.lateness_s(recipients))[-1] < LATE_S


async def test_a_thousand_mails_are_due_in_one_second(workspace: Workspace, line: SmtpProxy) -> None:
    stand = workspace.stand
    stand.stop_workers()
    await asyncio.gather(*(stand.start_worker(worker_concurrency="40") for _ in range(2)))
    due_at = (datetime.now(UTC) + timedelta(seconds=3)).replace(microsecond=0)
    recipients = await workspace.accept(1000, due_at=due_at, per_event=10)
    report = await workspace.settled(within_s=40)
    assert (report.sent, report.uncertain, report.extra_copies) == (1000, 0, 0)
    assert (await workspace.lateness_s(recipients))[0] < LATE_S


async def test_an_event_is_accepted_for_the_second_that_is_being_drained(workspace: Workspace, line: SmtpProxy) -> None:
    await workspace.stand.worker()
    due_at = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=0)
    recipients = await workspace.accept(100, due_at=due_at, per_event=10)
    await workspace.has_left()
    recipients += await workspace.accept(5, due_at=due_at)
    report = await workspace.settled()
    assert (report.sent, report.extra_copies) == (105, 0)
    late = [entry for entry in workspace.entries() if entry.recipient in recipients[-5:]]
    assert max(entry.at for entry in late) < datetime.now(UTC).timestamp()
    assert (await workspace.lateness_s(recipients))[-1] < 2 * LATE_S


async def test_a_time_that_is_no_whole_second_is_kept(workspace: Workspace, line: SmtpProxy) -> None:
    await workspace.stand.worker()
    due_at = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=700_000)
    recipients = await workspace.accept(5, due_at=due_at)
    report = await workspace.settled()  # which says when one has left before it was due
    assert (report.sent, report.extra_copies) == (5, 0)
    assert (await workspace.lateness_s(recipients))[-1] < LATE_S
