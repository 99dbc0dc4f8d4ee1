"""One try under way: what an adapter asks before anything that cannot be taken back, and how long it all took."""

import asyncio

from uuid_utils.compat import uuid7

from janus_mail.availability.provider_book import ConfiguredProvider
from janus_mail.delivery.crash_points import reached
from janus_mail.delivery.decide import Verdict
from janus_mail.delivery.hold import Hold, LeaseLost
from janus_mail.delivery.letters import Outgoing
from janus_mail.delivery.recipients import RecipientResult
from janus_mail.delivery.record import Begin, Captured, Finish, Recorder
from janus_mail.providers.contract import Accepted, Adapter
from janus_mail.providers.outcomes import DeliveryError, Outcome
from janus_mail.storage.database import CONNECTION_LOST
from janus_mail.telemetry.boot_clock import boot_clock_s


class Attempt:
    """The adapter's `Dispatch`. `opened` says whether begin has committed, `dispatched` whether the mail may have left.

    A try that has not begun `patience_s` after it got its connection is ended; null: the adapter's own limits do.
    """

    def __init__(
        self,
        recorder: Recorder,
        hold: Hold,
        provider: ConfiguredProvider,
        outgoing: Outgoing,
        *,
        patience_s: float | None,
    ) -> None:
        self.id = uuid7()
        self.opened = False
        self._recorder = recorder
        self._hold = hold
        self._provider = provider
        self._outgoing = outgoing
        self._patience_s = patience_s
        self._limit: asyncio.Timeout | None = None
        self.started_s = boot_clock_s()
        self._dispatched_s: float | None = None

    async def through(self, adapter: Adapter) -> Accepted:
        """Raises as the adapter does; `TimeoutError` when it was `stalled`."""
        if self._patience_s is None:
            return await adapter.send(self._outgoing.mail, self)
        async with asyncio.timeout(None) as self._limit:
            return await adapter.send(self._outgoing.mail, self)

    @property
    def dispatched(self) -> bool:
        return self._dispatched_s is not None

    @property
    def stalled(self) -> bool:
        return self._limit is not None and self._limit.expired()

    def under_way(self) -> None:
        if self._limit is not None and self._patience_s is not None:
            self._limit.reschedule(asyncio.get_running_loop().time() + self._patience_s)

    async def before_dispatch(self) -> None:
        if self._limit is not None:
            self._limit.reschedule(None)  # from here on nothing is certain until there is an answer
        await self._begin()
        self._hold.check()
        self._dispatched_s = boot_clock_s()

    async def begin_ahead(self) -> None:
        if self._hold.expires_at is None:  # else begin is what sees that it has not expired when it leaves
            await self._begin()

    async def _begin(self) -> None:
        if self.opened:
            return
        hold, provider, outgoing = self._hold, self._provider, self._outgoing
        try:
            begun = await self._recorder.begin(
                Begin(hold, self.id, provider.id, provider.kind, provider.name,
                      outgoing.mail.message_id, outgoing.dated_at)
            )  # fmt: skip
        except CONNECTION_LOST:
            raise LeaseLost from None
        if not begun:
            raise LeaseLost
        self.opened = True
        reached("after_begin")
        hold.message_id_header, hold.dated_at = outgoing.mail.message_id, outgoing.dated_at

    def before_last_byte(self) -> None:
        reached("before_last_byte")
        self._hold.check()

    def accepted(self, accepted: Accepted, verdict: Verdict, recipients: tuple[RecipientResult, ...]) -> Finish:
        captured = None
        if accepted.captured is not None:
            mail = self._outgoing.mail
            captured = Captured(mail.sender, mail.recipients, self._outgoing.subject, accepted.captured)
        return self._finish(
            Outcome.ACCEPTED, accepted.code, accepted.response, verdict, recipients,
            provider_message_id=accepted.provider_message_id, captured=captured,
        )  # fmt: skip

    def failed(self, error: DeliveryError, verdict: Verdict, recipients: tuple[RecipientResult, ...]) -> Finish:
        return self._finish(error.outcome, error.code, error.response, verdict, recipients)

    def _finish(
        self,
        outcome: Outcome,
        code: str,
        response: str,
        verdict: Verdict,
        recipients: tuple[RecipientResult, ...],
        *,
        provider_message_id: str | None = None,
        captured: Captured | None = None,
    ) -> Finish:
        provider = self._provider
        return Finish(
            hold=self._hold, attempt_id=self.id, opened=self.opened, provider_id=provider.id,
            provider_kind=provider.kind, provider_name=provider.name, outcome=outcome, code=code, response=response,
            latency_ms=_ms(boot_clock_s() - self.started_s),
            dispatched_ms=None if self._dispatched_s is None else _ms(self._dispatched_s - self.started_s),
            next_state=verdict.next_state, wait_s=verdict.wait_s, waiting_for=verdict.waiting_for,
            next_round=verdict.next_round, provider_message_id=provider_message_id, captured=captured,
            recipients=recipients,
        )  # fmt: skip


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
