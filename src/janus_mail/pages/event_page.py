"""`/events/{id}`: one event, each message's way, its content and settings, and what can still be done."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Self
from urllib.parse import urlencode

import asyncpg
from fastapi import APIRouter
from starlette.datastructures import QueryParams
from starlette.responses import Response

from janus_mail.delivery.route import Wish, route
from janus_mail.errors import NotFound
from janus_mail.events.answers import EventOut
from janus_mail.events.dry_run import explain_route
from janus_mail.events.show import read_event, read_message
from janus_mail.models.states import FINAL, EventStatus, State
from janus_mail.pages import queries
from janus_mail.pages.event_letter import letter_of, sender_among
from janus_mail.pages.event_summary import summary
from janus_mail.pages.group import read_group
from janus_mail.pages.progress import legend, progress
from janus_mail.pages.rendering import show, show_foreign
from janus_mail.pages.route import providers_of
from janus_mail.pages.timeline import Step, way
from janus_mail.pages.times import Clock, number
from janus_mail.pages.visit import Visit, VisitDep
from janus_mail.pages.ways import ways
from janus_mail.pages.words import STATES, STATUSES, WAITING, WAITS, Look, count, explain
from janus_mail.web.pages_of import decode_cursor, encode_cursor

router = APIRouter()

PAGE = 25
VIEWS = {"html": "HTML", "text": "Text", "source": "Source"}
_SOON = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Search:
    """What the address asks for."""

    message: str = ""  # the opened one's id
    recipient: str = ""
    state: str = ""
    start: str = ""  # cursors: the page from this message on, or the one before it
    before: str = ""
    view: str = ""

    @classmethod
    def read(cls, query: QueryParams) -> Self:
        given = {name: query.get(name, "").strip()[:320] for name in cls.__slots__}
        if given["state"] not in STATES:
            given["state"] = ""
        if given["view"] not in VIEWS:
            given["view"] = ""
        return cls(**given)

    @property
    def opened(self) -> uuid.UUID | None:
        try:
            return uuid.UUID(self.message)
        except ValueError:
            return None

    def link(self, event_id: uuid.UUID, **changes: str) -> str:
        query = {name: value for name, value in {**asdict(self), **changes}.items() if value}
        return f"/events/{event_id}" + (f"?{urlencode(query)}" if query else "")


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One line of the table of messages; with `steps` it is opened."""

    id: uuid.UUID
    recipient: str
    look: Look
    note: str
    provider: str | None
    tries: int
    left_at: datetime | None
    href: str
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """«3 failed», leading to these where there are pages of messages."""

    look: Look
    words: str
    href: str | None


@dataclass(frozen=True, slots=True)
class Can:
    """To how many messages each thing can still be done, and what is said about it."""

    send_now: int
    cancel: int
    cancel_words: str
    retry: int
    retry_words: str


@router.get("/events/{event_id}")
async def event_page(visit: VisitDep, event_id: uuid.UUID) -> Response:
    event = await read_event(visit.context, visit.caller, event_id)
    search = Search.read(visit.request.query_params)
    pool, workspace_id = visit.context.database.pool, visit.caller.workspace_id
    pace = await pool.fetchrow(queries.PACE, workspace_id, event_id)
    assert pace is not None  # noqa: S101
    tries = await pool.fetch(queries.TRIES, workspace_id, event_id)
    page = await _read_messages(visit, event_id, search)
    opened = await _read_way(visit, event, search)
    providers = await providers_of(visit)
    wish = Wish(pace["provider_id"], event.failover, event.from_email)
    moving = _is_moving(event, visit.clock.now, pace["soon"])
    final = sum(event.counts[state] for state in FINAL) == sum(event.counts.values())
    return await show(
        visit,
        "event.html",
        nav="events",
        moving=moving,
        event=event,
        look=STATUSES[event.status],
        waiting=event.expected_sent_at > visit.clock.now,
        poll=_poll(search.link(event_id), moving=moving),
        every_s=2 if moving else None if final else 10,
        ended=_ended(visit, event) if final else "",
        warnings=[visit.clock.retold(w) for w in event.warnings] if event.status is EventStatus.PENDING else [],
        progress=progress(event.counts, event.exactly_sent_at, visit.clock.now),
        legend=_legend(event, search),
        summary=summary(tries, pace["latest_s"], all_sent=event.status is EventStatus.SENT),
        can=_can(event, pace["waiting"]),
        search=search,
        rows=[_row(event, row, opened.get(row["id"], ()), search, visit.clock) for row in page.rows],
        earlier=search.link(event_id, start="", before=page.earlier) + "#messages" if page.earlier else None,
        later=search.link(event_id, before="", start=page.later) + "#messages" if page.later else None,
        messages_words=_messages_words(event, search, len(page.rows)),
        sender=sender_among(providers, wish, event.from_name),
        route=[provider.name for provider in route(wish, providers).order],
        group=await read_group(visit, event),
        ways=None if final else ways(await explain_route(visit.context, workspace_id, wish), visit.clock),
        **_content(event, search),
    )


