"""Tables filled by `generate_series`: as much history and as much waiting mail as a measurement needs, in seconds."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import asyncpg

from benchmarks.letters import Letter, letter, recipient
from janus_mail.storage.database import Database

_CHUNK = 100_000
_TIMEOUT_S = 3600.0
LETTER: Final = letter(0)  # what every filled mail says; only its recipient is its own

_WORTH_REBUILDING = 50_000  # from here on an index is made quicker anew than row by row

# A UUIDv7 (RFC 9562) of number n: its time is the base plus n milliseconds, so that ids sort as they were made.
_ID = "(lpad(to_hex($2::int8 + {n}), 12, '0') || '7000' || '8' || lpad(to_hex({n}), 15, '0'))::uuid"

# As benchmarks/letters.py names them.
_RECIPIENT = "('reader' || lpad(({n})::text, 7, '0') || '@example.com')"

# $1 workspaces, taken in turn, $2 base, $3 first, $4 last, $5 recipients each, $6 priority (null: in turn), $7 state,
# $8 and $9 seconds from now between which they are due, in no order, $10 of how many.
_MADE = f"""
    made AS (
        SELECT n, {_ID.format(n="n")} AS id, ($1::uuid[])[1 + n % cardinality($1::uuid[])] AS workspace_id,
               coalesce($6::int, ((n / cardinality($1::uuid[])) % 3)::int) AS priority,
               statement_timestamp() + interval '1 second'
                   * ($8::float8 + ($9::float8 - $8::float8) * ((n * 7919) % $10::int8) / $10::int8) AS due_at
        FROM generate_series($3::int8, $4::int8) AS n
    )"""

# $11 subject, $12 text, $13 HTML, $14 seconds since they were made.
_EVENTS = f"""
    WITH {_MADE}
    INSERT INTO events (id, workspace_id, subject, text, html, expected_sent_at, priority, failover, on_uncertain,
                        first_recipients, recipients_count, counts, status, created_by, created_at, updated_at)
    SELECT id, workspace_id, $11, $12, $13, due_at, priority, true, 'resend',
           jsonb_build_array(jsonb_build_object('email', {_RECIPIENT.format(n="n * $5::int8")}, 'name', NULL)),
           $5::int8, jsonb_build_object($7::text, $5::int8),
           CASE $7::text WHEN 'scheduled' THEN 'pending' ELSE $7::text END,
           'benchmark', made_at, made_at
    FROM made CROSS JOIN (SELECT statement_timestamp() - $14::float8 * interval '1 second') AS age (made_at)
"""

_MESSAGES = f"""
    WITH {_MADE}
    INSERT INTO messages (id, workspace_id, event_id, recipient, state, due_at, next_try_at, priority, give_up_at,
                          attempt_count, message_id_header, sent_at)
    SELECT {_ID.format(n="(n * $5::int8 + r)")}, workspace_id, id, {_RECIPIENT.format(n="(n * $5::int8 + r)")},
           $7::text, due_at, due_at, priority, due_at + interval '1 day', sent.times, sent.header, sent.at
    FROM made CROSS JOIN generate_series(0, $5::int8 - 1) AS r
         CROSS JOIN LATERAL (SELECT CASE WHEN $7::text = 'sent' THEN 1 ELSE 0 END AS times,
                                    CASE WHEN $7::text = 'sent' THEN '<' || id || '@example.com>' END AS header,
                                    CASE WHEN $7::text = 'sent' THEN due_at END AS at) AS sent
"""

# The ids end as long ago as they were made, or begin behind those of an earlier fill. $1 how many, $2 ms ago.
_BASE_MS = """
    WITH newest (id) AS (
        (SELECT id FROM events ORDER BY id DESC LIMIT 1) UNION ALL (SELECT id FROM messages ORDER BY id DESC LIMIT 1)
    )
    SELECT greatest((extract(epoch FROM clock_timestamp()) * 1000)::int8 - $1::int8 - $2::int8,
                    (SELECT max(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::int8) + 1 FROM newest))
