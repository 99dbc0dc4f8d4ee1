"""What posts lead to: each event once, a status that only moves forward, addresses that get no more mail."""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from uuid_utils.compat import uuid7

from janus_mail.feedback import sns
from janus_mail.feedback import work as work_module
from janus_mail.feedback.readers import READERS
from janus_mail.feedback.work import FeedbackWork
from janus_mail.storage.database import Database
from tests.delivery.conftest import Workshop
from tests.feedback.conftest import (
    Service,
    batch,
    event,
    message_sent,
    service_of,
    shuffled,
    status_of,
)

GROUP = {
    "to": [{"email": "ann@example.org", "name": None}, {"email": "Ben@example.org", "name": None}],
    "cc": [{"email": "cy@example.org", "name": None}],
    "bcc": [],
}


async def test_an_event_is_normalised_and_kept_as_it_came(shop: Workshop, sendgrid: Service) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    told = event("click", message_id, url="https://example.com/x", useragent="Mozilla", timestamp=1_700_000_000)
    await sendgrid.tell(told)
    (kept,) = await sendgrid.events()
    assert (kept["type"], kept["key"], kept["message_id"]) == ("clicked", told["sg_event_id"], message_id)
    assert (kept["workspace_id"], kept["provider_id"]) == (shop.workspace_id, sendgrid.provider_id)
    assert kept["details"] == {"url": "https://example.com/x", "user_agent": "Mozilla"}
    assert kept["raw"] == told
    assert (kept["recipient"], kept["provider_message_id"]) == ("ann@example.org", "14c5d75ce93")
    assert kept["occurred_at"] == datetime.fromtimestamp(1_700_000_000, UTC)
    assert await status_of(shop, message_id) == ("sent", "clicked")
    assert await sendgrid.stored() == []


@pytest.mark.parametrize("seed", range(3))
async def test_thirty_posts_told_ten_times_in_any_order_count_once(
    shop: Workshop, sendgrid: Service, seed: int
) -> None:
    messages = [await message_sent(shop, sendgrid.provider_id, f"r{n}@example.org") for n in range(6)]
    words = ("processed", "delivered", "open", "deferred")
    posts = [batch(event(word, message_id)) for message_id in messages for word in words]
    posts += [batch(event("bounce", messages[n], type="bounce")) for n in (0, 1, 2)]
    posts += [batch(event("spamreport", messages[n])) for n in (2, 3)] + [batch(event("newword", messages[4]))]
    assert len(posts) == 30
    others = [FeedbackWork(shop.database, tick_s=60) for _ in range(3)]  # of other workers
    for some in range(0, 300, 60):
        told = shuffled(posts * 10, seed)[some : some + 60]
        answers = await asyncio.gather(*(sendgrid.post(body) for body in told))
        assert {answer.status_code for answer in answers} == {200}
        await asyncio.gather(*(one.work() for one in others))
    await sendgrid.done()
    assert len(await sendgrid.events()) == 30
    expected = ["bounced_hard", "bounced_hard", "complained", "complained", "opened", "opened"]
    assert [(await status_of(shop, message_id))[1] for message_id in messages] == expected
    assert await sendgrid.suppressed() == {
        "r0@example.org": "hard_bounce", "r1@example.org": "hard_bounce", "r2@example.org": "complaint",
        "r3@example.org": "complaint",
    }  # fmt: skip
    assert await sendgrid.stored() == []


async def test_a_late_delivered_takes_back_no_bounce(shop: Workshop, sendgrid: Service) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    await sendgrid.tell(event("bounce", message_id, type="bounce"))
    await sendgrid.tell(event("delivered", message_id), event("open", message_id))
    assert await status_of(shop, message_id) == ("sent", "bounced_hard")


async def test_a_word_that_nobody_knows_is_kept_and_changes_nothing(shop: Workshop, sendgrid: Service) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    await sendgrid.tell(event("teleported", message_id))
    assert [kept["type"] for kept in await sendgrid.events()] == ["unknown"]
    assert await status_of(shop, message_id) == ("sent", None)


async def test_without_janus_id_the_message_is_found_by_recipient_and_the_services_id(
    shop: Workshop, sendgrid: Service
) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    await sendgrid.tell(event("delivered", email="Ann@example.org"), event("open", email="ben@example.org"))
    found = {kept["type"]: kept["message_id"] for kept in await sendgrid.events()}
    assert found == {"delivered": message_id, "opened": None}
    assert await status_of(shop, message_id) == ("sent", "delivered")


