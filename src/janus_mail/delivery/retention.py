"""Retention: events whose mails are all final and old are removed, a little at a time, oldest first.

An event goes whole: first it is hidden, then its messages go in small batches (the database takes their attempts,
recipients, feedback and captured mails), then the event itself. What a crash leaves hidden is found again. Feedback
that fits no message goes by its own age. A workspace may keep its mail for fewer or more days than the server.
"""

import asyncio
import logging
import uuid
from collections.abc import Sequence
from typing import Final

import asyncpg

from janus_mail.delivery.queries import retention
from janus_mail.storage.database import Database
from janus_mail.storage.list_cache import ListCache
from janus_mail.telemetry.boot_clock import boot_clock_s

BATCH: Final = 500  # rows of one statement: events looked at, or messages removed
MOST_A_TICK: Final = 5000  # messages; with 5 s between ticks that is some 70 million a day
_LOOKS_A_TICK: Final = 20
_MOST_S: Final = 1.0  # of a tick: the patrol has other duties
_PAUSE_S: Final = 0.02  # between two statements, so that the drain's go first

_START: Final = uuid.UUID(int=0)

_log = logging.getLogger(__name__)


class Retention:
    """Remembers where it has come to; one per worker process, and only who has the patrol's duty uses it."""

    def __init__(self, database: Database, list_cache: ListCache, *, days: int | None) -> None:
        """`days` since the last change of any of an event's mails, of workspaces that name none; null: for ever."""
        self._database = database
        self._list_cache = list_cache
        self._days = days
        self._after = _START
        self._hidden: list[uuid.UUID] = []

    async def tick(self) -> int:
        """Remove at most `MOST_A_TICK` messages, and feedback of none; how many messages went. The next tick goes on
        from there."""
        fewest = await self._database.pool.fetchval(retention.FEWEST_DAYS, self._days)
        if fewest is None and not self._hidden:
            return 0
        await self._remove_unmatched(fewest)
        ends_at, removed = boot_clock_s() + _MOST_S, 0
        for _ in range(_LOOKS_A_TICK):
            if not self._hidden and not await self._look(fewest):
                break
            while self._hidden:
                removed += await self._remove(min(BATCH, MOST_A_TICK - removed))
                if removed >= MOST_A_TICK or boot_clock_s() >= ends_at:
                    return removed
                await asyncio.sleep(_PAUSE_S)
        return removed

    async def _remove_unmatched(self, fewest: int | None) -> None:
        ends_at = boot_clock_s() + _MOST_S / 2
        while await self._database.pool.fetchval(retention.REMOVE_UNMATCHED, self._days, BATCH, fewest) == BATCH:
            if boot_clock_s() >= ends_at:
                return
            await asyncio.sleep(_PAUSE_S)

    async def _look(self, fewest: int | None) -> bool:
        """Hide what is old among the next events. False: there were no more, and the next look is from the start."""
        rows = await self._database.pool.fetch(retention.LOOK, self._after, self._days, BATCH, fewest)
        if not rows:
            self._after = _START
            return False
        taken = _few(rows)
        if old := [row["id"] for row in taken if row["old"]]:
            async with self._database.transaction() as connection:
                held = [row["id"] for row in await connection.fetch(retention.HOLD, old, self._days)]
                hidden = await connection.fetch(retention.HIDE, held)
            self._hidden = [row["id"] for row in hidden]
            await self._list_cache.renew(*{row["workspace_id"] for row in hidden})
        self._after = taken[-1]["id"]
        return True

    async def _remove(self, most: int) -> int:
        pool = self._database.pool
        removed: int = await pool.fetchval(retention.REMOVE_MESSAGES, self._hidden, most)
        if removed < most:
            await pool.execute(retention.REMOVE_EVENTS, self._hidden)
            _log.debug("retention: %d events removed", len(self._hidden))
            self._hidden = []
        return removed


def _few(rows: Sequence[asyncpg.Record]) -> Sequence[asyncpg.Record]:
    """The first of them, until those that are old have as many messages as a tick removes; at least one."""
    many = 0
    for place, row in enumerate(rows, 1):
        many += row["messages"] if row["old"] else 0
        if many >= MOST_A_TICK:
            return rows[:place]
    return rows
