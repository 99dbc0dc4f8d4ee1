"""How much memory a worker has while it drains a long backlog: its resident set, five times a second.

Flat means that it does not grow with what was sent: the medians of the second and of the last quarter of the drain are
compared (the first one fills pools and caches).
"""

import asyncio
import os
import statistics
import sys
from pathlib import Path

from benchmarks.progress import say
from benchmarks.rows import Fill, expected, fill, workspace_named
from benchmarks.stand import Stand, stand
from benchmarks.table import Goal, Row, print_table

NAME = "worker_memory"

_MIB = 2**20
_EVERY_S = 0.2
_FLAT = 1.1


async def measure(quick: bool) -> list[Row]:
    """MiB."""
    async with stand(api=False) as bench:
        return await drained(bench, 4_000 if quick else 100_000)


async def drained(bench: Stand, mails: int) -> list[Row]:
    """Drain so many, one event a mail, with one worker, and look at it meanwhile."""
    await fill(bench.database, [await workspace_named(bench.database)], Fill(messages=mails))
    say(f"draining {mails:,} mails")
    start = bench.ledger.count()
    worker = bench.start_worker()
    await bench.workers_ready()
    samples = [_resident_mib(worker.pid)]
    draining = asyncio.create_task(bench.all_sent(start, mails, within_s=60 + mails / 100))
    while not (await asyncio.wait({draining}, timeout=_EVERY_S))[0]:
        samples.append(_resident_mib(worker.pid))
    await draining
    await bench.stop_workers()
    await bench.proven(start, expected(mails))
    quarter = max(len(samples) // 4, 1)
    second, last = statistics.median(samples[quarter : 2 * quarter] or samples), statistics.median(samples[-quarter:])
    what = f"worker memory, draining {mails:,} mails"
    return [
        Row(f"{what}: highest", "MiB", [max(samples)], Goal("≤", 200)),
        Row(f"{what}: last quarter", "MiB", [last], Goal("≤", _FLAT, of="ratio"), "second quarter", [second]),
    ]


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB


if __name__ == "__main__":
    print_table(asyncio.run(measure(quick="--quick" in sys.argv)))
