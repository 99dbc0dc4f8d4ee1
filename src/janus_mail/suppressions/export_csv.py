"""The whole list as a file that `import_csv` reads back without loss."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from typing import Final
from uuid import UUID

import asyncpg

from janus_mail.storage.database import Database
from janus_mail.suppressions import queries
from janus_mail.suppressions.csv_cells import guarded
from janus_mail.suppressions.read import SuppressionFilters
from janus_mail.suppressions.read_csv import COLUMNS

MEDIA_TYPE: Final = "text/csv; charset=utf-8; header=present"
AS_FILE: Final = {"Content-Disposition": 'attachment; filename="suppressions.csv"', "Cache-Control": "no-store"}
_AT_ONCE = 2_000


async def export_csv(database: Database, workspace_id: UUID, filters: SuppressionFilters) -> AsyncIterator[bytes]:
    """Oldest first, in pieces, so that neither memory nor a transaction grows with the list. What stands at the
    beginning is read before this returns: a database that is away is an error and no empty file."""
    rows = await _after(database, workspace_id, filters, None)
    return _pieces(database, workspace_id, filters, rows)


async def _pieces(
    database: Database, workspace_id: UUID, filters: SuppressionFilters, rows: Sequence[asyncpg.Record]
) -> AsyncIterator[bytes]:
    yield _written([COLUMNS])
    while rows:
        yield _written([_cells(row) for row in rows])
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


def _written(rows: Sequence[Sequence[str]]) -> bytes:
    """RFC 4180: CRLF, quotes where they are needed."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
