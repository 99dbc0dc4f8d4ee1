"""The way into the database: what is accepted at the same moment is read for and stored together."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import chain
from zoneinfo import ZoneInfo

import asyncpg
import orjson
from cachetools import LRUCache

from janus_mail.errors import NotFound, TooManyRequests
from janus_mail.events import bulk, queries
from janus_mail.events.rows import NewEvent, NewFile
from janus_mail.events.understand import Facts, KnownProvider
from janus_mail.storage.coalesce import Coalescer, PerDatabase
from janus_mail.storage.database import Connection, Database
from janus_mail.web.context import Context
from janus_mail.workspaces.usage import Refusals, over_month

# An event with more than this is a statement of its own: it would hold up the small ones.
_SMALL_MESSAGES = 20
_SMALL_CHARACTERS = 100_000
_TOGETHER = 64
_MOST_COUNTED = 10_000  # workspaces
_MANY_ROWS = 200  # of events and messages; from here on COPY is less work

_Stored = tuple[NewEvent, float, int]  # with the seconds until its messages are given up, and the monthly quota


async def facts_for(context: Context, workspace_id: uuid.UUID) -> Facts:
    """What bears on accepting, read after this was called. Raises NotFound when the workspace is gone."""
    return _facts(context, await _reads(context.database)(workspace_id))


async def read_facts(context: Context, connection: Connection, workspace_id: uuid.UUID) -> Facts:
    """The same, in the caller's transaction."""
    return _facts(context, await connection.fetch(queries.FACTS, [workspace_id]))


async def store(context: Context, new: NewEvent, monthly_quota: int) -> None:
    """Returns when it is committed. Raises TooManyRequests (`quota_exceeded`)."""
    item = new, context.settings.give_up_seconds, monthly_quota
    row = new.row
    characters = len(row.text or "") + len(row.html or "")
    write = _write_counted if monthly_quota else _write
    if new.files or len(new.messages) > _SMALL_MESSAGES or characters > _SMALL_CHARACTERS:
        (refusal,) = await write(context.database, [item])
    elif monthly_quota:
        refusal = await _counted_writes(context.database, row.workspace_id)(item)
    else:
        refusal = await _writes(context.database)(item)
    if refusal is not None:
        raise refusal


async def insert(connection: Connection, new: Sequence[NewEvent], give_up_s: float) -> None:
    """All or none."""
    if any(event.files for event in new):
        async with nullcontext() if connection.is_in_transaction() else connection.transaction():
            files = chain.from_iterable(event.files for event in new)
            await keep_files(connection, new[0].row.workspace_id, files)
            await _insert_rows(connection, new, give_up_s)
    else:
        await _insert_rows(connection, new, give_up_s)


async def keep_files(connection: Connection, workspace_id: uuid.UUID, files: Iterable[NewFile]) -> None:
    """Their bytes, each content once, in the transaction that makes an event refer to them.

    Until that ends it holds the contents' rows, so that nobody removes one as unused meanwhile.
    """
    for digest, file in sorted({file.digest: file for file in files}.items()):  # in one order: nobody waits in a ring
        await connection.execute(queries.KEEP_FILE, workspace_id, digest, len(file.content), file.content)


async def _insert_rows(connection: Connection, new: Sequence[NewEvent], give_up_s: float) -> None:
    if len(new) + sum(len(event.messages) for event in new) >= _MANY_ROWS:
        async with nullcontext() if connection.is_in_transaction() else connection.transaction():
            await bulk.copy(connection, new, give_up_s)
    else:
        await _insert(connection, new, give_up_s)


