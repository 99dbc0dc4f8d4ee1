"""The engine at a glance, read from PostgreSQL: what waits, what is under way, who is alive, who takes no mail."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from janus_mail.models.states import CircuitState, Priority, WaitingFor
from janus_mail.storage.database import Connection, Database
from janus_mail.watch import queries

# Counts stop here: what is shown as so many may be more.
COUNTED_MOST: Final = 10_000
_LANES_MOST: Final = 5_000
_CIRCUITS_MOST: Final = 1_000
_USED_UP_MOST: Final = 1_000
_ALIVE_S: Final = 30.0  # workers say that they live every patrol, 5 s
_RATE_OVER_S: Final = 3.0
_SLOW_TRY_S: Final = 5.0
# Why a scheduled message is not tried though it was due; what is uncertain is counted as that.
PUT_OFF: Final = (WaitingFor.RETRY, WaitingFor.RATE, WaitingFor.CIRCUIT, WaitingFor.QUOTA)
_RATE_COUNTED_MOST: Final = 100_000  # of each provider, so that a rate of many thousands is still right


@dataclass(slots=True)
class Load:
    """The messages of one priority; each count stops at `COUNTED_MOST`."""

    due: int = 0  # scheduled, its time has come, and no worker has it yet; without those of paused workspaces
    leased: int = 0
    sending: int = 0
    uncertain: int = 0
    parked: int = 0
    oldest_due_s: float = 0.0  # for how long the first of the due ones has been due, counted from its due time
    # Due, and put off until some later time, by reason; and for how long the first of these has been due.
    waiting: dict[WaitingFor, int] = field(default_factory=lambda: dict.fromkeys(PUT_OFF, 0))
    oldest_waiting_s: dict[WaitingFor, float] = field(default_factory=lambda: dict.fromkeys(PUT_OFF, 0.0))
    sent_per_s: float = 0.0  # over the last seconds; only where it was asked for


@dataclass(frozen=True, slots=True)
class CircuitNow:
    """One scope of a provider in use; an empty `sender_domain` is the whole provider."""

    provider_id: uuid.UUID
    provider: str
    kind: str
    sender_domain: str
    state: CircuitState
    reason: str | None
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class UsedUp:
    """A provider in use that is given no more mail on this day in UTC."""

    provider_id: uuid.UUID
    provider: str
    kind: str
    daily_quota: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Overview:
    """At the instant `at`, by the database's clock."""

    at: datetime
    workers: int
    paused_workspaces: int
    loads: dict[Priority, Load] = field(default_factory=lambda: {priority: Load() for priority in Priority})
    circuits: list[CircuitNow] = field(default_factory=list)
    used_up: list[UsedUp] = field(default_factory=list)
    posts_waiting: int = 0  # of services, not worked on yet; counted up to `COUNTED_MOST`
    oldest_post_s: float = 0.0  # for how long the first of them has waited


async def read(database: Database, *, rate: bool = False) -> Overview:
    """Over all workspaces. With `rate`, how much is sent a second too, which costs more.

    Raises what asyncpg raises when the database is away.
    """
    async with database.pool.acquire() as connection:
        alive = await connection.fetchrow(queries.ALIVE, _ALIVE_S)
        assert alive is not None  # noqa: S101
        posts = await connection.fetchrow(queries.POSTS, COUNTED_MOST)
        assert posts is not None  # noqa: S101
        overview = Overview(**alive, **posts)
        for row in await connection.fetch(queries.LOAD, COUNTED_MOST, _LANES_MOST):
            load = overview.loads[Priority(row["priority"])]
            setattr(load, row["state"], row["many"])
            if row["oldest_s"] is not None:
                load.oldest_due_s = max(row["oldest_s"], 0.0)
        for row in await connection.fetch(queries.WAITING, COUNTED_MOST, _LANES_MOST):
            load, reason = overview.loads[Priority(row["priority"])], WaitingFor(row["waiting_for"])
            load.waiting[reason] = row["many"]
            load.oldest_waiting_s[reason] = max(row["oldest_s"], 0.0)
        for row in await connection.fetch(queries.CIRCUITS, _CIRCUITS_MOST):
            overview.circuits.append(CircuitNow(**{**row, "state": CircuitState(row["state"])}))
        overview.used_up.extend(UsedUp(**row) for row in await connection.fetch(queries.USED_UP, _USED_UP_MOST))
        if rate:
            await _read_rate(connection, overview)
    return overview


async def _read_rate(connection: Connection, overview: Overview) -> None:
    for row in await connection.fetch(queries.RATE, _RATE_OVER_S, _SLOW_TRY_S, _RATE_COUNTED_MOST):
        overview.loads[Priority(row["priority"])].sent_per_s = row["sent"] / _RATE_OVER_S
