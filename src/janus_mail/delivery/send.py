"""Takes one claimed message along its route until it is sent, has failed, waits or is lost to us."""

import asyncio
import logging
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from janus_mail.availability.admission import Admission, Refusal, scope_of
from janus_mail.availability.circuits import Scope
from janus_mail.availability.permits import Closed, Permits
from janus_mail.availability.provider_book import ConfiguredProvider, ProviderBook
from janus_mail.content.addresses import Mailbox
from janus_mail.delivery.attempt import Attempt
from janus_mail.delivery.crash_points import reached
from janus_mail.delivery.decide import Pace, Verdict, after_error, next_round
from janus_mail.delivery.hold import Hold, LeaseLost, Try
from janus_mail.delivery.letters import EventContent, Group, Letters, outgoing
from janus_mail.delivery.recipients import RecipientResult, nobody_left, results, without_a_mail
from janus_mail.delivery.record import Finish, LetGo, Recorder
from janus_mail.delivery.route import Route, Routes, remaining
from janus_mail.delivery.weights import Weights
from janus_mail.models.states import CircuitState, State, WaitingFor
from janus_mail.providers.contract import Accepted
from janus_mail.providers.outcomes import DeliveryError, Outcome, ProviderDown, RecipientDeferred, Uncertain
from janus_mail.storage.database import CONNECTION_LOST

_log = logging.getLogger(__name__)


class _Step(NamedTuple):
    """One try that is to be made."""

    hold: Hold
    event: EventContent
    chosen: Route
    provider: ConfiguredProvider
    sender: Mailbox
    scope: Scope


