"""`janus top`: the engine at a glance, live in a terminal, once, or as JSON for a script."""

import asyncio
import os
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

from janus_mail.models.states import CircuitState, WaitingFor
from janus_mail.storage.database import CONNECTION_LOST, Database
from janus_mail.watch.overview import COUNTED_MOST, PUT_OFF, CircuitNow, Load, Overview, read

_REFRESH_S: Final = 1.0
_FOR: Final = {
    WaitingFor.CIRCUIT: "for a provider to take mail again",
    WaitingFor.QUOTA: "for a new day's quota",
    WaitingFor.RATE: "for a provider's rate",
    WaitingFor.RETRY: "for their next round of tries",
}
_FILE_WIDTH: Final = 160  # where no terminal says how wide it is
_AWAY: Final[tuple[type[BaseException], ...]] = (*CONNECTION_LOST, asyncpg.PostgresError)


async def show(database: Database, *, once: bool, as_json: bool) -> None:
    """Live until it is cancelled; where no terminal shows it, once. Raises what asyncpg raises if it starts without."""
    overview = await read(database, rate=True)
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(to_json(overview), option=orjson.OPT_INDENT_2) + b"\n")
        return
    told = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()  # which Console reads itself
    console = Console(width=None if told else _FILE_WIDTH)
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
    """One object.

    `at, workers, paused_workspaces, counted_most, priorities {high, normal, bulk}, circuits [], quotas_used_up []`.
    """
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
                "waiting": {reason.value: many for reason, many in load.waiting.items()},
                "oldest_due_seconds": round(_oldest_s(load), 3),
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
        "quotas_used_up": [
            {
                "provider": {"id": str(used_up.provider_id), "kind": used_up.kind, "name": used_up.provider},
                "daily_quota": used_up.daily_quota,
                "until": used_up.until,
            }
            for used_up in overview.used_up
        ],
    }


def drawn(overview: Overview) -> RenderableType:
    """A table of the priorities, what is put off and why, and a table of the providers that take no mail."""
    table = Table(title=_headline(overview), padding=0, title_justify="left", title_style="bold")
    for name in ("priority", "due", "put off", "oldest", "leased", "sending", "sent/s", "uncertain", "parked"):
        table.add_column(name, justify="left" if name == "priority" else "right", overflow="fold")
    for priority, load in overview.loads.items():
        table.add_row(
            priority.name.lower(), _count(load.due), _count(sum(load.waiting.values())), _age_or_none(_oldest_s(load)),
            _count(load.leased), _count(load.sending), f"{load.sent_per_s:,.1f}", _count(load.uncertain),
            _count(load.parked),
        )  # fmt: skip
    return Group(table, *_put_off(overview), _not_asked(overview))


def _put_off(overview: Overview) -> list[RenderableType]:
    """One line, or none where nothing is put off."""
    many = {reason: sum(load.waiting[reason] for load in overview.loads.values()) for reason in PUT_OFF}
    reasons = [f"{_count(many[reason])} {words}" for reason, words in _FOR.items() if many[reason]]
    return [Text(f"Put off: {', '.join(reasons)}.")] if reasons else []


def _not_asked(overview: Overview) -> RenderableType:
    circuits = _not_closed(overview)
    if not circuits and not overview.used_up:
        return Text("Every provider's circuit is closed.")
    listed = Table(title="Providers that are not asked", padding=0, title_justify="left", title_style="bold")
    for name in ("provider", "sender domain", "state", "since", "until", "reason"):
        listed.add_column(name, overflow="fold")
    for circuit in circuits:
        listed.add_row(
            escape(f"{circuit.provider} ({circuit.kind})"), escape(circuit.sender_domain) or "all",
            circuit.state.replace("_", " "), _ago(overview.at, circuit.since), _until(overview.at, circuit),
            escape(circuit.reason or ""),
        )  # fmt: skip
    for used_up in overview.used_up:
        listed.add_row(
            escape(f"{used_up.provider} ({used_up.kind})"), "all", "quota used up", "",
            _in(overview.at, used_up.until), f"{used_up.daily_quota:,} mails a day",
        )  # fmt: skip
    return listed


def _oldest_s(load: Load) -> float:
    return max(load.oldest_due_s, *load.oldest_waiting_s.values())


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


def _age_or_none(seconds: float) -> str:
    return _age(seconds) if seconds else "-"


def _ago(now: datetime, then: datetime | None) -> str:
    return "" if then is None else f"{_age(max((now - then).total_seconds(), 0.0))} ago"


def _until(now: datetime, circuit: CircuitNow) -> str:
    if circuit.state is CircuitState.HALF_OPEN:
        return "the next mail tries it"
    if circuit.until is None:
        return "someone closes it"
    return _in(now, circuit.until)


def _in(now: datetime, then: datetime) -> str:
    return f"in {_age(max((then - now).total_seconds(), 0.0))}"
