"""`/`: the list of events."""

import pytest
from fastapi import FastAPI

from janus_mail.models.states import Role
from janus_mail.storage.database import Database
from tests.pages.conftest import Visitor
from tests.pages.gallery import INVOICE, NO_MAILBOX, Gallery, Mail
from tests.pages.reading import Element, Page, faults_of
from tests.pages.visiting import visiting


def rows(page: Page) -> list[list[str]]:
    """The cells of each line."""
    return [[cell.text for cell in row.all("td")] for row in page.main.one("tbody").all("tr")]


def subjects(page: Page) -> list[str]:
    return [title.text for title in page.main.all("a", class_="title")]


def tile(page: Page, word: str) -> Element:
    return next(link for link in page.main.one("nav", id="strip").all("a") if link.text.startswith(word))


async def test_events_are_listed_newest_first_with_what_matters_of_each(visitor: Visitor, gallery: Gallery) -> None:
    lines = rows(await visitor.get("/"))
    assert len(lines) == 10
    by_subject = {line[0].split("  ")[0]: line for line in lines}
    assert lines[0][0].startswith("Spring catalogue: 40 new hand planes 62 % · 123 sent, 1 failed, 76 to go")
    assert lines[0][1:2] == ["customer0@example.com and 199 more"]
    assert by_subject["Your order 20418 has shipped order"][3:] == ["Pending", "Amazon SES first"]
    assert by_subject["Quote Q-1187 for 12 bench vices sales"][3:] == ["Failed", "Google SMTP no such mailbox"]
    assert by_subject["Delivery window changed to Friday order"][3:] == ["Partly sent", "Amazon SES 209 of 212"]
    assert by_subject["Card payment did not go through billing"][3:] == ["Parked", "Mailgun your decision"]
    assert by_subject["Welcome to Northwind, Priya account"][3:] == ["Sent", "Mailgun third in the route"]


async def test_an_event_of_which_all_waits_says_why_and_until_when(visitor: Visitor, empty_gallery: Gallery) -> None:
    mails = [Mail("a@example.com", "scheduled", waiting_for="quota")]
    wish = {"provider": "SendGrid", "provider_id": empty_gallery.providers["SendGrid"], "failover": False}
    await empty_gallery.event("Fixed", mails, due_in_s=-60, status="pending", **wish)
    await empty_gallery.database.pool.execute(
        "UPDATE messages SET next_try_at = date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' "
        "+ interval '26 hours'"
    )
    (line,) = rows(await visitor.get("/"))
    assert line[4] == "SendGrid quota used up until 02:00 tomorrow"
    await empty_gallery.database.pool.execute("UPDATE messages SET waiting_for = NULL, next_try_at = due_at")
    (line,) = rows(await visitor.get("/"))
    assert line[4] == "SendGrid"


async def test_the_strip_counts_and_filters_by_status(visitor: Visitor, gallery: Gallery) -> None:
    page = await visitor.get("/")
    assert tile(page, "All").text == "All 10"
    assert tile(page, "Failed").text == "Failed 1"
    assert tile(page, "Expired")["class"] == "none"
    page = await visitor.get(tile(page, "Failed")["href"])
    assert subjects(page) == ["Quote Q-1187 for 12 bench vices"]
    assert "aria-current" in tile(page, "Failed").attributes


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=invoice+march", [INVOICE]),
        ("recipient=WEI.ZHANG%40EXAMPLE.NET", []),
        ("recipient=wei.zhang%40Example.net", ["Reset your password"]),
        ("recipient=wei", []),
        ("tag=sales", ["Quote Q-1187 for 12 bench vices"]),
        ("provider=google+smtp&status=failed", ["Quote Q-1187 for 12 bench vices"]),
        ("period=next_day&status=pending", ["Your order 20418 has shipped", "Workshop on Saturday: what to bring"]),
        ("period=last_day&status=canceled", ["Flash sale reminder"]),
        ("status=nonsense&q=invoice", [INVOICE]),
    ],
)
async def test_filters(visitor: Visitor, gallery: Gallery, query: str, found: list[str]) -> None:
    assert subjects(await visitor.get(f"/?{query}")) == found


async def test_a_filter_that_nothing_fits_offers_the_way_back(visitor: Visitor, gallery: Gallery) -> None:
    page = await visitor.get("/?q=zebra")
    assert "No event fits." in page.main.text
    assert page.root.one("section", id="list").one("a")["href"] == "/"
    assert page.root.one("input", id="q")["value"] == "zebra"


async def test_pages_lead_to_older_events_and_back_while_new_ones_come_in(visitor: Visitor, gallery: Gallery) -> None:
    for number in range(15):
        await gallery.event(f"Number {number}", [Mail("a@example.com")], due_in_s=3600, status="pending")
    first = await visitor.get("/")
    assert first.main.one("footer").one("span").text == "10 of 25 events"
    second = await visitor.get(_link(first, "next"))
    assert subjects(second)[:5] == [f"Number {number}" for number in (4, 3, 2, 1, 0)]
    form = await visitor.get("/add")
    await visitor.send(form, "/add", email_subject="New meanwhile", email_content="x", recipients="a@example.com")
    third = await visitor.get(_link(second, "next"))
    assert len(subjects(third)) == 5
    assert not third.main.all("a", rel="next")
    back = await visitor.get(_link(third, "prev"))
    assert subjects(back) == subjects(second)
    assert _link(back, "prev") != "/", "ten are newer than this page, and one more than those"
    assert subjects(await visitor.get(_link(back, "prev"))) == subjects(first)


