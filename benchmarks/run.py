"""All measurements, one after the other: `python -m benchmarks.run --help`."""

import argparse
import asyncio
import importlib
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import asyncpg

from benchmarks.plot import PICTURES
from benchmarks.table import Row, machine_facts, markdown, print_table, put_into, runs, set_runs
from janus_mail.storage.embedded import EmbeddedPostgres

PAGE = PICTURES.parent / "performance.md"


class Part(NamedTuple):
    """A module of this package; seconds that it was seen to take on two cores, so that who waits knows how long."""

    name: str
    full_s: float  # five runs
    quick_s: float


# In the order of the table.
BENCHMARKS = [
    Part("drain", 270, 20),
    Part("drain_one_event", 110, 11),
    Part("lateness", 35, 11),
    Part("lateness_busy", 245, 16),
    Part("accept", 42, 7),
    Part("batch", 28, 5),
    Part("hooks", 80, 25),
    Part("listing", 95, 9),
    Part("claim", 30, 5),
    Part("redis_memory", 55, 8),
    Part("worker_memory", 70, 7),
    Part("start", 18, 6),
    Part("retention", 120, 13),
]
GROWTH = [Part("growth", 600, 40)]  # many rows, so apart: --growth
_BY_NAME = {part.name: part for part in [*BENCHMARKS, *GROWTH]}
# What stands below the table, once it has been drawn.
_PICTURES = {
    "benchmarks": {"drain.svg": "Bars: mails a second of Janus and of its peers"},
    "growth": {
        "growth-delivery.svg": "Lines: claim, begin and finish against what lies in the table",
        "growth-lists.svg": "Lines: pages of a list against the events in the table",
    },
}


async def measure(name: str, quick: bool) -> list[Row]:
    """One module's rows."""
    module = importlib.import_module(f"benchmarks.{name}")
    return await cast("Callable[[bool], Awaitable[list[Row]]]", module.measure)(quick)


def run(parts: Sequence[Part], quick: bool) -> tuple[list[Row], list[str]]:
    """The rows, and what failed, in words. One that fails does not keep the others from being measured."""
    rows: list[Row] = []
    failed: list[str] = []
    seconds = [part.quick_s if quick else part.full_s * runs(quick) / 5 for part in parts]
    for place, part in enumerate(parts):
        here, left = (_duration(about_s) for about_s in (seconds[place], sum(seconds[place:])))
        print(f"==> {part.name}, {place + 1} of {len(parts)}: about {here}; {left} to the end", flush=True)
        began_s = time.perf_counter()
        try:
            rows += asyncio.run(measure(part.name, quick))
        except Exception as error:
            failed.append(f"{part.name}: {type(error).__name__}: {error}")
            rows.append(Row(part.name, "", [], note="it failed in this run"))
            print(f"    failed: {failed[-1]}", flush=True)
        print(f"    done in {time.perf_counter() - began_s:.0f} s", flush=True)
    return rows, failed


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


async def postgres_version() -> str:
    """Of the server that the stand brings."""
    with tempfile.TemporaryDirectory(prefix="janus-bench-") as folder, EmbeddedPostgres(Path(folder)) as server:
        connection = await asyncpg.connect(server.url("postgres"))
        version: str = await connection.fetchval("SHOW server_version")
        await connection.close()
    return version


def write(page: Path, name: str, rows: Sequence[Row], facts: Sequence[str]) -> None:
    """Replace this section of a page."""
    drawn = [
        f"\n![{words}](img/{file})\n"
        for file, words in _PICTURES[name].items()
        if (page.parent / "img" / file).exists()
    ]
    put_into(page, name, markdown(rows, facts) + "".join(drawn))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and once: to see that it works")
    parser.add_argument("--growth", action="store_true", help="those with millions of rows, instead")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=_BY_NAME, help=f"of {', '.join(_BY_NAME)}")
    parser.add_argument("--runs", type=int, help="of each (5, with --quick 1)")
    parser.add_argument("--out", type=Path, metavar="PAGE", help=f"whose section is replaced ({PAGE.name} of docs)")
    chosen = parser.parse_args(arguments)
    part_only = bool(chosen.only or chosen.quick)
    if chosen.out and part_only:
        parser.error("a page shows all of it, measured in full: --out goes with neither --only nor --quick")
    if chosen.runs:
        set_runs(chosen.runs)
    began_s = time.perf_counter()
    parts = [_BY_NAME[name] for name in chosen.only] if chosen.only else GROWTH if chosen.growth else BENCHMARKS
    rows, failed = run(parts, chosen.quick)
    facts = machine_facts(asyncio.run(postgres_version()), runs(chosen.quick))
    print("\n".join(facts))
    print_table(rows)
    if not part_only:
        page = chosen.out or PAGE
        write(page, "growth" if chosen.growth else "benchmarks", rows, facts)
        print(f"Written: {page}")
    print(f"In all {_duration(time.perf_counter() - began_s)}")
    for what in failed:
        print(what, file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
