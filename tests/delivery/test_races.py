"""The races of the state machine, each closed: two workers, a lost lease, a commit we did not hear of, late proof."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from janus_mail.delivery import control
from janus_mail.delivery.bell import Bell
from janus_mail.delivery.claim import Claimer
from janus_mail.delivery.hold import Hold, LeaseLost
from janus_mail.delivery.patrol import Patrol
from janus_mail.delivery.record import Begin, Finish, LetGo, Recorder
from janus_mail.models.states import State, WaitingFor
from janus_mail.providers.outcomes import Outcome
from tests.delivery.conftest import Workshop


class Hand:
    """One worker's claimer, recorder and patrol, moved step by step."""

    def __init__(self, shop: Workshop, *, lease_s: float = 60.0, grace_s: float = 30.0) -> None:
        self.id = uuid7()
        self.claimer = Claimer(shop.database, self.id, lease_s=lease_s)
        self.recorder = Recorder(shop.database, self.id, lease_s=lease_s, grace_s=grace_s)
        settings = shop.settings.model_copy(update={"lease_seconds": lease_s, "grace_seconds": grace_s})
        self.patrol = Patrol(settings, shop.database, self.id, Bell(None, horizon_s=900), lambda: None)
        self.provider_id = uuid7()

    async def claim(self) -> Hold:
        (hold,) = await self.claimer.claim(10)
        return hold

    def begin_of(self, hold: Hold) -> Begin:
        return Begin(hold, uuid7(), self.provider_id, "ses", "Amazon SES", "<1@x>", datetime.now(UTC))

    async def begin(self, hold: Hold) -> uuid.UUID:
        begin = self.begin_of(hold)
        assert await self.recorder.begin(begin)
        return begin.attempt_id

    def finish_of(self, hold: Hold, attempt_id: uuid.UUID, **changes: Any) -> Finish:
        given: dict[str, Any] = {
            "hold": hold, "attempt_id": attempt_id, "opened": True, "provider_id": self.provider_id,
            "provider_kind": "ses", "provider_name": "Amazon SES", "outcome": Outcome.ACCEPTED, "code": "250",
            "response": "ok", "dispatched_ms": 1, "latency_ms": 2, "next_state": State.SENT, **changes,
        }  # fmt: skip
        return Finish(**given)


@pytest.fixture
def hand(shop: Workshop) -> Hand:
    return Hand(shop)


async def end_leases(shop: Workshop) -> None:
    await shop.database.pool.execute(
        "UPDATE messages SET lease_expires_at = clock_timestamp() WHERE lease_expires_at IS NOT NULL"
    )


async def test_two_workers_never_claim_the_same_message(shop: Workshop) -> None:
    await shop.event(*(f"r{n}@example.org" for n in range(200)))
    claimed = await asyncio.gather(*(Hand(shop).claimer.claim(7) for _ in range(20)))
    ids = [hold.id for holds in claimed for hold in holds]
    assert len(ids) == len(set(ids)) == 140


