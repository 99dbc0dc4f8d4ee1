"""Claiming, beginning and finishing 100 messages, by the classes that do it in a worker, among ever more others.

Half of what is pending is due, in four workspaces and three priorities, the other half lies ahead; «sent» is history.
A round claims the oldest 100 by time, then 100 by lane as in a backlog, and begins and finishes both as one batch each,
with whatever time these gather for. `EXPLAIN (ANALYZE, BUFFERS)` of each statement is kept in `docs/plans/`.
"""

import asyncio
import statistics
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from uuid_utils.compat import uuid7

from benchmarks.plans import keep_plans, read_plans
from benchmarks.progress import say
from benchmarks.rows import Fill, fill, workspace_named
from benchmarks.stand import Stand, stand
from benchmarks.table import Goal, Row, print_table, runs
from janus_mail.delivery.claim import Claimer
from janus_mail.delivery.hold import Hold
from janus_mail.delivery.record import Begin, Finish, Recorder
from janus_mail.models.states import State
from janus_mail.providers.outcomes import Outcome
from janus_mail.storage.database import Database

NAME = "claim"
PLANS = Path(__file__).parent.parent / "docs" / "plans"

BY_TIME, BY_LANE, BEGIN, FINISH = "claim by time", "claim by lane", "begin", "finish"

_MOST = 100
_LEASE_S = 60.0
_WORKSPACES = 4
_MONTH = timedelta(days=30)
# What a round took is due again at some time of the last month, so that each round meets as much as the one before.
_PUT_BACK = """
    WITH gone AS (DELETE FROM attempts WHERE message_id = ANY($1::uuid[])),
    forgotten AS (DELETE FROM event_dirty)
    UPDATE messages
    SET state = 'scheduled', attempt_count = 0, sent_at = NULL,
        next_try_at = clock_timestamp() - random() * interval '30 days'
    WHERE id = ANY($1::uuid[])
"""
_NEW_WORKSPACE = "INSERT INTO workspaces (id, name, from_email) VALUES ($1, $2, 'janus@example.com')"


@dataclass(frozen=True, slots=True)
class Size:
    """How much lies in `messages`."""

    pending: int
    sent: int = 0

    def __str__(self) -> str:
        return f"{self.pending:,} pending" + (f" and {self.sent:,} sent" if self.sent else "")


@dataclass(frozen=True, slots=True)
class Measured:
    """Milliseconds of each round at one size, by step."""

    size: Size
    ms: dict[str, list[float]] = field(default_factory=dict)

    def median(self, step: str) -> float:
        return statistics.median(self.ms[step])


async def measure(quick: bool) -> list[Row]:
    """From 10,000 to 1,000,000 pending; ten million sent beside them are for `benchmarks.growth`."""
    sizes = [Size(10_000), Size(30_000)] if quick else [Size(10_000), Size(100_000), Size(1_000_000)]
    async with stand(api=False) as bench:
        return rows_of(await sweep(bench, sizes, rounds=max(5 * runs(quick), 10), plans=None if quick else PLANS))


async def sweep(bench: Stand, sizes: Sequence[Size], *, rounds: int, plans: Path | None) -> list[Measured]:
    """Fill up to each size in turn, and measure there. `sizes` grow; `plans` is the folder for what EXPLAIN says."""
    workspaces = await _workspaces(bench)
    measured, before = [], Size(0)
    for size in sizes:
        say(f"filling up to {size}")
        for state, messages, due_to in (
            ("scheduled", size.pending - before.pending, _MONTH),
            ("sent", size.sent - before.sent, -timedelta(hours=1)),
        ):
            if messages:
                more = Fill(messages=messages, recipients=10, state=state, due_from=-_MONTH, due_to=due_to)
                await fill(bench.database, workspaces, more)
        measured.append(await _measure(bench, size, rounds))
        if plans is not None:
            read = await read_plans(bench.database, most=_MOST)
            keep_plans(read, plans / f"{size.pending}-pending-{size.sent}-sent")
        before = size
    return measured


