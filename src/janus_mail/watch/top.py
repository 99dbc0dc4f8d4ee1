"""`janus top`: the engine at a glance, live in a terminal, once, or as JSON for a script."""

import asyncio
import sys
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import orjson
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from janus_mail.models.states import CircuitState
from janus_mail.storage.database import CONNECTION_LOST, Database
from janus_mail.watch.overview import COUNTED_MOST, CircuitNow, Overview, read

_REFRESH_S: Final = 1.0
_FILE_WIDTH: Final = 160  # where no terminal says how wide it is
_AWAY: Final[tuple[type[BaseException], ...]] = (*CONNECTION_LOST, asyncpg.PostgresError)


async def show(database: Database, *, once: bool, as_json: bool) -> None:
    """Live until it is cancelled; where no terminal shows it, once. Raises what asyncpg raises if it starts without."""
    overview = await read(database, rate=True)
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(to_json(overview), option=orjson.OPT_INDENT_2) + b"\n")
        return
    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH)
    if once or not console.is_terminal:
        console.print(drawn(overview))
        return
    with Live(drawn(overview), console=console, screen=True, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(_REFRESH_S)
            live.update(await _drawn_now(database), refresh=True)


async def _drawn_now(database: Database) -> RenderableType:
    try:
        return drawn(await read(database, rate=True))
    except _AWAY as error:
        return Text(f"PostgreSQL is away ({type(error).__name__}); trying again")


def to_json(overview: Overview) -> dict[str, Any]:
    """One object: `at, workers, paused_workspaces, counted_most, priorities {high, normal, bulk}, circuits []`."""
    return {
        "at": overview.at,
        "workers": overview.workers,
        "paused_workspaces": overview.paused_workspaces,
        "counted_most": COUNTED_MOST,
        "priorities": {
            priority.name.lower(): {
                "due": load.due,
                "leased": load.leased,
                "sending": load.sending,
                "uncertain": load.uncertain,
                "parked": load.parked,
                "oldest_due_seconds": round(load.oldest_due_s, 3),
                "sent_per_second": round(load.sent_per_s, 1),
            }
            for priority, load in overview.loads.items()
        },
        "circuits": [
            {
                "provider": {"id": str(circuit.provider_id), "kind": circuit.kind, "name": circuit.provider},
                "sender_domain": circuit.sender_domain or None,
                "state": circuit.state,
                "since": circuit.since,
                "until": circuit.until,
                "reason": circuit.reason,
            }
            for circuit in _not_closed(overview)
        ],
    }


def drawn(overview: Overview) -> RenderableType:
    """A table of the priorities, and one of the circuits that are not closed."""
    table = Table(title=_headline(overview), title_justify="left", title_style="bold")
    for name in ("priority", "due", "oldest due", "leased", "sending", "sent/s", "uncertain", "parked"):
        table.add_column(name, justify="left" if name == "priority" else "right")
    for priority, load in overview.loads.items():
        table.add_row(
            priority.name.lower(), _count(load.due), _age(load.oldest_due_s) if load.due else "-", _count(load.leased),
            _count(load.sending), f"{load.sent_per_s:,.1f}", _count(load.uncertain), _count(load.parked),
        )  # fmt: skip
    circuits = _not_closed(overview)
    if not circuits:
        return Group(table, Text("Every provider's circuit is closed."))
    listed = Table(title="Providers that are not asked", title_justify="left", title_style="bold")
    for name in ("provider", "sender domain", "state", "since", "until", "reason"):
        listed.add_column(name, overflow="fold")
    for circuit in circuits:
        listed.add_row(
            escape(f"{circuit.provider} ({circuit.kind})"), escape(circuit.sender_domain) or "all",
            circuit.state.replace("_", " "), _ago(overview.at, circuit.since), _until(overview.at, circuit),
            escape(circuit.reason or ""),
        )  # fmt: skip
    return Group(table, listed)


def _not_closed(overview: Overview) -> list[CircuitNow]:
    return [circuit for circuit in overview.circuits if circuit.state is not CircuitState.CLOSED]


def _headline(overview: Overview) -> str:
    workers = "1 worker" if overview.workers == 1 else f"{overview.workers} workers"
    paused = overview.paused_workspaces
    resting = f", {paused} workspace{'s' if paused > 1 else ''} paused" if paused else ""
    return f"Janus, {overview.at:%Y-%m-%d %H:%M:%S}Z: {workers} alive{resting}"


def _count(many: int) -> str:
    return f"{many:,}+" if many >= COUNTED_MOST else f"{many:,}"


def _age(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def _ago(now: datetime, then: datetime | None) -> str:
    return "" if then is None else f"{_age(max((now - then).total_seconds(), 0.0))} ago"


def _until(now: datetime, circuit: CircuitNow) -> str:
    if circuit.state is CircuitState.HALF_OPEN:
        return "the next mail tries it"
    if circuit.until is None:
        return "closed by hand"
    return f"in {_age(max((circuit.until - now).total_seconds(), 0.0))}"
