"""`Prefer: wait=N` (RFC 7240 section 4.3): hold the answer until every message is final, or N seconds are over."""

import asyncio
import re
import uuid
from collections.abc import Iterable

from janus_mail.accounts.callers import Caller
from janus_mail.events import queries
from janus_mail.web.context import Context

MAX_WAIT_S = 30

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.5
_GROWTH = 1.5
_WAIT = re.compile(r'\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;.*)?', re.ASCII | re.IGNORECASE)


def preferred_wait_s(headers: Iterable[str]) -> int | None:
    """The seconds that the `Prefer` headers ask for, at most 30; null where none does. What is odd is ignored."""
    for preference in ",".join(headers).split(","):
        wanted = _WAIT.fullmatch(preference)
        if wanted is not None:
            return min(int(wanted[1]), MAX_WAIT_S)
    return None


async def wait_until_final(context: Context, caller: Caller, event_id: uuid.UUID, timeout_s: float) -> bool:
    """Whether all of the event's messages came to an end in this time. Holds no connection between its looks."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + timeout_s
    pause_s = _FIRST_PAUSE_S
    while not await context.database.pool.fetchval(queries.ALL_FINAL, caller.workspace_id, event_id):
        left_s = ends_at - loop.time()
        if left_s <= 0:
            return False
        await asyncio.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * _GROWTH, _LONGEST_PAUSE_S)
    return True
