"""Whether the removal of old mail hurts a drain: with `JANUS_RETENTION_DAYS` and without it, in turn.

Beside the backlog lies sent mail that is older than that. The patrol, which removes it, comes every second instead of
every five, with and without: a drain of some seconds meets five times the removal that it would meet, so that what it
loses here is about five times what it would lose.
"""

import asyncio
import sys
from datetime import timedelta

from benchmarks.drain import WORKERS, drain_once
from benchmarks.progress import each_run
from benchmarks.rows import Fill, expected, fill, workspace_named
from benchmarks.stand import Stand, stand
from benchmarks.table import Row, print_table, runs

NAME = "retention"

_DAYS = 30
_AGE = timedelta(days=_DAYS + 10)
_PATROL_S = "1"
_OLD = "SELECT count(*) FROM messages WHERE due_at < clock_timestamp() - interval '1 day'"


async def measure(quick: bool) -> list[Row]:
    """Mails a second."""
    async with stand(patrol_seconds=_PATROL_S) as bench:
        mails, old = (2_000, 15_000) if quick else (12_000, 40_000)
        return await compared(bench, mails, old, rounds=runs(quick))


async def compared(bench: Stand, mails: int, old: int, *, rounds: int) -> list[Row]:
    """A drain of `mails` beside `old` ones that are removed meanwhile, and the same beside old ones that stay."""
    removing: list[float] = []
    keeping: list[float] = []
    removed: list[float] = []
    for _ in each_run(rounds):
        removing.append(await _drained(bench, mails, old, str(_DAYS)))
        left = await bench.database.pool.fetchval(_OLD)
        if not 0 < left < old:
            raise RuntimeError(f"{left} of {old} old mails are left: they were not removed during the whole drain")
        removed.append(old - left)
        keeping.append(await _drained(bench, mails, old, ""))
    what = f"drain of {mails:,} mails, {WORKERS} worker processes, while old mail is removed"
    return [
        Row(what, "mails/s", removing, None, "nothing is removed", keeping),
        Row(f"{what}: removed from start to stop of the workers", "mails", removed),
    ]


async def _drained(bench: Stand, mails: int, old: int, days: str) -> float:
    async def filling(bench: Stand, mails: int) -> None:
        workspaces = [await workspace_named(bench.database)]
        await fill(bench.database, workspaces, Fill(messages=old, state="sent", age=_AGE, due_from=-_AGE, due_to=-_AGE))
        await fill(bench.database, workspaces, Fill(messages=mails))

    bench.environment["JANUS_RETENTION_DAYS"] = days  # empty is as if unset
    return await drain_once(bench, mails, WORKERS, filling, expected)


if __name__ == "__main__":
    print_table(asyncio.run(measure(quick="--quick" in sys.argv)))
