"""How posts are worked on when one of them, or what it is about, does not let us."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from janus_mail.feedback import queries
from janus_mail.feedback import work as work_module
from janus_mail.feedback.work import ALONE_FROM, FeedbackWork
from janus_mail.storage.database import Database, _set_up
from tests.delivery.conftest import Workshop
from tests.feedback.conftest import Service, batch, event, message_sent

_SLOW = """
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF new.key = 'slow' THEN PERFORM pg_sleep(30); END IF; RETURN new; END $$;
    CREATE TRIGGER slow BEFORE INSERT ON feedback_events FOR EACH ROW EXECUTE FUNCTION slow()
"""


@asynccontextmanager
async def impatient(url: str, patience_s: float) -> AsyncIterator[Database]:
    """Whose statements may take so long."""
    pool = await asyncpg.create_pool(url, min_size=1, max_size=2, init=_set_up, command_timeout=patience_s)
    database = Database(pool, url)
    try:
        yield database
    finally:
        await database.close()


async def due(shop: Workshop) -> None:
    await shop.database.pool.execute("UPDATE hook_posts SET next_try_at = clock_timestamp()")


async def test_a_post_that_takes_too_long_holds_up_no_other(
    shop: Workshop, sendgrid: Service, database_url: str
) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    for told in (event("open", message_id, sg_event_id="slow"), event("delivered", message_id), event("click")):
        assert (await sendgrid.post(batch(told))).status_code == 200
    await shop.database.pool.execute(_SLOW)
    try:
        async with impatient(database_url, 0.5) as database, asyncio.timeout(15):
            assert await FeedbackWork(database, tick_s=60).work() == 3
    finally:
        await shop.database.pool.execute("DROP TRIGGER slow ON feedback_events; DROP FUNCTION slow")
    (post,) = await sendgrid.stored()
    assert (post["tries"], post["last_error"][:12]) == (1, "TimeoutError")
    assert sorted(one["type"] for one in await sendgrid.events()) == ["clicked", "delivered"]
    await due(shop)
    await sendgrid.done()
    assert len(await sendgrid.events()) == 3


async def test_a_post_that_ends_its_worker_is_not_met_first_for_ever(
    shop: Workshop, sendgrid: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: str) -> None:
        raise asyncio.CancelledError

    assert (await sendgrid.post(batch(event("delivered")))).status_code == 200
    monkeypatch.setattr(work_module, "reached", die)
    for tries in range(1, 5):
        with pytest.raises(asyncio.CancelledError):
            await sendgrid.work.work()
        assert await sendgrid.work.work() == 0
        wait_s = await shop.database.pool.fetchval(
            "SELECT extract(epoch FROM next_try_at - clock_timestamp()) FROM hook_posts WHERE tries = $1", tries
        )
        assert 5 * 2**tries - 5 < wait_s <= 5 * 2**tries
        await due(shop)


async def test_a_post_that_was_tried_in_vain_is_worked_on_by_itself(shop: Workshop, sendgrid: Service) -> None:
    for _ in range(6):
        assert (await sendgrid.post(batch(event("delivered")))).status_code == 200
    ids = [post["id"] for post in await sendgrid.stored()]
    await shop.database.pool.execute(
        "UPDATE hook_posts SET tries = $2 WHERE id = ANY($1::uuid[])", [ids[0], ids[3]], ALONE_FROM
    )
    assert [await sendgrid.work.work() for _ in range(4)] == [1, 4, 1, 0]
    assert len(await sendgrid.events()) == 6


async def test_a_locked_address_puts_the_posts_off_and_is_not_waited_for(
    shop: Workshop, sendgrid: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "WAIT_BRIEFLY", "SET LOCAL lock_timeout = '100ms'")
    message_id = await message_sent(shop, sendgrid.provider_id)
    assert (await sendgrid.post(batch(event("bounce", message_id, type="bounce")))).status_code == 200
    async with shop.database.transaction() as connection, asyncio.timeout(5):
        await connection.execute(
            "INSERT INTO suppressions (id, workspace_id, address, reason, source) VALUES ($1, $2, $3, 'manual', 'x')",
            uuid7(), shop.workspace_id, "ann@example.org",
        )  # fmt: skip
        assert await sendgrid.work.work() == 1
        (post,) = await sendgrid.stored()
        assert (post["tries"], "lock timeout" in post["last_error"]) == (1, True)
        assert await sendgrid.events() == []
    await due(shop)
    await sendgrid.done()
    assert await sendgrid.suppressed() == {"ann@example.org": "hard_bounce"}


async def test_an_address_that_is_not_snss_is_never_fetched(shop: Workshop) -> None:
    provider_id = await shop.provider("SES", "ses")
    body = {"Type": "SubscriptionConfirmation", "SubscribeURL": "https://169.254.169.254/?Action=ConfirmSubscription"}
    await _put(shop, provider_id, json.dumps(body).encode())

    async def never(_: str) -> bytes:
        raise AssertionError("it was fetched")

    assert await FeedbackWork(shop.database, tick_s=60, fetch=never).work() == 1
    assert await shop.database.pool.fetchval("SELECT tries FROM hook_posts") == 1


async def _put(shop: Workshop, provider_id: uuid.UUID, body: bytes) -> None:
    await shop.database.pool.execute(
        "INSERT INTO hook_posts (id, workspace_id, provider_id, kind, body) VALUES ($1, $2, $3, 'ses', $4)",
        uuid7(), shop.workspace_id, provider_id, body,
    )  # fmt: skip
