"""When a provider counts as failing."""

import uuid

import pytest

from janus_mail.availability.streak import Streak
from janus_mail.providers.outcomes import Outcome

DOWN, OK, LATER = Outcome.PROVIDER_DOWN, Outcome.ACCEPTED, Outcome.RECIPIENT_DEFERRED


def hear(streak: Streak, *outcomes: Outcome, domain: str = "example.org") -> list[str | None]:
    return [streak.hear(uuid.uuid4(), f"ann@{domain}", outcome) for outcome in outcomes]


@pytest.mark.parametrize("outcome", [DOWN, Outcome.UNCERTAIN])
def test_five_failures_in_a_row_are_too_many(outcome: Outcome) -> None:
    assert hear(Streak(), *[outcome] * 5) == [None] * 4 + ["5 failures in a row"]


@pytest.mark.parametrize("outcome", [OK, Outcome.RECIPIENT_REJECTED, Outcome.MESSAGE_REJECTED, Outcome.POLICY_REJECTED])
def test_any_answer_that_shows_it_works_ends_the_row(outcome: Outcome) -> None:
    assert hear(Streak(), *[DOWN] * 4, outcome, *[DOWN] * 4) == [None] * 9


def test_one_message_counts_once_however_often_it_fails() -> None:
    streak, message_id = Streak(), uuid.uuid4()
    assert [streak.hear(message_id, "ann@example.org", DOWN) for _ in range(40)] == [None] * 40


def test_half_of_the_last_twenty_is_too_many() -> None:
    streak = Streak()
    heard = hear(streak, *[DOWN, OK] * 9, DOWN, DOWN)
    assert heard[:19] == [None] * 19
    assert heard[19] == "11 of the last 20 tries failed"


def test_old_failures_are_forgotten() -> None:
    streak = Streak()
    hear(streak, *[DOWN] * 4, OK)
    assert hear(streak, *[OK] * 30, *[DOWN] * 4) == [None] * 34


def test_putting_off_the_recipients_of_five_domains_is_the_providers_fault() -> None:
    streak = Streak()
    heard = [hear(streak, LATER, domain=f"{name}.example")[0] for name in "abcde"]
    assert heard == [None] * 4 + ["recipients of 5 domains put off in a row"]


def test_putting_off_one_domain_is_that_domains_affair() -> None:
    assert hear(Streak(), *[LATER] * 20) == [None] * 20


def test_a_throttle_is_no_failure() -> None:
    assert hear(Streak(), *[Outcome.THROTTLED] * 40) == [None] * 40
