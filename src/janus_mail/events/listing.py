"""Lists of events and messages: filtered, newest first, in pages."""

import inspect
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

from fastapi import Query, Request

from janus_mail.accounts.callers import Caller
from janus_mail.content.addresses import InvalidAddress, parse_mailbox
from janus_mail.errors import Detail, InvalidInput
from janus_mail.events import queries
from janus_mail.events.answers import EventOut, MessageOut
from janus_mail.events.instants import InvalidInstant, read_iso
from janus_mail.events.show import event_row, require_event, show_event, show_message
from janus_mail.models.states import EventStatus, State
from janus_mail.web.context import Context
from janus_mail.web.pages_of import Page, PageRequest, encode_cursor

Filters = TypeVar("Filters")

MOST_CONTENT_OCTETS = 8 * 1024 * 1024  # of one page, but for its last event

_Words = Annotated[str | None, Query(min_length=1, max_length=200)]
_When = Annotated[
    str | None,
    Query(max_length=100, description="ISO 8601; without an offset in the workspace's zone."),
]


@dataclass(frozen=True, slots=True)
class EventFilters:
    """Which events; what is null does not filter."""

    status: Annotated[EventStatus | None, Query(description="Events of this status.")] = None
    recipient: Annotated[str | None, Query(max_length=320, description="Events to this address.")] = None
    from_email: Annotated[str | None, Query(max_length=320, description="Events that name this sender.")] = None
    tag: Annotated[_Words, Query(description="Events with this tag.")] = None
    provider: Annotated[_Words, Query(description="A provider's id, name or kind: asked for, or last tried.")] = None
    q: Annotated[_Words, Query(description="Words of the subject.")] = None
    created_after: _When = None
    created_before: _When = None
    expected_after: _When = None
    expected_before: _When = None


@dataclass(frozen=True, slots=True)
class MessageFilters:
    """Which messages; what is null does not filter."""

    state: Annotated[State | None, Query(description="Messages in this state.")] = None
    recipient: Annotated[str | None, Query(max_length=320, description="Messages to this address.")] = None
    provider: Annotated[_Words, Query(description="A provider's id, name or kind: of the last try.")] = None
    event_id: Annotated[uuid.UUID | None, Query(description="Messages of this event.")] = None


def from_query(filters: type[Filters]) -> Callable[..., Awaitable[Filters]]:
    """A dependency: the filters as the query names them. A class would do, but FastAPI calls that in a thread."""

    async def read(**given: Any) -> Filters:
        return filters(**given)

    read.__signature__ = inspect.signature(filters)  # type: ignore[attr-defined]
    return read


def refuse_unknown_filters(*known: type) -> Any:
    """A dependency: a misspelt filter must not show everything. Raises InvalidInput (`unknown_parameter`)."""
    names = {"limit", "cursor"}.union(*({field.name for field in fields(filters)} for filters in known))

    async def check(request: Request) -> None:
        unknown = [name for name in request.query_params if name not in names]
        if unknown:
            details = [Detail(name, "There is no such parameter.") for name in unknown]
            raise InvalidInput(f"There is no parameter {unknown[0]}.", code="unknown_parameter", details=details)

    return check


async def list_events(context: Context, caller: Caller, filters: EventFilters, page: PageRequest) -> Page[EventOut]:
    """Raises InvalidInput for a filter that cannot be read. A page whose contents are large ends early."""
    values = _with_cursor(await read_filters(context, caller, filters), page)
    rows = await context.database.pool.fetch(
        queries.list_events(values, MOST_CONTENT_OCTETS), caller.workspace_id, page.fetch, *values.values()
    )
    shown = rows[: page.limit]
    has_more = bool(shown) and shown[0]["found"] > len(shown)
    return Page(
        data=[show_event(event_row(row)) for row in shown],
        has_more=has_more,
        next_cursor=encode_cursor(shown[-1]["id"]) if has_more else None,
    )


async def list_messages(
    context: Context, caller: Caller, filters: MessageFilters, page: PageRequest
) -> Page[MessageOut]:
    """Raises InvalidInput for a filter that cannot be read."""
    values = _with_cursor(await read_filters(context, caller, filters), page)
    rows = await context.database.pool.fetch(
        queries.list_messages(values), caller.workspace_id, page.fetch, *values.values()
    )
    shown, has_more, next_cursor = page.cut(rows, lambda row: row["id"])
    return Page(data=[show_message(row) for row in shown], has_more=has_more, next_cursor=next_cursor)


async def list_event_messages(
    context: Context, caller: Caller, event_id: uuid.UUID, page: PageRequest
) -> Page[MessageOut]:
    """Raises NotFound."""
    await require_event(context, caller, event_id)
    return await list_messages(context, caller, MessageFilters(event_id=event_id), page)


async def count_by_status(context: Context, caller: Caller) -> dict[EventStatus, int]:
    """How many events of each status the workspace has."""
    rows = await context.database.pool.fetch(queries.COUNT_BY_STATUS, caller.workspace_id)
    counted: Mapping[str, int] = {row["status"]: row["many"] for row in rows}
    return {status: counted.get(status, 0) for status in EventStatus}


async def read_filters(context: Context, caller: Caller, filters: EventFilters | MessageFilters) -> dict[str, Any]:
    """The values by which to filter, by name, as they are stored. Raises InvalidInput (`invalid_filter`)."""
    given = {field.name: getattr(filters, field.name) for field in fields(filters)}
    values = {name: value for name, value in given.items() if value is not None}
    _read_addresses(values)
    await _read_instants(context, caller, values)
    return values


def _with_cursor(values: dict[str, Any], page: PageRequest) -> dict[str, Any]:
    return values | ({"cursor": page.cursor} if page.cursor is not None else {})


def _read_addresses(values: dict[str, Any]) -> None:
    """In place, to the form in which addresses are stored. Raises InvalidInput (`invalid_filter`)."""
    for name in values.keys() & {"recipient", "from_email"}:
        try:
            values[name] = parse_mailbox(values[name]).address
        except InvalidAddress as error:
            raise _invalid(name, error.reason) from None


async def _read_instants(context: Context, caller: Caller, values: dict[str, Any]) -> None:
    names = [name for name in values if name.endswith(("_after", "_before"))]
    if not names:
        return
    zone = await context.database.pool.fetchval(queries.ZONE, caller.workspace_id)
    for name in names:
        values[name] = _instant(name, values[name], ZoneInfo(zone or context.settings.tz))


def _instant(name: str, text: str, zone: ZoneInfo) -> datetime:
    try:
        return read_iso(text.strip(), zone).at
    except InvalidInstant as error:
        raise _invalid(name, str(error)) from None


def _invalid(name: str, reason: str) -> InvalidInput:
    return InvalidInput(f"{name}: {reason}", code="invalid_filter", details=[Detail(name, reason)])
