"""One line in the log for every request, and one more in the metrics."""

import logging
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from janus_mail.telemetry.metrics import request_answered

_NAME = "janus_mail.request"
_log = structlog.stdlib.get_logger(_NAME)
_level = logging.getLogger(_NAME)
# Asked every few seconds by whatever watches us.
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})


class RequestLog:
    """Logs method, route, status and time; of the address only the route's template: the rest may be private."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0  # nothing was answered: the client went away

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            seconds, route = time.perf_counter() - began, _template(scope)
            request_answered(scope["method"], route, status, seconds)
            level = logging.DEBUG if route in _QUIET and status < 500 else logging.INFO
            if _level.isEnabledFor(level):  # structlog would first gather what it then drops
                ms = round(seconds * 1000, 1)
                _log.log(level, "request", method=scope["method"], route=route, status=status, ms=ms)


def _template(scope: Scope) -> str:
    """`/api/events/{event_id}`; a mounted app is known by where it is mounted, another by its function's name."""
    path: str | None = getattr(scope.get("route"), "path_format", None)
    if path is not None:
        return path
    mounted: str = scope.get("root_path", "").removeprefix(scope.get("app_root_path", ""))
    if mounted:
        return f"{mounted}/*"
    return getattr(scope.get("endpoint"), "__name__", "none")
