"""Everything at once: `python -m tests.faults.storm [--mails 20000] [--seconds 30] [--workers 2] [--seed N]`.

Mail is accepted at an even pace while workers are killed every few seconds, Redis is flushed and restarted, PostgreSQL
is restarted in immediate mode, and the SMTP server drops one connection in a hundred after the final dot. The exit
code is 1 if an invariant was broken.
"""

# ruff: noqa: T201
import argparse
import asyncio
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.faults.invariants import Report
from tests.faults.ledger import Ledger
from tests.faults.stand import Stand, open_stand
from tests.faults.workspace import Workspace

_CUT_SHARE = "0.01"
_BATCH = 50


@dataclass
class Outcome:
    """What it came to."""

    report: Report = field(default_factory=Report)
    fired: Counter[str] = field(default_factory=Counter)
    accepted_in_s: float = 0
    lateness_s: list[float] = field(default_factory=list)  # of every copy, sorted
    recovered_in_s: float = 0  # from the end of the faults until all mail was final


async def storm(stand: Stand, *, mails: int, seconds: float, workers: int, dice: random.Random) -> Outcome:
    """One storm over one workspace, a fifth of whose mail wants at most one copy."""
    outcome = Outcome()
    workspace = await Workspace.make(stand)
    options = ("--cut-after-dot", _CUT_SHARE, "--seed", str(dice.randrange(1000)))
    async with Ledger.running(stand.folder, "tests.providers.ledger_smtp", *options) as ledger:
        workspace.ledgers.append(ledger)
        await workspace.provider(ledger.port)
        await _workers(stand, workers)
        began = time.monotonic()
        async with _faults(stand, seconds, workers, dice, outcome.fired):
            await _accept(workspace, mails, seconds, dice)
            outcome.accepted_in_s = time.monotonic() - began
        ended = time.monotonic()
        await _workers(stand, workers)
        await workspace.all_final(120)
        outcome.recovered_in_s = time.monotonic() - ended
        outcome.report = await workspace.check()
        outcome.lateness_s = await workspace.lateness_s(workspace.accepted.keys())
        outcome.fired["connection dropped after the dot"] = sum(entry.cut for entry in workspace.entries())
    return outcome


async def _accept(workspace: Workspace, mails: int, seconds: float, dice: random.Random) -> None:
    began = time.monotonic()
    for start in range(0, mails, _BATCH):
        await asyncio.sleep(max(0.0, began + seconds * start / mails - time.monotonic()))
        policy = dice.choices(("resend", "park"), (4, 1))[0]
        await workspace.accept(min(_BATCH, mails - start), due_in_s=dice.choice((0, 0, 1)), on_uncertain=policy)


@asynccontextmanager
async def _faults(
    stand: Stand, seconds: float, workers: int, dice: random.Random, fired: Counter[str]
) -> AsyncIterator[None]:
    """As long as the block lasts, and at least once each."""
    tasks = [
        asyncio.create_task(_kill(stand, workers, dice, fired)),
        asyncio.create_task(_break_redis(stand, seconds / 3, fired)),
        asyncio.create_task(_restart_postgres(stand, seconds / 2, fired)),
    ]
    try:
        yield
    finally:
        tasks[0].cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


async def _kill(stand: Stand, workers: int, dice: random.Random, fired: Counter[str]) -> None:
    while True:
        await asyncio.sleep(dice.uniform(2, 4))
        alive = [worker for worker in stand.workers if worker.process.alive and not worker.killed]
        if alive:
            dice.choice(alive).kill()
            fired["worker killed"] += 1
        await _workers(stand, workers)


async def _break_redis(stand: Stand, after_s: float, fired: Counter[str]) -> None:
    await asyncio.sleep(after_s)
    await stand.redis.flushall()
    await asyncio.sleep(after_s)
    await stand.end_redis()
    await stand.start_redis()
    fired["Redis flushed, then restarted"] += 1


async def _restart_postgres(stand: Stand, after_s: float, fired: Counter[str]) -> None:
    await asyncio.sleep(after_s)
    await stand.end_postgres(immediate=True)
    await stand.start_postgres()
    fired["PostgreSQL restarted in immediate mode"] += 1


async def _workers(stand: Stand, many: int) -> None:
    missing = many - sum(worker.process.alive and not worker.killed for worker in stand.workers)
    await asyncio.gather(*(stand.start_worker() for _ in range(missing)))


async def main(mails: int, seconds: float, workers: int, concurrency: int, seed: int) -> int:
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)  # it tells at length that PostgreSQL is away
    print(f"{mails:,} mails over {seconds:g} s, {workers} workers with a concurrency of {concurrency}, seed {seed}")
    async with open_stand(worker_concurrency=str(concurrency)) as stand:
        outcome = await storm(stand, mails=mails, seconds=seconds, workers=workers, dice=random.Random(seed))
    report = outcome.report
    for name, many in sorted(outcome.fired.items()):
        print(f"  {many:>4} × {name}")
    print(
        f"accepted {report.accepted:,} in {outcome.accepted_in_s:.1f} s, sent {report.sent:,}, parked {report.parked},"
        f" lost {report.lost}, doubled {report.doubled} (and {report.extra_copies} allowed),"
        f" once uncertain {report.uncertain}, recovered in {outcome.recovered_in_s:.1f} s"
    )
    late_s = outcome.lateness_s
    places = [late_s[round(share * (len(late_s) - 1))] for share in (0.5, 0.9, 0.99, 1)]
    print("late by {:.2f} s (median), {:.2f} s (p90), {:.2f} s (p99), {:.2f} s (most)".format(*places))
    for line in report.broken:
        print(f"BROKEN {line}")
    return 1 if report.broken else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults.storm", description=__doc__)
    parser.add_argument("--mails", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--concurrency", type=int, default=120)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.mails, given.seconds, given.workers, given.concurrency, given.seed)))
