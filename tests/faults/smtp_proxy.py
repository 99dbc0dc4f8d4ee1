"""The proxy for SMTP: it follows the dialogue just far enough to know where in a mail it is."""

import asyncio
import re

from tests.faults.proxy import Broken, Fault, Line, Proxy

_RCPT = re.compile(rb"^RCPT TO:<([^>]*)>", re.IGNORECASE | re.MULTILINE)


class SmtpLine(Line):
    """Where in the dialogue one connection is."""

    commands = b""  # what the client has said since the last mail
    asked = False  # for 354
    body = False  # what the client says is the mail
    tail = b"\r\n"

    @property
    def within_mail(self) -> bool:
        return self.body or self.unanswered


class SmtpProxy(Proxy):
    """Between `janus worker` and an SMTP ledger."""

    line_type = SmtpLine

    async def client_to_server(self, line: Line) -> None:
        assert isinstance(line, SmtpLine)
        while data := await line.from_client.read(65536):
            if line.body:
                await self._body(line, data)
                continue
            line.commands += data
            if not line.asked and line.commands.upper().endswith(b"DATA\r\n"):
                line.asked = True
                self.begin_mail(line, _RCPT.findall(line.commands)[-1].decode())
                if line.fault is Fault.RESET_BEFORE_BODY:
                    self.strike(line, line.fault)
                    raise Broken
            await self.pass_on(line, line.to_server, data)

    async def _body(self, line: SmtpLine, data: bytes) -> None:
        if line.fault is Fault.RESET_MID_BODY:
            await self.pass_on(line, line.to_server, data[: len(data) // 2])
            self.strike(line, line.fault)
            raise Broken
        if line.fault is Fault.SLOW_BODY:
            line.fault = None
            self.strike(line, Fault.SLOW_BODY)
            await asyncio.sleep(Fault.SLOW_BODY.delay_s)
        line.tail = (line.tail + data)[-5:]
        if line.tail.endswith(b"\r\n.\r\n"):
            line.body, line.unanswered, line.commands, line.tail = False, not line.swallows, b"", b"\r\n"
        await self.pass_on(line, line.to_server, data)

    async def server_to_client(self, line: Line) -> None:
        assert isinstance(line, SmtpLine)
        while data := await line.from_server.read(65536):
            if line.unanswered:
                await self.answer(line, data)
                continue
            if line.asked and any(reply.startswith(b"354") for reply in data.split(b"\r\n")):
                line.asked, line.body = False, True
            elif line.asked and data.rstrip().rpartition(b"\r\n")[2][:1] in {b"4", b"5"}:
                line.asked, line.commands = False, b""  # refused: the client goes on with the next
            await self.pass_on(line, line.to_client, data)
