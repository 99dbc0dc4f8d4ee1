"""The lists in Redis: served for up to an hour, never stale to a writer.

A page is stored under a random token of its workspace, read before the database snapshot and renewed after the commit.
A token and not a counter: Redis may evict any key, and a counter that starts again would revive old pages.
"""

import asyncio
import hashlib
import logging
import secrets
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from redis.asyncio import Redis

from janus_mail.storage.coalesce import Coalescer
from janus_mail.storage.redis import REDIS_AWAY

CacheUse = Literal["hit", "miss", "bypass"]

_log = logging.getLogger(__name__)


class ListCache:
    """`serve` reads through it, `renew` makes every page of a workspace worthless."""

    def __init__(self, redis: "Redis | None", seconds: int) -> None:
        self._redis = redis if seconds > 0 else None
        self._seconds = seconds
        # Workspaces whose renewal failed: their stored pages may be stale until one succeeds.
        self._stale: set[uuid.UUID] = set()
        # Many requests of one moment need one token, made after each of them has committed.
        self._renewals = Coalescer(self._renew, lanes=1)

    async def serve(
        self, workspace_id: uuid.UUID, query: str, make: Callable[[], Awaitable[bytes]]
    ) -> tuple[bytes, CacheUse]:
        """The page that `query` names, from Redis or from `make`."""
        if self._redis is None or (workspace_id in self._stale and not await self.renew(workspace_id)):
            return await make(), "bypass"
        try:
            token = await self._token(workspace_id)
            key = f"janus:list:{token}:{hashlib.sha256(query.encode()).hexdigest()}"
            page: bytes | None = await self._redis.get(key)
        except REDIS_AWAY:
            return await make(), "bypass"
        if page is not None:
            return page, "hit"
        page = await make()
        try:
            await self._redis.set(key, page, ex=self._seconds)
        except REDIS_AWAY as error:
            _log.debug("list page not stored: %s", type(error).__name__)
        return page, "miss"

    async def renew(self, *workspace_ids: uuid.UUID) -> bool:
        """Called after a commit that changed what lists show. Never raises; false when Redis could not be told."""
        if self._redis is None or not workspace_ids:
            return True
        return all(await asyncio.gather(*map(self._renewals, set(workspace_ids))))

    async def _renew(self, workspace_ids: Sequence[uuid.UUID]) -> Sequence[bool]:
        assert self._redis is not None  # noqa: S101
        try:
            await self._redis.mset({_key(workspace_id): secrets.token_hex(16) for workspace_id in workspace_ids})
        except REDIS_AWAY:
            self._stale.update(workspace_ids)
            return [False] * len(workspace_ids)
        self._stale.difference_update(workspace_ids)
        return [True] * len(workspace_ids)

    async def renew_stale(self) -> None:
        """Make good what could not be renewed; cheap when nothing is owed."""
        await self.renew(*self._stale)

    async def _token(self, workspace_id: uuid.UUID) -> str:
        assert self._redis is not None  # noqa: S101
        token = await self._redis.get(_key(workspace_id))
        if token is None:
            await self._redis.set(_key(workspace_id), secrets.token_hex(16), nx=True)
            token = await self._redis.get(_key(workspace_id))
        return token.decode() if token else secrets.token_hex(16)


def _key(workspace_id: uuid.UUID) -> str:
    return f"janus:list-token:{workspace_id}"
