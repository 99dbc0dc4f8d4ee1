"""The seven invariants of delivery, checked from the database and from what the ledger servers really received."""

import asyncio
import uuid
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from janus_mail.models.states import FINAL
from janus_mail.storage.database import Database
from tests.faults.audit import NOTES
from tests.faults.ledger import Entry

_COUNTED_WITHIN_S = 3.0  # a second, and patience with a busy machine

_MESSAGES = """
    SELECT m.id, m.recipient, m.state, m.due_at, m.fence, m.event_id,
           e.subject, e.on_uncertain
    FROM messages m JOIN events e ON e.id = m.event_id WHERE m.workspace_id = ANY($1::uuid[])
"""
_ATTEMPTS = """
    SELECT t.message_id, t.number, t.fence, t.worker_id, t.provider_id, t.provider_name, t.outcome, t.code,
           t.finished_at, t.evidence, t.started_at < m.retried_at AS stale
    FROM attempts t JOIN messages m ON m.id = t.message_id
    WHERE m.workspace_id = ANY($1::uuid[]) ORDER BY t.message_id, t.number
"""
_MISCOUNTED = """
    SELECT e.id FROM events e
    JOIN LATERAL (
        SELECT jsonb_object_agg(state, many) AS counts
        FROM (SELECT state, count(*) AS many FROM messages WHERE event_id = e.id GROUP BY state) by_state
    ) real ON true
    WHERE e.workspace_id = ANY($1::uuid[]) AND jsonb_strip_nulls(e.counts) <> real.counts
"""


@dataclass(frozen=True)
class Expectations:
    """What happened from outside, and so what it may have caused."""

    accepted: Mapping[str, uuid.UUID]  # recipient → event, of every 201
    struck: Collection[str] = ()  # recipients whose mail a fault of the wire hit after it may have left whole
    lost_workers: Mapping[uuid.UUID, int] = field(default_factory=dict)  # killed, or stopped past a lease → concurrency
    refused: Collection[str] = ()  # recipients whose mail a provider refused for good


@dataclass
class Report:
    """Counts of messages, and one line for each that broke an invariant."""

    accepted: int = 0
    sent: int = 0
    lost: int = 0
    doubled: int = 0  # that may not have been
    extra_copies: int = 0  # that are allowed
    uncertain: int = 0  # were so at some time
    parked: int = 0
    broken: list[str] = field(default_factory=list)

    def demand(self) -> "Report":
        """Raises `AssertionError` with the broken ones."""
        if self.broken:
            more = f"\n… and {len(self.broken) - 20} more" if len(self.broken) > 20 else ""
            raise AssertionError(f"{len(self.broken)} broken invariants:\n" + "\n".join(self.broken[:20]) + more)
        return self


@dataclass(frozen=True)
class _Message:
    row: asyncpg.Record
    attempts: Sequence[asyncpg.Record]
    copies: Sequence[Entry]

    @property
    def state(self) -> str:
        return str(self.row["state"])

    @property
    def story(self) -> str:
        tries = ", ".join(f"{t['provider_name']} {t['outcome']} {t['code']}" for t in self.attempts)
        return f"{self.row['recipient']} ({self.row['id']}, {self.state}; {tries or 'no try'})"

    def doubts(self) -> list[asyncpg.Record]:
        return [attempt for attempt in self.attempts if attempt["outcome"] == "uncertain"]


async def check(
    database: Database, workspace_ids: Sequence[uuid.UUID], entries: Iterable[Entry], expected: Expectations
) -> Report:
    """Call it once the faults have stopped, every message is final and a worker is alive to count them."""
    report = Report(accepted=len(expected.accepted))
    messages = await _read(database, workspace_ids, entries, expected, report)
    for message in messages:
        report.sent += message.state == "sent"
        report.parked += message.state == "parked"
        report.uncertain += bool(message.doubts())
        for broken in (
            *_ends(message, expected), *_leaves(message), *_copies(message, expected, report),
            *_attempts(message), *_route(message),
        ):  # fmt: skip
            report.broken.append(f"{broken}: {message.story}")
    report.broken += _kills(messages, expected)
    notes = await database.pool.fetch(NOTES, list(workspace_ids))
    report.broken += [f"5: {note['what']}: {note['recipient']} ({note['message_id']})" for note in notes]
    report.broken += await _counts(database, workspace_ids)
    return report


