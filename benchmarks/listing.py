"""`GET /api/events` with a million events in the table: the first page with and without the cache, and deep pages.

Without the cache means an API process of its own with `JANUS_LIST_CACHE_SECONDS=0`. One connection asks again as
soon as it has its answer, so the figures are the server's and not those of a queue.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx

from benchmarks.http_load import Load, Loaded, run_load
from benchmarks.progress import each_run, say
from benchmarks.rows import Fill, fill, workspace_named
from benchmarks.stand import Process, Stand, free_port, ready, running, stand
from benchmarks.table import Goal, Row, print_table, runs
from janus_mail.web.pages_of import encode_cursor

NAME = "listing"

DEEP_PAGE = 1000

_PAGE = 10  # events, the default of the endpoint
_CURSOR = "SELECT id FROM events WHERE workspace_id = $1 AND deleted_at IS NULL ORDER BY id DESC OFFSET $2 LIMIT 1"


async def measure(quick: bool) -> list[Row]:
    """Milliseconds."""
    async with stand() as bench:
        events = 20_000 if quick else 1_000_000
        say(f"filling {events:,} events")
        await fill_events(bench, events)
        return await pages(bench, rounds=runs(quick), seconds=0.5 if quick else 2, deep_page=DEEP_PAGE)


async def fill_events(bench: Stand, events: int) -> None:
    """Sent over the last month, to one recipient each. No list looks at attempts."""
    sent = Fill(messages=events, state="sent", attempts=False, due_from=-timedelta(days=30), due_to=-timedelta(hours=1))
    await fill(bench.database, [await workspace_named(bench.database)], sent)


async def pages(bench: Stand, *, rounds: int, seconds: float, deep_page: int) -> list[Row]:
    """First page, cached and not, and the deep one beside it."""
    workspace_id = await workspace_named(bench.database)
    events = await bench.database.pool.fetchval("SELECT count(*) FROM events")
    cursor_id = await bench.database.pool.fetchval(_CURSOR, workspace_id, (deep_page - 1) * _PAGE - 1)
    deep = f"/api/events?cursor={encode_cursor(cursor_id)}"
    uncached, cached, far = [], [], []
    async with _api_without_cache(bench) as port:
        for _ in each_run(rounds):
            uncached.append(await _ask(bench, port, "/api/events", seconds, "bypass"))
            far.append(await _ask(bench, port, deep, seconds, "bypass"))
            cached.append(await _ask(bench, int(bench.environment["PORT"]), "/api/events", seconds, "hit"))
    among = f"GET /api/events, {events:,} events"
    return [
        Row(f"{among}: first page, p50", "ms", _of(uncached, 0.5)),
        Row(f"{among}: first page, p99", "ms", _of(uncached, 0.99), Goal("≤", 20)),
        Row(f"{among}: first page from the cache, p50", "ms", _of(cached, 0.5)),
        Row(f"{among}: first page from the cache, p99", "ms", _of(cached, 0.99), Goal("≤", 5)),
        Row(
            f"{among}: page {deep_page:,}, p50", "ms", _of(far, 0.5), Goal("≤", 3, of="ratio"), "first page",
            _of(uncached, 0.5),
        ),
        Row(
            f"{among}: page {deep_page:,}, p99", "ms", _of(far, 0.99), Goal("≤", 3, of="ratio"), "first page",
            _of(uncached, 0.99),
        ),
    ]  # fmt: skip


@asynccontextmanager
async def _api_without_cache(bench: Stand) -> AsyncIterator[int]:
    """Its port."""
    port = await free_port()
    settings = {"PORT": str(port), "JANUS_LIST_CACHE_SECONDS": "0"}
    command = [sys.executable, "-m", "janus_mail.cli", "api"]
    with running(Process(bench.folder, "api-without-cache", command, bench.environment | settings)):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            await ready(client)
        yield port


async def _ask(bench: Stand, port: int, path: str, seconds: float, cache: str) -> Loaded:
    authorization = {"Authorization": bench.api.headers["Authorization"]}
    done = await run_load(Load(port=port, path=path, headers=authorization, connections=1, seconds=seconds))
    done.expect(200)
    if f"x-cache: {cache}" not in done.last_answer.lower():
        raise RuntimeError(f"not «{cache}»: {done.last_answer[:300]}")
    return done


def _of(figures: list[Loaded], part: float) -> list[float]:
    return [done.percentile_ms(part) for done in figures]


if __name__ == "__main__":
    print_table(asyncio.run(measure(quick="--quick" in sys.argv)))
