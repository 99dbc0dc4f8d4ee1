"""Accepting one by one: `POST /api/events` against one API process, in turn with the bare FastAPI + asyncpg insert.

32 connections, each of which asks again when it has its answer. The bare insert stores the same event, with the same
options of uvicorn and on the same PostgreSQL, and nothing else: no message, no key, no validation beyond the types, no
list cache, no wake-up. Every answer is a 201, and each stands for a row.
"""

import asyncio
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from benchmarks.http_load import Load, Loaded, run_load
from benchmarks.letters import letter, recipient
from benchmarks.peers.bare_insert import bare_insert
from benchmarks.progress import each_run
from benchmarks.stand import Stand, stand
from benchmarks.table import Goal, Row, print_table, runs

NAME = "accept"

EVENTS = "SELECT count(*) FROM messages m JOIN events e ON e.id = m.event_id"  # each with its message

_CONNECTIONS = 32


async def measure(quick: bool) -> list[Row]:
    """Requests a second, and what each took."""
    async with stand() as bench:
        return await compared(bench, rounds=runs(quick), seconds=1 if quick else 3, connections=_CONNECTIONS)


async def compared(bench: Stand, *, rounds: int, seconds: float, connections: int) -> list[Row]:
    """Ours and the bare insert in turn."""
    load = load_of(bench, connections=connections, seconds=seconds)
    ours: list[Loaded] = []
    theirs: list[Loaded] = []
    async with bare_insert(bench) as port:
        bare = replace(load, port=port, path="/events", headers={})
        for _ in each_run(rounds):
            ours.append(await load_and_count(bench, load, EVENTS))
            theirs.append(await load_and_count(bench, bare, "SELECT count(*) FROM bare_events"))
    rates, bare_rates = [done.per_second for done in ours], [done.per_second for done in theirs]
    what = f"POST /api/events, one API process, {connections} connections"
    return [
        Row(what, "requests/s", rates, Goal("≥", 0.5, of="ratio"), "bare FastAPI + asyncpg insert", bare_rates),
        Row(f"{what}: p50", "ms", [done.percentile_ms(0.5) for done in ours]),
        Row(f"{what}: p99", "ms", [done.percentile_ms(0.99) for done in ours]),
    ]


def load_of(bench: Stand, *, connections: int, seconds: float) -> Load:
    """`POST /api/events`."""
    return Load(
        port=int(bench.environment["PORT"]), path="/api/events", method="POST", bodies=_bodies(), seconds=seconds,
        headers={"Authorization": bench.api.headers["Authorization"]}, connections=connections,
    )  # fmt: skip


async def load_and_count(bench: Stand, load: Load, stored: str, *, each: int = 1) -> Loaded:
    """Raises RuntimeError unless each answer is a 201 that stands for `each` rows of what `stored` counts."""
    before = await bench.database.pool.fetchval(stored)
    done = await run_load(load)
    done.expect(201)
    rows, answers = await bench.database.pool.fetchval(stored) - before, sum(done.statuses.values())
    if rows != answers * each:
        raise RuntimeError(f"{answers} answers promised {answers * each} rows, but {rows} are stored")
    return done


def _bodies() -> list[str]:
    """5 kB each, due in one of 500 seconds within the horizon, so that wake-ups are rung for them."""
    from_then = (datetime.now(UTC) + timedelta(minutes=5)).replace(microsecond=0)
    return [_body(number, from_then + timedelta(seconds=number)) for number in range(500)]


def _body(number: int, due_at: datetime) -> str:
    says = letter(number)
    return json.dumps(
        {
            "email_subject": says.subject, "email_content": says.text, "email_html": says.html,
            "expected_sent_at": due_at.isoformat(), "recipients": recipient(number),
        }
    )  # fmt: skip


if __name__ == "__main__":
    print_table(asyncio.run(measure(quick="--quick" in sys.argv)))
