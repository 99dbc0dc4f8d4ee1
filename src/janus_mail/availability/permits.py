"""How many messages a worker may have between begin and finish: in all, at one provider, and of one workspace."""

import asyncio
import uuid
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from janus_mail.telemetry import metrics
from janus_mail.telemetry.boot_clock import boot_clock_s

Key = tuple[uuid.UUID, uuid.UUID]  # workspace, provider


class Stalled(Exception):
    """Every permit of the provider is taken and none came back for too long."""


class Closed(Exception):
    """No more permits are given: the worker stops."""


class Permits:
    """A message holds one from before begin until its finish has committed, so a killed process leaves at most `total`
    uncertain. One workspace has at most half of them, and one provider three quarters of those: a black hole stops
    neither other workspaces nor its own, which has other providers.
    """

    def __init__(self, total: int, *, stall_s: float) -> None:
        self.total = total
        self._most_of_workspace = max(1, total // 2)
        self._most_of_provider = max(1, self._most_of_workspace * 3 // 4)
        self._stall_s = stall_s
        self._taken = 0
        self._of_workspace: Counter[uuid.UUID] = Counter()
        self._of_provider: Counter[uuid.UUID] = Counter()
        self._moved_s: dict[uuid.UUID, float] = {}  # when a provider last took or gave back a permit
        self._waiting: dict[Key, deque[asyncio.Future[None]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def taken(self) -> int:
        return self._taken

    @asynccontextmanager
    async def held(self, workspace_id: uuid.UUID, provider_id: uuid.UUID) -> AsyncIterator[None]:
        """Raises `Stalled` when it waits for a provider that does not answer, `Closed` when the worker stops."""
        if self._closed:
            raise Closed
        key = (workspace_id, provider_id)
        if key in self._waiting or not self._free(key):
            await self._wait(key)
        else:
            self._take(key)
        try:
            yield
        finally:
            self._give_back(key)

    def stalled_s(self, provider_id: uuid.UUID) -> float:
        """Zero, or for how long the provider should be left out because nothing comes back from it."""
        if self._of_provider[provider_id] < self._most_of_provider:
            return 0.0
        silent_s = boot_clock_s() - self._moved_s[provider_id]
        return self._stall_s if silent_s >= self._stall_s else 0.0

    def close(self) -> None:
        """Who waits is turned away, who has one keeps it."""
        self._closed = True
        for queue in self._waiting.values():
            _fail(queue, Closed)
        self._waiting.clear()

    async def _wait(self, key: Key) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(key, deque()).append(future)
        if self._timer is None:
            self._timer = loop.call_later(self._stall_s / 4, self._turn_away)
        try:
            await future
        except asyncio.CancelledError:
            if not future.done() or future.cancelled():
                self._forget(key, future)
            elif future.exception() is None:
                self._give_back(key)  # it was ours already, and nobody else knows
            raise

    def _forget(self, key: Key, future: asyncio.Future[None]) -> None:
        queue = self._waiting.get(key, deque())
        if future in queue:
            queue.remove(future)
        if key in self._waiting and not queue:
            del self._waiting[key]

    def _turn_away(self) -> None:
        """Who waits for a provider that does not answer should look for another one."""
        for key in [key for key in self._waiting if self.stalled_s(key[1])]:
            _fail(self._waiting.pop(key), Stalled)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._stall_s / 4, self._turn_away) if self._waiting else None

    def _free(self, key: Key) -> bool:
        workspace_id, provider_id = key
        return (
            self._taken < self.total
            and self._of_workspace[workspace_id] < self._most_of_workspace
            and self._of_provider[provider_id] < self._most_of_provider
        )

    def _take(self, key: Key) -> None:
        self._taken += 1
        metrics.PERMITS_IN_USE.inc()
        self._of_workspace[key[0]] += 1
        self._of_provider[key[1]] += 1
        self._moved_s[key[1]] = boot_clock_s()

    def _give_back(self, key: Key) -> None:
        self._taken -= 1
        metrics.PERMITS_IN_USE.dec()
        for counter, one in ((self._of_workspace, key[0]), (self._of_provider, key[1])):
            counter[one] -= 1
            if not counter[one]:
                del counter[one]
        if key[1] in self._of_provider:
            self._moved_s[key[1]] = boot_clock_s()
        else:
            self._moved_s.pop(key[1], None)
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


def _fail(queue: Iterable[asyncio.Future[None]], why: type[Exception]) -> None:
    for future in queue:
        if not future.done():
            future.set_exception(why())
