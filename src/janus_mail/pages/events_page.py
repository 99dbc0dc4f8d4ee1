"""`/`: the events with their status, newest first."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self
from urllib.parse import urlencode

import asyncpg
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.datastructures import QueryParams
from starlette.responses import Response

from janus_mail.availability.provider_book import ConfiguredProvider
from janus_mail.content.addresses import InvalidAddress, parse_mailbox
from janus_mail.delivery.route import Wish, route
from janus_mail.events.listing import count_by_status
from janus_mail.models.states import CHANGEABLE, EventStatus, SendAs
from janus_mail.pages import queries
from janus_mail.pages.all_closed import read_closed
from janus_mail.pages.event_rows import EventRow, Held, shown_row
from janus_mail.pages.latest_incidents import read_refused_keys
from janus_mail.pages.rendering import show
from janus_mail.pages.route import providers_of
from janus_mail.pages.times import number
from janus_mail.pages.visit import Visit, VisitDep
from janus_mail.pages.words import STATUSES, Look, count
from janus_mail.web.pages_of import decode_cursor, encode_cursor

router = APIRouter()

PAGE = 10
PERIODS = {
    "": "Any time",
    "next_day": "Next 24 hours",
    "next_week": "Next 7 days",
    "last_day": "Last 24 hours",
    "last_week": "Last 7 days",
}
_DAYS: Mapping[str, tuple[int, int]] = {  # from, until
    "next_day": (0, 1),
    "next_week": (0, 7),
    "last_day": (-1, 0),
    "last_week": (-7, 0),
}
_LOOKED_AT = 200  # messages of an event, to tell which providers it went through, or what it waits for
_PARKED_MAILS = replace(STATUSES[EventStatus.PARKED], word="Parked mails")


@dataclass(frozen=True, slots=True)
class Filters:
    """What the address asks for; what is empty or unknown does not filter."""

    status: str = ""
    q: str = ""
    recipient: str = ""
    provider: str = ""
    period: str = ""
    tag: str = ""

    @classmethod
    def read(cls, query: QueryParams) -> Self:
        given = {name: query.get(name, "").strip()[:320] for name in cls.__slots__}
        if given["status"] not in STATUSES:
            given["status"] = ""
        if given["period"] not in PERIODS:
            given["period"] = ""
        return cls(**given)

    def link(self, **changes: str | None) -> str:
        """The address of the list with these filters, some of them changed."""
        query = {name: value for name, value in {**asdict(self), **changes}.items() if value}
        return f"/?{urlencode(query)}" if query else "/"

    def values(self, now: datetime) -> dict[str, Any]:
        """For the filters of `events.queries`. Raises `InvalidAddress`."""
        values: dict[str, Any] = {
            name: value for name in ("status", "q", "provider", "tag") if (value := getattr(self, name))
        }
        if self.recipient:
            values["recipient"] = parse_mailbox(self.recipient).address
        if self.period:
            # To the minute, so that pages with a period can be cached at all.
            start, end = (now.replace(second=0, microsecond=0) + timedelta(days=days) for days in _DAYS[self.period])
            values |= {"expected_after": start, "expected_before": end}
        return values


class Listed(BaseModel):
    """One page of the list, as it is kept in the cache: nothing in it depends on who looks or when."""

    counts: dict[EventStatus, int]
    rows: list[EventRow]
    newer: str | None  # cursors; empty for the first page, null for none
    older: str | None
    provider_names: list[str]
    route: list[str]  # of mail without a wish
    route_ids: list[uuid.UUID]
    sandbox: bool


@dataclass(frozen=True, slots=True)
class Tile:
    """One status of the strip; without a look it is «All». Without a count it counts mails, as the menu does."""

    href: str
    look: Look | None
    count: int | None
    current: bool


@router.get("/")
async def list_page(visit: VisitDep) -> Response:
    """The list, from the cache where it is there: the data, while times and words are made for who looks."""
    query = visit.request.query_params
    filters = Filters.read(query)
    cursor = query.get("cursor")
    if cursor:
        decode_cursor(cursor)
    try:
        values = filters.values(visit.clock.now)
    except InvalidAddress:
        values = None  # nobody has such an address
    key = f"page /?{urlencode([*sorted((values or {'nobody': 1}).items()), ('cursor', cursor or '')])}"
    stored, use = await visit.context.list_cache.serve(
        visit.caller.workspace_id, key, lambda: _make(visit, values, cursor)
    )
    listed = Listed.model_validate_json(stored)
    empty = not any(listed.counts.values())
    if visit.is_update and (empty or "was_empty" in query):
        response = Response(status_code=204, headers={} if empty else {"HX-Refresh": "true"})
    else:
        response = await (_show_empty if empty else _show)(visit, filters, cursor, listed)
    response.headers["X-Cache"] = use
    return response


async def _make(visit: Visit, values: Mapping[str, Any] | None, cursor: str | None) -> bytes:
    pool, workspace_id = visit.context.database.pool, visit.caller.workspace_id
    counts = await count_by_status(visit.context, visit.caller)
    providers = await providers_of(visit)
    plain = route(Wish(None, True, None), providers)
    rows: Sequence[asyncpg.Record] = []
    newer: str | None = None
    if values is not None:
        filters = {**values, "cursor": decode_cursor(cursor)} if cursor else values
        rows = await pool.fetch(queries.list_events(filters), workspace_id, PAGE + 1, *filters.values())
        newer = await _newer(visit, values, rows) if cursor else None
    shown = rows[:PAGE]
    through: dict[uuid.UUID, list[str]] = {}
    begun = [row["id"] for row in shown if row["status"] != EventStatus.PENDING]
    for tried in await pool.fetch(queries.THROUGH, workspace_id, begun, _LOOKED_AT) if begun else ():
        through.setdefault(tried["event_id"], []).append(tried["name"])
    groups = [row["id"] for row in shown if row["send_as"] == SendAs.GROUP and row["status"] == EventStatus.SENT]
    lacking = await pool.fetch(queries.LACKING, workspace_id, groups) if groups else []
    lacks = {row["event_id"]: row["lacking"] for row in lacking}
    single = [row["id"] for row in shown if row["recipients_count"] == 1 and not row["failover"]]
    tests = {row["id"] for row in await pool.fetch(queries.TESTS, workspace_id, single)} if single else set()
    return Listed(
        counts=counts,
        rows=[
            _row({**row, "test": row["id"] in tests}, through.get(row["id"], []), lacks.get(row["id"], 0), providers)
            for row in shown
        ],
        newer=newer,
        older=encode_cursor(shown[-1]["id"]) if len(rows) > PAGE else None,
        provider_names=[provider.name for provider in providers],
        route=[provider.name for provider in plain.order],
        route_ids=[provider.id for provider in plain.order],
        sandbox=all(provider.sandbox for provider in plain.order),
    ).model_dump_json().encode()  # fmt: skip


async def _newer(visit: Visit, values: Mapping[str, Any], rows: Sequence[asyncpg.Record]) -> str | None:
    """The cursor of the page before; empty for the first."""
    if not rows:
        return ""
    newer = await visit.context.database.pool.fetch(
        queries.newer_events(list(values)), visit.caller.workspace_id, PAGE + 1, *values.values(), rows[0]["id"]
    )
    if not newer:
        return None
    return encode_cursor(newer[PAGE]["id"]) if len(newer) > PAGE else ""


def _row(row: Mapping[str, Any], through: list[str], lacking: int, providers: Sequence[ConfiguredProvider]) -> EventRow:
    taken = route(Wish(row["provider_id"], row["failover"], row["from_email"]), providers)
    first = row["first_recipients"][0] if row["first_recipients"] else {"email": ""}
    return EventRow.model_validate(
        {
            **row, "first_recipient": first["email"], "route": [p.name for p in taken.order], "through": through,
            "lacking": lacking,
        }
    )  # fmt: skip


async def _read_waiting(visit: Visit, rows: Sequence[EventRow]) -> dict[uuid.UUID, Held]:
    """What events wait for of which all that is left waits, and until when. Never from the cache: it changes often."""
    asked = [row.id for row in rows if row.may_wait(visit.clock.now)]
    if not asked:
        return {}
    found = await visit.context.database.pool.fetch(queries.WAITING, visit.caller.workspace_id, asked, _LOOKED_AT)
    return {
        row["event_id"]: Held(row["waiting_for"], row["next_try_at"], row["second_copies"])
        for row in found
        if not row["plain"]
    }


async def _show(visit: Visit, filters: Filters, cursor: str | None, listed: Listed) -> Response:
    moving = listed.counts[EventStatus.SENDING] > 0
    total = listed.counts[EventStatus(filters.status)] if filters.status else sum(listed.counts.values())
    shown = len(listed.rows)
    narrowed = any((filters.q, filters.recipient, filters.provider, filters.period, filters.tag))
    waiting = await _read_waiting(visit, listed.rows)
    ended = visit.is_update and "was_moving" in visit.request.query_params and not moving
    return await show(
        visit,
        "events.html",
        nav="events",
        moving=moving,
        poll=_poll(filters, cursor, moving=moving),
        every_s=2 if moving else 5,
        ended="Nothing is being sent any more." if ended else "",
        strip=_strip(filters, listed.counts),
        filters=filters,
        tag_link=lambda tag: filters.link(tag=tag),
        periods=list(PERIODS.items()),
        provider_names=listed.provider_names,
        closed=await read_closed(visit, listed.route_ids, any_provider=bool(listed.provider_names)),
        refused_keys=await read_refused_keys(visit, listed.route_ids),
        cancel_link=filters.link().replace("/", "/cancel", 1) if _can_cancel(filters, listed) else None,
        rows=[shown_row(row, visit.clock, waiting.get(row.id)) for row in listed.rows],
        shown_words=count(shown, "event") if narrowed else f"{number(shown)} of {count(total, 'event')}",
        newer=None if listed.newer is None else filters.link(cursor=listed.newer or None),
        older=filters.link(cursor=listed.older) if listed.older else None,
    )


def _can_cancel(filters: Filters, listed: Listed) -> bool:
    """Whether something of what the filter shows may not have left; what is on other pages is not known one by one."""
    here = any(row.counts.get(state, 0) for row in listed.rows for state in CHANGEABLE)
    open_ones = (EventStatus.PENDING, EventStatus.SENDING)
    beyond = bool(listed.older) and filters.status in ("", *open_ones) and any(listed.counts[s] for s in open_ones)
    return filters != Filters() and (here or beyond)


async def _show_empty(visit: Visit, _filters: Filters, _cursor: str | None, listed: Listed) -> Response:
    return await show(
        visit,
        "events_empty.html",
        nav="events",
        sandbox=listed.sandbox,
        no_provider=not listed.provider_names,
        first_provider=listed.route[0] if listed.route else None,
        api=visit.context.settings.public_url or str(visit.request.base_url).rstrip("/"),
    )


def _poll(filters: Filters, cursor: str | None, *, moving: bool) -> str:
    return filters.link(cursor=cursor, was_moving="1" if moving else None)


def _strip(filters: Filters, counts: Mapping[EventStatus, int]) -> list[Tile]:
    """Suppressed has no tile before there is any. What is parked is counted by mail: each wants a decision."""
    everything = Tile(filters.link(status=None), None, sum(counts.values()), not filters.status)
    return [everything] + [
        Tile("/parked", _PARKED_MAILS, None, False)
        if status == EventStatus.PARKED
        else Tile(filters.link(status=status), look, counts[EventStatus(status)], filters.status == status)
        for status, look in STATUSES.items()
        if status != EventStatus.SUPPRESSED or counts[EventStatus.SUPPRESSED]
    ]
