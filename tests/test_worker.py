"""The worker process beyond its engine: how it is woken and how it ends."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisGone

from janus_mail.delivery.bell import Bell
from janus_mail.worker import _end


async def test_a_part_that_swallows_a_cancellation_does_not_keep_the_process_alive() -> None:
    async def stubborn() -> None:
        for _ in range(2):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass  # as a client library may, when its own time-out comes at the same moment
        await asyncio.sleep(60)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await _end([task])
    assert task.done()


async def test_a_burst_of_accepts_does_not_become_a_burst_of_jobs(redis: Redis) -> None:
    bell = Bell(redis, horizon_s=900)
    soon = datetime.now(UTC) + timedelta(seconds=60)
    for _ in range(100):
        bell.ring([datetime.now(UTC), soon])
    await bell.close()
    assert await redis.zcard("arq:queue") == 2


async def test_a_second_that_was_just_rung_for_is_not_rung_again_unless_it_is_near(redis: Redis) -> None:
    bell = Bell(redis, horizon_s=900)
    now = datetime.now(UTC)
    for _ in range(2):
        bell.ring([now + timedelta(seconds=3), now + timedelta(seconds=60)])
        await bell.close()
        rung = await redis.zcard("arq:queue")
        await redis.delete(*await redis.keys("arq:*"))
    assert rung == 1  # a worker may have heard of the near one, and have looked before this mail was there


async def test_what_is_due_beyond_the_horizon_is_left_to_the_patrol(redis: Redis) -> None:
    bell = Bell(redis, horizon_s=900)
    bell.ring([datetime.now(UTC) + timedelta(seconds=1000)])
    await bell.close()
    assert await redis.zcard("arq:queue") == 0


async def test_a_busy_redis_is_rung_once_more(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    bell = Bell(redis, horizon_s=900)
    enqueue, failures = bell._enqueue, [RedisGone("busy")]

    async def busy_at_first(second: int) -> None:
        if failures:
            raise failures.pop()
        await enqueue(second)

    monkeypatch.setattr(bell, "_enqueue", busy_at_first)
    bell.ring([datetime.now(UTC)])
    await bell.close()
    assert await redis.zcard("arq:queue") == 1
