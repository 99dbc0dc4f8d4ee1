"""An event's counts are the sum of its messages' states."""

import asyncio
import random

import pytest

from janus_mail.delivery.rollup import roll_up, status_of
from janus_mail.storage.list_cache import ListCache
from tests.delivery.conftest import Workshop


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ({"scheduled": 2}, "pending"),
        ({"scheduled": 1, "leased": 1}, "pending"),
        ({"scheduled": 1, "sending": 1}, "sending"),
        ({"scheduled": 1, "sent": 1}, "sending"),
        ({"scheduled": 1, "canceled": 1}, "sending"),
        ({"uncertain": 1}, "sending"),
        ({"sent": 3}, "sent"),
        ({"sent": 1, "failed": 1}, "partly_sent"),
        ({"sent": 1, "canceled": 1}, "partly_sent"),
        ({"parked": 1, "failed": 1}, "parked"),
        ({"failed": 1, "suppressed": 1, "canceled": 5}, "failed"),
        ({"suppressed": 1, "expired": 1}, "suppressed"),
        ({"expired": 1, "canceled": 1}, "expired"),
        ({"canceled": 1}, "canceled"),
    ],
)
def test_status_follows_from_the_states(states: dict[str, int], status: str) -> None:
    assert status_of(states) == status


def test_an_event_that_waits_after_a_try_is_not_pending_any_more() -> None:
    assert status_of({"scheduled": 1}, begun=True) == "sending"


async def test_two_workers_that_roll_up_at_once_lose_no_change(shop: Workshop) -> None:
    events = [await shop.event(*(f"r{n}@example.org" for n in range(10))) for _ in range(10)]
    cache = ListCache(None, 0)

    async def change() -> None:
        for _ in range(60):
            await shop.database.pool.execute(
                """WITH moved AS (UPDATE messages SET state = 'canceled'
                                  WHERE id = (SELECT id FROM messages WHERE event_id = $1 AND state = 'scheduled'
                                              LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING workspace_id, event_id)
                   INSERT INTO event_dirty (workspace_id, event_id) SELECT workspace_id, event_id FROM moved""",
                random.choice(events),
            )

    async def roll() -> None:
        for _ in range(30):
            await roll_up(shop.database, cache)

    await asyncio.gather(change(), change(), roll(), roll())
    for event_id in events:
        event, messages = await shop.event_row(event_id), await shop.messages(event_id)
        states = [message["state"] for message in messages]
        assert event["counts"] == {state: states.count(state) for state in set(states)}
