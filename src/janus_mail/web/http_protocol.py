"""HTTP/1.1 as uvicorn speaks it, with a bound on what comes around bodies: uvicorn itself waits for the head of a
request for ever, and keeps as much as comes of it, of the fields behind a chunked body, and of the next requests."""

import asyncio
import time
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_OCTETS: Final = 64 * 1024
MOST_WAITING: Final = 100  # requests of one connection, while the one before them is answered
HEAD_S: Final = 20.0  # from its first octet, or from the connection's beginning, to its last
UNREAD_S: Final = 30.0  # for any answer; one that is not read stays here
SLOWEST: Final = 16 * 1024  # octets a second, after that
_LOOK_S: Final = 5.0

_TOO_LARGE: Final = b"The head of the request is too large: at most 64 KiB are read."
_ANSWER: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(_TOO_LARGE), _TOO_LARGE)
)


class TooManyWaiting(Exception):
    """Of one connection; uvicorn answers 400 and closes it."""


class BoundedHttp(HttpToolsProtocol):
    """For `uvicorn.Config(http=…)`. Bodies have bounds of their own: `body_limit.py`.

    Nothing is spoken but HTTP: who asks for another protocol, such as WebSocket, is answered as if they had not.
    """

    _in_head = True
    _only_frame = True  # of what came last: no head ended in it, and it brought nothing of a body
    _frame_octets = 0  # since a head ended, or something of a body came
    _head_since_s: float | None = None
    _unread = (0, 0, 0.0)  # octets of answers at the last look, and since when of how many they only became fewer
    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_since_s = time.monotonic()
        self._look = self.loop.call_later(_LOOK_S, self._look_after)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._only_frame = True
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._head_since_s is None and (self.cycle is None or self.cycle.response_complete):
            self._head_since_s = time.monotonic()
        if self._only_frame:
            self._frame_octets += len(data)
            if self._frame_octets > MOST_HEAD_OCTETS:
                if self._in_head:  # else it is what follows the last chunk of a body, or the frame of one
                    self.transport.write(_ANSWER)
                self.transport.close()

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= MOST_WAITING:
            raise TooManyWaiting
        super().on_headers_complete()
        self.headers = []  # for fields that follow a body, of which nobody is told: its request is under way
        self._in_head = False
        self._head_since_s = None
        self._has_got_on()

    def on_body(self, body: bytes) -> None:
        self._has_got_on()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head = True
        self._has_got_on()
        super().on_message_complete()

    def _has_got_on(self) -> None:
        self._only_frame = False
        self._frame_octets = 0

    def _should_upgrade_to_ws(self) -> bool:
        return False

    def _unsupported_upgrade_warning(self) -> None:
        """Anybody could fill the log with it."""

    def _look_after(self) -> None:
        now_s = time.monotonic()
        if not self._is_read(now_s):
            self.transport.abort()  # to close it would be to wait for its reader
            return
        if self._head_since_s is None:
            if not self._in_head and self.cycle.response_complete:  # the rest of a body that nobody waits for
                self._head_since_s = now_s
        elif now_s - self._head_since_s > HEAD_S:
            self.transport.close()  # when all is read that is left of an answer, which is looked after until then
        self._look = self.loop.call_later(_LOOK_S, self._look_after)

    def _is_read(self, now_s: float) -> bool:
        """Whether answers are taken fast enough. More of one comes only when what was there is nearly gone."""
        left = self.transport.get_write_buffer_size()
        last, first, since_s = self._unread
        if not left or left > last:
            first, since_s = left, now_s
        self._unread = left, first, since_s
        return not left or now_s - since_s <= UNREAD_S + (first - left) / SLOWEST
