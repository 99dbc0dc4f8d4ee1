"""Reading the audit log: of a workspace, or of the server."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import asyncpg
from fastapi import Query

from janus_mail.accounts.callers import Caller
from janus_mail.errors import Detail, Forbidden, InvalidInput
from janus_mail.events.instants import InvalidInstant, read_iso
from janus_mail.events.queries import ZONE
from janus_mail.models.states import ActorKind
from janus_mail.oversight import queries
from janus_mail.oversight.schemas import AuditActor, AuditEntryOut, AuditObject
from janus_mail.web.context import Context
from janus_mail.web.pages_of import Page, PageRequest, encode_cursor

Scope = Literal["workspace", "server"]

_When = Annotated[
    str | None,
    Query(max_length=100, description="ISO 8601; without an offset in the workspace's zone."),
]


@dataclass(frozen=True, slots=True)
class AuditFilters:
    """Which entries; what is null does not filter."""

    actor: Annotated[
        str | None, Query(min_length=1, max_length=320, description="An id, or a part of who did it in words.")
    ] = None
    action: Annotated[
        str | None,
        Query(
            min_length=1, max_length=100, description="What was done; with `*` at its end, all that begins so.",
            examples=["provider.*"],
        ),
    ] = None  # fmt: skip
    object_kind: Annotated[str | None, Query(min_length=1, max_length=100, description="What it was done to.")] = None
    object_id: Annotated[uuid.UUID | None, Query(description="The id of what it was done to.")] = None
    q: Annotated[
        str | None, Query(min_length=1, max_length=320, description="Words anywhere in it, such as an address.")
    ] = None
    since: _When = None
    until: _When = None
    scope: Annotated[
        Scope,
        Query(description="`server`: what is about accounts and the server, for its administrators."),
    ] = "workspace"


@dataclass(frozen=True, slots=True)
class Asked:
    """Filters as the SQL takes them, and whose entries they are for."""

    workspace_id: uuid.UUID | None
    values: dict[str, Any]

    @property
    def server(self) -> bool:
        return self.workspace_id is None


async def read_filters(context: Context, caller: Caller, filters: AuditFilters) -> Asked:
    """Raises `Forbidden` (`not_administrator`) and `InvalidInput` (`invalid_filter`)."""
    if filters.scope == "server" and not (caller.person is not None and caller.person.administrator):
        raise Forbidden("This is for administrators of the server.", code="not_administrator")
    action = filters.action or ""
    values = {
        "actor": filters.actor, "action": None if action.endswith("*") else filters.action,
        "action_prefix": action[:-1] if action.endswith("*") else None, "object_kind": filters.object_kind,
        "object_id": filters.object_id, "q": filters.q,
        "since": await _instant(context, caller, "since", filters.since),
        "until": await _instant(context, caller, "until", filters.until),
    }  # fmt: skip
    given = {name: value for name, value in values.items() if value is not None and value != ""}
    return Asked(None if filters.scope == "server" else caller.workspace_id, given)


async def list_entries(context: Context, asked: Asked, page: PageRequest) -> Page[AuditEntryOut]:
    """Newest first."""
    rows = await newest(context, asked, page.fetch, before=page.cursor)
    shown, has_more, next_cursor = page.cut(rows, lambda row: row["id"])
    return Page(data=[show(row) for row in shown], has_more=has_more, next_cursor=next_cursor)


async def newest(
    context: Context, asked: Asked, limit: int, *, before: uuid.UUID | None = None
) -> Sequence[asyncpg.Record]:
    values = asked.values | ({"before": before} if before is not None else {})
    statement = queries.list_entries(values, server=asked.server)
    return await context.database.pool.fetch(statement, asked.workspace_id, limit, *values.values())


async def cursor_before(context: Context, asked: Asked, first: uuid.UUID, limit: int) -> str | None:
    """The cursor of the page that ends before `first`, which heads a page; null where that page is the newest."""
    values = asked.values | {"after": first}
    statement = queries.list_entries(values, server=asked.server, oldest_first=True)
    rows = await context.database.pool.fetch(statement, asked.workspace_id, limit + 1, *values.values())
    return encode_cursor(rows[limit]["id"]) if len(rows) > limit else None


def show(row: asyncpg.Record) -> AuditEntryOut:
    return AuditEntryOut(
        id=row["id"],
        at=row["at"],
        actor=AuditActor(kind=ActorKind(row["actor_kind"]), id=row["actor_id"], label=row["actor"]),
        address=row["address"],
        request_id=row["request_id"],
        action=row["action"],
        object=AuditObject(kind=row["object_kind"], id=row["object_id"], name=row["object"]),
        before=row["before"],
        after=row["after"],
    )


async def _instant(context: Context, caller: Caller, name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    zone = await context.database.pool.fetchval(ZONE, caller.workspace_id)
    try:
        return read_iso(text.strip(), ZoneInfo(zone or context.settings.tz)).at
    except InvalidInstant as error:
        raise InvalidInput(f"{name}: {error}", code="invalid_filter", details=[Detail(name, str(error))]) from None
