"""A stateful property test: callers, workers, crashes and the patrol, in any order, keep docs/delivery.md's promises.

Time does not pass by itself: leases end and grace is over when a rule says so.
"""

import asyncio
import os
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from uuid_utils.compat import uuid7

from janus_mail.delivery import control
from janus_mail.delivery.bell import Bell
from janus_mail.delivery.claim import Claimer
from janus_mail.delivery.hold import Hold, LeaseLost
from janus_mail.delivery.patrol import Patrol
from janus_mail.delivery.record import Begin, Finish, Recorder
from janus_mail.delivery.rollup import roll_up
from janus_mail.models.states import FINAL, State
from janus_mail.providers.outcomes import Outcome
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from janus_mail.storage.list_cache import ListCache

DEFINITE = {
    Outcome.ACCEPTED: State.SENT,
    Outcome.RECIPIENT_REJECTED: State.FAILED,
    Outcome.PROVIDER_DOWN: State.SCHEDULED,
    Outcome.THROTTLED: State.LEASED,
}


@dataclass(eq=False)
class Job:
    """A message in a worker's hands: the form it was composed in, and how far it got."""

    hold: Hold
    version: int
    attempt_id: uuid.UUID | None = None
    left: bool = False


@dataclass(eq=False)
class WorkerModel:
    id: uuid.UUID
    claimer: Claimer
    recorder: Recorder
    patrol: Patrol
    jobs: list[Job] = field(default_factory=list)


