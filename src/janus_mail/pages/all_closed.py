"""When no provider of the route can take mail now: since when, why, and what comes next."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from janus_mail.pages import queries
from janus_mail.pages.times import Clock
from janus_mail.pages.visit import Visit
from janus_mail.pages.words import listed


@dataclass(frozen=True, slots=True)
class AllClosed:
    """`since` where it is known; `following` is a sentence."""

    headline: str
    since: datetime | None
    following: str


async def read_closed(visit: Visit, order: Sequence[uuid.UUID], *, any_provider: bool) -> AllClosed | None:
    """`order`: the providers that mail without a wish may take. None where one of them can take mail."""
    if not any_provider:
        return AllClosed("There is no provider yet", None, "Mail waits until there is one.")
    if not order:
        return AllClosed("No provider is on and fit to send", None, "Mail waits until one is.")
    rows = await visit.context.database.pool.fetch(queries.HELD_BACK, visit.caller.workspace_id, order)
    return closed_words([dict(row) for row in rows], visit.clock) if len(rows) == len(order) else None


def closed_words(rows: Sequence[Mapping[str, Any]], clock: Clock) -> AllClosed:
    """`rows`: every provider of the route with `name`, `state`, `since`, `until` of its circuit and `used_up`."""
    since = [row["since"] for row in rows]
    return AllClosed(
        "No provider takes mail now" if len(rows) > 1 else f"{rows[0]['name']} takes no mail now",
        None if None in since else max(since),
        _following(rows, clock),
    )


def _following(rows: Sequence[Mapping[str, Any]], clock: Clock) -> str:
    midnight = datetime.combine(clock.now.astimezone(UTC).date() + timedelta(days=1), datetime.min.time(), UTC)
    coming: list[tuple[datetime, str]] = []
    for row in rows:
        by_hand = row["state"] is not None and row["until"] is None
        if row["used_up"] and not by_hand and (row["until"] or clock.now) < midnight:
            coming.append((midnight, f"{row['name']} has its daily quota again"))
        elif not by_hand:
            coming.append((max(row["until"], clock.now), f"the next mail tries {row['name']}"))
    if not coming:
        names = listed([row["name"] for row in rows])
        were, one = ("was", "it") if len(rows) == 1 else ("were", "one")
        return f"{names} {were} stopped by hand: mail waits until somebody uses {one} again."
    at, what = min(coming)
    if at <= clock.now:
        return f"{what[0].upper()}{what[1:]}."
    return f"At {clock.at(at)} {what}."
