"""What the tests of this folder borrow from those of events and of delivery, and a list to begin with."""

import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest

from janus_mail.models.states import SuppressionReason
from janus_mail.storage.database import Database
from janus_mail.suppressions.add import Found, suppress
from tests.delivery.conftest import quick, shop, worker
from tests.events.conftest import schedule, stranger

__all__ = ["quick", "schedule", "shop", "stranger", "worker"]

Suppress = Callable[..., Awaitable[int]]


@pytest.fixture
def listed(database: Database, workspace_id: uuid.UUID) -> Suppress:
    """Puts addresses on the list of the workspace, by default as SendGrid tells of hard bounces."""

    async def run(
        *addresses: str, reason: str = "hard_bounce", source: str = "SendGrid", message_id: uuid.UUID | None = None,
        since: datetime | None = None, workspace_id: uuid.UUID = workspace_id,
    ) -> int:  # fmt: skip
        async with database.transaction() as connection:
            return await suppress(
                connection,
                [Found(workspace_id, a, SuppressionReason(reason), source, message_id, since) for a in addresses],
            )

    return run


async def rows(database: Database) -> list[dict[str, Any]]:
    """The list as it is stored."""
    found = await database.pool.fetch("SELECT * FROM suppressions ORDER BY address")
    return [dict(row) for row in found]
