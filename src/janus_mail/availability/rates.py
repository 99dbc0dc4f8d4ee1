"""How many mails a second a provider is given: counted over the cluster in Redis, by each worker without it."""

import logging
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from redis.asyncio import Redis

from janus_mail.storage.redis import REDIS_AWAY
from janus_mail.telemetry.boot_clock import boot_clock_s

_AWAY_S = 3.0  # how long Redis is left alone after it failed us: a time-out costs half a second
_FARTHEST_S = 600.0  # no slot is handed out beyond it, so that a rate that is raised is soon used

# The generic cell rate algorithm in microseconds of Redis's own clock. `due` is when the next mail would leave if all
# kept their distance; a mail may be early by the slack. `slot` is when the next one that is refused shall ask again.
# Neither may lie farther ahead than this rate can have put it: a clock set back or a changed rate block nothing.
# KEYS[1] the provider; ARGV: rate, slack and farthest slot in seconds, slots given back, a random number from 0 to 1.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, slack, farthest = 1000000 / ARGV[1], ARGV[2] * 1000000, ARGV[3] * 1000000
local kept = redis.call('HMGET', KEYS[1], 'due', 'slot', 'rate')
local due = math.min(math.max(tonumber(kept[1] or now), now), now + slack + interval)
local slot = now
if kept[3] == ARGV[1] then
    slot = math.min(kept[2] - ARGV[4] * interval, now + farthest + interval)
end
local free, wait = due - slack, 0
slot = math.max(slot, free)
if free <= now then
    due = due + interval
elseif slot <= now + farthest then
    wait = slot - now
    slot = slot + interval
else
    wait = free - now + ARGV[5] * farthest
end
redis.call('HSET', KEYS[1], 'due', string.format('%.0f', due), 'slot', string.format('%.0f', slot), 'rate', ARGV[1])
redis.call('PEXPIRE', KEYS[1], math.ceil((math.max(due, slot) - now) / 1000) + 1000)
return math.ceil(wait)
"""

_log = logging.getLogger(__name__)


class Rates:
    """One per worker process. No second holds more than the rate and a tenth of it (one mail at least).

    A refused mail is told a slot, one interval after the slot before, so that 10,000 that wait come back one by one.
    Slots are no reservations: whoever asks while a mail may leave gets it, newcomers too, and who comes back in vain
    gets a slot at the end. So nothing is left unused when a mail does not come back (canceled, sent by another
    provider), and nobody asks more often than the rate and new mail together; the order of those that wait is not kept.
    """

    def __init__(self, redis: Redis | None, live_workers: Callable[[], int]) -> None:
        """`live_workers`: over how many processes a rate is divided without Redis."""
        self._script = redis.register_script(_TAKE) if redis is not None else None
        self._live_workers = live_workers
        self._away_until_s: float | None = None  # none: Redis answered last time
        self._own: dict[uuid.UUID, _Bucket] = {}
        self._given_back: dict[uuid.UUID, int] = {}

    async def take(self, provider_id: uuid.UUID, rate_per_second: float) -> float:
        """0.0: a mail may leave now, and is counted. Else the seconds after which to ask again. Never raises."""
        given_back = self._given_back.pop(provider_id, 0)
        if self._script is not None and self._may_ask_redis():
            slack_s, chance = _slack_s(rate_per_second), random.random()  # noqa: S311
            try:
                wait_us: int = await self._script(
                    [f"janus:rate:{provider_id}"], [rate_per_second, slack_s, _FARTHEST_S, given_back, chance]
                )
            except REDIS_AWAY as error:
                if self._away_until_s is None:
                    _log.warning("Redis is away (%s): each worker keeps to its share of a rate", type(error).__name__)
                self._away_until_s = boot_clock_s() + _AWAY_S
            else:
                self._away_until_s = None
                return wait_us / 1e6
        share = rate_per_second / max(1, self._live_workers())
        return self._own.setdefault(provider_id, _Bucket()).take(share, given_back)

    def give_back_slot(self, provider_id: uuid.UUID) -> None:
        """A refused mail will not come back: another provider takes it. Its slot goes to the next that is refused."""
        self._given_back[provider_id] = self._given_back.get(provider_id, 0) + 1

    def _may_ask_redis(self) -> bool:
        """After a failure, one caller at a time finds out whether Redis is back."""
        if self._away_until_s is None:
            return True
        now_s = boot_clock_s()
        if now_s < self._away_until_s:
            return False
        self._away_until_s = now_s + _AWAY_S
        return True


@dataclass(slots=True)
class _Bucket:
    """What the script does, for this process alone."""

    due_s: float = 0.0
    slot_s: float = 0.0
    rate: float = 0.0

    def take(self, rate: float, given_back: int) -> float:
        now_s, interval_s, slack_s = boot_clock_s(), 1 / rate, _slack_s(rate)
        due_s = min(max(self.due_s, now_s), now_s + slack_s + interval_s)
        free_s = due_s - slack_s
        slot_s = max(self.slot_s - given_back * interval_s if rate == self.rate else now_s, free_s)
        wait_s = 0.0
        if free_s <= now_s:
            due_s += interval_s
        elif slot_s <= now_s + _FARTHEST_S:
            wait_s = slot_s - now_s
            slot_s += interval_s
        else:
            wait_s = free_s - now_s + random.random() * _FARTHEST_S  # noqa: S311
        self.due_s, self.slot_s, self.rate = due_s, slot_s, rate
        return wait_s


def _slack_s(rate: float) -> float:
    """How early a mail may be: a tenth of a second, one interval at least, never so much that a second holds more."""
    return min(max(0.1, 1 / rate), 1.0)
