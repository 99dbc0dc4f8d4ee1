"""What services that build the bytes themselves are given of a message, up to what one of them receives."""

import socket
import uuid
from collections.abc import AsyncIterator

import pytest

from janus_mail.content.addresses import Mailbox
from janus_mail.delivery.hold import Try
from janus_mail.delivery.letters import Letters, outgoing
from janus_mail.providers.outcomes import Outcome
from tests.delivery.conftest import Workshop
from tests.delivery.test_races import Hand
from tests.providers.fake_http import Act, Reply
from tests.providers.fake_sendgrid import FakeSendGrid
from tests.providers.sendgrid_rules import KEY, SENDER_UNVERIFIED, UNAVAILABLE, Refusal

SENDER = Mailbox("news@example.com")


@pytest.fixture
async def sendgrid() -> AsyncIterator[FakeSendGrid]:
    server = await FakeSendGrid().start()
    yield server
    await server.stop()


async def provider_at(url: str, name: str, shop: Workshop) -> None:
    config = {"api_key": KEY, "endpoint": url}
    await shop.provider(name, "sendgrid", sandbox=False, config=config, from_email="news@example.com")


@pytest.fixture
async def provider(shop: Workshop, sendgrid: FakeSendGrid) -> None:
    await provider_at(sendgrid.url, "SendGrid", shop)


@pytest.mark.usefixtures("worker", "provider")
async def test_a_mail_goes_through_sendgrid_filled_for_its_recipient(shop: Workshop, sendgrid: FakeSendGrid) -> None:
    event_id = await shop.event(
        "ann@example.org", subject="For {{email}}", text=None, html="<p>Dear {{email}} &amp; all</p>",
        from_name="Example", reply_to=[{"email": "desk@example.com", "name": "Desk"}], headers={"X-Campaign": "Summer"},
        tags=["welcome"], metadata={"order": "4711"},
    )  # fmt: skip
    (message,) = await shop.until(event_id, "sent")
    (taken,) = sendgrid.ledger
    assert message["provider_message_id"] == taken.id
    assert taken.mail == {
        "personalizations": [{"to": [{"email": "ann@example.org"}]}],
        "from": {"email": "news@example.com", "name": "Example"},
        "reply_to": {"email": "desk@example.com", "name": "Desk"},
        "subject": "For ann@example.org",
        "content": [
            {"type": "text/plain", "value": "Dear ann@example.org & all\n"},
            {"type": "text/html", "value": "<p>Dear ann@example.org &amp; all</p>"},
        ],
        "headers": {"Message-ID": message["message_id_header"], "X-Campaign": "Summer"},
        "categories": ["welcome"],
        "custom_args": {"order": "4711", "janus_message_id": str(message["id"])},
    }


@pytest.mark.usefixtures("worker", "provider")
async def test_a_group_goes_through_sendgrid_as_one_mail(shop: Workshop, sendgrid: FakeSendGrid) -> None:
    group = {
        "to": [{"email": "ann@example.org", "name": "Ann"}, {"email": "bo@example.org", "name": None}],
        "cc": [{"email": "cy@example.org", "name": None}], "bcc": [{"email": "di@example.org", "name": None}],
    }  # fmt: skip
    event_id = await shop.event("ann@example.org", send_as="group", group_recipients=group)
    await shop.until(event_id, "sent")
    (taken,) = sendgrid.ledger
    assert taken.mail["personalizations"] == [
        {
            "to": [{"email": "ann@example.org", "name": "Ann"}, {"email": "bo@example.org"}],
            "cc": [{"email": "cy@example.org"}],
            "bcc": [{"email": "di@example.org"}],
        }
    ]


async def test_a_key_is_used_once_a_try_with_this_provider_may_have_left_under_it(shop: Workshop) -> None:
    await shop.event()
    hold = await Hand(shop).claim()
    event = (await Letters(shop.database).of([hold]))[hold.event_id]
    here, there = uuid.uuid4(), uuid.uuid4()
    found = []
    for provider, outcome in [
        (there, Outcome.UNCERTAIN), (here, Outcome.PROVIDER_DOWN), (here, Outcome.UNCERTAIN),
        (there, Outcome.THROTTLED), (here, Outcome.THROTTLED),
    ]:  # fmt: skip
        hold.history.append(Try(provider, 1, outcome, ""))
        mail = outgoing(hold, event, SENDER, here).mail
        found.append((mail.idempotency_key.rpartition("-")[2], mail.key_used))
    assert found == [("0", False), ("1", False), ("1", True), ("1", True), ("2", False)]


@pytest.mark.usefixtures("worker", "provider")
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(UNAVAILABLE, "provider_down"), (SENDER_UNVERIFIED, "provider_broken"), (Reply(429), "throttled")],
    ids=["down", "sender", "throttled"],
)
async def test_what_sendgrid_cannot_take_goes_through_the_next(
    answer: Reply | Refusal, outcome: str, shop: Workshop, sendgrid: FakeSendGrid
) -> None:
    await provider_at(sendgrid.url, "another", shop)
    sendgrid.script(answer)
    event_id = await shop.event()
    await shop.until(event_id, "sent")
    assert await shop.story(event_id) == [("SendGrid", outcome), ("another", "accepted")]


@pytest.mark.usefixtures("worker", "provider")
async def test_what_sendgrid_may_have_taken_is_not_sent_through_another(shop: Workshop, sendgrid: FakeSendGrid) -> None:
    await provider_at(sendgrid.url, "another", shop)
    sendgrid.script(Act.CUT_TAKEN)
    event_id = await shop.event(on_uncertain="park")
    await shop.until(event_id, "parked", "uncertain")
    assert await shop.story(event_id) == [("SendGrid", "uncertain")]
    assert len(sendgrid.ledger) == 1


@pytest.mark.usefixtures("worker")
async def test_a_try_without_a_connection_was_never_dispatched(shop: Workshop, sendgrid: FakeSendGrid) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        await provider_at(f"http://127.0.0.1:{taken.getsockname()[1]}", "closed", shop)
        await provider_at(sendgrid.url, "open", shop)
        event_id = await shop.event()
        await shop.until(event_id, "sent")
    first, second = await shop.attempts(event_id)
    assert (first["code"], first["dispatched_at"]) == ("connection_refused", None)
    assert (second["outcome"], second["dispatched_at"] is None) == ("accepted", False)