async def test_a_message_of_another_workspace_is_nobodys(shop: Workshop, sendgrid: Service) -> None:
    other = uuid7()
    await shop.database.pool.execute("INSERT INTO workspaces (id, handle, name) VALUES ($1, 'other', 'other')", other)
    message_id = await message_sent(shop, sendgrid.provider_id, workspace_id=other)
    await sendgrid.tell(event("bounce", message_id, type="bounce"))
    assert [kept["message_id"] for kept in await sendgrid.events()] == [None]
    assert await status_of(shop, message_id) == ("sent", None)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (event("bounce", type="bounce"), "hard_bounce"),
        (event("bounce", type="blocked"), None),
        (event("dropped"), None),
        (event("spamreport"), "complaint"),
        (event("unsubscribe"), "unsubscribe"),
        (event("group_unsubscribe"), "unsubscribe"),
        (event("delivered"), None),
    ],
)
async def test_who_bounced_for_good_complained_or_left_gets_no_more_mail(
    shop: Workshop, sendgrid: Service, told: dict[str, Any], reason: str | None
) -> None:
    # The address that we wrote to counts, whatever became of it on its way.
    message_id = await message_sent(shop, sendgrid.provider_id, "ann@example.com")
    await sendgrid.tell({**told, "janus_message_id": str(message_id)})
    assert await sendgrid.suppressed() == ({"ann@example.com": reason} if reason else {})
    row = await shop.database.pool.fetchrow("SELECT source, message_id FROM suppressions")
    assert row is None or tuple(row) == ("SendGrid", message_id)


async def test_what_is_about_none_of_our_mails_suppresses_nobody(shop: Workshop, sendgrid: Service) -> None:
    await sendgrid.tell(event("bounce", type="bounce"), event("spamreport", email="ben@example.org"))
    assert len(await sendgrid.events()) == 2
    assert await sendgrid.suppressed() == {}


async def test_a_complaint_about_a_mail_that_is_no_longer_kept_counts(shop: Workshop, sendgrid: Service) -> None:
    await sendgrid.tell(event("spamreport", uuid7()))
    assert await sendgrid.suppressed() == {"ann@example.org": "complaint"}


async def test_of_a_group_each_recipient_has_a_status_and_the_mail_the_furthest(
    shop: Workshop, sendgrid: Service
) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id, send_as="group", group_recipients=GROUP)
    await shop.database.pool.execute(
        """INSERT INTO message_recipients (message_id, address, workspace_id, role, state, code, response)
           VALUES ($1, 'ann@example.org', $2, 'to', 'sent', '250', 'Ok')""",
        message_id, shop.workspace_id,
    )  # fmt: skip
    await sendgrid.tell(
        event("delivered", message_id), event("open", message_id),
        event("bounce", message_id, type="bounce", email="ben@example.org", reason="550 5.1.1 No such user"),
        event("spamreport", message_id, email="stranger@example.org"),
    )  # fmt: skip
    await sendgrid.tell(event("delivered", message_id, email="ben@example.org"))
    rows = await shop.database.pool.fetch(
        "SELECT address, role, state, code, delivery_status FROM message_recipients ORDER BY address"
    )
    assert [tuple(row) for row in rows] == [
        ("Ben@example.org", "to", "sent", "bounced_hard", "bounced_hard"),
        ("ann@example.org", "to", "sent", "250", "opened"),
    ]
    assert await status_of(shop, message_id) == ("sent", "complained")
    assert await sendgrid.suppressed() == {"ben@example.org": "hard_bounce"}


async def test_feedback_that_outruns_our_record_of_the_provider_waits_for_it(shop: Workshop, sendgrid: Service) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id, state="sending")
    late = event("delivered")  # without Janus's id
    await sendgrid.tell(late, event("open", email="ben@example.org"))
    assert [kept["type"] for kept in await sendgrid.events()] == ["opened"]
    (post,) = await sendgrid.stored()
    assert (post["tries"], post["last_error"]) == (1, "outran our own record")
    await shop.database.pool.execute("UPDATE messages SET state = 'sent', provider_message_id = '14c5d75ce93'")
    await shop.database.pool.execute("UPDATE hook_posts SET next_try_at = clock_timestamp()")
    await sendgrid.done()
    assert await status_of(shop, message_id) == ("sent", "delivered")
    assert (len(await sendgrid.events()), await sendgrid.stored()) == (2, [])


async def test_feedback_waits_ten_minutes_for_our_record_and_no_longer(shop: Workshop, sendgrid: Service) -> None:
    await message_sent(shop, sendgrid.provider_id, state="sending")
    assert (await sendgrid.post(batch(event("delivered")))).status_code == 200
    await shop.database.pool.execute("UPDATE hook_posts SET received_at = received_at - interval '11 minutes'")
    await sendgrid.done()
    assert [kept["message_id"] for kept in await sendgrid.events()] == [None]


