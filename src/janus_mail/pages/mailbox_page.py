"""`/mailbox`: what the sandbox caught, byte for byte."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Self
from urllib.parse import urlencode

import asyncpg
from cachetools import LRUCache
from fastapi import APIRouter
from starlette.datastructures import QueryParams
from starlette.responses import Response

from janus_mail.audit.record import record
from janus_mail.errors import NotFound
from janus_mail.pages import queries
from janus_mail.pages.flash import Flash
from janus_mail.pages.letter import Enclosed, Letter, apart, read_file, read_html, read_letter
from janus_mail.pages.rendering import go_to, show, show_foreign
from janus_mail.pages.visit import EditVisit, OurForm, Visit, VisitDep
from janus_mail.providers.registry import KINDS
from janus_mail.web.download import download as saved_as
from janus_mail.web.pages_of import decode_cursor, encode_cursor

router = APIRouter()

PAGE = 20
_GONE = "This mail is not in the mailbox any more."


def _characters(letter: Letter) -> int:
    return 2_000 + len(letter.html or "") + len(letter.text or "") + len(letter.source)


# An open page asks again and again, and what was caught never changes.
_read: LRUCache[tuple[uuid.UUID, uuid.UUID], Letter] = LRUCache(4_000_000, _characters)


@dataclass(frozen=True, slots=True)
class Place:
    """What the address asks for: a page of the list, a mail and one of its forms."""

    cursor: str = ""
    mail: str = ""
    view: str = ""

    @classmethod
    def read(cls, query: QueryParams) -> Self:
        return cls(**{name: query.get(name, "") for name in cls.__slots__})

    def link(self, **changes: object) -> str:
        given = {"cursor": self.cursor, "mail": self.mail, "view": self.view, **changes}
        query = urlencode({name: value for name, value in given.items() if value})
        return f"/mailbox?{query}" if query else "/mailbox"


@dataclass(frozen=True, slots=True)
class ListedLetter:
    """One line of the list."""

    href: str
    current: bool
    subject: str
    to: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OpenedMail:
    """The mail on the right; `hidden` are the recipients of the envelope that no header names."""

    id: uuid.UUID
    subject: str
    sender: str
    to: str
    cc: str
    hidden: Sequence[str]
    at: datetime
    provider: str
    provider_id: uuid.UUID
    kind: str
    event_id: uuid.UUID
    message_id: uuid.UUID
    octets: int
    headers: Sequence[tuple[str, str]]
    files: Sequence[Enclosed]


@router.get("/mailbox")
async def mailbox_page(visit: VisitDep) -> Response:
    place = Place.read(visit.request.query_params)
    pool, workspace_id = visit.context.database.pool, visit.caller.workspace_id
    cursor = decode_cursor(place.cursor) if place.cursor else None
    rows = await pool.fetch(queries.CAUGHT, workspace_id, cursor, PAGE + 1)
    shown = rows[:PAGE]
    if not shown and cursor:
        return go_to(visit, "/mailbox")
    if not shown:
        return await show(visit, "mailbox_empty.html", nav="mailbox")
    if visit.is_update and "was_empty" in visit.request.query_params:
        return Response(status_code=204, headers={"HX-Refresh": "true"})
    row = await _opened_row(visit, place, shown[0]["id"])
    letter = await _letter(visit, row["id"])
    views = dict(letter.forms)
    view = place.view if place.view in views else next(iter(views))
    here = Place(place.cursor, str(row["id"]), view)
    newest = shown[0]["id"]
    return await show(
        visit,
        "mailbox.html",
        nav="mailbox",
        poll=here.link(),  # the opened mail stays while new ones come in above it
        letters=[_listed(each, here) for each in shown],
        newer=await _newer(visit, shown) if cursor else None,
        older=Place(encode_cursor(shown[-1]["id"])).link() if len(rows) > PAGE else None,
        mail=_opened(row, letter),
        tabs=[(name, words, here.link(view=name) + "#opened") for name, words in views.items()],
        view=view,
        newest=newest,
        up_to_now=await pool.fetchval(queries.COUNT_CAUGHT, workspace_id, newest),
    )


@router.get("/mailbox/{mail_id}/preview")
async def preview(visit: VisitDep, mail_id: uuid.UUID) -> Response:
    """One form of the mail, alone and harmless, for the frame on its page."""
    view = visit.request.query_params.get("view")
    if view == "html" and (html := await apart(read_html, await _content(visit, mail_id))) is not None:
        return show_foreign(html, html=True)
    await _caught(visit, mail_id)
    letter = await _letter(visit, mail_id)
    return show_foreign(letter.source if view == "source" else letter.text or "", html=False)


@router.get("/mailbox/{mail_id}.eml")
async def download(visit: VisitDep, mail_id: uuid.UUID) -> Response:
    """The bytes as they would have gone over the wire."""
    content = await _content(visit, mail_id)
    headers = {"Content-Disposition": f'attachment; filename="{mail_id}.eml"', "Cache-Control": "private, no-cache"}
    return Response(content, media_type="message/rfc822", headers=headers)


@router.get("/mailbox/{mail_id}/attachments/{place}")
async def attachment(visit: VisitDep, mail_id: uuid.UUID, place: int) -> Response:
    """One of the mail's files."""
    found = await apart(partial(read_file, place=place), await _content(visit, mail_id))
    if found is None:
        raise NotFound("This mail has no such file.")
    file, content = found
    return saved_as(file.filename, file.content_type, content)


