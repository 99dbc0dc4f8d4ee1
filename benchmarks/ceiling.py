"""What the sink takes at most: a client of 20 kept connections that does nothing but send bytes made beforehand.

`python -m benchmarks.ceiling PORT MAILS` prints mails a second. A measurement that comes near this measures the sink.
"""

import asyncio
import sys
import time

import uvloop

from benchmarks.letters import letter, recipient

_CONNECTIONS = 20


class _Client(asyncio.Protocol):
    """Sends its share: MAIL, RCPT and DATA in one packet, then the mail with its dot."""

    def __init__(self, mails: int) -> None:
        self._left = mails
        self._commands = f"MAIL FROM:<bench@example.com>\r\nRCPT TO:<{recipient(0)}>\r\nDATA\r\n".encode()
        first = letter(0)
        self._mail = f"Subject: {first.subject}\n\n{first.text}{first.html}.\n".replace("\n", "\r\n").encode()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"354 go on\r\n"):
            self._transport.write(self._mail)
        elif data.endswith(b"Ok\r\n") or data.startswith(b"220"):
            if self._left:
                self._left -= 1
                self._transport.write(self._commands)
            else:
                self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if error is None and not self._left:
            self.done.set_result(None)
        else:
            self.done.set_exception(error or ConnectionError("the sink closed"))


async def main(port: int, mails: int) -> float:
    share = -(-mails // _CONNECTIONS)
    loop = asyncio.get_running_loop()
    began_s = time.perf_counter()
    clients = [
        (await loop.create_connection(lambda: _Client(share), "127.0.0.1", port))[1] for _ in range(_CONNECTIONS)
    ]
    await asyncio.gather(*(client.done for client in clients))
    return share * _CONNECTIONS / (time.perf_counter() - began_s)


if __name__ == "__main__":
    print(round(uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))))