async def test_feedback_on_a_mail_that_is_leaving_leaves_the_try_alone(shop: Workshop, sendgrid: Service) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id, state="sending")
    await sendgrid.tell(event("delivered", message_id))
    row = await shop.database.pool.fetchrow("SELECT state, fence, delivery_status FROM messages")
    assert row is not None
    assert tuple(row) == ("sending", 1, "delivered")


async def test_what_postgresql_cannot_store_is_left_out_and_the_rest_is_kept(shop: Workshop, sendgrid: Service) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    body = batch(event("bounce", message_id, type="bounce", reason="§1§ no §2§ user", sg_event_id="k" * 3000))
    body = body.replace(rb"\u00a71\u00a7", rb"\u0000").replace(rb"\u00a72\u00a7", rb"\ud800")
    assert (await sendgrid.post(body)).status_code == 200
    await sendgrid.done()
    (kept,) = await sendgrid.events()
    assert kept["reason"] == "no ? user"
    assert len(kept["key"]) < 300


async def test_a_post_that_cannot_be_read_is_tried_for_a_day_and_then_kept_as_it_came(
    shop: Workshop, sendgrid: Service
) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    for body in (b"no json", b'{"event": "x"}', b"[1, 2]"):
        assert (await sendgrid.post(body)).status_code == 200
    await sendgrid.tell(event("delivered", message_id))
    assert await status_of(shop, message_id) == ("sent", "delivered")  # the others are not held up
    waits = [post["next_try_at"] - post["received_at"] for post in await sendgrid.stored()]
    assert all(timedelta(seconds=9) < wait < timedelta(seconds=20) for wait in waits)
    assert {post["tries"] for post in await sendgrid.stored()} == {1}
    await shop.database.pool.execute("UPDATE hook_posts SET next_try_at = clock_timestamp(), tries = 9")
    await sendgrid.done()
    waits = [post["next_try_at"] - datetime.now(UTC) for post in await sendgrid.stored()]
    assert all(timedelta(hours=1) < wait < timedelta(hours=2) for wait in waits)
    await shop.database.pool.execute(
        "UPDATE hook_posts SET next_try_at = clock_timestamp(), received_at = received_at - interval '25 hours'"
    )
    await sendgrid.done()
    assert await sendgrid.stored() == []
    kept = [one for one in await sendgrid.events() if one["type"] == "unknown"]
    assert sorted(one["raw"]["body"] for one in kept) == ["[1, 2]", "no json", '{"event": "x"}']
    assert all(one["reason"].startswith("Unreadable: ") for one in kept)


async def test_a_fault_of_ours_in_reading_is_no_reason_to_lose_a_post(
    sendgrid: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await sendgrid.post(batch(event("delivered")))).status_code == 200
    with monkeypatch.context() as patched:
        patched.setattr(work_module, "READERS", {key: READERS[key] for key in READERS if key != "sendgrid"})
        await sendgrid.done()
    (post,) = await sendgrid.stored()
    assert post["last_error"] == "KeyError: 'sendgrid'"
    await sendgrid.database.pool.execute("UPDATE hook_posts SET next_try_at = clock_timestamp()")
    await sendgrid.done()
    assert len(await sendgrid.events()) == 1


async def test_a_post_that_postgresql_does_not_take_keeps_no_other(shop: Workshop, sendgrid: Service) -> None:
    for n in range(8):
        word = "open" if n == 5 else "delivered"
        assert (await sendgrid.post(batch(event(word)))).status_code == 200
    await shop.database.pool.execute("ALTER TABLE feedback_events ADD CONSTRAINT no_opens CHECK (type <> 'opened')")
    try:
        await sendgrid.done()
    finally:
        await shop.database.pool.execute("ALTER TABLE feedback_events DROP CONSTRAINT no_opens")
    assert len(await sendgrid.events()) == 7
    (post,) = await sendgrid.stored()
    assert post["last_error"].startswith("CheckViolationError")
    assert post["tries"] == 1