async def _insert(connection: Connection, new: Sequence[NewEvent], give_up_s: float) -> None:
    """In one statement."""
    rows = [event.row for event in new]
    messages = list(chain.from_iterable(((event.row.id, m) for m in event.messages) for event in new))
    with_files = any(row.attachments for row in rows)
    await connection.execute(
        queries.INSERT_EVENTS_WITH_FILES if with_files else queries.INSERT_EVENTS,
        [r.workspace_id for r in rows], give_up_s,
        [r.id for r in rows], [r.subject for r in rows], [r.text for r in rows], [r.html for r in rows],
        [r.from_email for r in rows], [r.from_name for r in rows], [_json(r.reply_to) for r in rows],
        [_json(r.headers) for r in rows], [_json(r.tags) for r in rows], [_json(r.metadata) for r in rows],
        [r.expected_sent_at for r in rows], [r.timezone for r in rows], [r.priority for r in rows],
        [r.expires_at for r in rows], [r.send_as for r in rows],
        [r.group_recipients and _json(r.group_recipients) for r in rows], [_json(r.first_recipients) for r in rows],
        [r.recipients_count for r in rows], [r.provider for r in rows], [r.provider_id for r in rows],
        [r.failover for r in rows],
        [r.on_uncertain for r in rows], [_json(r.warnings) for r in rows], [r.created_by for r in rows],
        [_json(r.counts) for r in rows], [r.created_at for r in rows], [event.due_at for event in new],
        [m.id for _, m in messages], [event_id for event_id, _ in messages], [m.recipient for _, m in messages],
        [m.recipient_name for _, m in messages], [_json(m.variables) for _, m in messages],
        *([[_json(r.attachments) for r in rows]] if with_files else []),
    )  # fmt: skip


def _facts(context: Context, rows: Sequence[asyncpg.Record]) -> Facts:
    if not rows:
        raise NotFound("The workspace is gone.")
    first = rows[0]
    return Facts(
        now=first["now"], zone=ZoneInfo(first["timezone"] or context.settings.tz), from_email=first["from_email"],
        allowed_senders=first["allowed_senders"], on_uncertain=first["on_uncertain"],
        providers=[
            KnownProvider(row["provider_id"], row["kind"], row["name"], row["enabled"], row["sandbox"],
                          row["provider_from_email"])
            for row in rows if row["provider_id"] is not None
        ],
        suppresses=first["suppresses"],
        minute_quota=_quota(first["minute_quota"], context.settings.minute_quota),
        monthly_quota=_quota(first["monthly_quota"], context.settings.monthly_quota),
    )  # fmt: skip


async def _read(database: Database, workspace_ids: Sequence[uuid.UUID]) -> list[list[asyncpg.Record]]:
    found: dict[uuid.UUID, list[asyncpg.Record]] = defaultdict(list)
    for row in await database.pool.fetch(queries.FACTS, list(set(workspace_ids))):
        found[row["workspace_id"]].append(row)
    return [found[workspace_id] for workspace_id in workspace_ids]


async def _write(database: Database, items: Sequence[_Stored]) -> Refusals:
    async with database.pool.acquire() as connection:
        await insert(connection, [new for new, _, _ in items], items[0][1])
    return [None] * len(items)


async def _write_counted(database: Database, items: Sequence[_Stored]) -> Refusals:
    """Those of one workspace, each as far as its monthly quota goes."""
    async with database.transaction() as connection:
        mails = [new.mails for new, _, _ in items]
        refusals = await over_month(connection, items[0][0].row.workspace_id, items[-1][2], mails, whole=False)
        new = [item[0] for item, refusal in zip(items, refusals, strict=True) if refusal is None]
        if new:
            await insert(connection, new, items[0][1])
    return refusals


# Callers are told at once when the database is away: they can ask again, and this must not go on in their absence.
_reads: PerDatabase[Coalescer[uuid.UUID, list[asyncpg.Record]]] = PerDatabase(
    lambda database: Coalescer(partial(_read, database), lanes=1, keep=lambda _: False)
)
_writes: PerDatabase[Coalescer[_Stored, TooManyRequests | None]] = PerDatabase(
    lambda database: Coalescer(partial(_write, database), lanes=2, most=_TOGETHER, keep=lambda _: False)
)
_counted: PerDatabase[LRUCache[uuid.UUID, Coalescer[_Stored, TooManyRequests | None]]] = PerDatabase(
    lambda _: LRUCache(_MOST_COUNTED)
)


def _counted_writes(database: Database, workspace_id: uuid.UUID) -> Coalescer[_Stored, TooManyRequests | None]:
    """Requests of one workspace wait for each other's commit, and those of no other with them."""
    kept = _counted(database)
    writes = kept.get(workspace_id)
    if writes is None:
        writes = kept[workspace_id] = Coalescer(
            partial(_write_counted, database), lanes=1, most=_TOGETHER, keep=lambda _: False
        )
    return writes


def _quota(own: int | None, usual: int) -> int:
    return usual if own is None else own


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
