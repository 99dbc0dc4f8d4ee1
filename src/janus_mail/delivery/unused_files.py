"""Contents of files that no event refers to any more are removed, a few at a time: their events went or changed."""

import logging
import uuid
from datetime import UTC, datetime
from typing import Final

from janus_mail.delivery.queries import files
from janus_mail.storage.database import Database
from janus_mail.telemetry.boot_clock import boot_clock_s

UNUSED_S: Final = 86_400.0  # since an event last came with it; longer than any transaction
LOOKED_AT: Final = 100  # contents of one statement
_OCTETS: Final = 64 * 2**20  # and so many octets, but for the last of them
_PAUSE_S: Final = 600.0  # from the end of all contents to the next look at the first

_START: Final = (datetime.min.replace(tzinfo=UTC), uuid.UUID(int=0), b"")

_log = logging.getLogger(__name__)


class UnusedFiles:
    """Remembers where it has come to; one per worker process, and only who has the patrol's duty uses it."""

    def __init__(self, database: Database, *, pause_s: float = _PAUSE_S) -> None:
        self._database = database
        self._pause_s = pause_s
        self._after: tuple[datetime, uuid.UUID, bytes] = _START
        self._rests_until_s = float("-inf")

    async def tick(self) -> int:
        """One statement; how many went. The next tick goes on from there."""
        if boot_clock_s() < self._rests_until_s:
            return 0
        row = await self._database.pool.fetchrow(files.REMOVE_UNUSED, *self._after, UNUSED_S, LOOKED_AT, _OCTETS)
        if row is None:
            self._after, self._rests_until_s = _START, boot_clock_s() + self._pause_s
            return 0
        self._after = (row["used_at"], row["workspace_id"], row["digest"])
        removed: int = row["removed"]
        if removed:
            _log.debug("%d contents of files removed", removed)
        return removed