@router.get("/events/{event_id}/preview")
async def preview(visit: VisitDep, event_id: uuid.UUID) -> Response:
    """The mail as its recipient sees it, alone and harmless, for the frame on the event's page."""
    await read_event(visit.context, visit.caller, event_id)
    search = Search.read(visit.request.query_params)
    letter = await letter_of(visit, event_id, search.opened)
    if search.view == "html" and letter.html is not None:
        return show_foreign(letter.html, html=True)
    return show_foreign(letter.source if search.view == "source" else letter.text or "", html=False)


@dataclass(frozen=True, slots=True)
class _Page:
    rows: Sequence[asyncpg.Record]
    earlier: str | None
    later: str | None


async def _read_messages(visit: Visit, event_id: uuid.UUID, search: Search) -> _Page:
    """The page that is asked for; the one with the opened message, where no page is."""
    pool = visit.context.database.pool
    given = (visit.caller.workspace_id, event_id, search.recipient or None, search.state or None)
    if search.before:
        rows = await pool.fetch(queries.MESSAGES_BEFORE, *given, decode_cursor(search.before), PAGE + 1)
        shown = rows[PAGE - 1 :: -1] if len(rows) > PAGE else rows[::-1]
        return _Page(shown, encode_cursor(shown[0]["id"]) if len(rows) > PAGE else None, search.before)
    start = decode_cursor(search.start) if search.start else None
    rows = await pool.fetch(queries.MESSAGES_FROM, *given, start, PAGE + 1)
    if start is None and search.opened and search.opened not in [row["id"] for row in rows[:PAGE]]:
        start = search.opened
        rows = await pool.fetch(queries.MESSAGES_FROM, *given, start, PAGE + 1) or rows
    shown = rows[:PAGE]
    earlier = start is not None and shown and await pool.fetch(queries.MESSAGES_BEFORE, *given, shown[0]["id"], 1)
    return _Page(
        shown,
        encode_cursor(shown[0]["id"]) if earlier else None,
        encode_cursor(rows[PAGE]["id"]) if len(rows) > PAGE else None,
    )


async def _read_way(visit: Visit, event: EventOut, search: Search) -> dict[uuid.UUID, list[Step]]:
    """The opened message's steps; nothing is open where the address names no message of this event."""
    if search.opened is None:
        return {}
    try:
        message = await read_message(visit.context, visit.caller, search.opened)
    except NotFound:
        return {}
    if message.event_id != event.id:
        return {}
    caught = await visit.context.database.pool.fetchval(queries.CAUGHT_MESSAGE, visit.caller.workspace_id, message.id)
    return {message.id: way(event, message, message.attempts, visit.clock, caught)}


def _row(event: EventOut, row: asyncpg.Record, steps: Sequence[Step], search: Search, clock: Clock) -> MessageRow:
    note = _note(row, clock)
    if event.send_as == "group" and event.recipients_count > 1 and not note:
        note = f"and {number(event.recipients_count - 1)} more, in one mail"
    return MessageRow(
        id=row["id"],
        recipient=row["recipient"],
        look=WAITING if row["state"] == State.SCHEDULED and row["waiting_for"] else STATES[row["state"]],
        note=note,
        provider=row["provider_name"],
        tries=row["attempt_count"],
        left_at=row["sent_at"],
        href=search.link(event.id, message="" if steps else str(row["id"])) + f"#m-{row['id']}",
        steps=steps,
    )


