"""How many mails a day a provider is given: counted over the cluster in PostgreSQL, which workers ask for blocks."""

import asyncio
import logging
import random
import uuid
from dataclasses import dataclass, field
from datetime import date

from janus_mail.availability import queries
from janus_mail.storage.database import CONNECTION_LOST, Database
from janus_mail.telemetry.boot_clock import boot_clock_s

_LARGEST_BLOCK = 100
_ASK_AGAIN_S = 5.0  # a person may raise the quota meanwhile, another worker may return what it did not use
_AFTER_MIDNIGHT_S = 60.0  # mails that waited for midnight come back within it, not all at once
_DAY_S = 86_400.0
_LONGEST_TRY_S = 600.0  # how long a mail can have had its place before its try proves not to have begun

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Block:
    """What this process has of one provider's quota."""

    workspace_id: uuid.UUID
    quota: int  # of which it was asked
    left: int = 0
    day: date = date.min
    ends_s: float = 0.0  # of the day, never too late
    ask_again_s: float = 0.0  # nothing was left: not before this
    refill: asyncio.Lock = field(default_factory=asyncio.Lock)


class Quotas:
    """One per worker process. The quota of a day in UTC is never exceeded; a crash loses a block at most."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._blocks: dict[uuid.UUID, _Block] = {}

    async def take(self, provider_id: uuid.UUID, workspace_id: uuid.UUID, daily_quota: int) -> float:
        """0.0: one was taken. Else the seconds until the next day in UTC and a little more.

        Raises `OSError` or asyncpg's errors when PostgreSQL is away and the block used up.
        """
        block = self._blocks.setdefault(provider_id, _Block(workspace_id, daily_quota))
        wait_s = _take(block, daily_quota)
        if wait_s is None:
            async with block.refill:
                while (wait_s := _take(block, daily_quota)) is None:
                    await self._refill(provider_id, block, daily_quota)
        return wait_s

    def give_back(self, provider_id: uuid.UUID) -> None:
        """The try for which one was taken never began.

        Forgotten in the first minutes of a day: it may have been taken the day before.
        """
        block = self._blocks[provider_id]
        if block.ends_s - _DAY_S + _LONGEST_TRY_S <= boot_clock_s() < block.ends_s:
            block.left += 1

    async def close(self) -> None:
        """Return what was not used. Call it when no try is under way; never raises when PostgreSQL is away."""
        try:
            for provider_id, block in self._blocks.items():
                await self._return(provider_id, block)
        except CONNECTION_LOST as error:
            _log.warning("what is left of today's quotas was not returned (%s)", type(error).__name__)

    async def _refill(self, provider_id: uuid.UUID, block: _Block, quota: int) -> None:
        """One block more, or what is left when that is less, or until when there is none."""
        if quota != block.quota:
            block.quota = quota
            await self._return(provider_id, block)
        wanted = min(max(quota // 100, 1), _LARGEST_BLOCK)
        while True:
            asked_at_s = boot_clock_s()
            row = await self._database.pool.fetchrow(
                queries.RESERVE_QUOTA, provider_id, block.workspace_id, wanted, quota
            )
            assert row is not None  # noqa: S101
            if row["day"] != block.day:
                block.day, block.left = row["day"], 0
            block.ends_s = asked_at_s + row["left_s"]
            if row["reserved"]:
                block.left += wanted
                return
            # Another worker may have been faster than this reading: then the next one shows it.
            wanted = min(wanted, quota - row["used"])
            if wanted <= 0:
                block.ask_again_s = asked_at_s + _ASK_AGAIN_S
                return

    async def _return(self, provider_id: uuid.UUID, block: _Block) -> None:
        """Forgotten here first: a return that commits though its answer is lost must not be used all the same."""
        left, block.left = block.left, 0
        if left:
            await self._database.pool.execute(queries.RETURN_QUOTA, provider_id, block.workspace_id, block.day, left)


def _take(block: _Block, quota: int) -> float | None:
    """One of the block: 0.0; where it is known that there is none today: how long to wait; else the database knows."""
    now_s = boot_clock_s()
    if quota != block.quota or now_s >= block.ends_s:
        return None
    if block.left:
        block.left -= 1
        return 0.0
    if now_s < block.ask_again_s:
        return block.ends_s - now_s + random.uniform(0, _AFTER_MIDNIGHT_S)  # noqa: S311
    return None