class Sender:
    """One per worker process."""

    def __init__(
        self,
        letters: Letters,
        recorder: Recorder,
        book: ProviderBook,
        admission: Admission,
        permits: Permits,
        pace: Pace,
        *,
        stall_s: float,
        probe_s: float,
    ) -> None:
        self._letters = letters
        self._weights = Weights()
        self._recorder = recorder
        self._book = book
        self._admission = admission
        self._permits = permits
        self._pace = pace
        self._stall_s = stall_s
        self._probe_s = probe_s
        self._routes = Routes()
        self._silent: set[uuid.UUID] = set()  # workspaces of which no provider takes mail, as the log knows

    async def deliver(self, hold: Hold, event: EventContent) -> None:
        """Returns when the message's next state is committed, or when it is not ours any more."""
        if event.group is not None and nobody_left(event.group, hold):
            await self._recorder.let_go(_suppressed(hold, event.group))
            return
        try:
            if event.is_big:
                async with self._weights.held(event.weight(await self._copies(hold, event))):
                    await self._go_on(hold, event)
            else:
                await self._go_on(hold, event)
        except LeaseLost:
            _log.info("message %s is not ours any more", hold.id)
        except Closed:
            await self._recorder.let_go(LetGo(hold, State.SCHEDULED))
        except CONNECTION_LOST:
            raise
        except Exception:
            # A fault of ours before anything could leave: it must not come round at once, nor for ever.
            _log.exception("message %s could not be prepared", hold.id)
            error = "internal_error: the worker's log says more"
            await self._recorder.let_go(self._wait_for_next_round(hold, last_error=error))

    async def _copies(self, hold: Hold, event: EventContent) -> int:
        """Of whichever provider of its route takes most memory: who gets the mail is not known yet."""
        chosen = self._routes.of(hold.workspace_id, event.wish, await self._book.of(hold.workspace_id))
        return max((provider.copies for provider in chosen.order), default=1)

    async def _go_on(self, hold: Hold, event: EventContent) -> None:
        while await self._try_next(hold, event):
            pass

    async def _try_next(self, hold: Hold, event: EventContent) -> bool:
        """One try, or the decision to wait. True: another provider, now."""
        chosen = self._routes.of(hold.workspace_id, event.wish, await self._book.of(hold.workspace_id))
        refusals: list[Refusal] = []
        for provider in remaining(chosen, hold.history, hold.round, resend=hold.resends > 0):
            sender = _sender(event, provider)
            domain = sender.domain
            refusal = self._admission.refusal(provider, domain)
            if refusal is None:
                async with self._permits.held(hold.workspace_id, provider.id):
                    hold.check()
                    refusal = await self._admission.take(provider, domain)
                    if refusal is None:
                        self._admission.leave_slots(refusals)
                        return await self._try(_Step(hold, event, chosen, provider, sender, scope_of(provider, domain)))
            refusals.append(refusal)
        if not self._book.read_since(hold.workspace_id, hold.claimed_at_s):
            # It may have been woken because a provider takes mail again: that is to be seen before it is put off.
            self._admission.leave_slots(refusals)
            await self._book.of(hold.workspace_id, since_s=hold.claimed_at_s)
            return True
        await self._wait_without_a_try(hold, chosen, refusals)
        return False

    async def _try(self, step: _Step) -> bool:
        """One try, recorded. True: another provider, now."""
        hold, provider = step.hold, step.provider
        try:
            out = outgoing(hold, await self._letters.complete(step.event), step.sender, provider.id)
        except (Exception, asyncio.CancelledError):
            await self._admission.not_tried(provider, step.sender.domain)
            raise
        assert provider.adapter is not None  # noqa: S101  (the route saw to it)
        ended: Accepted | DeliveryError
        attempt = Attempt(self._recorder, hold, provider, out, patience_s=self._patience_s(step))
        try:
            ended = await attempt.through(provider.adapter)
        except DeliveryError as error:
            ended = self._admission.circuits.judge(step.scope, hold.recipient, error)
            _forget_frames(error)
        except (LeaseLost, asyncio.CancelledError):
            await self._take_back(step, attempt)
            raise
        except Exception as fault:
            ended = self._explained(hold, provider, fault, attempt, stalled=attempt.stalled)
        if isinstance(ended, Accepted):
            reached("after_accepted")
        recipients = results(step.event.group, hold, out.mail, ended)
        if isinstance(ended, Accepted):
            finish = attempt.accepted(ended, self._after_accepted(step, recipients), recipients)
        else:
            finish = attempt.failed(ended, self._after(step, ended, recipients), recipients)
        again = await self._record(hold, finish)
        await self._tell(step, ended, began_s=attempt.started_s, dispatched=attempt.dispatched)
        return again

    async def _take_back(self, step: _Step, attempt: Attempt) -> None:
        """What may have left is in doubt; what had only begun ahead is given back as what had not begun."""
        if attempt.opened and not attempt.dispatched:
            reason = ProviderDown("taken_back", "It had not begun to leave.")
            verdict = Verdict(State.SCHEDULED, next_round=True)
            await self._recorder.finish(attempt.failed(reason, verdict, ()))
        await self._admission.not_tried(step.provider, step.sender.domain, dispatched=attempt.dispatched)

    def _patience_s(self, step: _Step) -> float | None:
        """For a provider to get ready: little while another one waits, and a probe is over before the next one."""
        if self._others_now(step, without=step.provider):
            return self._stall_s
        probing = self._admission.circuits.of(step.scope.whole).state is CircuitState.HALF_OPEN
        return self._probe_s if probing else None

    @staticmethod
    def _explained(
        hold: Hold, provider: ConfiguredProvider, fault: Exception, attempt: Attempt, *, stalled: bool
    ) -> DeliveryError:
        if stalled:
            return ProviderDown("no_answer", "It did not get ready in time, and another provider may.")
        # A fault of ours. Whether anything left is known by how far we got.
        _log.exception("message %s: the adapter of provider %s failed", hold.id, provider.id, exc_info=fault)
        return Uncertain("internal_error") if attempt.dispatched else ProviderDown("internal_error")

    async def _record(self, hold: Hold, finish: Finish) -> bool:
        recorded = await self._recorder.finish(finish)
        reached("after_finish")
        if not recorded and finish.outcome is Outcome.ACCEPTED:
            settled = await self._recorder.late_proof(finish)
            _log.warning("message %s: accepted after its lease was lost; %s", hold.id,
                         "the doubt is settled" if settled else "kept as evidence where there was doubt")  # fmt: skip
        return recorded and finish.next_state is State.LEASED

    async def _tell(self, step: _Step, ended: Accepted | DeliveryError, *, began_s: float, dispatched: bool) -> None:
        """What was heard of the provider, for the mail that comes next."""
        hold, provider = step.hold, step.provider
        error = ended if isinstance(ended, DeliveryError) else None
        if error is None:
            self._silent.discard(hold.workspace_id)
        try:
            await self._admission.circuits.hear(step.scope, hold.id, hold.recipient, error, began_s=began_s)
            if not dispatched:
                await self._admission.not_tried(provider, step.sender.domain)
        except CONNECTION_LOST as lost:
            _log.debug("circuit of provider %s was not changed: %s", provider.id, type(lost).__name__)

    def _after_accepted(self, step: _Step, recipients: Sequence[RecipientResult]) -> Verdict:
        """Sent; but for a group of whom some are to be tried again."""
        step.hold.reached = True
        later = [one for one in recipients if not one.resolved]
        if not later:
            return Verdict(State.SENT)
        return self._after(step, RecipientDeferred(later[0].code, later[0].response), recipients)

    def _after(self, step: _Step, error: DeliveryError, recipients: Sequence[RecipientResult]) -> Verdict:
        """What follows from the error. Takes the try into the hold's history."""
        hold = step.hold
        hold.history.append(Try(step.provider.id, hold.round, error.outcome, error.code))
        hold.attempt_count += 1
        hold.resolved.update(one.address for one in recipients if one.resolved and one.address not in hold.suppressed)
        left = remaining(step.chosen, hold.history, hold.round, resend=hold.resends > 0)
        return after_error(
            error, hold.history, round_=hold.round, now=hold.now(), give_up_at=hold.give_up_at, pace=self._pace,
            others_now=self._others_now(step), others_later=bool(left), resend=hold.resends > 0, reached=hold.reached,
        )  # fmt: skip

    def _others_now(self, step: _Step, *, without: ConfiguredProvider | None = None) -> bool:
        if without is not None and len(step.chosen.order) == 1:
            return False  # as it is for most
        left = remaining(step.chosen, step.hold.history, step.hold.round, resend=step.hold.resends > 0)
        return any(self._admission.refusal(p, _sender(step.event, p).domain) is None for p in left if p is not without)

    async def _wait_without_a_try(self, hold: Hold, chosen: Route, refusals: Sequence[Refusal]) -> None:
        """Nothing may be tried now: all rest, or none is configured, or a resend's provider is gone."""
        if hold.resends > 0 and not self._could_ever_resend(hold, chosen):
            let_go = LetGo(hold, State.PARKED, last_error="uncertain: the provider that may have it is not in use")
        elif refusals:
            soonest = min(refusals, key=lambda refusal: refusal.wait_s)
            self._admission.leave_slots(refusal for refusal in refusals if refusal is not soonest)
            let_go = LetGo(hold, State.SCHEDULED, self._admission.wait_s(soonest), soonest.waiting_for,
                           next_round=any(t.round == hold.round for t in hold.history))  # fmt: skip
            if all(refusal.waiting_for is not WaitingFor.RATE for refusal in refusals):
                self._say_once(hold, "; ".join(refusal.why for refusal in refusals))
        elif chosen.order:  # a crash came between the last try of the round and its verdict
            let_go = self._wait_for_next_round(hold)
        else:
            reasons = "; ".join(f"{provider.name}: {why}" for provider, why in chosen.left_out)
            reasons = reasons or "none is configured"
            let_go = LetGo(hold, State.SCHEDULED, self._pace.base_s + self._pace.wait_s(1), WaitingFor.CIRCUIT,
                           last_error=f"no provider can take it ({reasons})")  # fmt: skip
            self._say_once(hold, reasons)
        await self._recorder.let_go(let_go)

    def _say_once(self, hold: Hold, reasons: str) -> None:
        if hold.workspace_id not in self._silent:
            self._silent.add(hold.workspace_id)
            _log.warning("workspace %s: no provider takes mail now (%s); it waits", hold.workspace_id, reasons)

    def _wait_for_next_round(self, hold: Hold, last_error: str | None = None) -> LetGo:
        verdict = next_round(
            self._pace.wait_s(hold.round), None, now=hold.now(), give_up_at=hold.give_up_at, resend=hold.resends > 0,
            reached=hold.reached,
        )  # fmt: skip
        return LetGo(hold, verdict.next_state, verdict.wait_s, verdict.waiting_for, last_error, next_round=True)

    @staticmethod
    def _could_ever_resend(hold: Hold, chosen: Route) -> bool:
        doubtful = [t.provider_id for t in hold.history if t.outcome == Outcome.UNCERTAIN]
        return bool(doubtful) and any(provider.id == doubtful[-1] for provider in chosen.order)


