"""The list cache is never stale to a writer, whatever Redis does."""

import uuid

import pytest
from redis.asyncio import Redis

from janus_mail.storage.list_cache import ListCache

HERE = uuid.uuid4()


async def page(cache: ListCache, text: str) -> tuple[bytes, str]:
    async def make() -> bytes:
        return text.encode()

    return await cache.serve(HERE, "GET /", make)


async def test_a_page_is_kept_until_something_changes(redis: Redis) -> None:
    cache = ListCache(redis, 3600)
    assert await page(cache, "one") == (b"one", "miss")
    assert await page(cache, "two") == (b"one", "hit")
    await cache.renew(HERE)
    assert await page(cache, "two") == (b"two", "miss")


async def test_an_evicted_token_does_not_revive_old_pages(redis: Redis) -> None:
    cache = ListCache(redis, 3600)
    await page(cache, "old")
    await redis.delete(f"janus:list-token:{HERE}")
    assert await page(cache, "new") == (b"new", "miss")


async def test_a_page_made_before_a_change_is_not_found_after_it(redis: Redis) -> None:
    cache = ListCache(redis, 3600)

    async def slow() -> bytes:
        await cache.renew(HERE)  # a writer commits while this page is being made
        return b"old"

    assert await cache.serve(HERE, "GET /", slow) == (b"old", "miss")
    assert await page(cache, "new") == (b"new", "miss")


async def test_a_renewal_that_failed_is_made_good_at_the_next_turn(redis: Redis) -> None:
    reader, writer = ListCache(redis, 3600), ListCache(redis, 3600)
    await page(reader, "old")
    await redis.config_set("maxmemory", 1)
    try:
        assert not await writer.renew(HERE)
        assert await page(writer, "new") == (b"new", "bypass")
    finally:
        await redis.config_set("maxmemory", 0)
    await writer.renew_stale()
    assert await page(reader, "new") == (b"new", "miss")


@pytest.mark.parametrize("cache", [ListCache(None, 3600)])
async def test_without_redis_every_page_is_made(cache: ListCache) -> None:
    assert await page(cache, "one") == (b"one", "bypass")
    assert await cache.renew(HERE)
