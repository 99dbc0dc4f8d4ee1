"""One request over HTTP, sent at most once: what has left when something breaks is known to the byte.

The pool is httpcore's. Below it lies a wire of our own, because only there can be seen when the first byte is about to
leave, and whether a kept connection still lives at that moment.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpcore

from janus_mail.providers.contract import Dispatch
from janus_mail.providers.http_network import HttpNetwork
from janus_mail.providers.http_replies import Answer
from janus_mail.providers.network import Network
from janus_mail.providers.outcomes import DeliveryError, ProviderDown, Uncertain
from janus_mail.providers.timeouts import HttpTimeouts

IDLE_S = 5.0  # far below what servers keep connections for, so that they seldom hang up as we begin
MAX_ANSWER_BYTES = 64 * 1024
BLOCK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. `path` follows the base URL; `body` may be empty where the method has none."""

    path: str
    headers: Mapping[str, str] = field(repr=False)  # a credential is in one of them
    body: bytes = field(default=b"", repr=False)
    method: str = "POST"


class HttpClient:
    """The connections of one adapter to one service. No retries, redirects, cookies or proxies.

    Made and used within one event loop.
    """

    def __init__(self, base_url: str, timeouts: HttpTimeouts, network: Network, *, max_connections: int) -> None:
        self._base_url = base_url
        self._timeouts = timeouts
        self._network = network
        self._max_connections = max_connections
        self._pool: httpcore.AsyncConnectionPool | None = None
        self._under_way = 0
        self._closed = False

    async def ask(self, request: Request, dispatch: Dispatch) -> Answer:
        """Send the request to base URL and path, and read the answer, whatever its status.

        `before_dispatch` is awaited with the connection ready; the last byte of the body is written apart, after
        `before_last_byte`, so that a request that was let go is never a whole one. Raises `ProviderDown` where nothing
        left, or `ProviderBroken` for a host that is not to be reached, `Uncertain` where something did and no answer
        came; `dispatch`'s errors and a cancellation go through, having closed the connection.
        """
        if self._pool is None:
            self._pool = self._open_pool()
        exchange = _Exchange(request, dispatch, self._timeouts.read_s)
        token = _current.set(exchange)
        self._under_way += 1
        try:
            while True:
                try:
                    return await self._ask(self._pool, exchange)
                except _HungUp:  # says nothing about the service, and it has no whole request: once more
                    exchange.begin_again()
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise _meaning(error, began=exchange.began) from None
        finally:
            _current.reset(token)
            exchange.end()
            self._under_way -= 1
            await self._close_if_done()

    async def close(self) -> None:
        """Close the connections: now, or when the last request under way has its answer."""
        self._closed = True
        await self._close_if_done()

    async def _close_if_done(self) -> None:
        if self._closed and not self._under_way and self._pool is not None:
            await self._pool.aclose()

    def _open_pool(self) -> httpcore.AsyncConnectionPool:
        """Made with the first request: reading the certificate authorities takes tens of milliseconds."""
        return httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context() if self._base_url.startswith("https:") else None,
            max_connections=self._max_connections,
            keepalive_expiry=IDLE_S,
            retries=0,
            network_backend=_Wires(self._network),
        )

    async def _ask(self, pool: httpcore.AsyncConnectionPool, exchange: "_Exchange") -> Answer:
        request, timeouts = exchange.request, self._timeouts
        limits = {
            "connect": timeouts.connect_s,
            "write": timeouts.write_s,
            "read": timeouts.read_s,
            "pool": timeouts.pool_s,
        }
        own_headers = {"Content-Length": str(len(request.body)), "User-Agent": "janus-mail"}
        try:
            async with pool.stream(
                request.method,
                self._base_url + request.path,
                headers=[*request.headers.items(), *own_headers.items()],
                content=exchange.blocks(),
                extensions={"timeout": limits},
            ) as response:
                return await _read(response)
        except (httpcore.NetworkError, httpcore.RemoteProtocolError):
            if exchange.kept and not exchange.complete:
                raise _HungUp from None
            raise


class _HungUp(Exception):
    """The server closed a connection that was kept from before, ere the request was whole."""


