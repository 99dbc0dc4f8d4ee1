"""A file of addresses, put on the list in one go."""

import asyncio
from collections.abc import AsyncIterator

from uuid_utils.compat import uuid7

from janus_mail.accounts.access import Caller
from janus_mail.errors import Detail, InvalidInput
from janus_mail.storage.database import Connection
from janus_mail.suppressions import queries
from janus_mail.suppressions.add_by_hand import new_to_the_list, said_by
from janus_mail.suppressions.read_csv import BadLine, CsvFile, Line
from janus_mail.suppressions.schemas import ImportAnswer, LineError
from janus_mail.web import idempotency
from janus_mail.web.context import Context
from janus_mail.web.idempotency import OnceOnly

MOST_NAMED = 100  # of what is wrong, in one answer
_AT_ONCE = 2_000  # lines, before others have their turn
_TIMEOUT_S = 300
_MANY = 1_000


async def import_csv(
    context: Context, caller: Caller, data: bytes, *, permissive: bool, once: OnceOnly | None = None
) -> tuple[ImportAnswer, bool]:
    """Strict: all lines or none; permissive: the good ones. True when `once` had been answered before.

    Raises InvalidInput (`invalid_import`, `empty_import`, `not_utf8`, `no_address_column`), or Conflict for the key.
    """
    async with context.database.transaction() as connection:
        kept = await idempotency.begin(connection, caller.workspace_id, once) if once else None
        if kept is not None:
            return ImportAnswer.model_validate(kept.answer), True
        await connection.execute(queries.MAKE_IMPORTED)
        lines, errors = await _copy(connection, caller, data)
        if errors and not permissive:
            raise _invalid(errors)
        if not lines and not errors:
            raise InvalidInput("There is no address in this file.", code="empty_import")
        added: int = await connection.fetchval(queries.ADD_IMPORTED, timeout=_TIMEOUT_S)
        answer = ImportAnswer(
            message=_sentence(added, len(errors)), added=added, known=lines - added, rejected=len(errors),
            errors=[LineError(line=bad.number, error=bad.error) for bad in errors[:MOST_NAMED]],
        )  # fmt: skip
        if once:
            await idempotency.keep(connection, caller.workspace_id, once, answer=answer.model_dump(mode="json"))
    if added >= _MANY:
        await context.database.pool.execute(queries.ANALYZE)
    return answer, False


async def _copy(connection: Connection, caller: Caller, data: bytes) -> tuple[int, list[BadLine]]:
    """Takes the good lines into the table that this transaction has for them: how many, and the others."""
    source = f"{said_by(caller)}: import"
    many, errors = 0, []
    async for part in _parts(data):
        good = [line for line in part if isinstance(line, Line)]
        errors += [line for line in part if isinstance(line, BadLine)]
        many += len(good)
        await connection.copy_records_to_table(
            queries.IMPORTED, columns=queries.IMPORTED_COLUMNS, timeout=_TIMEOUT_S,
            records=[
                (uuid7(), caller.workspace_id, line.address, line.reason.value, line.source or source,
                 line.message_id, line.since, line.number) for line in good
            ],
        )  # fmt: skip
    return many, errors


async def _parts(data: bytes) -> AsyncIterator[list[Line | BadLine]]:
    """Read in a thread: a large file keeps no other request waiting. Raises InvalidInput."""
    file = await asyncio.to_thread(CsvFile, data)
    while part := await asyncio.to_thread(file.take, _AT_ONCE):
        yield part


def _sentence(added: int, rejected: int) -> str:
    left_out = f" {rejected:,} {'line was' if rejected == 1 else 'lines were'} left out." if rejected else ""
    return new_to_the_list(added) + left_out


def _invalid(errors: list[BadLine]) -> InvalidInput:
    many = "1 line is" if len(errors) == 1 else f"{len(errors):,} lines are"
    details = [Detail(f"line {bad.number}", bad.error) for bad in errors[:MOST_NAMED]]
    return InvalidInput(f"{many} wrong: nothing was imported.", code="invalid_import", details=details)
