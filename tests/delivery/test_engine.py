"""The way of one mail through the engine: claimed when due, sent along its route, recorded."""

import asyncio
import email
import email.policy
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from janus_mail.availability.circuits import settings_changed
from janus_mail.availability.provider_book import ProviderBook
from janus_mail.delivery.control import pause, resume
from janus_mail.providers.timeouts import Timeouts
from janus_mail.storage.secrets import SecretBox
from janus_mail.worker import WorkerProcess
from tests.conftest import TEST_KEY
from tests.delivery.conftest import Workshop, working


async def test_a_due_mail_is_sent_once_and_recorded(shop: Workshop, worker: WorkerProcess) -> None:
    await shop.provider("Amazon SES")
    event_id = await shop.event("ann@example.org")
    worker.engine.wake()
    (message,) = await shop.until(event_id, "sent")
    (attempt,) = await shop.attempts(event_id)
    assert (attempt["outcome"], attempt["number"], attempt["provider_name"]) == ("accepted", 1, "Amazon SES")
    assert attempt["started_at"] <= attempt["dispatched_at"] <= attempt["finished_at"]
    assert message["attempt_count"] == 1
    assert message["lease_expires_at"] is None
    (caught,) = await shop.captured()
    mail = email.message_from_bytes(caught["content"], policy=email.policy.default)
    assert (mail["To"], mail["Subject"], mail["From"]) == ("ann@example.org", "Hello", "Janus <janus@example.com>")
    assert mail["Message-ID"] == message["message_id_header"]
    event = await shop.event_row(event_id)
    assert (event["status"], event["counts"]) == ("sent", {"sent": 1})
    assert event["exactly_sent_at"] == message["sent_at"]


async def test_a_mail_leaves_at_its_time_and_not_before(shop: Workshop, worker: WorkerProcess) -> None:
    await shop.provider()
    event_id = await shop.event(due_in_s=0.7)
    worker.engine.wake()
    (message,) = await shop.until(event_id, "sent")
    lateness = (message["sent_at"] - message["due_at"]).total_seconds()
    assert 0 <= lateness < 0.3


async def test_the_bell_wakes_the_engine_at_once(shop: Workshop, worker: WorkerProcess) -> None:
    await shop.provider()
    await asyncio.sleep(0.3)  # the engine sleeps by now
    event_id = await shop.event()
    worker.bell.ring([datetime.now(UTC)])
    await shop.until(event_id, "sent", within_s=1)


async def test_without_redis_mail_still_leaves(shop: Workshop) -> None:
    await shop.provider()
    async with working(shop.settings, shop.database, None):
        event_id = await shop.event(due_in_s=0.3)
        await shop.until(event_id, "sent")


async def test_a_provider_that_is_down_is_failed_over(shop: Workshop, worker: WorkerProcess) -> None:
    await shop.provider("first", sandbox_mode="down")
    await shop.provider("second")
    event_id = await shop.event()
    worker.engine.wake()
    (message,) = await shop.until(event_id, "sent")
    assert await shop.story(event_id) == [("first", "provider_down"), ("second", "accepted")]
    assert message["last_error"] is None


async def test_a_throttled_provider_rests_and_is_not_asked_again(shop: Workshop, worker: WorkerProcess) -> None:
    await shop.provider("first", sandbox_mode="throttled")
    await shop.provider("second")
    one = await shop.event()
    worker.engine.wake()
    await shop.until(one, "sent")
    two = await shop.event()
    worker.engine.wake()
    await shop.until(two, "sent")
    assert await shop.story(one) == [("first", "throttled"), ("second", "accepted")]
    assert await shop.story(two) == [("second", "accepted")]


async def test_a_provider_that_rests_is_asked_again_once_its_settings_were_changed(
    shop: Workshop, worker: WorkerProcess
) -> None:
    provider_id = await shop.provider("first", sandbox_mode="throttled")
    await shop.provider("second")
    worker.engine.wake()
    await shop.until(await shop.event(), "sent")
    async with shop.database.transaction() as connection:
        await connection.execute("UPDATE providers SET sandbox_mode = 'down' WHERE id = $1", provider_id)
        await settings_changed(connection, shop.workspace_id, provider_id)
    async with asyncio.timeout(5):
        while True:  # the worker reads its providers anew once a second
            event_id = await shop.event()
            worker.engine.wake()
            await shop.until(event_id, "sent")
            if await shop.story(event_id) == [("first", "provider_down"), ("second", "accepted")]:
                break


