"""Takes one claimed message along its route until it is sent, has failed, waits or is lost to us."""

import asyncio
import logging
from collections.abc import Sequence

from uuid_utils.compat import uuid7

from janus_mail.availability.provider_book import ConfiguredProvider, ProviderBook
from janus_mail.content.addresses import Mailbox
from janus_mail.delivery.decide import Pace, Verdict, after_error, next_round
from janus_mail.delivery.hold import Hold, LeaseLost, Try
from janus_mail.delivery.letters import EventContent, Outgoing, outgoing
from janus_mail.delivery.record import Begin, Captured, Finish, LetGo, Recorder
from janus_mail.delivery.rest import Rests
from janus_mail.delivery.route import Route, remaining, route
from janus_mail.models.states import State, WaitingFor
from janus_mail.providers.contract import Accepted
from janus_mail.providers.outcomes import DeliveryError, Outcome, ProviderDown, Throttled, Uncertain
from janus_mail.storage.database import CONNECTION_LOST
from janus_mail.telemetry.boot_clock import boot_clock_s

_log = logging.getLogger(__name__)


class _Try:
    """One try under way: what an adapter asks before anything that cannot be taken back, and how long it all took."""

    def __init__(self, recorder: Recorder, hold: Hold, provider: ConfiguredProvider, mail: Outgoing) -> None:
        self.id = uuid7()
        self.opened = False
        self._recorder = recorder
        self._hold = hold
        self._provider = provider
        self._mail = mail
        self._started_s = boot_clock_s()
        self._dispatched_s: float | None = None

    async def before_dispatch(self) -> None:
        hold, provider = self._hold, self._provider
        try:
            begun = await self._recorder.begin(
                Begin(hold, self.id, provider.id, provider.kind, provider.name,
                      self._mail.mail.message_id, self._mail.dated_at)
            )  # fmt: skip
        except CONNECTION_LOST:
            raise LeaseLost from None
        if not begun:
            raise LeaseLost
        self.opened = True
        hold.message_id_header, hold.dated_at = self._mail.mail.message_id, self._mail.dated_at
        hold.check()
        self._dispatched_s = boot_clock_s()

    def before_last_byte(self) -> None:
        self._hold.check()

    def finish(
        self, outcome: Outcome, code: str, response: str, verdict: Verdict, accepted: Accepted | None = None
    ) -> Finish:
        captured = None
        if accepted is not None and accepted.captured is not None:
            mail = self._mail
            captured = Captured(mail.mail.sender, mail.mail.recipients, mail.subject, accepted.captured)
        return Finish(
            hold=self._hold, attempt_id=self.id, opened=self.opened, provider_id=self._provider.id,
            provider_kind=self._provider.kind, provider_name=self._provider.name, outcome=outcome, code=code,
            response=response, latency_ms=_ms(boot_clock_s() - self._started_s),
            dispatched_ms=None if self._dispatched_s is None else _ms(self._dispatched_s - self._started_s),
            next_state=verdict.next_state, wait_s=verdict.wait_s, waiting_for=verdict.waiting_for,
            next_round=verdict.next_round,
            provider_message_id=accepted.provider_message_id if accepted is not None else None,
            captured=captured,
        )  # fmt: skip