async def test_filters_stay_while_paging(visitor: Visitor, gallery: Gallery) -> None:
    for number in range(12):
        await gallery.event(f"Offer {number}", [Mail("a@example.com")], due_in_s=3600, status="pending", tags=["offer"])
    page = await visitor.get("/?tag=offer")
    older = await visitor.get(_link(page, "next"))
    assert subjects(older) == ["Offer 1", "Offer 0"]
    assert _link(older, "prev") == "/?tag=offer"


async def test_the_list_comes_from_the_cache_and_is_never_stale_to_a_writer(
    visitor: Visitor, empty_gallery: Gallery
) -> None:
    page = await visitor.get("/add")
    await visitor.send(page, "/add", email_subject="First", email_content="x", recipients="a@example.com")
    uses = [(await visitor.client.get("/")).headers["x-cache"] for _ in range(3)]
    assert uses[0] == "miss"
    assert uses[-1] == "hit"
    await visitor.send(page, "/add", email_subject="Second", email_content="x", recipients="a@example.com")
    answer = await visitor.client.get("/")
    assert answer.headers["x-cache"] == "miss"
    assert subjects(Page(answer.text)) == ["Second", "First"]


async def test_a_page_from_the_cache_tells_the_time_of_now_and_is_the_visitors_own(
    visitor: Visitor, gallery: Gallery
) -> None:
    first = await visitor.client.get("/?status=pending")
    visitor.client.cookies.clear()
    visitor.client.cookies.set("janus_zone", "Asia%2FTokyo")
    second = await visitor.client.get("/?status=pending")
    assert second.headers["x-cache"] == "hit"
    assert "Times are Tokyo time" in second.text
    tokens = [Page(answer.text).form("/theme").values()["csrf_token"] for answer in (first, second)]
    assert tokens[0] != tokens[1]


async def test_the_page_asks_for_itself_often_while_something_is_sent(visitor: Visitor, gallery: Gallery) -> None:
    live = (await visitor.get("/?q=order")).root.one("div", id="live")
    assert live["hx-trigger"] == "every 2s"
    assert live["hx-get"] == "/?q=order&was_moving=1"
    assert (await visitor.get("/")).root.one("noscript")
    await gallery.database.pool.execute("UPDATE events SET status = 'sent' WHERE status = 'sending'")
    quiet = await visitor.get("/?q=spring")
    assert quiet.root.one("div", id="live")["hx-trigger"] == "every 5s"
    assert not quiet.root.all("noscript")


async def test_the_end_of_sending_is_said_once_and_only_by_an_update(visitor: Visitor, gallery: Gallery) -> None:
    await gallery.database.pool.execute("UPDATE events SET status = 'sent' WHERE status = 'sending'")
    assert (await visitor.get("/?was_moving=1")).root.one("p", id="said").text == ""
    said = Page((await visitor.update("/?was_moving=1")).text).root.one("p", id="said")
    assert said.text == "Nothing is being sent any more."
    assert Page((await visitor.update("/")).text).root.one("p", id="said").text == ""


async def test_an_empty_workspace_is_told_the_first_steps(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await visitor.get("/")
    assert page.root.one("h1").text == "Nothing is scheduled yet"
    assert "curl -X POST http://testserver/api/events" in page.main.one("pre").text
    sent = await visitor.send(page, "/add/first")
    assert sent.root.one("h1").text == "Hello from Janus"


async def test_who_may_schedule_nothing_is_told_no_first_steps(
    app: FastAPI, database: Database, empty_gallery: Gallery
) -> None:
    async with visiting(app, database, "vic@example.com", Role.VIEWER) as viewer:
        page = await viewer.get("/")
        assert faults_of(page) == []
        assert "What owners and editors of the workspace schedule is here" in page.main.text
        assert page.main.all("ol") == []


async def test_the_first_page_turns_into_the_list_when_something_is_scheduled(
    visitor: Visitor, empty_gallery: Gallery
) -> None:
    page = await visitor.get("/")
    poll = page.root.one("div", id="live")["hx-get"]
    answer = await visitor.update(poll)
    assert (answer.status_code, answer.headers.get("hx-refresh")) == (204, None)
    await visitor.send(page, "/add/first")
    answer = await visitor.update(poll)
    assert (answer.status_code, answer.headers.get("hx-refresh")) == (204, "true")


async def test_a_long_subject_and_a_long_address_are_cut_in_the_list(visitor: Visitor, gallery: Gallery) -> None:
    address = f"{'a' * 64}@{'b' * 60}.{'c' * 60}.{'d' * 60}.example"
    await gallery.event("s" * 998, [Mail(address, "failed", (NO_MAILBOX,))], due_in_s=-60, status="failed")
    page = await visitor.get("/")
    assert subjects(page)[0] == "s" * 119 + "…"
    event = await visitor.get(f"/events/{gallery.events['s' * 998]}")
    assert event.root.one("h1").text == "s" * 159 + "…"
    assert "s" * 998 in event.root.one("dl", class_="facts").text
    assert address in event.main.text


async def test_markup_in_what_callers_wrote_is_text(visitor: Visitor, gallery: Gallery) -> None:
    nasty = '<script>alert(1)</script> "quoted" & so on'
    await gallery.event(nasty, [Mail("a@example.com")], due_in_s=60, status="pending", tags=["<b>"])
    page = await visitor.get("/")
    assert subjects(page)[0] == nasty
    assert "<script>alert" not in page.html
    event = await visitor.get(f"/events/{gallery.events[nasty]}")
    assert event.root.one("h1").text == nasty


def _link(page: Page, rel: str) -> str:
    return page.main.one("footer").one("a", rel=rel)["href"]
