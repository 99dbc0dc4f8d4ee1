"""What is told of one of a group proves nothing of the others: who has the mail is not mailed again, and copies end."""

import asyncio
import uuid
from typing import Any

import pytest
from redis.asyncio import Redis

from janus_mail.delivery.recipients import RecipientResult
from janus_mail.models.states import RecipientState, State
from janus_mail.providers.outcomes import Outcome
from tests.delivery.conftest import Workshop, working
from tests.delivery.test_races import Hand, end_leases
from tests.feedback.bounces import POSTFIX
from tests.feedback.conftest import Service, event, message_sent, status_of
from tests.feedback.test_evidence import GROUP, decided


async def half_taken(shop: Workshop, service: Service, **columns: Any) -> tuple[Hand, uuid.UUID]:
    """A group of which Ann was sent the mail and Ben put off, due again; who moves it on, and the message's id."""
    hand = Hand(shop, grace_s=0)
    hand.provider_id = service.provider_id
    await shop.event("ann@example.org", send_as="group", group_recipients=GROUP, recipients_count=2, **columns)
    hold = await hand.claim()
    answers = (
        RecipientResult("ann@example.org", "to", RecipientState.SENT, "250", "Ok"),
        RecipientResult("ben@example.org", "to", RecipientState.DEFERRED, "450", "Later"),
    )
    first = hand.finish_of(hold, await hand.begin(hold), recipients=answers, next_state=State.SCHEDULED)
    hold.reached = True
    assert await hand.recorder.finish(first)
    return hand, hold.id


async def cut_off(hand: Hand) -> None:
    """The next try of what is due leaves and is not answered."""
    hold = await hand.claim()
    cut = hand.finish_of(
        hold, await hand.begin(hold), outcome=Outcome.UNCERTAIN, code="timeout", next_state=State.UNCERTAIN
    )
    assert await hand.recorder.finish(cut)


async def members(shop: Workshop) -> dict[str, tuple[str, str, str | None]]:
    rows = await shop.database.pool.fetch("SELECT address, state, code, delivery_status FROM message_recipients")
    return {row["address"].partition("@")[0]: (row["state"], row["code"], row["delivery_status"]) for row in rows}


@pytest.mark.parametrize("when", ["before", "while it leaves", "after"])
@pytest.mark.parametrize(("policy", "tries"), [("park", 2), ("resend", 3)])
async def test_a_word_about_one_who_had_the_mail_settles_no_doubt_about_another(
    shop: Workshop, sendgrid: Service, when: str, policy: str, tries: int
) -> None:
    hand, message_id = await half_taken(shop, sendgrid, on_uncertain=policy)
    anns = event("delivered", message_id, email="ann@example.org")
    if when == "before":
        await sendgrid.tell(anns)
    if when == "while it leaves":
        hold = await hand.claim()
        attempt_id = await hand.begin(hold)
        await sendgrid.tell(anns)
        cut = hand.finish_of(hold, attempt_id, outcome=Outcome.UNCERTAIN, code="x", next_state=State.UNCERTAIN)
        assert await hand.recorder.finish(cut)
    else:
        await cut_off(hand)
    if when == "after":
        await sendgrid.tell(anns)
    await decided(shop, hand)
    if policy == "resend":
        await cut_off(hand)
        await decided(shop, hand)
    assert await status_of(shop, message_id) == ("parked", "delivered")
    assert await shop.database.pool.fetchval("SELECT count(*) FROM attempts") == tries


async def test_proof_of_one_doubt_is_none_of_the_next_and_its_second_copy_is_not_forgotten(
    shop: Workshop, sendgrid: Service
) -> None:
    hand, message_id = await half_taken(shop, sendgrid)  # on_uncertain is resend
    await shop.database.pool.execute(
        "UPDATE events SET group_recipients = $1", {**GROUP, "cc": [{"email": "cy@x.org"}]}
    )
    await shop.database.pool.execute("UPDATE message_recipients SET code = 'uncertain' WHERE state = 'deferred'")
    await cut_off(hand)
    await decided(shop, hand)  # once more
    hold = await hand.claim()
    put_off = RecipientResult("ben@example.org", "to", RecipientState.DEFERRED, "450", "Later")
    cut = hand.finish_of(
        hold, await hand.begin(hold), outcome=Outcome.UNCERTAIN, code="x", next_state=State.UNCERTAIN,
        recipients=(put_off,),
    )  # fmt: skip
    assert await hand.recorder.finish(cut)
    await sendgrid.tell(event("delivered", message_id, email="cy@x.org"))
    row = await shop.database.pool.fetchrow("SELECT state, resends FROM messages")
    assert row is not None
    assert tuple(row) == ("scheduled", 1)  # for Ben, who was put off
    await sendgrid.tell(event("open", message_id, email="cy@x.org"))
    await cut_off(hand)
    await decided(shop, hand)
    assert (await status_of(shop, message_id))[0] == "parked"


