"""Faults at random on a stand under load: `python -m tests.faults.rounds [--rounds 50] [--seed N] [--out FILE]`.

Each round has one fault and a workspace of its own, with mail accepted before, during and after; then every message
must be final and the seven invariants of `invariants.py` must hold. The exit code is 1 if one was broken. `--only`
keeps to the faults whose name has that text.
"""

# ruff: noqa: T201
import argparse
import asyncio
import logging
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.http_proxy import HttpProxy
from tests.faults.invariants import Report
from tests.faults.smtp_proxy import SmtpProxy
from tests.faults.stand import TIMES, Stand, open_stand
from tests.faults.strikes import STRIKES, WORKERS, Scene
from tests.faults.traffic import traffic
from tests.faults.workspace import Workspace

_RECOVERED_WITHIN_S = 90
_CONCURRENCY = "40"


@dataclass
class Line:
    """What all rounds of one fault came to."""

    rounds: int = 0
    fired: int = 0
    report: Report = field(default_factory=Report)
    recovery_s: list[float] = field(default_factory=list)

    def take(self, other: "Line") -> None:
        """Add what another came to."""
        self.rounds += other.rounds
        self.fired += other.fired
        self.recovery_s += other.recovery_s
        for count in ("accepted", "sent", "lost", "doubled", "extra_copies", "uncertain", "parked"):
            setattr(self.report, count, getattr(self.report, count) + getattr(other.report, count))
        self.report.broken += other.report.broken


async def one_round(stand: Stand, name: str, dice: random.Random) -> tuple[int, Report, float]:
    """How often the fault fired, what the invariants say, and the seconds from its end until all mail was final."""
    workspace = await Workspace.make(stand)
    async with SmtpProxy.to(stand.smtp.port) as smtp, HttpProxy.to(stand.http.port) as http:
        workspace.proxies += [smtp, http]
        scene = Scene(stand, workspace, smtp, http, dice)
        await (workspace.http_provider(http.port) if name.startswith("HTTP") else workspace.provider(smtp.port))
        await scene.healthy()
        async with traffic(workspace, dice):
            await asyncio.sleep(dice.uniform(0.3, 1.0))
            fired = await _strike(name, scene)
            ended_at = time.monotonic()
            await scene.healthy()
            await asyncio.sleep(0.3)
        await workspace.all_final(_RECOVERED_WITHIN_S)
        recovery_s = time.monotonic() - ended_at
        report = await workspace.check()
        fired = smtp.fired.total() + http.fired.total() or fired  # some were ordered and struck only later
    for worker in [w for w in stand.workers if w.killed or w.altered or not w.process.alive]:
        worker.process.stop()
        stand.workers.remove(worker)
    if fired == 0:
        report.broken.append(f"the fault «{name}» did not come to pass")
    return fired, report, recovery_s


async def _strike(name: str, scene: Scene) -> int:
    try:
        return await STRIKES[name](scene)
    except (AssertionError, TimeoutError) as error:  # it did not come to pass, or a process did not do as it should
        print(f"     {type(error).__name__}: {error}")
        return 0


async def run(rounds: int, seed: int, only: str) -> dict[str, Line]:
    """Each fault comes up before any comes up again."""
    dice = random.Random(seed)
    lines: dict[str, Line] = defaultdict(Line)
    names = [name for name in STRIKES if only in name]
    waiting: list[str] = []
    async with open_stand(worker_concurrency=_CONCURRENCY) as stand:
        for number in range(1, rounds + 1):
            waiting = waiting or dice.sample(names, len(names))
            name = waiting.pop()
            fired, report, recovery_s = await one_round(stand, name, dice)
            lines[name].take(Line(1, fired, report, [recovery_s]))
            print(
                f"{number:>4}/{rounds} {name:<45} fired {fired:>3}, accepted {report.accepted:>5}, lost {report.lost},"
                f" doubled {report.doubled} (and {report.extra_copies} allowed), parked {report.parked:>2},"
                f" recovered in {recovery_s:.1f} s",
                flush=True,
            )
            for broken in report.broken[:10]:
                print(f"     BROKEN {broken}", flush=True)
            if report.broken:
                print(stand.words_of_the_dying())
    return {name: lines[name] for name in STRIKES if name in lines}


def table(lines: dict[str, Line]) -> str:
    """In Markdown, with a last line for all."""
    rows = [
        ["Fault", "Rounds", "Fired", "Accepted", "Lost", "Doubled, not allowed", "Extra copies, allowed", "Parked",
         "Recovered, median", "Recovered, longest"]
    ]  # fmt: skip
    total = Line()
    for name, line in lines.items():
        rows.append([name, *_cells(line)])
        total.take(line)
    rows.append(["**All**", *_cells(total)])
    return markdown(rows)


def _cells(line: Line) -> list[str]:
    report = line.report
    counts = (line.rounds, line.fired, report.accepted, report.lost, report.doubled, report.extra_copies, report.parked)
    seconds = (statistics.median(line.recovery_s), max(line.recovery_s))
    return [*(f"{count:,}" for count in counts), *(f"{value:.1f} s" for value in seconds)]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table that reads as well in a terminal: the first row is the head, all columns but the first are numbers."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [[row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))] for row in rows]
    lines.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.rounds", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)  # it tells at length that PostgreSQL is away
    print(f"{arguments.rounds} rounds, seed {seed}, {WORKERS} workers, a lease of {TIMES['LEASE_SECONDS']:g} s")
    lines = asyncio.run(run(arguments.rounds, seed, arguments.only))
    text = table(lines)
    print(f"\n{text}")
    if arguments.out:
        arguments.out.write_text(text)
    broken = [line for found in lines.values() for line in found.report.broken]
    print(f"{len(broken)} broken invariants" if broken else "No invariant was broken.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
