"""HTTP/1.1 as uvicorn speaks it, with a bound on what comes before a body: uvicorn itself waits for the head of a
request for ever, and keeps as much of it as comes."""

import asyncio
import time
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_OCTETS: Final = 64 * 1024
HEAD_S: Final = 20.0  # from its first octet, or from the connection's beginning, to its last
_LOOK_S: Final = 5.0

_TOO_LARGE: Final = b"The head of the request is too large: at most 64 KiB are read."
_ANSWER: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(_TOO_LARGE), _TOO_LARGE)
)


class BoundedHttp(HttpToolsProtocol):
    """For `uvicorn.Config(http=…)`. Bodies have bounds of their own: `body_limit.py`."""

    _in_head = True
    _only_head = True  # of what came last: no head ended in it
    _head_since_s: float | None = None
    _head_octets = 0
    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_since_s = time.monotonic()
        self._look = self.loop.call_later(_LOOK_S, self._look_at_head)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._only_head = self._in_head
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        if self._head_since_s is None and (self.cycle is None or self.cycle.response_complete):
            self._head_since_s = time.monotonic()
        if self._only_head:
            self._head_octets += len(data)
            if self._head_octets > MOST_HEAD_OCTETS:
                self.transport.write(_ANSWER)
                self.transport.close()

    def on_headers_complete(self) -> None:
        self._in_head = self._only_head = False
        self._head_since_s, self._head_octets = None, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def _look_at_head(self) -> None:
        now_s = time.monotonic()
        if self._head_since_s is None:
            if not self._in_head and self.cycle.response_complete:  # the rest of a body that nobody waits for
                self._head_since_s = now_s
        elif now_s - self._head_since_s > HEAD_S:
            self.transport.close()
            return
        self._look = self.loop.call_later(_LOOK_S, self._look_at_head)
