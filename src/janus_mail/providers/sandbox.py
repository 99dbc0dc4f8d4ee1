"""The sandbox: a provider of any kind that delivers into the local mailbox, with outcomes that can be asked for."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from janus_mail.providers.contract import Accepted, Adapter, Dispatch, Mail, Verified
from janus_mail.providers.outcomes import DeliveryError, Refused, all_refused
from janus_mail.providers.smtp_replies import Step, classify, classify_cut

THROTTLED_RETRY_AFTER_S = 30.0
COPIES = 3  # as `Kind.copies`: a captured mail is on its way to the database


class SandboxMode(StrEnum):
    """The dial of a sandbox provider."""

    OK = "ok"
    DOWN = "down"  # refuses every connection
    SLOW = "slow"  # accepts after some seconds
    THROTTLED = "throttled"  # asks for a rest
    BROKEN_CREDENTIALS = "broken_credentials"  # does not know us
    CUT_OFF = "cut_off"  # cuts the line after the body: nobody knows


@dataclass(frozen=True, slots=True)
class Line:
    """What a real server would say at a step; without a code it says nothing more, and `text` names the cut."""

    step: Step
    code: int | None
    text: str
    retry_after_s: float | None = None


DOWN = Line(Step.CONNECT, 421, "4.3.2 Service not available, closing transmission channel")
BY_MODE: Mapping[SandboxMode, Line] = {
    SandboxMode.DOWN: DOWN,
    SandboxMode.THROTTLED: Line(Step.MAIL, 450, "4.7.1 Sending rate exceeded, rest a while", THROTTLED_RETRY_AFTER_S),
    SandboxMode.BROKEN_CREDENTIALS: Line(Step.AUTH, 535, "5.7.8 Username and password not accepted"),
    SandboxMode.CUT_OFF: Line(Step.DOT, None, "disconnected"),
}
_BEFORE_ANY_MAIL = Step.CONNECT | Step.AUTH
BY_RECIPIENT: Mapping[str, Line] = {
    "bounced": Line(Step.RCPT, 550, "5.1.1 No such mailbox here"),
    "rejected": Line(Step.DOT, 554, "5.6.0 Message content refused"),
    "delayed": Line(Step.RCPT, 451, "4.7.1 Greylisted, please come back later"),
    "timeout": Line(Step.DOT, None, "timeout"),
}


class SandboxAdapter(Adapter):
    """Nothing leaves the machine. `failure_rate` is the share of mails, 0 to 1, that find the provider down."""

    def __init__(
        self,
        kind: str,
        mode: SandboxMode,
        failure_rate: float,
        *,
        coin: Callable[[], float] = random.random,
        slow_s: float = 5.0,
    ) -> None:
        self._kind = kind
        self._mode = mode
        self._failure_rate = failure_rate
        self._coin = coin
        self._slow_s = slow_s

    async def send(self, mail: Mail, dispatch: Dispatch) -> Accepted:
        whole, refused = self._refusals_of(mail)
        if whole is not None and whole.step is not Step.DOT:
            raise _error(whole)
        if refused and len(refused) == len(mail.recipients):
            raise all_refused(refused)
        await dispatch.before_dispatch()
        if self._mode is SandboxMode.SLOW:
            await asyncio.sleep(self._slow_s)
        dispatch.before_last_byte()
        if whole is not None:
            error = _error(whole)
            error.refused = refused
            raise error
        return Accepted(
            code="250 2.0.0",
            response=f"2.0.0 Ok: kept in the mailbox of the {self._kind} sandbox",
            provider_message_id=mail.idempotency_key,
            captured=mail.content(),
            refused=refused,
        )

    async def verify(self) -> Verified:
        """Refuses what the dial has a server refuse before any mail."""
        line = BY_MODE.get(self._mode)
        if line is not None and line.step in _BEFORE_ANY_MAIL:
            raise _error(line)
        if self._mode is SandboxMode.SLOW:
            await asyncio.sleep(self._slow_s)
        return Verified("235 2.7.0", "2.7.0 Ok: the sandbox knows everybody")

    async def close(self) -> None:
        """Holds nothing open."""

    def _refusals_of(self, mail: Mail) -> tuple[Line | None, tuple[Refused, ...]]:
        """What is said of the whole mail, and of its recipients by name. The dial goes before the recipients."""
        if self._failure_rate and self._coin() < self._failure_rate:
            return DOWN, ()
        if self._mode is not SandboxMode.OK:
            return BY_MODE.get(self._mode), ()
        lines = [(recipient, line) for recipient in mail.recipients if (line := _asked_for(recipient, mail))]
        refused = tuple(Refused(recipient, _error(line)) for recipient, line in lines if line.step is Step.RCPT)
        return next((line for _, line in lines if line.step is Step.DOT), None), refused


def _asked_for(recipient: str, mail: Mail) -> Line | None:
    name = recipient.partition("@")[0].partition("+")[0].lower()  # bounced+17@ is a bounced@ too
    return None if name == "delayed" and mail.attempt_number > 1 else BY_RECIPIENT.get(name)


def _error(line: Line) -> DeliveryError:
    if line.code is None:
        return classify_cut(line.step, line.text)
    error = classify(line.step, line.code, line.text)
    error.retry_after_s = line.retry_after_s
    return error
