"""A real SMTP server on loopback that answers exactly what a test scripts, at any step, and keeps what it was sent."""

import asyncio
import socket
import ssl
import struct
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto


class Act(Enum):
    """What a server can do instead of answering."""

    CLOSE = auto()  # FIN
    RESET = auto()  # RST
    SILENCE = auto()  # nothing, until the client leaves
    DEAFNESS = auto()  # not even read any more
    HALF_CLOSE = auto()  # not read any more, then FIN, but the socket stays


@dataclass(frozen=True)
class Goodbye:
    """Say this, then close."""

    line: str


@dataclass(frozen=True)
class Held:
    """Say this, but only when the event is set."""

    event: asyncio.Event
    line: str


# A str is a reply line, bytes go out as they are.
Answer = str | bytes | Act | Goodbye | Held

USUAL: Mapping[str, str] = {
    "BANNER": "220 scripted.test ESMTP",
    "HELO": "250 scripted.test",
    "STARTTLS": "220 2.0.0 Ready",
    "AUTH": "235 2.7.0 Authenticated",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 End data with <CR><LF>.<CR><LF>",
    "DOT": "250 2.0.0 Ok: queued as 4XyZ12",
    "RSET": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
}


@dataclass
class ReceivedMail:
    sender: str
    recipients: list[str]
    content: bytes


@dataclass
class Conversation:
    """One connection as the server saw it."""

    writer: asyncio.StreamWriter
    commands: list[str] = field(default_factory=list)
    packets: list[bytes] = field(default_factory=list)  # as read; with TLS, what was inside
    body: bytes = b""  # of the last DATA, as it travelled, up to the dot or the cut
    step: str = ""  # the verb whose answer is due or was given last
    closed: bool = False

    @property
    def verbs(self) -> list[str]:
        return [command.partition(" ")[0].partition(":")[0] for command in self.commands]


class _Left(Exception):
    """The client is gone, or the script ends the connection."""


