"""What came back, as the API and the event's page show it."""

import time
import uuid
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import httpx
import pytest

from janus_mail.events.answers import FeedbackOut, ProviderRef
from janus_mail.models.states import FeedbackType
from janus_mail.pages.feedback_words import LOOKS, delivery_note, happenings
from janus_mail.pages.times import Clock
from tests.delivery.conftest import Workshop
from tests.feedback.conftest import Service, event, message_sent
from tests.pages.conftest import Visitor, visitor
from tests.pages.reading import Page

__all__ = ["visitor"]


async def test_the_api_answers_a_message_with_what_came_back_first_first(
    shop: Workshop, sendgrid: Service, api: httpx.AsyncClient
) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    await sendgrid.tell(
        event("click", message_id, timestamp=1_700_000_300, url="https://example.com/x"),
        event("delivered", message_id, timestamp=1_700_000_100, response="250 OK"),
    )
    shown = (await api.get(f"/api/messages/{message_id}")).json()
    assert shown["delivery_status"] == "clicked"
    assert [(one["type"], one["at"], one["reason"]) for one in shown["feedback"]] == [
        ("delivered", "2023-11-14T22:15:00Z", "250 OK"), ("clicked", "2023-11-14T22:18:20Z", None),
    ]  # fmt: skip
    last = shown["feedback"][1]
    assert (last["recipient"], last["details"]) == ("ann@example.org", {"url": "https://example.com/x"})
    assert last["provider"] == {"id": str(sendgrid.provider_id), "kind": "sendgrid", "name": "SendGrid"}
    listed = (await api.get("/api/messages")).json()["data"]
    assert [one["delivery_status"] for one in listed] == ["clicked"]


async def test_what_came_back_in_one_second_is_told_as_a_mail_goes_on_its_way(
    shop: Workshop, sendgrid: Service, api: httpx.AsyncClient
) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    words = ("click", "open", "delivered", "processed")
    await sendgrid.tell(*(event(word, message_id, timestamp=1_700_000_100) for word in words))
    shown = (await api.get(f"/api/messages/{message_id}")).json()["feedback"]
    assert [one["type"] for one in shown] == ["queued", "delivered", "opened", "clicked"]


async def test_the_api_shows_what_proved_a_mail_in_doubt(
    shop: Workshop, sendgrid: Service, api: httpx.AsyncClient
) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id, state="uncertain")
    await sendgrid.tell(event("delivered", message_id))
    (attempt,) = (await api.get(f"/api/messages/{message_id}")).json()["attempts"]
    assert (attempt["outcome"], attempt["evidence"]) == ("uncertain", "feedback: delivered")
    assert attempt["evidence_at"]


async def test_another_workspace_sees_none_of_it(shop: Workshop, sendgrid: Service, api: httpx.AsyncClient) -> None:
    other = uuid.uuid4()
    await shop.database.pool.execute("INSERT INTO workspaces (id, handle, name) VALUES ($1, 'other', 'other')", other)
    message_id = await message_sent(shop, sendgrid.provider_id, workspace_id=other)
    assert (await api.get(f"/api/messages/{message_id}")).status_code == 404


def steps(page: Page) -> list[tuple[str, str]]:
    """What happened, and all that is said about it."""
    return [(step.one("h3").text, step.text) for step in page.main.one("ol", class_="way").all("li")]


async def opened(visitor: Visitor, shop: Workshop, message_id: uuid.UUID) -> Page:
    event_id = await shop.database.pool.fetchval("SELECT event_id FROM messages WHERE id = $1", message_id)
    return await visitor.get(f"/events/{event_id}?message={message_id}")


