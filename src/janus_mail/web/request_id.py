"""A name for every request: on its answer, on its errors and on every line that it logs."""

import re

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

from janus_mail.telemetry.logs import bind

_SANE = re.compile(r"[A-Za-z0-9._~+/=:-]{1,128}")


class RequestId:
    """The outermost middleware: keeps a sane `X-Request-ID` that was sent in, else makes one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope).get("x-request-id", "")
        request_id = sent if _SANE.fullmatch(sent) else str(uuid7())
        structlog.contextvars.clear_contextvars()
        bind(request_id=request_id)

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        await self.app(scope, receive, with_id)
