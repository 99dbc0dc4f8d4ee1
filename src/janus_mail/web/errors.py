"""Every error as one shape, with the fitting status."""

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from janus_mail.errors import ApiError, InvalidInput, NotFound, TooLarge, Unavailable, UnsupportedMediaType
from janus_mail.storage.database import CONNECTION_LOST, connection_lost
from janus_mail.web.validation import invalid_input

RETRY_AFTER_S: Final = 2

_CODES: Final = {
    kind.status: kind.code for kind in (InvalidInput, NotFound, TooLarge, UnsupportedMediaType, Unavailable)
}
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_log = logging.getLogger(__name__)


class FieldError(BaseModel):
    """One thing to put right."""

    field: str = Field(description="Where, as a path.", examples=["recipients[2]"])
    message: str = Field(description="What, for a person.", examples=["This is not an email address."])


class ErrorBody(BaseModel):
    """The shape of every error."""

    model_config = ConfigDict(title="Error")

    error: str = Field(description="One sentence for a person.", examples=["Missing required fields."])
    code: str = Field(description="`snake_case`, for a program; it does not change.", examples=["missing_fields"])
    details: list[FieldError] = Field(default=[], description="What to put right, where that is known.")
    request_id: str | None = Field(
        default=None, description="The answer's `X-Request-ID`, as in our logs.", examples=["req-7f3a"]
    )


# What a page shows instead, to a browser that asked for one: (request, status, body) → the answer.
ErrorPage = Callable[[Request, int, ErrorBody], Response]

# status → what it means, an example's code and sentence.
_MEANINGS: Final[Mapping[int, tuple[str, str, str]]] = {
    400: ("The input is not valid; nothing was changed.", "missing_fields", "Missing required fields."),
    401: ("No credentials, or wrong ones.", "unauthorized", "Send an API key as `Authorization: Bearer <key>`."),
    403: ("Not allowed.", "insufficient_scope", "This API key lacks the scope events:write."),
    404: ("Not there, or another workspace's.", "not_found", "There is no such event."),
    405: ("This path has other methods.", "method_not_allowed", "This path does not know the method PUT."),
    408: ("The body came too slowly.", "request_timeout", "The body came too slowly: at least 16 KiB a second."),
    409: ("What is there now does not allow it.", "conflict", "The event was changed in the meantime."),
    412: ("`If-Match` does not fit.", "precondition_failed", "The event is at version 3."),
    413: ("The body is too large.", "too_large", "The body may have up to 3 MiB."),
    415: ("The body's type is not one we read.", "unsupported_media_type", "Send JSON, as application/json."),
    429: (
        "Too many requests, or mails; nothing was changed.",
        "too_many_requests",
        "Too many requests that read of this API key: at most 1,200 a minute. Try again in 12 seconds.",
    ),
    503: ("Not now.", "unavailable", "The database cannot be reached: try again in 2 seconds."),
}
RETRY_AFTER: Final[dict[str, Any]] = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}, "example": RETRY_AFTER_S}
}
_OWN_HEADERS: Final[Mapping[int, dict[str, Any]]] = {
    401: {"WWW-Authenticate": {"description": "RFC 6750.", "schema": {"type": "string"}, "example": "Bearer"}},
    405: {"Allow": {"description": "The methods there are.", "schema": {"type": "string"}, "example": "GET, POST"}},
    429: RETRY_AFTER,
    503: RETRY_AFTER,
}
REQUEST_ID_HEADER: Final[dict[str, Any]] = {
    "X-Request-ID": {
        "description": "Names this request in our logs; a sane one that was sent in is kept.",
        "schema": {"type": "string"},
        "example": "0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a01",
    }
}

