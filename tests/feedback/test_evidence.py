"""What a service tells of a mail in doubt is proof: the mail is sent, and nobody sends it once more."""

import asyncio
import os
import signal
import sys
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from janus_mail.delivery.claim import Claimer
from janus_mail.delivery.queries import repair
from janus_mail.models.states import State
from janus_mail.providers.outcomes import Outcome
from janus_mail.settings import Settings
from tests.conftest import TEST_KEY
from tests.delivery.conftest import Workshop, working
from tests.delivery.test_races import Hand, end_leases
from tests.feedback.conftest import Service, batch, event, message_sent, status_of

GROUP = {"to": [{"email": "ann@example.org", "name": None}, {"email": "ben@example.org", "name": None}]}


async def heard(shop: Workshop, service: Service, *, days_ago: float = 0) -> None:
    await shop.database.pool.execute(
        "UPDATE providers SET heard_at = clock_timestamp() - $2 * interval '1 day' WHERE id = $1",
        service.provider_id, days_ago,
    )  # fmt: skip


async def resolves_in_s(shop: Workshop) -> float:
    seconds: float = await shop.database.pool.fetchval(
        "SELECT extract(epoch FROM next_try_at - clock_timestamp())::float8 FROM messages WHERE state = 'uncertain'"
    )
    return seconds


@pytest.mark.parametrize("state", ["uncertain", "parked", "scheduled", "leased"])
@pytest.mark.parametrize("word", ["processed", "deferred", "delivered", "bounce", "dropped", "spamreport"])
async def test_any_known_word_proves_that_the_service_had_the_mail(
    shop: Workshop, sendgrid: Service, state: str, word: str
) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id, state=state)
    await sendgrid.tell(event(word, message_id, response="250 OK"))
    (message,) = await shop.database.pool.fetch("SELECT * FROM messages")
    assert (message["state"], message["resends"], message["waiting_for"], message["leased_by"]) == (
        "sent",
        0,
        None,
        None,
    )
    assert message["fence"] == 2  # no worker that holds a resend can begin it
    (attempt,) = await shop.database.pool.fetch("SELECT * FROM attempts")
    assert message["sent_at"] == attempt["started_at"]  # it left then, not when we heard of it
    assert attempt["evidence"].startswith("feedback: ")
    assert attempt["evidence_at"] > attempt["started_at"]
    assert (await shop.event_row(message["event_id"]))["status"] == "sent"


async def test_proof_is_written_once_and_later_words_leave_it(shop: Workshop, sendgrid: Service) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id, state="uncertain")
    await sendgrid.tell(event("processed", message_id))
    before = await shop.database.pool.fetchrow("SELECT evidence, evidence_at FROM attempts")
    await sendgrid.tell(event("delivered", message_id))
    assert await shop.database.pool.fetchrow("SELECT evidence, evidence_at FROM attempts") == before
    assert await status_of(shop, message_id) == ("sent", "delivered")


@pytest.mark.parametrize("state", ["failed", "canceled", "expired"])
async def test_what_has_ended_otherwise_stays_ended(shop: Workshop, sendgrid: Service, state: str) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id, state=state)
    await sendgrid.tell(event("delivered", message_id))
    assert await status_of(shop, message_id) == (state, "delivered")


async def test_an_unknown_word_and_another_providers_word_prove_nothing(shop: Workshop, sendgrid: Service) -> None:
    other = await shop.provider("Mailgun", "mailgun")
    known = await message_sent(shop, sendgrid.provider_id, state="uncertain")
    elsewhere = await message_sent(shop, other, state="uncertain")
    await sendgrid.tell(event("teleported", known), event("delivered", elsewhere))
    assert (await status_of(shop, known), await status_of(shop, elsewhere)) == (
        ("uncertain", None), ("uncertain", "delivered"),
    )  # fmt: skip


async def test_a_first_try_that_only_waits_is_not_taken_for_sent(shop: Workshop, sendgrid: Service) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id, state="scheduled")
    await shop.database.pool.execute("UPDATE messages SET resends = 0")
    await sendgrid.tell(event("delivered", message_id))
    assert (await status_of(shop, message_id))[0] == "scheduled"


async def test_of_a_group_that_was_taken_the_ones_put_off_are_tried_again(shop: Workshop, sendgrid: Service) -> None:
    message_id = await message_sent(
        shop, sendgrid.provider_id, state="uncertain", send_as="group",
        group_recipients={**GROUP, "cc": [{"email": "cy@example.org", "name": None}]},
    )  # fmt: skip
    await shop.database.pool.execute(
        """INSERT INTO message_recipients (message_id, address, workspace_id, role, state, code, response)
           VALUES ($1, 'ben@example.org', $2, 'to', 'deferred', '450', 'Later')""",
        message_id, shop.workspace_id,
    )  # fmt: skip
    await sendgrid.tell(event("delivered", message_id))
    row = await shop.database.pool.fetchrow("SELECT state, resends, sent_at IS NOT NULL FROM messages")
    assert row is not None
    assert tuple(row) == ("scheduled", 0, True)
    hold = (await Claimer(shop.database, uuid.uuid4(), lease_s=60).claim(1))[0]
    assert hold.resolved == {"ann@example.org", "cy@example.org"}


