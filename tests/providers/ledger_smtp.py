"""An SMTP server as a process of its own that writes down each mail at the moment it takes it, with faults to order.

    python -m tests.providers.ledger_smtp [--port N] [--seed N] [--cut-after-dot RATE] [--cut-mid-body RATE]
        [--delay-250 SECONDS] [--refuse STEP CODE TEXT]... [--hang STEP]

Its first line on stdout is its port. Then, one JSON object a line, flushed:
- each mail when its final dot has been read and before the 250 is written: `at` (seconds since the epoch),
  `message_id`, `subject`, `sender`, `recipients`, `size` and `sha256` (both of the content, dots unstuffed), and
  `cut: true` or `hung: true` where the 250 will never be written;
- the answer to each line on stdin: `faults` (as they are now) and `fired` (how often each has happened so far).

A line on stdin is a JSON object of new settings: `{"cut_after_dot": 0.01, "hang": null, "refuse": {"MAIL": "451 No"}}`.
What it leaves out stays, `{}` only asks; a wrong one is answered by `error` and changes nothing. The end of stdin
changes nothing either: SIGTERM ends the server. STEP is one of BANNER, EHLO, MAIL, RCPT, DATA, DOT. A connection that
hangs does so until the client leaves, whatever is set later. A cut within the body is made at its first bytes, and that
mail is not taken; a mail whose dot hangs is.
"""

import argparse
import asyncio
import dataclasses
import email.header
import hashlib
import json
import random
import re
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import cast

import uvloop

