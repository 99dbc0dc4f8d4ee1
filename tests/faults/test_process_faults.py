"""Processes that are killed, stopped or told to end in the middle of their work."""

import asyncio
import signal

import pytest

from tests.faults.conftest import BIG
from tests.faults.proxy import Fault
from tests.faults.smtp_proxy import SmtpProxy
from tests.faults.workspace import Workspace


@pytest.mark.parametrize(
    ("place", "uncertain", "extra"),
    [
        ("after_begin", 1, 0),
        ("before_last_byte", 1, 0),
        ("after_accepted", 1, 1),
        ("after_finish", 0, 0),
    ],
)
async def test_a_worker_is_killed_at_each_step_of_a_mail(
    workspace: Workspace, line: SmtpProxy, place: str, uncertain: int, extra: int
) -> None:
    stand = workspace.stand
    stand.stop_workers()
    doomed = await stand.start_worker(crash_at=f"{place}:3", worker_concurrency="1", claim_batch="5")
    await workspace.accept(12)
    await doomed.crashed()
    await stand.start_worker()
    report = await workspace.settled()
    assert (report.sent, report.uncertain, report.extra_copies) == (12, uncertain, extra)


async def test_a_worker_is_killed_when_it_has_claimed_and_begun_nothing(workspace: Workspace, line: SmtpProxy) -> None:
    stand = workspace.stand
    stand.stop_workers()
    await workspace.accept(12)
    doomed = await stand.start_worker(crash_at="after_claim", claim_batch="5")
    await doomed.crashed()
    assert list((await workspace.states()).values()).count("leased") > 0
    await stand.start_worker()
    report = await workspace.settled()
    assert (report.sent, report.uncertain, report.extra_copies) == (12, 0, 0)


@pytest.mark.parametrize("place", ["after_begin", "after_accepted"])
async def test_what_a_killed_worker_leaves_in_doubt_is_parked_where_at_most_one_copy_is_wanted(
    workspace: Workspace, line: SmtpProxy, place: str
) -> None:
    stand = workspace.stand
    stand.stop_workers()
    doomed = await stand.start_worker(crash_at=f"{place}:4", worker_concurrency="1")
    await workspace.accept(8, on_uncertain="park")
    await doomed.crashed()
    await stand.start_worker()
    report = await workspace.settled()
    assert (report.sent, report.parked, report.extra_copies) == (7, 1, 0)


async def test_the_api_is_killed_between_commit_and_ring(workspace: Workspace, line: SmtpProxy) -> None:
    stand = workspace.stand
    await stand.worker()
    doomed = await stand.start_api(crash_at="after_accept")
    accepting = asyncio.create_task(workspace.accept(5))
    assert await doomed.ended(within_s=10) == -signal.SIGKILL
    await stand.start_api()
    await accepting
    report = await workspace.settled()
    assert (report.accepted, report.sent, report.extra_copies) == (5, 5, 0)


async def test_the_holder_of_the_patrol_is_killed(workspace: Workspace, line: SmtpProxy) -> None:
    stand = workspace.stand
    stand.stop_workers()
    doubtful = await stand.start_worker(crash_at="after_begin:2", worker_concurrency="1")
    await workspace.accept(6)
    await doubtful.crashed()
    holder = await stand.start_worker(crash_at="in_patrol:2")
    await holder.crashed()
    await stand.start_worker()
    report = await workspace.settled()
    assert (report.sent, report.uncertain, report.extra_copies) == (6, 1, 0)


async def test_sigterm_lets_what_is_leaving_finish_and_gives_the_rest_back(
    workspace: Workspace, narrow_line: SmtpProxy
) -> None:
    stand = workspace.stand
    stand.stop_workers()
    leaving = await stand.start_worker(worker_concurrency="4")
    narrow_line.orders.extend([Fault.SLOW_BODY] * 2)
    await workspace.accept(8, email_content=BIG)
    await narrow_line.until_fired(Fault.SLOW_BODY)
    leaving.process.send(signal.SIGTERM)
    assert await leaving.process.ended(within_s=10) == 0
    states = await workspace.states()
    assert set(states.values()) <= {"sent", "scheduled"}
    assert len(workspace.entries()) == list(states.values()).count("sent") >= 1
    assert "scheduled" in states.values()
    await stand.start_worker()
    report = await workspace.settled()
    assert (report.sent, report.uncertain, report.extra_copies) == (8, 0, 0)


async def test_a_worker_that_was_stopped_past_its_lease_within_a_body_does_not_complete_it(
    workspace: Workspace, narrow_line: SmtpProxy
) -> None:
    stand = workspace.stand
    stand.stop_workers()
    # Its own timeout must not be what ends the conversation.
    frozen = await stand.start_worker(worker_concurrency="1", smtp_block_timeout_seconds="60")
    narrow_line.orders.append(Fault.SLOW_BODY)
    await workspace.accept(4, email_content=BIG)
    await narrow_line.until_fired(Fault.SLOW_BODY)
    frozen.freeze()
    await stand.start_worker()
    await workspace.all_final()
    frozen.thaw()
    await narrow_line.quiet()
    await stand.has_beaten(frozen)
    report = await workspace.settled()
    assert (report.sent, report.uncertain, report.extra_copies) == (4, 1, 0)


async def test_a_worker_that_was_stopped_past_its_lease_waiting_for_a_250_costs_a_copy_of_that_mail_alone(
    workspace: Workspace, line: SmtpProxy
) -> None:
    stand = workspace.stand
    stand.stop_workers()
    frozen = await stand.start_worker()
    line.orders.extend([Fault.LATE_PAST_LEASE] * 3)
    await workspace.accept(30)
    await line.until_fired(Fault.LATE_PAST_LEASE, 3)
    frozen.freeze()
    await stand.start_worker()
    await workspace.all_final()
    frozen.thaw()
    await stand.has_beaten(frozen)
    report = await workspace.settled()
    assert report.sent == 30
    assert 3 <= report.extra_copies <= frozen.concurrency


@pytest.mark.parametrize("many", [2, 4])
async def test_workers_share_the_work_and_send_each_mail_once(workspace: Workspace, line: SmtpProxy, many: int) -> None:
    stand = workspace.stand
    await asyncio.gather(*(stand.start_worker(claim_batch="10") for _ in range(many)))
    await workspace.accept(400, per_event=20)
    report = await workspace.settled()
    took_part = await stand.ask("SELECT count(DISTINCT worker_id) FROM attempts WHERE workspace_id = $1", workspace.id)
    assert took_part == many
    assert (report.sent, report.uncertain, report.extra_copies) == (400, 0, 0)
