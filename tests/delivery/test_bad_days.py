"""A provider has a bad day: it refuses, puts off, says nothing. Mail goes round it, and others notice nothing."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from uuid_utils.compat import uuid7

from tests.delivery.conftest import Workshop, working
from tests.providers.scripted_smtp import Act, ScriptedSmtp

Server = Callable[..., Any]


@asynccontextmanager
async def smtp(**script: Any) -> AsyncIterator[ScriptedSmtp]:
    server = await ScriptedSmtp(**script).start()
    try:
        yield server
    finally:
        await server.stop()


async def worst_delay(shop: Workshop, event_ids: list[uuid.UUID]) -> timedelta:
    found = [(await shop.until(event_id, "sent"))[0] for event_id in event_ids]
    delays: list[timedelta] = [message["sent_at"] - message["due_at"] for message in found]
    return max(delays)


@pytest.mark.parametrize(
    ("verb", "line", "outcome"),
    [("MAIL", "451 Try again later", "provider_down"), ("RCPT", "451 Try again later", "recipient_deferred")],
)
async def test_a_provider_that_says_451_to_all_is_left_alone_after_five_and_trusted_again_after_recovery(
    shop: Workshop, redis: Redis, verb: str, line: str, outcome: str
) -> None:
    patient = shop.settings.model_copy(update={"circuit_open_seconds": 1.0, "worker_concurrency": 2})
    async with smtp(always={verb: line}) as sick, smtp() as well:
        await shop.smtp(sick.port, "sick")
        await shop.smtp(well.port, "well")
        async with working(patient, shop.database, redis) as worker:
            events = [await shop.event(f"ann@domain{n}.example") for n in range(30)]
            worker.engine.wake()
            assert await worst_delay(shop, events) < timedelta(seconds=1.5)  # sums up all 30 on a busy machine
            tries = [(await shop.story(event_id))[0] for event_id in events]
            assert tries.count(("sick", outcome)) == 5
            assert len(well.mails) == 30
            del sick.always[verb]
            async with asyncio.timeout(10):
                while not sick.mails:  # the probe
                    worker.engine.wake()
                    await shop.until(await shop.event(), "sent")
            event_id = await shop.event()
            worker.engine.wake()
            await shop.until(event_id, "sent")
            assert await shop.story(event_id) == [("sick", "accepted")]


async def test_a_provider_that_hangs_does_not_hold_up_another_workspace(shop: Workshop, redis: Redis) -> None:
    few = shop.settings.model_copy(
        update={"worker_concurrency": 10, "claim_batch": 20, "smtp_command_timeout_seconds": 60.0,
                "stall_seconds": 60.0, "shutdown_seconds": 0.2}
    )  # fmt: skip
    other = uuid7()
    await shop.database.pool.execute(
        "INSERT INTO workspaces (id, name, from_email) VALUES ($1, 'other', 'other@example.com')", other
    )
    async with smtp(always={"MAIL": Act.SILENCE}) as hole, smtp() as well:
        await shop.smtp(hole.port, "hole")
        theirs = Workshop(shop.database, other, few)
        await theirs.smtp(well.port, "well")
        async with working(few, shop.database, redis) as worker:
            await shop.event(*(f"r{n}@example.org" for n in range(200)))
            worker.engine.wake()
            await hole.until(lambda: sum("MAIL" in talk.verbs for talk in hole.conversations) >= 3)
            singles = [await shop.event(f"s{n}@example.net", workspace_id=other) for n in range(10)]
            worker.engine.wake()
            assert await worst_delay(theirs, singles) < timedelta(seconds=2)
            assert hole.most_open <= 5  # half of the permits


async def test_mail_of_the_same_workspace_goes_round_a_provider_that_hangs(shop: Workshop, redis: Redis) -> None:
    few = shop.settings.model_copy(
        update={"worker_concurrency": 4, "smtp_command_timeout_seconds": 60.0, "stall_seconds": 0.4,
                "shutdown_seconds": 0.2}
    )  # fmt: skip
    async with smtp(always={"MAIL": Act.SILENCE}) as hole, smtp() as well:
        await shop.smtp(hole.port, "hole")
        await shop.smtp(well.port, "well")
        async with working(few, shop.database, redis) as worker:
            event_id = await shop.event(*(f"r{n}@example.org" for n in range(20)))
            worker.engine.wake()
            async with asyncio.timeout(8):
                while len(well.mails) < 1:
                    await asyncio.sleep(0.02)
            assert hole.most_open == 1
            states = {message["state"] for message in await shop.messages(event_id)}
            assert "failed" not in states


async def test_one_workspace_with_a_long_backlog_hardly_delays_anothers_mail(shop: Workshop, redis: Redis) -> None:
    other = uuid7()
    await shop.database.pool.execute(
        "INSERT INTO workspaces (id, name, from_email) VALUES ($1, 'other', 'other@example.com')", other
    )
    await shop.provider()
    theirs = Workshop(shop.database, other, shop.settings)
    await theirs.provider()
    backlog = await shop.event(*(f"r{n}@example.org" for n in range(3000)), due_in_s=-60)
    async with working(shop.settings, shop.database, redis) as worker:
        worker.engine.wake()
        async with asyncio.timeout(10):
            while not await shop.captured():
                await asyncio.sleep(0.02)
        single = await shop.event("single@example.net", workspace_id=other)
        worker.engine.wake()
        assert await worst_delay(theirs, [single]) < timedelta(seconds=2)
        assert {"scheduled", "sent"} <= {message["state"] for message in await shop.messages(backlog)}


GROUP = {"to": [{"email": "ann@example.org"}, {"email": "ben@example.org"}], "cc": [{"email": "cy@example.org"}]}


async def group(shop: Workshop) -> uuid.UUID:
    return await shop.event("ann@example.org", send_as="group", group_recipients=GROUP)


async def recipients(shop: Workshop) -> dict[str, str]:
    rows = await shop.database.pool.fetch("SELECT address, state FROM message_recipients ORDER BY address")
    return {row["address"].partition("@")[0]: row["state"] for row in rows}


async def test_a_group_is_sent_to_whom_the_server_takes_and_again_only_to_whom_it_put_off(
    shop: Workshop, redis: Redis
) -> None:
    said = {"RCPT": ["250 2.1.5 Ok", "450 4.2.0 Greylisted", "550 5.1.1 No such user"]}
    async with smtp(answers=said) as server, working(shop.settings, shop.database, redis) as worker:
        await shop.smtp(server.port, "only")
        event_id = await group(shop)
        worker.engine.wake()
        (message,) = await shop.until(event_id, "sent")
        assert [mail.recipients for mail in server.mails] == [["ann@example.org"], ["ben@example.org"]]
        assert server.mails[0].content == server.mails[1].content
        assert await recipients(shop) == {"ann": "sent", "ben": "sent", "cy": "failed"}
        assert [outcome for _, outcome in await shop.story(event_id)] == ["accepted", "accepted"]
        assert message["last_error"] is None


async def test_a_group_that_nobody_is_taken_of_fails(shop: Workshop, redis: Redis) -> None:
    refusing = smtp(always={"RCPT": "550 5.1.1 No such user"})
    async with refusing as server, working(shop.settings, shop.database, redis) as worker:
        await shop.smtp(server.port, "only")
        event_id = await group(shop)
        worker.engine.wake()
        await shop.until(event_id, "failed")
        assert await recipients(shop) == {"ann": "failed", "ben": "failed", "cy": "failed"}
        assert server.mails == []


async def test_a_group_that_reached_someone_ends_as_sent_when_the_rest_is_given_up(
    shop: Workshop, redis: Redis
) -> None:
    said = {"RCPT": ["250 2.1.5 Ok"]}
    putting_off = smtp(answers=said, always={"RCPT": "450 4.2.0 Greylisted"})
    async with putting_off as server, working(shop.settings, shop.database, redis) as worker:
        await shop.smtp(server.port, "only")
        event_id = await shop.event("ann@example.org", send_as="group", group_recipients=GROUP, give_up_in_s=1.0)
        worker.engine.wake()
        await shop.until(event_id, "sent")
        async with asyncio.timeout(5):
            while (await shop.message(event_id))["waiting_for"] is not None:
                await asyncio.sleep(0.05)
        assert len(server.mails) == 1
        assert (await recipients(shop))["ann"] == "sent"
