"""One mail after the other over one SMTP connection, with exact knowledge of how far each one got."""

import asyncio
import re
from dataclasses import replace
from typing import NamedTuple

from janus_mail.providers.contract import Accepted, Dispatch
from janus_mail.providers.outcomes import (
    DeliveryError,
    PolicyRejected,
    RecipientDeferred,
    RecipientRejected,
    Refused,
    all_refused,
)
from janus_mail.providers.smtp_letter import Letter
from janus_mail.providers.smtp_opening import Offers, SmtpTimeouts
from janus_mail.providers.smtp_replies import Step, classify, classify_cut, enhanced_code
from janus_mail.providers.smtp_wire import Cut, Reply, Wire

BLOCK_BYTES = 64 * 1024
ABOUT_A_RECIPIENT = (RecipientDeferred, RecipientRejected, PolicyRejected)  # at RCPT; the others hold for them all

# Postfix and those who speak like it; Exim; Amazon SES; Sendmail
_PROVIDER_MESSAGE_ID = re.compile(
    r"queued as (?P<postfix>[\w.-]+)|\bid=(?P<exim>[\w.-]+)|^Ok (?P<ses>[0-9a-f][\w.-]{15,})$"
    r"|\b(?P<sendmail>\w{8,}+) Message accepted for delivery",
    re.MULTILINE,
)


class LostBeforeBody(Exception):
    """The connection ended (cut, timeout, 421) while nothing of the mail had left. `error` is what that means."""

    def __init__(self, error: DeliveryError) -> None:
        super().__init__(error.code)
        self.error = error


class _Command(NamedTuple):
    step: Step
    line: bytes
    timeout_s: float
    recipient: str = ""  # of RCPT


class _Envelope:
    """How MAIL and the recipients fare, reply by reply."""

    def __init__(self, recipients: int) -> None:
        self._recipients = recipients
        self._about_all: DeliveryError | None = None  # MAIL was refused, or a reply to RCPT blames the provider
        self.taken = 0
        self.refused: list[Refused] = []

    def note(self, command: _Command, reply: Reply) -> None:
        """Take in the reply to anything before DATA."""
        if reply.positive:
            self.taken += command.step is Step.RCPT
        elif self._about_all is None:  # else what follows only repeats that nothing goes
            error = classify(command.step, reply.code, reply.text)
            if command.step is Step.RCPT and isinstance(error, ABOUT_A_RECIPIENT):
                self.refused.append(Refused(command.recipient, error))
            else:
                self._about_all = error

    @property
    def refusal(self) -> DeliveryError | None:
        """Why nobody gets this mail now; None while somebody may."""
        if self._about_all is None and len(self.refused) == self._recipients:
            return all_refused(self.refused)
        return self._about_all