async def test_the_timeline_tells_what_came_back_in_words(shop: Workshop, sendgrid: Service, visitor: Visitor) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    at = int(time.time())
    await sendgrid.tell(
        event("open", message_id, timestamp=at + 9), event("open", message_id, timestamp=at + 5, sg_machine_open=True),
        event("delivered", message_id, timestamp=at), event("processed", message_id, timestamp=at),
        event("click", message_id, timestamp=at + 6, url="https://example.com/x"),
        event("spamreport", message_id, timestamp=at + 20),
    )  # fmt: skip
    page = await opened(visitor, shop, message_id)
    assert [happened for happened, _ in steps(page)][2:] == [
        "SendGrid has the mail", "Delivered", "Opened", "A link was clicked", "The recipient called it spam",
    ]  # fmt: skip
    told = dict(steps(page))
    assert "some mail programs open every mail. 2 times in all, the last at " in told["Opened"]
    assert "https://example.com/x" in told["A link was clicked"]
    assert "suppressed from now on" in told["The recipient called it spam"]
    row = page.main.one("tr", class_="open").text
    assert "Complaint" in row
    assert "the recipient called it spam" in row
    assert "Of 1 mail sent, 1 was called spam." in page.main.text


async def test_a_bounce_is_told_with_its_reason(shop: Workshop, sendgrid: Service, visitor: Visitor) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    await sendgrid.tell(event("bounce", message_id, type="bounce", reason="550 5.1.1 No such <user>"))
    page = await opened(visitor, shop, message_id)
    row = page.main.one("tr", class_="open").text
    assert "Bounced" in row
    assert "came back: 550 5.1.1 No such <user>" in row
    happened, text = steps(page)[-1]
    assert happened == "It came back"
    assert text.endswith("550 5.1.1 No such <user>")
    assert "Of 1 mail sent, 1 came back." in page.main.text


async def test_a_sent_mail_says_that_no_report_has_come_where_one_may(
    shop: Workshop, sendgrid: Service, visitor: Visitor
) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    assert "no report yet" not in (await opened(visitor, shop, message_id)).main.text
    await sendgrid.tell(event("delivered", email="ben@example.org"))  # another mail
    assert "taken by SendGrid, no report yet" in (await opened(visitor, shop, message_id)).main.text


async def test_the_timeline_tells_why_a_mail_in_doubt_counts_as_sent(
    shop: Workshop, sendgrid: Service, visitor: Visitor
) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id, state="uncertain")
    assert "Nobody knows whether it arrived" in (await opened(visitor, shop, message_id)).main.text
    await sendgrid.tell(event("delivered", message_id))
    page = await opened(visitor, shop, message_id)
    assert "Nobody knows whether it arrived" not in page.main.text
    _, doubt = steps(page)[1]
    assert doubt.count("until SendGrid told: it has it. So it counts as sent, and is not sent again.") == 1
    assert steps(page)[2][0] == "Delivered"


async def test_of_a_group_the_page_tells_whom_it_came_back_from(
    shop: Workshop, sendgrid: Service, visitor: Visitor
) -> None:
    group = {"to": [{"email": f"{name}@example.org", "name": None} for name in ("ann", "ben")]}
    message_id = await message_sent(
        shop, sendgrid.provider_id, send_as="group", group_recipients=group, recipients_count=2
    )
    await sendgrid.tell(
        event("delivered", message_id),
        event("bounce", message_id, type="bounce", email="ben@example.org", reason="550 No"),
    )
    page = await opened(visitor, shop, message_id)
    members = [one.text for one in page.main.one("ul", class_="members").all("li")]
    assert members == ["ann@example.org Delivered", "ben@example.org 550 No Bounced"]
    assert [happened for happened, _ in steps(page)][2:] == [
        "Delivered for ann@example.org", "It came back for ben@example.org",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", list(FeedbackType))
def test_every_word_that_can_be_stored_has_its_look_and_its_sentence(kind: FeedbackType) -> None:
    now = datetime.now(UTC)
    provider = ProviderRef(id=uuid.uuid4(), kind="sendgrid", name="SendGrid")
    told = FeedbackOut(id=uuid.uuid4(), type=kind, at=now, provider=provider, recipient=None, reason=None, details={})
    (happening,) = happenings([told], Clock(now, ZoneInfo("UTC")), of_group=False)
    assert happening.happened
    assert happening.matters.endswith(".")
    assert "{" not in happening.happened + happening.matters
    if kind is not FeedbackType.UNKNOWN:
        assert LOOKS[kind].word
        assert "{" not in delivery_note(kind, "SendGrid", None, heard=True)
