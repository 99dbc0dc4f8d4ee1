"""Requests byte for byte, as no well-behaved client sends them, straight into the application."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from fastapi import FastAPI
from starlette.types import Message

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(slots=True)
class Answer:
    """What came back. Status 0: nothing did."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str:
        """Its one value, or nothing. Raises AssertionError where it is there twice."""
        found = [value.decode("latin-1") for key, value in self.headers if key.decode("latin-1").lower() == name]
        assert len(found) < 2, f"{name} twice: {found}"
        return found[0] if found else ""

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


async def ask(
    app: FastAPI,
    method: str,
    target: str,
    *,
    headers: Headers = (),
    body: bytes | Iterable[bytes] = b"",
    leaves_after: int | None = None,
    client: str = "127.0.0.1",
) -> Answer:
    """As uvicorn hands it on: the path with its escapes read, the rest as it came. A `body` in pieces has no announced
    length. With `leaves_after` the client goes away after so many of its pieces."""
    path, _, query = target.partition("?")
    pieces = [body] if isinstance(body, bytes) else [*body] or [b""]
    sent = [*headers]
    if not any(name == b"host" for name, _ in sent):
        sent.append((b"host", b"localhost"))
    if any(name == b"content-length" for name, _ in sent):
        pass  # the caller's lie
    elif isinstance(body, bytes):
        sent.append((b"content-length", str(len(body)).encode()))
    else:
        sent.append((b"transfer-encoding", b"chunked"))
    answer = Answer()
    done = asyncio.Event()
    incoming = _incoming(pieces, leaves_after, done)

    async def receive() -> Message:
        return await anext(incoming)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status, answer.headers = message["status"], list(message["headers"])
        else:
            answer.body += message.get("body", b"")
            if not message.get("more_body"):
                done.set()

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": unquote_to_bytes(path).decode("utf-8", "replace"), "raw_path": path.encode("utf-8", "replace"),
        "query_string": query.encode("utf-8", "replace"), "root_path": "", "headers": sent,
        "client": (client, 50_000), "server": ("localhost", 80), "state": {},
    }  # fmt: skip
    await app(scope, receive, send)
    check_headers(answer)
    return answer


async def _incoming(pieces: Sequence[bytes], leaves_after: int | None, done: asyncio.Event) -> AsyncIterator[Message]:
    for number, piece in enumerate(pieces):
        if number == leaves_after:
            break
        last = number == len(pieces) - 1 and leaves_after is None
        yield {"type": "http.request", "body": piece, "more_body": not last}
    if leaves_after is None:
        await done.wait()  # a client that waits for its answer
    while True:
        yield {"type": "http.disconnect"}


def check_headers(answer: Answer) -> None:
    """No header holds a line of its own."""
    for name, value in answer.headers:
        assert not set(b"\r\n\0") & set(name + value), (name, value)
