"""How large a request's body may be: said before it is read where its length is announced, else while reading."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from janus_mail.errors import TooLarge
from janus_mail.web.errors import answer

KIB: Final = 1024
MIB: Final = 1024 * KIB
_LONGEST_KEPT: Final = 200  # characters of a path


@dataclass(frozen=True, slots=True)
class Limit:
    """The most octets that a body may have at the paths that `path` matches whole."""

    path: re.Pattern[str]
    octets: int


class BodyLimit:
    """The first of `limits` that fits decides, else `default`."""

    def __init__(self, app: ASGIApp, *, default: int, limits: Sequence[Limit]) -> None:
        self.app = app
        self._default = default
        self._limits = tuple(limits)
        self._kept = lru_cache(maxsize=256)(self._find_most)  # most requests ask for few paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        most = self._kept(path) if len(path) <= _LONGEST_KEPT else self._find_most(path)
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        if announced.isdigit() and int(announced) > most:
            await answer(Request(scope), TooLarge(_sentence(most)))(scope, receive, send)
            return
        read = 0

        async def count() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                # FastAPI lets an HTTPException through its reading of the body, and nothing else.
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _sentence(most))
            return message

        await self.app(scope, count, send)

    def _find_most(self, path: str) -> int:
        return next((limit.octets for limit in self._limits if limit.path.fullmatch(path)), self._default)


def _sentence(most: int) -> str:
    size = f"{most // MIB} MiB" if most >= MIB else f"{most // KIB} KiB"
    return f"The body is too large: at most {size} are read here."
