"""A closed loop of HTTP/1.1 requests from a process of its own: each connection asks again when it has its answer.

The bytes are made beforehand and the answers are not parsed beyond what frames them, so that the client costs little
next to what is measured: about 15 µs a request. `python -m benchmarks.http_load` takes one `Load` as JSON on its
standard input and answers `Loaded` on its standard output.
"""

import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to ask, on how many connections, for how long or how often."""

    port: int
    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    bodies: Sequence[str] = ("",)  # each request takes the next one
    own_headers: Sequence[Mapping[str, str]] = ()  # of each body beside `headers`, where they differ
    connections: int = 32
    seconds: float = 3.0
    warm_up_seconds: float = 0.3  # asked too, counted apart


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of it. `requests` were answered within `seconds`; `statuses` counts every answer, warm-up too."""

    requests: int
    seconds: float
    latencies_ms: list[float]  # of `requests`, sorted
    statuses: dict[str, int]
    last_answer: str

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    def percentile_ms(self, part: float) -> float:
        """0.99 for p99. Raises RuntimeError when nothing was answered in time."""
        if not self.latencies_ms:
            raise RuntimeError(f"nothing was answered within {self.seconds} s")
        return self.latencies_ms[min(int(part * len(self.latencies_ms)), len(self.latencies_ms) - 1)]

    def expect(self, status: int) -> None:
        """Raises RuntimeError when anything was answered otherwise: a refusal is quicker than work."""
        if set(self.statuses) != {str(status)}:
            raise RuntimeError(f"answered {self.statuses}, not {status} alone; the last: {self.last_answer[:300]}")


async def run_load(load: Load) -> Loaded:
    """Ask in a process of its own, so that the measuring process takes nothing from either side."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.http_load", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        output, _ = await asyncio.wait_for(
            child.communicate(json.dumps(asdict(load)).encode()), load.seconds + load.warm_up_seconds + 60
        )
    finally:
        if child.returncode is None:
            child.kill()
    if child.returncode:
        raise RuntimeError(f"the client ended with {child.returncode}")
    return Loaded(**json.loads(output))


class _Asking:
    """What the connections share."""

    def __init__(self, load: Load) -> None:
        own = load.own_headers or [{}] * len(load.bodies)
        self.requests = cycle([_request(load, body, more) for body, more in zip(load.bodies, own, strict=True)])
        self.counted_from_s = time.perf_counter() + load.warm_up_seconds
        self.until_s = self.counted_from_s + load.seconds
        self.latencies_s: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.last_answer = b""

    def answered(self, asked_at_s: float, answer: bytes) -> bool:
        """True: ask again."""
        now_s = time.perf_counter()
        self.statuses[answer[9:12].decode()] += 1
        self.last_answer = answer
        if self.counted_from_s <= now_s <= self.until_s:
            self.latencies_s.append(now_s - asked_at_s)
        return now_s < self.until_s


class _Connection(asyncio.Protocol):
    def __init__(self, asking: _Asking) -> None:
        self._asking = asking
        self._buffer = b""
        self._asked_at_s = 0.0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._ask()

    def _ask(self) -> None:
        self._asked_at_s = time.perf_counter()
        self._transport.write(next(self._asking.requests))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        length = _LENGTH.search(self._buffer, 0, head_end + 2)
        if length is None:
            self.connection_lost(ConnectionError("an answer without Content-Length"))
            return
        if len(self._buffer) < head_end + 4 + int(length[1]):
            return
        answer, self._buffer = self._buffer, b""
        if self._asking.answered(self._asked_at_s, answer):
            self._ask()
        else:
            self.ended.set_result(None)
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(error or ConnectionError("closed by the server"))


def _request(load: Load, text: str, more: Mapping[str, str]) -> bytes:
    body = text.encode()
    headers = {"Host": f"127.0.0.1:{load.port}", **load.headers, **more}
    if body:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{load.method} {load.path} HTTP/1.1\r\n{head}\r\n".encode() + body


async def _ask(load: Load) -> Loaded:
    asking = _Asking(load)
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: _Connection(asking), "127.0.0.1", load.port)
            for _ in range(load.connections)]  # fmt: skip
    async with asyncio.timeout(load.warm_up_seconds + load.seconds + 30):
        await asyncio.gather(*(connection.ended for _, connection in made))
    return Loaded(
        requests=len(asking.latencies_s), seconds=load.seconds,
        latencies_ms=sorted(round(latency_s * 1000, 3) for latency_s in asking.latencies_s),
        statuses=dict(asking.statuses), last_answer=asking.last_answer.decode(errors="replace"),
    )  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(_ask(Load(**json.load(sys.stdin)))))))
