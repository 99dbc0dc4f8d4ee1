"""Retention: what is over and old goes, a little at a time; everything else stays as it is."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis
from uuid_utils.compat import uuid7

from janus_mail.delivery import retention
from janus_mail.delivery.bell import Bell
from janus_mail.delivery.patrol import Patrol
from janus_mail.delivery.retention import Retention
from janus_mail.storage.list_cache import ListCache
from tests.delivery.conftest import Workshop, working

DAYS = 30
OVER = ("sent", "failed", "canceled", "expired", "suppressed")
NOT_OVER = ("scheduled", "leased", "sending", "uncertain", "parked")


@pytest.fixture
def keeper(shop: Workshop) -> Retention:
    return Retention(shop.database, ListCache(None, 0), days=DAYS)


async def past(shop: Workshop, *states: str, made_days: float = 60, over_days: float = 40) -> uuid.UUID:
    """An event made so many days ago whose messages came to these states so many days ago, each with an attempt."""
    new_id, event_id = await shop.event(*(f"r{n}@example.org" for n in range(len(states)))), old_id(made_days)
    await shop.database.pool.execute(
        """INSERT INTO events SELECT (jsonb_populate_record(e, jsonb_build_object('id', $2::uuid))).*
           FROM events e WHERE id = $1""",
        new_id, event_id,
    )  # fmt: skip
    await shop.database.pool.execute("UPDATE messages SET event_id = $2 WHERE event_id = $1", new_id, event_id)
    await shop.database.pool.execute("DELETE FROM events WHERE id = $1", new_id)
    messages = await shop.messages(event_id)
    await shop.database.pool.executemany(
        """WITH moved AS (UPDATE messages SET state = $2, sent_at = clock_timestamp() WHERE id = $1 RETURNING *)
           INSERT INTO attempts (id, workspace_id, message_id, number, round, fence, worker_id, provider_id,
                                 provider_kind, provider_name, started_at, finished_at)
           SELECT $3, workspace_id, id, 1, 1, 1, $3, $3, 'ses', 'x', clock_timestamp(), clock_timestamp() FROM moved""",
        [(message["id"], state, uuid7()) for message, state in zip(messages, states, strict=True)],
    )
    await shop.database.pool.execute(
        "INSERT INTO event_dirty (workspace_id, event_id) VALUES ($1, $2)", shop.workspace_id, event_id
    )
    await shop.event_row(event_id)
    await shop.database.pool.execute(
        "UPDATE events SET updated_at = $2 WHERE id = $1", event_id, datetime.now(UTC) - timedelta(days=over_days)
    )
    return event_id


def old_id(days: float) -> uuid.UUID:
    """A UUIDv7 as it was made then."""
    milliseconds = int((datetime.now(UTC) - timedelta(days=days)).timestamp() * 1000)
    return uuid.UUID(int=milliseconds << 80 | uuid7().int & (1 << 80) - 1)


async def left(shop: Workshop) -> set[uuid.UUID]:
    return {row["id"] for row in await shop.database.pool.fetch("SELECT id FROM events")}


async def rows(shop: Workshop, table: str) -> int:
    many: int = await shop.database.pool.fetchval(f"SELECT count(*) FROM {table}")
    return many


async def test_what_is_over_and_old_goes_with_all_that_belongs_to_it(shop: Workshop, keeper: Retention) -> None:
    gone = [await past(shop, state) for state in OVER]
    gone.append(await past(shop, "sent", "failed", "canceled"))
    await shop.database.pool.execute(
        """INSERT INTO message_recipients (message_id, address, workspace_id, role, state, code, response)
           SELECT id, recipient, workspace_id, 'to', 'sent', '250', '' FROM messages"""
    )
    provider_id = await shop.provider()
    await shop.database.pool.execute(
        """INSERT INTO captured_mails (id, workspace_id, message_id, attempt_id, provider_id, sender, recipients,
                                       subject, content)
           SELECT id, workspace_id, id, id, $1, 'a', '{}', 's', '' FROM messages""",
        provider_id,
    )
    assert await keeper.tick() == 8
    assert await left(shop) == set()
    for table in ("messages", "attempts", "message_recipients", "captured_mails"):
        assert await rows(shop, table) == 0


async def test_what_waits_for_a_time_a_worker_or_a_person_stays_however_old(shop: Workshop, keeper: Retention) -> None:
    kept = {await past(shop, state, over_days=400, made_days=400) for state in NOT_OVER}
    # Half over is not over: its history stays whole.
    kept |= {await past(shop, "sent", state, "failed", over_days=400, made_days=400) for state in NOT_OVER}
    before = await rows(shop, "attempts")
    assert await keeper.tick() == 0
    assert await left(shop) == kept
    assert await rows(shop, "attempts") == before
    for event_id in kept:
        messages = [message["state"] for message in await shop.messages(event_id)]
        assert (await shop.event_row(event_id))["counts"] == {state: messages.count(state) for state in messages}


async def test_the_days_count_from_the_last_change_and_not_from_when_it_was_made(
    shop: Workshop, keeper: Retention
) -> None:
    recent = await past(shop, "sent", made_days=400, over_days=DAYS - 0.1)
    gone = await past(shop, "sent", made_days=400, over_days=DAYS + 0.1)
    new = await past(shop, "sent", made_days=1, over_days=0)
    await keeper.tick()
    assert await left(shop) == {recent, new}
    assert gone not in await left(shop)


async def test_what_was_retried_since_the_roll_up_stays(shop: Workshop, keeper: Retention) -> None:
    event_id = await past(shop, "failed")
    await shop.database.pool.execute("UPDATE messages SET state = 'scheduled'")
    assert await keeper.tick() == 0
    assert await left(shop) == {event_id}
    assert (await shop.event_row(event_id))["deleted_at"] is None


async def test_who_holds_an_event_is_not_waited_for(shop: Workshop, keeper: Retention) -> None:
    held, other = await past(shop, "failed"), await past(shop, "failed")
    async with shop.database.transaction() as connection:
        await connection.execute("SELECT FROM events WHERE id = $1 FOR NO KEY UPDATE", held)
        await keeper.tick()
        assert await left(shop) == {held}
    await keeper.tick()
    assert await left(shop) == set()
    assert other not in await left(shop)


async def test_many_rows_take_several_ticks_and_a_big_event_is_hidden_before_it_shrinks(
    shop: Workshop, keeper: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 4)
    monkeypatch.setattr(retention, "MOST_A_TICK", 8)
    monkeypatch.setattr(retention, "_PAUSE_S", 0)
    big = await past(shop, *["sent"] * 21)
    small = [await past(shop, "sent", made_days=50) for _ in range(6)]
    assert await keeper.tick() == 8
    assert (await shop.event_row(big))["deleted_at"] is not None
    assert await left(shop) == {big, *small}
    # Another worker takes up the duty: what is hidden is found again, also when the roll-up has come by.
    await shop.database.pool.execute("INSERT INTO event_dirty (workspace_id, event_id) VALUES ($1, $2)",
                                     shop.workspace_id, big)  # fmt: skip
    await shop.event_row(big)
    heir, ticks = Retention(shop.database, ListCache(None, 0), days=DAYS), []
    while await left(shop):
        ticks.append(await heir.tick())
        assert len(ticks) < 10
    assert sum(ticks) == 27 - 8
    assert max(ticks) <= 8
    assert await rows(shop, "messages") == 0


async def test_a_crowd_that_must_stay_does_not_keep_the_others_from_going(
    shop: Workshop, keeper: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "_LOOKS_A_TICK", 2)
    kept = {await past(shop, "scheduled", made_days=90) for _ in range(9)}
    await past(shop, "sent", made_days=50)
    ticks = [await keeper.tick() for _ in range(4)]
    assert sum(ticks) == 1
    assert ticks[0] == 0  # a tick looks at so many and no more
    assert await left(shop) == kept


async def test_the_lists_of_the_workspaces_concerned_are_read_anew_and_no_others(shop: Workshop, redis: Redis) -> None:
    cache = ListCache(redis, 60)
    other = uuid7()
    await shop.database.pool.execute("INSERT INTO workspaces (id, handle, name) VALUES ($1, 'other', 'other')", other)

    async def listed(workspace_id: uuid.UUID, page: bytes = b"") -> str:
        async def make() -> bytes:
            return page

        return (await cache.serve(workspace_id, "q", make))[1]

    await past(shop, "sent")
    await listed(shop.workspace_id)
    await listed(other)
    await Retention(shop.database, cache, days=DAYS).tick()
    assert await listed(shop.workspace_id) == "miss"
    assert await listed(other) == "hit"


async def test_the_patrol_removes_what_is_old_and_without_the_setting_nothing(
    shop: Workshop, keeper: Retention
) -> None:
    event_id = await past(shop, "sent")
    for each, expected in ((None, {event_id}), (keeper, set())):
        patrol = Patrol(shop.settings, shop.database, uuid7(), Bell(None, horizon_s=1), lambda: None, each)
        await patrol.tick()
        await patrol.leave()
        assert await left(shop) == expected


async def test_a_worker_with_the_setting_keeps_to_it(shop: Workshop) -> None:
    old, young = await past(shop, "sent", over_days=3, made_days=3), await past(shop, "sent", over_days=1, made_days=1)
    async with working(shop.settings.model_copy(update={"retention_days": 2}), shop.database, None):
        async with asyncio.timeout(10):
            while old in await left(shop):
                await asyncio.sleep(0.02)
    assert await left(shop) == {young}


async def feedback(shop: Workshop, age_days: float, many: int = 1, *, message_id: uuid.UUID | None = None) -> None:
    provider_id = await shop.provider(f"of {age_days} days {message_id}")
    await shop.database.pool.execute(
        """INSERT INTO feedback_events (id, workspace_id, provider_id, message_id, key, type, occurred_at, received_at)
           SELECT gen_random_uuid(), $1, $2, $3, 'key' || n, 'delivered', now(),
                  now() - $4::float8 * interval '1 day' FROM generate_series(1, $5::int) n""",
        shop.workspace_id, provider_id, message_id, age_days, many,
    )  # fmt: skip


async def test_feedback_that_fits_no_message_goes_by_its_own_age(shop: Workshop, keeper: Retention) -> None:
    await shop.event("ann@example.org")
    message_id = await shop.database.pool.fetchval("SELECT id FROM messages")
    await feedback(shop, DAYS + 1, retention.BATCH * 2 + 3)
    await feedback(shop, DAYS - 1, 2)
    await feedback(shop, DAYS + 1, 4, message_id=message_id)
    assert await keeper.tick() == 0
    left = await shop.database.pool.fetch(
        "SELECT message_id IS NULL AS unmatched, count(*)::int AS many FROM feedback_events GROUP BY 1 ORDER BY 1"
    )
    assert [tuple(row) for row in left] == [(False, 4), (True, 2)]


async def test_unmatched_feedback_is_removed_in_small_batches_that_wait_for_no_lock(
    shop: Workshop, keeper: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 5)
    await feedback(shop, DAYS + 1, 12)
    async with shop.database.transaction() as connection, asyncio.timeout(5):
        await connection.execute("SELECT id FROM feedback_events WHERE key = 'key7' FOR UPDATE")
        await keeper.tick()
        assert await shop.database.pool.fetchval("SELECT count(*) FROM feedback_events") == 1


@pytest.mark.parametrize(
    ("own_days", "server_days", "goes"),
    [(20, 30, True), (50, 30, False), (20, None, True), (50, None, False), (None, 30, True), (None, None, False)],
    ids=str,
)
async def test_a_workspace_keeps_its_mail_as_long_as_it_says_else_as_the_server_does(
    shop: Workshop, own_days: int | None, server_days: int | None, goes: bool
) -> None:
    """It was over 40 days ago; next door, where nobody says anything, the server's days count alone."""
    event_id = await past(shop, "sent", made_days=60, over_days=40)
    await shop.database.pool.execute("UPDATE workspaces SET retention_days = $1", own_days)
    next_door = uuid7()
    await shop.database.pool.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'next door')", next_door)
    theirs = old_id(60)
    await shop.database.pool.execute(
        """INSERT INTO events
           SELECT (jsonb_populate_record(e, jsonb_build_object('id', $2::uuid, 'workspace_id', $3::uuid))).*
           FROM events e WHERE id = $1""",
        event_id, theirs, next_door,
    )  # fmt: skip
    keeper = Retention(shop.database, ListCache(None, 0), days=server_days)
    for _ in range(3):
        await keeper.tick()
    assert (event_id not in await left(shop)) is goes
    assert (theirs not in await left(shop)) is (server_days is not None)


async def test_feedback_that_fits_no_message_goes_as_its_workspace_says(shop: Workshop) -> None:
    await feedback(shop, 40, 3)
    keeper = Retention(shop.database, ListCache(None, 0), days=None)
    await keeper.tick()
    assert await rows(shop, "feedback_events") == 3
    await shop.database.pool.execute("UPDATE workspaces SET retention_days = 50")
    await keeper.tick()
    assert await rows(shop, "feedback_events") == 3
    await shop.database.pool.execute("UPDATE workspaces SET retention_days = 30")
    await keeper.tick()
    assert await rows(shop, "feedback_events") == 0
