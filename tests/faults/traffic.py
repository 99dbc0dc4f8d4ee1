"""A stream of mails for a fault to strike: accepted over HTTP all the while, due now or soon, under both policies."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.faults.workspace import Workspace

_PAUSE_S = 0.1


@asynccontextmanager
async def traffic(workspace: Workspace, dice: random.Random, *, at_once: int = 10) -> AsyncIterator[None]:
    """While the block lasts; about ten times `at_once` a second. Everything is accepted when it ends."""
    ended = asyncio.Event()
    stream = asyncio.create_task(_accept(workspace, dice, at_once, ended))
    try:
        yield
    finally:
        ended.set()
        await stream


async def _accept(workspace: Workspace, dice: random.Random, at_once: int, ended: asyncio.Event) -> None:
    while not ended.is_set():
        await workspace.accept(
            dice.randint(1, 2 * at_once),
            due_in_s=dice.choice((0, 0, 0, 0.4, 1.5)),
            on_uncertain=dice.choices(("resend", "park"), (4, 1))[0],
            priority=dice.choice(("high", "normal", "bulk")),
        )
        await asyncio.sleep(_PAUSE_S)
