"""How large a request's body may be: said before it is read where its length is announced, else while reading.

Where files may come along in base64, the body without them has a limit of its own, which is told when it was read.
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
from janus_mail.web.errors import answer

KIB: Final = 1024
MIB: Final = 1024 * KIB
FILES: Final = "attachments"  # the field that holds them, each with its `content`
_SCOPE: Final = "janus.most_without_files"
_LONGEST_KEPT: Final = 200  # characters of a path


@dataclass(frozen=True, slots=True)
class Limit:
    """The most octets that a body may have at the paths that `path` matches whole, and without its files."""

    path: re.Pattern[str]
    octets: int
    without_files: int | None = None


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
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        if announced.isdigit() and int(announced) > most:
            await answer(Request(scope), TooLarge(_sentence(most)))(scope, receive, send)
            return
        if limit.without_files is not None:
            scope[_SCOPE] = limit.without_files
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

    def _find(self, path: str) -> Limit:
        return next((limit for limit in self._limits if limit.path.fullmatch(path)), self._default)


def check_without_files(scope: Scope, octets: int, value: Any) -> None:
    """`value` is what the body of so many octets says. Raises HTTPException (413), as FastAPI lets it through."""
    most = scope.get(_SCOPE)
    if most is not None and octets > most and octets - _octets_of_files(value) > most:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{_sentence(most)[:-1]}, beside the attachments.")


def _octets_of_files(value: Any) -> int:
    files = value.get(FILES) if isinstance(value, Mapping) else None
    contents = [file.get("content") for file in files if isinstance(file, Mapping)] if isinstance(files, list) else []
    return sum(len(content) for content in contents if isinstance(content, str))


def _sentence(most: int) -> str:
    size = f"{most // MIB} MiB" if most >= MIB else f"{most // KIB} KiB"
    return f"The body is too large: at most {size} are read here."
