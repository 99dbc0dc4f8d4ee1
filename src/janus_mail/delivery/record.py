"""Writes down what happens to a message, durably, before and after each try."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import NamedTuple, TypeAlias

import asyncpg

from janus_mail.delivery.hold import Hold
from janus_mail.delivery.queries import tries
from janus_mail.delivery.recipients import RecipientResult
from janus_mail.models.states import Priority, State, WaitingFor
from janus_mail.providers.outcomes import Outcome
from janus_mail.storage.coalesce import Coalescer
from janus_mail.storage.database import Connection, Database
from janus_mail.telemetry import metrics
from janus_mail.telemetry.boot_clock import boot_clock_s

_Writer: TypeAlias = "Connection | asyncpg.Pool[asyncpg.Record]"

_PATIENCE_S = 0.05  # so long a statement that is stuck on a lock keeps the others
_LAST_ERROR_MOST = 300
_RESPONSE_MOST = 2000  # characters; the rest of what a server said is of no use to anyone


class Begin(NamedTuple):
    """A try that is about to become irrevocable."""

    hold: Hold
    attempt_id: uuid.UUID
    provider_id: uuid.UUID
    provider_kind: str
    provider_name: str
    message_id_header: str
    dated_at: datetime


class Captured(NamedTuple):
    """What the sandbox caught instead of sending."""

    sender: str
    recipients: tuple[str, ...]
    subject: str
    content: bytes


class Finish(NamedTuple):
    """How a try ended, and where the message goes from there."""

    hold: Hold
    attempt_id: uuid.UUID
    opened: bool  # whether begin had committed
    provider_id: uuid.UUID
    provider_kind: str
    provider_name: str
    outcome: Outcome
    code: str
    response: str
    dispatched_ms: int | None
    latency_ms: int
    next_state: State
    wait_s: float = 0.0
    waiting_for: WaitingFor | None = None
    next_round: bool = False
    provider_message_id: str | None = None
    captured: Captured | None = None
    recipients: tuple[RecipientResult, ...] = ()  # of a group

    @property
    def is_plain(self) -> bool:
        """Whether it ended as nearly all do: begun, accepted, sent."""
        return self.opened and self.outcome is Outcome.ACCEPTED and self.next_state is State.SENT


class LetGo(NamedTuple):
    """A message that ends or waits without another try."""

    hold: Hold
    next_state: State
    wait_s: float | None = None  # null: it is due when it was due
    waiting_for: WaitingFor | None = None
    last_error: str | None = None
    next_round: bool = False
    recipients: tuple[RecipientResult, ...] = ()  # of a group


class Recorder:
    """One per worker process. Each method returns when its change is committed: whether it was still ours to make."""

    def __init__(
        self, database: Database, worker_id: uuid.UUID, *, lease_s: float, grace_s: float, evidence_s: float = 0.0
    ) -> None:
        """`grace_s`: how long what is uncertain is left alone at least, once its lease is over; `evidence_s`: how long
        from its becoming so, where its provider tells what becomes of mail."""
        self._database = database
        self.worker_id = worker_id
        self._lease_s = lease_s
        self._grace_s = grace_s
        self._evidence_s = evidence_s
        self.on_wait: Callable[[float], None] = lambda _: None  # told after how many seconds something is due again
        self.begin = Coalescer(
            self._begin, delay_s=0.001, lanes=1, patience_s=_PATIENCE_S,
            keep=lambda item: item.hold.deadline_s > boot_clock_s(),
        )  # fmt: skip
        self.finish = Coalescer(self._finish, delay_s=0.005, lanes=1, patience_s=_PATIENCE_S)
        self.let_go = Coalescer(self._let_go, delay_s=0.005)
        self.late_proof = Coalescer(self._late_proof, delay_s=0.0)

    async def drain(self) -> None:
        """Wait until all that was asked for is written."""
        for coalescer in (self.begin, self.finish, self.let_go, self.late_proof):
            await coalescer.drain()

    async def _begin(self, items: Sequence[Begin]) -> list[bool]:
        asked_at_s = boot_clock_s()
        rows = await self._database.pool.fetch(
            tries.BEGIN, self.worker_id, self._lease_s,
            [i.attempt_id for i in items], [i.hold.id for i in items], [i.hold.fence for i in items],
            [i.provider_id for i in items], [i.provider_kind for i in items], [i.provider_name for i in items],
            [i.message_id_header for i in items], [i.dated_at for i in items],
        )  # fmt: skip
        metrics.written_together("begin", len(items))
        begun = {row["id"]: self._lease_s for row in rows}
        if missing := [item for item in items if item.attempt_id not in begun]:
            asked = [i.attempt_id for i in missing], [i.hold.fence for i in missing]
            rows = await self._database.pool.fetch(tries.BEGUN_BEFORE, *asked)
            begun |= {row["id"]: row["left_s"] for row in rows}
        for item in items:
            if item.attempt_id in begun:
                item.hold.renewed(asked_at_s, begun[item.attempt_id])
        return [item.attempt_id in begun for item in items]

    async def _finish(self, items: Sequence[Finish]) -> list[bool]:
        asked_at_s = boot_clock_s()
        if any(item.captured is not None or item.recipients for item in items):
            async with self._database.transaction() as connection:
                # With one statement: with two, the messages would not be locked in the order of their ids.
                finished = await self._close(connection, items, apart=False)
                await _write_captured(connection, [i for i in items if i.attempt_id in finished])
                await _write_recipients(connection, [i for i in items if i.attempt_id in finished])
        else:  # the statement is a transaction by itself, and two round trips less
            finished = await self._close(self._database.pool, items, apart=True)
        metrics.written_together("finish", len(items))
        for item in items:
            if item.attempt_id in finished:
                _count(item)
                if item.next_state is State.LEASED and finished[item.attempt_id]:
                    item.hold.renewed(asked_at_s, self._lease_s)
                elif item.next_state is State.SCHEDULED:
                    self.on_wait(item.wait_s)
        return [item.attempt_id in finished for item in items]

    async def _close(self, connection: _Writer, items: Sequence[Finish], *, apart: bool) -> dict[uuid.UUID, bool]:
        """Which attempts are closed as given, and whether it was this call that closed them. The plain ones may go
        `apart` from the others."""
        closed: dict[uuid.UUID, bool] = {}
        plain = [item for item in items if apart and item.is_plain]
        if plain:
            closed |= dict.fromkeys(await self._close_plain(connection, plain), True)
        if others := [item for item in items if not (apart and item.is_plain)]:
            closed |= dict.fromkeys(await self._close_others(connection, others), True)
        if missing := [item for item in items if item.attempt_id not in closed]:
            rows = await connection.fetch(
                tries.FINISHED_BEFORE, [i.attempt_id for i in missing], [i.outcome.value for i in missing],
                [_clean(i.code) for i in missing],
            )  # fmt: skip
            closed |= {row["id"]: False for row in rows}
        return closed

    async def _close_plain(self, connection: _Writer, items: Sequence[Finish]) -> Iterable[uuid.UUID]:
        rows = await connection.fetch(
            tries.FINISH, self.worker_id,
            [i.attempt_id for i in items], [i.hold.id for i in items], [i.hold.fence for i in items],
            [i.provider_id for i in items], [_clean(i.code) for i in items], [_clean(i.response) for i in items],
            [i.dispatched_ms for i in items], [i.latency_ms for i in items],
            [i.provider_message_id and _clean(i.provider_message_id) for i in items],
        )  # fmt: skip
        return [row["id"] for row in rows]

    async def _close_others(self, connection: _Writer, items: Sequence[Finish]) -> Iterable[uuid.UUID]:
        rows = await connection.fetch(
            tries.FINISH_OTHERWISE, self.worker_id, self._lease_s, self._grace_s, self._evidence_s,
            [i.attempt_id for i in items], [i.hold.id for i in items], [i.hold.fence for i in items],
            [i.opened for i in items], [i.provider_id for i in items], [i.provider_kind for i in items],
            [i.provider_name for i in items], [i.outcome.value for i in items], [_clean(i.code) for i in items],
            [_clean(i.response) for i in items], [i.dispatched_ms for i in items], [i.latency_ms for i in items],
            [i.next_state.value for i in items], [i.wait_s for i in items], [i.waiting_for for i in items],
            [i.provider_message_id and _clean(i.provider_message_id) for i in items],
            [i.next_round for i in items], [_last_error(i) for i in items], [i.hold.reached for i in items],
        )  # fmt: skip
        return [row["id"] for row in rows]

    async def _let_go(self, items: Sequence[LetGo]) -> list[bool]:
        several = any(item.recipients for item in items)
        async with self._database.pool.acquire() as connection, connection.transaction() if several else nullcontext():
            rows = await connection.fetch(
                tries.LET_GO, self.worker_id,
                [i.hold.id for i in items], [i.hold.fence for i in items], [i.next_state.value for i in items],
                [i.wait_s for i in items], [i.waiting_for for i in items], [i.last_error for i in items],
                [i.next_round for i in items],
            )  # fmt: skip
            gone = {row["id"] for row in rows}
            await _write_recipients(connection, [i for i in items if i.hold.id in gone])
        metrics.written_together("let_go", len(items))
        for item in items:
            if item.next_state is State.SCHEDULED:
                self.on_wait(item.wait_s or 0.0)
            given_back = item.next_state is State.SCHEDULED and item.wait_s is None
            if item.hold.id in gone and not given_back:
                metrics.message_moved(item.next_state.value)
        return [item.hold.id in gone for item in items]

    async def _late_proof(self, items: Sequence[Finish]) -> list[bool]:
        """A 250 that came after the message was taken from us: kept as evidence, and it settles the doubt."""
        settled: dict[uuid.UUID, bool] = {}
        async with self._database.transaction() as connection:
            for item in sorted(items, key=lambda item: item.hold.id):
                said = _clean(f"late reply: {item.code} {item.response}")
                row = await connection.fetchrow(
                    tries.LATE_PROOF,
                    item.attempt_id,
                    item.hold.id,
                    said,
                    item.provider_message_id,
                    not all(one.resolved for one in item.recipients),
                )
                settled[item.attempt_id] = row is not None
            await _write_recipients(connection, [item for item in items if settled[item.attempt_id]])
        for item in items:
            if settled[item.attempt_id]:
                _count_sent(item)
        return [settled[item.attempt_id] for item in items]


async def _write_captured(connection: Connection, items: Sequence[Finish]) -> None:
    caught = [
        (i.attempt_id, i.hold.workspace_id, i.hold.id, i.attempt_id, i.provider_id, i.captured.sender,
         list(i.captured.recipients), i.captured.subject, i.captured.content)
        for i in items if i.captured is not None
    ]  # fmt: skip
    if caught:
        await connection.executemany(tries.CAPTURE, caught)


async def _write_recipients(connection: Connection, items: Sequence[Finish | LetGo]) -> None:
    answers = [
        (i.hold.id, one.address, i.hold.workspace_id, one.role, one.state, _clean(one.code), _clean(one.response))
        for i in items for one in i.recipients
    ]  # fmt: skip
    if answers:
        await connection.executemany(tries.RECIPIENT, answers)


def _count(item: Finish) -> None:
    metrics.attempt_finished(item.provider_kind, item.outcome.value, item.latency_ms / 1000)
    if item.next_state is State.SENT:
        _count_sent(item)
    else:
        metrics.message_moved(item.next_state.value)


def _count_sent(item: Finish) -> None:
    lateness = item.hold.now() - item.hold.due_at
    metrics.message_sent(Priority(item.hold.priority).name.lower(), lateness.total_seconds())


def _last_error(item: Finish) -> str | None:
    """In one line, for lists: the outcome, the code, what was said. Null once the message is sent."""
    if item.next_state is State.SENT:
        return None
    said = item.response.removeprefix(item.code.partition(" ")[2])  # servers repeat the enhanced code in their text
    return _clean(f"{item.outcome}: {item.code} {' '.join(said.split())}".rstrip())[:_LAST_ERROR_MOST]


def _clean(text: str) -> str:
    """PostgreSQL takes neither NUL nor a lone surrogate; one odd reply must not cost others their record."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:_RESPONSE_MOST]
