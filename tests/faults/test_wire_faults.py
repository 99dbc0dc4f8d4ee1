"""What can happen to the wire between a worker and an SMTP server: each mail still arrives, once but for real doubt."""

import pytest

from tests.faults.conftest import BIG
from tests.faults.proxy import Fault
from tests.faults.smtp_proxy import SmtpProxy
from tests.faults.workspace import Workspace


async def test_without_a_fault_every_mail_arrives_once(workspace: Workspace, line: SmtpProxy) -> None:
    await workspace.stand.worker()
    await workspace.accept(20)
    report = await workspace.settled()
    assert (report.sent, report.extra_copies, report.uncertain, line.fired.total()) == (20, 0, 0, 0)


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE_BODY, Fault.LATE_PAST_LEASE])
async def test_a_fault_that_leaves_no_doubt_costs_no_copy(workspace: Workspace, line: SmtpProxy, fault: Fault) -> None:
    await workspace.stand.worker()
    line.orders.extend([fault] * 3)
    await workspace.accept(12)
    report = await workspace.settled()
    assert line.fired[fault] == 3
    assert (report.sent, report.extra_copies, report.uncertain) == (12, 0, 0)


async def test_a_cut_within_the_body_is_no_doubt(workspace: Workspace, narrow_line: SmtpProxy) -> None:
    await workspace.stand.worker()
    narrow_line.orders.extend([Fault.RESET_MID_BODY] * 2)
    await workspace.accept(3, email_content=BIG)
    report = await workspace.settled()
    assert narrow_line.fired[Fault.RESET_MID_BODY] == 2
    assert (report.sent, report.extra_copies, report.uncertain) == (3, 0, 0)


@pytest.mark.parametrize("fault", [Fault.RESET_AFTER_LAST_BYTE, Fault.LATE_PAST_TIMEOUT])
async def test_a_mail_in_doubt_is_sent_once_more_and_no_other(
    workspace: Workspace, line: SmtpProxy, fault: Fault
) -> None:
    await workspace.stand.worker()
    line.orders.extend([fault] * 3)
    await workspace.accept(12)
    report = await workspace.settled()
    assert line.fired[fault] == 3
    assert (report.sent, report.extra_copies, report.uncertain) == (12, 3, 3)


async def test_a_mail_in_doubt_is_parked_where_its_caller_wants_at_most_one(
    workspace: Workspace, line: SmtpProxy
) -> None:
    await workspace.stand.worker()
    line.orders.extend([Fault.RESET_AFTER_LAST_BYTE, Fault.RESET_BEFORE_BODY])
    await workspace.accept(6, on_uncertain="park")
    report = await workspace.settled()
    assert line.fired[Fault.RESET_AFTER_LAST_BYTE] == 1
    assert (report.sent, report.parked, report.extra_copies, len(workspace.entries())) == (5, 1, 0, 6)


async def test_a_black_hole_is_waited_out(workspace: Workspace, line: SmtpProxy) -> None:
    await workspace.stand.worker()
    line.black_hole()
    await workspace.accept(6)
    await workspace.tried(1)
    await line.heal()
    report = await workspace.settled()
    assert line.fired["black hole"] >= 1
    assert (report.sent, report.extra_copies) == (6, 0)


async def test_a_server_that_refuses_connections_is_waited_for(workspace: Workspace, line: SmtpProxy) -> None:
    await workspace.stand.worker()
    line.refuse()
    await workspace.accept(6)
    await workspace.tried(2)
    await line.heal()
    report = await workspace.settled()
    assert (report.sent, report.extra_copies) == (6, 0)
