"""How large a request's body may be: said before it is read where its length is announced, else while reading.

Where files may come along in base64, the body without them has a limit of its own, which is told when it was read.
Large bodies share a room: so much of them a process holds, however many come at once and however slowly. And none may
come too slowly: after the first half minute so much a second, from the beginning.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from janus_mail.errors import TooLarge
from janus_mail.web.errors import RETRY_AFTER_S, answer
from janus_mail.web.rate_limits import limits_of

KIB: Final = 1024
MIB: Final = 1024 * KIB
FILES: Final = "attachments"  # the field that holds them, each with its `content`
_SCOPE: Final = "janus.most_without_files"
LARGE: Final = MIB  # octets; a body with more takes room
PATIENCE_S: Final = 30.0  # for any body
SLOWEST: Final = 16 * KIB  # octets a second, after that
_TOO_SLOW: Final = f"The body came too slowly: at least {SLOWEST // KIB} KiB a second are expected."
_LONGEST_KEPT: Final = 200  # characters of a path


@dataclass(frozen=True, slots=True)
class Limit:
    """The most octets that a body may have at the paths that `path` matches whole, and without its files."""

    path: re.Pattern[str]
    octets: int
    without_files: int | None = None


@dataclass(slots=True)
class Room:
    """How many octets of large bodies a process holds, whose they are, and how many it may hold.

    One caller gets half of it at most, so that slow uploads of one keep nobody else out.
    """

    most: int
    octets: int = 0
    held: dict[str, int] = field(default_factory=dict)

    def has(self, octets: int, holder: str) -> bool:
        """Whether there is room for so many more."""
        return self.octets + octets <= self.most and self.held.get(holder, 0) + octets <= self.most // 2

    def take(self, octets: int, holder: str) -> None:
        """Fewer than none give back."""
        self.octets += octets
        self.held[holder] = self.held.get(holder, 0) + octets
        if not self.held[holder]:
            del self.held[holder]


ROOM: Final = Room(256 * MIB)


class _Body:
    """One body while it is read: its octets, its time, and its part of the room from its first octet beyond LARGE until
    its request is over."""

    def __init__(self, scope: Scope, receive: Receive, most: int, announced: int) -> None:
        self._scope, self._receive, self._most, self._announced = scope, receive, most, announced
        self._read = self._taken = 0
        self._began_s = 0.0
        self._holder = ""
        self._over = False

    async def receive(self) -> Message:
        """Raises HTTPException, for FastAPI lets nothing else through its reading of the body: 413, 503, 408."""
        if self._over:  # what comes now is only that the client went away
            return await self._receive()
        if not self._began_s:
            self._begin()
        try:
            async with asyncio.timeout_at(self._began_s + PATIENCE_S + self._read / SLOWEST):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, _TOO_SLOW, {"Connection": "close"}) from None
        self._over = not message.get("more_body", False)
        self._read += len(message.get("body", b""))
        if self._read > self._most:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _sentence(self._most))
        if self._read > LARGE:
            self._grow()
        return message

    def give_back(self) -> None:
        if self._taken:
            ROOM.take(-self._taken, self._holder)
            self._taken = 0

    def _begin(self) -> None:
        """Not before the first octet is asked for: who may not send a body at all is told that first, and by then it is
        known who it is. Those that came earlier are to come to an end."""
        self._began_s = asyncio.get_running_loop().time()
        limits = limits_of(self._scope)
        self._holder = limits.holder if limits is not None else ""
        if self._announced > LARGE and not ROOM.has(self._announced, self._holder):
            raise _full()

    def _grow(self) -> None:
        more = self._read - self._taken
        fits = ROOM.has(more, self._holder)
        ROOM.take(more, self._holder)
        self._taken = self._read
        if not fits:
            raise _full()


class BodyLimit:
    """The first of `limits` that fits decides, else `default`."""

    def __init__(self, app: ASGIApp, *, default: int, limits: Sequence[Limit]) -> None:
        self.app = app
        self._default = Limit(re.compile(""), default)
        self._limits = tuple(limits)
        self._kept = lru_cache(maxsize=256)(self._find)  # most requests ask for few paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        limit = self._kept(path) if len(path) <= _LONGEST_KEPT else self._find(path)
        most = limit.octets
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        announced = int(length) if length.isdigit() else 0
        if announced > most:
            await answer(Request(scope), TooLarge(_sentence(most)))(scope, receive, send)
            return
        if limit.without_files is not None:
            scope[_SCOPE] = limit.without_files
        body = _Body(scope, receive, most, announced)
        try:
            await self.app(scope, body.receive, send)
        finally:
            body.give_back()

    def _find(self, path: str) -> Limit:
        return next((limit for limit in self._limits if limit.path.fullmatch(path)), self._default)


def check_without_files(scope: Scope, octets: int, value: Any) -> None:
    """`value` is what the body of so many octets says. Raises HTTPException (413), as FastAPI lets it through."""
    most = scope.get(_SCOPE)
    if most is not None and octets > most and octets - _octets_of_files(value) > most:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{_sentence(most)[:-1]}, beside the attachments.")


def _full() -> HTTPException:
    sentence = f"Too much is being read: try again in {RETRY_AFTER_S} seconds."
    return HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, sentence, {"Retry-After": str(RETRY_AFTER_S)})


def _octets_of_files(value: Any) -> int:
    files = value.get(FILES) if isinstance(value, Mapping) else None
    contents = [file.get("content") for file in files if isinstance(file, Mapping)] if isinstance(files, list) else []
    return sum(len(content) for content in contents if isinstance(content, str))


def _sentence(most: int) -> str:
    size = f"{most // MIB} MiB" if most >= MIB else f"{most // KIB} KiB"
    return f"The body is too large: at most {size} are read here."
