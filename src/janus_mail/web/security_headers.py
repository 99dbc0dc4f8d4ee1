"""Headers that make a browser careful, on every answer that has not said its own."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# No page of ours uses any of them. What a browser does not know it would complain of: only what is in wide use.
_FEATURES: Final = (
    "accelerometer", "autoplay", "camera", "display-capture", "encrypted-media", "fullscreen", "geolocation",
    "gyroscope", "hid", "idle-detection", "local-fonts", "magnetometer", "microphone", "midi", "payment",
    "picture-in-picture", "publickey-credentials-get", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking",
)  # fmt: skip
# The buttons that copy a key write, and nothing reads what somebody has copied.
_COPYING: Final = "clipboard-read=(), clipboard-write=(self)"
_CSP: Final = b"content-security-policy"
_FRAMING: Final = b"x-frame-options"
_DEFAULTS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    # What is no page of ours runs nothing and shows nowhere.
    (_CSP, b"default-src 'none'; frame-ancestors 'none'"),
    (b"permissions-policy", ", ".join([*(f"{name}=()" for name in _FEATURES), _COPYING]).encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
# A year; this host alone, for what stands under other names is not ours to speak for, and may have no certificate.
# Browsers heed it where they came by HTTPS, so that a production host that is asked by plain HTTP takes no harm.
_STAY_ON_HTTPS: Final = (b"strict-transport-security", b"max-age=31536000")


class SecurityHeaders:
    """Pages bring their own Content-Security-Policy; all else gets the strictest."""

    def __init__(self, app: ASGIApp, *, production: bool) -> None:
        self.app = app
        self._defaults = (*_DEFAULTS, _STAY_ON_HTTPS) if production else _DEFAULTS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                said = dict(headers)
                headers += [default for default in self._defaults if default[0] not in said]
                if _FRAMING not in said:
                    headers.append((_FRAMING, _may_frame(said.get(_CSP, b""))))
                message["headers"] = headers
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


def _may_frame(policy: bytes) -> bytes:
    """The policy's `frame-ancestors`, as browsers that do not know it read it."""
    return b"SAMEORIGIN" if b"frame-ancestors 'self'" in policy else b"DENY"
