"""A try that began while it waited for a connection."""

import asyncio
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from janus_mail.availability.provider_book import ConfiguredProvider, ProviderBook
from janus_mail.delivery.attempt import Attempt
from janus_mail.delivery.decide import Verdict
from janus_mail.delivery.hold import Hold, LeaseLost
from janus_mail.delivery.letters import Outgoing
from janus_mail.models.states import State, WaitingFor
from janus_mail.providers.contract import Accepted, Adapter, Dispatch, Fields, Mail
from janus_mail.providers.outcomes import ProviderDown
from tests.delivery.conftest import Workshop, working
from tests.delivery.test_races import Hand


@pytest.fixture
def hand(shop: Workshop) -> Hand:
    return Hand(shop)


def attempt_of(shop: Workshop, hand: Hand, hold: Hold) -> Attempt:
    def fields() -> Fields:
        raise AssertionError("nobody asks for them")

    content = b"Subject: Hi\r\n\r\nHi\r\n"
    to = (hold.recipient,)
    mail = Mail("janus@example.com", to, lambda: content, len(content), False, "<1@x>", "key", fields)
    provider = ConfiguredProvider(
        id=hand.provider_id, workspace_id=shop.workspace_id, kind="smtp", name="relay", enabled=True, removed=False,
        sandbox=False, from_email=None, from_name=None, sender_domains=None, rate_per_second=None, daily_quota=None,
        adapter=None,
    )  # fmt: skip
    return Attempt(hand.recorder, hold, provider, Outgoing(mail, "Hi", datetime.now(UTC)), patience_s=None)


async def test_what_began_ahead_begins_once(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    attempt = attempt_of(shop, hand, await hand.claim())
    await attempt.begin_ahead()
    await attempt.before_dispatch()
    (row,) = await shop.attempts(event_id)
    assert (row["id"], row["number"], row["finished_at"]) == (attempt.id, 1, None)
    assert (await shop.message(event_id))["state"] == "sending"


async def test_what_began_ahead_and_never_left_is_no_doubt(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    hold = await hand.claim()
    attempt = attempt_of(shop, hand, hold)
    await attempt.begin_ahead()
    verdict = Verdict(State.SCHEDULED, 5.0, WaitingFor.RETRY, next_round=True)
    assert await hand.recorder.finish(attempt.failed(ProviderDown("disconnected"), verdict, ()))
    (row,) = await shop.attempts(event_id)
    assert (row["outcome"], row["code"], row["dispatched_at"]) == ("provider_down", "disconnected", None)
    assert (await shop.message(event_id))["state"] == "scheduled"


async def test_before_the_body_the_lease_of_what_began_ahead_is_looked_at_again(shop: Workshop, hand: Hand) -> None:
    await shop.event()
    hold = await hand.claim()
    attempt = attempt_of(shop, hand, hold)
    await attempt.begin_ahead()
    hold.lose()
    with pytest.raises(LeaseLost):
        await attempt.before_dispatch()


async def test_a_mail_that_expires_begins_at_the_last_moment_only(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event(expires_in_s=60)
    attempt = attempt_of(shop, hand, await hand.claim())
    await attempt.begin_ahead()
    assert await shop.attempts(event_id) == []
    await attempt.before_dispatch()
    assert len(await shop.attempts(event_id)) == 1


class Waiting(Adapter):
    """Begins ahead, and then its connection never comes."""

    async def send(self, mail: Mail, dispatch: Dispatch) -> Accepted:
        await dispatch.begin_ahead()
        await asyncio.sleep(3600)
        raise AssertionError("nobody waits so long")

    async def verify(self) -> None:
        """Offers no way to ask."""

    async def close(self) -> None:
        """Holds nothing."""


async def test_a_worker_that_stops_gives_back_what_had_only_begun_ahead(
    shop: Workshop, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProviderBook, "_adapter", lambda _self, _row: (Waiting(), None))
    await shop.provider()
    event_id = await shop.event(on_uncertain="park")
    settings = shop.settings.model_copy(update={"shutdown_seconds": 0.1})
    async with working(settings, shop.database, redis):
        await shop.until(event_id, "sending")
    message = await shop.message(event_id)
    assert (message["state"], message["round"], message["leased_by"]) == ("scheduled", 2, None)
    assert await shop.story(event_id) == [("provider 1", "provider_down")]
    (row,) = await shop.attempts(event_id)
    assert (row["code"], row["dispatched_at"]) == ("taken_back", None)
