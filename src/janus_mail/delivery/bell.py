"""Wake-ups: tells the workers, through arq, that something is due at a second. Carries no message; may be lost."""

import asyncio
import logging
import math
import secrets
from collections.abc import Coroutine, Iterable
from datetime import UTC, datetime
from typing import Any

from arq import ArqRedis
from arq.constants import default_queue_name
from cachetools import TTLCache
from redis.asyncio import Redis

from janus_mail.storage.redis import REDIS_AWAY
from janus_mail.telemetry.boot_clock import boot_clock_s

WAKE = "wake"  # the name of the job that wakes the engine
FEEDBACK = "feedback"  # and of the one that wakes what works on posts to hooks
BACKLOG = "janus:backlog"  # the channel on which a worker tells the others that there is more than it can take
_COALESCE_S = 0.02
_FEEDBACK_COALESCE_S = 0.1  # nobody waits for it, and a ring costs as much as storing a post
# For so long a second that was rung for needs no other ring, unless it is so near that a worker may have heard it.
_RUNG_S = 1.0
_NEAR_S = 5.0
_RETRY_AFTER_S = (0.05, 0.3)  # a busy Redis is not a Redis that is away

_log = logging.getLogger(__name__)


class Bell:
    """Rung after a commit. Never raises and never makes the ringer wait for a Redis that is away."""

    def __init__(self, redis: Redis | None, *, horizon_s: float) -> None:
        # arq's client shares the connections of the one that is there.
        self._arq = ArqRedis(redis.connection_pool, default_queue_name=default_queue_name) if redis else None
        self._redis = redis
        self._horizon_s = horizon_s
        self._seconds: set[int] = set()  # epoch seconds to ring for; 0 stands for «at once»
        self._rung: TTLCache[int, None] = TTLCache(10_000, _RUNG_S, timer=boot_clock_s)
        self._gathering = False
        self._gathering_feedback = False
        self._ringing: set[asyncio.Task[None]] = set()

    def ring(self, due: Iterable[datetime]) -> None:
        """Ask for a wake-up at each instant that lies within the horizon; the patrol promotes later ones."""
        if self._arq is None:
            return
        now = datetime.now(UTC).timestamp()
        for instant in due:
            at = instant.timestamp()
            if at <= now:
                self._seconds.add(0)
            elif at <= now + self._horizon_s:
                self._seconds.add(math.floor(at))
        if self._seconds and not self._gathering:
            self._gathering = True
            self._start(self._flush())

    def ring_for_feedback(self) -> None:
        """Tell a worker that something was posted to a hook."""
        if self._arq is not None and not self._gathering_feedback:
            self._gathering_feedback = True
            self._start(self._flush_feedback(self._arq))

    def call_everyone(self) -> None:
        """Wake every worker: a job is taken by one, and that may be the one that is busy."""
        if self._redis is not None:
            self._start(self._publish(self._redis))

    def _start(self, ringing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(ringing)
        self._ringing.add(task)
        task.add_done_callback(self._ringing.discard)

    async def _publish(self, redis: Redis) -> None:
        try:
            await redis.publish(BACKLOG, b"")
        except REDIS_AWAY as error:
            _log.debug("nobody was called (%s); each worker looks for itself every patrol", type(error).__name__)

    async def _flush(self) -> None:
        await asyncio.sleep(_COALESCE_S)
        seconds, self._seconds, self._gathering = self._seconds, set(), False
        for patience_s in (*_RETRY_AFTER_S, None):
            try:
                for second in sorted(seconds - self._rung.keys()):
                    await self._enqueue(second)
                    if second > datetime.now(UTC).timestamp() + _NEAR_S:
                        self._rung[second] = None
                return
            except REDIS_AWAY as error:
                if patience_s is None:
                    _log.debug("wake-up not rung (%s); the patrol finds what is due", type(error).__name__)
                else:
                    await asyncio.sleep(patience_s)

    async def _enqueue(self, second: int) -> None:
        assert self._arq is not None  # noqa: S101
        if second:
            until = datetime.fromtimestamp(second, UTC)
            await self._arq.enqueue_job(WAKE, _job_id=f"wake:{second}", _defer_until=until)
        else:
            await self._arq.enqueue_job(WAKE, _job_id=f"wake:{secrets.token_hex(8)}")

    async def _flush_feedback(self, arq: ArqRedis) -> None:
        await asyncio.sleep(_FEEDBACK_COALESCE_S)
        self._gathering_feedback = False
        try:
            await arq.enqueue_job(FEEDBACK, _job_id=f"{FEEDBACK}:{secrets.token_hex(8)}")
        except REDIS_AWAY as error:
            _log.debug("not rung for feedback (%s); each worker looks for itself", type(error).__name__)

    async def close(self) -> None:
        """Let the rings that are under way out."""
        await asyncio.gather(*self._ringing)
