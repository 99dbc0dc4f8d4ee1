"""What happened to the providers of a route lately, and which of them refuse our key now."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from janus_mail.models.states import CircuitCause
from janus_mail.pages import queries
from janus_mail.pages.circuit_words import KEY_REFUSED, cause, instead, refusal, what
from janus_mail.pages.times import exact
from janus_mail.pages.visit import Visit
from janus_mail.pages.waiting import capital
from janus_mail.routing.incidents import LatestIncident, latest_incidents

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class LatestRow:
    """A line of the table. `lasted` is null while it goes on."""

    what: str
    reason: str
    said: str
    provider_id: uuid.UUID
    provider: str
    began: datetime
    lasted: str | None
    bad: bool  # it wants a person
    new_key: bool
    instead: str


@dataclass(frozen=True, slots=True)
class RefusedKey:
    """A provider that refuses our key; `stand_in` takes its mail meanwhile, where one does."""

    provider_id: uuid.UUID
    provider: str
    since: datetime
    stand_in: str | None


async def read_latest(visit: Visit) -> list[LatestRow]:
    """Those that go on first, then the newest."""
    found = await latest_incidents(visit.context.database, visit.caller.workspace_id, limit=_SHOWN)
    return [_row(incident) for incident in found]


async def read_refused_keys(visit: Visit, order: Sequence[uuid.UUID]) -> list[RefusedKey]:
    """`order`: the providers that mail without a wish may take."""
    rows = await visit.context.database.pool.fetch(queries.STANDING, visit.caller.workspace_id, order)
    stand_in = next((row["name"] for row in rows if not row["held"]), None)
    return [
        RefusedKey(row["id"], row["name"], row["since"], stand_in)
        for row in rows
        if row["since"] and row["cause"] == CircuitCause.BROKEN and refusal(row["reason"]) == KEY_REFUSED
    ]


def _row(incident: LatestIncident) -> LatestRow:
    reason, said = cause(incident)
    over = incident.closed_at is not None
    broken = incident.cause is CircuitCause.BROKEN
    return LatestRow(
        what(incident), reason, said, incident.provider.id, incident.provider.name, incident.opened_at,
        exact(incident.closed_at - incident.opened_at) if incident.closed_at is not None else None,
        bad=broken and not over, new_key=broken and not over and refusal(incident.reason) == KEY_REFUSED,
        instead=capital(instead(incident)),
    )  # fmt: skip
