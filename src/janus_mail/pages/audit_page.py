"""`/audit`: who did what, when, from where, to which object."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Self
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from starlette.datastructures import QueryParams
from starlette.responses import Response, StreamingResponse

from janus_mail.oversight.export_csv import AS_FILE, MEDIA_TYPE, export_csv
from janus_mail.oversight.queries import STILL_THERE
from janus_mail.oversight.read import Asked, AuditFilters, Scope, cursor_before, list_entries, read_filters
from janus_mail.oversight.schemas import AuditEntryOut
from janus_mail.pages.audit_words import Field, changes, did
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.visit import AuditVisit, Visit
from janus_mail.web.pages_of import PageRequest, decode_cursor

router = APIRouter()

PAGE = 25
WHAT: Mapping[str, str] = {
    "event*": "Events",
    "message.*": "Parked mails",
    "provider.*": "Providers",
    "route.*": "The order of providers",
    "circuit.*": "Providers stopped and used again",
    "suppression*": "Suppressions",
    "mailbox.*": "The mailbox",
    "workspace.*": "The workspace",
    "member.*": "Members",
    "invitation.*": "Invitations",
    "key.*": "API keys",
    "recipient.*": "Erased recipients",
    "audit.*": "Exports of this log",
}
WHAT_ON_THE_SERVER: Mapping[str, str] = {
    "session*": "Signing in and out",
    "account.*": "Accounts",
    "invitation.*": "Invitations",
    "password.*": "Passwords",
    "second_factor.*": "Second factors",
    "email.*": "Addresses of accounts",
    "tokens.*": "Programs that are signed in",
    "person.*": "Erased people",
    "secrets.*": "Keys of the server",
    "audit.*": "Exports of this log",
}
PERIODS: Mapping[str, tuple[str, int]] = {
    "day": ("The last 24 hours", 1),
    "week": ("The last 7 days", 7),
    "month": ("The last 30 days", 30),
}


@dataclass(frozen=True, slots=True)
class Search:
    """What the address asks for."""

    q: str = ""
    actor: str = ""
    action: str = ""
    object_id: str = ""
    period: str = ""
    scope: str = ""

    @classmethod
    def read(cls, query: QueryParams) -> Self:
        given = {name: query.get(name, "").strip()[:320] for name in cls.__slots__}
        given["period"] = given["period"] if given["period"] in PERIODS else ""
        given["scope"] = given["scope"] if given["scope"] == "server" else ""
        try:
            given["object_id"] = str(UUID(given["object_id"])) if given["object_id"] else ""
        except ValueError:
            given["object_id"] = ""
        return cls(**given)

    def filters(self, now: datetime) -> AuditFilters:
        since = now - timedelta(days=PERIODS[self.period][1]) if self.period else None
        scope: Scope = "server" if self.scope else "workspace"
        return AuditFilters(
            actor=self.actor or None, action=self.action[:100] or None, q=self.q or None, scope=scope,
            object_id=UUID(self.object_id) if self.object_id else None, since=since.isoformat() if since else None,
        )  # fmt: skip

    def link(self, path: str = "/audit", **more: str | None) -> str:
        query = {name: value for name, value in {**asdict(self), **more}.items() if value}
        return f"{path}?{urlencode(query)}" if query else path


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """One line: who, what, when, from where; `href` leads to the object while it is there."""

    id: UUID
    at: datetime
    who: str
    did: str
    fields: Sequence[Field]
    came_from: str
    href: str | None


@router.get("/audit")
async def audit_page(visit: AuditVisit, cursor: str = "") -> Response:
    search = Search.read(visit.request.query_params)
    asked = await read_filters(visit.context, visit.caller, search.filters(visit.clock.now))
    before = decode_cursor(cursor) if cursor else None
    page = await list_entries(visit.context, asked, PageRequest(PAGE, before))
    if before is not None and not page.data:
        return go_to(visit, search.link())
    newer = None
    if before is not None:
        newer = search.link(cursor=await cursor_before(visit.context, asked, page.data[0].id, PAGE))
    person = visit.caller.person
    return await show(
        visit,
        "audit.html",
        nav="audit",
        search=search,
        filtered=bool(asked.values),
        server=asked.server,
        may_see_server=person is not None and person.administrator,
        what=list((WHAT_ON_THE_SERVER if asked.server else WHAT).items()),
        periods=[(value, words) for value, (words, _) in PERIODS.items()],
        entries=await _shown(visit, asked, page.data),
        newer=newer,
        older=search.link(cursor=page.next_cursor) if page.next_cursor else None,
        export=search.link("/audit/export"),
    )


@router.get("/audit/export")
async def export(visit: AuditVisit) -> Response:
    """What the page shows, all of it, as a file."""
    search = Search.read(visit.request.query_params)
    asked = await read_filters(visit.context, visit.caller, search.filters(visit.clock.now))
    pieces = await export_csv(visit.context, visit.caller, asked)
    return StreamingResponse(pieces, media_type=MEDIA_TYPE, headers=AS_FILE)


async def _shown(visit: Visit, asked: Asked, entries: Sequence[AuditEntryOut]) -> list[ShownEntry]:
    links = await _links(visit, asked, entries)
    return [
        ShownEntry(
            id=entry.id, at=entry.at, who=entry.actor.label, did=did(entry), fields=changes(entry),
            came_from=entry.address or "", href=links.get(entry.object.id) if entry.object.id else None,
        )
        for entry in entries
    ]  # fmt: skip


async def _links(visit: Visit, asked: Asked, entries: Sequence[AuditEntryOut]) -> dict[UUID, str]:
    """Where the objects are that are still there."""
    ids = list({entry.object.id for entry in entries if entry.object.id is not None})
    if asked.server or not ids:
        return {}
    found = await visit.context.database.pool.fetch(STILL_THERE, visit.caller.workspace_id, ids)
    ways = {
        "event": "/events/{event}",
        "message": "/events/{event}?message={id}#m-{id}",
        "provider": "/providers/{id}/edit" if visit.caller.may("providers:write") else "/providers#p-{id}",
    }
    return {row["id"]: ways[row["kind"]].format(id=row["id"], event=row["event_id"]) for row in found}
