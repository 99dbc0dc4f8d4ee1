"""The stop button: pausing, resuming, and canceling what a filter shows."""

from datetime import UTC, datetime

import pytest

from tests.pages.conftest import Visitor
from tests.pages.gallery import AT_SES, HOUR, Gallery, Mail
from tests.pages.reading import Page


async def paused(gallery: Gallery) -> bool:
    at = await gallery.database.pool.fetchval("SELECT paused_at FROM workspaces WHERE id = $1", gallery.workspace_id)
    return at is not None


async def canceled(gallery: Gallery) -> list[str]:
    rows = await gallery.database.pool.fetch("SELECT recipient FROM messages WHERE state = 'canceled' ORDER BY id")
    return [row["recipient"] for row in rows]


async def some_events(gallery: Gallery) -> None:
    begun = [Mail("a@example.com", "sent", (AT_SES,)), Mail("b@example.com"), Mail("c@example.com", "leased")]
    await gallery.event("Begun", begun, due_in_s=-60, status="sending", tags=["spring"])
    await gallery.event("Waits", [Mail("d@example.com")], due_in_s=HOUR, status="pending", tags=["spring"])
    await gallery.event("Other", [Mail("e@example.com")], due_in_s=HOUR, status="pending", tags=["autumn"])


async def test_pausing_says_what_it_does_and_then_every_page_says_so(visitor: Visitor, empty_gallery: Gallery) -> None:
    await some_events(empty_gallery)
    page = await visitor.get("/")
    assert page.root.one("div", id="band").text == ""
    question = page.form("/pause")
    assert "nothing leaves" in question.text
    assert question.parent is not None
    assert question.parent.tag == "details"
    page = await visitor.send(page, "/pause")
    assert await paused(empty_gallery)
    assert await empty_gallery.database.pool.fetchval("SELECT count(*) FROM messages WHERE state = 'leased'") == 0
    assert not page.root.all("form", action="/pause")
    for path in ("/", "/add", "/providers", "/parked", "/mailbox", f"/events/{empty_gallery.events['Waits']}"):
        band = (await visitor.get(path)).root.one("div", id="band")
        assert band.text.startswith("Sending is paused since")
        assert "nothing leaves" in band.text
    assert "Sending is paused" in (await visitor.update("/pulse")).text


async def test_resuming_leads_back_and_says_what_is_due(visitor: Visitor, empty_gallery: Gallery) -> None:
    await some_events(empty_gallery)
    await visitor.send(await visitor.get("/"), "/pause")
    page = await visitor.send(await visitor.get("/providers"), "/resume")
    assert visitor.address.endswith("/providers")
    assert page.root.one("div", id="band").text == ""
    assert page.root.one("p", role="status").text == "Sending goes on: 2 mails are due now."
    assert not await paused(empty_gallery)


@pytest.mark.parametrize("back", ["//elsewhere.example/x", "https://elsewhere.example/", "/\\elsewhere.example"])
async def test_resuming_leads_nowhere_else(visitor: Visitor, empty_gallery: Gallery, back: str) -> None:
    await some_events(empty_gallery)
    await visitor.send(await visitor.get("/"), "/pause")
    await visitor.send(await visitor.get("/providers"), "/resume", back=back)
    assert visitor.address == "http://localhost/"


async def test_pausing_stops_no_other_workspace(visitor: Visitor, empty_gallery: Gallery, another: Gallery) -> None:
    await some_events(empty_gallery)
    await visitor.send(await visitor.get("/"), "/pause")
    assert await paused(empty_gallery)
    assert not await paused(another)


@pytest.mark.parametrize("path", ["/pause", "/resume", "/cancel"])
async def test_without_the_token_nothing_is_stopped(visitor: Visitor, empty_gallery: Gallery, path: str) -> None:
    await visitor.get("/")
    answer = await visitor.client.post(path, data={"csrf_token": "guessed", "status": "pending"})
    assert answer.status_code == 403
    assert not await paused(empty_gallery)


async def test_canceling_many_is_offered_only_with_a_filter(visitor: Visitor, empty_gallery: Gallery) -> None:
    await some_events(empty_gallery)
    assert "Cancel these" not in (await visitor.get("/")).main.text
    page = await visitor.get("/?tag=spring")
    assert page.main.one("a", class_="danger")["href"] == "/cancel?tag=spring"
    assert (await visitor.client.get("/cancel")).url.path == "/"


async def test_what_fits_is_counted_first_and_then_canceled(
    visitor: Visitor, empty_gallery: Gallery, another: Gallery
) -> None:
    await some_events(empty_gallery)
    await another.event("Theirs", [Mail("x@example.com")], due_in_s=HOUR, status="pending", tags=["spring"])
    page = await visitor.get("/cancel?tag=spring")
    assert "This cancels 3 mails of 2 events; 1 is leaving or has left already." in page.main.text
    assert [item.text for item in page.main.all("li")] == ["Waits to 1", "Begun to 3"]
    assert page.root.one("title").text == "Cancel 3 mails? · Janus"
    assert await canceled(empty_gallery) == []
    page = await visitor.send(page, "/cancel")
    assert visitor.address.endswith("/?tag=spring")
    assert page.main.one("p", class_="good").text == "3 emails canceled. For 1 email it was too late."
    assert await canceled(empty_gallery) == ["b@example.com", "c@example.com", "d@example.com"]


async def test_what_was_scheduled_after_the_question_stays(visitor: Visitor, empty_gallery: Gallery) -> None:
    await some_events(empty_gallery)
    page = await visitor.get("/cancel?status=pending&period=next_day")
    later = datetime.now(UTC)  # before the answer, and so not kept out by its own time
    await empty_gallery.event(
        "Late", [Mail("late@example.com")], due_in_s=HOUR, status="pending", tags=["spring"], created_at=later
    )
    await visitor.send(page, "/cancel")
    assert await canceled(empty_gallery) == ["d@example.com", "e@example.com"]


@pytest.mark.parametrize("query", ["tag=winter", "recipient=nobody", "status=failed"])
async def test_where_nothing_can_be_called_back_there_is_no_button(
    visitor: Visitor, empty_gallery: Gallery, query: str
) -> None:
    await some_events(empty_gallery)
    page = await visitor.get(f"/cancel?{query}")
    assert "No event fits." in page.main.text
    assert not page.main.all("form", action="/cancel")


async def test_what_is_over_is_not_offered_for_canceling(visitor: Visitor, empty_gallery: Gallery) -> None:
    await empty_gallery.event("Over", [Mail("a@example.com", "sent", (AT_SES,))], due_in_s=-60, status="sent")
    assert "Cancel these" not in (await visitor.get("/?q=over")).main.text
    assert "Nothing of what fits can be called back any more." in (await visitor.get("/cancel?q=over")).main.text


async def test_a_form_without_a_filter_cancels_nothing(visitor: Visitor, empty_gallery: Gallery) -> None:
    await some_events(empty_gallery)
    page: Page = await visitor.get("/cancel?tag=spring")
    await visitor.send(page, "/cancel", tag="", status=400)
    assert await canceled(empty_gallery) == []
