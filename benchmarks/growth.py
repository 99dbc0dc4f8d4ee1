"""How the same work slows down as tables grow: claims, begin, finish and list pages at 10,000, 100,000 and 1,000,000.

With ten million finished messages beside a million pending at the end, and two plots in `docs/img/`. This takes long
and needs about 20 GB of disk for a while, so it stands apart: `make bench-growth`.
"""

import asyncio
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import claim, listing
from benchmarks.plot import PICTURES, Line, Plot, draw, svg
from benchmarks.progress import say
from benchmarks.stand import Stand, stand
from benchmarks.table import Row, print_table, runs

NAME = "growth"

_SIZES = (10_000, 100_000, 1_000_000)
_FINISHED = 10_000_000


async def measure(quick: bool) -> list[Row]:
    """Milliseconds; `quick` goes to a tenth of it and leaves the pictures as they are."""
    sizes = _SIZES[:2] if quick else _SIZES
    finished = _FINISHED // (100 if quick else 1)
    pictures = None if quick else PICTURES
    plans = None if quick else claim.PLANS
    async with stand(api=False) as bench:
        rows = await claims(bench, sizes, finished, rounds=20, pictures=pictures, plans=plans)
    async with stand() as bench:
        return rows + await lists(bench, sizes, rounds=runs(quick), seconds=1 if quick else 2, pictures=pictures)


async def claims(
    bench: Stand, sizes: Sequence[int], finished: int, *, rounds: int, pictures: Path | None, plans: Path | None
) -> list[Row]:
    """Claim, begin and finish at each size, then once more with `finished` sent messages beside the most pending."""
    wanted = [*(claim.Size(size) for size in sizes), claim.Size(sizes[-1], finished)]
    measured = await claim.sweep(bench, wanted, rounds=rounds, plans=plans)
    if pictures is not None:
        steps = (claim.BY_TIME, claim.BY_LANE, claim.BEGIN, claim.FINISH)
        lines = [Line(step, [at.median(step) for at in measured]) for step in steps]
        labels = [f"{size:,} pending" for size in sizes] + [f"and {finished:,} sent"]
        plot = Plot("Claim, begin and finish of 100 messages", "milliseconds, median", labels, lines)
        draw(pictures / "growth-delivery.svg", svg(plot))
    return claim.rows_of(measured)


async def lists(bench: Stand, sizes: Sequence[int], *, rounds: int, seconds: float, pictures: Path | None) -> list[Row]:
    """First and deep pages, uncached and cached, at each size."""
    rows: list[list[Row]] = []
    stored, deep_page = 0, min(listing.DEEP_PAGE, sizes[0] // 10)  # there at the smallest, too
    for size in sizes:
        say(f"filling up to {size:,} events")
        await listing.fill_events(bench, size - stored)
        rows.append(await listing.pages(bench, rounds=rounds, seconds=seconds, deep_page=deep_page))
        stored = size
    if pictures is not None:
        lines = [
            Line(row.what.partition(": ")[2], [statistics.median(at[place].values) for at in rows])
            for place, row in enumerate(rows[0])
        ]
        labels = [f"{size:,} events" for size in sizes]
        plot = Plot("GET /api/events", "milliseconds, median of runs", labels, lines)
        draw(pictures / "growth-lists.svg", svg(plot))
    return [row for at in rows for row in at]


if __name__ == "__main__":
    print_table(asyncio.run(measure(quick="--quick" in sys.argv)))
