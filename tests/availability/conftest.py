"""A clock that tests move, and providers that belong to a workspace."""

import uuid

import pytest
from uuid_utils.compat import uuid7

from janus_mail.availability import quotas, rates
from janus_mail.storage.database import Database
from janus_mail.telemetry.boot_clock import boot_clock_s


class Clock:
    """Goes on by itself, and jumps when a test says so."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.stopped_at_s: float | None = None

    def __call__(self) -> float:
        return (boot_clock_s() if self.stopped_at_s is None else self.stopped_at_s) + self.ahead_s

    def stop(self) -> None:
        self.stopped_at_s = boot_clock_s()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (rates, quotas):
        monkeypatch.setattr(module, "boot_clock_s", clock)
    return clock


@pytest.fixture
async def provider_id(database: Database, workspace_id: uuid.UUID) -> uuid.UUID:
    """A provider of `workspace_id`."""
    provider_id = uuid7()
    await database.pool.execute(
        "INSERT INTO providers (id, workspace_id, kind, name, position, config) VALUES ($1, $2, 'ses', 'p', 1, '')",
        provider_id,
        workspace_id,
    )
    return provider_id
