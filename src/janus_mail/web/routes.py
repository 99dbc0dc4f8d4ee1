"""How every route under /api reads and answers; what they share in the OpenAPI document is said here once."""

import json
import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from enum import Enum
from typing import Any, Final, TypeVar

import orjson
from fastapi import APIRouter, Request, params
from fastapi.routing import APIRoute
from starlette.responses import Response

from janus_mail.errors import Detail, InvalidInput, UnsupportedMediaType
from janus_mail.web.body_limit import check_without_files
from janus_mail.web.errors import RATE_LIMITS, REQUEST_ID_HEADER, responses

_ALWAYS = (400, 401, 403, 405, 429, 503)
_MOST_NAMED = 100
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
# What is no UUID is no address of ours: `PATCH /api/events/batch` is 405 and not an event with a strange id.
_ID = re.compile(r"\{(\w+_id)\}")

Dependency = TypeVar("Dependency", bound=Callable[..., Any])
_BEFORE_BODY: Final[dict[Callable[..., Any], Callable[[Request], Awaitable[None]]]] = {}


def before_body(check: Callable[[Request], Awaitable[None]]) -> Callable[[Dependency], Dependency]:
    """Marks a dependency: routes that take a body await its `check` first, which raises what the caller is told.

    FastAPI reads the body before any dependency, and so from anybody.
    """

    def mark(dependency: Dependency) -> Dependency:
        _BEFORE_BODY[dependency] = check
        return dependency

    return mark


class JsonRequest(Request):
    """Strict JSON: UTF-8 (RFC 8259 section 8.1), no NaN, no lone surrogate, no NUL, which PostgreSQL cannot store."""

    async def json(self) -> Any:
        body = await self.body()
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            check_without_files(self.scope, len(body), None)
            raise
        check_without_files(self.scope, len(body), value)
        if b"\\u0000" in body and _has_nul(value):
            raise json.JSONDecodeError("the character U+0000 is not allowed", "", 0)
        return value


class ApiRoute(APIRoute):
    """A route under /api. Answers go from pydantic straight to bytes as long as no response class is named."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        status_code: int | None = None,
        methods: set[str] | list[str] | None = None,
        responses: dict[int | str, dict[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        described = _describe(path, status_code or 200, set(methods or ["GET"]), responses or {})
        path = _ID.sub(r"{\1:uuid}", path)
        super().__init__(path, endpoint, status_code=status_code, methods=methods, responses=described, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        reads_json = self.body_field is not None and not isinstance(self.body_field.field_info, params.Form)

        reads_itself = "requestBody" in (self.openapi_extra or {})  # no JSON: its endpoint sees to it
        may_send = not _WITH_BODY.isdisjoint(self.methods or ())
        takes_nothing = self.body_field is None and not reads_itself and may_send
        checks = self._checks_before_body() if may_send else ()

        async def strict(request: Request) -> Response:
            if "\x00" in request.scope["path"] or b"%00" in request.scope["query_string"]:
                raise InvalidInput("The character U+0000 is not allowed in an address.")
            read = JsonRequest(request.scope, request.receive)
            if reads_json:
                _require_json(request)
            for check in checks:
                await check(read)
            if takes_nothing:
                _refuse_fields(await read.body())
            response = await handle(read)
            response.headers.setdefault("Cache-Control", "no-store")
            return response

        return strict

    def _checks_before_body(self) -> tuple[Callable[[Request], Awaitable[None]], ...]:
        calls = [dependency.call for dependency in self.dependant.dependencies]
        return tuple(_BEFORE_BODY[call] for call in calls if call in _BEFORE_BODY)


def api_router(prefix: str, tags: Sequence[str | Enum]) -> APIRouter:
    """A router whose prefix begins with /api."""
    return APIRouter(prefix=prefix, tags=list(tags), route_class=ApiRoute)


def _describe(
    path: str, success: int, methods: set[str], own: dict[int | str, dict[str, Any]]
) -> dict[int | str, dict[str, Any]]:
    statuses = [*_ALWAYS]
    if "{" in path:
        statuses.append(404)
    if methods & _WITH_BODY:
        statuses += [408, 413, 415]
    described: dict[int | str, dict[str, Any]] = {success: {}}
    described.update(responses(*sorted(statuses)))
    for status, said in own.items():
        headers = {**described.get(status, {}).get("headers", {}), **said.get("headers", {})}
        described[status] = {**described.get(status, {}), **said, "headers": headers}
    for said in described.values():
        said["headers"] = REQUEST_ID_HEADER | said.get("headers", {}) | RATE_LIMITS
    return described


def _require_json(request: Request) -> None:
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if has_body and kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise UnsupportedMediaType("Send JSON, with the header `Content-Type: application/json`.")


def _refuse_fields(body: bytes) -> None:
    """Where nothing is read, an object without fields is nothing too. Raises `InvalidInput`."""
    try:
        given = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError:
        given = None
    if given != {}:
        fields = list(given)[:_MOST_NAMED] if isinstance(given, dict) else []
        raise InvalidInput(
            "This request takes no fields: send no body.",
            details=[Detail(field, "There is no such field.") for field in fields],
        )


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(_has_nul(item) for item in value)
