"""The connection to Redis, and the rule that it may be away: its users catch `REDIS_AWAY` and go on."""

from redis.asyncio import Redis
from redis.exceptions import RedisError

# Every way in which Redis can be unusable: gone, out of memory, restarting, too slow.
REDIS_AWAY: tuple[type[BaseException], ...] = (RedisError, OSError, TimeoutError)


def open_redis(url: str | None) -> Redis | None:
    """A client that connects when it is first used, and gives up on a command after half a second."""
    if url is None:
        return None
    client: Redis = Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5, health_check_interval=15)
    return client
