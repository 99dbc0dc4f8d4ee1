"""Circuits at work: a provider that fails is left alone, tried again by one mail, and trusted again."""

import asyncio
import logging
import uuid
from typing import Any

import pytest
from redis.asyncio import Redis
from uuid_utils.compat import uuid7

from janus_mail.availability.admission import Admission
from janus_mail.availability.circuits import (
    Circuits,
    CircuitTimes,
    Scope,
    close_by_hand,
    open_by_hand,
    settings_changed,
)
from janus_mail.availability.provider_book import ProviderBook
from janus_mail.availability.quotas import Quotas
from janus_mail.availability.rates import Rates
from janus_mail.delivery.control import try_waiting_now
from janus_mail.models.states import CircuitState
from janus_mail.providers.outcomes import ProviderBroken, ProviderDown, RecipientDeferred, RecipientRejected, Refused
from janus_mail.providers.timeouts import Timeouts
from janus_mail.storage.secrets import SecretBox
from janus_mail.telemetry.boot_clock import boot_clock_s
from janus_mail.worker import WorkerProcess
from tests.conftest import TEST_KEY
from tests.delivery.conftest import Workshop, working

TIMES = CircuitTimes(open_s=30, cap_s=600)


async def nobody(_: uuid.UUID) -> None:
    """Nothing waits."""


async def circuits_of(shop: Workshop, times: CircuitTimes = TIMES) -> Circuits:
    return Circuits(shop.database, times, nobody)


async def incidents(shop: Workshop, provider_id: uuid.UUID) -> list[dict[str, Any]]:
    rows = await shop.database.pool.fetch(
        "SELECT * FROM provider_incidents WHERE provider_id = $1 ORDER BY sender_domain, number", provider_id
    )
    return [dict(row) for row in rows]


async def states(shop: Workshop, provider_id: uuid.UUID) -> list[str]:
    return [row["state"] for row in await incidents(shop, provider_id)]


async def fail(circuits: Circuits, scope: Scope, times: int = 5) -> None:
    for _ in range(times):
        await circuits.hear(scope, uuid7(), "ann@example.org", ProviderDown("timeout"), began_s=boot_clock_s())


async def let_rest_end(shop: Workshop, circuits: Circuits) -> None:
    await shop.database.pool.execute("UPDATE circuits SET until = clock_timestamp() - interval '1 second'")
    rows = await shop.database.pool.fetch(
        "SELECT workspace_id, provider_id, sender_domain, state, number, trips, reason, -1.0::float8 AS rest_s"
        " FROM circuits"
    )
    circuits.learn(rows)


async def test_after_five_failures_mail_goes_past_it_without_asking(shop: Workshop, worker: WorkerProcess) -> None:
    down = await shop.provider("first", sandbox_mode="down")
    await shop.provider("second")
    for n in range(7):
        event_id = await shop.event(f"{n}@example.org")
        worker.engine.wake()
        await shop.until(event_id, "sent")
    assert await shop.story(event_id) == [("second", "accepted")]
    (opened,) = await incidents(shop, down)
    assert (opened["state"], opened["cause"], opened["sender_domain"]) == ("open", "failures", "")
    assert opened["reason"].startswith("5 failures in a row: 421 4.3.2")
    assert opened["until"] > opened["at"]


async def test_one_mail_tries_it_again_and_when_that_passes_all_use_it(shop: Workshop, worker: WorkerProcess) -> None:
    down = await shop.provider("first", sandbox_mode="down")
    await shop.provider("second")
    async with asyncio.timeout(15):
        while "open" not in await states(shop, down):
            worker.engine.wake()
            await shop.until(await shop.event(), "sent")
        await shop.database.pool.execute("UPDATE providers SET sandbox_mode = 'ok' WHERE id = $1", down)
        while (await states(shop, down))[-1] != "closed":
            worker.engine.wake()
            await shop.until(await shop.event(), "sent")
    assert (await states(shop, down))[-2:] == ["half_open", "closed"]
    event_id = await shop.event()
    worker.engine.wake()
    await shop.until(event_id, "sent")
    assert await shop.story(event_id) == [("first", "accepted")]


