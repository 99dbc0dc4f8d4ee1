"""Where posts are put before they are answered: a row each, several to a statement, and only so many at once."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from janus_mail.errors import Unavailable
from janus_mail.feedback import queries
from janus_mail.storage.coalesce import Coalescer, PerDatabase
from janus_mail.storage.database import Database

MOST_POSTS: Final = 1000  # that are being read from the wire or stored, in one process
MOST_OCTETS: Final = 64 * 1024 * 1024  # of them together
_RETRY_AFTER_S: Final = 2
_TOGETHER: Final = 64
# One with more than this is a statement of its own: it would hold up the small ones.
_SMALL_OCTETS: Final = 256 * 1024


class Place:
    """The memory that one post takes, from its first octet until it is stored or refused."""

    def __init__(self, shelf: "Shelf") -> None:
        self._shelf = shelf
        self._octets = 0
        self._taken = True
        self.handed_on = False  # to a write, which gives it back
        shelf.posts += 1

    def grow(self, octets: int) -> None:
        """Raises `Unavailable` when there is no room for more."""
        self._octets += octets
        self._shelf.octets += octets
        if self._shelf.octets > MOST_OCTETS:
            raise _full()

    def give_back(self) -> None:
        if self._taken:
            self._taken = False
            self._shelf.posts -= 1
            self._shelf.octets -= self._octets


@dataclass(frozen=True, slots=True)
class Kept:
    """What is stored of a post. `kind` says who reads it."""

    place: Place
    workspace_id: UUID
    provider_id: UUID
    kind: str
    headers: Mapping[str, str]
    body: bytes


class Shelf:
    """One per process and database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.posts = 0
        self.octets = 0
        # A service is told at once that the database is away: it posts again, and this must not go on without it.
        self._writes = Coalescer(self._write, lanes=2, most=_TOGETHER, keep=lambda _: False)

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Room for one post. Raises `Unavailable` when too many wait already."""
        if self.posts >= MOST_POSTS or self.octets >= MOST_OCTETS:
            raise _full()
        place = Place(self)
        try:
            yield place
        finally:
            if not place.handed_on:
                place.give_back()

    async def put(self, post: Kept) -> None:
        """Returns when it is committed. Raises when it is not known to be, above all when the database is away."""
        post.place.handed_on = True
        if len(post.body) > _SMALL_OCTETS:
            await self._write([post])
        else:
            await self._writes(post)

    async def _write(self, posts: Sequence[Kept]) -> list[None]:
        try:
            await self._database.pool.execute(
                queries.STORE, [uuid7() for _ in posts], [post.workspace_id for post in posts],
                [post.provider_id for post in posts], [post.kind for post in posts],
                [orjson.dumps(post.headers).decode() for post in posts], [post.body for post in posts],
            )  # fmt: skip
        finally:
            for post in posts:
                post.place.give_back()
        return [None] * len(posts)


def _full() -> Unavailable:
    return Unavailable(
        f"Too much is being stored: post it again in {_RETRY_AFTER_S} seconds.",
        code="too_busy",
        retry_after_s=_RETRY_AFTER_S,
    )


shelf_of: Final[PerDatabase[Shelf]] = PerDatabase(Shelf)
