"""Every few seconds, in one worker at a time and without Redis: what broke is repaired, what is due is rung for."""

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from janus_mail.delivery import evidence
from janus_mail.delivery.bell import Bell
from janus_mail.delivery.crash_points import reached
from janus_mail.delivery.queries import lease, repair
from janus_mail.delivery.retention import Retention
from janus_mail.delivery.unused_files import UnusedFiles
from janus_mail.models.states import State
from janus_mail.settings import Settings
from janus_mail.storage.database import CONNECTION_LOST, Database
from janus_mail.telemetry import metrics
from janus_mail.telemetry.boot_clock import boot_clock_s

_BATCH = 500

_log = logging.getLogger(__name__)


class Patrol:
    """One per worker process; the duty row decides which one works."""

    def __init__(
        self, settings: Settings, database: Database, worker_id: uuid.UUID, bell: Bell, wake: Callable[[], None],
        retention: Retention | None = None,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._database = database
        self._worker_id = worker_id
        self._bell = bell
        self._wake = wake
        self._retention = retention
        self._unused_files = UnusedFiles(database)
        # Since when our connection has not broken: a live worker may hold a 250 that it could not write down.
        self._steady_since_s = boot_clock_s()
        self._rung: set[datetime] = set()
        self.live_workers = 1

    async def run(self) -> None:
        """Lasts until it is cancelled. Never raises because of the database."""
        while True:
            try:
                await self.tick()
            except CONNECTION_LOST as error:
                self._steady_since_s = boot_clock_s()
                _log.debug("patrol: the database is away (%s)", type(error).__name__)
            await asyncio.sleep(self._settings.patrol_seconds)

    async def tick(self) -> None:
        """One round; does nothing while another worker has the duty."""
        pool = self._database.pool
        self.live_workers = await pool.fetchval(
            repair.HEARTBEAT, self._worker_id, socket.gethostname(), os.getpid(), self._settings.patrol_seconds * 3
        )
        duty = await pool.fetchval(repair.TAKE_DUTY, self._worker_id, self._settings.patrol_seconds * 2.5)
        if duty is None:
            return
        reached("in_patrol")
        await self._reap()
        await self._settle()
        if boot_clock_s() - self._steady_since_s >= self._settings.grace_seconds:
            await self._resolve()
        await self._ring()
        await pool.execute(repair.CLEAN, self._settings.idempotency_seconds)
        if self._retention is not None:
            await self._retention.tick()
        await self._unused_files.tick()

    async def succeed(self, dead_worker_id: uuid.UUID) -> None:
        """A worker whose end was seen holds nothing any more: its leases need not run out."""
        await self._database.pool.execute(lease.END_LEASES, dead_worker_id)
        await self._database.pool.execute(repair.FORGET_WORKER, dead_worker_id)
        await self._reap()

    async def leave(self) -> None:
        """On the way out: another may take the duty, and nobody counts us as alive."""
        await self._database.pool.execute(repair.LEAVE_DUTY, self._worker_id)
        await self._database.pool.execute(repair.FORGET_WORKER, self._worker_id)

    async def _reap(self) -> None:
        while True:
            row = await self._database.pool.fetchrow(
                repair.REAP, _BATCH, self._settings.grace_seconds, self._settings.evidence_seconds
            )
            scheduled, uncertain = (row["scheduled"], row["uncertain"]) if row else (0, 0)
            if scheduled or uncertain:
                metrics.message_moved(State.UNCERTAIN.value, uncertain)
                _log.warning("leases ended: %d scheduled again, %d uncertain", scheduled, uncertain)
                self._wake()
            if scheduled + uncertain < _BATCH:
                return

    async def _settle(self) -> None:
        """What a provider told of while it was still being sent."""
        while True:
            proven = await evidence.settle(self._database, _BATCH)
            evidence.count(proven)
            if proven:
                _log.info("uncertain no more: %d were taken, as their providers had told", len(proven))
                self._wake()
            if len(proven) < _BATCH:
                return

    async def _resolve(self) -> None:
        while True:
            row = await self._database.pool.fetchrow(repair.RESOLVE, _BATCH)
            again, parked = (row["again"], row["parked"]) if row else (0, 0)
            if again or parked:
                metrics.message_moved(State.SCHEDULED.value, again)
                metrics.message_moved(State.PARKED.value, parked)
                _log.warning("uncertain resolved by policy: %d sent once more, %d parked", again, parked)
                self._wake()
            if again + parked < _BATCH:
                return

    async def _ring(self) -> None:
        """Promote what has come within the horizon; overdue work rings at every tick."""
        rows = await self._database.pool.fetch(repair.DUE_SECONDS, self._settings.horizon_seconds)
        due = {row["at"] for row in rows}
        self._rung &= due
        fresh = due - self._rung
        self._bell.ring(fresh)
        self._rung |= {at for at in fresh if at > datetime.now(UTC)}
