"""Reading a workspace's list."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import Query

from janus_mail.content.addresses import InvalidAddress, parse_mailbox
from janus_mail.errors import NotFound
from janus_mail.models.states import SuppressionReason
from janus_mail.storage.database import Connection, Database
from janus_mail.suppressions import queries
from janus_mail.suppressions.schemas import Suppression
from janus_mail.web.pages_of import Page, PageRequest, encode_cursor


@dataclass(frozen=True, slots=True)
class SuppressionFilters:
    """Which of them; what is null does not filter."""

    q: Annotated[
        str | None, Query(min_length=1, max_length=320, description="A part of the address, such as `@example.com`.")
    ] = None
    reason: Annotated[SuppressionReason | None, Query(description="Those that are there for this reason.")] = None

    @property
    def values(self) -> dict[str, Any]:
        given = {"q": self.q, "reason": self.reason}
        return {name: value for name, value in given.items() if value is not None}


async def list_suppressions(
    database: Database, workspace_id: UUID, filters: SuppressionFilters, page: PageRequest
) -> Page[Suppression]:
    values = filters.values | ({"before": page.cursor} if page.cursor is not None else {})
    rows = await database.pool.fetch(queries.list_suppressions(values), workspace_id, page.fetch, *values.values())
    shown, has_more, next_cursor = page.cut(rows, lambda row: row["id"])
    return Page(data=[show(row) for row in shown], has_more=has_more, next_cursor=next_cursor)


async def cursor_before(
    database: Database, workspace_id: UUID, filters: SuppressionFilters, first: UUID, limit: int
) -> str | None:
    """The cursor of the page that ends before `first`, which heads a page; null where that page is the newest."""
    values = filters.values | {"after": first}
    rows = await database.pool.fetch(queries.list_oldest(values), workspace_id, limit + 1, *values.values())
    return encode_cursor(rows[limit]["id"]) if len(rows) > limit else None


async def read_suppression(database: Database, workspace_id: UUID, named: str) -> Suppression:
    """By id or by address. Raises NotFound."""
    row = await database.pool.fetchrow(*_by_name(workspace_id, named))
    if row is None:
        raise NotFound("This address is not on the list.")
    return show(row)


async def read_several(connection: Connection, workspace_id: UUID, addresses: list[str]) -> list[Suppression]:
    """Those of these addresses that are on the list, in their order, each once."""
    return [show(row) for row in await connection.fetch(queries.BY_ADDRESSES, workspace_id, addresses)]


async def count_up_to(database: Database, workspace_id: UUID, filters: SuppressionFilters, most: int) -> int:
    values: Mapping[str, Any] = filters.values
    many: int = await database.pool.fetchval(
        queries.count_suppressions(values), workspace_id, most, *values.values()
    )  # fmt: skip
    return many


def show(row: asyncpg.Record) -> Suppression:
    return Suppression.model_construct(**{**row, "reason": SuppressionReason(row["reason"])})


def _by_name(workspace_id: UUID, named: str) -> tuple[str, UUID, UUID | str]:
    """The statement and its values. Raises NotFound."""
    try:
        return queries.BY_ID, workspace_id, UUID(named)
    except ValueError:
        pass
    try:
        return queries.BY_ADDRESS, workspace_id, parse_mailbox(named).address
    except InvalidAddress:
        raise NotFound("This is neither an address nor the id of one on the list.") from None
