"""An SMTP server that takes every mail and keeps it as it came: `python -m benchmarks.sink FOLDER`.

It prints its port. Per mail it does next to nothing: the bytes go to a file, a few numbers to another; what they say is
looked at after the run (benchmarks/ledger.py). It speaks just enough of RFC 5321 and RFC 2920 (pipelining) to be a
server, and one verb of its own, XFLUSH: what has arrived is in the files, and how many mails that is.
"""

import asyncio
import struct
import sys
import time
from pathlib import Path

import uvloop

ENTRY = struct.Struct("<dII")  # of the index: epoch seconds at the final dot, bytes of commands, bytes of mail
INDEX, MAILS = "index", "mails"

_END = b"\r\n.\r\n"
_OK = b"250 2.0.0 Ok\r\n"
_GO_ON = b"354 go on\r\n"
_OFFERS = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 52428800\r\n"


class Keeper:
    """The two files."""

    def __init__(self, folder: Path) -> None:
        self._index = (folder / INDEX).open("wb", buffering=1 << 16)
        self._mails = (folder / MAILS).open("wb", buffering=1 << 20)
        self._count = 0

    def keep(self, commands: bytes, mail: bytes) -> None:
        """`mail` as it came: dot-stuffed, with the final dot."""
        self._index.write(ENTRY.pack(time.time(), len(commands), len(mail)))
        self._mails.write(commands)
        self._mails.write(mail)
        self._count += 1

    def flush(self) -> int:
        self._mails.flush()
        self._index.flush()
        return self._count


class Session(asyncio.Protocol):
    """One connection."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._rest = b""  # what came and is not whole yet
        self._commands = b""  # of the mail under way
        self._in_mail = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        while data:
            taken = self._mail(data) if self._in_mail else self._lines(data)
            if not taken:
                self._rest = data
                return
            data = data[taken:]

    def _mail(self, data: bytes) -> int:
        end = 3 if data.startswith(b".\r\n") else data.find(_END) + len(_END)
        if end < len(_END) and end != 3:
            return 0
        self._keeper.keep(self._commands, data[:end])
        self._in_mail, self._commands = False, b""
        self._transport.write(_OK)
        return end

    def _lines(self, data: bytes) -> int:
        if data.startswith(b"MAIL") and data.endswith(b"\r\nDATA\r\n"):  # how pipelining clients begin
            self._commands, self._in_mail = data, True
            self._transport.write(_OK * (data.count(b"\r\n") - 1) + _GO_ON)
            return len(data)
        end = data.find(b"\r\n") + 2
        if end >= 2:
            self._answer(data[:end])
        return end if end >= 2 else 0

    def _answer(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb in {b"MAIL", b"RCPT"}:
            self._commands += line
            self._transport.write(_OK)
        elif verb == b"DATA":
            self._in_mail = True
            self._transport.write(_GO_ON)
        elif verb == b"EHLO":
            self._transport.write(_OFFERS)
        elif verb == b"XFLU":
            self._transport.write(b"250 %d\r\n" % self._keeper.flush())
        elif verb == b"QUIT":
            self._transport.write(b"221 bye\r\n")
            self._transport.close()
        else:
            self._commands = b"" if verb == b"RSET" else self._commands
            self._transport.write(_OK)


async def main(folder: Path) -> None:
    keeper = Keeper(folder)
    server = await asyncio.get_running_loop().create_server(lambda: Session(keeper), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