def rows_of(measured: Sequence[Measured]) -> list[Row]:
    """A row for each step and size, with the growth from the smallest to the most pending."""
    rows = []
    for step in (BY_TIME, BY_LANE, BEGIN, FINISH):
        limit = Goal("≤", 10) if step in (BY_TIME, BY_LANE) else None
        rows += [Row(f"{step} of {_MOST}, {at.size}", "ms", at.ms[step], limit) for at in measured]
        least, most = measured[0], max(measured, key=lambda at: (at.size.pending, -at.size.sent))
        if most is not least:
            what = f"{step} of {_MOST}, {most.size}"
            rows.append(Row(what, "ms", most.ms[step], Goal("≤", 1.5, of="ratio"), str(least.size), least.ms[step]))
    return rows


async def _workspaces(bench: Stand) -> list[uuid.UUID]:
    workspaces = [await workspace_named(bench.database)]
    for number in range(1, _WORKSPACES):
        workspaces.append(uuid7())
        await bench.database.pool.execute(_NEW_WORKSPACE, workspaces[-1], f"workspace {number}")
    return workspaces


async def _measure(bench: Stand, size: Size, rounds: int) -> Measured:
    """One round more than is counted: the first one prepares the statements."""
    at = Measured(size, {step: [] for step in (BY_TIME, BY_LANE, BEGIN, FINISH)})
    provider_id = await bench.database.pool.fetchval("SELECT id FROM providers LIMIT 1")
    worker_id = uuid7()
    database = await Database.open(bench.dsn, plan_once=True)  # as a worker's
    recorder = Recorder(database, worker_id, lease_s=_LEASE_S, grace_s=30)
    for number in range(rounds + 1):
        claimer = Claimer(database, worker_id, lease_s=_LEASE_S)
        taken: list[uuid.UUID] = []
        for step in (BY_TIME, BY_LANE):  # it found as many as it asked for, so it goes on by lane
            holds, ms = await _one_batch(claimer, recorder, provider_id)
            taken += [hold.id for hold in holds]
            if number:
                for part, took_ms in zip((step, BEGIN, FINISH), ms, strict=True):
                    at.ms[part].append(took_ms)
        await bench.database.pool.execute(_PUT_BACK, taken)
    await database.close()
    return at


async def _one_batch(
    claimer: Claimer, recorder: Recorder, provider_id: uuid.UUID
) -> tuple[list[Hold], tuple[float, float, float]]:
    """What was claimed, begun and finished; milliseconds of each of the three."""
    started_s = time.perf_counter()
    holds = await claimer.claim(_MOST)
    claimed_s = time.perf_counter()
    if len(holds) != _MOST:
        raise RuntimeError(f"{len(holds)} of {_MOST} were claimed")
    begins, finishes = tries_of(holds, provider_id)
    begin_s = time.perf_counter()
    begun = await asyncio.gather(*map(recorder.begin, begins))
    begun_s = time.perf_counter()
    finished = await asyncio.gather(*map(recorder.finish, finishes))
    finished_s = time.perf_counter()
    if not all(begun) or not all(finished):
        raise RuntimeError(f"of {_MOST}, {sum(begun)} were begun and {sum(finished)} finished")
    return holds, ((claimed_s - started_s) * 1000, (begun_s - begin_s) * 1000, (finished_s - begun_s) * 1000)


def tries_of(holds: Sequence[Hold], provider_id: uuid.UUID) -> tuple[list[Begin], list[Finish]]:
    """A try of each that is accepted."""
    begins, finishes = [], []
    for hold in holds:
        attempt_id = uuid7()
        header = f"<{attempt_id.hex}@example.com>"
        begins.append(Begin(hold, attempt_id, provider_id, "smtp", "sink", header, datetime.now(UTC)))
        finishes.append(
            Finish(
                hold, attempt_id, True, provider_id, "smtp", "sink", Outcome.ACCEPTED, "250", "2.0.0 Ok",
                dispatched_ms=0, latency_ms=1, next_state=State.SENT, provider_message_id="queued",
            )
        )  # fmt: skip
    return begins, finishes


if __name__ == "__main__":
    print_table(asyncio.run(measure(quick="--quick" in sys.argv)))
