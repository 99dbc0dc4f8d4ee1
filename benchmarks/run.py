"""All measurements, one after the other: `python -m benchmarks.run --help`."""

import argparse
import asyncio
import importlib
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import cast

import asyncpg

from benchmarks.table import Row, machine_facts, markdown, print_table, put_into, runs, set_runs
from janus_mail.storage.embedded import EmbeddedPostgres

# Modules of this package, in the order of the table.
BENCHMARKS = ["drain", "drain_one_event"]
GROWTH: list[str] = []  # many rows, so apart: --growth


async def measure(name: str, quick: bool) -> list[Row]:
    """One module's rows."""
    module = importlib.import_module(f"benchmarks.{name}")
    return await cast("Callable[[bool], Awaitable[list[Row]]]", module.measure)(quick)


def run(names: Sequence[str], quick: bool) -> tuple[list[Row], list[str]]:
    """The rows, and what failed, in words. One that fails does not keep the others from being measured."""
    rows: list[Row] = []
    failed: list[str] = []
    for name in names:
        print(f"==> {name}", flush=True)
        began_s = time.perf_counter()
        try:
            rows += asyncio.run(measure(name, quick))
        except Exception as error:
            failed.append(f"{name}: {type(error).__name__}: {error}")
            print(f"    failed: {failed[-1]}", flush=True)
        print(f"    {time.perf_counter() - began_s:.0f} s", flush=True)
    return rows, failed


async def postgres_version() -> str:
    """Of the server that the stand brings."""
    with tempfile.TemporaryDirectory(prefix="janus-bench-") as folder, EmbeddedPostgres(Path(folder)) as server:
        connection = await asyncpg.connect(server.url("postgres"))
        version: str = await connection.fetchval("SHOW server_version")
        await connection.close()
    return version


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and once: to see that it works")
    parser.add_argument("--growth", action="store_true", help="those with millions of rows, instead")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=BENCHMARKS + GROWTH, help="these alone")
    parser.add_argument("--runs", type=int, help="of each (5, with --quick 1)")
    parser.add_argument("--out", type=Path, metavar="PAGE", help="a Markdown page whose section is replaced")
    chosen = parser.parse_args()
    if chosen.out and (chosen.only or chosen.quick):
        parser.error("a page shows all of it, measured in full: --out goes with neither --only nor --quick")
    if chosen.runs:
        set_runs(chosen.runs)
    names = chosen.only or (GROWTH if chosen.growth else BENCHMARKS)
    rows, failed = run(names, chosen.quick)
    facts = machine_facts(asyncio.run(postgres_version()), runs(chosen.quick))
    print("\n".join(facts))
    print_table(rows)
    if chosen.out and not failed:
        put_into(chosen.out, "growth" if chosen.growth else "benchmarks", markdown(rows, facts))
    for what in failed:
        print(what, file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
