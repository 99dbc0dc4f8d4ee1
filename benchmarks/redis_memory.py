"""What a month of pending mail costs Redis: its memory before, and after a worker has promoted what is near.

Redis holds one wake-up for each second of the next 15 minutes in which something is due, not one for each mail. The
worst that can lie there, something due in each of these seconds, is measured too.
"""

import asyncio
import sys
from datetime import timedelta
from typing import Any

from arq.constants import default_queue_name
from redis.asyncio import Redis

from benchmarks.progress import say
from benchmarks.rows import Fill, fill, workspace_named
from benchmarks.stand import Stand, stand
from benchmarks.table import Goal, Row, print_table
from janus_mail.settings import Settings
from janus_mail.storage.redis import open_redis

NAME = "redis_memory"

_MIB = 2**20
_SETTLED_S = 0.5
_SOON = timedelta(seconds=60)
_HORIZON_S = Settings.model_fields["horizon_seconds"].default
_DUE_SOON = """
    SELECT count(DISTINCT date_trunc('second', next_try_at)) FROM messages
    WHERE state = 'scheduled' AND next_try_at < clock_timestamp() + $1 * interval '1 second'
"""


async def measure(quick: bool) -> list[Row]:
    """MiB more than empty."""
    events, limit = 20_000 if quick else 1_000_000, Goal("≤", 5)
    figures = []
    for many, over in ((events, timedelta(days=30)), (5_000, timedelta(seconds=_HORIZON_S))):
        say(f"filling {many:,} events over {over // timedelta(minutes=1):,} minutes")
        async with stand(api=False) as bench:
            figures.append(await grown(bench, many, over))
    return [
        Row(f"Redis memory, {events:,} events pending over a month", "MiB", figures[:1], limit),
        Row("Redis memory, something due in each second of the next 15 minutes", "MiB", figures[1:], limit),
    ]


async def grown(bench: Stand, events: int, over: timedelta) -> float:
    """How much Redis grew when a worker promoted what is due within the horizon, in MiB. Nothing is due at first."""
    redis = open_redis(bench.redis_url)
    assert redis is not None
    empty = await _used(redis)
    pending = Fill(messages=events, due_from=_SOON, due_to=_SOON + over)
    await fill(bench.database, [await workspace_named(bench.database)], pending)
    bench.start_worker()
    await bench.workers_ready()
    await _promoted(bench, redis)
    used = await _used(redis)
    await bench.stop_workers()
    await redis.aclose()
    return (used - empty) / _MIB


async def _used(redis: Redis) -> int:
    information: dict[str, Any] = await redis.info("memory")
    return int(information["used_memory"])


async def _promoted(bench: Stand, redis: Redis) -> None:
    """Every second within the horizon, but for those that entered it while we asked, has its wake-up."""
    async with asyncio.timeout(120):
        while True:
            wanted = await bench.database.pool.fetchval(_DUE_SOON, _HORIZON_S - 15)
            if wanted and await redis.zcard(default_queue_name) >= wanted:
                break
            await asyncio.sleep(0.2)
    await asyncio.sleep(_SETTLED_S)


if __name__ == "__main__":
    print_table(asyncio.run(measure(quick="--quick" in sys.argv)))