# On every answer under /api, of the limit that allows least; none for anonymous callers of this machine.
RATE_LIMITS: Final[dict[str, Any]] = {
    name: {"description": meaning, "schema": {"type": "integer"}, "example": example}
    for name, meaning, example in (
        ("RateLimit-Limit", "Requests in a window of a minute, of the limit that allows least now.", 1200),
        ("RateLimit-Remaining", "How many of them are left.", 1187),
        ("RateLimit-Reset", "Seconds until the window ends and all are there again.", 42),
    )
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses=`: each status with its meaning, the shape, an example and its headers."""
    described: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        meaning, code, sentence = _MEANINGS[status]
        example = ErrorBody(error=sentence, code=code, request_id="0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a01")
        described[status] = {
            "model": ErrorBody,
            "description": meaning,
            "headers": {**REQUEST_ID_HEADER, **_OWN_HEADERS.get(status, {})},
            "content": {"application/json": {"example": example.model_dump()}},
        }
    return described


def install(app: FastAPI, page: ErrorPage | None = None) -> None:
    """Register the handlers. `page` answers browsers outside /api that accept HTML. May be called again."""
    app.state.error_page = page
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    for lost in CONNECTION_LOST:
        app.add_exception_handler(lost, _connection_lost)


def answer(request: Request, error: ApiError) -> Response:
    """The answer to a request that failed with `error`, for what stands outside the routes."""
    headers: dict[str, str] = {}
    if error.status == HTTPStatus.UNAUTHORIZED:
        # RFC 6750 section 3.1: the error is named only where credentials were sent.
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"' if error.code == "invalid_token" else "Bearer"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    details = [FieldError(field=detail.field, message=detail.message) for detail in error.details]
    return _render(request, error.status, error.code, error.message, headers, details)


def _render(
    request: Request,
    status: int,
    code: str,
    sentence: str,
    headers: Mapping[str, str] | None,
    details: list[FieldError] | None = None,
) -> Response:
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    body = ErrorBody(error=sentence, code=code, details=details or [], request_id=request_id)
    page: ErrorPage | None = getattr(request.app.state, "error_page", None)
    if page is not None and _wants_page(request):
        response = page(request, status, body)
    else:
        response = Response(body.model_dump_json(), status, media_type="application/json")
    response.headers.update(headers or {})
    return response


def _wants_page(request: Request) -> bool:
    path: str = request.scope["path"]
    asks = "text/html" in request.headers.get("accept", "") or "hx-request" in request.headers
    return path != "/api" and not path.startswith("/api/") and asks


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101
    return answer(request, error)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    if any(one["loc"][:1] == ("path",) for one in error.errors()):  # no id, so nothing can be there
        return answer(request, NotFound("There is nothing at this address."))
    return answer(request, invalid_input(error.errors(), error.body))


async def _http_exception(request: Request, error: Exception) -> Response:
    """FastAPI's and Starlette's own refusals."""
    assert isinstance(error, HTTPException)  # noqa: S101
    headers = dict(error.headers or {})
    status, sentence = error.status_code, str(error.detail)
    code = _CODES.get(status, HTTPStatus(status).name.lower())
    if status == HTTPStatus.NOT_FOUND:
        sentence = "There is nothing at this address."
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        sentence = f"This path does not know the method {request.method}."
        headers["Allow"] = ", ".join(_allowed_methods(request))
    return _render(request, status, code, sentence, headers)


def _allowed_methods(request: Request) -> list[str]:
    """Of all routes with this path (RFC 9110 section 15.5.6); Starlette names those of the first."""
    return [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]


async def _connection_lost(request: Request, error: Exception) -> Response:
    if not _is_away(error):
        raise error
    _log.warning("database away: %s: %s", type(error).__name__, error)
    sentence = f"The database cannot be reached: try again in {RETRY_AFTER_S} seconds."
    return answer(request, Unavailable(sentence, retry_after_s=RETRY_AFTER_S))


def _is_away(error: Exception) -> bool:
    """Whether it is what its class says, and no mistake of ours."""
    if isinstance(error, ValueError | LookupError):  # a template that Jinja does not find is an OSError too
        return False
    return connection_lost(error)


class UnexpectedErrors:
    """The innermost middleware: what nobody foresaw is logged and answered 500 without detail.

    Starlette's own stands outside all middleware, so that its answer would carry no X-Request-ID.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except ClientDisconnect:
            pass  # amid its body: nobody hears an answer, and it is no fault of ours; the request's line says status 0
        except Exception:
            _log.exception("unexpected error")
            if started:
                raise
            sentence = "Something went wrong here; the request id finds it in the log."
            response = _render(Request(scope), 500, "internal_error", sentence, None)
            await response(scope, receive, send)
