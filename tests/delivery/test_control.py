"""What people ask of messages that wait: a pause that holds, a group that some have, what waits for a provider."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from janus_mail.delivery import control
from janus_mail.delivery.record import LetGo
from janus_mail.models.states import State, WaitingFor
from tests.delivery.conftest import Workshop, working
from tests.delivery.test_races import Hand


@pytest.fixture
def hand(shop: Workshop) -> Hand:
    return Hand(shop)


async def set_message(shop: Workshop, event_id: uuid.UUID, **columns: object) -> None:
    sets = ", ".join(f"{name} = ${n}" for n, name in enumerate(columns, 2))
    await shop.database.pool.execute(f"UPDATE messages SET {sets} WHERE event_id = $1", event_id, *columns.values())


async def half_sent(shop: Workshop, state: str, **columns: object) -> uuid.UUID:
    """A group that some of its recipients have."""
    event_id = await shop.event(send_as="group")
    await set_message(shop, event_id, state=state, sent_at=datetime.now(UTC), **columns)
    return event_id


async def paused_at(shop: Workshop) -> datetime | None:
    at: datetime | None = await shop.database.pool.fetchval(
        "SELECT paused_at FROM workspaces WHERE id = $1", shop.workspace_id
    )
    return at


async def test_a_pause_takes_back_what_is_held_and_nothing_of_it_begins(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    hold = await hand.claim()
    async with shop.database.transaction() as connection:
        assert await control.pause(connection, shop.workspace_id) == 1
    message = await shop.message(event_id)
    assert (message["state"], message["leased_by"], message["lease_expires_at"]) == ("scheduled", None, None)
    assert message["fence"] == hold.fence + 1
    assert not await hand.recorder.begin(hand.begin_of(hold))
    assert not await hand.recorder.let_go(LetGo(hold, State.SCHEDULED))
    assert (await shop.message(event_id))["fence"] == hold.fence + 1


async def test_what_is_being_sent_goes_through_though_its_workspace_is_paused(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    hold = await hand.claim()
    attempt_id = await hand.begin(hold)
    async with shop.database.transaction() as connection:
        assert await control.pause(connection, shop.workspace_id) == 0
        assert await control.waiting(connection, shop.workspace_id) == control.Waiting(0, 0, 1, 0)
    assert await hand.recorder.finish(hand.finish_of(hold, attempt_id))
    assert (await shop.message(event_id))["state"] == "sent"


async def test_pausing_twice_keeps_the_first_time_and_takes_back_what_was_claimed_in_between(
    shop: Workshop, hand: Hand
) -> None:
    await shop.event()
    async with shop.database.transaction() as connection:
        await control.pause(connection, shop.workspace_id)
    first = await paused_at(shop)
    await set_message(shop, (await shop.event()), state="leased", leased_by=hand.id, lease_expires_at=datetime.now(UTC))
    async with shop.database.transaction() as connection:
        assert await control.pause(connection, shop.workspace_id) == 1
    assert await paused_at(shop) == first is not None


async def test_a_pause_leaves_other_workspaces_alone(shop: Workshop, hand: Hand) -> None:
    await shop.event()
    hold = await hand.claim()
    async with shop.database.transaction() as connection:
        assert await control.pause(connection, uuid.uuid4()) == 0
    assert await hand.recorder.begin(hand.begin_of(hold))
    assert await paused_at(shop) is None


async def test_resuming_says_how_many_are_due(shop: Workshop) -> None:
    await shop.event("a@example.org", "b@example.org")
    await shop.event(due_in_s=60)
    async with shop.database.transaction() as connection:
        await control.pause(connection, shop.workspace_id)
        assert await control.waiting(connection, shop.workspace_id) == control.Waiting(3, 2, 0, 0)
        assert await control.resume(connection, shop.workspace_id) == 2
        assert await control.resume(connection, shop.workspace_id) == 2
    assert await paused_at(shop) is None


async def test_a_long_pause_does_not_use_up_the_time_in_which_a_message_is_retried(shop: Workshop) -> None:
    now = datetime.now(UTC)
    waited = await shop.event(due_in_s=-90_000)
    fresh = await shop.event()
    later = await shop.event(due_in_s=60, give_up_in_s=100)
    given = {event_id: (await shop.message(event_id))["give_up_at"] for event_id in (fresh, later)}
    async with shop.database.transaction() as connection:
        await control.pause(connection, shop.workspace_id)
        await control.resume(connection, shop.workspace_id, give_up_s=86_400)
    assert (await shop.message(waited))["give_up_at"] >= now + timedelta(seconds=86_400)
    assert {event_id: (await shop.message(event_id))["give_up_at"] for event_id in given} == given


async def test_a_paused_workspace_sends_nothing_until_it_is_resumed(shop: Workshop, redis: Redis) -> None:
    await shop.provider()
    async with shop.database.transaction() as connection:
        await control.pause(connection, shop.workspace_id)
    event_id = await shop.event()
    other = uuid.uuid4()
    await shop.database.pool.execute(
        "INSERT INTO workspaces (id, handle, name, from_email) VALUES ($1, 'other', 'other', 'x@example.org')", other
    )
    proof = Workshop(shop.database, other, shop.settings)
    await proof.provider()
    async with working(shop.settings, shop.database, redis):
        await proof.until(await proof.event(), "sent")  # the worker works, and has passed ours by
        assert (await shop.message(event_id))["state"] == "scheduled"
        async with shop.database.transaction() as connection:
            assert await control.resume(connection, shop.workspace_id) == 1
        await shop.until(event_id, "sent")


@pytest.mark.parametrize("state", ["scheduled", "leased"])
async def test_canceling_a_group_that_some_have_ends_it_as_sent(shop: Workshop, state: str) -> None:
    event_id = await half_sent(shop, state)
    sent_at = (await shop.message(event_id))["sent_at"]
    async with shop.database.transaction() as connection:
        assert await control.would_cancel(connection, shop.workspace_id, [event_id]) == control.Canceled(0, 1)
        assert await control.cancel(connection, shop.workspace_id, event_id) == control.Canceled(0, 1)
    message = await shop.message(event_id)
    assert (message["state"], message["sent_at"]) == ("sent", sent_at)
    assert (await shop.event_row(event_id))["status"] == "sent"


async def test_a_resend_of_a_group_that_some_have_is_parked_when_it_is_canceled(shop: Workshop) -> None:
    event_id = await half_sent(shop, "scheduled", resends=1)
    async with shop.database.transaction() as connection:
        assert await control.cancel(connection, shop.workspace_id, event_id) == control.Canceled(0, 1)
    assert (await shop.message(event_id))["state"] == "parked"


@pytest.mark.parametrize("state", ["scheduled", "leased"])
async def test_a_group_that_some_have_can_no_longer_change(shop: Workshop, state: str) -> None:
    event_id = await half_sent(shop, state)
    async with shop.database.transaction() as connection:
        with pytest.raises(control.TooLate):
            await control.change(connection, shop.workspace_id, event_id)


async def test_giving_up_the_rest_of_a_parked_group_that_some_have_ends_it_as_sent(shop: Workshop) -> None:
    event_id = await half_sent(shop, "parked")
    message = await shop.message(event_id)
    async with shop.database.transaction() as connection:
        assert await control.resolve(connection, shop.workspace_id, message["id"], "failed") == event_id
    assert (await shop.message(event_id))["state"] == "sent"


@pytest.mark.parametrize(("state", "after"), [("failed", "deferred"), ("parked", "failed")])
async def test_retrying_a_failed_group_asks_for_all_of_it_and_a_parked_one_only_for_what_is_open(
    shop: Workshop, state: str, after: str
) -> None:
    event_id = await shop.event(send_as="group")
    await set_message(shop, event_id, state=state)
    await shop.database.pool.execute(
        """INSERT INTO message_recipients (message_id, address, workspace_id, role, state, code, response)
           VALUES ($1, 'ann@example.org', $2, 'to', 'failed', '550 5.1.1', 'No such user')""",
        (await shop.message(event_id))["id"],
        shop.workspace_id,
    )
    async with shop.database.transaction() as connection:
        assert await control.retry(connection, shop.workspace_id, event_id) == 1
    assert await shop.database.pool.fetchval("SELECT state FROM message_recipients") == after


async def test_canceling_several_events_leaves_those_that_were_not_named(shop: Workshop) -> None:
    events = [await shop.event(due_in_s=60) for _ in range(3)]
    async with shop.database.transaction() as connection:
        assert await control.would_cancel(connection, shop.workspace_id, events[:2]) == control.Canceled(2, 0)
        assert await control.cancel_events(connection, shop.workspace_id, events[:2]) == control.Canceled(2, 0)
        assert await control.cancel_events(connection, uuid.uuid4(), events) == control.Canceled(0, 0)
    assert [(await shop.message(e))["state"] for e in events] == ["canceled", "canceled", "scheduled"]
    assert [(await shop.event_row(e))["status"] for e in events] == ["canceled", "canceled", "pending"]


@pytest.mark.parametrize("why", [WaitingFor.CIRCUIT, WaitingFor.RETRY, WaitingFor.RATE, WaitingFor.QUOTA])
async def test_what_waits_for_a_provider_is_due_at_once_when_one_takes_mail_again(
    shop: Workshop, why: WaitingFor
) -> None:
    waits, later = await shop.event(due_in_s=60), await shop.event(due_in_s=60)
    await set_message(shop, waits, waiting_for=why)
    async with shop.database.transaction() as connection:
        assert await control.try_waiting_now(connection, shop.workspace_id) == 1
    message = await shop.message(waits)
    assert (message["next_try_at"] <= datetime.now(UTC), message["waiting_for"]) == (True, None)
    assert (await shop.message(later))["next_try_at"] > datetime.now(UTC)


async def test_waking_what_waits_does_not_wait_for_what_another_holds(shop: Workshop) -> None:
    waits, held = await shop.event(due_in_s=60), await shop.event(due_in_s=60)
    for event_id in (waits, held):
        await set_message(shop, event_id, waiting_for=WaitingFor.QUOTA)
    async with shop.database.transaction() as other, shop.database.transaction() as connection:
        await other.execute("SELECT FROM messages WHERE event_id = $1 FOR UPDATE", held)
        assert await control.try_waiting_now(connection, shop.workspace_id) == 1
