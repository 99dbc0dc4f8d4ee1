"""Many small statements as few: what is asked for within a few milliseconds, or while another is under way, goes
together."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import asyncpg

from janus_mail.storage.database import CONNECTION_LOST, Database, connection_lost

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Held = TypeVar("Held")

# The statement was right and met another one: the same again will do.
COLLISION = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)

_log = logging.getLogger(__name__)


class Coalescer(Generic[Item, Answer]):
    """Gathers items and writes them with one call of `write`, which answers one result an item.

    They are gathered for `delay_s`, and with `lanes` as long as so many writes are under way besides, so that batches
    grow with the load. With `patience_s` one that is stuck, on a lock for example, keeps nobody for longer: then more
    are under way than there are lanes.

    A write whose connection broke is repeated until it is through (so `write` must be idempotent), unless `keep`
    says that the item is not worth it any more; its caller then gets the error. An item that the database refuses
    fails alone: the batch is halved until it is found.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        delay_s: float = 0.0,
        most: int = 200,
        lanes: int | None = None,
        patience_s: float | None = None,
        keep: Callable[[Item], bool] = lambda _: True,
    ) -> None:
        self._write = write
        self._delay_s = delay_s
        self._most = most
        self._lanes = lanes
        self._patience_s = patience_s
        self._keep = keep
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._full = False  # what waits has been gathered, and waits for a lane
        self._writes: set[asyncio.Task[None]] = set()

    async def __call__(self, item: Item) -> Answer:
        """Returns when the item is committed. A caller that is cancelled does not take its item back."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, future))
        if len(self._waiting) >= self._most and self._has_lane():
            self._start()
        elif self._timer is None and not self._full:
            self._timer = loop.call_later(self._delay_s, self._gathered)
        return await future

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        while self._waiting or self._writes:
            self._start()
            await asyncio.gather(*self._writes)

    def _has_lane(self) -> bool:
        return self._lanes is None or len(self._writes) < self._lanes

    def _gathered(self) -> None:
        """The time is over; where every lane is busy, the next one that is free takes what has come until then."""
        if self._has_lane():
            self._start()
        else:
            self._wait_for_lane()

    def _wait_for_lane(self) -> None:
        self._full = True
        self._timer = None
        if self._patience_s is not None:
            self._timer = asyncio.get_running_loop().call_later(self._patience_s, self._start)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            task = asyncio.get_running_loop().create_task(self._write_through(batch))
            self._writes.add(task)
            task.add_done_callback(self._written)
        self._full = False
        if self._waiting:
            self._wait_for_lane()

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writes.discard(task)
        if self._waiting and (self._full or len(self._waiting) >= self._most):
            self._start()

    async def _write_through(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        failures = 0
        while batch:
            try:
                answers = await self._write([item for item, _ in batch])
            except COLLISION:
                await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311
            except CONNECTION_LOST as error:
                if not connection_lost(error):
                    return await self._halve(batch, error)
                failures += 1
                if failures == 1:
                    _log.warning("the database is away (%s); %d results are kept", type(error).__name__, len(batch))
                batch = self._still_worth_it(batch, error)
                await asyncio.sleep(random.uniform(0, min(1.0, 0.05 * 2**failures)))  # noqa: S311
            except Exception as error:
                return await self._halve(batch, error)
            else:
                for (_, future), answer in zip(batch, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)
                return None
        return None

    def _still_worth_it(
        self, batch: list[tuple[Item, asyncio.Future[Answer]]], error: BaseException
    ) -> list[tuple[Item, asyncio.Future[Answer]]]:
        kept = []
        for item, future in batch:
            if self._keep(item):
                kept.append((item, future))
            elif not future.done():
                future.set_exception(error)
        return kept

    async def _halve(self, batch: list[tuple[Item, asyncio.Future[Answer]]], error: BaseException) -> None:
        if len(batch) == 1:
            if not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        middle = len(batch) // 2
        await self._write_through(batch[:middle])
        await self._write_through(batch[middle:])


class PerDatabase(Generic[Held]):
    """What a process makes once for each database that it has open."""

    def __init__(self, make: Callable[[Database], Held]) -> None:
        self._make = make

    def __call__(self, database: Database) -> Held:
        if self not in database.beside:
            database.beside[self] = self._make(database)
        held: Held = database.beside[self]
        return held
