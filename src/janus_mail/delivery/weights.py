"""How many bytes of big mails a worker has in its memory at once. Small mails are not weighed, and never wait."""

import asyncio
import uuid
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

MOST_BYTES: Final = 256 * 2**20
SMALL_BYTES: Final = 2**20


class Weight(NamedTuple):
    """What a mail takes in memory: `own` of it alone, `shared` by all mails with this `key` that are under way."""

    workspace_id: uuid.UUID
    key: Hashable
    own: int
    shared: int


class Weights:
    """A mail is weighed before it asks for a permit and until it is done, so who has a permit waits for nobody here.

    A workspace has at most half, so that its slow provider does not stop the big mails of the others; one mail it may
    always have, however big. First come, first served, but for those whose workspace has its half.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self.held_bytes = 0
        self._of_workspace: Counter[uuid.UUID] = Counter()
        self._mails: Counter[Hashable] = Counter()
        self._waiting: OrderedDict[asyncio.Future[None], Weight] = OrderedDict()

    @asynccontextmanager
    async def held(self, weight: Weight) -> AsyncIterator[None]:
        await self._take(weight)
        try:
            yield
        finally:
            self._give_back(weight)

    async def _take(self, weight: Weight) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = weight
        self._let_in()
        try:
            await future
        except asyncio.CancelledError:
            if self._waiting.pop(future, None) is None:
                self._give_back(weight)  # it was let in already, and nobody else knows
            else:
                self._let_in()  # who stood behind it
            raise

    def _give_back(self, weight: Weight) -> None:
        self._mails[weight.key] -= 1
        if not self._mails[weight.key]:
            del self._mails[weight.key]
        self._weigh(weight, -self._bytes(weight))
        self._let_in()

    def _let_in(self) -> None:
        for future, weight in list(self._waiting.items()):
            if future.cancelled():  # its task has not run since
                continue
            more = self._bytes(weight)
            mine = self._of_workspace[weight.workspace_id]
            if mine and mine + more > self._most // 2:
                continue
            if self.held_bytes and self.held_bytes + more > self._most:
                return  # nobody overtakes it, or it might wait for ever
            del self._waiting[future]
            self._weigh(weight, more)
            self._mails[weight.key] += 1
            future.set_result(None)

    def _bytes(self, weight: Weight) -> int:
        return weight.own + (0 if self._mails[weight.key] else weight.shared)

    def _weigh(self, weight: Weight, more: int) -> None:
        self.held_bytes += more
        self._of_workspace[weight.workspace_id] += more
        if not self._of_workspace[weight.workspace_id]:
            del self._of_workspace[weight.workspace_id]
