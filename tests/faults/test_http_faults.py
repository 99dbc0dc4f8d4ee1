"""What can happen to the wire between a worker and an HTTP service."""

from collections.abc import AsyncIterator

import pytest

from tests.faults.http_proxy import HttpProxy
from tests.faults.proxy import Fault
from tests.faults.workspace import Workspace


@pytest.fixture
async def http_line(workspace: Workspace) -> AsyncIterator[HttpProxy]:
    """The wire to the workspace's only provider."""
    async with HttpProxy.to(workspace.stand.http.port) as proxy:
        workspace.proxies.append(proxy)
        await workspace.http_provider(proxy.port)
        yield proxy


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE_BODY, Fault.RESET_MID_BODY])
async def test_a_request_that_the_service_never_had_whole_is_in_doubt_and_sent_once_more(
    workspace: Workspace, http_line: HttpProxy, fault: Fault
) -> None:
    await workspace.stand.worker()
    http_line.orders.extend([fault] * 2)
    await workspace.accept(8)
    report = await workspace.settled()
    assert http_line.fired[fault] == 2
    assert (report.sent, report.extra_copies) == (8, 0)


@pytest.mark.parametrize(
    ("fault", "extra"),
    [(Fault.RESET_AFTER_LAST_BYTE, 2), (Fault.LATE_PAST_TIMEOUT, 2), (Fault.LATE_PAST_LEASE, 0)],
)
async def test_an_answer_that_is_cut_or_late(
    workspace: Workspace, http_line: HttpProxy, fault: Fault, extra: int
) -> None:
    await workspace.stand.worker()
    http_line.orders.extend([fault] * 2)
    await workspace.accept(8)
    report = await workspace.settled()
    assert http_line.fired[fault] == 2
    assert (report.sent, report.extra_copies, report.uncertain) == (8, extra, extra)


async def test_a_doubtful_request_is_parked_where_its_caller_wants_at_most_one(
    workspace: Workspace, http_line: HttpProxy
) -> None:
    await workspace.stand.worker()
    http_line.orders.append(Fault.RESET_AFTER_LAST_BYTE)
    await workspace.accept(5, on_uncertain="park")
    report = await workspace.settled()
    assert http_line.fired[Fault.RESET_AFTER_LAST_BYTE] == 1
    assert (report.sent, report.parked, report.extra_copies, len(workspace.entries())) == (4, 1, 0, 5)


async def test_a_service_that_takes_connections_and_says_nothing_is_waited_out(
    workspace: Workspace, http_line: HttpProxy
) -> None:
    await workspace.stand.worker()
    http_line.black_hole()
    await workspace.accept(3)
    await workspace.tried(1)
    await http_line.heal()
    report = await workspace.settled()
    assert http_line.fired["black hole"] >= 1
    assert (report.sent, report.extra_copies) == (3, 0)


async def test_a_service_that_refuses_connections_is_left_for_the_next_provider(
    workspace: Workspace, http_line: HttpProxy
) -> None:
    await workspace.provider(workspace.stand.smtp.port)
    await workspace.stand.worker()
    http_line.refuse()
    await workspace.accept(6)
    report = await workspace.settled()
    tried = await workspace.stand.ask(
        "SELECT count(*) FROM attempts WHERE workspace_id = $1 AND outcome = 'provider_down'", workspace.id
    )
    assert tried >= 1
    assert (report.sent, report.uncertain, report.extra_copies) == (6, 0, 0)
