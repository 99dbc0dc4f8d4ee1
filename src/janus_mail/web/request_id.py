"""A name for every request: on its answer, on its errors and on every line that it logs."""

import re

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from janus_mail.telemetry.logs import bind

_NAME = b"x-request-id"
_SANE = re.compile(rb"[A-Za-z0-9._~+/=:-]{1,128}")


class RequestId:
    """Outside of all that answers: keeps a sane `X-Request-ID` that was sent in, else makes one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = next((value for name, value in scope["headers"] if name == _NAME), b"")
        request_id = sent if _SANE.fullmatch(sent) else str(uuid7()).encode()
        structlog.contextvars.clear_contextvars()
        bind(request_id=request_id.decode())

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                others = [header for header in message["headers"] if header[0] != _NAME]
                message["headers"] = [*others, (_NAME, request_id)]
            await send(message)

        await self.app(scope, receive, with_id)
