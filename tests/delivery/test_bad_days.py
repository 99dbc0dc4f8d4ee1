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

from janus_mail.availability.circuits import Circuits, CircuitTimes, Scope, close_by_hand, open_by_hand
from janus_mail.delivery.control import try_waiting_now
from janus_mail.models.states import CircuitState
from janus_mail.providers.outcomes import ProviderDown
from janus_mail.providers.smtp_pool import SmtpPool
from janus_mail.telemetry.boot_clock import boot_clock_s
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
            assert [name for name, _ in tries].count("sick") == 5
            assert tries.count(("sick", outcome)) >= 4  # the fifth deferral is the provider's fault
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
        "INSERT INTO workspaces (id, handle, name, from_email) VALUES ($1, 'other', 'other', 'o@example.com')", other
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


async def test_a_try_at_a_provider_that_hangs_is_taken_back_while_another_is_there(
    shop: Workshop, redis: Redis
) -> None:
    patient = shop.settings.model_copy(update={"smtp_command_timeout_seconds": 60.0, "stall_seconds": 0.4})
    async with smtp(always={"MAIL": Act.SILENCE}) as hole, smtp() as well:
        hung = await shop.smtp(hole.port, "hole")
        await shop.smtp(well.port, "well")
        async with working(patient, shop.database, redis) as worker:
            event_id = await shop.event(*(f"r{n}@example.org" for n in range(100)))
            worker.engine.wake()
            await shop.until(event_id, "sent", within_s=8)
        assert len(well.mails) == 100
        assert set(await codes(shop, hung)) == {"no_answer"}
        circuit = await shop.database.pool.fetchrow("SELECT state, reason FROM circuits WHERE provider_id = $1", hung)
        assert circuit is not None
        assert circuit["reason"].startswith(("5 failures in a row", "the probe failed"))


async def codes(shop: Workshop, provider_id: uuid.UUID) -> list[str]:
    rows = await shop.database.pool.fetch("SELECT code FROM attempts WHERE provider_id = $1", provider_id)
    return [row["code"] for row in rows]


async def test_several_workspaces_at_providers_that_hang_do_not_hold_up_one_more(shop: Workshop, redis: Redis) -> None:
    few = shop.settings.model_copy(
        update={"worker_concurrency": 12, "claim_batch": 20, "smtp_command_timeout_seconds": 60.0,
                "shutdown_seconds": 0.2}
    )  # fmt: skip
    hanging, fine = smtp(always={"MAIL": Act.SILENCE}), smtp()
    async with hanging as hole, fine as well, working(few, shop.database, redis) as worker:
        for n in range(4):
            stuck = await another_workspace(shop, f"stuck {n}")
            await stuck.smtp(hole.port, "hole")
            await stuck.event(*(f"r{n}@example.org" for n in range(100)))
        worker.engine.wake()
        await hole.until(lambda: sum("MAIL" in talk.verbs for talk in hole.conversations) >= 6)
        well_off = await another_workspace(shop, "well off")
        await well_off.smtp(well.port, "well")
        singles = [await well_off.event(f"s{n}@example.net") for n in range(5)]
        worker.engine.wake()
        assert await worst_delay(well_off, singles) < timedelta(seconds=2)


async def another_workspace(shop: Workshop, name: str) -> Workshop:
    workspace_id = uuid7()
    await shop.database.pool.execute(
        "INSERT INTO workspaces (id, name, from_email) VALUES ($1, $2, 'other@example.com')", workspace_id, name
    )
    return Workshop(shop.database, workspace_id, shop.settings)


async def test_our_own_limit_of_connections_is_not_held_against_a_provider(shop: Workshop, redis: Redis) -> None:
    waiting = SmtpPool(size=1, mails_per_session=10, idle_timeout_s=1, wait_s=0.01)
    await waiting.acquire()
    with pytest.raises(ProviderDown) as busy:
        await waiting.acquire()
    circuits = Circuits(shop.database, CircuitTimes(30, 600), nobody)
    scope = Scope(shop.workspace_id, await shop.provider())
    for _ in range(10):
        await circuits.hear(scope, uuid7(), "ann@example.org", busy.value, began_s=boot_clock_s())
    assert circuits.of(scope).state is CircuitState.CLOSED


async def nobody(_: uuid.UUID) -> None:
    """Nothing waits."""


async def test_a_policy_refusal_waits_for_a_provider_that_rests(shop: Workshop, redis: Redis) -> None:
    async with smtp(always={"DOT": "550 5.7.1 Not from here"}) as strict, smtp() as well:
        await shop.smtp(strict.port, "strict")
        resting = await shop.smtp(well.port, "resting")
        async with shop.database.transaction() as connection:
            await open_by_hand(connection, shop.workspace_id, resting, actor="Ann", reason=None)
        async with working(shop.settings, shop.database, redis) as worker:
            event_id = await shop.event()
            worker.engine.wake()
            async with asyncio.timeout(5):
                while (await shop.message(event_id))["waiting_for"] != "circuit":
                    await asyncio.sleep(0.02)
            async with shop.database.transaction() as connection:
                await close_by_hand(connection, shop.workspace_id, resting, actor="Ann")
                await try_waiting_now(connection, shop.workspace_id)
            worker.engine.wake()
            await shop.until(event_id, "sent")
            assert await shop.story(event_id) == [("strict", "policy_rejected"), ("resting", "accepted")]


async def test_an_outage_that_puts_everyone_off_costs_nobody_their_mail(shop: Workshop, redis: Redis) -> None:
    quick = shop.settings.model_copy(
        update={"circuit_open_seconds": 0.1, "circuit_cap_seconds": 0.2, "retry_base_seconds": 0.02,
                "retry_cap_seconds": 0.05}
    )  # fmt: skip
    async with smtp(always={"RCPT": "451 4.3.0 Later"}) as sick:
        provider_id = await shop.smtp(sick.port, "sick")
        async with working(quick, shop.database, redis) as worker:
            event_id = await shop.event(*(f"r{n}@domain{n}.example" for n in range(10)))
            worker.engine.wake()
            await sick.until(lambda: sum(talk.verbs.count("RCPT") for talk in sick.conversations) >= 18)
            assert {message["state"] for message in await shop.messages(event_id)} <= {"scheduled", "leased"}
            states = await shop.database.pool.fetch(
                "SELECT state FROM provider_incidents WHERE provider_id = $1 ORDER BY number", provider_id
            )
            assert "closed" not in {row["state"] for row in states}  # a probe that is put off has not passed
            del sick.always["RCPT"]
            await shop.until(event_id, "sent")


async def test_one_workspace_with_a_long_backlog_hardly_delays_anothers_mail(shop: Workshop, redis: Redis) -> None:
    other = uuid7()
    await shop.database.pool.execute(
        "INSERT INTO workspaces (id, handle, name, from_email) VALUES ($1, 'other', 'other', 'o@example.com')", other
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