class Sender:
    """One per worker process."""

    def __init__(self, recorder: Recorder, book: ProviderBook, rests: Rests, pace: Pace) -> None:
        self._recorder = recorder
        self._book = book
        self._rests = rests
        self._pace = pace

    async def deliver(self, hold: Hold, event: EventContent) -> None:
        """Returns when the message's next state is committed, or when it is not ours any more."""
        try:
            chosen = route(event.wish, await self._book.of(hold.workspace_id))
            while await self._try_next(hold, event, chosen):
                pass
        except LeaseLost:
            _log.info("message %s is not ours any more", hold.id)
        except CONNECTION_LOST:
            raise
        except Exception:
            # A fault of ours before anything could leave: it must not come round at once, nor for ever.
            _log.exception("message %s could not be prepared", hold.id)
            error = "internal_error: the worker's log says more"
            await self._recorder.let_go(self._wait_for_next_round(hold, last_error=error))

    async def _try_next(self, hold: Hold, event: EventContent, chosen: Route) -> bool:
        """One try. True: another provider, now."""
        left = self._left(hold, chosen)
        if not left:
            await self._wait_without_a_try(hold, chosen)
            return False
        hold.check()
        provider = left[0]
        address = event.wish.from_email or provider.from_email
        assert address is not None and provider.adapter is not None  # noqa: S101, PT018  (the route saw to it)
        sender = Mailbox(address, event.from_name if event.wish.from_email or event.from_name else provider.from_name)
        finish = await self._hand_over(hold, event, chosen, provider, sender)
        if await self._recorder.finish(finish):
            return finish.next_state is State.LEASED
        if finish.outcome is Outcome.ACCEPTED:
            settled = await self._recorder.late_proof(finish)
            _log.warning("message %s: accepted after its lease was lost; %s", hold.id,
                         "the doubt is settled" if settled else "kept as evidence where there was doubt")  # fmt: skip
        return False

    async def _hand_over(
        self, hold: Hold, event: EventContent, chosen: Route, provider: ConfiguredProvider, sender: Mailbox
    ) -> Finish:
        mail = outgoing(hold, event, sender, provider.id)
        attempt = _Try(self._recorder, hold, provider, mail)
        assert provider.adapter is not None  # noqa: S101
        try:
            accepted = await provider.adapter.send(mail.mail, attempt)
        except DeliveryError as error:
            problem = error
        except (LeaseLost, asyncio.CancelledError):
            raise
        except Exception:
            # A fault of ours. Whether anything left is known by how far we got.
            _log.exception("message %s: the adapter of provider %s failed", hold.id, provider.id)
            problem = Uncertain("internal_error") if attempt.opened else ProviderDown("internal_error")
        else:
            verdict = Verdict(State.SENT)
            return attempt.finish(Outcome.ACCEPTED, accepted.code, accepted.response, verdict, accepted)
        if isinstance(problem, Throttled):
            self._rests.rest(provider, problem.retry_after_s)
        hold.history.append(Try(provider.id, hold.round, problem.outcome, problem.code))
        verdict = after_error(
            problem, hold.history, others=bool(self._left(hold, chosen)), round_=hold.round, now=hold.now(),
            give_up_at=hold.give_up_at, pace=self._pace, resend=hold.resends > 0,
        )  # fmt: skip
        hold.attempt_count += 1
        return attempt.finish(problem.outcome, problem.code, problem.response, verdict)

    def _left(self, hold: Hold, chosen: Route) -> Sequence[ConfiguredProvider]:
        resting = self._rests.now(chosen.order)
        return remaining(chosen, hold.history, hold.round, resend=hold.resends > 0, resting=resting)

    async def _wait_without_a_try(self, hold: Hold, chosen: Route) -> None:
        """Nothing may be tried now: all rest, or none is configured, or a resend's provider is gone."""
        resting = self._rests.now(chosen.order)
        waits = [resting[provider.id] for provider in chosen.order if provider.id in resting]
        if hold.resends > 0 and not self._could_ever_resend(hold, chosen):
            let_go = LetGo(hold, State.PARKED, last_error="uncertain: the provider that may have it is not in use")
        elif waits:
            let_go = LetGo(hold, State.SCHEDULED, min(waits), WaitingFor.CIRCUIT, next_round=True)
        elif chosen.order:  # a crash came between the last try of the round and its verdict
            let_go = self._wait_for_next_round(hold)
        else:
            reasons = "; ".join(f"{provider.name}: {why}" for provider, why in chosen.left_out)
            let_go = LetGo(hold, State.SCHEDULED, self._pace.base_s, WaitingFor.CIRCUIT,
                           last_error=f"no provider can take it ({reasons or 'none is configured'})")  # fmt: skip
        await self._recorder.let_go(let_go)

    def _wait_for_next_round(self, hold: Hold, last_error: str | None = None) -> LetGo:
        verdict = next_round(
            self._pace.wait_s(hold.round), None, now=hold.now(), give_up_at=hold.give_up_at, resend=hold.resends > 0
        )
        return LetGo(hold, verdict.next_state, verdict.wait_s, verdict.waiting_for, last_error, next_round=True)

    @staticmethod
    def _could_ever_resend(hold: Hold, chosen: Route) -> bool:
        doubtful = [t.provider_id for t in hold.history if t.outcome == Outcome.UNCERTAIN]
        return bool(doubtful) and any(provider.id == doubtful[-1] for provider in chosen.order)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