async def test_with_every_circuit_open_mail_waits_without_a_try_and_leaves_once_one_closes(
    shop: Workshop, worker: WorkerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    only = await shop.provider("only")
    async with shop.database.transaction() as connection:
        await open_by_hand(connection, shop.workspace_id, only, actor="Ann", reason="maintenance")
    with caplog.at_level(logging.WARNING):
        events = [await shop.event(f"{n}@example.org") for n in range(20)]
        worker.engine.wake()
        async with asyncio.timeout(5):
            for event_id in events:
                while (await shop.message(event_id))["waiting_for"] != "circuit":
                    await asyncio.sleep(0.02)
    assert [await shop.story(event_id) for event_id in events] == [[]] * 20
    said = [record.getMessage() for record in caplog.records if "no provider takes mail" in record.getMessage()]
    assert len(said) == 1
    async with shop.database.transaction() as connection:
        await close_by_hand(connection, shop.workspace_id, only, actor="Ann")
        await connection.execute("UPDATE messages SET next_try_at = clock_timestamp(), waiting_for = NULL")
    worker.engine.wake()
    for event_id in events:
        await shop.until(event_id, "sent")
    assert [(row["state"], row["cause"], row["actor"]) for row in await incidents(shop, only)] == [
        ("open", "person", "Ann"), ("closed", "person", "Ann"),
    ]  # fmt: skip


async def test_only_the_time_really_waited_for_a_provider_puts_the_end_off(
    shop: Workshop, worker: WorkerProcess
) -> None:
    only = await shop.provider("only")
    async with shop.database.transaction() as connection:
        await open_by_hand(connection, shop.workspace_id, only, actor="Ann", reason=None)
    event_id = await shop.event(give_up_in_s=60)
    for _ in range(3):  # woken often, and put off for a minute each time
        worker.engine.wake()
        async with asyncio.timeout(5):
            while (await shop.message(event_id))["waiting_for"] != "circuit":
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        async with shop.database.transaction() as connection:
            await try_waiting_now(connection, shop.workspace_id)
    worker.engine.wake()
    async with asyncio.timeout(5):
        while (await shop.message(event_id))["waiting_for"] != "circuit":
            await asyncio.sleep(0.02)
    message = await shop.message(event_id)
    assert 60.8 < (message["give_up_at"] - message["due_at"]).total_seconds() < 70


async def test_broken_credentials_open_it_at_once(shop: Workshop, worker: WorkerProcess) -> None:
    broken = await shop.provider("first", sandbox_mode="broken_credentials")
    await shop.provider("second")
    event_id = await shop.event()
    worker.engine.wake()
    await shop.until(event_id, "sent")
    async with asyncio.timeout(5):
        while not (found := await incidents(shop, broken)):
            await asyncio.sleep(0.02)
    assert (found[0]["state"], found[0]["cause"]) == ("open", "broken")


async def test_of_several_workers_one_opens_it_and_the_others_learn_of_it(shop: Workshop) -> None:
    provider_id = await shop.provider()
    one, two = await circuits_of(shop), await circuits_of(shop)
    scope = Scope(shop.workspace_id, provider_id, "example.com")
    await asyncio.gather(fail(one, scope), fail(two, scope))
    whole = Scope(shop.workspace_id, provider_id)
    assert await states(shop, provider_id) == ["open"]
    assert one.of(whole).state is two.of(whole).state is CircuitState.OPEN


async def test_of_several_workers_one_sends_the_probe(shop: Workshop) -> None:
    provider_id = await shop.provider()
    workers = [await circuits_of(shop) for _ in range(3)]
    scope = Scope(shop.workspace_id, provider_id)
    await fail(workers[0], scope)
    for circuits in workers:
        await let_rest_end(shop, circuits)
    admitted = await asyncio.gather(*(circuits.admit(scope) for circuits in workers))
    assert sorted(admitted) == [False, False, True]
    assert await states(shop, provider_id) == ["open", "half_open"]


async def test_each_probe_that_fails_doubles_the_rest_up_to_the_cap(shop: Workshop) -> None:
    provider_id = await shop.provider()
    circuits = await circuits_of(shop)
    scope = Scope(shop.workspace_id, provider_id)
    await fail(circuits, scope)
    rests = [circuits.of(scope).rest_s]
    for _ in range(6):
        await let_rest_end(shop, circuits)
        assert await circuits.admit(scope)
        await fail(circuits, scope, 1)
        rests.append(circuits.of(scope).rest_s)
    assert [round(rest, -1) for rest in rests] == [30, 60, 120, 240, 480, 600, 600]


async def test_a_probe_that_never_ended_is_followed_by_another(shop: Workshop) -> None:
    provider_id = await shop.provider()
    circuits, other = await circuits_of(shop), await circuits_of(shop)
    scope = Scope(shop.workspace_id, provider_id)
    await fail(circuits, scope)
    await let_rest_end(shop, circuits)
    assert await circuits.admit(scope)  # and then its worker died
    await let_rest_end(shop, other)
    assert await other.admit(scope)


async def test_a_sender_that_is_not_verified_closes_the_provider_to_that_domain_alone(shop: Workshop) -> None:
    provider_id = await shop.provider()
    circuits = await circuits_of(shop)
    theirs = Scope(shop.workspace_id, provider_id, "theirs.example")
    error = ProviderBroken("554 5.7.1", "not verified", scope="sender")
    await circuits.hear(theirs, uuid7(), "ann@example.org", error, began_s=boot_clock_s())
    assert not await circuits.admit(theirs)
    assert await circuits.admit(Scope(shop.workspace_id, provider_id))
    assert await circuits.admit(Scope(shop.workspace_id, provider_id, "ours.example"))
    (found,) = await incidents(shop, provider_id)
    assert (found["sender_domain"], found["cause"]) == ("theirs.example", "broken")


async def test_changed_settings_close_what_failures_opened_and_not_what_a_person_did(shop: Workshop) -> None:
    failed, switched = await shop.provider(), await shop.provider()
    circuits = await circuits_of(shop)
    await fail(circuits, Scope(shop.workspace_id, failed))
    async with shop.database.transaction() as connection:
        await open_by_hand(connection, shop.workspace_id, switched, actor="Ann", reason=None)
        await settings_changed(connection, shop.workspace_id, failed)
        await settings_changed(connection, shop.workspace_id, switched)
    assert await states(shop, failed) == ["open", "closed"]
    assert await states(shop, switched) == ["open"]


async def test_history_cannot_be_rewritten(shop: Workshop) -> None:
    provider_id = await shop.provider()
    await fail(await circuits_of(shop), Scope(shop.workspace_id, provider_id))
    with pytest.raises(Exception, match="append-only"):
        await shop.database.pool.execute("UPDATE provider_incidents SET reason = 'nothing happened'")


async def test_two_workers_share_a_circuit_without_redis(shop: Workshop) -> None:
    down = await shop.provider("first", sandbox_mode="down")
    await shop.provider("second")
    slow = shop.settings.model_copy(update={"circuit_open_seconds": 30.0, "circuit_cap_seconds": 60.0})
    async with working(slow, shop.database, None) as one, working(slow, shop.database, None) as two:
        events = [await shop.event(f"{n}@example.org") for n in range(60)]
        one.engine.wake()
        two.engine.wake()
        for event_id in events:
            await shop.until(event_id, "sent")
        assert await states(shop, down) == ["open"]
        await asyncio.sleep(1.1)  # both have read it
        late = [await shop.event(f"{n}@example.net") for n in range(20)]
        one.engine.wake()
        two.engine.wake()
        for event_id in late:
            await shop.until(event_id, "sent")
            assert await shop.story(event_id) == [("second", "accepted")]


async def test_a_rate_that_is_reached_spills_over_or_waits_as_the_event_says(
    shop: Workshop, worker: WorkerProcess, redis: Redis
) -> None:
    first = await shop.provider("first", rate_per_second=2.0)
    await shop.provider("second")
    spilling = [await shop.event(f"{n}@example.org") for n in range(10)]
    worker.engine.wake()
    for event_id in spilling:
        await shop.until(event_id, "sent")
    stories = [(await shop.story(event_id))[0][0] for event_id in spilling]
    assert stories.count("second") >= 5
    waiting = [await shop.event(f"{n}@example.net", provider_id=first, failover=False) for n in range(4)]
    worker.engine.wake()
    for event_id in waiting:
        await shop.until(event_id, "sent")
        assert await shop.story(event_id) == [("first", "accepted")]
    sent = sorted([(await shop.message(event_id))["sent_at"] for event_id in waiting])
    assert (sent[-1] - sent[0]).total_seconds() > 0.9


async def test_a_daily_quota_that_is_used_up_passes_mail_on(shop: Workshop, worker: WorkerProcess) -> None:
    first = await shop.provider("first", daily_quota=3)
    await shop.provider("second")
    events = [await shop.event(f"{n}@example.org") for n in range(8)]
    worker.engine.wake()
    for event_id in events:
        await shop.until(event_id, "sent")
    stories = [(await shop.story(event_id))[0][0] for event_id in events]
    assert stories.count("first") == 3
    bound = await shop.event("bound@example.org", provider_id=first, failover=False)
    worker.engine.wake()
    async with asyncio.timeout(5):
        while (await shop.message(bound))["waiting_for"] != "quota":
            await asyncio.sleep(0.02)
    assert await shop.story(bound) == []


async def test_what_waits_for_a_rate_leaves_as_its_places_come_free_though_the_engine_was_idle(
    shop: Workshop, redis: Redis
) -> None:
    only = await shop.provider("only", rate_per_second=4.0)
    lazy = shop.settings.model_copy(update={"patrol_seconds": 60.0})
    async with working(lazy, shop.database, redis) as worker:
        await asyncio.sleep(0.3)
        events = [await shop.event(f"{n}@example.net", provider_id=only, failover=False) for n in range(9)]
        worker.engine.wake()
        for event_id in events:
            await shop.until(event_id, "sent", within_s=6)


async def test_a_group_put_off_with_everyone_else_keeps_what_was_said_of_each_recipient(shop: Workshop) -> None:
    circuits = await circuits_of(shop)
    scope = Scope(shop.workspace_id, await shop.provider())
    for n in range(4):
        later = RecipientDeferred("450 4.2.0")
        await circuits.hear(scope, uuid7(), f"ann@domain{n}.example", later, began_s=boot_clock_s())
    error = RecipientDeferred("450 4.2.0")
    error.refused = (Refused("ben@example.org", RecipientRejected("550 5.1.1")),)
    judged = circuits.judge(scope, "cy@another.example", error)
    assert isinstance(judged, ProviderDown)
    assert judged.refused == error.refused


async def test_a_try_that_may_have_reached_the_service_stays_counted_toward_its_quota(shop: Workshop) -> None:
    await shop.provider(daily_quota=1)
    (provider,) = await ProviderBook(shop.database, SecretBox([TEST_KEY]), Timeouts()).of(shop.workspace_id)
    quotas = Quotas(shop.database)
    admission = Admission(await circuits_of(shop), Rates(None, lambda: 1), quotas)
    assert await admission.take(provider, "example.com") is None
    await admission.not_tried(provider, "example.com", dispatched=True)
    refusal = await admission.take(provider, "example.com")
    assert refusal is not None
    assert refusal.waiting_for == "quota"
