"""A provider is given no more than its rate by all workers together, and those that wait come back one by one."""

import asyncio
import heapq
import time
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import cast

import pytest
from redis.asyncio import Redis

from janus_mail.availability.rates import Rates
from janus_mail.storage.redis import open_redis
from tests.availability.conftest import Clock

P = uuid.uuid4()


def worker(redis: Redis | None = None, live_workers: int = 1) -> Rates:
    return Rates(redis, lambda: live_workers)


async def asked(rates: Rates, times: int, rate: float, provider_id: uuid.UUID = P) -> list[float]:
    return [await rates.take(provider_id, rate) for _ in range(times)]


async def pass_in_redis(redis: Redis, seconds: float) -> None:
    """As if this time had gone by: what Redis keeps moves into the past."""
    key = f"janus:rate:{P}"
    kept = {name: value async for name, value in redis.hscan_iter(key)}
    moved = {name: int(kept[name]) - round(seconds * 1e6) for name in (b"due", b"slot")}
    await cast("Awaitable[int]", redis.hset(key, mapping=moved))


async def test_two_workers_together_keep_to_the_rate(redis: Redis) -> None:
    workers = [worker(redis), worker(redis)]
    started, left = time.monotonic(), 0

    async def send(rates: Rates) -> None:
        nonlocal left
        while left < 30:
            if await rates.take(P, 50) == 0.0:
                left += 1

    await asyncio.gather(*(send(rates) for rates in workers for _ in range(3)))
    assert time.monotonic() - started >= (30 - 6) / 50  # a burst of 5 more than the first


@pytest.mark.parametrize(("rate", "most"), [(100, 110), (10, 11), (1, 2), (0.5, 1)])
async def test_no_second_holds_more_than_the_rate_and_a_little(clock: Clock, rate: float, most: int) -> None:
    clock.stop()
    rates, left = worker(), []
    for _ in range(3000):  # five seconds of asking without pause, after an idle time
        if await rates.take(P, rate) == 0.0:
            left.append(clock())
        clock.ahead_s += 1 / 600
    assert max(sum(at <= other < at + 1 for other in left) for at in left) == most
    assert 5 * rate <= len(left) <= 5 * rate + max(1, rate / 10) + 1


async def test_the_refused_are_told_slots_one_interval_apart_over_all_workers(redis: Redis) -> None:
    one, two = worker(redis), worker(redis)
    assert await asked(one, 2, 1.0) == [0.0, 0.0]
    waits = [await rates.take(P, 1.0) for _ in range(20) for rates in (one, two)]
    assert waits[0] <= 1.0
    assert all(0.8 < later - earlier < 1.01 for earlier, later in pairwise(waits))


async def test_who_comes_back_at_its_slot_is_served(redis: Redis) -> None:
    rates = worker(redis)
    waits = [wait for wait in await asked(rates, 7, 1.0) if wait]
    passed = 0.0
    for wait in waits:
        await pass_in_redis(redis, wait - passed + 0.3)  # late by less than the slack
        passed = wait + 0.3
        assert await rates.take(P, 1.0) == 0.0


async def test_slots_nobody_uses_are_forgotten(redis: Redis) -> None:
    rates = worker(redis)
    await asked(rates, 50, 1.0)
    await pass_in_redis(redis, 49)
    assert await asked(rates, 2, 1.0) == [0.0, 0.0]
    assert 0 < await rates.take(P, 1.0) < 1.01


@pytest.mark.parametrize("with_redis", [True, False])
async def test_the_slot_of_a_mail_that_went_elsewhere_is_the_next_ones(redis: Redis, with_redis: bool) -> None:
    rates = worker(redis if with_redis else None)
    await asked(rates, 2, 1.0)
    for _ in range(50):
        wait = await rates.take(P, 1.0)
        rates.give_back_slot(P)
    assert 0 < wait < 1.01


@pytest.mark.parametrize("with_redis", [True, False])
async def test_slots_end_after_ten_minutes_and_later_callers_are_spread_over_them(
    redis: Redis, with_redis: bool
) -> None:
    rates = worker(redis if with_redis else None)
    waits = [wait for wait in await asked(rates, 1000, 1.0) if wait]
    assert max(waits) < 602
    beyond = waits[650:]
    assert all(any(at <= wait < at + 150 for wait in beyond) for at in (0, 150, 300, 450))


