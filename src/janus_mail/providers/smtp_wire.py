"""An SMTP connection as lines and bytes: replies parsed within limits, writes that know when the kernel has them, every
wait with its timeout. What the replies mean is not decided here."""

import asyncio
import re
import ssl
from collections import deque
from functools import lru_cache
from typing import NamedTuple, cast

MAX_LINE_BYTES = 4096  # RFC 5321 4.5.3.1.5 allows 512; generous to the talkative, closed to the hostile
MAX_LINES = 128
_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
QUIT_WAIT_S = 5.0


class Reply(NamedTuple):
    """A whole reply: its code, and its text with the lines apart by `\\n` and without the code."""

    code: int
    text: str

    @property
    def positive(self) -> bool:
        """The first digit alone decides (RFC 5321 4.2.1): 251 and 252 are as good as 250."""
        return 200 <= self.code < 300


class Cut(Exception):
    """The conversation cannot go on. `reply` is what the server said unasked, if that is why."""

    def __init__(self, code: str, response: str = "", reply: Reply | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.response = response
        self.reply = reply


class Wire(asyncio.Protocol):
    """One connection. It owes as many replies as were asked for; one more ends it, for it would be taken for the
    answer to something else (and before TLS it may come from a stranger)."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._owed = 1  # the banner comes unasked
        self._tail = b""
        self._lines: list[str] = []
        self._replies: deque[Reply] = deque()
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._deadline_s = 0.0  # of the waiter
        self._timer: asyncio.TimerHandle | None = None
        self._fires_s = 0.0  # the timer; asked itself, uvloop's handle does not always know
        self._cut: Cut | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self.said: Reply | None = None  # the last one that was read

    @property
    def broken(self) -> bool:
        return self._cut is not None or self._transport.is_closing()

    @property
    def local_address(self) -> str:
        """The IP address of our end."""
        return str(self._transport.get_extra_info("sockname")[0])

    def check(self) -> None:
        """Raises `Cut` if the connection is known to be of no more use."""
        if self._cut is not None:
            raise self._cut
        if self._transport.is_closing():  # a write failed; connection_lost() has not come yet
            raise Cut("disconnected")

    def send(self, commands: bytes, replies: int) -> None:
        """Write commands that will be answered by so many replies. Raises `Cut`."""
        self.check()
        self._owed += replies
        self._transport.write(commands)

    async def reply(self, timeout_s: float) -> Reply:
        """The next reply. Raises `Cut`: `timeout`, `disconnected`, `reset`, `bad_reply`, `reply_too_long`."""
        while not self._replies:
            if self._cut is not None:
                raise self._cut
            await self._wait(timeout_s)
        self.said = self._replies.popleft()
        return self.said

    async def write(self, block: bytes | memoryview, timeout_s: float) -> None:
        """Write a block of the body, and return when the kernel has all of it. Raises `Cut`."""
        self.check()
        self._transport.write(block)
        while self._paused:
            await self._wait(timeout_s)
            self.check()

    async def start_tls(self, context: ssl.SSLContext, hostname: str, timeout_s: float) -> None:
        """Go over to TLS. Raises `Cut` (`tls_failed`), also for bytes that came before (RFC 3207 section 6)."""
        if self._tail or self._lines or self._replies:
            self._fail("tls_failed", "bytes arrived before the handshake")
        self.check()
        try:
            transport = await self._loop.start_tls(
                self._transport, self, context, server_hostname=hostname, ssl_handshake_timeout=timeout_s
            )
        except OSError as error:  # also SSLError, the certificate's errors, time-outs and disconnects
            raise Cut("tls_failed", getattr(error, "verify_message", "") or str(error)) from None
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=1, low=0)  # asyncio's TLS transport would pause at 0 for ever

    def quit(self) -> None:
        """Take leave: QUIT, then close as soon as the server has answered, or after a while."""
        if self.broken:
            self.abort()
            return
        self._cut = Cut("closed")
        self._transport.write(b"QUIT\r\n")
        timer = self._loop.call_later(QUIT_WAIT_S, self._transport.abort)
        self._closed.add_done_callback(lambda _: timer.cancel())

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self._fail("closed")

    async def wait_closed(self, timeout_s: float) -> None:
        """Wait until the socket is closed; after the timeout close it by force."""
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._closed)
        except TimeoutError:
            self._transport.abort()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # Nothing may lie in our own buffers unseen: «written» has to mean that the kernel has it.
        self._transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        if self._cut is not None:  # the answer to QUIT, or more from a connection that is given up
            self._transport.close()
            return
        *lines, self._tail = (self._tail + data).split(b"\n")
        for line in lines:
            self._take_line(line)
            if self._cut is not None:
                return
        if len(self._tail) > MAX_LINE_BYTES:
            self._fail("reply_too_long")
        elif not self._owed and (self._tail or self._lines):
            self._fail("out_of_step", _decoded(self._tail))
        elif self._replies:
            self._wake()

    def eof_received(self) -> None:
        self._fail("disconnected")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("reset" if isinstance(exc, ConnectionResetError) else "disconnected")
        if self._timer is not None:
            self._timer.cancel()
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    def _take_line(self, line: bytes) -> None:
        line = line.removesuffix(b"\r")
        if len(line) > MAX_LINE_BYTES or len(self._lines) >= MAX_LINES:
            self._fail("reply_too_long")
            return
        parsed = _parse(line)
        if parsed is None:
            self._fail("bad_reply", _decoded(line))
            return
        reply, goes_on = parsed
        if goes_on or self._lines:
            self._lines.append(reply.text)
            if goes_on:
                return
            reply = Reply(reply.code, "\n".join(self._lines))
            self._lines.clear()
        if self._owed:
            self._owed -= 1
            self._replies.append(reply)
        else:
            self._fail("out_of_step" if reply.code < 400 else str(reply.code), reply.text, reply)

    async def _wait(self, timeout_s: float) -> None:
        """Until something has changed; when nothing does in time, the connection is given up."""
        self._waiter = self._loop.create_future()
        self._deadline_s = self._loop.time() + timeout_s
        if self._timer is None or self._fires_s > self._deadline_s:
            self._set_timer(self._deadline_s)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _set_timer(self, at_s: float) -> None:
        """One for many waits, for nearly all end long before their deadline."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._fires_s = self._loop.call_at(at_s, self._time_is_up), at_s

    def _time_is_up(self) -> None:
        self._timer = None
        if self._waiter is not None:
            if self._loop.time() >= self._deadline_s:
                self._fail("timeout")
            else:
                self._set_timer(self._deadline_s)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, code: str, response: str = "", reply: Reply | None = None) -> None:
        if self._cut is None:
            self._cut = Cut(code, response, reply)
        self._transport.abort()
        self._wake()


@lru_cache(maxsize=256)  # most lines that a server says, it says for every mail
def _parse(line: bytes) -> tuple[Reply, bool] | None:
    """One line as a reply, and whether another line of it follows; None where it is none."""
    found = _REPLY_LINE.fullmatch(line)
    if found is None:
        return None
    code, mark, text = found.groups()
    return Reply(int(code), _decoded(text or b"")), mark == b"-"


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", "replace")