class SmtpSession:
    """A connection that is ready for MAIL. One mail at a time."""

    def __init__(self, wire: Wire, offers: Offers, timeouts: SmtpTimeouts) -> None:
        self._wire = wire
        self._offers = offers
        self._timeouts = timeouts
        self._in_step = True  # both sides agree on what comes next; else the connection is of no more use
        self._needs_reset = False
        self.mails = 0
        self.idle_since_s = 0.0  # the event loop's time, kept by the pool

    @property
    def usable(self) -> bool:
        return self._in_step and not self._wire.broken

    def quit(self) -> None:
        self._wire.quit()

    async def wait_closed(self, timeout_s: float) -> None:
        await self._wire.wait_closed(timeout_s)

    async def deliver(self, letter: Letter, dispatch: Dispatch) -> Accepted:
        """Send one mail to those of its recipients that the server takes.

        Raises `LostBeforeBody` or a `DeliveryError`; `dispatch`'s errors and a cancellation go through. Whenever the
        server is left in the middle of something, the connection is closed.
        """
        commands = self._commands_for(letter)
        self._in_step = self._needs_reset = False
        self.mails += 1
        envelope = _Envelope(len(letter.recipients))
        try:
            await self._announce(commands, envelope)
            await dispatch.before_dispatch()
            accepted = await self._hand_over(letter, dispatch)
            return replace(accepted, refused=tuple(envelope.refused)) if envelope.refused else accepted
        except DeliveryError as error:
            if len(letter.recipients) > 1:
                error.refused = tuple(envelope.refused)
            raise
        finally:
            if not self._in_step:
                self._wire.abort()

    def _commands_for(self, letter: Letter) -> list[_Command]:
        """RSET where the last mail broke off, MAIL, each RCPT, DATA. Raises `PolicyRejected` without asking a server
        that has already said what it cannot take."""
        offers, timeouts = self._offers, self._timeouts
        if letter.needs_smtputf8 and not offers.smtputf8:
            raise PolicyRejected("smtputf8_not_offered")
        if letter.needs_8bitmime and not (offers.eightbitmime or offers.smtputf8):
            raise PolicyRejected("8bitmime_not_offered")
        if offers.size is not None and letter.size > offers.size:
            raise PolicyRejected("too_large", f"SIZE {offers.size}")
        mail = b"MAIL FROM:<%b>" % letter.sender
        if offers.takes_size:
            mail += b" SIZE=%d" % letter.size
        if letter.needs_8bitmime:
            mail += b" BODY=8BITMIME"
        if letter.needs_smtputf8:
            mail += b" SMTPUTF8"
        return [
            *([_Command(Step.MAIL, b"RSET\r\n", timeouts.mail_s)] if self._needs_reset else ()),
            _Command(Step.MAIL, mail + b"\r\n", timeouts.mail_s),
            *(
                _Command(Step.RCPT, b"RCPT TO:<%b>\r\n" % path, timeouts.rcpt_s, path.decode())
                for path in letter.recipients
            ),
            _Command(Step.DATA, b"DATA\r\n", timeouts.data_s),
        ]

    async def _announce(self, commands: list[_Command], envelope: _Envelope) -> None:
        """Everything up to 354; raises why nobody gets the mail. With PIPELINING it leaves in one packet (RFC 2920)."""
        pipelining = self._offers.pipelining
        try:
            if pipelining:
                self._wire.send(b"".join(command.line for command in commands), len(commands))
            for command in commands:
                if not pipelining:
                    self._wire.send(command.line, 1)
                reply = await self._wire.reply(command.timeout_s)
                if reply.code == 421:
                    raise envelope.refusal or LostBeforeBody(classify(command.step, reply.code, reply.text))
                if command.step is Step.DATA:
                    await self._settle(reply, envelope)
                    return
                envelope.note(command, reply)
                if not pipelining and (refusal := envelope.refusal) is not None:
                    self._stay()
                    raise refusal
        except Cut as cut:
            raise envelope.refusal or LostBeforeBody(classify_cut(Step.DATA, cut.code, cut.response)) from None

    async def _settle(self, reply: Reply, envelope: _Envelope) -> None:
        """What the reply to DATA leads to, given how the envelope fared."""
        refusal = envelope.refusal
        if reply.code == 354:
            if refusal is None:
                return
            if envelope.taken:  # a lone dot would send them an empty mail
                raise refusal
            self._wire.send(b".\r\n", 1)  # RFC 2920 3.1: ends what nobody receives, so the answer means nothing
            await self._wire.reply(self._timeouts.data_s)
        elif refusal is None:
            refusal = classify(Step.DATA, reply.code, reply.text)
            if reply.code < 400 or 500 <= reply.code <= 504:  # out of step
                raise refusal
        elif reply.code < 400:
            raise refusal
        self._stay()
        raise refusal

    async def _hand_over(self, letter: Letter, dispatch: Dispatch) -> Accepted:
        """The body, then by itself the dot, then the answer."""
        step = Step.DATA
        try:
            body = memoryview(letter.body)
            for start in range(0, len(body), BLOCK_BYTES):
                if start:
                    await asyncio.sleep(0)  # others want their turn, and a cut wants to be noticed before the dot
                await self._wire.write(body[start : start + BLOCK_BYTES], self._timeouts.block_s)
            self._wire.check()
            dispatch.before_last_byte()
            step = Step.DOT
            self._wire.send(b".\r\n", 1)
            reply = await self._wire.reply(self._timeouts.dot_s)
        except Cut as cut:
            if cut.reply is not None and cut.reply.code >= 400:  # refused in the midst of the body
                raise classify(Step.DOT, cut.reply.code, cut.reply.text) from None
            raise classify_cut(step, cut.code, cut.response) from None
        if reply.positive:
            self._in_step = True
            return _accepted(reply)
        if reply.code < 400:
            raise classify_cut(Step.DOT, "out_of_step", reply.text)
        if reply.code != 421:
            self._stay()
        raise classify(Step.DOT, reply.code, reply.text)

    def _stay(self) -> None:
        """The mail is off, the connection may serve the next one."""
        self._in_step = self._needs_reset = True


def _accepted(reply: Reply) -> Accepted:
    found = _PROVIDER_MESSAGE_ID.search(reply.text)
    return Accepted(
        code=f"{reply.code} {enhanced_code(reply.text)}".rstrip(),
        response=reply.text,
        provider_message_id=found[found.lastgroup or 0] if found else None,
    )
