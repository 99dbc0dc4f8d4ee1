"""Every column of every table of a workspace that may name a recipient: a new one joins by itself."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from sqlalchemy import ARRAY, Column, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from janus_mail.erasure import queries
from janus_mail.erasure.words import Eraser
from janus_mail.models import AuditEntry
from janus_mail.storage.database import Connection, Database

# What a workspace's people set up is theirs to change, and no recipient's: who sends, who signs in, by which key.
SET_UP: Final = frozenset({"api_keys", "invitations", "memberships", "providers"})
# Words of ours, and what is seen to otherwise: an address on the suppressions stays there unless it is to go.
_LEFT: Final[Mapping[str, frozenset[str]]] = {
    "audit_log": frozenset({"actor_kind", "action", "object_kind", "request_id"}),
    "suppressions": frozenset({"address", "reason"}),
}

AT_ONCE: Final = 200
_TIMEOUT_S: Final = 600  # what a recipient is named in has no index


@dataclass(frozen=True, slots=True)
class Place:
    """A table, its key, and the columns to look through."""

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    texts: tuple[str, ...]  # the columns as expressions of text


def places() -> list[Place]:
    """Messages before their events, into which a roll-up brings their last errors."""
    tables = reversed(AuditEntry.metadata.sorted_tables)
    found = (_place(table) for table in tables if "workspace_id" in table.c and table.name not in SET_UP)
    return [place for place in found if place.columns]


async def erase_everywhere(database: Database, workspace_id: uuid.UUID, eraser: Eraser) -> dict[str, int]:
    """How many rows of each table were changed: a few hundred in a transaction."""
    counts: dict[str, int] = {}
    for place in places():
        behind: Sequence[Any] = ()
        while (step := await _step(database, workspace_id, eraser, place, behind)).last:
            counts[place.table] = counts.get(place.table, 0) + step.changed
            behind = step.last
    return {table: many for table, many in counts.items() if many}


@dataclass(frozen=True, slots=True)
class _Step:
    changed: int
    last: Sequence[Any]  # the key of the last row; empty at the end


async def _step(
    database: Database, workspace_id: uuid.UUID, eraser: Eraser, place: Place, behind: Sequence[Any]
) -> _Step:
    statement = queries.named_in(place.table, place.key, place.columns, place.texts, behind=bool(behind))
    async with database.transaction() as connection:
        await connection.execute(queries.BEGIN_ERASING)
        rows = await connection.fetch(
            statement, workspace_id, AT_ONCE, eraser.forms, *behind, timeout=_TIMEOUT_S
        )  # fmt: skip
        changed = [await _erase(connection, workspace_id, eraser, place, row) for row in rows]
    return _Step(sum(changed), [rows[-1][name] for name in place.key] if rows else ())


async def _erase(
    connection: Connection, workspace_id: uuid.UUID, eraser: Eraser, place: Place, row: asyncpg.Record
) -> bool:
    values = {name: eraser.value(row[name]) for name in place.columns}
    erased = {name: value for name, value in values.items() if value != row[name]}
    if not erased:
        return False  # a longer address
    key = [row[name] for name in place.key]
    statement = queries.set_columns(place.table, place.key, list(erased))
    await connection.execute(statement, workspace_id, *key, *erased.values())
    return True


def _place(table: Table) -> Place:
    key = tuple(column.name for column in table.primary_key.columns)
    left = _LEFT.get(table.name, frozenset())
    columns = [column for column in table.c if column.name not in left and _has_words(column)]
    return Place(
        table=table.name, key=key, columns=tuple(column.name for column in columns),
        texts=tuple(_as_text(column) for column in columns),
    )  # fmt: skip


def _has_words(column: Column[Any]) -> bool:
    kind = column.type
    return isinstance(kind, Text | JSONB) or (isinstance(kind, ARRAY) and isinstance(kind.item_type, Text))


def _as_text(column: Column[Any]) -> str:
    if isinstance(column.type, ARRAY):
        return f"array_to_string({column.name}, E'\\n')"
    return f"{column.name}::text"
