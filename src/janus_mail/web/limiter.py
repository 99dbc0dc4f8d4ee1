"""Counts what callers ask for, in Redis so that all processes count together, in this process while Redis is away.

A bucket holds so much in each window of its time; windows begin at another moment for each bucket, so that not
everybody starts anew in the same second. What is charged at the same moment goes to Redis in one round trip, and each
charge takes from all of its buckets or from none. A bucket that is full is remembered: who knocks on costs nothing.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from zlib import crc32

from redis.asyncio import Redis

from janus_mail.errors import TooManyRequests
from janus_mail.storage.coalesce import Coalescer
from janus_mail.storage.redis import REDIS_AWAY

_PREFIX: Final = "janus:rate"
_PATIENCE_S: Final = 0.1  # with Redis; then the process counts by itself
_PAUSE_S: Final = 1.0  # before Redis is asked again
_KEPT_LONGER_S: Final = 5  # than a window lasts: clocks of several machines differ
_MOST_HERE: Final = 100_000  # counters; a stranger can have any number of addresses
_MOST_FULL: Final = 20_000
_MINUTE_S: Final = 60

# KEYS: the buckets of each charge, in a row. ARGV, for each charge: how many buckets, its cost, then for each of them
# its limit and how long to keep it. Answers for each charge whether it was taken, then what each bucket holds now.
_TAKE: Final = """
local said, key, arg = {}, 0, 1
while arg < #ARGV do
    local many, cost, fits = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1]), 1
    local place = #said + 1
    said[place] = 1
    for i = 1, many do
        local used = tonumber(redis.call('GET', KEYS[key + i]) or 0)
        said[place + i] = used
        if used + cost > tonumber(ARGV[arg + 2 * i]) then fits = 0 end
    end
    said[place] = fits
    if fits == 1 then
        for i = 1, many do
            if said[place + i] == 0 then
                redis.call('SET', KEYS[key + i], cost, 'EX', ARGV[arg + 2 * i + 1])
            else
                redis.call('INCRBY', KEYS[key + i], cost)
            end
            said[place + i] = said[place + i] + cost
        end
    end
    key, arg = key + many, arg + 2 + 2 * many
