"""Waiting until others wait: for races that are to go one certain way."""

import asyncio

from janus_mail.storage.database import Database

_BLOCKED = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def until_blocked(database: Database, many: int) -> None:
    """So many statements wait for a lock that somebody holds."""
    async with asyncio.timeout(10):
        while await database.pool.fetchval(_BLOCKED) < many:
            await asyncio.sleep(0.002)
