"""How many messages a worker may have between begin and finish: in all, at one provider, and of one workspace."""

import asyncio
import uuid
from collections import Counter, deque
from collections.abc import Iterable

from janus_mail.telemetry import metrics

Key = tuple[uuid.UUID, uuid.UUID]  # workspace, provider


class Closed(Exception):
    """No more permits are given: the worker stops."""


class Permits:
    """A message holds one from before begin until its finish has committed, so a killed process leaves at most `total`
    uncertain.

    A workspace has at most half of what the others leave, and one provider three quarters of its workspace's: however
    many black holes there are, there is room for a workspace that has none, and for a provider that answers.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._taken = 0
        self._of_workspace: Counter[uuid.UUID] = Counter()
        self._of_provider: Counter[uuid.UUID] = Counter()
        self._waiting: dict[Key, deque[asyncio.Future[None]]] = {}
        self._closed = False

    @property
    def taken(self) -> int:
        return self._taken

    def held(self, workspace_id: uuid.UUID, provider_id: uuid.UUID) -> "_Permit":
        """Entering waits for one, and raises `Closed` when the worker stops."""
        return _Permit(self, (workspace_id, provider_id))

    async def take(self, key: Key) -> None:
        """Raises `Closed` when the worker stops."""
        if self._closed:
            raise Closed
        if key in self._waiting or not self._free(key):
            await self._wait(key)
        else:
            self._take(key)

    def close(self) -> None:
        """Who waits is turned away, who has one keeps it."""
        self._closed = True
        for queue in self._waiting.values():
            _turn_away(queue)
        self._waiting.clear()

    async def _wait(self, key: Key) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(future)
        try:
            await future
        except asyncio.CancelledError:
            if not future.done() or future.cancelled():
                self._forget(key, future)
            elif future.exception() is None:
                self.give_back(key)  # it was ours already, and nobody else knows
            raise

    def _forget(self, key: Key, future: asyncio.Future[None]) -> None:
        queue = self._waiting.get(key, deque())
        if future in queue:
            queue.remove(future)
        if key in self._waiting and not queue:
            del self._waiting[key]

    def _free(self, key: Key) -> bool:
        workspace_id, provider_id = key
        mine = self._of_workspace[workspace_id]
        most = max(1, (self.total - (self._taken - mine)) // 2)
        return self._taken < self.total and mine < most and self._of_provider[provider_id] < max(1, most * 3 // 4)

    def _take(self, key: Key) -> None:
        self._taken += 1
        metrics.PERMITS_IN_USE.inc()
        self._of_workspace[key[0]] += 1
        self._of_provider[key[1]] += 1

    def give_back(self, key: Key) -> None:
        self._taken -= 1
        metrics.PERMITS_IN_USE.dec()
        for counter, one in ((self._of_workspace, key[0]), (self._of_provider, key[1])):
            counter[one] -= 1
            if not counter[one]:
                del counter[one]
        self._hand_on()

    def _hand_on(self) -> None:
        """In turn over workspaces and providers, in order within each."""
        for key in list(self._waiting):
            if self._taken >= self.total:
                return
            queue = self._waiting[key]
            future = next((future for future in queue if not future.done()), None)
            if future is not None and self._free(key):
                self._take(key)
                self._forget(key, future)
                if key in self._waiting:
                    self._waiting[key] = self._waiting.pop(key)  # behind the others
                future.set_result(None)


class _Permit:
    """As a context; a generator would cost more than the permit."""

    __slots__ = ("_key", "_permits")

    def __init__(self, permits: Permits, key: Key) -> None:
        self._permits = permits
        self._key = key

    async def __aenter__(self) -> None:
        await self._permits.take(self._key)

    async def __aexit__(self, *_: object) -> None:
        self._permits.give_back(self._key)


def _turn_away(queue: Iterable[asyncio.Future[None]]) -> None:
    for future in queue:
        if not future.done():
            future.set_exception(Closed())