class ScriptedSmtp:
    """`answers[verb]` are used up one after the other over all connections, then `always[verb]`, then the usual ones.

    Verbs: BANNER, EHLO, HELO, STARTTLS, AUTH, MAIL, RCPT, DATA, BODY (once its first bytes are here), DOT, RSET, QUIT.
    """

    def __init__(
        self,
        *,
        offers: Sequence[str] = ("PIPELINING", "SIZE 50000000", "8BITMIME"),
        answers: Mapping[str, Sequence[Answer]] | None = None,
        always: Mapping[str, Answer] | None = None,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        receive_buffer: int | None = None,
    ) -> None:
        self.offers = list(offers)
        self.always = dict(always or {})
        self.conversations: list[Conversation] = []
        self.mails: list[ReceivedMail] = []
        self.most_open = 0
        self._answers = defaultdict[str, deque[Answer]](deque)
        self.script(answers or {})
        self._tls = tls
        self._implicit_tls = implicit_tls
        self._receive_buffer = receive_buffer
        self._changed = asyncio.Condition()
        self._tasks = set[asyncio.Task[None]]()
        self._server: asyncio.Server

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def open_now(self) -> int:
        return sum(not conversation.closed for conversation in self.conversations)

    def script(self, answers: Mapping[str, Sequence[Answer]]) -> None:
        for verb, coming in answers.items():
            self._answers[verb].extend(coming)

    async def start(self) -> "ScriptedSmtp":
        # With its protocol named asyncio switches Nagle's algorithm off for it, which would cost 40 ms a reply.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if self._receive_buffer is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        listening.bind(("127.0.0.1", 0))
        self._server = await asyncio.start_server(
            self._serve, sock=listening, ssl=self._tls if self._implicit_tls else None
        )
        return self

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(happened)

    async def _note(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        conversation = Conversation(writer)
        self.conversations.append(conversation)
        self.most_open = max(self.most_open, self.open_now)
        try:
            await _Dialogue(self, conversation, reader).run()
        except (_Left, ConnectionError, ssl.SSLError):
            pass
        finally:
            conversation.closed = True
            writer.close()
            await self._note()
            self._tasks.discard(task)

    def _next(self, verb: str) -> Answer:
        if self._answers[verb]:
            return self._answers[verb].popleft()
        if verb in self.always:
            return self.always[verb]
        if verb == "EHLO":
            lines = ["scripted.test", *self.offers]
            return "\r\n".join(f"250{'-' if n < len(lines) else ' '}{line}" for n, line in enumerate(lines, 1))
        return USUAL.get(verb, "500 5.5.2 What?")


class _Dialogue:
    def __init__(self, server: ScriptedSmtp, conversation: Conversation, reader: asyncio.StreamReader) -> None:
        self._server = server
        self._conversation = conversation
        self._reader = reader
        self._unread = b""
        self._mail = ReceivedMail("", [], b"")

    async def run(self) -> None:
        await self._answer("BANNER")
        verb = ""
        answer: Answer = ""
        while verb != "QUIT":
            line = (await self._line()).decode()
            in_auth = verb == "AUTH" and isinstance(answer, str) and answer.startswith("334")
            verb = "AUTH" if in_auth else line.partition(" ")[0].upper()
            self._conversation.commands.append(line)
            answer = await self._answer(verb)
            self._remember(verb, line, answer)
            if verb == "STARTTLS" and isinstance(answer, str) and answer.startswith("220"):
                assert self._server._tls is not None
                await self._conversation.writer.start_tls(self._server._tls)
            if verb == "DATA" and b"354" in _as_bytes(answer):
                await self._take_body()

    def _remember(self, verb: str, line: str, answer: Answer) -> None:
        address = line[line.find("<") + 1 : line.rfind(">")]
        if verb == "MAIL":
            self._mail = ReceivedMail(address, [], b"")
        elif verb == "RCPT" and isinstance(answer, str) and answer.startswith("25"):
            self._mail.recipients.append(address)

    async def _take_body(self) -> None:
        talk = self._conversation
        talk.body = b""
        if self._server._answers["BODY"] or "BODY" in self._server.always:
            if not self._unread:
                await self._read()
            await self._answer("BODY")
            while self._server._answers["BODY"]:
                await self._answer("BODY")
        received = bytearray(b"\r\n" + self._unread)
        try:
            while (end := received.find(b"\r\n.\r\n", max(0, len(received) - 2**18 - 5))) < 0:
                received += await self._packet()
        finally:
            talk.body = bytes(received[2:])
        talk.body, self._unread = bytes(received[2 : end + 2]), bytes(received[end + 5 :])
        content = (b"\r\n" + talk.body).replace(b"\r\n.", b"\r\n")[2:]
        answer = await self._answer("DOT")
        if _as_bytes(answer).startswith(b"250") and self._mail.recipients:  # else there is nobody to have a mail
            self._server.mails.append(ReceivedMail(self._mail.sender, self._mail.recipients, content))
            await self._server._note()

    async def _answer(self, verb: str) -> Answer:
        answer = self._server._next(verb)
        writer = self._conversation.writer
        self._conversation.step = verb
        await self._server._note()
        match answer:
            case Act.CLOSE:
                raise _Left
            case Act.RESET:
                reset(writer)
                raise _Left
            case Act.SILENCE:
                while True:
                    await self._read()
            case Act.DEAFNESS | Act.HALF_CLOSE:
                writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio.Transport has it
                if answer is Act.HALF_CLOSE:
                    await asyncio.sleep(0.05)  # until the client is stuck; nothing tells when that is
                    writer.write_eof()
                await asyncio.Event().wait()
            case Held():
                await answer.event.wait()
        writer.write(_as_bytes(answer))
        await writer.drain()
        if isinstance(answer, Goodbye):
            raise _Left
        return answer

    async def _line(self) -> bytes:
        while b"\r\n" not in self._unread:
            await self._read()
        line, _, self._unread = self._unread.partition(b"\r\n")
        return line

    async def _read(self) -> None:
        self._unread += await self._packet()

    async def _packet(self) -> bytes:
        packet = await self._reader.read(2**18)
        if not packet:
            raise _Left
        self._conversation.packets.append(packet)
        return packet


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


def _as_bytes(answer: Answer) -> bytes:
    match answer:
        case bytes():
            return answer
        case str():
            return answer.encode("utf-8", "surrogateescape") + b"\r\n"
        case Goodbye(line) | Held(_, line):
            return line.encode() + b"\r\n"
        case Act():
            return b""
