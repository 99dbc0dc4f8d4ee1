"""The whole list as a file that `import_csv` reads back without loss."""

from collections.abc import AsyncIterator, Sequence
from typing import Final
from uuid import UUID

import asyncpg

from janus_mail.accounts.callers import Caller
from janus_mail.audit.record import record
from janus_mail.storage.database import Database
from janus_mail.suppressions import queries
from janus_mail.suppressions.read import SuppressionFilters
from janus_mail.suppressions.read_csv import COLUMNS
from janus_mail.web.context import Context
from janus_mail.web.csv_cells import guarded, written

MEDIA_TYPE: Final = "text/csv; charset=utf-8; header=present"
AS_FILE: Final = {"Content-Disposition": 'attachment; filename="suppressions.csv"', "Cache-Control": "no-store"}
_AT_ONCE = 2_000


async def export_csv(context: Context, caller: Caller, filters: SuppressionFilters) -> AsyncIterator[bytes]:
    """Oldest first, in pieces, so that neither memory nor a transaction grows with the list. What stands at the
    beginning is read before this returns: a database that is away is an error and no empty file."""
    database, workspace_id = context.database, caller.workspace_id
    rows = await _after(database, workspace_id, filters, None)
    async with database.transaction() as connection:
        await record(
            connection, caller, "suppressions.exported", "suppressions", workspace_id=workspace_id, after=filters.values
        )
    return _pieces(database, workspace_id, filters, rows)


async def _pieces(
    database: Database, workspace_id: UUID, filters: SuppressionFilters, rows: Sequence[asyncpg.Record]
) -> AsyncIterator[bytes]:
    yield written([COLUMNS])
    while rows:
        yield written([_cells(row) for row in rows])
        rows = await _after(database, workspace_id, filters, rows[-1]["id"]) if len(rows) == _AT_ONCE else ()


async def _after(
    database: Database, workspace_id: UUID, filters: SuppressionFilters, last: UUID | None
) -> Sequence[asyncpg.Record]:
    values = filters.values | ({"after": last} if last is not None else {})
    return await database.pool.fetch(queries.list_oldest(values), workspace_id, _AT_ONCE, *values.values())


def _cells(row: asyncpg.Record) -> list[str]:
    return [
        guarded(row["address"]), row["reason"], row["since"].isoformat().replace("+00:00", "Z"),
        guarded(row["source"]), str(row["message_id"] or ""),
    ]  # fmt: skip
