"""A process of Janus, or a ledger: in a group of its own, what it says kept in files."""

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from janus_mail.storage.child_process import start_child, stop_children

_POLL_S = 0.01


class Process:
    """`python -m` with these arguments. It ends with us, however we end."""

    def __init__(self, folder: Path, name: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        self.name = name
        unique = f"{name}-{uuid.uuid4().hex[:6]}"
        self.output, self.errors = folder / f"{unique}.out", folder / f"{unique}.err"
        with self.output.open("wb") as output, self.errors.open("wb") as errors:
            self._child = start_child(
                [sys.executable, "-m", *arguments], stdout=output, stderr=errors, env={**os.environ, **environment}
            )

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    @property
    def pid(self) -> int:
        return self._child.pid

    def send(self, number: signal.Signals) -> None:
        """A signal. One that is dead already is a mistake of the test."""
        assert self.alive, f"{self.name} has ended by itself ({self._child.returncode}): {self.last_words()}"
        self._child.send_signal(number)

    async def ended(self, within_s: float) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        try:
            async with asyncio.timeout(within_s):
                while (code := self._child.poll()) is None:
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise AssertionError(f"{self.name} has not ended in {within_s} s: {self.last_words()}") from None
        return code

    async def first_line(self, within_s: float = 20) -> str:
        """The first thing it says on its standard output."""
        async with asyncio.timeout(within_s):
            while "\n" not in (text := self.output.read_text()):
                assert self.alive, f"{self.name} did not start: {self.last_words()}"
                await asyncio.sleep(_POLL_S)
        return text.partition("\n")[0]

    def stop(self) -> None:
        """For good, whatever state it is in."""
        if self.alive:
            self._child.send_signal(signal.SIGCONT)
        stop_children([self._child], signal.SIGKILL, timeout_s=5)

    def last_words(self, most: int = 1500) -> str:
        return self.errors.read_text(errors="replace")[-most:] or self.output.read_text(errors="replace")[-most:]


@dataclass(eq=False)
class Worker:
    """`janus worker`, known to the database by its id."""

    process: Process
    concurrency: int
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    altered: bool = False  # not as an ordinary one: of no use to the next test
    killed: bool = False  # or stopped for longer than a lease: what it had begun is in doubt

    @classmethod
    def start(cls, folder: Path, environment: Mapping[str, str], *, clock_offset_s: float = 0) -> Self:
        """With a clock that is `clock_offset_s` ahead of everyone's."""
        worker_id = uuid.uuid4()
        arguments = ["worker", "--id", str(worker_id)]
        command = (
            ["tests.faults.wrong_clock", str(clock_offset_s), *arguments]
            if clock_offset_s
            else ["janus_mail.cli", *arguments]
        )
        process = Process(folder, "worker", command, environment)
        return cls(process, int(environment["JANUS_WORKER_CONCURRENCY"]), worker_id)

    def kill(self) -> None:
        self.killed = True
        self.process.send(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP. The test sees to it that this lasts longer than a lease."""
        self.killed = True
        self.process.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send(signal.SIGCONT)

    async def crashed(self, within_s: float = 15) -> None:
        """Wait until the crash point that it was armed with has ended it."""
        code = await self.process.ended(within_s)
        assert code == -signal.SIGKILL, f"{self.process.name} ended with {code}: {self.process.last_words()}"
        self.killed = True