async def test_a_claim_raises_the_fence(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    first = await hand.claim()
    await hand.recorder.let_go(LetGo(first, State.SCHEDULED))
    second = await hand.claim()
    assert second.fence > first.fence
    assert (await shop.message(event_id))["leased_by"] == hand.id


async def test_a_canceled_message_cannot_begin(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    hold = await hand.claim()
    async with shop.database.transaction() as connection:
        assert await control.cancel(connection, shop.workspace_id, event_id) == control.Canceled(1, 0)
    assert not await hand.recorder.begin(hand.begin_of(hold))
    assert await shop.attempts(event_id) == []
    assert (await shop.event_row(event_id))["status"] == "canceled"


async def test_a_changed_message_cannot_begin_in_its_old_form(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    hold = await hand.claim()
    async with shop.database.transaction() as connection:
        await control.change(connection, shop.workspace_id, event_id)
    assert not await hand.recorder.begin(hand.begin_of(hold))
    assert (await hand.claim()).fence > hold.fence


async def test_what_is_sending_can_neither_be_changed_nor_canceled(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    await hand.begin(await hand.claim())
    async with shop.database.transaction() as connection:
        assert await control.cancel(connection, shop.workspace_id, event_id) == control.Canceled(0, 1)
        with pytest.raises(control.TooLate):
            await control.change(connection, shop.workspace_id, event_id)


async def test_a_resend_that_waits_may_have_left_so_it_is_neither_changed_nor_canceled(
    shop: Workshop, hand: Hand
) -> None:
    event_id = await shop.event()
    await shop.database.pool.execute("UPDATE messages SET resends = 1")
    async with shop.database.transaction() as connection:
        with pytest.raises(control.TooLate):
            await control.change(connection, shop.workspace_id, event_id)
        assert await control.cancel(connection, shop.workspace_id, event_id) == control.Canceled(0, 1)
    assert (await shop.message(event_id))["state"] == "parked"
    assert await hand.claimer.claim(10) == []


async def test_an_event_of_which_nothing_is_to_leave_can_no_longer_change(shop: Workshop) -> None:
    event_id = await shop.event()
    async with shop.database.transaction() as connection:
        await control.cancel(connection, shop.workspace_id, event_id)
        with pytest.raises(control.TooLate):
            await control.change(connection, shop.workspace_id, event_id)


async def test_begin_fails_when_the_lease_is_over_by_the_databases_clock(shop: Workshop, hand: Hand) -> None:
    await shop.event()
    hold = await hand.claim()
    await end_leases(shop)
    assert not await hand.recorder.begin(hand.begin_of(hold))


async def test_begin_fails_once_the_mail_has_expired(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event(expires_in_s=60)
    hold = await hand.claim()
    await shop.database.pool.execute("UPDATE messages SET expires_at = clock_timestamp() WHERE event_id = $1", event_id)
    assert not await hand.recorder.begin(hand.begin_of(hold))


async def test_the_workers_own_clock_ends_a_hold_too(shop: Workshop) -> None:
    hand = Hand(shop, lease_s=0.05)
    await shop.event()
    hold = await hand.claim()
    hold.check()
    await asyncio.sleep(0.06)
    with pytest.raises(LeaseLost):
        hold.check()


async def test_begin_repeated_after_an_unheard_commit_has_succeeded(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    begin = hand.begin_of(await hand.claim())
    assert await hand.recorder.begin(begin)
    assert await hand.recorder.begin(begin)
    assert len(await shop.attempts(event_id)) == 1
    assert (await shop.message(event_id))["attempt_count"] == 1


async def test_finish_repeated_after_an_unheard_commit_changes_nothing(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    hold = await hand.claim()
    finish = hand.finish_of(hold, await hand.begin(hold))
    assert await hand.recorder.finish(finish)
    before = (await shop.message(event_id), await shop.attempts(event_id))
    assert await hand.recorder.finish(finish)
    assert (await shop.message(event_id), await shop.attempts(event_id)) == before


async def test_a_try_that_was_never_begun_is_noted_once(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    hold = await hand.claim()
    down = hand.finish_of(hold, uuid7(), opened=False, outcome=Outcome.PROVIDER_DOWN, code="connection_refused",
                          response="", dispatched_ms=None, next_state=State.LEASED)  # fmt: skip
    assert await hand.recorder.finish(down)
    assert await hand.recorder.finish(down)
    await hand.begin(hold)
    assert [(a["number"], a["outcome"]) for a in await shop.attempts(event_id)] == [(1, "provider_down"), (2, None)]


async def test_a_lapsed_lease_is_scheduled_again_when_nothing_had_left(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    await hand.claim()
    await end_leases(shop)
    await hand.patrol.tick()
    assert (await shop.message(event_id))["state"] == "scheduled"


async def test_a_lapsed_sending_message_is_uncertain_and_its_attempt_closed(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    await hand.begin(await hand.claim())
    await end_leases(shop)
    await hand.patrol.tick()
    message, (attempt,) = await shop.message(event_id), await shop.attempts(event_id)
    assert (message["state"], attempt["outcome"], attempt["code"]) == ("uncertain", "uncertain", "lease_expired")
    await hand.patrol.tick()  # the grace of 30 s is not over
    assert (await shop.message(event_id))["state"] == "uncertain"


async def test_a_stale_worker_overwrites_nothing(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    hold = await hand.claim()
    attempt_id = await hand.begin(hold)
    await end_leases(shop)
    await hand.patrol.tick()
    refused = hand.finish_of(hold, attempt_id, outcome=Outcome.RECIPIENT_REJECTED, code="550", next_state=State.FAILED)
    assert not await hand.recorder.finish(refused)
    assert (await shop.message(event_id))["state"] == "uncertain"


@pytest.mark.parametrize(("state", "resends"), [("uncertain", 0), ("parked", 0), ("scheduled", 1), ("leased", 1)])
async def test_a_late_250_settles_the_doubt(shop: Workshop, hand: Hand, state: str, resends: int) -> None:
    event_id = await shop.event()
    hold = await hand.claim()
    finish = hand.finish_of(hold, await hand.begin(hold))
    await end_leases(shop)
    await hand.patrol.tick()
    await shop.database.pool.execute("UPDATE messages SET state = $1, resends = $2", state, resends)
    assert not await hand.recorder.finish(finish)
    assert await hand.recorder.late_proof(finish)
    message, (attempt,) = await shop.message(event_id), await shop.attempts(event_id)
    assert message["state"] == "sent"
    assert message["fence"] > hold.fence
    assert (attempt["outcome"], attempt["evidence"]) == ("uncertain", "late reply: 250 ok")


async def test_late_proof_leaves_a_message_alone_that_went_on(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    hold = await hand.claim()
    finish = hand.finish_of(hold, await hand.begin(hold))
    await end_leases(shop)
    await hand.patrol.tick()
    await shop.database.pool.execute("UPDATE messages SET state = 'canceled'")
    assert not await hand.recorder.late_proof(finish)
    assert (await shop.message(event_id))["state"] == "canceled"
    assert (await shop.attempts(event_id))[0]["evidence"] is not None


async def test_an_uncertain_mail_that_has_expired_is_parked_not_sent_again(shop: Workshop) -> None:
    hand = Hand(shop, grace_s=0)
    event_id = await shop.event(expires_in_s=60)
    await hand.begin(await hand.claim())
    await shop.database.pool.execute("UPDATE messages SET expires_at = clock_timestamp()")
    await end_leases(shop)
    await hand.patrol.tick()
    await hand.patrol.tick()
    assert (await shop.message(event_id))["state"] == "parked"


async def test_a_worker_whose_end_was_seen_holds_nothing(shop: Workshop, hand: Hand) -> None:
    leased, sending = await shop.event("a@example.org"), await shop.event("b@example.org")
    first, second = await hand.claimer.claim(10)
    await hand.begin(second if second.event_id == sending else first)
    await Hand(shop).patrol.succeed(hand.id)
    assert (await shop.message(leased))["state"] == "scheduled"
    assert (await shop.message(sending))["state"] == "uncertain"


async def test_one_patrol_at_a_time(shop: Workshop, hand: Hand) -> None:
    other = Hand(shop)
    event_id = await shop.event()
    await hand.patrol.tick()
    await hand.claim()
    await end_leases(shop)
    await other.patrol.tick()  # has no duty
    assert (await shop.message(event_id))["state"] == "leased"
    await hand.patrol.leave()
    await other.patrol.tick()
    assert (await shop.message(event_id))["state"] == "scheduled"


async def test_an_odd_reply_costs_no_one_their_record(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event("a@example.org", "b@example.org", "c@example.org")
    holds = await hand.claimer.claim(10)
    attempts = [await hand.begin(hold) for hold in holds]
    odd = ["250 \0 nul", "lone \udcff surrogate", "x" * 10_000]
    finishes = [hand.finish_of(h, a, response=r) for h, a, r in zip(holds, attempts, odd, strict=True)]
    assert list(await asyncio.gather(*map(hand.recorder.finish, finishes))) == [True] * 3
    stored = {attempt["response"] for attempt in await shop.attempts(event_id)}
    assert stored == {"250  nul", "lone ? surrogate", "x" * 2000}


async def test_waiting_does_not_move_the_due_time(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    before = await shop.message(event_id)
    hold = await hand.claim()
    await hand.recorder.let_go(LetGo(hold, State.SCHEDULED, wait_s=60, waiting_for=WaitingFor.CIRCUIT))
    after = await shop.message(event_id)
    assert after["due_at"] == before["due_at"]
    assert 59 < (after["next_try_at"] - datetime.now(UTC)).total_seconds() < 61
    assert after["give_up_at"] == before["give_up_at"]
    await shop.database.pool.execute(
        "UPDATE messages SET put_off_at = put_off_at - interval '60 s', next_try_at = due_at"
    )
    await hand.claim()
    gained = ((await shop.message(event_id))["give_up_at"] - before["give_up_at"]).total_seconds()
    assert 60 <= gained < 62  # no provider was eligible meanwhile


async def test_waiting_ends_at_the_expiry(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event(expires_in_s=5)
    await hand.recorder.let_go(LetGo(await hand.claim(), State.SCHEDULED, wait_s=60, waiting_for=WaitingFor.RETRY))
    message = await shop.message(event_id)
    assert message["next_try_at"] == message["expires_at"]


async def test_a_person_settles_a_parked_message(shop: Workshop) -> None:
    for outcome, state in (("sent", "sent"), ("failed", "failed"), ("resend", "scheduled")):
        event_id = await shop.event()
        message = await shop.message(event_id)
        async with shop.database.transaction() as connection:
            assert await control.resolve(connection, shop.workspace_id, message["id"], outcome) is None  # type: ignore[arg-type]
            await connection.execute("UPDATE messages SET state = 'parked' WHERE event_id = $1", event_id)
            assert await control.resolve(connection, shop.workspace_id, message["id"], outcome) == event_id  # type: ignore[arg-type]
        assert (await shop.message(event_id))["state"] == state


async def test_retry_takes_up_what_failed_in_a_new_round(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event("a@example.org", "b@example.org")
    await shop.database.pool.execute(
        "UPDATE messages SET state = CASE recipient WHEN 'a@example.org' THEN 'failed' ELSE 'sent' END"
    )
    async with shop.database.transaction() as connection:
        assert await control.retry(connection, shop.workspace_id, event_id) == 1
    failed, sent = await shop.messages(event_id)
    assert (failed["state"], failed["round"], sent["state"]) == ("scheduled", 2, "sent")


async def test_another_workspaces_event_is_out_of_reach(shop: Workshop, hand: Hand) -> None:
    event_id = await shop.event()
    async with shop.database.transaction() as connection:
        assert (await control.cancel(connection, uuid7(), event_id)).canceled == 0
        assert await control.send_now(connection, uuid7(), event_id) == 0