end
return said
"""

_log = logging.getLogger(__name__)


class Bucket(NamedTuple):
    """So much may be asked for in so many seconds; 0: any number. `whose` says it in words: «of this API key»."""

    name: str
    limit: int
    whose: str = ""
    per_s: int = _MINUTE_S


class Standing(NamedTuple):
    """How a bucket stands."""

    bucket: Bucket
    remaining: int
    reset_s: int  # until it is empty again


class Verdict(NamedTuple):
    """Whether a charge was taken, and the bucket that allows least, or, where it was refused, the one that did."""

    fits: bool
    tightest: Standing


class _Window(NamedTuple):
    bucket: Bucket
    key: str
    reset_s: float


@dataclass(frozen=True, slots=True)
class _Charge:
    windows: Sequence[_Window]
    cost: int


class Limiter:
    """One per process. `clock` tells the seconds of the epoch."""

    def __init__(self, redis: Redis | None, *, clock: Callable[[], float] = time.time) -> None:
        self._take_there = redis.register_script(_TAKE) if redis is not None else None
        self._here: dict[str, tuple[int, float]] = {}  # what it holds, and its end by the clock
        self._full: set[tuple[str, int]] = set()  # windows by their limit
        self._clock = clock
        self._ask_again_s = -math.inf
        self._charges = Coalescer(self._take, lanes=1, keep=lambda _: False)

    async def charge(self, buckets: Iterable[Bucket], cost: int = 1) -> Verdict | None:
        """Takes `cost` from each bucket, or nothing from any; null where none has a limit. Never raises."""
        windows = [self._window(bucket) for bucket in buckets if bucket.limit > 0]
        if not windows:
            return None
        for window in windows:
            if (window.key, window.bucket.limit) in self._full:
                return Verdict(False, Standing(window.bucket, 0, math.ceil(window.reset_s)))
        return await self._charges(_Charge(windows, cost))

    def full(self, buckets: Iterable[Bucket]) -> Standing | None:
        """The first of them that is known to be full: asks nobody."""
        for bucket in buckets:
            window = self._window(bucket)
            if (window.key, bucket.limit) in self._full:
                return Standing(bucket, 0, math.ceil(window.reset_s))
        return None

    async def close(self) -> None:
        """What is being counted is counted."""
        await self._charges.drain()

    def _window(self, bucket: Bucket) -> _Window:
        at_s = self._clock() + crc32(bucket.name.encode()) % bucket.per_s
        number = int(at_s // bucket.per_s)
        return _Window(bucket, f"{_PREFIX}:{bucket.name}:{number}", bucket.per_s - at_s % bucket.per_s)

    async def _take(self, charges: Sequence[_Charge]) -> list[Verdict]:
        if self._take_there is not None and time.monotonic() >= self._ask_again_s:
            keys = [window.key for charge in charges for window in charge.windows]
            numbers: list[int] = []
            for charge in charges:
                numbers += (len(charge.windows), charge.cost)
                for window in charge.windows:
                    numbers += (window.bucket.limit, window.bucket.per_s + _KEPT_LONGER_S)
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    said: list[int] = await self._take_there(keys=keys, args=numbers)
            except REDIS_AWAY as error:
                if self._ask_again_s < 0:
                    _log.warning("Redis is away (%s): rate limits are counted by each process", type(error).__name__)
                self._ask_again_s = time.monotonic() + _PAUSE_S
            else:
                self._ask_again_s = -math.inf
                return self._verdicts(charges, said)
        return self._verdicts(charges, [number for charge in charges for number in self._take_here(charge)])

    def _take_here(self, charge: _Charge) -> list[int]:
        """As the script does."""
        used = [self._here.get(window.key, (0, 0.0))[0] for window in charge.windows]
        if any(had + charge.cost > window.bucket.limit for had, window in zip(used, charge.windows, strict=True)):
            return [0, *used]
        now = self._clock()
        for had, window in zip(used, charge.windows, strict=True):
            self._here[window.key] = (had + charge.cost, now + window.reset_s)
        if len(self._here) > _MOST_HERE:
            self._forget(now)
        return [1, *(had + charge.cost for had in used)]

    def _forget(self, now: float) -> None:
        """What is over, and where that is little, the older half of the rest."""
        self._here = {key: kept for key, kept in self._here.items() if kept[1] > now}
        if len(self._here) > _MOST_HERE // 2:
            self._here = dict(list(self._here.items())[-_MOST_HERE // 2 :])

    def _verdicts(self, charges: Sequence[_Charge], said: Sequence[int]) -> list[Verdict]:
        verdicts, place = [], 0
        for charge in charges:
            fits, used = bool(said[place]), said[place + 1 : place + 1 + len(charge.windows)]
            place += 1 + len(charge.windows)
            verdicts.append(self._verdict(charge, used, fits))
        return verdicts

    def _verdict(self, charge: _Charge, used: Sequence[int], fits: bool) -> Verdict:
        standings: list[Standing] = []
        for window, holds in zip(charge.windows, used, strict=True):
            bucket = window.bucket
            if holds >= bucket.limit:
                if len(self._full) >= _MOST_FULL:
                    self._full.clear()
                self._full.add((window.key, bucket.limit))
            if fits or holds + charge.cost > bucket.limit:
                standings.append(Standing(bucket, max(bucket.limit - holds, 0), math.ceil(window.reset_s)))
        if fits:
            return Verdict(True, min(standings, key=lambda standing: standing.remaining))
        return Verdict(False, max(standings, key=lambda standing: standing.reset_s))


def too_many(standing: Standing) -> TooManyRequests:
    """What who knocks on is told."""
    bucket, reset_s = standing.bucket, standing.reset_s
    whose = f" {bucket.whose}" if bucket.whose else ""
    per = "a minute" if bucket.per_s == _MINUTE_S else f"in {bucket.per_s / _MINUTE_S:g} minutes"
    again = "1 second" if reset_s == 1 else f"{reset_s} seconds"
    if reset_s >= 2 * _MINUTE_S:
        again = f"{math.ceil(reset_s / _MINUTE_S)} minutes"
    return TooManyRequests(
        f"Too many requests{whose}: at most {bucket.limit:,} {per}. Try again in {again}.", retry_after_s=reset_s
    )
