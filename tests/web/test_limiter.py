"""Counting in Redis, and in the process while Redis is away."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from janus_mail.storage.embedded import EmbeddedRedis
from janus_mail.storage.redis import open_redis
from janus_mail.web import limiter as module
from janus_mail.web.limiter import Bucket, Limiter, Standing


class Clock:
    """Seconds of the epoch that only we move."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["redis", "process"])
async def limiter(request: pytest.FixtureRequest, redis: Redis, clock: Clock) -> Limiter:
    """With a Redis, and without one: both do the same."""
    return Limiter(redis if request.param == "redis" else None, clock=clock)


async def taken(limiter: Limiter, *buckets: Bucket, cost: int = 1) -> bool:
    verdict = await limiter.charge(buckets, cost)
    return verdict is None or verdict.fits


async def test_a_bucket_holds_its_limit_and_no_more(limiter: Limiter) -> None:
    assert [await taken(limiter, Bucket("a", 3)) for _ in range(5)] == [True, True, True, False, False]
    assert await taken(limiter, Bucket("b", 3))


async def test_of_many_at_once_exactly_the_limit_gets_through(limiter: Limiter) -> None:
    assert sum(await asyncio.gather(*(taken(limiter, Bucket("a", 30)) for _ in range(1_000)))) == 30


async def test_a_window_ends_and_the_next_begins_empty(limiter: Limiter, clock: Clock) -> None:
    bucket = Bucket("a", 1)
    assert await taken(limiter, bucket)
    verdict = await limiter.charge([bucket])
    assert verdict is not None
    assert not verdict.fits
    clock.now_s += verdict.tightest.reset_s - 1.5
    assert not await taken(limiter, bucket)
    clock.now_s += 1.5
    assert await taken(limiter, bucket)


async def test_the_tightest_bucket_is_told(limiter: Limiter, clock: Clock) -> None:
    wide, narrow = Bucket("wide", 100), Bucket("narrow", 10)
    verdict = await limiter.charge([wide, narrow])
    assert verdict is not None
    assert verdict.fits
    assert verdict.tightest[:2] == (narrow, 9)
    assert 0 < verdict.tightest.reset_s <= 60
    assert await taken(limiter, wide, cost=95)
    verdict = await limiter.charge([wide, narrow])
    assert verdict is not None
    assert verdict.tightest[:2] == (wide, 3)


async def test_what_one_bucket_refuses_is_taken_from_none(limiter: Limiter) -> None:
    own, shared = Bucket("own", 2), Bucket("shared", 10)
    assert [await taken(limiter, own, shared) for _ in range(50)].count(True) == 2
    assert [await taken(limiter, shared) for _ in range(10)].count(True) == 8


async def test_what_costs_more_than_is_left_leaves_the_rest_to_others(limiter: Limiter) -> None:
    bucket = Bucket("mails", 10)
    assert await taken(limiter, bucket, cost=8)
    refused = await limiter.charge([bucket], 5)
    assert refused is not None
    assert not refused.fits
    assert refused.tightest.remaining == 2
    assert await taken(limiter, bucket, cost=2)
    assert not await taken(limiter, bucket)


async def test_no_limit_is_counted_nowhere(limiter: Limiter) -> None:
    assert await limiter.charge([Bucket("a", 0)]) is None
    assert limiter.full([Bucket("a", 0)]) is None


async def test_who_knocks_on_at_a_full_bucket_is_known_without_asking(limiter: Limiter, clock: Clock) -> None:
    bucket = Bucket("a", 2)
    assert limiter.full([bucket]) is None
    await taken(limiter, bucket, cost=2)
    full = limiter.full([bucket])
    assert isinstance(full, Standing)
    assert full[:2] == (bucket, 0)
    clock.now_s += full.reset_s
    assert limiter.full([bucket]) is None


async def test_a_limit_that_was_raised_counts_at_once(limiter: Limiter) -> None:
    assert [await taken(limiter, Bucket("a", 2)) for _ in range(3)] == [True, True, False]
    assert await taken(limiter, Bucket("a", 5))


async def test_processes_share_what_they_count(redis: Redis, clock: Clock) -> None:
    here, there = Limiter(redis, clock=clock), Limiter(redis, clock=clock)
    assert [await taken(limiter, Bucket("a", 3)) for limiter in (here, there, here, there)] == [True, True, True, False]


async def test_what_lies_in_redis_bears_our_name_and_goes_by_itself(redis: Redis) -> None:
    limiter = Limiter(redis)
    await limiter.charge([Bucket(f"address:192.0.2.{number}", 10) for number in range(20)])
    await limiter.charge([Bucket("tries", 10, per_s=900)])
    keys = await redis.keys("*")
    assert len(keys) == 21
    assert all(key.startswith(b"janus:rate:") for key in keys)
    assert {await redis.ttl(key) for key in keys} <= {64, 65, 904, 905}


async def test_memory_is_bounded_however_many_addresses_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_HERE", 1_000)
    monkeypatch.setattr(module, "_MOST_FULL", 100)
    limiter = Limiter(None)
    for number in range(5_000):
        await limiter.charge([Bucket(f"address:{number}", 1)])
        assert len(limiter._here) <= 1_000
        assert len(limiter._full) <= 100


async def test_while_redis_is_away_the_process_counts_and_goes_back_when_it_is_there(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAUSE_S", 0.0)
    bucket = Bucket("a", 3)
    with EmbeddedRedis(tmp_path / "redis") as server:
        client = open_redis(server.url)
        assert client is not None
        limiter = Limiter(client, clock=clock)
        assert await taken(limiter, bucket)
        await asyncio.to_thread(server.stop)
        began = time.perf_counter()
        assert [await taken(limiter, bucket) for _ in range(4)] == [True, True, True, False]
        assert time.perf_counter() - began < 0.4
        await asyncio.to_thread(server.start)
        assert await taken(limiter, Bucket("b", 3))
        assert [key.rpartition(b":")[0] for key in await client.keys("*")] == [b"janus:rate:b"]
        await client.aclose()


@pytest.fixture
async def silent_port() -> AsyncIterator[int]:
    """Somebody who takes connections and never says a word."""
    gone = asyncio.Event()

    async def wait(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    gone.set()
    server.close()
    await server.wait_closed()


async def test_a_redis_that_never_answers_delays_one_request_by_a_tenth_of_a_second(silent_port: int) -> None:
    client = open_redis(f"redis://127.0.0.1:{silent_port}/0")
    assert client is not None
    limiter = Limiter(client)
    began = time.perf_counter()
    verdicts = await asyncio.gather(*(taken(limiter, Bucket("a", 30)) for _ in range(100)))
    first_s = time.perf_counter() - began
    assert sum(verdicts) == 30
    assert 0.05 < first_s < 0.4
    began = time.perf_counter()
    assert await taken(limiter, Bucket("b", 30))
    assert time.perf_counter() - began < 0.05
    await client.aclose()