class _Exchange:
    """One request under way."""

    def __init__(self, request: Request, dispatch: Dispatch, read_s: float) -> None:
        self.request = request
        self.began = False  # bytes may have left
        self.complete = False  # all of them may have
        self._dispatch = dispatch
        self._dispatched = False
        self._read_s = read_s
        self._answer_due_s: float | None = None
        self._wire: _Wire | None = None

    @property
    def kept(self) -> bool:
        """Whether the connection has served another request before."""
        return self._wire is not None and self._wire.kept

    def begin_again(self) -> None:
        self._wire = None
        self.began = False  # of a request without its end nothing can be taken

    def end(self) -> None:
        """Let the mail go: transports and timers keep the context in which they were made, and so what is left here."""
        del self.request, self._dispatch

    async def begin(self, wire: "_Wire") -> None:
        """Right before the first byte of the request."""
        self._wire = wire
        if not self._dispatched:
            self._check_kept(wire)
            self._dispatched = True
            await self._dispatch.before_dispatch()
        self._check_kept(wire)  # that took time enough for a server to hang up
        self.began = True

    async def blocks(self) -> AsyncIterator[bytes]:
        """The body; the kernel has each block when the next is asked for."""
        whole = memoryview(self.request.body)
        for start in range(0, len(whole) - 1, BLOCK_BYTES):
            yield bytes(whole[start : min(start + BLOCK_BYTES, len(whole) - 1)])
        self._dispatch.before_last_byte()
        if self._wire is not None:
            self._check_kept(self._wire)
        self.complete = True
        self._answer_due_s = asyncio.get_running_loop().time() + self._read_s
        yield bytes(whole[-1:])

    def time_to_read_s(self, timeout_s: float | None) -> float | None:
        """An answer that trickles in has no more time than one that comes at once."""
        if self._answer_due_s is None:
            return timeout_s
        return max(0.0, self._answer_due_s - asyncio.get_running_loop().time())

    @staticmethod
    def _check_kept(wire: "_Wire") -> None:
        if wire.kept and wire.hung_up:
            raise _HungUp


_current: ContextVar[_Exchange] = ContextVar("current_exchange")


class _Wire(httpcore.AsyncNetworkStream):
    """A connection that tells the exchange that is under way before it writes that one's first byte."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._exchange: _Exchange | None = None
        self.kept = False

    @property
    def hung_up(self) -> bool:
        """Whether there is something to read while nothing was asked: the end, or a complaint before it."""
        return bool(self._stream.get_extra_info("is_readable"))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        exchange = _current.get()
        if exchange is not self._exchange:
            self.kept = self._exchange is not None
            self._exchange = exchange
            await exchange.begin(self)
        await self._stream.write(buffer, timeout)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, _current.get().time_to_read_s(timeout))

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _Wire(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Wires(HttpNetwork):
    """Opens them."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _Wire(await super().connect_tcp(host, port, timeout, local_address, socket_options))


async def _read(response: httpcore.Response) -> Answer:
    """The answer with as much of its body as comes and is of use: the status alone often says enough."""
    headers = {name.decode("ascii").lower(): value.decode("latin-1") for name, value in response.headers}
    body, whole = bytearray(), True
    try:
        async for chunk in response.aiter_stream():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                whole = False
                break
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError):
        whole = False
    return Answer(response.status, headers, bytes(body[:MAX_ANSWER_BYTES]), whole)


def _meaning(error: Exception, *, began: bool) -> DeliveryError:
    if began:
        return Uncertain(_broken_code(error), str(error))
    if isinstance(error, httpcore.PoolTimeout):
        busy = ProviderDown("pool_timeout")
        busy.counts = False  # our own limit: the service may be well
        return busy
    causes = list(_causes(error))
    for kind, code in _CONNECT_CODES.items():
        for cause in causes:
            if isinstance(cause, kind):
                return ProviderDown(code, getattr(cause, "verify_message", "") or str(cause))
    return ProviderDown("connect_failed", str(error))


_CONNECT_CODES: Mapping[type[BaseException], str] = {
    httpcore.TimeoutException: "timeout",
    ssl.SSLError: "tls_failed",
    socket.gaierror: "host_not_found",
    UnicodeError: "host_not_found",
    ConnectionRefusedError: "connection_refused",
}


def _broken_code(error: Exception) -> str:
    if isinstance(error, httpcore.TimeoutException):
        return "timeout"
    if any(isinstance(cause, ConnectionResetError | BrokenPipeError) for cause in _causes(error)):
        return "reset"
    if isinstance(error, httpcore.ProtocolError) and "disconnected" not in str(error):
        return "bad_reply"
    return "disconnected"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it; several addresses of one host fail as a group."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                yield from _causes(one)
        error = error.__cause__ or error.__context__
