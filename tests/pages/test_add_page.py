"""`/add`: scheduling by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from janus_mail.storage.database import Database
from tests.pages.conftest import Visitor
from tests.pages.gallery import INVOICE, Gallery, trouble
from tests.pages.reading import Page, faults_of

FILLED = {"email_subject": "Hello", "email_content": "It works.", "recipients": "ann@example.com"}


async def schedule(visitor: Visitor, **fields: str) -> Page:
    return await visitor.send(await visitor.get("/add"), "/add", FILLED | fields)


async def refused(visitor: Visitor, **fields: str) -> Page:
    page = await visitor.send(await visitor.get("/add"), "/add", FILLED | fields, status=400)
    assert faults_of(page) == []
    return page


def problems(page: Page) -> list[str]:
    return [item.text for item in page.main.one("div", id="errors").all("li")]


async def events(database: Database) -> int:
    many: int = await database.pool.fetchval("SELECT count(*) FROM events")
    return many


async def test_the_four_fields_of_old_are_enough(visitor: Visitor, empty_gallery: Gallery, database: Database) -> None:
    page = await schedule(visitor, send_at="2030-01-02T03:04", timezone="UTC")
    assert page.root.one("h1").text == "Hello"
    assert "Scheduled. You can cancel it until it begins to leave." in page.main.text
    row = await database.pool.fetchrow("SELECT * FROM events")
    assert row is not None
    assert row["expected_sent_at"] == datetime(2030, 1, 2, 3, 4, tzinfo=UTC)
    assert row["text"] == "It works."
    assert row["failover"] is True
    assert row["created_by"] == "anonymous"


async def test_everything_else_arrives_as_it_was_typed(
    visitor: Visitor, empty_gallery: Gallery, database: Database
) -> None:
    await schedule(
        visitor, recipients='"Lee, Ann" <ann@example.com>\nbob@example.com, ann@example.com', email_html="<p>Hi</p>",
        email_content="one\r\ntwo", send_at="2030-07-01T09:00", timezone="Europe/Berlin", from_email="me@example.org",
        from_name="Me", reply_to="you@example.org", send_as="group", cc="carl@example.com", bcc="dora@example.com",
        provider="SendGrid", failover="", priority="high", expires_at="2030-07-01T10:00", on_uncertain="park",
        tags="a, b", headers="X-One: 1\nX-Two: 2", metadata="order = 4711",
    )  # fmt: skip
    row = await database.pool.fetchrow("SELECT * FROM events")
    assert row is not None
    assert row["expected_sent_at"] == datetime(2030, 7, 1, 7, tzinfo=UTC)
    assert row["expires_at"] == datetime(2030, 7, 1, 8, tzinfo=UTC)
    assert (row["text"], row["html"], row["from_email"], row["from_name"]) == (
        "one\ntwo", "<p>Hi</p>", "me@example.org", "Me",
    )  # fmt: skip
    assert row["group_recipients"]["to"] == [
        {"email": "ann@example.com", "name": "Lee, Ann"}, {"email": "bob@example.com", "name": None},
    ]  # fmt: skip
    assert [to["email"] for role in ("cc", "bcc") for to in row["group_recipients"][role]] == [
        "carl@example.com", "dora@example.com",
    ]  # fmt: skip
    assert (row["provider"], row["priority"], row["on_uncertain"], row["send_as"]) == ("SendGrid", 0, "park", "group")
    assert row["tags"] == ["a", "b"]
    assert row["headers"] == {"X-One": "1", "X-Two": "2"}
    assert row["metadata"] == {"order": "4711"}
    assert row["reply_to"] == [{"email": "you@example.org", "name": None}]


async def test_a_box_that_is_not_ticked_means_no(visitor: Visitor, empty_gallery: Gallery, database: Database) -> None:
    page = await visitor.get("/add")
    fields = page.form("/add").values() | FILLED
    del fields["failover"]
    await visitor.client.post("/add", data=fields)
    assert await database.pool.fetchval("SELECT failover FROM events") is False


@pytest.mark.parametrize(("when", "hours"), [("now", 0.0), ("1h", 1.0)])
async def test_now_and_in_one_hour_need_no_date(
    visitor: Visitor, empty_gallery: Gallery, database: Database, when: str, hours: float
) -> None:
    await schedule(visitor, when=when, send_at="nonsense")
    at = await database.pool.fetchval("SELECT expected_sent_at FROM events")
    assert abs(at - datetime.now(UTC) - timedelta(hours=hours)) < timedelta(seconds=10)


@pytest.mark.parametrize("when", ["tomorrow", "monday"])
async def test_tomorrow_and_monday_are_nine_o_clock_in_the_chosen_zone(
    visitor: Visitor, empty_gallery: Gallery, database: Database, when: str
) -> None:
    await schedule(visitor, when=when, timezone="Asia/Tokyo")
    at = (await database.pool.fetchval("SELECT expected_sent_at FROM events")) + timedelta(hours=9)
    today = (datetime.now(UTC) + timedelta(hours=9)).date()
    assert (at.hour, at.minute) == (9, 0)
    assert at.date() > today
    assert at.weekday() == 0 if when == "monday" else at.date() == today + timedelta(days=1)


async def test_all_that_is_wrong_is_named_at_once_and_what_was_typed_is_kept(
    visitor: Visitor, empty_gallery: Gallery, database: Database
) -> None:
    typed = {
        "email_subject": "", "recipients": "ann@example.com, jonas@example", "email_content": "\nfirst line empty",
        "send_at": "2030-03-13T09:00", "expires_at": "2030-03-13T08:00", "from_email": "no address", "headers": "odd",
        "tags": "keep, me", "provider": "Amazon SES",
    }  # fmt: skip
    page = await refused(visitor, **typed)
    assert page.root.one("title").text == "Error: Schedule an email · Janus"
    assert page.main.one("div", id="errors").one("h2").text == "5 things to put right"
    assert [problem.partition(":")[0] for problem in problems(page)] == [
        "Subject", "Recipients", "From", "Expires", "Extra headers",
    ]  # fmt: skip
    assert "“jonas@example” is not an email address." in problems(page)[1]
    assert "Expires: This is not after the sending time." in problems(page)
    kept = page.form("/add").values()
    assert {name: kept[name] for name in typed} == typed
    assert "open" in page.main.all("details", class_="more")[1].attributes
    for field in ("email_subject", "recipients", "from_email", "expires_at", "headers"):
        assert next(e for e in page.main.all() if e.attributes.get("id") == field)["aria-invalid"] == "true"
    assert await events(database) == 0


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"email_content": " "}, "Text: Write a text, or HTML."),
        ({"recipients": " , "}, "Recipients: Recipients are required."),
        ({"send_at": "soonish"}, "Date and time:"),
        ({"send_at": ""}, "Date and time: This is needed."),
        ({"send_at": "2099-01-01T00:00"}, "Date and time: This is more than five years ahead."),
        ({"timezone": "Mars/Olympus"}, "Time zone: Mars/Olympus is not an IANA time zone"),
        ({"cc": "x@example.com"}, "Copies: Only one mail to all can have copies."),
        ({"headers": "From: x@example.com"}, "Extra headers:"),
        ({"email_content": "Hello {{name}}"}, "Recipients: ann@example.com has no value for {{name}}."),
        ({"provider": "Nobody"}, "First provider: There is no provider Nobody."),
        ({"email_subject": "a" * 999}, "Subject:"),
        ({"tags": ",".join("abcdefghijk")}, "Tags:"),
        ({"priority": "urgent"}, "Priority:"),
    ],
)
async def test_what_is_wrong_is_said_at_its_field_in_plain_words(
    visitor: Visitor, empty_gallery: Gallery, database: Database, fields: dict[str, str], says: str
) -> None:
    page = await refused(visitor, **fields)
    (problem,) = problems(page)
    assert problem.startswith(says)
    link = page.main.one("div", id="errors").one("a")["href"].removeprefix("#")
    assert [element for element in page.main.all() if element.attributes.get("id") == link]
    assert await events(database) == 0


async def test_an_invented_recipient_is_not_blamed_for_the_one_that_was_typed(
    visitor: Visitor, empty_gallery: Gallery
) -> None:
    page = await refused(visitor, email_subject="Hi {{foo}}", recipients="a@example.com")
    assert problems(page) == ["Recipients: a@example.com has no value for {{foo}}."]


async def test_what_is_there_and_wrong_is_not_called_missing(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await refused(visitor, email_content="", tags=",".join("abcdefghijk"))
    assert not any("This is needed" in problem for problem in problems(page))
    assert len(problems(page)) == 2


async def test_many_wrong_addresses_are_named_up_to_a_point(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await refused(visitor, recipients=", ".join(f"wrong{n}" for n in range(100)))
    assert len(problems(page)) == 6
    assert problems(page)[-1] == "Recipients: 95 more like these."


async def test_a_form_that_is_sent_twice_makes_one_event(
    visitor: Visitor, empty_gallery: Gallery, database: Database
) -> None:
    page = await visitor.get("/add")
    await visitor.send(page, "/add", FILLED)
    first = visitor.address
    await visitor.send(page, "/add", FILLED)
    assert visitor.address == first
    assert await events(database) == 1
    await visitor.send(page, "/add", FILLED, email_subject="Another")
    assert await events(database) == 2


async def test_a_page_that_has_grown_old_gives_back_what_was_typed(
    visitor: Visitor, empty_gallery: Gallery, database: Database
) -> None:
    page = await visitor.get("/add")
    visitor.client.cookies.clear()
    old = await visitor.send(page, "/add", FILLED, status=403)
    assert "This page had grown old." in problems(old)[0]
    assert await events(database) == 0
    await visitor.send(old, "/add", FILLED)
    assert await events(database) == 1


async def test_recipients_are_read_while_they_are_typed(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await visitor.get("/add")
    typed = "Noor <noor@example.com>, jonas@example, wei@example.net\nnoor@example.com"
    fields = page.form("/add").values() | {"recipients": typed}
    part = Page((await visitor.client.post("/add/recipients", data=fields)).text)
    assert part.root.text.startswith("Read as 2 people, 1 double left out:")
    chips = part.root.one("ul").all("li")
    assert [chip.text for chip in chips] == ["jonas@example", "Noor", "wei@example.net"]
    assert chips[0]["class"] == "off"
    assert part.root.one("span", id="go").text == "Schedule for 2 people"


async def test_ten_thousand_recipients_are_read_and_the_first_are_shown(
    visitor: Visitor, empty_gallery: Gallery
) -> None:
    page = await visitor.get("/add")
    many = ",".join(f"customer{n}@example.com" for n in range(10_000))
    answer = await visitor.client.post("/add/recipients", data=page.form("/add").values() | {"recipients": many})
    part = Page(answer.text)
    assert len(part.root.one("ul").all("li")) == 31
    assert part.root.one("ul").all("li")[-1].text == "and 9,970 more"


async def test_what_will_happen_is_told_before_it_is_sent(visitor: Visitor, gallery: Gallery) -> None:
    page = await visitor.get("/add")
    fields = page.form("/add").values() | FILLED | {
        "recipients": "a@example.com, b@example.com", "send_at": "2030-03-13T09:00", "timezone": "Europe/Berlin",
        "provider": "Mailgun",
    }  # fmt: skip
    part = Page((await visitor.client.post("/add/check", data=fields)).text)
    facts = part.root.one("dl").text
    assert facts.startswith("Leaves Wednesday 13 March 2030, 09:00 Berlin 08:00 UTC, in")
    assert "To 2 people, one mail each" in facts
    assert "bytes each" in facts
    assert [line.text for line in part.root.one("ol").all("li")] == [
        "1 · Mailgun Sandbox", "2 · Amazon SES Sandbox", "3 · SendGrid Sandbox",
        "– · Google SMTP Left out Switched off",
    ]  # fmt: skip
    assert part.root.one("p", id="leaves").text.startswith("Wednesday 13 March 2030, 09:00 in Berlin: in")


async def test_which_way_it_will_go_knows_of_circuits_and_quotas(visitor: Visitor, gallery: Gallery) -> None:
    await trouble(gallery)
    await gallery.database.pool.execute("UPDATE providers SET daily_quota = 100 WHERE name = 'Amazon SES'")
    page = await visitor.get("/add")
    lines = [line.text for line in page.main.one("div", id="ways").all("li")]
    assert lines[0].startswith("– · Amazon SES Left out Its daily quota is used up, until 00:00 tomorrow")
    assert "Its circuit is open: the provider refuses us: 535 5.7.8" in lines[1]
    assert lines[2] == "– · Mailgun Left out Its circuit is open: the account is being moved"
    assert lines[3] == "– · Google SMTP Left out Switched off"
    assert "No provider can take the mail now: it waits until one can." in page.main.one("div", id="ways").text
    assert "no provider can take it now" in page.main.one("div", id="happens").text


async def test_half_a_form_says_what_it_can(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await visitor.get("/add")
    fields = page.form("/add").values() | {"send_at": "", "recipients": "a@example.com, wrong"}
    part = Page((await visitor.client.post("/add/check", data=fields)).text)
    assert "no time yet" in part.root.text
    assert "1 person 1 address to put right" in part.root.text


async def test_an_earlier_event_can_be_used_again(visitor: Visitor, gallery: Gallery, database: Database) -> None:
    page = await visitor.get(f"/add?again={gallery.events[INVOICE]}")
    values = page.form("/add").values()
    assert values["email_subject"] == INVOICE
    assert values["recipients"].startswith('"Ada" <ada.lindqvist@example.com>,\nfelix.brandt@example.net')
    assert values["from_email"] == "billing@northwind.example"
    assert values["metadata"] == "batch = inv-2026-03"
    assert values["expires_at"] == ""
    assert values["on_uncertain"] == ""  # the workspace's own way, which one of the two is chosen for
    before = await events(database)
    await visitor.send(page, "/add", email_content="No placeholder", email_html="")
    assert await events(database) == before + 1


async def test_a_new_form_proposes_the_next_full_hour_in_the_visitors_zone(
    visitor: Visitor, empty_gallery: Gallery
) -> None:
    visitor.client.cookies.set("janus_zone", "Asia%2FTokyo")
    values = (await visitor.get("/add")).form("/add").values()
    assert values["timezone"] == "Asia/Tokyo"
    proposed = datetime.fromisoformat(values["send_at"])
    ahead = proposed - (datetime.now(UTC) + timedelta(hours=9)).replace(tzinfo=None)
    assert timedelta(minutes=29) < ahead <= timedelta(minutes=90)


async def test_without_javascript_the_form_can_be_checked_and_nothing_is_scheduled(
    visitor: Visitor, gallery: Gallery
) -> None:
    page = await visitor.get("/add")
    check = page.root.one("noscript").one("button")
    assert check["form"] == page.form("/add")["id"]
    before = await gallery.database.pool.fetchval("SELECT count(*) FROM events")
    fields = {"email_subject": "Not yet", "email_content": "x", "recipients": "ann@example.com, ben@example.com"}
    page = await visitor.send(page, "/add", {**fields, check["name"]: check["value"]})
    assert "2 people, one mail each" in page.main.one("div", id="happens").text
    assert page.form("/add").values()["email_subject"] == "Not yet"
    assert await gallery.database.pool.fetchval("SELECT count(*) FROM events") == before