async def decided(shop: Workshop, hand: Hand) -> None:
    """The doubt has lasted as long as it may."""
    await shop.database.pool.execute("UPDATE messages SET next_try_at = clock_timestamp() WHERE state = 'uncertain'")
    await hand.patrol.tick()


@pytest.mark.parametrize(("told", "state"), [("before", "parked"), ("after", "sent")])
async def test_what_was_heard_before_a_mail_was_tried_says_nothing_of_that_try(
    shop: Workshop, sendgrid: Service, told: str, state: str
) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id, state="uncertain")
    assert (await sendgrid.post(batch(event("delivered", message_id)))).status_code == 200
    if told == "before":
        await shop.database.pool.execute("UPDATE attempts SET started_at = clock_timestamp()")
    await sendgrid.done()
    await shop.database.pool.execute("UPDATE events SET on_uncertain = 'park'")
    await decided(shop, Hand(shop, grace_s=0))
    assert (await status_of(shop, message_id))[0] == state


async def test_proof_that_comes_while_a_first_try_is_open_is_of_doubt_only(shop: Workshop, sendgrid: Service) -> None:
    hand = Hand(shop)
    hand.provider_id = sendgrid.provider_id
    event_id = await shop.event()
    hold = await hand.claim()
    attempt_id = await hand.begin(hold)
    await sendgrid.tell(event("delivered", hold.id))
    assert await hand.recorder.finish(hand.finish_of(hold, attempt_id))
    (attempt,) = await shop.attempts(event_id)
    assert (attempt["outcome"], attempt["evidence"], attempt["evidence_at"]) == ("accepted", None, None)


async def test_what_a_provider_that_posts_feedback_leaves_in_doubt_waits_for_its_word(
    shop: Workshop, sendgrid: Service
) -> None:
    await heard(shop, sendgrid, days_ago=6.9)
    hand = Hand(shop, lease_s=5, grace_s=3)
    hand.recorder._evidence_s = 900
    hand.provider_id = sendgrid.provider_id
    await shop.event()
    hold = await hand.claim()
    attempt_id = await hand.begin(hold)
    cut = hand.finish_of(hold, attempt_id, outcome=Outcome.UNCERTAIN, code="timeout", next_state=State.UNCERTAIN)
    assert await hand.recorder.finish(cut)
    assert 890 < await resolves_in_s(shop) <= 900


@pytest.mark.parametrize(("days_ago", "waits"), [(0.1, True), (7.1, False), (None, False)])
async def test_what_a_dead_worker_leaves_in_doubt_waits_too(
    shop: Workshop, sendgrid: Service, days_ago: float | None, waits: bool
) -> None:
    if days_ago is not None:
        await heard(shop, sendgrid, days_ago=days_ago)
    hand = Hand(shop)
    hand.provider_id = sendgrid.provider_id
    await shop.event()
    await hand.begin(await hand.claim())
    await end_leases(shop)
    await shop.database.pool.fetchrow(repair.REAP, 10, 30.0, 900.0)
    assert (890 < await resolves_in_s(shop) <= 900) if waits else (25 < await resolves_in_s(shop) <= 30)


async def test_the_word_that_came_while_the_mail_was_leaving_settles_it_when_the_worker_dies(
    shop: Workshop, sendgrid: Service
) -> None:
    hand = Hand(shop, grace_s=1000)
    hand.provider_id = sendgrid.provider_id
    event_id = await shop.event()
    await hand.begin(await hand.claim())
    (message,) = await shop.messages(event_id)
    await sendgrid.tell(event("delivered", message["id"]))
    assert (await shop.message(event_id))["state"] == "sending"
    await end_leases(shop)
    await hand.patrol.tick()
    assert await status_of(shop, message["id"]) == ("sent", "delivered")
    (attempt,) = await shop.attempts(event_id)
    assert (attempt["outcome"], attempt["evidence"]) == ("uncertain", "feedback: delivered")


async def test_the_policy_decides_nothing_that_is_proven(shop: Workshop, sendgrid: Service) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id, state="uncertain")
    await shop.database.pool.execute("UPDATE attempts SET evidence = 'late reply: 250', evidence_at = now()")
    row = await shop.database.pool.fetchrow(repair.RESOLVE, 10)
    assert row is not None
    assert (row["again"], row["parked"], (await status_of(shop, message_id))[0]) == (0, 0, "uncertain")
    await Hand(shop).patrol.tick()
    assert (await status_of(shop, message_id))[0] == "sent"


