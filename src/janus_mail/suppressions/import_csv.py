"""A file of addresses, put on the list: all of it is checked first, then it is added a part at a time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from uuid_utils.compat import uuid7

from janus_mail.accounts.callers import Caller
from janus_mail.audit.record import record
from janus_mail.errors import Detail, InvalidInput, Unavailable
from janus_mail.storage.coalesce import PerDatabase
from janus_mail.storage.database import Database
from janus_mail.suppressions import queries
from janus_mail.suppressions.add_by_hand import new_to_the_list, said_by
from janus_mail.suppressions.read_csv import BadLine, CsvFile, Line
from janus_mail.suppressions.schemas import ImportAnswer, LineError
from janus_mail.web import idempotency
from janus_mail.web.context import Context
from janus_mail.web.idempotency import OnceOnly

MOST_NAMED = 100  # of what is wrong, in one answer
_AT_ONCE = 2_000  # lines: of one transaction, and before others have their turn
_TIMEOUT_S = 300
_MANY = 1_000
_RETRY_AFTER_S = 10


@dataclass(slots=True)
class _Checked:
    many: int = 0  # good lines
    errors: list[BadLine] = field(default_factory=list)


class _Turn:
    """One import at a time in a process."""

    def __init__(self, _: Database) -> None:
        self.lock = asyncio.Lock()


_turn_of: Final[PerDatabase[_Turn]] = PerDatabase(_Turn)


async def import_csv(
    context: Context, caller: Caller, data: bytes, *, permissive: bool, once: OnceOnly | None = None
) -> tuple[ImportAnswer, bool]:
    """Strict: nothing is added while a line is wrong; permissive: the good ones are. True when `once` had been
    answered before. Cut off in the middle, what was added stays, and the same file again adds the rest.

    Raises InvalidInput (`invalid_import`, `empty_import`, `not_utf8`, `no_address_column`), Conflict for the key, or
    Unavailable (`import_running`).
    """
    turn = _turn_of(context.database).lock
    if turn.locked():
        sentence = f"Another import is running: send it again in {_RETRY_AFTER_S} seconds."
        raise Unavailable(sentence, code="import_running", retry_after_s=_RETRY_AFTER_S)
    async with turn:
        if once and (former := await _answered(context, caller, once, None)):
            return former, True
        checked = await _check(data)
        if checked.errors and not permissive:
            raise _invalid(checked.errors)
        if not checked.many and not checked.errors:
            raise InvalidInput("There is no address in this file.", code="empty_import")
        await _note(context, caller, checked)
        answer = _answer(checked, await _add(context, caller, data))
        if once and (former := await _answered(context, caller, once, answer)):
            return former, True
    if answer.added >= _MANY:
        await context.database.pool.execute(queries.ANALYZE)
    return answer, False


async def _answered(
    context: Context, caller: Caller, once: OnceOnly, answer: ImportAnswer | None
) -> ImportAnswer | None:
    """What was answered before under the key. If nothing was, `answer` is kept. Raises Conflict."""
    async with context.database.transaction() as connection:
        kept = await idempotency.begin(connection, caller.workspace_id, once)
        if kept is not None:
            return ImportAnswer.model_validate(kept.answer)
        if answer is not None:
            await idempotency.keep(connection, caller.workspace_id, once, answer=answer.model_dump(mode="json"))
    return None


async def _note(context: Context, caller: Caller, checked: _Checked) -> None:
    """Before the first part is added, so that none is there of which the audit log knows nothing."""
    lines = {"lines": checked.many, "left_out": len(checked.errors)}
    async with context.database.transaction() as connection:
        await record(
            connection, caller, "suppressions.imported", "suppressions", workspace_id=caller.workspace_id, after=lines
        )


async def _check(data: bytes) -> _Checked:
    checked = _Checked()
    async for part in _parts(data):
        bad = [line for line in part if isinstance(line, BadLine)]
        checked.errors += bad
        checked.many += len(part) - len(bad)
    return checked


async def _add(context: Context, caller: Caller, data: bytes) -> int:
    """The good lines, each part in a transaction of its own: feedback adds to the same list and does not wait long.
    How many addresses are new to it."""
    source, added = f"{said_by(caller)}: import", 0
    async for part in _parts(data):
        if good := [line for line in part if isinstance(line, Line)]:
            added += await _add_part(context, caller, good, source)
    return added


async def _add_part(context: Context, caller: Caller, lines: Sequence[Line], source: str) -> int:
    added: int = await context.database.pool.fetchval(
        queries.ADD, [uuid7() for _ in lines], [caller.workspace_id for _ in lines],
        [line.address for line in lines], [line.reason.value for line in lines],
        [line.source or source for line in lines], [line.message_id for line in lines],
        [line.since for line in lines], timeout=_TIMEOUT_S,
    )  # fmt: skip
    return added


def _answer(checked: _Checked, added: int) -> ImportAnswer:
    rejected = len(checked.errors)
    return ImportAnswer(
        message=_sentence(added, rejected), added=added, known=max(checked.many - added, 0), rejected=rejected,
        errors=[LineError(line=bad.number, error=bad.error) for bad in checked.errors[:MOST_NAMED]],
    )  # fmt: skip


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
