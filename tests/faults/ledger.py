"""Reads what a ledger server wrote down: the only witness of what really left."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.faults.process import Process


@dataclass(frozen=True, slots=True)
class Entry:
    """One mail that a server took. `recipient` is the first; in these tests there is one."""

    at: float  # seconds since the epoch
    recipient: str
    subject: str
    message_id: str
    digest: str
    cut: bool = False  # the server dropped the connection instead of saying that it has it


class Ledger:
    """A running ledger server."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port
        self._offset = 0
        self._entries: list[Entry] = []

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path, module: str, *options: str) -> AsyncIterator[Self]:
        process = Process(folder, module.rpartition(".")[2], [module, *options], {})
        try:
            yield cls(process, int(await process.first_line()))
        finally:
            process.stop()

    def entries(self) -> list[Entry]:
        """Everything it has taken so far, in order."""
        with self.process.output.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole, end, _ = text.rpartition(b"\n")
        self._offset += len(whole) + len(end)
        for line in whole.splitlines():
            value = json.loads(line)
            if isinstance(value, dict) and "message_id" in value:
                self._entries.append(_entry(value))
        return self._entries


def entries_to(ledgers: Iterable[Ledger], domain: str) -> list[Entry]:
    """What all of them took for the recipients of one test."""
    return [entry for ledger in ledgers for entry in ledger.entries() if entry.recipient.endswith(f"@{domain}")]


def _entry(value: dict[str, object]) -> Entry:
    recipients = value["recipients"]
    assert isinstance(recipients, list)
    at = value["at"]
    assert isinstance(at, float)
    return Entry(
        at, str(recipients[0]), str(value["subject"]), str(value["message_id"]), str(value.get("sha256", "")),
        bool(value.get("cut")),
    )  # fmt: skip
