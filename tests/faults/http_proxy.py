"""The proxy for HTTP/1.1 services: one request and one answer after the other on each connection."""

import asyncio
import re

from tests.faults.proxy import Broken, Fault, Line, Proxy

_LENGTH = re.compile(rb"^content-length:\s*(\d+)", re.IGNORECASE | re.MULTILINE)
_RECIPIENT = re.compile(rb'"to"\s*:\s*\[\s*\{[^}]*"email"\s*:\s*"([^"]+)"')
_HEAD_END = b"\r\n\r\n"


class HttpProxy(Proxy):
    """Between `janus worker` and an HTTP ledger. It reads each request whole before any of it goes on, so that it knows
    whose mail it is and can break the line at any byte."""

    async def client_to_server(self, line: Line) -> None:
        while head := await _head(line.from_client):
            body = await line.from_client.readexactly(_length(head))
            found = _RECIPIENT.search(body)
            self.begin_mail(line, found[1].decode() if found else "")
            if line.fault is Fault.RESET_BEFORE_BODY:
                self.strike(line, line.fault)
                raise Broken
            if line.fault is Fault.RESET_MID_BODY:
                await self.pass_on(line, line.to_server, head + body[: len(body) // 2])
                self.strike(line, line.fault)
                raise Broken
            line.unanswered = not line.swallows
            await self.pass_on(line, line.to_server, head + body)

    async def server_to_client(self, line: Line) -> None:
        while head := await _head(line.from_server):
            await self.answer(line, head + await line.from_server.readexactly(_length(head)))


async def _head(reader: asyncio.StreamReader) -> bytes:
    """Up to the empty line; empty when the other side has left."""
    try:
        return await reader.readuntil(_HEAD_END)
    except asyncio.IncompleteReadError:
        return b""


def _length(head: bytes) -> int:
    found = _LENGTH.search(head)
    return int(found[1]) if found else 0
