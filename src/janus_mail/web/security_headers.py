"""Headers that make a browser careful, on every answer that has not said its own."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_DEFAULTS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    # What is no page of ours runs nothing and shows nowhere.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class SecurityHeaders:
    """Pages bring their own Content-Security-Policy; all else gets the strictest."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                said = {name for name, _ in headers}
                message["headers"] = headers + [default for default in _DEFAULTS if default[0] not in said]
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)