@pytest.mark.parametrize("with_redis", [True, False])
async def test_a_changed_rate_counts_at_once(redis: Redis, with_redis: bool) -> None:
    rates = worker(redis if with_redis else None)
    waits = await asked(rates, 100, 0.01)
    assert waits[0] == 0.0
    assert max(waits) > 90
    waits = await asked(rates, 100, 1000)
    assert max(waits) < 1  # neither the wait nor the slots of the old rate
    waits = [wait for wait in await asked(rates, 103, 1.0) if wait]
    assert len(waits) >= 101  # and no burst that the old rate would have allowed
    assert waits[0] <= 1.01


async def test_providers_have_rates_of_their_own(redis: Redis) -> None:
    rates = worker(redis)
    await asked(rates, 10, 1.0)
    assert await rates.take(uuid.uuid4(), 1.0) == 0.0


async def test_redis_forgets_a_provider_that_is_idle(redis: Redis) -> None:
    await asked(worker(redis), 5, 1.0)
    assert 0 < await redis.pttl(f"janus:rate:{P}") < 10_000


async def test_a_redis_whose_clock_was_set_back_blocks_nobody_for_long(redis: Redis) -> None:
    rates = worker(redis)
    await asked(rates, 20, 1.0)
    await pass_in_redis(redis, -86_400)
    assert await rates.take(P, 1.0) < 602
    await pass_in_redis(redis, 2)
    assert await rates.take(P, 1.0) == 0.0


async def test_a_flushed_or_restarted_redis_counts_afresh_and_costs_a_burst(redis: Redis) -> None:
    rates = worker(redis, live_workers=1000)
    await asked(rates, 10, 1.0)
    await redis.flushall()
    await redis.script_flush()
    waits = await asked(rates, 10, 1.0)
    assert waits[:2] == [0.0, 0.0]
    assert all(0 < wait < 10 for wait in waits[2:])  # by Redis: a share of a thousandth would wait longer


async def test_without_redis_the_rate_is_divided_by_the_live_workers(clock: Clock) -> None:
    clock.stop()
    rates = worker(live_workers=4)
    waits = await asked(rates, 12, 20.0)  # a share of 5 a second
    assert waits[:2] == [0.0, 0.0]
    assert waits[2:] == pytest.approx([0.2 * n for n in range(1, 11)])


@dataclass
class MuteRedis:
    """Takes connections and never answers."""

    connections: list[asyncio.StreamWriter] = field(default_factory=list)


@asynccontextmanager
async def mute_redis() -> AsyncIterator[tuple[MuteRedis, Redis]]:
    mute = MuteRedis()
    server = await asyncio.start_server(lambda _, writer: mute.connections.append(writer), "127.0.0.1", 0)
    client = open_redis(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert client is not None
    yield mute, client
    await client.aclose()
    for writer in mute.connections:
        writer.close()
    server.close()


async def test_a_redis_that_hangs_is_left_alone_for_a_while(clock: Clock) -> None:
    async with mute_redis() as (mute, client):
        rates = worker(client, live_workers=2)
        assert await rates.take(P, 2.0) == 0.0  # by this worker's share
        tries = len(mute.connections)
        assert tries > 0
        waits = await asked(rates, 200, 2.0)
        assert len(mute.connections) == tries
        assert waits.count(0.0) <= 2
        assert max(waits) > 150  # one a second, one after the other
        clock.ahead_s += 10
        await asyncio.gather(*(rates.take(P, 2.0) for _ in range(50)))
        assert len(mute.connections) == 2 * tries  # one asked for all of them


async def test_redis_counts_again_once_it_is_back(clock: Clock, redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    rates = worker(redis, live_workers=1000)
    await redis.config_set("maxmemory", 1)
    try:
        assert max(await asked(rates, 10, 1.0)) > 600  # this worker's share
        clock.ahead_s += 4
        await rates.take(P, 1.0)
    finally:
        await redis.config_set("maxmemory", 0)
    assert caplog.text.count("Redis is away") == 1  # not for every mail
    clock.ahead_s += 4
    assert await asked(rates, 2, 1.0) == [0.0, 0.0]
    assert 0 < await rates.take(P, 1.0) < 1.01


async def test_ten_thousand_waiting_mails_leave_at_the_rate_and_do_not_spin(clock: Clock) -> None:
    clock.stop()
    rates, asks, left = worker(), 0, 0
    waiting = [(0.0, n) for n in range(10_000)]
    while waiting:
        at, n = heapq.heappop(waiting)
        clock.ahead_s = max(clock.ahead_s, at)
        asks += 1
        wait = await rates.take(P, 10.0)
        if wait:
            heapq.heappush(waiting, (clock.ahead_s + wait + 0.01, n))  # claimed again a little late
        else:
            left += 1
    assert left == 10_000
    assert clock.ahead_s < 1300  # 1,000 s at the full rate
    assert asks < 40_000