def _note(row: asyncpg.Record, clock: Clock) -> str:
    """The second line, where there is something to say."""
    short, said = explain(row["last_error"])
    match row["state"]:
        case State.SCHEDULED if row["waiting_for"]:
            wait = f"{WAITS[row['waiting_for']]} {clock.until(row['next_try_at'])}"
            return f"{short}; {wait}" if short else wait
        case State.FAILED:
            return f"{short}: {said}" if said else short
        case State.UNCERTAIN:
            return f"{short}; looking for a proof"
        case State.PARKED:
            return f"{short}; your decision"
    return ""


def _legend(event: EventOut, search: Search) -> list[LegendEntry]:
    paged = event.recipients_count > PAGE
    entries = []
    for state, look, words in legend(event.counts):
        href = f"{search.link(event.id, state=state, start='', before='')}#messages"
        entries.append(LegendEntry(look, words, href if paged else None))
    return entries


def _can(event: EventOut, waiting: int) -> Can:
    counts = event.counts
    cancel = counts[State.SCHEDULED] + counts[State.LEASED]
    done = sum(counts[state] for state in FINAL)
    under_way = counts[State.SENDING] + counts[State.UNCERTAIN]
    said = []
    if done:
        said.append(f"{number(done)} {'is' if done == 1 else 'are'} done and cannot be called back")
    if under_way:
        said.append(f"{number(under_way)} {'is' if under_way == 1 else 'are'} under way")
    sentence = "; ".join(said) + "." if said else "Nothing has left yet."
    failed, parked = counts[State.FAILED], counts[State.PARKED]
    kinds = [f"{number(many)} {word}" for many, word in ((failed, "failed"), (parked, "parked")) if many]
    return Can(waiting, cancel, sentence, failed + parked, " and ".join(kinds))


def _is_moving(event: EventOut, now: datetime, soon: int) -> bool:
    """Whether to look often: something is on its way, or soon will be."""
    if event.status is EventStatus.SENDING:
        # What only waits for its next round does not move, until the round comes.
        return soon > 0 or event.counts[State.SCHEDULED] != sum(event.counts.values()) - sum(
            event.counts[s] for s in FINAL
        )
    return event.status is EventStatus.PENDING and event.expected_sent_at <= now + _SOON


def _ended(visit: Visit, event: EventOut) -> str:
    if not visit.is_update or "was_moving" not in visit.request.query_params:
        return ""
    if event.status is EventStatus.SENT:
        return f"All {count(event.counts[State.SENT], 'email')} sent." if event.counts[State.SENT] > 1 else "Sent."
    return f"{STATUSES[event.status].word}: " + ", ".join(words for _, _, words in legend(event.counts)) + "."


def _messages_words(event: EventOut, search: Search, shown: int) -> str:
    total = sum(event.counts.values())
    if search.recipient or search.state:
        return count(shown, "message")
    if shown < total:
        return f"{number(shown)} of {count(total, 'message')}"
    if event.send_as == "group":
        return f"1 message to {count(event.recipients_count, 'recipient')}"
    return count(total, "message") + (", one for each recipient" if total > 1 else "")


def _content(event: EventOut, search: Search) -> dict[str, Any]:
    """The tabs, which one is open, and the address of what it shows."""
    views = [view for view in VIEWS if view != "html" or event.email_html is not None]
    view = search.view if search.view in views else views[0]
    wanted = {"view": view, "message": search.message}
    return {
        "tabs": [(name, VIEWS[name], search.link(event.id, view=name)) for name in views],
        "view": view,
        "preview": f"/events/{event.id}/preview?{urlencode({k: v for k, v in wanted.items() if v})}",
    }


def _poll(link: str, *, moving: bool) -> str:
    """What the page asks for by itself; it tells that something moved, so that the end can be told."""
    return f"{link}{'&' if '?' in link else '?'}was_moving=1" if moving else link
