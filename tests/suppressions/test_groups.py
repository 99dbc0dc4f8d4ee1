"""One mail to several, some of whom are on the list: they are left out of its headers and of its envelope."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from typing import Any

from redis.asyncio import Redis

from janus_mail.content.addresses import Mailbox
from janus_mail.delivery.letters import Group
from tests.delivery.conftest import Workshop, working
from tests.delivery.test_bad_days import smtp
from tests.providers.fake_sendgrid import FakeSendGrid
from tests.providers.scripted_smtp import ScriptedSmtp
from tests.providers.sendgrid_rules import KEY
from tests.suppressions.conftest import Suppress

PutOff = tuple[uuid.UUID, ScriptedSmtp]
ANN, BEN, CY, DI, EVE = (f"{name}@example.org" for name in ("ann", "ben", "cy", "di", "eve"))


def group_of(to: list[str], cc: list[str] = [], bcc: list[str] = []) -> dict[str, Any]:  # noqa: B006
    parts = {"to": to, "cc": cc, "bcc": bcc}
    return {role: [{"email": address, "name": None} for address in part] for role, part in parts.items()}


async def send(shop: Workshop, redis: Redis, group: dict[str, Any], state: str, **script: Any) -> tuple[uuid.UUID, Any]:
    """Through a real SMTP server: the event, and the mails that came there as (recipients, headers)."""
    async with smtp(**script) as server, working(shop.settings, shop.database, redis) as worker:
        await shop.smtp(server.port)
        many = sum(map(len, group.values()))
        event_id = await shop.event(
            group["to"][0]["email"], send_as="group", group_recipients=group, recipients_count=many,
            text="Hi {{email}}." if len(group["to"]) == 1 else "Hi.",
        )  # fmt: skip
        if len(group["to"]) == 1:
            await shop.database.pool.execute(
                "UPDATE messages SET recipient_name = 'Ann', variables = '{\"name\": \"\"}'"
            )
        worker.engine.wake()
        await shop.until(event_id, state)
        return event_id, [(mail.recipients, message_from_bytes(mail.content)) for mail in server.mails]


async def became(shop: Workshop) -> dict[str, tuple[str, str]]:
    rows = await shop.database.pool.fetch("SELECT address, role, state FROM message_recipients")
    return {row["address"].partition("@")[0]: (row["role"], row["state"]) for row in rows}


async def test_a_suppressed_member_is_in_neither_the_headers_nor_the_envelope(
    shop: Workshop, redis: Redis, listed: Suppress
) -> None:
    await listed("Ben@example.org", DI)
    event_id, mails = await send(shop, redis, group_of([ANN, BEN], [CY], [DI, EVE]), "sent")
    ((envelope, headers),) = mails
    assert envelope == [ANN, CY, EVE]
    assert (headers["To"], headers["Cc"]) == (ANN, CY)
    assert b"ben@" not in headers.as_bytes()
    assert await became(shop) == {
        "ann": ("to", "sent"), "ben": ("to", "suppressed"), "cy": ("cc", "sent"), "di": ("bcc", "suppressed"),
        "eve": ("bcc", "sent"),
    }  # fmt: skip
    row = await shop.database.pool.fetchrow("SELECT code, response FROM message_recipients WHERE address = $1", BEN)
    assert row is not None
    assert row["code"] == "suppressed"
    assert row["response"].startswith("hard bounce, told by SendGrid on ")
    assert (await shop.event_row(event_id))["status"] == "sent"


async def test_a_service_that_builds_the_mail_itself_is_told_of_those_who_are_left(
    shop: Workshop, redis: Redis, listed: Suppress
) -> None:
    await listed(BEN, DI)
    sendgrid = await FakeSendGrid().start()
    try:
        config = {"api_key": KEY, "endpoint": sendgrid.url}
        await shop.provider("SendGrid", "sendgrid", sandbox=False, config=config, from_email="news@example.com")
        group = group_of([ANN, BEN], [CY], [DI])
        event_id = await shop.event(ANN, send_as="group", group_recipients=group, recipients_count=4)
        async with working(shop.settings, shop.database, redis) as worker:
            worker.engine.wake()
            await shop.until(event_id, "sent")
        (taken,) = sendgrid.ledger
    finally:
        await sendgrid.stop()
    assert taken.mail["personalizations"] == [{"to": [{"email": ANN}], "cc": [{"email": CY}]}]


async def test_where_nobody_is_left_to_mail_the_message_is_suppressed(
    shop: Workshop, redis: Redis, listed: Suppress
) -> None:
    await listed(ANN, BEN)
    event_id, mails = await send(shop, redis, group_of([ANN], [BEN]), "suppressed")
    assert mails == []
    message = await shop.message(event_id)
    assert message["attempt_count"] == 0
    assert message["last_error"].startswith(f"suppressed: nobody is left to mail ({ANN}: hard bounce, told by SendGrid")
    assert message["last_error"].endswith(", and 1 more)")
    assert await became(shop) == {"ann": ("to", "suppressed"), "ben": ("cc", "suppressed")}
    assert (await shop.event_row(event_id))["status"] == "suppressed"


async def test_a_group_of_one_is_suppressed_like_a_mail_to_one(shop: Workshop, redis: Redis, listed: Suppress) -> None:
    await listed(ANN)
    event_id, _ = await send(shop, redis, group_of([ANN]), "suppressed")
    assert (await shop.message(event_id))["last_error"].startswith("suppressed: hard bounce, told by SendGrid on ")


async def test_where_nobody_of_to_is_left_those_in_cc_take_the_place_and_read_what_was_meant_for_all(
    shop: Workshop, redis: Redis, listed: Suppress
) -> None:
    await listed(ANN)
    _, mails = await send(shop, redis, group_of([ANN], [BEN, CY], [DI]), "sent")
    ((envelope, headers),) = mails
    assert envelope == [BEN, CY, DI]
    assert (headers["To"], headers["Cc"]) == (f"{BEN}, {CY}", None)
    assert f"Hi {ANN}." in headers.get_payload()


async def test_blind_copies_alone_are_no_mail_as_they_would_show_one_to_the_others(
    shop: Workshop, redis: Redis, listed: Suppress
) -> None:
    await listed(ANN)
    _, mails = await send(shop, redis, group_of([ANN], [], [BEN, CY]), "suppressed")
    assert mails == []
    assert Group((Mailbox(ANN),), (), (Mailbox(BEN),)).without({ANN}) == Group((), (), ())


@asynccontextmanager
async def put_off(
    shop: Workshop, redis: Redis, group: dict[str, Any], *replies: str, ends: str = "sent"
) -> AsyncIterator[PutOff]:
    """A group that has been tried once; leaving tries it again and ends when it is sent, or as it `ends`."""
    patient = shop.settings.model_copy(update={"retry_base_seconds": 600.0, "retry_cap_seconds": 600.0})
    async with smtp(answers={"RCPT": list(replies)}) as server, working(patient, shop.database, redis) as worker:
        await shop.smtp(server.port)
        many = sum(map(len, group.values()))
        event_id = await shop.event(ANN, send_as="group", group_recipients=group, recipients_count=many)
        worker.engine.wake()
        async with asyncio.timeout(5):
            while (await shop.message(event_id))["waiting_for"] != "retry":
                await asyncio.sleep(0.01)
        yield event_id, server
        await shop.database.pool.execute("UPDATE messages SET next_try_at = clock_timestamp()")
        worker.engine.wake()
        await shop.until(event_id, ends)


async def test_who_was_put_off_and_then_suppressed_is_not_tried_again(
    shop: Workshop, redis: Redis, listed: Suppress
) -> None:
    said = "250 Ok", "450 4.2.0 Greylisted", "550 5.1.1 No such user"
    async with put_off(shop, redis, group_of([ANN, BEN], [CY]), *said) as (_, server):
        await listed(BEN, ANN)
    assert [mail.recipients for mail in server.mails] == [[ANN]]
    assert await became(shop) == {"ann": ("to", "sent"), "ben": ("to", "suppressed"), "cy": ("cc", "failed")}


async def test_who_is_off_the_list_again_gets_the_mail_that_is_tried_again(
    shop: Workshop, redis: Redis, listed: Suppress
) -> None:
    await listed(BEN)
    said = "450 4.2.0 Greylisted", "450 4.2.0 Greylisted"
    async with put_off(shop, redis, group_of([ANN, BEN], [CY]), *said) as (_, server):
        assert (await became(shop))["ben"] == ("to", "suppressed")
        assert server.mails == []
        await shop.database.pool.execute("DELETE FROM suppressions")
    assert [mail.recipients for mail in server.mails] == [[ANN, BEN, CY]]
    assert await became(shop) == {"ann": ("to", "sent"), "ben": ("to", "sent"), "cy": ("cc", "sent")}


async def test_a_blind_copy_is_tried_again_though_the_one_it_names_has_the_mail_and_was_suppressed_since(
    shop: Workshop, redis: Redis, listed: Suppress
) -> None:
    said = "250 Ok", "450 4.2.0 Greylisted"
    async with put_off(shop, redis, group_of([ANN], [], [BEN]), *said) as (_, server):
        await listed(ANN)
    assert [mail.recipients for mail in server.mails] == [[ANN], [BEN]]
    first, again = (message_from_bytes(mail.content) for mail in server.mails)
    assert first.as_bytes() == again.as_bytes()
    assert again["To"] == ANN
    assert await became(shop) == {"ann": ("to", "sent"), "ben": ("bcc", "sent")}


async def test_a_blind_copy_of_a_mail_that_may_name_nobody_ends_with_a_reason(
    shop: Workshop, redis: Redis, listed: Suppress
) -> None:
    said = "450 4.2.0 Greylisted", "450 4.2.0 Greylisted"
    async with put_off(shop, redis, group_of([ANN], [], [BEN]), *said, ends="suppressed") as (_, server):
        await listed(ANN)
    assert server.mails == []
    assert await became(shop) == {"ann": ("to", "suppressed"), "ben": ("bcc", "suppressed")}
    why = await shop.database.pool.fetchval("SELECT response FROM message_recipients WHERE address = $1", BEN)
    assert why == "nobody is left whom the mail could name, and it would show the one to the others"


async def test_a_suppressed_member_stays_out_of_the_mail_that_the_next_provider_gets(
    shop: Workshop, redis: Redis, listed: Suppress
) -> None:
    await listed(BEN)
    async with smtp(answers={"MAIL": ["451 4.3.0 Down"]}) as first, smtp() as second:
        await shop.smtp(first.port, name="first")
        await shop.smtp(second.port, name="second")
        group = group_of([ANN, BEN], [CY])
        event_id = await shop.event(ANN, send_as="group", group_recipients=group, recipients_count=3)
        async with working(shop.settings, shop.database, redis) as worker:
            worker.engine.wake()
            await shop.until(event_id, "sent")
    ((mail),) = second.mails
    assert mail.recipients == [ANN, CY]
    assert message_from_bytes(mail.content)["To"] == ANN
    assert await became(shop) == {"ann": ("to", "sent"), "ben": ("to", "suppressed"), "cy": ("cc", "sent")}


async def test_a_group_in_doubt_of_whom_nobody_is_left_is_parked(
    shop: Workshop, redis: Redis, listed: Suppress
) -> None:
    await listed(ANN, BEN)
    event_id = await shop.event(ANN, send_as="group", group_recipients=group_of([ANN, BEN]), recipients_count=2)
    await shop.database.pool.execute("UPDATE messages SET resends = 1")
    async with working(shop.settings, shop.database, redis) as worker:
        worker.engine.wake()
        (message,) = await shop.until(event_id, "parked")
    assert message["last_error"].startswith("it may have left; not sent again: suppressed: nobody is left to mail")
