"""One stand a test process, a workspace of its own for each test."""

from collections.abc import AsyncIterator

import pytest

from tests.faults.smtp_proxy import SmtpProxy
from tests.faults.stand import Stand, open_stand
from tests.faults.workspace import Workspace

BIG = "All work and no play. " * 30_000


@pytest.fixture(scope="session")
async def stand() -> AsyncIterator[Stand]:
    async with open_stand() as stand:
        yield stand


@pytest.fixture
async def workspace(stand: Stand) -> AsyncIterator[Workspace]:
    """Without a provider yet. Workers that a fault has struck do not outlive their test."""
    yield await Workspace.make(stand)
    if said := stand.words_of_the_dying():
        print(said)  # noqa: T201  (pytest shows it when the test failed)
    if len(stand.workers) > 1 or any(worker.killed or worker.altered for worker in stand.workers):
        stand.stop_workers()


@pytest.fixture
async def line(workspace: Workspace) -> AsyncIterator[SmtpProxy]:
    """The wire to the workspace's only provider."""
    async with SmtpProxy.to(workspace.stand.smtp.port) as proxy:
        workspace.proxies.append(proxy)
        await workspace.provider(proxy.port)
        yield proxy


@pytest.fixture
async def narrow_line(workspace: Workspace) -> AsyncIterator[SmtpProxy]:
    """The same, so narrow that a worker is really within a body of `BIG` when it breaks there."""
    async with SmtpProxy.to(workspace.stand.smtp.port, narrow=True) as proxy:
        workspace.proxies.append(proxy)
        await workspace.provider(proxy.port)
        yield proxy
