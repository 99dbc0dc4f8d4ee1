"""How large a request's body may be: said before it is read where its length is announced, else while reading.

Where files may come along in base64, the body without them has a limit of its own, which is told when it was read.
Large bodies share a room: so much of them a process holds, however many come at once and however slowly.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from janus_mail.errors import TooLarge
from janus_mail.web.errors import RETRY_AFTER_S, answer

KIB: Final = 1024
MIB: Final = 1024 * KIB
FILES: Final = "attachments"  # the field that holds them, each with its `content`
_SCOPE: Final = "janus.most_without_files"
LARGE: Final = MIB  # octets; a body with more takes room
_LONGEST_KEPT: Final = 200  # characters of a path


@dataclass(frozen=True, slots=True)
class Limit:
    """The most octets that a body may have at the paths that `path` matches whole, and without its files."""

    path: re.Pattern[str]
    octets: int
    without_files: int | None = None


@dataclass(slots=True)
class Room:
    """How many octets of large bodies a process holds, and may."""

    most: int
    octets: int = 0


ROOM: Final = Room(256 * MIB)


class _Taken:
    """One body's part of the room, from its first octet beyond LARGE until its request is over."""

    def __init__(self) -> None:
        self._octets = 0

    def begin(self, announced: int) -> None:
        """Raises HTTPException (503) for a body that has no room now: those that came earlier are to come to an end."""
        if announced > LARGE and ROOM.octets + announced > ROOM.most:
            raise _full()

    def grow_to(self, octets: int) -> None:
        """So many have been read. Raises HTTPException (503)."""
        if octets <= LARGE:
            return
        ROOM.octets += octets - self._octets
        self._octets = octets
        if ROOM.octets > ROOM.most:
            raise _full()

    def give_back(self) -> None:
        ROOM.octets -= self._octets
        self._octets = 0


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
        read = 0
        taken = _Taken()

        async def count() -> Message:
            nonlocal read
            if read == 0:
                taken.begin(announced)  # not before: who may not send one at all is told that first
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                # FastAPI lets an HTTPException through its reading of the body, and nothing else.
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _sentence(most))
            taken.grow_to(read)
            return message

        try:
            await self.app(scope, count, send)
        finally:
            taken.give_back()

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
