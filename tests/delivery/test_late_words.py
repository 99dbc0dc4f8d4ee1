"""What comes late counts: a cancel while the mail is leaving, an answer after the lease, a commit nobody heard of."""

import uuid

import pytest

from janus_mail.delivery import control
from janus_mail.delivery.recipients import RecipientResult
from janus_mail.models.states import RecipientState, State
from janus_mail.providers.outcomes import Outcome
from janus_mail.telemetry.boot_clock import boot_clock_s
from tests.delivery.conftest import Workshop
from tests.delivery.test_races import Hand, end_leases

GROUP = {"to": [{"email": "ann@example.org"}, {"email": "ben@example.org"}]}


@pytest.fixture
def hand(shop: Workshop) -> Hand:
    return Hand(shop)


async def cancel(shop: Workshop, event_id: uuid.UUID) -> control.Canceled:
    async with shop.database.transaction() as connection:
        return await control.cancel(connection, shop.workspace_id, event_id)


@pytest.mark.parametrize("next_state", [State.SCHEDULED, State.LEASED])
async def test_what_is_canceled_while_it_is_leaving_is_not_tried_again_when_it_is_refused(
    shop: Workshop, hand: Hand, next_state: State
) -> None:
    event_id = await shop.event()
    hold = await hand.claim()
    attempt_id = await hand.begin(hold)
    assert await cancel(shop, event_id) == control.Canceled(canceled=0, too_late=1)
    refused = hand.finish_of(hold, attempt_id, outcome=Outcome.PROVIDER_DOWN, code="451", next_state=next_state)
    assert await hand.recorder.finish(refused)
    message = await shop.message(event_id)
    assert (message["state"], message["leased_by"], message["waiting_for"]) == ("canceled", None, None)


async def test_what_is_canceled_while_it_is_leaving_is_sent_when_it_was_taken(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    hold = await hand.claim()
    attempt_id = await hand.begin(hold)
    await cancel(shop, event_id)
    assert await hand.recorder.finish(hand.finish_of(hold, attempt_id))
    assert (await shop.message(event_id))["state"] == "sent"


async def test_what_is_canceled_in_doubt_is_parked_and_not_sent_once_more(shop: Workshop) -> None:
    hand = Hand(shop, grace_s=0)
    event_id = await shop.event()
    await hand.begin(await hand.claim())
    await end_leases(shop)
    await hand.patrol.tick()
    await cancel(shop, event_id)
    await hand.patrol.tick()
    assert (await shop.message(event_id))["state"] == "parked"


async def test_a_late_250_for_some_of_a_group_leaves_the_others_to_be_tried(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event("ann@example.org", send_as="group", group_recipients=GROUP)
    hold = await hand.claim()
    answers = (
        RecipientResult("ann@example.org", "to", RecipientState.SENT, "250", "Ok"),
        RecipientResult("ben@example.org", "to", RecipientState.DEFERRED, "450", "Later"),
    )
    finish = hand.finish_of(hold, await hand.begin(hold), recipients=answers)
    await end_leases(shop)
    await hand.patrol.tick()
    assert not await hand.recorder.finish(finish)
    assert await hand.recorder.late_proof(finish)
    message = await shop.message(event_id)
    assert (message["state"], message["resends"]) == ("scheduled", 0)
    assert message["sent_at"] is not None
    again = await hand.claim()
    assert (again.reached, again.resolved) == (True, {"ann@example.org"})


async def test_begin_repeated_after_an_unheard_commit_holds_no_longer_than_the_first_did(shop: Workshop) -> None:
    hand = Hand(shop, lease_s=60)
    await shop.event()
    hold = await hand.claim()
    begin = hand.begin_of(hold)
    assert await hand.recorder.begin(begin)
    await shop.database.pool.execute("UPDATE messages SET lease_expires_at = clock_timestamp() + interval '5 s'")
    hold.deadline_s = 0.0
    assert await hand.recorder.begin(begin)  # the same again
    assert hold.deadline_s - boot_clock_s() < 5.5
    await end_leases(shop)
    assert not await hand.recorder.begin(begin)


async def test_many_that_wait_are_woken_in_several_transactions(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "AT_ONCE", 10)
    event_id = await shop.event(*(f"r{n}@example.org" for n in range(25)))
    await shop.database.pool.execute(
        "UPDATE messages SET waiting_for = 'circuit', next_try_at = clock_timestamp() + interval '1 hour'"
    )
    assert await control.try_all_waiting_now(shop.database, shop.workspace_id) == 25
    assert {message["waiting_for"] for message in await shop.messages(event_id)} == {None}


async def test_what_its_recipients_server_put_off_is_not_hurried(shop: Workshop) -> None:
    event_id = await shop.event()
    await shop.database.pool.execute(
        "UPDATE messages SET waiting_for = 'retry', last_error = 'recipient_deferred: 450 4.2.0 Greylisted'"
    )
    assert await control.try_all_waiting_now(shop.database, shop.workspace_id) == 0
    assert (await shop.message(event_id))["waiting_for"] == "retry"
