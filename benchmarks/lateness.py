"""How late mails leave that are due in one and the same second, on an idle system.

Lateness is from a mail's due time to the moment the sink has its final dot, both on one machine's clock.
"""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from benchmarks.letters import letter, letters, recipient
from benchmarks.progress import each_run
from benchmarks.stand import Stand, stand
from benchmarks.table import Goal, Row, print_table, runs

NAME = "lateness"

_MAILS = 500
_FIRST_MAILS = 20  # before the others: they open connections and prepare statements
_AHEAD_S = 3  # long enough to store them all before they are due


async def measure(quick: bool) -> list[Row]:
    """Seconds, of each run's mails."""
    async with stand() as bench:
        bench.start_worker()
        await bench.workers_ready()
        first = await due_at_once(bench, range(_FIRST_MAILS))
        figures, sent = [], _FIRST_MAILS
        for _ in each_run(runs(quick)):
            figures.append(await due_at_once(bench, range(sent, sent + _MAILS)))
            sent += _MAILS
        await bench.stop_workers()
        await bench.proven(0, letters(range(sent)))
    what = f"lateness, {_MAILS} due in one second, idle system"
    return [
        Row(f"{what}: p50", "s", [percentile(late_s, 0.50) for late_s in figures], Goal("≤", 0.15)),
        Row(f"{what}: p99", "s", [percentile(late_s, 0.99) for late_s in figures], Goal("≤", 0.6)),
        Row(f"{what}: the last", "s", [late_s[-1] for late_s in figures]),
        Row(f"lateness, the first {_FIRST_MAILS} mails of a worker: p99", "s", [percentile(first, 0.99)]),
    ]


async def due_at_once(bench: Stand, numbers: range) -> list[float]:
    """Lateness in seconds of each of these mails, sorted. Raises TimeoutError unless as many arrive."""
    due_at = (datetime.now(UTC) + timedelta(seconds=_AHEAD_S)).replace(microsecond=0)
    start = bench.ledger.count()
    events = [
        {
            "email_subject": letter(number).subject, "email_content": letter(number).text,
            "email_html": letter(number).html, "expected_sent_at": due_at.isoformat(),
            "recipients": recipient(number),
        }
        for number in numbers
    ]  # fmt: skip
    await bench.post("/api/events/batch", {"events": events})
    await asyncio.sleep((due_at - datetime.now(UTC)).total_seconds())
    await bench.all_sent(start, len(numbers), within_s=60)
    return sorted(arrival.at - due_at.timestamp() for arrival in bench.ledger.mails(start))


def percentile(values: Sequence[float], part: float) -> float:
    """0.99 for p99, of sorted values."""
    return values[min(int(part * len(values)), len(values) - 1)]


if __name__ == "__main__":
    print_table(asyncio.run(measure(quick="--quick" in sys.argv)))
