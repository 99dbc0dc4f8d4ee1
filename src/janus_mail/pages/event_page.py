"""`/events/{id}`: one event, each message's way, its content and settings, and what can still be done."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Self
from urllib.parse import urlencode

import asyncpg
from fastapi import APIRouter, Path
from starlette.datastructures import QueryParams
from starlette.responses import Response

from janus_mail.delivery.route import Wish, route
from janus_mail.errors import NotFound
from janus_mail.events.answers import EventOut
from janus_mail.events.attachments import MAX_FILES
from janus_mail.events.dry_run import explain_route
from janus_mail.events.show import read_event, read_file, read_message
from janus_mail.models.states import FINAL, EventStatus, State
from janus_mail.pages import queries
from janus_mail.pages.event_letter import mail_of, sender_among
from janus_mail.pages.event_summary import summary
from janus_mail.pages.feedback_words import reports
from janus_mail.pages.group import Group, read_group
from janus_mail.pages.letter import apart, read_html, read_letter
from janus_mail.pages.message_rows import Table, message_row
from janus_mail.pages.progress import legend, progress
from janus_mail.pages.rendering import show, show_foreign
from janus_mail.pages.route import providers_of
from janus_mail.pages.timeline import Aside, Step, way
from janus_mail.pages.times import number
from janus_mail.pages.visit import Visit, VisitDep
from janus_mail.pages.ways import Ways, second_copies, ways
from janus_mail.pages.words import STATES, STATUSES, Look, count, listed
from janus_mail.web.download import download
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
    reported = {
        row["delivery_status"]: row["many"] for row in await pool.fetch(queries.REPORTED, workspace_id, event_id)
    }
    page = await _read_messages(visit, event_id, search)
    providers = await providers_of(visit)
    wish = Wish(pace["provider_id"], event.failover, event.from_email)
    names = [provider.name for provider in route(wish, providers).order]
    opened = await _read_way(visit, event, search, names, [provider.id for provider in providers])
    group = await read_group(visit, event)
    table = Table(event, names, group, visit.clock)
    counts = group.counts if group is not None and group.in_part else event.counts
    told = reported if counts is event.counts else {}
    moving = _is_moving(event, visit.clock.now, pace["soon"])
    final = sum(event.counts[state] for state in FINAL) == sum(event.counts.values())
    return await show(
        visit,
        "event.html",
        nav="events",
        moving=moving,
        event=event,
        look=_look(event, group),
        waiting=event.expected_sent_at > visit.clock.now,
        poll=_poll(search.link(event_id), moving=moving),
        every_s=2 if moving else None if final else 10,
        ended=_ended(visit, event) if final else "",
        warnings=[visit.clock.retold(w) for w in event.warnings] if event.status is EventStatus.PENDING else [],
        progress=progress(counts, event.exactly_sent_at, visit.clock.now, told),
        legend=_legend(event, counts, told, search),
        summary=summary(tries, pace["latest_s"], all_sent=event.status is EventStatus.SENT),
        reports=reports(reported),
        can=_can(event, pace["waiting"]),
        search=search,
        rows=[
            message_row(table, row, _link_of(row["id"], search, event_id, opened), opened.get(row["id"], ()))
            for row in page.rows
        ],
        earlier=search.link(event_id, start="", before=page.earlier) + "#messages" if page.earlier else None,
        later=search.link(event_id, before="", start=page.later) + "#messages" if page.later else None,
        messages_words=_messages_words(event, search, len(page.rows)),
        sender=sender_among(providers, wish, event.from_name),
        route=names,
        group=group,
        ways=None if final else await _read_ways(visit, event, wish),
        **_content(event, search),
    )


@router.get("/events/{event_id}/preview")
async def preview(visit: VisitDep, event_id: uuid.UUID) -> Response:
    """The mail as its recipient sees it, alone and harmless, for the frame on the event's page."""
    await read_event(visit.context, visit.caller, event_id)
    search = Search.read(visit.request.query_params)
    content = await mail_of(visit, event_id, search.opened, search.view)
    if search.view == "html" and (html := await apart(read_html, content)) is not None:
        return show_foreign(html, html=True)
    letter = await apart(read_letter, content)
    return show_foreign(letter.source if search.view == "source" else letter.text or "", html=False)


@router.get("/events/{event_id}/attachments/{place}")
async def attachment(visit: VisitDep, event_id: uuid.UUID, place: Annotated[int, Path(ge=0, le=MAX_FILES)]) -> Response:
    """One of the event's files."""
    file = await read_file(visit.context, visit.caller, event_id, place)
    return download(file["filename"], file["content_type"], file["content"])


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


async def _read_ways(visit: Visit, event: EventOut, wish: Wish) -> Ways:
    """Where what has not left would go now; a second copy goes its own way."""
    workspace_id = visit.caller.workspace_id
    explained = await explain_route(visit.context, workspace_id, wish)
    copies = await visit.context.database.pool.fetch(queries.SECOND_COPIES, workspace_id, event.id)
    if not copies:
        return ways(explained, visit.clock)
    waiting = event.counts[State.SCHEDULED] + event.counts[State.LEASED]
    alone = sum(row["many"] for row in copies) >= waiting
    return second_copies(
        explained, [(row["provider_id"], row["provider_name"]) for row in copies], visit.clock, alone=alone
    )


async def _read_way(
    visit: Visit, event: EventOut, search: Search, route: Sequence[str], providers: Sequence[uuid.UUID]
) -> dict[uuid.UUID, list[Step]]:
    """The opened message's steps; nothing is open where the address names no message of this event."""
    if search.opened is None:
        return {}
    try:
        message = await read_message(visit.context, visit.caller, search.opened)
    except NotFound:
        return {}
    if message.event_id != event.id:
        return {}
    row = await visit.context.database.pool.fetchrow(queries.ASIDE, visit.caller.workspace_id, message.id)
    assert row is not None  # noqa: S101
    editable = providers if visit.caller.may("providers:write") else ()
    aside = Aside(row["caught"], row["resends"], row["next_try_at"], route, editable, row["listed"])
    return {message.id: way(event, message, visit.clock, aside)}


def _link_of(message_id: uuid.UUID, search: Search, event_id: uuid.UUID, opened: Mapping[uuid.UUID, object]) -> str:
    """Opens the message's line, or closes it."""
    return search.link(event_id, message="" if message_id in opened else str(message_id)) + f"#m-{message_id}"


def _look(event: EventOut, group: Group | None) -> Look:
    """Not all is well where a part of a group was refused."""
    return group.look if event.status is EventStatus.SENT and group and group.in_part else STATUSES[event.status]


def _legend(
    event: EventOut, counts: Mapping[State, int], told: Mapping[str | None, int], search: Search
) -> list[LegendEntry]:
    paged = event.recipients_count > PAGE and counts is event.counts
    entries = []
    for state, look, words in legend(counts, told):
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
    again = {state: counts[state] for state in (State.FAILED, State.PARKED, State.SUPPRESSED) if counts[state]}
    kinds = [f"{number(many)} {state}" for state, many in again.items()]
    return Can(waiting, cancel, sentence, sum(again.values()), listed(kinds) if kinds else "")


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