def _suppressed(hold: Hold, group: Group) -> LetGo:
    """The end of a group's mail that may go to nobody, or that all have. What may have left is no lie of ours."""
    if not hold.suppressed:
        return LetGo(hold, State.SENT)
    state = State.PARKED if hold.resends > 0 else State.SENT if hold.reached else State.SUPPRESSED
    (address, why), *others = hold.suppressed.items()
    more = f", and {len(others):,} more" if others else ""
    alone = sum(map(len, group)) == 1
    error = f"suppressed: {why}" if alone else f"suppressed: nobody is left to mail ({address}: {why}{more})"
    if state is State.PARKED:
        error = f"it may have left; not sent again: {error}"
    return LetGo(hold, state, last_error=error[:300], recipients=without_a_mail(group, hold))


def _forget_frames(error: BaseException) -> None:
    """What an error remembers of where it was raised: frames that hold the mail, in rings with the error itself and
    with the connection that it ended. Python looks for rings seldom, and the bytes of many mails would gather."""
    cause: BaseException | None = error
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__context__


def _sender(event: EventContent, provider: ConfiguredProvider) -> Mailbox:
    """Whose mail it is through this provider; the route leaves out providers without one."""
    address = event.wish.from_email or provider.from_email
    assert address is not None  # noqa: S101
    return Mailbox(address, event.from_name if event.wish.from_email or event.from_name else provider.from_name)
