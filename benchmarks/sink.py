"""An SMTP server that takes every mail and notes when: `python -m benchmarks.sink`.

It prints its port, then one line a mail: epoch seconds when the final dot came, and Message-ID. It speaks just enough
of RFC 5321 and RFC 2920 (pipelining) to be a server that costs little next to what is measured.
"""

import asyncio
import re
import sys
import time

_MESSAGE_ID = re.compile(rb"^Message-ID: <?([^>\r\n]+)", re.IGNORECASE | re.MULTILINE)


class Session(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.buffer = b""
        self.in_data = False
        self.transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while self.buffer:
            if self.in_data:
                mail, dot, rest = self.buffer.partition(b"\r\n.\r\n")
                if not dot:
                    return
                self.buffer, self.in_data = rest, False
                found = _MESSAGE_ID.search(mail)
                sys.stdout.write(f"{time.time():.6f} {found[1].decode() if found else '?'}\n")
                self.transport.write(b"250 2.0.0 Ok\r\n")
            else:
                line, end, rest = self.buffer.partition(b"\r\n")
                if not end:
                    return
                self.buffer = rest
                self.answer(line[:4].upper())

    def answer(self, verb: bytes) -> None:
        if verb == b"EHLO":
            self.transport.write(b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 52428800\r\n")
        elif verb == b"DATA":
            self.in_data = True
            self.transport.write(b"354 go on\r\n")
        elif verb == b"QUIT":
            self.transport.write(b"221 bye\r\n")
            self.transport.close()
        else:
            self.transport.write(b"250 2.0.0 Ok\r\n")


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Session, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while True:
        await asyncio.sleep(0.2)
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
