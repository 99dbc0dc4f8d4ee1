"""The kept connections of one provider: never more than allowed, none older or idler than allowed."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from janus_mail.providers.outcomes import ProviderDown
from janus_mail.providers.smtp_session import SmtpSession

GOODBYE_S = 1.0
_SOON_S = 0.25  # a wait that is worth preparing for
_SLOW_S = 1.0  # between two releases; what is slower counts as this


class SmtpPool:
    """Slots for busy connections, first come, first served; and the idle ones, the most recently used first, so that
    a quiet hour lets the others expire."""

    def __init__(self, *, size: int, mails_per_session: int, idle_timeout_s: float, wait_s: float) -> None:
        self._free = size
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._released_s = 0.0
        self._every_s = _SLOW_S  # one is released, lately
        self._mails_per_session = mails_per_session
        self._idle_timeout_s = idle_timeout_s
        self._wait_s = wait_s
        self._idle: deque[SmtpSession] = deque()  # oldest first
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def acquire(self, *, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        """Wait for a slot; where one is to be had soon, but not yet, `meanwhile` is awaited as well.

        Raises `ProviderDown` (`pool_timeout`) when none is freed in time, and as `meanwhile` does.
        """
        if self._free:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        silence_s = loop.time() - self._released_s  # they may have stopped coming
        soon = silence_s + (len(self._waiting) + 1) * self._every_s < _SOON_S
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        timer = loop.call_later(self._wait_s, _give_up, turn)
        try:
            if soon and meanwhile is not None:
                await meanwhile()
            await turn
        except BaseException:
            if not turn.cancel() and not turn.cancelled() and turn.exception() is None:
                self.release()  # it was ours already, and nobody else knows
            raise
        finally:
            timer.cancel()

    def release(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self._every_s += 0.2 * (min(now_s - self._released_s, _SLOW_S) - self._every_s)
        self._released_s = now_s
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def take_idle(self) -> SmtpSession | None:
        """A kept connection that, as far as can be known without asking, still works."""
        while self._idle:
            session = self._idle.pop()
            if session.usable and asyncio.get_running_loop().time() - session.idle_since_s < self._idle_timeout_s:
                return session
            session.quit()
        return None

    def put_back(self, session: SmtpSession) -> None:
        """Keep a connection for the next mail, or close it."""
        if self._closed or not session.usable or session.mails >= self._mails_per_session:
            session.quit()
            return
        loop = asyncio.get_running_loop()
        session.idle_since_s = loop.time()
        self._idle.append(session)
        if self._sweep_timer is None:
            self._sweep_timer = loop.call_later(self._idle_timeout_s, self._sweep)

    async def close(self) -> None:
        """Close the idle connections now, and each busy one when its mail is done."""
        self._closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        sessions = list(self._idle)
        self._idle.clear()
        for session in sessions:
            session.quit()
        await asyncio.gather(*(session.wait_closed(GOODBYE_S) for session in sessions))

    def _sweep(self) -> None:
        """One timer for all: closes what has been idle for too long and comes back for the next."""
        self._sweep_timer = None
        loop = asyncio.get_running_loop()
        oldest_allowed_s = loop.time() - self._idle_timeout_s
        while self._idle and self._idle[0].idle_since_s <= oldest_allowed_s:
            self._idle.popleft().quit()
        if self._idle:
            self._sweep_timer = loop.call_later(self._idle[0].idle_since_s - oldest_allowed_s, self._sweep)


def _give_up(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        busy = ProviderDown("pool_timeout")
        busy.counts = False  # our own limit: the provider may be well
        turn.set_exception(busy)
