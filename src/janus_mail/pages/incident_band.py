"""What every page says while a provider of the workspace takes no mail though nobody stopped it."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from janus_mail.models.states import CircuitCause
from janus_mail.pages import queries
from janus_mail.pages.circuit_words import KEY_REFUSED, refusal, told
from janus_mail.pages.visit import Visit


@dataclass(frozen=True, slots=True)
class Trouble:
    """One provider: since when, and why in our words; `wants_key` where a new one is what it wants."""

    provider_id: uuid.UUID
    provider: str
    since: datetime
    why: str
    wants_key: bool
    wants_person: bool


async def read_troubles(visit: Visit) -> list[Trouble]:
    """Those that go on, in the order of the route; what a person stopped and a rest that was asked for are none."""
    rows = await visit.context.database.pool.fetch(queries.IN_TROUBLE, visit.caller.workspace_id)
    return [
        Trouble(
            row["id"], row["name"], row["since"], told(row["reason"], broken=row["cause"] == CircuitCause.BROKEN)[0],
            wants_key=row["cause"] == CircuitCause.BROKEN and refusal(row["reason"]) == KEY_REFUSED,
            wants_person=row["cause"] == CircuitCause.BROKEN,
        )
        for row in rows
    ]  # fmt: skip
