"""How late normal mail leaves while there is always a long queue of bulk mail: 200 a second, 100,000 bulk mails queued.

Both are one workspace's and go to one sink, so nothing but the priority tells them apart. The bulk mails are more
than can leave meanwhile: at the end of the measurement 100,000 must still be queued.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

from benchmarks.lateness import percentile
from benchmarks.letters import letter, letters, number_of, recipient
from benchmarks.progress import each_run
from benchmarks.rows import LETTER, Fill, fill, workspace_named
from benchmarks.stand import Stand, stand
from benchmarks.table import Goal, Row, print_table, runs

NAME = "lateness_busy"

_PER_SECOND = 200
_QUEUED = 100_000
_BULK_PER_SECOND = 7_000  # more than a machine of two cores sends
_BATCH = 1_000
_RECIPIENTS = 10_000  # of a bulk event
_WARM_S = 3.0
_MOST_RUNS = 3  # of more than a minute each; the figures of one run are of 12,000 mails
_AHEAD_S = 3.0
_FIRST_NORMAL = 5_000_000  # behind the numbers of the bulk mails
_SENT = "SELECT recipient, priority, message_id_header, due_at FROM messages WHERE state = 'sent'"
_BULK = 2
_NORMAL_LEFT = "SELECT count(*) FROM messages WHERE priority = 1 AND state <> 'sent'"
_BULK_LEFT = "SELECT count(*) FROM messages WHERE priority = 2 AND state = 'scheduled'"


async def measure(quick: bool) -> list[Row]:
    """Seconds."""
    seconds, queued = (3, 2_000) if quick else (60, _QUEUED)
    figures = []
    for _ in each_run(min(runs(quick), _MOST_RUNS)):
        async with stand() as bench:
            figures.append(await steady(bench, seconds=seconds, per_second=_PER_SECOND, queued=queued))
    what = f"lateness of normal mail, {_PER_SECOND}/s for {seconds} s, {queued:,} bulk mails queued"
    return [
        Row(f"{what}: p50", "s", [percentile(late_s, 0.50) for late_s in figures]),
        Row(
            f"{what}: p99", "s", [percentile(late_s, 0.99) for late_s in figures], Goal("≤", 1),
            note=f"each run is {len(figures[0]):,} mails; at most {_MOST_RUNS} runs, as one takes over a minute",
        ),
    ]  # fmt: skip


async def steady(
    bench: Stand, *, seconds: int, per_second: int, queued: int, bulk_per_second: int = _BULK_PER_SECOND
) -> list[float]:
    """Lateness in seconds of each normal mail, sorted. Raises RuntimeError when one is missing or the queue ran low."""
    workspace_id = await workspace_named(bench.database)
    wanted = queued + round(bulk_per_second * (seconds + _WARM_S + 2 * _AHEAD_S))
    each = min(wanted, _RECIPIENTS)
    bulk = -(-wanted // each) * each
    await fill(bench.database, [workspace_id], Fill(messages=bulk, recipients=each, priority=_BULK))
    await bench.post("/api/workspace/pause")
    bench.start_worker()
    await bench.workers_ready()
    await bench.post("/api/workspace/resume")
    await asyncio.sleep(_WARM_S)
    first_due_at = datetime.now(UTC) + timedelta(seconds=_AHEAD_S)
    mails = seconds * per_second
    for start in range(0, mails, _BATCH):
        events = [_event(n, first_due_at + timedelta(seconds=n / per_second))
                  for n in range(start, min(start + _BATCH, mails))]  # fmt: skip
        await bench.post("/api/events/batch", {"events": events})
    await asyncio.sleep((first_due_at - datetime.now(UTC)).total_seconds() + seconds)
    left = await bench.database.pool.fetchval(_BULK_LEFT)
    async with asyncio.timeout(60):
        while await bench.database.pool.fetchval(_NORMAL_LEFT):
            await asyncio.sleep(0.2)
    await bench.stop_workers()
    if left < queued:
        raise RuntimeError(f"only {left:,} bulk mails were still queued at the end")
    return await _lateness(bench, bulk, mails)


async def _lateness(bench: Stand, bulk: int, normal: int) -> list[float]:
    sent = await bench.database.pool.fetch(_SENT)
    numbers = range(_FIRST_NORMAL, _FIRST_NORMAL + normal)
    expected = letters(numbers)
    for row in sent:
        if row["priority"] == _BULK:
            expected[row["recipient"]] = (number_of(row["recipient"]), LETTER)
    arrived = await bench.proven(0, expected, waiting=bulk + normal - len(sent))
    due = [(row["message_id_header"].strip("<>"), row["due_at"]) for row in sent if row["priority"] != _BULK]
    return sorted(arrived[message_id] - due_at.timestamp() for message_id, due_at in due)


def _event(number: int, due_at: datetime) -> dict[str, str]:
    number += _FIRST_NORMAL
    says = letter(number)
    return {
        "email_subject": says.subject, "email_content": says.text, "email_html": says.html, "priority": "normal",
        "expected_sent_at": due_at.isoformat(), "recipients": recipient(number),
    }  # fmt: skip


if __name__ == "__main__":
    print_table(asyncio.run(measure(quick="--quick" in sys.argv)))
