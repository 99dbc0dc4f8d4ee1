"""What follows from each outcome."""

from datetime import UTC, datetime, timedelta

import pytest
from uuid_utils.compat import uuid7

from janus_mail.delivery.decide import MOST_DEFERRALS, Pace, Verdict, after_error
from janus_mail.delivery.hold import Try
from janus_mail.models.states import State, WaitingFor
from janus_mail.providers.outcomes import (
    DeliveryError,
    MessageRejected,
    PolicyRejected,
    ProviderBroken,
    ProviderDown,
    RecipientDeferred,
    RecipientRejected,
    Throttled,
    Uncertain,
)

NOW = datetime(2026, 3, 12, 14, 23, tzinfo=UTC)
HERE, THERE = uuid7(), uuid7()


def decide(
    error: DeliveryError,
    *earlier: Try,
    others: bool,
    later: bool = False,
    resend: bool = False,
    left_s: float = 3600.0,
    round_: int = 1,
) -> Verdict:
    history = [*earlier, Try(HERE, round_, error.outcome, error.code)]
    return after_error(
        error, history, others_now=others, others_later=later, resend=resend, round_=round_, now=NOW,
        give_up_at=NOW + timedelta(seconds=left_s),
        pace=Pace(30, 3600),
    )  # fmt: skip


@pytest.mark.parametrize("others", [True, False])
@pytest.mark.parametrize(
    ("error", "state"),
    [
        (RecipientRejected("550 5.1.1"), State.FAILED),
        (MessageRejected("554 5.6.0"), State.FAILED),
        (Uncertain("timeout"), State.UNCERTAIN),
    ],
)
def test_a_final_word_is_never_failed_over(error: DeliveryError, state: State, others: bool) -> None:
    assert decide(error, others=others) == Verdict(state)


@pytest.mark.parametrize(
    "error",
    [
        ProviderDown("421"),
        ProviderBroken("535"),
        Throttled("429"),
        RecipientDeferred("450"),
        PolicyRejected("550 5.7.1"),
    ],
)
def test_anything_else_goes_to_the_next_provider_at_once(error: DeliveryError) -> None:
    assert decide(error, others=True) == Verdict(State.LEASED)


@pytest.mark.parametrize("error", [ProviderDown("421"), ProviderBroken("535"), RecipientDeferred("450")])
def test_with_no_other_left_it_waits_for_the_next_round(error: DeliveryError) -> None:
    verdict = decide(error, others=False)
    assert (verdict.next_state, verdict.waiting_for, verdict.next_round) == (State.SCHEDULED, WaitingFor.RETRY, True)
    assert 0 <= verdict.wait_s <= 30


def test_a_providers_retry_after_is_waited_for_but_not_past_giving_up() -> None:
    assert decide(Throttled("429", retry_after_s=300), others=False).wait_s == 300
    assert decide(Throttled("429", retry_after_s=9999), others=False, left_s=60).wait_s == 60


def test_it_fails_once_its_time_is_over() -> None:
    assert decide(ProviderDown("421"), others=False, left_s=0).next_state is State.FAILED


def test_a_resend_whose_time_is_over_is_parked_since_it_may_have_arrived() -> None:
    error, here = ProviderDown("421"), Try(HERE, 1, "provider_down", "421")
    verdict = after_error(
        error, [here], others_now=False, round_=1, now=NOW, give_up_at=NOW, pace=Pace(30, 3600), resend=True
    )
    assert verdict.next_state is State.PARKED


def test_policy_refusals_of_all_providers_fail_it() -> None:
    refused_there = Try(THERE, 1, "policy_rejected", "550")
    assert decide(PolicyRejected("550"), refused_there, others=False).next_state is State.FAILED
    down_there = Try(THERE, 1, "provider_down", "421")
    assert decide(PolicyRejected("550"), down_there, others=False).next_state is State.SCHEDULED


def test_eight_deferrals_with_one_provider_fail_it() -> None:
    earlier = [Try(HERE, n, "recipient_deferred", "450") for n in range(1, MOST_DEFERRALS)]
    assert decide(RecipientDeferred("450"), *earlier[1:], others=False, round_=7).next_state is State.SCHEDULED
    assert decide(RecipientDeferred("450"), *earlier, others=False, round_=8).next_state is State.FAILED
    assert decide(RecipientDeferred("450"), *earlier, others=True, round_=8).next_state is State.LEASED


def test_a_full_mailbox_is_deferred_once_then_rejected() -> None:
    full = RecipientDeferred("552 5.2.2", final_on_repeat=True)
    assert decide(full, others=False).next_state is State.SCHEDULED
    assert (
        decide(full, Try(HERE, 1, "recipient_deferred", "552 5.2.2"), others=False, round_=2).next_state is State.FAILED
    )


def test_the_pace_is_exponential_with_full_jitter_and_a_cap() -> None:
    pace = Pace(30, 3600)
    for round_, most in ((1, 30), (2, 60), (5, 480), (20, 3600), (10_000, 3600)):
        waits = [pace.wait_s(round_) for _ in range(200)]
        assert 0 <= min(waits) < max(waits) <= most
        assert max(waits) > most / 2


def test_a_provider_that_rests_is_still_one_that_may_take_what_another_refused() -> None:
    assert decide(PolicyRejected("550 5.7.1"), others=False, later=True).next_state is State.SCHEDULED
    deferred = [Try(HERE, n, "recipient_deferred", "450") for n in range(1, 12)]
    assert (
        decide(RecipientDeferred("450"), *deferred, others=False, later=True, round_=12).next_state is State.SCHEDULED
    )


@pytest.mark.parametrize("error", [RecipientRejected("550 5.1.1"), MessageRejected("554"), PolicyRejected("550 5.7.1")])
def test_a_resend_that_is_refused_is_parked_for_its_first_copy_may_be_there(error: DeliveryError) -> None:
    assert decide(error, others=False, resend=True).next_state is State.PARKED
