"""What follows from the outcome of a try. Pure: no I/O, no clock of its own."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from janus_mail.delivery.hold import Try
from janus_mail.models.states import State, WaitingFor
from janus_mail.providers.outcomes import DeliveryError, Outcome, RecipientDeferred

MOST_DEFERRALS = 8


@dataclass(frozen=True, slots=True)
class Verdict:
    """`leased` means: the next provider, now. `wait_s` counts from the moment it is recorded."""

    next_state: State
    wait_s: float = 0.0
    waiting_for: WaitingFor | None = None
    next_round: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait between rounds: exponential with full jitter."""

    base_s: float
    cap_s: float

    def wait_s(self, round_: int) -> float:
        return random.uniform(0, min(self.cap_s, self.base_s * 2 ** min(round_ - 1, 30)))  # noqa: S311


def after_error(
    error: DeliveryError,
    history: Sequence[Try],
    *,
    others_now: bool,
    others_later: bool = False,
    round_: int,
    now: datetime,
    give_up_at: datetime,
    pace: Pace,
    resend: bool = False,
    reached: bool = False,
) -> Verdict:
    """`history` ends with the try that `error` ended; `others_now` says whether another
    provider may be tried in this round, `others_later` whether one is left in it that cannot take mail just now.

    `reached`: someone of its group has it already, so that it cannot fail any more.
    """
    given_up = State.PARKED if resend else State.SENT if reached else State.FAILED  # a resend's first may be there
    others = others_now or others_later
    match error.outcome:
        case Outcome.RECIPIENT_REJECTED | Outcome.MESSAGE_REJECTED:
            return Verdict(given_up)
        case Outcome.UNCERTAIN:
            return Verdict(State.UNCERTAIN)
        case Outcome.POLICY_REJECTED if not others and _all_against(history, round_):
            return Verdict(given_up)
        case Outcome.RECIPIENT_DEFERRED if _deferred_for_good(error, history, others=others):
            return Verdict(given_up)
    if others_now:
        return Verdict(State.LEASED)
    return next_round(
        pace.wait_s(round_), error.retry_after_s, now=now, give_up_at=give_up_at, resend=resend, reached=reached
    )


def next_round(
    wait_s: float, at_least_s: float | None, *, now: datetime, give_up_at: datetime, resend: bool, reached: bool = False
) -> Verdict:
    """Wait for the next round, but not past the time at which the message is given up: then it has failed, but for a
    resend, which may have arrived before."""
    left_s = (give_up_at - now).total_seconds()
    if left_s <= 0:
        return Verdict(State.PARKED if resend else State.SENT if reached else State.FAILED)
    return Verdict(State.SCHEDULED, min(max(wait_s, at_least_s or 0.0), left_s), WaitingFor.RETRY, next_round=True)


def _all_against(history: Sequence[Try], round_: int) -> bool:
    """Whether nothing but policy refusals was heard in this round: then time will not change it."""
    return all(t.outcome == Outcome.POLICY_REJECTED for t in history if t.round == round_)


def _deferred_for_good(error: DeliveryError, history: Sequence[Try], *, others: bool) -> bool:
    last = history[-1]
    deferred = [t for t in history if t.outcome == Outcome.RECIPIENT_DEFERRED and not t.stale]
    same = [t for t in deferred if t.provider_id == last.provider_id]
    if isinstance(error, RecipientDeferred) and error.final_on_repeat and any(t.code == error.code for t in same[:-1]):
        return True
    return not others and len(same) >= MOST_DEFERRALS
