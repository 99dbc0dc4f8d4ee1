"""How fast a backlog leaves: one event a mail, 5 kB of text and HTML, two worker processes, everything durable.

The clock runs from the first mail in the sink to the last attempt on record, so that no side pays for its start.
`python -m benchmarks.run --only drain`.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, NamedTuple

from benchmarks import c_client
from benchmarks.checks import check_arrivals, check_message_ids, check_records
from benchmarks.letters import letter, recipient
from benchmarks.peers.home_made import HomeMade
from benchmarks.peers.post_office import PostOffice
from benchmarks.stand import Stand, output_of, stand
from benchmarks.table import Goal, Row, runs

NAME = "drain"
WORKERS = 2

_WHAT = f"drain, {WORKERS} worker processes, 5 kB text+HTML, one event per mail"
_BATCH = 1_000


class Sizes(NamedTuple):
    """Mails of one run; none means that this peer is left out."""

    ours: int
    post_office: int
    home_made: int


FULL, QUICK = Sizes(20_000, 20_000, 5_000), Sizes(10_000, 5_000, 0)


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


async def drain_once(
    bench: Stand, mails: int, workers: int, filling: Callable[[Stand, int], Coroutine[Any, Any, None]] = fill
) -> float:
    """Fill, drain, prove. Mails a second."""
    await bench.clear()
    await bench.post("/api/workspace/pause")
    await filling(bench, mails)
    await bench.settle()
    for _ in range(workers):
        bench.start_worker()
    await bench.workers_ready()
    start = bench.ledger.count()
    await bench.post("/api/workspace/resume")
    await bench.all_final(within_s=60 + mails / 100)
    await bench.stop_workers()
    arrivals = await bench.arrived(start)
    check_arrivals(arrivals, {recipient(number): (number, letter(number)) for number in range(mails)})
    await check_records(bench.database, mails)
    await check_message_ids(bench.database, arrivals)
    ended: datetime = await bench.database.pool.fetchval("SELECT max(finished_at) FROM attempts")
    return mails / (ended.timestamp() - arrivals[0].at)


async def sink_ceiling(bench: Stand, mails: int) -> float:
    """What the sink takes from a client that does nothing else."""
    program = [sys.executable, "-m", "benchmarks.ceiling", str(bench.ledger.port), str(mails)]
    return float(await output_of(program, {}))


async def measure(quick: bool) -> list[Row]:
    """Against django-post_office, Celery with smtplib, and a C client into a C sink."""
    sizes = QUICK if quick else FULL
    ours: list[float] = []
    post_office: list[float] = []
    celery: list[float] = []
    ceiling: list[float] = []
    c_rates: list[float] = []
    async with stand() as bench:
        peer = await PostOffice.prepare(bench)
        home_made = await HomeMade.prepare(bench) if sizes.home_made else None
        for _ in range(runs(quick)):
            ours.append(await drain_once(bench, sizes.ours, WORKERS))
            post_office.append(await peer.drain(sizes.post_office))
            if home_made:
                celery.append(await home_made.drain(sizes.home_made))
            if c_client.installed():
                c_rates.append(await asyncio.to_thread(c_client.rate, sizes.ours))
            ceiling.append(await sink_ceiling(bench, sizes.ours))
    rows = [
        Row(_WHAT, "mails/s", ours, Goal("≥", 6, of="ratio"), "django-post_office, 2 processes", post_office),
        Row("the sink alone, 20 kept connections, bytes made beforehand", "mails/s", ceiling),
    ]
    if home_made:
        rows.append(Row(_WHAT, "mails/s", ours, None, "Celery + smtplib, 2 processes", celery))
    if c_rates:
        rows.append(Row(_WHAT, "mails/s", ours, Goal("≥", 0.25, of="ratio"), "smtp-source into smtp-sink (C)", c_rates))
    else:
        rows.append(Row("smtp-source into smtp-sink (C)", "mails/s", [], note=c_client.NOT_INSTALLED))
    return rows