STEPS = ("BANNER", "EHLO", "MAIL", "RCPT", "DATA", "DOT")
SIZE_LIMIT = 50_000_000
OFFERS = ("ledger.test", "PIPELINING", f"SIZE {SIZE_LIMIT}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
MAX_LINE_BYTES = 4096

_PATH = re.compile(r"(?:FROM|TO):\s*<(?P<path>[^<>]*|\"[^\"]*\"@[^<>]*)>(?P<parameters>( \S+)*)\s*", re.IGNORECASE)
_HEADER = r"^{}:[ \t]*(?P<value>[^\r\n]*(?:\r\n[ \t][^\r\n]*)*)"
_MESSAGE_ID = re.compile(_HEADER.format("message-id"), re.IGNORECASE | re.MULTILINE)
_SUBJECT = re.compile(_HEADER.format("subject"), re.IGNORECASE | re.MULTILINE)

Write = Callable[[Mapping[str, object]], None]


@dataclass(frozen=True)
class Faults:
    """What goes wrong, settable while the server runs."""

    cut_after_dot: float = 0.0  # share of the mails that are taken, their connection then dropped without a 250
    cut_mid_body: float = 0.0  # share of the mails whose connection is dropped at their first bytes
    delay_250: float = 0.0  # seconds between taking a mail and saying so
    refuse: Mapping[str, str] = field(default_factory=dict)  # step -> reply («451 4.3.0 Not now»)
    hang: str | None = None  # the step that is never answered

    def __post_init__(self) -> None:
        for name in ("cut_after_dot", "cut_mid_body"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share, 0 to 1")
        if self.delay_250 < 0:
            raise ValueError("delay_250 cannot be negative")
        for step in [*self.refuse, *([self.hang] if self.hang is not None else [])]:
            if step not in STEPS:
                raise ValueError(f"no step is called {step}; there are {', '.join(STEPS)}")
        for reply in self.refuse.values():
            if not re.fullmatch(r"[45]\d\d [^\r\n]+", reply):
                raise ValueError(f"not a refusal: {reply}")


class Ledger:
    """What all connections share: the faults, the dice, the counts, and where the lines go."""

    def __init__(self, write: Write, faults: Faults = Faults(), *, seed: int | None = None) -> None:
        self.write = write
        self.faults = faults
        self.fired: Counter[str] = Counter()
        self.open: set[asyncio.Transport] = set()
        self._dice = random.Random(seed)

    def chance(self, name: str) -> bool:
        """Whether the fault of this name strikes now; counted if so."""
        rate: float = getattr(self.faults, name)
        struck = rate > 0 and self._dice.random() < rate
        self.fired[name] += struck
        return struck

    def refusal(self, step: str) -> str | None:
        reply = self.faults.refuse.get(step)
        self.fired["refuse"] += reply is not None
        return reply

    def hangs(self, step: str) -> bool:
        hangs = self.faults.hang == step
        self.fired["hang"] += hangs
        return hangs

    def program(self, line: str) -> None:
        """Take up a line of stdin, and answer it."""
        try:
            changes = json.loads(line)
            self.faults = dataclasses.replace(self.faults, **changes)
        except (ValueError, TypeError, AttributeError) as error:
            self.write({"error": str(error)})
            return
        self.write({"faults": dataclasses.asdict(self.faults), "fired": dict(self.fired)})


class _Mode(Enum):
    COMMANDS = auto()
    BODY = auto()
    WAITING = auto()  # for our own delayed 250: what comes meanwhile is kept
    LEAVING = auto()  # once what was answered has left
    HUNG = auto()  # what comes is thrown away, for ever


class LedgerSmtp(asyncio.Protocol):
    """One connection."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._transport: asyncio.Transport
        self._mode = _Mode.COMMANDS
        self._unread = bytearray()
        self._searched = 0  # of the body, without finding its end
        self._sender: str | None = None
        self._recipients: list[str] = []

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ledger.open.add(self._transport)
        self._say(self._answer("BANNER", lambda: "220 ledger.test ESMTP"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._ledger.open.discard(self._transport)
        self._mode = _Mode.HUNG

    def data_received(self, data: bytes) -> None:
        if self._mode is _Mode.HUNG:
            return
        self._unread += data
        self._go_on()

    def _go_on(self) -> None:
        """All that has come, as far as it can be answered; the answers leave in one packet."""
        answers = bytearray()
        while self._mode in {_Mode.COMMANDS, _Mode.BODY}:
            answer = self._body() if self._mode is _Mode.BODY else self._command()
            if answer is None:
                break
            answers += answer
        self._say(answers)

    def _say(self, answers: bytes | bytearray) -> None:
        if answers:
            self._transport.write(answers)
        if self._mode is _Mode.LEAVING:
            self._transport.close()

    def _cut(self) -> None:
        self._mode = _Mode.HUNG
        self._transport.abort()

    # Commands

    def _command(self) -> bytes | None:
        """The answer to the next command; None where it has not come whole."""
        end = self._unread.find(b"\r\n")
        if end < 0:
            if len(self._unread) > MAX_LINE_BYTES:
                self._cut()
            return None
        line = self._unread[:end].decode("utf-8", "replace")
        del self._unread[: end + 2]
        verb, _, argument = line.partition(" ")
        match verb.upper():
            case "EHLO":
                return self._answer("EHLO", self._hello)
            case "HELO":
                return self._answer("EHLO", lambda: "250 ledger.test")
            case "MAIL":
                return self._answer("MAIL", lambda: self._mail(argument))
            case "RCPT":
                return self._answer("RCPT", lambda: self._rcpt(argument))
            case "DATA":
                return self._answer("DATA", self._data)
            case "RSET":
                self._forget()
                return b"250 2.0.0 Ok\r\n"
            case "NOOP":
                return b"250 2.0.0 Ok\r\n"
            case "QUIT":
                return self._goodbye("221 2.0.0 Bye")
        return b"500 5.5.2 What?\r\n"

    def _answer(self, step: str, usual: Callable[[], str]) -> bytes:
        if self._ledger.hangs(step):
            self._mode = _Mode.HUNG
            return b""
        reply = self._ledger.refusal(step) or usual()
        return self._goodbye(reply) if reply.startswith("421") else reply.encode() + b"\r\n"

    def _goodbye(self, reply: str) -> bytes:
        self._mode = _Mode.LEAVING
        return reply.encode() + b"\r\n"

    def _hello(self) -> str:
        self._forget()
        return "\r\n".join(f"250{'-' if n < len(OFFERS) else ' '}{offer}" for n, offer in enumerate(OFFERS, 1))

    def _mail(self, argument: str) -> str:
        found = _PATH.fullmatch(argument)
        if self._sender is not None:
            return "503 5.5.1 One MAIL at a time"
        if found is None:
            return "501 5.5.4 MAIL FROM:<address>"
        for parameter in found["parameters"].upper().split():
            name, _, value = parameter.partition("=")
            if name not in {"SIZE", "BODY", "SMTPUTF8"}:
                return "555 5.5.4 Unknown parameter"
            if name == "SIZE" and not (value.isdigit() and int(value) <= SIZE_LIMIT):
                return "552 5.3.4 Too large"
        self._sender = found["path"]
        return "250 2.1.0 Ok"

    def _rcpt(self, argument: str) -> str:
        found = _PATH.fullmatch(argument)
        if self._sender is None:
            return "503 5.5.1 MAIL first"
        if found is None:
            return "501 5.5.4 RCPT TO:<address>"
        self._recipients.append(found["path"])
        return "250 2.1.5 Ok"

    def _data(self) -> str:
        if self._sender is None:
            return "503 5.5.1 MAIL first"
        if not self._recipients:
            return "554 5.5.1 No valid recipients"
        self._mode = _Mode.BODY
        self._searched = 0
        return "354 End data with <CR><LF>.<CR><LF>"

    def _forget(self) -> None:
        self._sender = None
        self._recipients = []

    # The mail

    def _body(self) -> bytes | None:
        """The answer to the final dot; None where it has not come."""
        if not self._unread:
            return None
        if not self._searched and self._ledger.chance("cut_mid_body"):
            self._cut()
            return None
        if self._unread.startswith(b".\r\n"):
            end = -2
        else:
            end = self._unread.find(b"\r\n.\r\n", max(0, self._searched - 4))
            if end < 0:
                self._searched = len(self._unread)
                if self._searched > 2 * SIZE_LIMIT:  # stuffing can double it
                    self._cut()
                return None
        stuffed = b"\r\n" + bytes(self._unread[: end + 2])
        del self._unread[: end + 5]
        self._mode = _Mode.COMMANDS
        refusal = self._ledger.refusal("DOT")
        if refusal is None:
            return self._take(stuffed.replace(b"\r\n.", b"\r\n")[2:])
        self._forget()
        return self._goodbye(refusal) if refusal.startswith("421") else refusal.encode() + b"\r\n"

    def _take(self, content: bytes) -> bytes:
        cut = self._ledger.chance("cut_after_dot")
        hung = not cut and self._ledger.hangs("DOT")
        entry = _entry(self._sender or "", self._recipients, content)
        self._ledger.write(entry | ({"cut": True} if cut else {}) | ({"hung": True} if hung else {}))
        self._forget()
        if cut:
            self._cut()
            return b""
        if hung:
            self._mode = _Mode.HUNG
            return b""
        answer = f"250 2.0.0 Ok: queued as {str(entry['sha256'])[:12]}\r\n".encode()
        if delay_s := self._ledger.faults.delay_250:
            self._ledger.fired["delay_250"] += 1
            self._mode = _Mode.WAITING
            asyncio.get_running_loop().call_later(delay_s, self._say_late, answer)
            return b""
        return answer

    def _say_late(self, answer: bytes) -> None:
        if self._mode is _Mode.WAITING:
            self._mode = _Mode.COMMANDS
            self._transport.write(answer)
            self._go_on()


def _entry(sender: str, recipients: list[str], content: bytes) -> dict[str, object]:
    head = content.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    subject = _header(_SUBJECT, head)
    return {
        "at": time.time(),
        "message_id": _header(_MESSAGE_ID, head),
        "subject": str(email.header.make_header(email.header.decode_header(subject))) if "=?" in subject else subject,
        "sender": sender,
        "recipients": recipients,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _header(pattern: re.Pattern[str], head: str) -> str:
    found = pattern.search(head)
    return re.sub(r"\r\n(?=[ \t])", "", found["value"]).strip() if found else ""


# The process


def _write_line(value: object) -> None:
    """In the kernel's hands when it returns, so that no mail is answered for that a killed server did not note."""
    sys.stdout.write(f"{value}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.providers.ledger_smtp")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--cut-after-dot", type=float, default=0.0, metavar="RATE")
    parser.add_argument("--cut-mid-body", type=float, default=0.0, metavar="RATE")
    parser.add_argument("--delay-250", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--refuse", nargs=3, action="append", default=[], metavar=("STEP", "CODE", "TEXT"))
    parser.add_argument("--hang", choices=STEPS)
    return parser.parse_args()


async def main() -> None:
    arguments = _arguments()
    faults = Faults(
        cut_after_dot=arguments.cut_after_dot,
        cut_mid_body=arguments.cut_mid_body,
        delay_250=arguments.delay_250,
        refuse={step: f"{code} {text}" for step, code, text in arguments.refuse},
        hang=arguments.hang,
    )
    ledger = Ledger(lambda entry: _write_line(json.dumps(entry)), faults, seed=arguments.seed)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = await loop.create_server(
        lambda: LedgerSmtp(ledger), arguments.host, arguments.port, backlog=1024, reuse_address=True
    )
    _write_line(server.sockets[0].getsockname()[1])
    threading.Thread(target=_listen_to_stdin, args=(loop, ledger), daemon=True).start()
    await ended.wait()
    server.close()
    for transport in list(ledger.open):
        transport.abort()


def _listen_to_stdin(loop: asyncio.AbstractEventLoop, ledger: Ledger) -> None:
    """A thread, because stdin may be anything: a pipe, a file, nothing at all."""
    with open(0, "rb", buffering=0, closefd=False) as lines:  # unbuffered: no lock is held at the process's end
        for line in lines:
            if line.strip():
                loop.call_soon_threadsafe(ledger.program, line.decode("utf-8", "replace"))


if __name__ == "__main__":
    uvloop.run(main())
