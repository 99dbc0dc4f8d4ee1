"""How fast a backlog leaves: one event a mail, 5 kB of text and HTML, `janus worker --processes 2`, everything durable.

The clock runs from the first mail in the sink to the last attempt on record, so that no side pays for its start.
`python -m benchmarks.run --only drain`.
"""

import asyncio
import statistics
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from benchmarks.c_client import CClient, NotHere
from benchmarks.letters import Letter, letter, letters, recipient
from benchmarks.peers.home_made import HomeMade
from benchmarks.peers.post_office import AS_INSTALLED, TUNED, PostOffice
from benchmarks.plot import PICTURES, Bar, Bars, bars_svg, draw
from benchmarks.progress import each_run
from benchmarks.stand import Stand, output_of, stand
from benchmarks.table import Goal, Row, runs

NAME = "drain"
WORKERS = 2

WIDE_CONNECTIONS, WIDE_CONCURRENCY = 60, 640  # for a provider that takes so many, as docs/operations.md tells

_WHAT = f"drain, {WORKERS} worker processes, 5 kB text+HTML, one event per mail"
_BATCH = 1_000


class Sizes(NamedTuple):
    """Mails of one run; none means that this one is left out."""

    ours: int
    post_office: int
    home_made: int
    c_client: int


FULL, QUICK = Sizes(20_000, 5_000, 2_000, 30_000), Sizes(3_000, 1_500, 0, 10_000)


@dataclass(frozen=True, slots=True)
class Rates:
    """Mails a second, a value a run."""

    ours: list[float] = field(default_factory=list)
    wide: list[float] = field(default_factory=list)  # with more in work at once than by default
    post_office: list[float] = field(default_factory=list)
    post_office_tuned: list[float] = field(default_factory=list)
    home_made: list[float] = field(default_factory=list)
    c_client: list[float] = field(default_factory=list)
    sink: list[float] = field(default_factory=list)


async def fill(bench: Stand, mails: int) -> None:
    """One event a mail, due now."""
    for start in range(0, mails, _BATCH):
        events = []
        for number in range(start, min(start + _BATCH, mails)):
            says = letter(number)
            events.append(
                {
                    "email_subject": says.subject, "email_content": says.text, "email_html": says.html,
                    "expected_sent_at": "now", "recipients": recipient(number),
                }
            )  # fmt: skip
        await bench.post("/api/events/batch", {"events": events})


def letters_of(mails: int) -> dict[str, tuple[int, Letter]]:
    """What `fill` has written."""
    return letters(range(mails))


async def drain_once(
    bench: Stand, mails: int, workers: int, filling: Callable[[Stand, int], Coroutine[Any, Any, None]] = fill,
    expected: Callable[[int], Mapping[str, tuple[int, Letter]]] = letters_of,
) -> float:  # fmt: skip
    """Fill, drain, prove. Mails a second."""
    await bench.clear()
    await bench.post("/api/workspace/pause")
    await filling(bench, mails)
    await bench.settle()
    bench.start_worker(workers)
    await bench.workers_ready()
    start = bench.ledger.count()
    await bench.post("/api/workspace/resume")
    await bench.all_sent(start, mails, within_s=60 + mails / 100)
    await bench.stop_workers()
    arrived = await bench.proven(start, expected(mails))
    ended: datetime = await bench.database.pool.fetchval("SELECT max(finished_at) FROM attempts")
    return mails / (ended.timestamp() - next(iter(arrived.values())))


@asynccontextmanager
async def wide(bench: Stand) -> AsyncIterator[None]:
    """Workers that start meanwhile have more in work at once, over more connections to the sink."""
    await bench.connect_up_to(WIDE_CONNECTIONS)
    bench.environment["JANUS_WORKER_CONCURRENCY"] = str(WIDE_CONCURRENCY)
    try:
        yield
    finally:
        del bench.environment["JANUS_WORKER_CONCURRENCY"]
        await bench.connect_up_to(None)


