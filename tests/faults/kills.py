"""What the kill of a worker costs: `python -m tests.faults.kills [--kills 20] [--concurrency 20] [--seed N]`.

A worker is killed at a random moment under load and another takes over. Of each kill: the mails that were being sent,
those that were only leased and so are scheduled again, those that became uncertain (never more than the concurrency),
the copies too many, and the seconds until the last mail that it held was final. The exit code is 1 if an invariant
was broken.
"""

# ruff: noqa: T201
import argparse
import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from tests.faults.invariants import Report
from tests.faults.process import Worker
from tests.faults.rounds import markdown
from tests.faults.smtp_proxy import SmtpProxy
from tests.faults.stand import Stand, open_stand
from tests.faults.traffic import traffic
from tests.faults.workspace import Workspace

_ANSWER_AFTER_S = 0.05  # as a server on the network has it, so that many mails are under way at once
_HELD = """
    SELECT count(*) FILTER (WHERE state = 'sending') AS sending, count(*) FILTER (WHERE state = 'leased') AS leased
    FROM messages WHERE leased_by = $1 AND state IN ('sending', 'leased')
"""


@dataclass(frozen=True)
class Kill:
    """What one cost."""

    in_flight: int
    scheduled_again: int
    uncertain: int
    extra_copies: int
    recovery_s: float
    report: Report


async def kills(stand: Stand, many: int, dice: random.Random, *, concurrency: int, at_once: int) -> AsyncIterator[Kill]:
    """One after the other, each with a workspace of its own; `at_once` says how dense its traffic is."""
    for _ in range(many):
        workspace = await Workspace.make(stand)
        async with SmtpProxy.to(stand.smtp.port) as proxy:
            proxy.answer_after_s = _ANSWER_AFTER_S
            workspace.proxies.append(proxy)
            await workspace.provider(proxy.port)
            yield await _one_kill(workspace, dice, concurrency, at_once)
        stand.stop_workers()


async def _stopped_while_sending(workspace: Workspace, doomed: Worker) -> asyncpg.Record:
    """What it holds at the moment from which it does nothing more."""
    while True:
        await workspace.has("sending")
        doomed.freeze()
        held = await workspace.stand.database.pool.fetchrow(_HELD, doomed.id)
        assert held is not None
        if held["sending"]:
            return held
        doomed.thaw()  # that mail had ended meanwhile


async def _one_kill(workspace: Workspace, dice: random.Random, concurrency: int, at_once: int) -> Kill:
    stand = workspace.stand
    doomed = await stand.start_worker(worker_concurrency=str(concurrency))
    async with traffic(workspace, dice, at_once=at_once):
        await workspace.has("sending")
        await asyncio.sleep(dice.uniform(0.2, 1.2))
        held = await _stopped_while_sending(workspace, doomed)
        doomed.kill()
        killed_at = time.monotonic()
        ids = await stand.database.pool.fetch("SELECT id FROM messages WHERE leased_by = $1", doomed.id)
        await stand.start_worker(worker_concurrency=str(concurrency))
    await stand.all_ended([row["id"] for row in ids])
    recovery_s = time.monotonic() - killed_at
    await workspace.all_final(60)
    report = await workspace.check()
    return Kill(held["sending"], held["leased"], report.uncertain, report.extra_copies, recovery_s, report)


async def main(many: int, concurrency: int, seed: int, out: Path | None) -> int:
    print(f"{many} kills of a worker with a concurrency of {concurrency}, seed {seed}")
    rows = [["Kill", "In flight", "Scheduled again", "Uncertain", "Extra copies", "Recovered"]]
    broken: list[str] = []
    async with open_stand() as stand:
        async for kill in kills(stand, many, random.Random(seed), concurrency=concurrency, at_once=concurrency):
            counts = (len(rows), kill.in_flight, kill.scheduled_again, kill.uncertain, kill.extra_copies)
            rows.append([*(f"{count}" for count in counts), f"{kill.recovery_s:.1f} s"])
            print(f"{' '.join(f'{cell:>5}' for cell in rows[-1])}", flush=True)
            broken += kill.report.broken
    text = markdown(rows)
    print(f"\n{text}")
    if out:
        out.write_text(text)  # noqa: ASYNC240
    for line in broken:
        print(f"BROKEN {line}")
    return 1 if broken else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--concurrency", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.kills, given.concurrency, given.seed, given.out)))