async def test_a_rejected_recipient_fails_without_failover(shop: Workshop, worker: WorkerProcess) -> None:
    await shop.provider("first")
    await shop.provider("second")
    event_id = await shop.event("bounced@example.org", "ann@example.org")
    worker.engine.wake()
    failed, sent = await shop.until(event_id, "sent", "failed")
    assert (failed["state"], sent["state"]) == ("failed", "sent")
    assert await shop.story(event_id) == [("first", "recipient_rejected"), ("first", "accepted")]
    event = await shop.event_row(event_id)
    assert (event["status"], event["counts"]) == ("partly_sent", {"failed": 1, "sent": 1})
    assert event["error_message"] == "recipient_rejected: 550 5.1.1 No such mailbox here"


async def test_with_every_provider_down_it_waits_and_goes_out_later(shop: Workshop, worker: WorkerProcess) -> None:
    await shop.provider("only", sandbox_mode="down")
    event_id = await shop.event()
    worker.engine.wake()
    async with asyncio.timeout(5):
        while (await shop.message(event_id))["waiting_for"] != "retry":
            await asyncio.sleep(0.02)
    await shop.database.pool.execute("UPDATE providers SET sandbox_mode = 'ok'")
    (message,) = await shop.until(event_id, "sent")
    assert message["round"] > 1
    assert message["due_at"] < message["next_try_at"]


async def test_a_mail_is_given_up_when_its_time_is_over(shop: Workshop, worker: WorkerProcess) -> None:
    await shop.provider("only", sandbox_mode="down")
    event_id = await shop.event(give_up_in_s=0.5)
    worker.engine.wake()
    (message,) = await shop.until(event_id, "failed")
    assert message["last_error"].startswith("provider_down")


async def test_a_provider_that_is_limited_to_sender_domains_sends_for_them(
    shop: Workshop, worker: WorkerProcess
) -> None:
    await shop.provider("theirs", sender_domains=["other.example"])
    await shop.provider("ours", sender_domains=["example.com"])
    event_id = await shop.event()
    worker.engine.wake()
    await shop.until(event_id, "sent")
    assert await shop.story(event_id) == [("ours", "accepted")]


