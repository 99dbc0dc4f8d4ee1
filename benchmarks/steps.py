"""Where a mail's time goes in PostgreSQL: CPU a mail of claim, begin, finish and roll-up, by how many go together.

CPU of one backend and of this process, not time on a clock, so that it holds on a busy machine as well.
`python -m benchmarks.steps --mails 8000 --together 16 100`.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from uuid_utils.compat import uuid7

from benchmarks.claim import tries_of
from benchmarks.drain import fill
from benchmarks.stand import stand
from benchmarks.table import Row, print_table
from janus_mail.delivery.claim import Claimer
from janus_mail.delivery.hold import Hold
from janus_mail.delivery.record import Recorder
from janus_mail.delivery.rollup import roll_up
from janus_mail.storage.database import Database
from janus_mail.storage.list_cache import ListCache

Item = TypeVar("Item")

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")  # of /proc/PID/stat
_CLAIM = 200
_LEASE_S = 600.0


class Backend:
    """The one connection of a database, and what it and we have used until now."""

    def __init__(self, database: Database, pid: int) -> None:
        self.database = database
        self._stat = Path(f"/proc/{pid}/stat")

    def cpu_s(self) -> tuple[float, float]:
        """Of the backend, and of this process."""
        fields = self._stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND, time.process_time()


async def measure(mails: int, together: int) -> list[Row]:
    """Microseconds a mail; a row a step and side."""
    async with stand() as bench:
        await bench.post("/api/workspace/pause")
        await fill(bench, mails)
        await bench.settle()
        await bench.post("/api/workspace/resume")
        database = await Database.open(bench.dsn, pool_size=1, plan_once=True)
        try:
            backend = Backend(database, await database.pool.fetchval("SELECT pg_backend_pid()"))
            return await _steps(backend, mails, together)
        finally:
            await database.close()


async def _steps(backend: Backend, mails: int, together: int) -> list[Row]:
    database = backend.database
    provider_id = await database.pool.fetchval("SELECT id FROM providers LIMIT 1")
    worker_id = uuid7()
    claimer = Claimer(database, worker_id, lease_s=_LEASE_S)
    recorder = Recorder(database, worker_id, lease_s=_LEASE_S, grace_s=30)
    holds: list[Hold] = []

    async def claim() -> None:
        while claimed := await claimer.claim(_CLAIM):
            holds.extend(claimed)

    rows = await _of(f"claim, {_CLAIM} together", backend, mails, claim)
    begins, finishes = tries_of(holds, provider_id)
    at_once = f"{together} together"
    rows += await _of(f"begin, {at_once}", backend, mails, lambda: _write(recorder.begin, begins, together))
    rows += await _of(f"finish, {at_once}", backend, mails, lambda: _write(recorder.finish, finishes, together))

    async def sum_up() -> None:
        while await roll_up(database, ListCache(None, 0)):
            pass

    return rows + await _of("roll-up, an event a mail", backend, mails, sum_up)


async def _write(write: Callable[[Item], Awaitable[bool]], items: Sequence[Item], most: int) -> None:
    for start in range(0, len(items), most):
        if not all(await asyncio.gather(*map(write, items[start : start + most]))):
            raise RuntimeError("not all were written")


async def _of(what: str, backend: Backend, mails: int, step: Callable[[], Awaitable[None]]) -> list[Row]:
    server_s, ours_s = backend.cpu_s()
    await step()
    server_end_s, ours_end_s = backend.cpu_s()
    return [
        Row(f"{what}: PostgreSQL", "µs a mail", [(server_end_s - server_s) / mails * 1e6]),
        Row(f"{what}: worker", "µs a mail", [(ours_end_s - ours_s) / mails * 1e6]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=8_000)
    parser.add_argument("--together", type=int, nargs="+", default=[16, 100], help="begins, or finishes, at once")
    asked = parser.parse_args()
    print_table([row for together in asked.together for row in asyncio.run(measure(asked.mails, together))])


if __name__ == "__main__":
    main()
