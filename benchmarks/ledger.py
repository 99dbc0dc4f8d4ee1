"""What the sink has kept, read after a run."""

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.sink import ENTRY, INDEX, MAILS

_MESSAGE_ID = re.compile(rb"^Message-ID:\s*<?([^>\r\n]+)", re.IGNORECASE | re.MULTILINE)
_RECIPIENT = re.compile(rb"^RCPT TO:\s*<([^>]*)>", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Arrival:
    """One mail: epoch seconds at its final dot, the commands before it, its bytes without dot-stuffing."""

    at: float
    commands: bytes
    content: bytes

    @cached_property
    def message_id(self) -> str:
        """Without angle brackets; empty where the mail has none."""
        found = _MESSAGE_ID.search(self.content)
        return found[1].decode() if found else ""

    @cached_property
    def recipients(self) -> tuple[str, ...]:
        """Of the envelope."""
        return tuple(address.decode() for address in _RECIPIENT.findall(self.commands))


class Ledger:
    """The files of a running sink."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self.port = port

    def count(self) -> int:
        """How many mails have arrived; all of them are in the files then."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as client, client.makefile("rb") as replies:
            replies.readline()
            client.sendall(b"XFLUSH\r\n")
            return int(replies.readline().split()[1])

    def read(self, start: int = 0) -> list[Arrival]:
        """The mails from number `start` on, in the order of their arrival."""
        return list(self.mails(start))

    def mails(self, start: int = 0) -> Iterator[Arrival]:
        """The same, one at a time: a hundred thousand do not fit into everyone's memory."""
        self.count()
        entries = list(ENTRY.iter_unpack((self._folder / INDEX).read_bytes()))
        with (self._folder / MAILS).open("rb") as mails:
            mails.seek(sum(commands + mail for _, commands, mail in entries[:start]))
            for at, commands, mail in entries[start:]:
                yield Arrival(at, mails.read(commands), _unstuffed(mails.read(mail)))


def _unstuffed(mail: bytes) -> bytes:
    content = mail.removesuffix(b".\r\n")
    return content.removeprefix(b".") if b"\r\n.." not in content else content.replace(b"\r\n..", b"\r\n.")