class Delivery(RuleBasedStateMachine):
    """Two workers on one database."""

    database: Database
    settings: Settings
    runner: asyncio.Runner

    @initialize()
    def start(self) -> None:
        self.run(self._start())

    async def _start(self) -> None:
        await self.database.pool.execute(
            "WITH a AS (DELETE FROM attempts), b AS (DELETE FROM event_dirty), c AS (DELETE FROM duties) "
            "DELETE FROM workspaces"
        )
        self.workspace_id, self.provider_id = uuid7(), uuid7()
        await self.database.pool.execute(
            "INSERT INTO workspaces (id, handle, name) VALUES ($1, 'default', 'default')", self.workspace_id
        )
        self.workers = [self._worker() for _ in range(2)]
        self.versions: dict[uuid.UUID, int] = {}  # the event's accepted form
        self.canceled: set[uuid.UUID] = set()  # messages
        self.ledger: Counter[uuid.UUID] = Counter()
        self.fences: dict[uuid.UUID, int] = {}
        self.definite: dict[uuid.UUID, Outcome] = {}

    def _worker(self) -> WorkerModel:
        worker_id = uuid7()
        return WorkerModel(
            worker_id, Claimer(self.database, worker_id, lease_s=60),
            Recorder(self.database, worker_id, lease_s=60, grace_s=30),
            Patrol(self.settings, self.database, worker_id, Bell(None, horizon_s=1), lambda: None),
        )  # fmt: skip

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    # ---- callers

    @rule(recipients=st.integers(1, 3), park=st.booleans(), future=st.booleans())
    def accept(self, recipients: int, park: bool, future: bool) -> None:
        self.run(self._accept(recipients, park, future))

    async def _accept(self, recipients: int, park: bool, future: bool) -> None:
        event_id, due_at = uuid7(), datetime.now(UTC) + timedelta(hours=1 if future else 0)
        await self.database.pool.execute(
            """INSERT INTO events (id, workspace_id, subject, text, expected_sent_at, priority, failover, on_uncertain,
                                   first_recipients, recipients_count, counts)
               VALUES ($1, $2, 's', 't', $3, 1, true, $4, '[]', $5, $6)""",
            event_id, self.workspace_id, due_at, "park" if park else "resend", recipients, {"scheduled": recipients},
        )  # fmt: skip
        await self.database.pool.executemany(
            """INSERT INTO messages (id, workspace_id, event_id, recipient, due_at, next_try_at, priority, give_up_at)
               VALUES ($1, $2, $3, 'a@example.org', $4, $4, 1, $5)""",
            [(uuid7(), self.workspace_id, event_id, due_at, due_at + timedelta(days=1)) for _ in range(recipients)],
        )
        self.versions[event_id] = 1

    @precondition(lambda self: self.versions)
    @rule(data=st.data(), now=st.booleans())
    def change(self, data: st.DataObject, now: bool) -> None:
        event_id = data.draw(st.sampled_from(list(self.versions)))
        self.run(self._change(event_id, now))

    async def _change(self, event_id: uuid.UUID, now: bool) -> None:
        try:
            async with self.database.transaction() as connection:
                await connection.execute("UPDATE events SET version = version + 1 WHERE id = $1", event_id)
                due_at = datetime.now(UTC) if now else None
                await control.change(connection, self.workspace_id, event_id, due_at=due_at)
        except control.TooLate:
            return
        self.versions[event_id] += 1

    @precondition(lambda self: self.versions)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        event_id = data.draw(st.sampled_from(list(self.versions)))
        self.run(self._cancel(event_id))

    async def _cancel(self, event_id: uuid.UUID) -> None:
        async with self.database.transaction() as connection:
            await control.cancel(connection, self.workspace_id, event_id)
        rows = await self.database.pool.fetch(
            "SELECT id FROM messages WHERE event_id = $1 AND state = 'canceled'", event_id
        )
        self.canceled |= {row["id"] for row in rows}

    # ---- workers

    @precondition(lambda self: self.versions)
    @rule(worker=st.integers(0, 1), stages=st.lists(st.sampled_from(["held", "begun", "left"]), min_size=1, max_size=4))
    def take(self, worker: int, stages: list[str]) -> None:
        """Claim some, and take each a part of the way."""
        hands = self.workers[worker]
        holds: list[Hold] = self.run(hands.claimer.claim(len(stages)))
        for hold, stage in zip(holds, stages, strict=False):
            job = Job(hold, hold.event_version)
            hands.jobs.append(job)
            if stage != "held":
                self._begin(hands, job)
            if stage == "left" and job in hands.jobs:
                self._leave(hands, job)

    @precondition(lambda self: any(worker.jobs for worker in self.workers))
    @rule(data=st.data(), outcome=st.sampled_from(list(DEFINITE)))
    def go_on(self, data: st.DataObject, outcome: Outcome) -> None:
        """The next step of one job."""
        worker, job = data.draw(st.sampled_from([(worker, job) for worker in self.workers for job in worker.jobs]))
        if job.attempt_id is None:
            self._begin(worker, job)
        elif outcome is Outcome.ACCEPTED and not job.left:
            self._leave(worker, job)
        else:  # what left is accepted
            self.run(self._finish(worker, job, Outcome.ACCEPTED if job.left else outcome))

    def _begin(self, worker: WorkerModel, job: Job) -> None:
        job.attempt_id = uuid7()
        if not self.run(worker.recorder.begin(self._beginning(job))):
            worker.jobs.remove(job)

    def _beginning(self, job: Job) -> Begin:
        assert job.attempt_id is not None
        return Begin(job.hold, job.attempt_id, self.provider_id, "ses", "SES", "<1@x>", datetime.now(UTC))

    def _leave(self, worker: WorkerModel, job: Job) -> None:
        """The last byte is written, if the worker's own clock still lets it."""
        try:
            job.hold.check()
        except LeaseLost:
            worker.jobs.remove(job)
            return
        assert job.hold.id not in self.canceled, "a canceled mail left"
        assert job.version == self.versions[job.hold.event_id], "a mail left in an old form"
        assert self.definite.get(job.hold.id) not in (Outcome.RECIPIENT_REJECTED, Outcome.ACCEPTED)
        self.ledger[job.hold.id] += 1
        job.left = True

    async def _finish(self, worker: WorkerModel, job: Job, outcome: Outcome) -> None:
        assert job.attempt_id is not None
        finish = Finish(
            hold=job.hold, attempt_id=job.attempt_id, opened=True, provider_id=self.provider_id, provider_kind="ses",
            provider_name="SES", outcome=outcome, code="x", response="", dispatched_ms=0, latency_ms=1,
            next_state=DEFINITE[outcome],
        )  # fmt: skip
        if await worker.recorder.finish(finish):
            self.definite[job.hold.id] = outcome
            if DEFINITE[outcome] is State.LEASED:
                job.attempt_id, job.left = None, False
                return
        elif outcome is Outcome.ACCEPTED:
            await worker.recorder.late_proof(finish)
        worker.jobs.remove(job)

    @rule(worker=st.integers(0, 1), seen=st.booleans())
    def crash(self, worker: int, seen: bool) -> None:
        """Killed; another takes its place, and knows of its end or not."""
        dead, self.workers[worker] = self.workers[worker], self._worker()
        if seen:
            self.run(self.workers[worker].patrol.succeed(dead.id))

    # ---- time and the patrol

    @rule(twice=st.booleans())
    def time_passes(self, twice: bool) -> None:
        """Leases end, also by the workers' own clocks; the patrol sees it; with `twice` grace is over as well."""
        for worker in self.workers:
            for job in worker.jobs:
                job.hold.lose()
        for _ in range(2 if twice else 1):
            self.run(self._patrol(self.workers[0]))

    async def _patrol(self, worker: WorkerModel) -> None:
        pool = self.database.pool
        now = "clock_timestamp()"
        await pool.execute(f"UPDATE messages SET lease_expires_at = {now} WHERE lease_expires_at IS NOT NULL")
        await pool.execute(f"UPDATE messages SET next_try_at = {now} WHERE state IN ('scheduled', 'uncertain')")
        await pool.execute(f"UPDATE duties SET until = {now}")
        await worker.patrol.tick()

    # ---- what must always be true

    @invariant()
    def promises(self) -> None:
        if getattr(self, "versions", None):
            self.run(self._promises())

    async def _promises(self) -> None:
        rows = await self.database.pool.fetch(
            """SELECT m.id, m.state, m.fence, m.resends, e.on_uncertain,
                      (SELECT count(*) FROM attempts t WHERE t.message_id = m.id AND t.finished_at IS NULL) AS open
               FROM messages m JOIN events e ON e.id = m.event_id"""
        )
        for row in rows:
            copies = self.ledger[row["id"]]
            assert row["open"] == (1 if row["state"] == "sending" else 0)
            assert row["fence"] >= self.fences.get(row["id"], 0), "a fence fell"
            assert copies <= 1 + row["resends"], "doubled"
            assert row["resends"] <= (1 if row["on_uncertain"] == "resend" else 0)
            if row["state"] == "sent":
                assert copies >= 1, "sent, and nothing left"
            self.fences[row["id"]] = row["fence"]

    def teardown(self) -> None:
        """The faults stop: everything ends, and counts agree."""
        if getattr(self, "versions", None):
            for worker in self.workers:
                worker.jobs.clear()
            self.run(self._come_to_an_end())

    async def _come_to_an_end(self) -> None:
        worker = self._worker()
        pool = self.database.pool
        for _ in range(4):
            await self._patrol(worker)
            for hold in await worker.claimer.claim(200):
                job = Job(hold, hold.event_version, uuid7(), left=True)
                worker.jobs.append(job)
                assert await worker.recorder.begin(self._beginning(job))
                self.ledger[hold.id] += 1
                await self._finish(worker, job, Outcome.ACCEPTED)
        await self._promises()
        while await roll_up(self.database, ListCache(None, 0)):
            pass
        states = [State(row["state"]) for row in await pool.fetch("SELECT state FROM messages")]
        assert all(state in FINAL for state in states), f"lost: {Counter(states)}"
        wrong = await pool.fetchval(
            """SELECT count(*) FROM events e WHERE e.counts <> (
                   SELECT jsonb_object_agg(state, many) FROM (
                       SELECT state, count(*) AS many FROM messages WHERE event_id = e.id GROUP BY state) c)"""
        )
        assert wrong == 0, "counts are not the sum of the states"


@pytest.mark.timeout(120)
def test_any_order_of_events_keeps_the_promises(database_url: str, settings: Settings) -> None:
    with asyncio.Runner() as runner:
        machine = type("Machine", (Delivery,), {
            "database": runner.run(Database.open(database_url)),
            "settings": settings.model_copy(update={"grace_seconds": 0.0}), "runner": runner,
        })  # fmt: skip
        run_state_machine_as_test(machine, settings=_EFFORT)
        runner.run(machine.database.close())  # type: ignore[attr-defined]


# TEST_EFFORT=50 looks deeper. Not shrunk: each step costs a round trip, and the steps tell their story as they are.
_EFFORT = settings(
    max_examples=20 * int(os.environ.get("TEST_EFFORT", "1")), stateful_step_count=40, deadline=None,
    phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
