"""What a measurement answers, and how it is shown: in the terminal, and as Markdown for docs/performance.md.

A benchmark is a module with a `NAME`, and `async def measure(quick: bool) -> list[Row]`; benchmarks/run.py lists them.
Each runs `runs(quick)` times; with a peer, ours and the peer's in turn, so that what disturbs one disturbs the other.
"""

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple

from rich.console import Console
from rich.table import Table

_RUNS = "JANUS_BENCH_RUNS"  # set by `python -m benchmarks.run --runs N`


def runs(quick: bool) -> int:
    """How many times each thing is measured."""
    return int(os.environ.get(_RUNS) or (1 if quick else 5))


def set_runs(number: int) -> None:
    """For this process and those that it starts."""
    os.environ[_RUNS] = str(number)


class Goal(NamedTuple):
    """`of` says what is compared: the median, or the median ratio to the peer."""

    sign: Literal["≥", "≤"]
    limit: float
    of: Literal["value", "ratio"] = "value"

    def met_by(self, figure: float) -> bool:
        return figure >= self.limit if self.sign == "≥" else figure <= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured, a value a run. `peer_values[i]` was measured right before or after `values[i]`.

    Without values it stands in the table as not measured, and `note` says why.
    """

    what: str
    unit: str
    values: Sequence[float]
    goal: Goal | None = None
    peer: str = ""
    peer_values: Sequence[float] = field(default=())
    note: str = ""

    def __post_init__(self) -> None:
        if self.peer and len(self.peer_values) != len(self.values):
            raise ValueError(f"{self.what}: {len(self.values)} values, but {len(self.peer_values)} of {self.peer}")
        if self.goal is not None and self.goal.of == "ratio" and not self.peer:
            raise ValueError(f"{self.what}: a ratio to nothing")

    @property
    def ratio(self) -> float | None:
        """The median of the pairs' ratios, value to peer's."""
        pairs = zip(self.values, self.peer_values, strict=bool(self.peer))
        return statistics.median(ratios) if (ratios := [ours / theirs for ours, theirs in pairs]) else None

    @property
    def met(self) -> bool | None:
        """None where there is no goal, or nothing was measured."""
        if self.goal is None or not self.values:
            return None
        figure = self.ratio if self.goal.of == "ratio" else statistics.median(self.values)
        return figure is not None and self.goal.met_by(figure)


_HEADS = ("what", "unit", "min", "median", "max", "compared with", "its median", "ratio", "goal", "met")


def print_table(rows: Sequence[Row]) -> None:
    """To the terminal, as wide as it is."""
    table = Table(*_HEADS, title=None)
    for name in ("min", "median", "max", "its median", "ratio"):
        table.columns[_HEADS.index(name)].justify = "right"
    for row in rows:
        style = "red" if row.met is False else None
        table.add_row(*_cells(row), style=style)
    console = Console() if Console().is_terminal else Console(width=180)
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"{row.what}: {row.note}", markup=False, highlight=False)


def markdown(rows: Sequence[Row], facts: Sequence[str]) -> str:
    """A section of a page: the facts, the table, the notes."""
    lines = [f"{fact}  " for fact in facts]
    lines += ["", _line(_HEADS), _line(["---"] * len(_HEADS))]
    lines += [_line(_cells(row)) for row in rows]
    lines += ["", *(f"- {row.what}: {row.note}" for row in rows if row.note)]
    return "\n".join(lines).rstrip() + "\n"


def machine_facts(postgres_version: str, number_of_runs: int) -> list[str]:
    """What the figures hold for, a line a fact."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("asyncpg", "uvloop", "fastapi", "redis"))
    now, cores = datetime.now(UTC), len(os.sched_getaffinity(0))
    return [
        f"Machine: {_processor()}, {cores} cores, {_memory_gib():.0f} GiB, {platform.platform()}",
        f"Software: Python {platform.python_version()}, PostgreSQL {postgres_version}, {packages}",
        "PostgreSQL, Redis, API, workers, peers and sink share these cores; fsync, synchronous_commit and"
        " full_page_writes are on",
        f"Runs of each: {number_of_runs}, measured {now:%Y-%m-%d %H:%M} UTC",
    ]


def put_into(page: Path, name: str, section: str) -> None:
    """Replace what stands between the marks of this name in a page; a page without them gets both at its end."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    text = page.read_text() if page.exists() else "# Performance\n"
    if begin not in text:
        text += f"\n{begin}{end}"
    before, _, rest = text.partition(begin)
    page.write_text(before + begin + section + end + rest.partition(end)[2])


def number(value: float | None) -> str:
    """Three figures that matter, thousands apart."""
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _cells(row: Row) -> list[str]:
    figures: list[Callable[[Sequence[float]], float]] = [min, statistics.median, max]
    shown = [number(figure(row.values)) for figure in figures] if row.values else ["", "not measured", ""]
    peer = number(statistics.median(row.peer_values)) if row.peer_values else ""
    goal = ""
    if row.goal is not None:
        goal = f"{row.goal.sign} {number(row.goal.limit)}" + (" ×" if row.goal.of == "ratio" else f" {row.unit}")
    met = {True: "yes", False: "no", None: ""}[row.met]
    ratio = f"{number(row.ratio)} ×" if row.ratio is not None else ""
    return [row.what, row.unit, *shown, row.peer, peer, ratio, goal, met]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