async def sink_ceiling(bench: Stand, mails: int) -> float:
    """What the sink takes from a client that does nothing else."""
    program = [sys.executable, "-m", "benchmarks.ceiling", str(bench.ledger.port), str(mails)]
    return float(await output_of(program, {}))


async def measure(quick: bool) -> list[Row]:
    """Against django-post_office, Celery with smtplib, and a C client into a C sink."""
    try:
        c_client, why_not = await CClient.prepare(), ""
    except NotHere as reason:
        c_client, why_not = None, str(reason)
    rates = await compared(QUICK if quick else FULL, c_client, rounds=runs(quick))
    if not quick:
        draw(PICTURES / "drain.svg", bars_svg(_picture(rates)))
    return _rows(rates, why_not)


async def compared(sizes: Sizes, c_client: CClient | None, *, rounds: int) -> Rates:
    """Each in turn, so that what disturbs one disturbs the others."""
    rates = Rates()
    async with stand() as bench:
        post_office = await PostOffice.prepare(bench)
        home_made = await HomeMade.prepare(bench) if sizes.home_made else None
        for _ in each_run(rounds):
            rates.ours.append(await drain_once(bench, sizes.ours, WORKERS))
            rates.post_office.append(await post_office.drain(sizes.post_office, batch=AS_INSTALLED))
            rates.post_office_tuned.append(await post_office.drain(sizes.post_office, batch=TUNED))
            async with wide(bench):
                rates.wide.append(await drain_once(bench, sizes.ours, WORKERS))
            if home_made:
                rates.home_made.append(await home_made.drain(sizes.home_made))
            if c_client:
                rates.c_client.append(await asyncio.to_thread(c_client.rate, sizes.c_client))
            rates.sink.append(await sink_ceiling(bench, sizes.ours))
    return rates


def _rows(rates: Rates, why_not: str) -> list[Row]:
    unit, c_name = "mails/s", "smtp-source into smtp-sink (C)"
    wide_what = f"the same with {WIDE_CONNECTIONS} connections and JANUS_WORKER_CONCURRENCY={WIDE_CONCURRENCY}"
    both = ((_WHAT, rates.ours), (wide_what, rates.wide))
    goal = Goal("≥", 6, of="ratio")
    rows = [
        Row(_WHAT, unit, rates.ours, goal, "django-post_office, 2 processes, as installed", rates.post_office),
        Row(_WHAT, unit, rates.ours, goal, f"the same with BATCH_SIZE={TUNED:,}", rates.post_office_tuned),
        Row(wide_what, unit, rates.wide, goal, "django-post_office, 2 processes, as installed", rates.post_office),
        Row(wide_what, unit, rates.wide, goal, f"the same with BATCH_SIZE={TUNED:,}", rates.post_office_tuned),
    ]
    if rates.home_made:
        rows.append(Row(_WHAT, unit, rates.ours, None, "Celery + smtplib, 2 processes", rates.home_made))
    if rates.c_client:
        goal = Goal("≥", 0.25, of="ratio")
        rows += [Row(what, unit, values, goal, c_name, rates.c_client) for what, values in both]
    else:
        rows.append(Row(c_name, unit, [], note=why_not))
    return [*rows, Row("the sink alone, 20 kept connections, bytes made beforehand", unit, rates.sink)]


def _picture(rates: Rates) -> Bars:
    """What records and sends; the C client and the sink alone do next to nothing, and are in the table."""
    shown = [
        ("Janus, 2 worker processes", rates.ours, True),
        (f"Janus, {WIDE_CONNECTIONS} connections each", rates.wide, True),
        ("django-post_office, as installed", rates.post_office, False),
        (f"django-post_office, BATCH_SIZE={TUNED:,}", rates.post_office_tuned, False),
        ("Celery + smtplib, 2 processes, no record", rates.home_made, False),
    ]
    bars = [Bar(name, statistics.median(values), ours) for name, values, ours in shown if values]
    return Bars("Drain of 5 kB text+HTML mails, one event per mail", "mails a second, median", bars)
