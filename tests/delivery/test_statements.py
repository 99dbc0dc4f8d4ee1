"""The statements that every mail passes through: that they agree with each other, and are planned for a large table."""

import uuid
from typing import Any

import pytest

from janus_mail.delivery.queries import lease, requests, tries
from janus_mail.delivery.record import Finish
from janus_mail.storage.database import Database
from tests.delivery.conftest import Workshop
from tests.delivery.test_races import Hand

# What no two messages share, or what a clock gave.
_OWN = {"id", "event_id", "message_id", "message_id_header", "dated_at"}
_TIMES = {"sent_at", "due_at", "next_try_at", "give_up_at", "started_at", "dispatched_at", "finished_at"}


async def ended(shop: Workshop, hand: Hand, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A message and its attempt after a try, without what differs from one to the next."""
    event_id = await shop.event()
    hold = await hand.claim()
    finish = hand.finish_of(hold, await hand.begin(hold), **changes)
    assert await hand.recorder.finish(finish)
    (attempt,) = await shop.attempts(event_id)
    message = await shop.message(event_id)
    assert attempt["started_at"] < attempt["dispatched_at"] < attempt["finished_at"]
    assert message["sent_at"] == attempt["finished_at"]
    return tuple(  # type: ignore[return-value]
        {name: value is None if name in _TIMES else value for name, value in row.items() if name not in _OWN}
        for row in (message, attempt)
    )


async def test_a_plain_end_is_written_as_any_other(shop: Workshop, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"provider_message_id": "4Q2x", "response": "2.0.0 Ok\0: queued as 4Q2x", "code": "250 2.0.0"}
    plain = await ended(shop, hand, **changes)
    with monkeypatch.context() as patch:
        patch.setattr(Finish, "is_plain", False)
        assert await ended(shop, hand, **changes) == plain
    assert plain[0]["state"] == "sent"
    assert plain[0]["provider_message_id"] == "4Q2x"


async def test_what_was_lost_meanwhile_is_not_sent(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    hold = await hand.claim()
    attempt_id = await hand.begin(hold)
    await shop.database.pool.execute("UPDATE messages SET fence = fence + 1")
    assert not await hand.recorder.finish(hand.finish_of(hold, attempt_id))
    assert (await shop.message(event_id))["state"] == "sending"


@pytest.fixture
def hand(shop: Workshop) -> Hand:
    return Hand(shop)


async def backlog(shop: Workshop) -> None:
    """5,000 messages of 50 events."""
    for _ in range(50):
        await shop.event(*(f"reader{n}@example.org" for n in range(100)))
    # What other tests left in the indexes would count as well: an index that is all garbage costs more.
    await shop.database.pool.execute("REINDEX TABLE messages")
    await shop.database.pool.execute("ANALYZE messages")


async def plan(database: Database, statement: str, *arguments: str) -> str:
    """As a worker's connection plans it: with nothing known of the arguments, which are given as SQL writes them."""
    async with database.pool.acquire() as connection:
        change = connection.transaction()
        await change.start()
        try:
            await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            await connection.execute(f"PREPARE hot AS {statement}")
            rows = await connection.fetch(f"EXPLAIN EXECUTE hot ({', '.join(arguments)})")
            await connection.execute("DEALLOCATE hot")
        finally:
            await change.rollback()
    return "\n".join(row[0] for row in rows)


ONE, NONE = f"'{uuid.uuid4()}'", "'{}'"


@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        (lease.CLAIM_BY_TIME, ("100", ONE, "60")),
        (lease.HISTORY, (NONE,)),
        (lease.RENEW, (ONE, "60", NONE, NONE)),
        (requests.TRY_WAITING_NOW, (ONE, "5000")),
    ],
    ids=["claim by time", "history", "renew", "try waiting now"],
)
async def test_what_a_worker_repeats_is_planned_for_a_few_rows_of_many(
    shop: Workshop, statement: str, arguments: tuple[str, ...]
) -> None:
    await backlog(shop)
    assert "Seq Scan on messages" not in await plan(shop.database, statement, *arguments)


@pytest.mark.parametrize("state", ["leased", "sending", "scheduled"])
@pytest.mark.parametrize("name", ["BEGIN", "FINISH", "FINISH_OTHERWISE", "LET_GO"])
async def test_a_try_finds_its_message_by_the_key_whatever_the_statistics_say(
    shop: Workshop, name: str, state: str
) -> None:
    await backlog(shop)
    await shop.database.pool.execute("UPDATE messages SET state = $1, lease_expires_at = clock_timestamp()", state)
    await shop.database.pool.execute("ANALYZE messages")
    statement: str = getattr(tries, name)
    found = await plan(shop.database, statement, *arguments_of(name))
    assert "pk_messages" in found
    assert "ix_messages_leases" not in found
    assert "uq_attempts_open" not in found
    assert "Seq Scan on messages" not in found


def arguments_of(name: str) -> list[str]:
    """Of the statement, with arrays that are empty."""
    times = {"BEGIN": ["60"], "FINISH_OTHERWISE": ["60", "30", "900"]}.get(name, [])
    arrays = {"BEGIN": 8, "FINISH": 9, "FINISH_OTHERWISE": 19, "LET_GO": 7}[name]
    return [ONE, *times, *[NONE] * arrays]
