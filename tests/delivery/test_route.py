"""Which provider is tried next, and why the others are left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from janus_mail.availability.provider_book import ConfiguredProvider
from janus_mail.delivery.hold import Try
from janus_mail.delivery.route import Route, Wish, named, remaining, route
from janus_mail.providers.sandbox import SandboxAdapter, SandboxMode

WORKSPACE = uuid7()


def provider(name: str, **changes: Any) -> ConfiguredProvider:
    given: dict[str, Any] = {
        "id": uuid7(), "kind": "ses", "name": name, "enabled": True, "removed": False, "sandbox": False,
        "from_email": "janus@example.com",
        "from_name": None, "sender_domains": None, "workspace_id": WORKSPACE,
        "rate_per_second": None, "daily_quota": None,
        "adapter": SandboxAdapter("ses", SandboxMode.OK, 0.0), **changes,
    }  # fmt: skip
    return ConfiguredProvider(**given)


@dataclass
class Wanted:
    """A wish in a caller's words."""

    provider: str | None
    failover: bool
    from_email: str | None

    def among(self, providers: Sequence[ConfiguredProvider]) -> Route:
        meant = named(self.provider, providers) if self.provider else None
        return route(Wish(meant.id if meant else None, self.failover, self.from_email), providers)


def wish(provider: str | None = None, *, failover: bool = True, from_email: str | None = None) -> Wanted:
    return Wanted(provider, failover, from_email)


def names(wanted: Wanted, *providers: ConfiguredProvider) -> list[str]:
    return [p.name for p in wanted.among(providers).order]


def reasons(wanted: Wanted, *providers: ConfiguredProvider) -> dict[str, str]:
    return {p.name: reason for p, reason in wanted.among(providers).left_out}


A, B, C = provider("a"), provider("b", kind="sendgrid"), provider("c", kind="smtp")
PRACTICE = provider("practice", sandbox=True, kind="mailgun")
PLAY = provider("play", sandbox=True, kind="sendgrid")


def test_the_workspaces_order_is_kept() -> None:
    assert names(wish(), A, B, C) == ["a", "b", "c"]


@pytest.mark.parametrize("by", [str(B.id), "b", "B", "sendgrid"], ids=["id", "name", "capitals", "kind"])
def test_the_callers_preference_goes_first_by_id_name_or_kind(by: str) -> None:
    assert names(wish(by), A, B, C) == ["b", "a", "c"]


def test_of_providers_of_one_kind_a_real_one_is_meant_and_one_that_is_on() -> None:
    caught, off, on = provider("Caught", sandbox=True), provider("Off", enabled=False), provider("On")
    assert named("ses", [caught, off, on]) is on
    assert named("caught", [caught, off, on]) is caught
    assert named(str(off.id).upper(), [caught, off, on]) is off
    assert named("sendgrid", [caught, off, on]) is None


def test_a_name_wins_over_a_kind() -> None:
    by_name = provider("ses", kind="smtp")
    assert named("SES", [provider("Amazon", kind="ses"), by_name]) is by_name


def test_failover_off_leaves_only_the_preferred_or_the_first() -> None:
    assert names(wish("b", failover=False), A, B, C) == ["b"]
    assert names(wish(failover=False), A, B, C) == ["a"]
    assert reasons(wish("b", failover=False), A, B) == {"a": "failover is off"}


def test_failover_off_with_the_preferred_switched_off_leaves_none() -> None:
    assert names(wish("off", failover=False), A, provider("off", enabled=False)) == []


def test_a_sandbox_is_left_out_as_soon_as_there_is_a_real_provider() -> None:
    assert names(wish(), PRACTICE, A) == ["a"]
    assert names(wish(), PRACTICE, PLAY) == ["practice", "play"]


def test_mail_for_the_world_does_not_end_in_the_mailbox_while_the_real_provider_is_switched_off() -> None:
    assert names(wish(), PRACTICE, provider("off", enabled=False)) == []


def test_a_provider_that_was_removed_is_still_the_one_that_was_meant() -> None:
    gone = provider("gone", sandbox=True, removed=True)
    assert names(wish("gone"), A, gone) == []
    assert names(wish("gone"), A, gone, PRACTICE) == ["practice"]
    assert names(wish("gone", failover=False), gone, PRACTICE) == []
    assert names(wish(), PRACTICE, provider("once", removed=True)) == ["practice"]


def test_a_wish_that_names_nobody_any_more_leaves_no_route_without_failover() -> None:
    assert route(Wish(uuid7(), False, None), [A, B]).order == ()


def test_naming_a_sandbox_makes_the_whole_route_sandbox() -> None:
    assert names(wish("practice"), A, PLAY, PRACTICE) == ["practice", "play"]


def test_a_kind_means_the_real_provider_before_the_sandbox() -> None:
    assert names(wish("sendgrid"), PLAY, A, B) == ["b", "a"]


def test_a_provider_may_be_limited_to_sender_domains() -> None:
    limited = provider("limited", sender_domains=("shop.example",))
    assert names(wish(from_email="hello@shop.example"), limited, A) == ["limited", "a"]
    assert reasons(wish(from_email="hello@other.example"), limited, A) == {"limited": "not for this sender"}


def test_a_provider_without_any_sender_is_left_out() -> None:
    assert names(wish(), provider("mute", from_email=None), A) == ["a"]
    assert names(wish(from_email="x@y.example"), provider("mute", from_email=None)) == ["mute"]


def left(history: list[Try], round_: int = 1, *, resend: bool = False) -> list[str]:
    chosen = wish().among([A, B, C])
    return [p.name for p in remaining(chosen, history, round_, resend=resend)]


def test_after_a_crash_the_round_goes_on_where_it_was() -> None:
    assert left([Try(A.id, 1, "provider_down", "timeout")]) == ["b", "c"]
    assert left([Try(A.id, 1, "provider_down", "timeout")], round_=2) == ["a", "b", "c"]


def test_a_policy_refusal_holds_in_every_round_until_a_person_asks_again() -> None:
    assert left([Try(A.id, 1, "policy_rejected", "550")], round_=2) == ["b", "c"]
    assert left([Try(A.id, 1, "policy_rejected", "550", stale=True)], round_=2) == ["a", "b", "c"]


def test_a_resend_goes_through_the_provider_that_may_have_it_and_no_other() -> None:
    assert left([Try(A.id, 1, "provider_down", "421"), Try(B.id, 1, "uncertain", "timeout")], resend=True) == ["b"]
