"""The audit log as a file for a spreadsheet."""

import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import asyncpg
import orjson

from janus_mail.accounts.callers import Caller
from janus_mail.audit.record import record
from janus_mail.oversight.read import Asked, newest
from janus_mail.web.context import Context
from janus_mail.web.csv_cells import guarded, written

MEDIA_TYPE: Final = "text/csv; charset=utf-8; header=present"
AS_FILE: Final = {"Content-Disposition": 'attachment; filename="audit.csv"', "Cache-Control": "no-store"}
COLUMNS: Final = (
    "at", "actor_kind", "actor_id", "actor", "address", "request_id", "action", "object_kind", "object_id", "object",
    "before", "after",
)  # fmt: skip
_AT_ONCE = 2_000


async def export_csv(context: Context, caller: Caller, asked: Asked) -> AsyncIterator[bytes]:
    """Newest first, in pieces, so that neither memory nor a transaction grows with the log; that it was exported is
    the first thing in it. What stands at the beginning is read before this returns: a database that is away is an
    error and no empty file."""
    async with context.database.transaction() as connection:
        await record(
            connection, caller, "audit.exported", "audit_log", workspace_id=asked.workspace_id, after=asked.values
        )
    return _pieces(context, asked, await newest(context, asked, _AT_ONCE))


async def _pieces(context: Context, asked: Asked, rows: Sequence[asyncpg.Record]) -> AsyncIterator[bytes]:
    yield written([COLUMNS])
    while rows:
        yield written([[_cell(row[name]) for name in COLUMNS] for row in rows])
        rows = await newest(context, asked, _AT_ONCE, before=rows[-1]["id"]) if len(rows) == _AT_ONCE else ()


def _cell(value: Any) -> str:
    if value is None or isinstance(value, uuid.UUID):
        return str(value or "")
    if isinstance(value, str):
        return guarded(value)
    if isinstance(value, dict):
        return guarded(orjson.dumps(value).decode())
    return str(value.isoformat()).replace("+00:00", "Z")