@pytest.mark.parametrize(
    ("outcome", "next_state"),
    [
        (Outcome.PROVIDER_DOWN, State.SCHEDULED),
        (Outcome.UNCERTAIN, State.UNCERTAIN),
        (Outcome.PROVIDER_DOWN, State.PARKED),
    ],
)
async def test_proof_that_comes_during_the_resend_ends_it_however_it_ends(
    shop: Workshop, sendgrid: Service, outcome: Outcome, next_state: State
) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id, state="scheduled")
    await shop.database.pool.execute("UPDATE messages SET next_try_at = clock_timestamp()")
    hand = Hand(shop)
    hand.provider_id = sendgrid.provider_id
    hold = await hand.claim()
    attempt_id = await hand.begin(hold)
    await sendgrid.tell(event("delivered", message_id))
    assert (await status_of(shop, message_id))[0] == "sending"
    ended = hand.finish_of(hold, attempt_id, outcome=outcome, code="x", next_state=next_state)
    assert await hand.recorder.finish(ended)
    row = await shop.database.pool.fetchrow("SELECT state, waiting_for, last_error, leased_by FROM messages")
    assert row is not None
    assert tuple(row) == ("sent", None, None, None)


async def test_a_mail_cut_off_is_sent_once_when_the_service_says_that_it_came(
    shop: Workshop, sendgrid: Service, redis: Redis
) -> None:
    """The whole way: a worker, a line that is cut, a post, the patrol; one mail, and the record says why."""
    await shop.database.pool.execute("UPDATE providers SET sandbox_mode = 'cut_off'")
    await heard(shop, sendgrid)
    settings = shop.settings.model_copy(update={"evidence_seconds": 60.0})
    event_id = await shop.event()
    async with working(settings, shop.database, redis):
        (message,) = await shop.until(event_id, "uncertain")
        assert message["next_try_at"] > datetime.now(UTC) + timedelta(seconds=50)
        body = batch(event("delivered", message["id"], response="250 OK"))
        assert (await sendgrid.post(body)).status_code == 200
        (message,) = await shop.until(event_id, "sent", within_s=4)  # rung for, or by the patrol
    assert (message["delivery_status"], message["attempt_count"], message["resends"]) == ("delivered", 1, 0)
    (attempt,) = await shop.attempts(event_id)
    assert (attempt["outcome"], attempt["evidence"]) == ("uncertain", "feedback: delivered 250 OK")
    assert await sendgrid.stored() == []


async def test_a_worker_is_rung_for_what_is_posted(shop: Workshop, sendgrid: Service, redis: Redis) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    settings = shop.settings.model_copy(update={"patrol_seconds": 60.0})
    async with working(settings, shop.database, redis):
        await asyncio.sleep(0.3)  # its first look finds nothing
        await sendgrid.post(batch(event("delivered", message_id)))
        await _until_delivered(shop, message_id, 3)


async def test_without_redis_a_worker_finds_what_is_posted_by_itself(shop: Workshop, sendgrid: Service) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    async with working(shop.settings, shop.database, None):
        await sendgrid.post(batch(event("delivered", message_id)))
        await _until_delivered(shop, message_id, 3)


async def test_a_worker_killed_in_the_middle_of_its_work_leaves_the_posts_to_the_next(
    shop: Workshop, sendgrid: Service, settings: Settings
) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    for _ in range(5):
        assert (await sendgrid.post(batch(event("delivered", message_id)))).status_code == 200
    assert settings.database_url is not None
    environment = {
        "DATABASE_URL": settings.database_url.get_secret_value(), "JANUS_ENV": "development",
        "JANUS_SECRET_KEYS": TEST_KEY, "JANUS_CRASH_AT": "in_feedback", "PATH": os.environ["PATH"],
    }  # fmt: skip
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c",
        "import uuid; from janus_mail.settings import load_settings; from janus_mail import worker; "
        "worker.run(load_settings(), worker_id=uuid.uuid4())",
        env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await asyncio.wait_for(worker.wait(), 20) == -signal.SIGKILL
    assert (len(await sendgrid.stored()), await sendgrid.events()) == (5, [])
    await shop.database.pool.execute("UPDATE hook_posts SET next_try_at = clock_timestamp()")
    await sendgrid.done()
    assert await status_of(shop, message_id) == ("sent", "delivered")
    assert (len(await sendgrid.events()), await sendgrid.stored()) == (5, [])


async def _until_delivered(shop: Workshop, message_id: uuid.UUID, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while await status_of(shop, message_id) != ("sent", "delivered"):
            await asyncio.sleep(0.02)
