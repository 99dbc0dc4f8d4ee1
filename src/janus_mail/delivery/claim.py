"""Leases batches of due messages: the first by time, or with a backlog by priority and fairly over workspaces."""

import math
import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import asyncpg

from janus_mail.delivery.hold import Hold, Try
from janus_mail.delivery.queries import lease
from janus_mail.models.states import Priority
from janus_mail.storage.database import Database
from janus_mail.telemetry import metrics
from janus_mail.telemetry.boot_clock import boot_clock_s

_LANES_FRESH_S = 0.25
_TOO_FEW_BY_TIME = 20
_LEAST = 4  # of a workspace there may always be so many
_NOTHING: Mapping[uuid.UUID, int] = MappingProxyType({})
_ANY_ROOM = 2**31
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
        self.backlog = False  # more is due than was claimed
        self._lanes: list[Lane] = []
        self._lanes_read_s = float("-inf")
        self._paused: set[uuid.UUID] = set()
        self._paused_read_s = float("-inf")

    async def claim(self, most: int, held: Mapping[uuid.UUID, int] = _NOTHING, room: int = _ANY_ROOM) -> list[Hold]:
        """Up to `most` due messages, leased to this worker, of which `held` are in work already. Of one workspace no
        more than half of what the others leave of `room`."""
        await self._look_for_paused()
        asked_at_s = boot_clock_s()
        left = {key: left_to(key, held, room) for key in held}
        fitting = min(most, left_to(None, held, room), *left.values())
        if self.backlog or self._paused or fitting < _TOO_FEW_BY_TIME:
            rows = await self._claim_by_lane(most, left, left_to(None, held, room))
        else:
            rows = await self._database.pool.fetch(lease.CLAIM_BY_TIME, fitting, self._worker_id, self._lease_s)
            self.backlog = len(rows) == fitting
        holds = [Hold.of(row, asked_at_s=asked_at_s, lease_s=self._lease_s) for row in rows]
        metrics.CLAIMED.inc(len(holds))
        await self._read_histories([hold for hold in holds if hold.attempt_count > 0])
        return holds

    async def seconds_to_next(self, full: Collection[uuid.UUID]) -> float | None:
        """Until the next message is due, but for paused workspaces and the `full` ones; null when there is none."""
        if self._paused:  # one that has just been resumed must not sleep until the next tick
            self._paused_read_s = float("-inf")
            await self._look_for_paused()
        without = [*self._paused, *full]
        seconds: float | None
        if without:
            seconds = await self._database.pool.fetchval(lease.NEXT_DUE_WITHOUT, without)
        else:
            seconds = await self._database.pool.fetchval(lease.NEXT_DUE)
        return seconds

    async def _look_for_paused(self) -> None:
        """The claim itself leaves them out; to know of them saves wading through what they have overdue."""
        if boot_clock_s() - self._paused_read_s > _LANES_FRESH_S:
            self._paused = {row["id"] for row in await self._database.pool.fetch(lease.PAUSED)}
            self._paused_read_s = boot_clock_s()

    async def _claim_by_lane(self, most: int, left: Mapping[uuid.UUID, int], new: int) -> Sequence[asyncpg.Record]:
        if boot_clock_s() - self._lanes_read_s > _LANES_FRESH_S:
            rows = await self._database.pool.fetch(lease.LANES, most)
            self._lanes, self._lanes_read_s = [Lane(*row) for row in rows], boot_clock_s()
        lanes = [lane for lane in self._lanes if lane.workspace_id not in self._paused]
        chosen = within(shares(lanes, most), lanes, left, new)
        claimed: Sequence[asyncpg.Record] = []
        if chosen:
            claimed = await self._database.pool.fetch(
                lease.CLAIM_BY_LANE, [many for _, many in chosen], self._worker_id, self._lease_s,
                [lane.priority for lane, _ in chosen], [lane.workspace_id for lane, _ in chosen],
            )  # fmt: skip
        if not chosen or len(claimed) < sum(many for _, many in chosen):  # the lanes ran low, or others took them
            self._lanes_read_s = float("-inf")
        self.backlog = bool(claimed) or (not chosen and bool(lanes))
        return claimed

    async def _read_histories(self, holds: Sequence[Hold]) -> None:
        if not holds:
            return
        by_id = {hold.id: hold for hold in holds}
        for row in await self._database.pool.fetch(lease.HISTORY, list(by_id)):
            earlier = Try(row["provider_id"], row["round"], row["outcome"], row["code"], row["stale"])
            by_id[row["message_id"]].history.append(earlier)
        for row in await self._database.pool.fetch(lease.RESOLVED, list(by_id)):
            by_id[row["message_id"]].resolved.add(row["address"])


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


def left_to(workspace_id: uuid.UUID | None, held: Mapping[uuid.UUID, int], room: int) -> int:
    """How many more messages of a workspace may be in work; null stands for one that has none."""
    mine = held.get(workspace_id, 0) if workspace_id is not None else 0
    return max(_LEAST, (room - (sum(held.values()) - mine)) // 2) - mine


def within(
    chosen: Sequence[tuple[Lane, int]], lanes: Sequence[Lane], left: Mapping[uuid.UUID, int], new: int
) -> list[tuple[Lane, int]]:
    """The same, but of no workspace more than is `left` to it (`new` where it is not named)."""
    wanted: Counter[uuid.UUID] = Counter()
    for lane, many in chosen:
        wanted[lane.workspace_id] += many
    over = {key: left.get(key, new) for key, many in wanted.items() if many > left.get(key, new)}
    kept = [(lane, many) for lane, many in chosen if lane.workspace_id not in over]
    for workspace_id, many in over.items():
        kept += shares([lane for lane in lanes if lane.workspace_id == workspace_id], max(many, 0))
    return kept


def _evenly(lanes: Sequence[Lane], many: int) -> list[tuple[Lane, int]]:
    """Each lane the same, and what one leaves goes to the others."""
    chosen = []
    for position, lane in enumerate(sorted(lanes, key=lambda lane: lane.due)):
        part = min(lane.due, math.ceil(many / (len(lanes) - position)))
        if part:
            chosen.append((lane, part))
        many -= part
    return chosen
