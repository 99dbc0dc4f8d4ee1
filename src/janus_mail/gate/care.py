"""Clearing away what accounts leave behind: what opens nothing any more, and registrations that nobody confirmed."""

import asyncio
import logging
import secrets
from typing import Final

from janus_mail.gate import queries
from janus_mail.storage.database import CONNECTION_LOST, Database, connection_lost

_EVERY_S: Final = 86_400.0
_FIRST_WITHIN_S: Final = 600  # after a start; workers that start together come one after the other
_AGAIN_S: Final = 60.0  # where the database was away
_CLEARED: Final = (
    ("links", queries.CARE_LINKS),
    ("sessions", queries.CARE_SESSIONS),
    ("refresh tokens", queries.CARE_REFRESH_TOKENS),
    ("invitations", queries.CARE_INVITATIONS),
    ("half-done registrations", queries.CARE_REGISTRATIONS),
)

_log = logging.getLogger(__name__)


async def care_daily(database: Database) -> None:
    """Lasts until it is cancelled. Any number of workers may do it: what one has, the others pass by."""
    await asyncio.sleep(secrets.randbelow(_FIRST_WITHIN_S))
    while True:
        pause_s = _EVERY_S
        try:
            await care(database)
        except CONNECTION_LOST as error:
            if not connection_lost(error):
                raise
            pause_s = _AGAIN_S
        await asyncio.sleep(pause_s)


async def care(database: Database) -> None:
    """Once, whatever there is, a thousand rows at a time."""
    for what, statement in _CLEARED:
        cleared = 0
        while rows := await database.pool.fetch(statement):
            cleared += len(rows)
        if cleared:
            _log.info("cleared away: %d %s", cleared, what)
