"""Accepting in batches: `POST /api/events/batch` with 1,000 events a request, messages a second.

Two connections, so that the next batch lies ready while one is stored. Every answer is a 201, and each stands for
its 1,000 events in the database.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta

from benchmarks.accept import EVENTS, load_and_count
from benchmarks.http_load import Load
from benchmarks.letters import letter, recipient
from benchmarks.progress import each_run
from benchmarks.stand import Stand, stand
from benchmarks.table import Goal, Row, print_table, runs

NAME = "batch"

_GOAL_PER_SECOND = 10_000


async def measure(quick: bool) -> list[Row]:
    """Messages accepted a second."""
    async with stand() as bench:
        return await accepted(bench, events=1000, rounds=runs(quick), seconds=1 if quick else 4)


async def accepted(bench: Stand, *, events: int, rounds: int, seconds: float) -> list[Row]:
    """So many events to a request."""
    load = Load(
        port=int(bench.environment["PORT"]), path="/api/events/batch", method="POST",
        headers={"Authorization": bench.api.headers["Authorization"]}, bodies=[_body(events)], connections=2,
        seconds=seconds,
    )  # fmt: skip
    done = [await load_and_count(bench, load, EVENTS, each=events) for _ in each_run(rounds)]
    what = f"POST /api/events/batch, {events:,} events a request"
    return [Row(what, "messages/s", [each.per_second * events for each in done], Goal("≥", _GOAL_PER_SECOND))]


def _body(events: int) -> str:
    due_at = (datetime.now(UTC) + timedelta(minutes=10)).replace(microsecond=0)
    return json.dumps({"events": [
        {
            "email_subject": letter(n).subject, "email_content": letter(n).text, "email_html": letter(n).html,
            "expected_sent_at": (due_at + timedelta(seconds=n % 60)).isoformat(), "recipients": recipient(n),
        }
        for n in range(events)
    ]})  # fmt: skip


if __name__ == "__main__":
    print_table(asyncio.run(measure(quick="--quick" in sys.argv)))