async def _read(
    database: Database,
    workspace_ids: Sequence[uuid.UUID],
    entries: Iterable[Entry],
    expected: Expectations,
    report: Report,
) -> list[_Message]:
    """Everything by message; what belongs to no message is broken at once."""
    copies: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        copies[entry.recipient].append(entry)
    attempts: dict[Any, list[asyncpg.Record]] = defaultdict(list)
    for attempt in await database.pool.fetch(_ATTEMPTS, list(workspace_ids)):
        attempts[attempt["message_id"]].append(attempt)
    rows = await database.pool.fetch(_MESSAGES, list(workspace_ids))
    doubled = [recipient for recipient, many in Counter(row["recipient"] for row in rows).items() if many > 1]
    report.broken += [f"1: {recipient} was accepted twice" for recipient in doubled]
    known = {row["recipient"]: row["event_id"] for row in rows}
    missing = [recipient for recipient, event_id in expected.accepted.items() if known.get(recipient) != event_id]
    report.lost += len(missing)
    report.broken += [f"1: {recipient} was accepted and is not in the database" for recipient in missing]
    report.broken += [f"2: {recipient} was never accepted and has left" for recipient in copies.keys() - known.keys()]
    return [_Message(row, attempts[row["id"]], copies[row["recipient"]]) for row in rows]


def _ends(message: _Message, expected: Expectations) -> Iterable[str]:
    """1: every accepted message ends, and as it should."""
    doubts = len(message.doubts())
    if message.state not in FINAL:
        yield "1: not final"
    elif message.state == "failed" and message.row["recipient"] not in expected.refused:
        yield "1: failed though nobody refused it"
    elif message.state == "parked" and doubts < (1 if message.row["on_uncertain"] == "park" else 2):
        yield "1: parked without the doubt for it"


def _leaves(message: _Message) -> Iterable[str]:
    """2 and 4: what is sent has left; what has left was due, wanted, and in its last form."""
    state, row = message.state, message.row
    if state == "sent" and not message.copies:
        yield "2: sent, but no server has it"
    if state in {"canceled", "expired"} and message.copies:
        yield f"4: {state}, and yet it left"
    for copy in message.copies:
        if copy.at < row["due_at"].timestamp():
            yield f"4: it left {row['due_at'].timestamp() - copy.at:.3f} s before it was due"
        if copy.subject != row["subject"]:
            yield f"4: it left as {copy.subject!r}, which is not its last form"
        if copy.message_id.strip("<>").partition("@")[0] != row["id"].hex:
            yield f"4: it left with the Message-ID {copy.message_id}"


def _copies(message: _Message, expected: Expectations, report: Report) -> Iterable[str]:
    """1 and 3: in the ledgers once; at most one more for what may have left when its worker or its line was lost."""
    extra = len(message.copies) - 1
    if extra < 0:
        report.lost += message.state not in {"canceled", "expired", "suppressed", "failed", "parked"}
        return
    excused = message.row["recipient"] in expected.struck or any(
        doubt["worker_id"] in expected.lost_workers for doubt in message.doubts()
    )
    allowed = 1 if excused and message.row["on_uncertain"] == "resend" else 0
    report.extra_copies += min(extra, allowed)
    if extra > allowed:
        report.doubled += 1
        yield f"3: {len(message.copies)} copies"
    if len({copy.digest for copy in message.copies}) > 1:
        yield "3: a resend with other bytes"


def _attempts(message: _Message) -> Iterable[str]:
    """5: none is open, their numbers and fences go up."""
    if any(attempt["finished_at"] is None for attempt in message.attempts):
        yield "5: an attempt is still open"
    if [attempt["number"] for attempt in message.attempts] != list(range(1, len(message.attempts) + 1)):
        yield "5: attempts are missing or numbered twice"
    fences = [attempt["fence"] for attempt in message.attempts] + [message.row["fence"]]
    if fences != sorted(fences):
        yield "5: an attempt under an older fence than the one before"


def _route(message: _Message) -> Iterable[str]:
    """6: after a refusal for good nothing, after doubt the same provider."""
    for attempt, following in zip(message.attempts, message.attempts[1:], strict=False):
        if attempt["stale"]:
            continue
        if attempt["outcome"] in {"recipient_rejected", "message_rejected"}:
            yield f"6: tried again after {attempt['outcome']}"
        if attempt["outcome"] == "uncertain" and following["provider_id"] != attempt["provider_id"]:
            yield "6: another provider after doubt"


def _kills(messages: Sequence[_Message], expected: Expectations) -> list[str]:
    """3: so many in doubt by one kill at the most, and none by none."""
    lapsed = Counter(doubt["worker_id"] for message in messages for doubt in message.doubts()
                     if doubt["code"] == "lease_expired" and doubt["evidence"] is None)  # fmt: skip
    return [
        f"3: {many} became uncertain by the end of worker {worker_id}, which had a concurrency of {most}"
        for worker_id, most in expected.lost_workers.items()
        if (many := lapsed[worker_id]) > most
    ]


async def _counts(database: Database, workspace_ids: Sequence[uuid.UUID]) -> list[str]:
    """7: an event's counts are the sum of its messages' states, soon."""
    wrong: list[asyncpg.Record] = []
    try:
        async with asyncio.timeout(_COUNTED_WITHIN_S):
            while wrong := await database.pool.fetch(_MISCOUNTED, list(workspace_ids)):
                await asyncio.sleep(0.05)
    except TimeoutError:
        pass  # the last look stands
    return [f"7: event {row['id']} counts otherwise than its messages" for row in wrong]