async def test_who_was_put_off_and_is_told_to_have_it_is_not_mailed_again(shop: Workshop, sendgrid: Service) -> None:
    hand, message_id = await half_taken(shop, sendgrid)
    await cut_off(hand)
    assert (await members(shop))["ben"] == ("deferred", "uncertain", None)
    await sendgrid.tell(event("delivered", message_id, email="ben@example.org"))
    assert await status_of(shop, message_id) == ("sent", "delivered")
    assert (await members(shop))["ben"][::2] == ("sent", "delivered")
    assert await hand.claimer.claim(5) == []


async def test_who_was_put_off_and_left_with_one_that_is_told_to_have_it_was_taken_too(
    shop: Workshop, sendgrid: Service
) -> None:
    more = {"to": [*GROUP["to"], {"email": "cy@example.org", "name": None}]}
    hand, message_id = await half_taken(shop, sendgrid)
    await shop.database.pool.execute("UPDATE events SET group_recipients = $1", more)
    await shop.database.pool.execute(
        """INSERT INTO message_recipients (message_id, address, workspace_id, role, state, code, response)
           VALUES ($1, 'cy@example.org', $2, 'to', 'deferred', '450', 'Later')""",
        message_id, shop.workspace_id,
    )  # fmt: skip
    await hand.begin(await hand.claim())
    await end_leases(shop)  # its worker died
    await hand.patrol._reap()
    await sendgrid.tell(event("delivered", message_id, email="ben@example.org"))
    assert (await status_of(shop, message_id))[0] == "sent"
    assert (await members(shop))["cy"] == ("sent", "evidence", None)


async def test_a_group_of_whom_all_have_it_at_last_is_sent_without_another_try(
    shop: Workshop, sendgrid: Service, redis: Redis
) -> None:
    _, message_id = await half_taken(shop, sendgrid)
    await sendgrid.tell(event("delivered", message_id, email="ben@example.org"))
    assert (await status_of(shop, message_id))[0] == "scheduled"
    async with working(shop.settings, shop.database, redis) as worker:
        worker.engine.wake()
        async with asyncio.timeout(5):
            while (await status_of(shop, message_id))[0] != "sent":
                await asyncio.sleep(0.01)
    row = await shop.database.pool.fetchrow("SELECT attempt_count, last_error, sent_at IS NOT NULL FROM messages")
    assert row is not None
    assert tuple(row) == (1, None, True)
    assert await shop.captured() == []


async def test_a_refused_try_of_the_rest_is_not_taken_for_sent_by_proof_of_what_went_before(
    shop: Workshop, sendgrid: Service
) -> None:
    hand, message_id = await half_taken(shop, sendgrid)
    await cut_off(hand)
    await shop.database.pool.execute("UPDATE attempts SET evidence = 'late reply: 250' WHERE outcome = 'uncertain'")
    await shop.database.pool.execute("UPDATE messages SET state = 'scheduled', resends = 1, next_try_at = now()")
    await shop.database.pool.execute("UPDATE message_recipients SET code = '450' WHERE state = 'deferred'")
    hold = await hand.claim()
    refused = hand.finish_of(
        hold, await hand.begin(hold), outcome=Outcome.PROVIDER_DOWN, code="451", next_state=State.SCHEDULED
    )
    assert await hand.recorder.finish(refused)
    assert (await status_of(shop, message_id))[0] == "scheduled"


async def test_a_bounce_that_comes_as_mail_moves_the_status_of_a_group_and_neither_suppresses_nor_proves(
    shop: Workshop, sendgrid: Service
) -> None:
    """All of the group know its Message-ID: Ann could write one about Ben."""
    named = [{"email": f"{name}@example.org", "name": None} for name in ("ann", "Ben", "cy")]
    message_id = await message_sent(
        shop, sendgrid.provider_id, state="uncertain", send_as="group", group_recipients={"to": named}
    )
    await shop.database.pool.execute(
        """INSERT INTO message_recipients (message_id, address, workspace_id, role, state, code, response)
           VALUES ($1, 'Ben@example.org', $2, 'to', 'deferred', '450', 'Later')""",
        message_id, shop.workspace_id,
    )  # fmt: skip
    for to in ("ben@example.org", "cy@example.org"):
        await sendgrid.bounce(POSTFIX.format(id=message_id.hex, to=to).encode())
    assert await sendgrid.suppressed() == {}
    assert await status_of(shop, message_id) == ("uncertain", "bounced_hard")
    statement = "SELECT address, state, code, delivery_status FROM message_recipients"
    (row,) = await shop.database.pool.fetch(statement)
    assert tuple(row) == ("Ben@example.org", "deferred", "450", "bounced_hard")
    assert await shop.database.pool.fetchval("SELECT count(*) FROM attempts WHERE evidence IS NOT NULL") == 0
    await sendgrid.tell(event("delivered", message_id, email="ben@example.org"))  # the service itself is believed
    rows = {row["address"]: tuple(row)[1::2] for row in await shop.database.pool.fetch(statement)}
    assert rows["Ben@example.org"] == ("sent", "bounced_hard")