"""

# $1 provider, $2 workspace, $3 the first message's id.
_ATTEMPTS = """
    INSERT INTO attempts (id, workspace_id, message_id, number, round, fence, worker_id, provider_id, provider_kind,
                          provider_name, started_at, dispatched_at, finished_at, outcome, code, response, latency_ms)
    SELECT id, workspace_id, id, 1, 1, 1, $1, $1, 'smtp', 'sink', sent_at, sent_at, sent_at, 'accepted', '250',
           '2.0.0 Ok', 1
    FROM messages WHERE state = 'sent' AND workspace_id = ANY($2::uuid[]) AND id >= $3
"""

_INDEXES = """
    SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition
    FROM pg_index i
    WHERE i.indrelid = $1::text::regclass
      AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """`messages` of one state, `recipients` to an event, due between two times from now, in no order.

    The last event is whole, too: there may be a few messages more.
    """

    messages: int
    recipients: int = 1
    state: str = "scheduled"
    priority: int | None = None  # null: each in turn
    due_from: timedelta = timedelta(0)
    due_to: timedelta = timedelta(0)
    attempts: bool = True  # of what is sent
    age: timedelta = timedelta(0)  # since they were accepted; what is older has to be filled first


def expected(mails: int) -> dict[str, tuple[int, Letter]]:
    """What `checks.check_arrivals` is to find of one fill."""
    return {recipient(number): (number, LETTER) for number in range(mails)}


async def workspace_named(database: Database, name: str = "default") -> uuid.UUID:
    found: uuid.UUID = await database.pool.fetchval("SELECT id FROM workspaces WHERE name = $1", name)
    return found


async def fill(database: Database, workspaces: list[uuid.UUID], wanted: Fill) -> None:
    """Store them, and leave the tables as a database of some age has them: vacuumed, analyzed, checkpointed.

    A sent message gets its attempt too, unless that is of no use.
    """
    events = -(-wanted.messages // wanted.recipients)
    base_ms = await database.pool.fetchval(_BASE_MS, events, wanted.age // timedelta(milliseconds=1))
    values = (
        wanted.recipients, wanted.priority, wanted.state, wanted.due_from.total_seconds(),
        wanted.due_to.total_seconds(), max(events, 1),
    )  # fmt: skip
    content = (LETTER.subject, LETTER.text, LETTER.html, wanted.age.total_seconds())
    async with database.pool.acquire() as connection:
        await connection.execute("SET session_replication_role = replica")  # no look-up of each row's event
        try:
            async with _without_indexes(connection, wanted.messages):
                for first in range(0, events, max(_CHUNK // wanted.recipients, 1)):
                    last = min(first + max(_CHUNK // wanted.recipients, 1), events) - 1
                    for statement, more in ((_EVENTS, content), (_MESSAGES, ())):
                        await connection.execute(
                            statement, workspaces, base_ms, first, last, *values, *more, timeout=_TIMEOUT_S
                        )
                if wanted.state == "sent" and wanted.attempts:
                    first_id = uuid.UUID(f"{base_ms:012x}" + "0" * 20)
                    await connection.execute(_ATTEMPTS, uuid.uuid4(), workspaces, first_id, timeout=_TIMEOUT_S)
        finally:
            await connection.execute("RESET session_replication_role")
        await connection.execute("VACUUM (ANALYZE) events, messages, attempts", timeout=_TIMEOUT_S)
        await connection.execute("CHECKPOINT", timeout=_TIMEOUT_S)


@asynccontextmanager
async def _without_indexes(
    connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]", messages: int
) -> AsyncIterator[None]:
    """Those that are no constraint are dropped and made anew afterwards, where that is quicker."""
    tables = ("events", "messages", "attempts") if messages >= _WORTH_REBUILDING else ()
    indexes = [index for table in tables for index in await connection.fetch(_INDEXES, table)]
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['name']}", timeout=_TIMEOUT_S)
    yield
    await connection.execute("SET maintenance_work_mem = '512MB'")
    for index in indexes:
        await connection.execute(index["definition"], timeout=_TIMEOUT_S)
    await connection.execute("RESET maintenance_work_mem")
