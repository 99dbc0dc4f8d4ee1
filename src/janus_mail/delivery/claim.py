"""Leases batches of due messages: the first by time, or with a backlog by priority and fairly over workspaces."""

import math
import uuid
from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from janus_mail.delivery.hold import Hold, Try
from janus_mail.delivery.queries import lease
from janus_mail.models.states import Priority
from janus_mail.storage.database import Database
from janus_mail.telemetry.boot_clock import boot_clock_s

_LANES_FRESH_S = 0.25
# Of each batch at least so much, where there is that much: high first must not mean the others never.
_FLOORS = {Priority.NORMAL: 0.25, Priority.BULK: 0.10}


class Lane(NamedTuple):
    """What is due of one priority in one workspace."""

    priority: int
    workspace_id: uuid.UUID
    due: int


class Claimer:
    """One per worker process."""

    def __init__(self, database: Database, worker_id: uuid.UUID, *, lease_s: float) -> None:
        self._database = database
        self._worker_id = worker_id
        self._lease_s = lease_s
        self._backlog = False
        self._lanes: list[Lane] = []
        self._lanes_read_s = float("-inf")

    async def claim(self, most: int) -> list[Hold]:
        """Up to `most` due messages, leased to this worker. Fewer than that: nothing more is due."""
        asked_at_s = boot_clock_s()
        if self._backlog:
            rows = await self._claim_by_lane(most)
        else:
            rows = await self._database.pool.fetch(lease.CLAIM_BY_TIME, most, self._worker_id, self._lease_s)
            self._backlog = len(rows) == most
        holds = [Hold.of(row, asked_at_s=asked_at_s, lease_s=self._lease_s) for row in rows]
        await self._read_histories([hold for hold in holds if hold.attempt_count > 0])
        return holds

    async def seconds_to_next(self) -> float | None:
        """Until the next message is due; null when none is scheduled."""
        seconds: float | None = await self._database.pool.fetchval(lease.NEXT_DUE)
        return seconds

    async def _claim_by_lane(self, most: int) -> Sequence[asyncpg.Record]:
        if boot_clock_s() - self._lanes_read_s > _LANES_FRESH_S:
            rows = await self._database.pool.fetch(lease.LANES, most)
            self._lanes, self._lanes_read_s = [Lane(*row) for row in rows], boot_clock_s()
        chosen = shares(self._lanes, most)
        claimed: Sequence[asyncpg.Record] = []
        if chosen:
            claimed = await self._database.pool.fetch(
                lease.CLAIM_BY_LANE, [many for _, many in chosen], self._worker_id, self._lease_s,
                [lane.priority for lane, _ in chosen], [lane.workspace_id for lane, _ in chosen],
            )  # fmt: skip
        if len(claimed) < most:  # the lanes ran low, or others took them: look anew, or by time
            self._lanes_read_s = float("-inf")
            self._backlog = bool(claimed)
        return claimed

    async def _read_histories(self, holds: Sequence[Hold]) -> None:
        if not holds:
            return
        by_id = {hold.id: hold for hold in holds}
        for row in await self._database.pool.fetch(lease.HISTORY, list(by_id)):
            earlier = Try(row["provider_id"], row["round"], row["outcome"], row["code"], row["stale"])
            by_id[row["message_id"]].history.append(earlier)


def shares(lanes: Sequence[Lane], most: int) -> list[tuple[Lane, int]]:
    """How many to take of each lane: high priority first, floors for the others, evenly over workspaces."""
    due = {p: [lane for lane in lanes if lane.priority == p] for p in Priority}
    wanted = {p: min(most, sum(lane.due for lane in due[p])) for p in Priority}
    floors = {p: min(wanted[p], math.ceil(most * _FLOORS.get(p, 0.0))) for p in Priority}
    left, chosen = most, []
    for priority in Priority:
        reserved = sum(floors[p] for p in Priority if p > priority)
        many = max(min(wanted[priority], left - reserved), 0)
        left -= many
        chosen += _evenly(due[priority], many)
    return chosen


def _evenly(lanes: Sequence[Lane], many: int) -> list[tuple[Lane, int]]:
    """Each lane the same, and what one leaves goes to the others."""
    chosen = []
    for position, lane in enumerate(sorted(lanes, key=lambda lane: lane.due)):
        part = min(lane.due, math.ceil(many / (len(lanes) - position)))
        if part:
            chosen.append((lane, part))
        many -= part
    return chosen