async def test_what_was_worked_on_and_not_committed_is_worked_on_again(
    shop: Workshop, sendgrid: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    assert (await sendgrid.post(batch(event("delivered", message_id)))).status_code == 200

    async def cut(*_: object) -> None:
        raise asyncpg.PostgresConnectionError("cut in the middle")

    with monkeypatch.context() as patched:
        patched.setattr("janus_mail.feedback.apply.suppress", cut)
        with pytest.raises(asyncpg.PostgresConnectionError):
            await sendgrid.work.work()
    assert (len(await sendgrid.stored()), await sendgrid.events()) == (1, [])
    await shop.database.pool.execute("UPDATE hook_posts SET next_try_at = clock_timestamp()")
    await sendgrid.done()
    assert await status_of(shop, message_id) == ("sent", "delivered")


async def test_posts_of_a_workspace_that_is_gone_go_too(
    shop: Workshop, sendgrid: Service, client: httpx.AsyncClient, database: Database
) -> None:
    assert (await sendgrid.post(batch(event("delivered")))).status_code == 200
    await database.pool.execute("DELETE FROM providers")
    await sendgrid.done()
    assert (await sendgrid.stored(), await sendgrid.events()) == ([], [])


async def test_a_subscription_is_confirmed_until_it_is(shop: Workshop) -> None:
    provider_id, address = await shop.provider("SES", "ses"), "https://sns.eu-west-1.amazonaws.com/?Action=Confirm"
    body = json.dumps({"Type": "SubscriptionConfirmation", "SubscribeURL": address}).encode()
    await shop.database.pool.execute(
        "INSERT INTO hook_posts (id, workspace_id, provider_id, kind, body) VALUES ($1, $2, $3, 'ses', $4)",
        uuid7(), shop.workspace_id, provider_id, body,
    )  # fmt: skip
    fetched: list[str] = []

    async def fetch(url: str) -> bytes:
        fetched.append(url)
        if len(fetched) == 1:
            raise sns.Unreachable("SNS answered 500.", 500)
        return b"<ConfirmSubscriptionResponse/>"

    work = FeedbackWork(shop.database, tick_s=60, fetch=fetch)
    assert await work.work() == 1
    row = await shop.database.pool.fetchrow("SELECT tries, last_error, next_try_at > now() FROM hook_posts")
    assert row is not None
    assert tuple(row) == (1, "to be confirmed", True)
    await shop.database.pool.execute("UPDATE hook_posts SET next_try_at = clock_timestamp()")
    assert await work.work() == 1
    assert fetched == [address] * 2
    assert await shop.database.pool.fetchval("SELECT count(*) FROM hook_posts") == 0


async def test_large_posts_are_worked_on_one_by_one(sendgrid: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_module, "MOST_OCTETS", 100_000)
    for _ in range(3):
        body = batch(*(event("open", useragent="x" * 1000) for _ in range(150)))
        assert (await sendgrid.post(body)).status_code == 200
    assert [await sendgrid.work.work() for _ in range(4)] == [1, 1, 1, 0]
    assert len(await sendgrid.events()) == 450


async def test_many_that_work_at_once_share_the_posts_and_never_wait_in_a_ring(
    shop: Workshop, sendgrid: Service
) -> None:
    messages = [await message_sent(shop, sendgrid.provider_id, f"r{n}@example.org") for n in range(20)]
    told = [event(word, message_id) for message_id in messages for word in ("delivered", "open", "spamreport")]
    for seed in range(12):
        assert (await sendgrid.post(batch(*shuffled(told, seed)))).status_code == 200
    before = work_module.MOST_POSTS
    try:
        work_module.MOST_POSTS = 1  # type: ignore[misc]
        workers = [FeedbackWork(shop.database, tick_s=60) for _ in range(6)]
        for _ in range(4):
            await asyncio.gather(*(one.work() for one in workers))
    finally:
        work_module.MOST_POSTS = before  # type: ignore[misc]
    await sendgrid.done()
    assert len(await sendgrid.events()) == 60
    assert await sendgrid.stored() == []
    deadlocks = await shop.database.pool.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    assert deadlocks == 0
    assert len(await sendgrid.suppressed()) == 20


async def test_a_provider_that_was_heard_is_noted_once_an_hour(shop: Workshop, sendgrid: Service) -> None:
    async def heard_at() -> datetime | None:
        at: datetime | None = await shop.database.pool.fetchval("SELECT heard_at FROM providers")
        return at

    await sendgrid.bounce(b"Subject: nothing\r\n\r\nto tell")
    assert await heard_at() is None
    await sendgrid.tell(event("delivered"))
    first = await heard_at()
    assert first is not None
    await sendgrid.tell(event("delivered"))
    assert await heard_at() == first
    await shop.database.pool.execute("UPDATE providers SET heard_at = heard_at - interval '61 minutes'")
    await sendgrid.tell(event("delivered"))
    assert (await heard_at() or first) > first


async def test_another_providers_event_of_the_same_key_is_another_event(
    shop: Workshop, sendgrid: Service, client: httpx.AsyncClient
) -> None:
    other = await service_of(shop, client, "the other")
    told = event("delivered", uuid.uuid4())
    await sendgrid.tell(told)
    await other.tell(told)
    assert len(await sendgrid.events()) == 2