@router.post("/mailbox/empty")
async def empty_mailbox(visit: EditVisit, up_to: uuid.UUID, _form: OurForm) -> Response:
    """What was caught after the question was asked stays."""
    caller = visit.caller
    async with visit.context.database.transaction() as connection:
        gone = await connection.fetchval(queries.EMPTY_MAILBOX, caller.workspace_id, up_to)
        await record(
            connection, caller, "mailbox.emptied", "mailbox", workspace_id=caller.workspace_id, after={"mails": gone}
        )
    return go_to(visit, "/mailbox", Flash("mailbox_emptied", (gone,)))


async def _letter(visit: Visit, mail_id: uuid.UUID) -> Letter:
    """The mail read, and kept for the next time that the page asks for it. Raises NotFound."""
    letter = _read.get((visit.caller.workspace_id, mail_id))
    if letter is None:
        letter = await apart(read_letter, await _content(visit, mail_id))
        if _characters(letter) <= _read.maxsize:
            _read[visit.caller.workspace_id, mail_id] = letter
    return letter


async def _content(visit: Visit, mail_id: uuid.UUID) -> bytes:
    content: bytes | None = await visit.context.database.pool.fetchval(
        queries.CAUGHT_CONTENT, visit.caller.workspace_id, mail_id
    )
    if content is None:
        raise NotFound(_GONE)
    return content


async def _caught(visit: Visit, mail_id: uuid.UUID) -> asyncpg.Record:
    row = await visit.context.database.pool.fetchrow(queries.CAUGHT_MAIL, visit.caller.workspace_id, mail_id)
    if row is None:
        raise NotFound(_GONE)
    return row


async def _opened_row(visit: Visit, place: Place, otherwise: uuid.UUID) -> asyncpg.Record:
    """The mail that the address names, while it is there."""
    try:
        return await _caught(visit, uuid.UUID(place.mail))
    except (ValueError, NotFound):
        return await _caught(visit, otherwise)


async def _newer(visit: Visit, shown: Sequence[asyncpg.Record]) -> str:
    """The address of the page before."""
    newer = await visit.context.database.pool.fetch(
        queries.CAUGHT_BEFORE, visit.caller.workspace_id, shown[0]["id"], PAGE + 1
    )
    return Place(encode_cursor(newer[PAGE]["id"]) if len(newer) > PAGE else "").link()


def _listed(row: asyncpg.Record, here: Place) -> ListedLetter:
    return ListedLetter(
        href=here.link(mail=row["id"], view="") + "#opened",
        current=str(row["id"]) == here.mail,
        subject=row["subject"],
        to=", ".join(row["recipients"][:3]) + (" …" if len(row["recipients"]) > 3 else ""),
        at=row["captured_at"],
    )


def _opened(row: asyncpg.Record, letter: Letter) -> OpenedMail:
    kind = KINDS.get(row["provider_kind"])
    named = " ".join((letter.header("To"), letter.header("Cc"))).casefold()
    return OpenedMail(
        id=row["id"],
        subject=row["subject"],
        sender=letter.header("From"),
        to=letter.header("To"),
        cc=letter.header("Cc"),
        hidden=[address for address in row["recipients"] if address.casefold() not in named],
        at=row["captured_at"],
        provider=row["provider_name"],
        provider_id=row["provider_id"],
        kind=kind.label if kind else row["provider_kind"],
        event_id=row["event_id"],
        message_id=row["message_id"],
        octets=row["octets"],
        headers=letter.headers,
        files=letter.files,
    )