async def test_a_fault_of_ours_before_a_try_does_not_come_round_at_once(
    shop: Workshop, worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.provider()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("janus_mail.delivery.send.outgoing", broken)
        event_id = await shop.event()
        worker.engine.wake()
        async with asyncio.timeout(5):
            while (await shop.message(event_id))["waiting_for"] != "retry":
                await asyncio.sleep(0.02)
        assert (await shop.message(event_id))["last_error"].startswith("internal_error")
    await shop.until(event_id, "sent")


async def test_a_provider_that_changed_gets_a_new_adapter_and_the_old_one_is_closed(shop: Workshop) -> None:
    book = ProviderBook(shop.database, SecretBox([TEST_KEY]), Timeouts())
    await shop.provider("first")
    (before,) = await book.of(shop.workspace_id)
    assert before.adapter is not None
    closed = asyncio.Event()

    async def close() -> None:
        closed.set()

    before.adapter.close = close  # type: ignore[method-assign]
    await shop.database.pool.execute("UPDATE providers SET sandbox_mode = 'down'")
    book._routes.clear()
    book._routes[shop.workspace_id] = (float("-inf"), [before])
    (after,) = await book.of(shop.workspace_id)
    assert after is not before
    await asyncio.wait_for(closed.wait(), 5)


async def test_an_expired_mail_is_not_sent(shop: Workshop, worker: WorkerProcess) -> None:
    await shop.provider()
    event_id = await shop.event(expires_in_s=-1)
    worker.engine.wake()
    await shop.until(event_id, "expired")
    assert await shop.attempts(event_id) == []
    assert (await shop.event_row(event_id))["status"] == "expired"


async def test_a_mail_without_any_provider_waits_for_one(shop: Workshop, worker: WorkerProcess) -> None:
    event_id = await shop.event()
    worker.engine.wake()
    async with asyncio.timeout(5):
        while (await shop.message(event_id))["waiting_for"] != "circuit":
            await asyncio.sleep(0.02)
    assert "none is configured" in (await shop.message(event_id))["last_error"]
    await shop.provider()
    await shop.until(event_id, "sent")


async def test_an_uncertain_mail_is_sent_once_more_with_the_same_bytes(shop: Workshop, worker: WorkerProcess) -> None:
    provider_id = await shop.provider("first", sandbox_mode="cut_off")
    await shop.provider("second")
    event_id = await shop.event()
    worker.engine.wake()
    await shop.until(event_id, "uncertain")
    before = await shop.message(event_id)
    await shop.database.pool.execute("UPDATE providers SET sandbox_mode = 'ok' WHERE id = $1", provider_id)
    (message,) = await shop.until(event_id, "sent")
    assert await shop.story(event_id) == [("first", "uncertain"), ("first", "accepted")]
    assert (message["message_id_header"], message["dated_at"]) == (before["message_id_header"], before["dated_at"])
    assert message["resends"] == 1


async def test_a_second_uncertain_parks(shop: Workshop, worker: WorkerProcess) -> None:
    await shop.provider("first", sandbox_mode="cut_off")
    event_id = await shop.event()
    worker.engine.wake()
    await shop.until(event_id, "parked")
    assert await shop.story(event_id) == [("first", "uncertain"), ("first", "uncertain")]
    assert (await shop.event_row(event_id))["status"] == "parked"


async def test_under_park_an_uncertain_mail_is_never_sent_again(shop: Workshop, worker: WorkerProcess) -> None:
    await shop.provider("first", sandbox_mode="cut_off")
    event_id = await shop.event(on_uncertain="park")
    worker.engine.wake()
    await shop.until(event_id, "parked")
    assert await shop.story(event_id) == [("first", "uncertain")]


async def test_stopping_finishes_what_is_sending_and_gives_back_the_rest(shop: Workshop, redis: Redis) -> None:
    await shop.provider(sandbox_mode="slow")
    settings = shop.settings.model_copy(update={"worker_concurrency": 1, "shutdown_seconds": 8.0})
    event_id = await shop.event("ann@example.org", "ben@example.org")
    async with working(settings, shop.database, redis):
        async with asyncio.timeout(5):
            while {m["state"] for m in await shop.messages(event_id)} != {"sending", "leased"}:
                await asyncio.sleep(0.02)
    assert sorted(m["state"] for m in await shop.messages(event_id)) == ["scheduled", "sent"]
    assert len(await shop.attempts(event_id)) == 1


async def test_a_backlog_that_one_worker_finds_wakes_the_others(shop: Workshop, redis: Redis) -> None:
    await shop.provider(sandbox_mode="slow")
    small = shop.settings.model_copy(
        update={"worker_concurrency": 2, "claim_batch": 4, "patrol_seconds": 60.0, "shutdown_seconds": 0.1}
    )
    async with working(small, shop.database, redis) as one, working(small, shop.database, redis):
        await asyncio.sleep(0.5)  # both sleep by now
        event_id = await shop.event(*(f"r{n}@example.org" for n in range(30)))
        one.engine.wake()  # as a job does, which one worker takes
        async with asyncio.timeout(5):
            while len({message["leased_by"] for message in await shop.messages(event_id)} - {None}) < 2:
                await asyncio.sleep(0.02)


async def test_a_workspace_that_is_resumed_does_not_wait_for_the_next_tick(shop: Workshop, redis: Redis) -> None:
    await shop.provider()
    lazy = shop.settings.model_copy(update={"patrol_seconds": 60.0})
    async with working(lazy, shop.database, redis) as worker:
        async with shop.database.transaction() as connection:
            await pause(connection, shop.workspace_id)
        event_id = await shop.event()
        worker.engine.wake()
        await asyncio.sleep(0.3)
        worker.engine.wake()  # it has just looked, and knows of the pause
        await asyncio.sleep(0.1)
        assert (await shop.message(event_id))["state"] == "scheduled"
        async with shop.database.transaction() as connection:
            await resume(connection, shop.workspace_id)
        worker.engine.wake()
        await shop.until(event_id, "sent", within_s=3)
