"""`/parked`: what nobody knows about, and the three things that a person can say of it."""

import uuid

import pytest

from janus_mail.storage.database import Database
from tests.pages.conftest import Visitor
from tests.pages.gallery import AT_SES, CUT, DOUBTFUL, Gallery, Mail, Tried
from tests.pages.reading import Element, Page

CARD = "Card payment did not go through"


def lines(page: Page) -> list[Element]:
    return page.main.one("tbody").all("tr")


async def decide(visitor: Visitor, line: Element, outcome: str) -> Page:
    """Press one of the line's three buttons."""
    form = line.one("form")
    assert outcome in [button["value"] for button in form.all("button")]
    answer = await visitor.client.post(form["action"], data={**form.values(), "outcome": outcome})
    assert answer.status_code == 200
    visitor.address = str(answer.url)
    return Page(answer.text)


async def states(database: Database, event_id: uuid.UUID) -> list[str]:
    rows = await database.pool.fetch("SELECT state FROM messages WHERE event_id = $1 ORDER BY id", event_id)
    return [row["state"] for row in rows]


async def test_a_parked_mail_stands_there_with_its_try_and_what_was_heard(visitor: Visitor, gallery: Gallery) -> None:
    page = await visitor.get("/parked")
    (line,) = lines(page)
    assert line.one("a", class_="title").text == CARD
    assert line.one("a", class_="title")["href"].startswith(f"/events/{gallery.events[CARD]}?message=")
    assert "samir@example.org" in line.text
    assert "26 min ago" in line.text
    assert "through Mailgun" in line.text
    assert "The line to Mailgun was cut after the mail had left" in line.text
    said = page.main.one("dl")
    assert [word.text for word in said.all("dt")] == ["It arrived", "Send again", "Give up"]


@pytest.mark.parametrize(
    ("outcome", "state", "sentence"),
    [
        ("sent", "sent", "Noted: it arrived."),
        ("resend", "scheduled", "It goes out once more."),
        ("failed", "failed", "Given up."),
    ],
)
async def test_each_button_does_what_it_says_and_leads_back(
    visitor: Visitor, gallery: Gallery, outcome: str, state: str, sentence: str
) -> None:
    page = await decide(visitor, lines(await visitor.get("/parked"))[0], outcome)
    assert visitor.address.endswith("/parked")
    assert page.root.one("p", role="status").text == sentence
    assert "Nothing is parked" in page.main.text
    assert await states(gallery.database, gallery.events[CARD]) == [state]


async def test_a_mail_that_was_settled_meanwhile_stays_as_it_is(visitor: Visitor, gallery: Gallery) -> None:
    line = lines(await visitor.get("/parked"))[0]
    await decide(visitor, line, "sent")
    page = await decide(visitor, line, "resend")
    assert "Nothing was changed" in page.main.text
    assert await states(gallery.database, gallery.events[CARD]) == ["sent"]


async def test_the_newest_come_first_in_pages(visitor: Visitor, empty_gallery: Gallery) -> None:
    cut = Tried("SendGrid", "uncertain", "timeout", "")
    mails = [Mail(f"n{number}@example.com", "parked", (cut,)) for number in range(45)]
    await empty_gallery.event("Many", mails, due_in_s=-60, status="parked")
    first = await visitor.get("/parked")
    assert "n44@example.com" in lines(first)[0].text
    second = await visitor.get(first.main.one("a", rel="next")["href"])
    third = await visitor.get(second.main.one("a", rel="next")["href"])
    assert [len(lines(page)) for page in (first, second, third)] == [20, 20, 5]
    assert "n0@example.com" in lines(third)[-1].text
    assert second.main.one("a", rel="prev")["href"] == "/parked"
    back = await visitor.get(third.main.one("a", rel="prev")["href"])
    assert [line["id"] for line in lines(back)] == [line["id"] for line in lines(second)]


async def test_with_nothing_parked_the_page_says_what_would_come_here(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await visitor.get("/parked")
    assert "Nothing is parked" in page.main.text
    assert page.root.one("span", id="parked-count").text == ""
    assert "parked" not in (await visitor.get("/")).main.text.lower()


async def test_the_list_of_events_and_the_menu_tell_of_parked_mails(visitor: Visitor, gallery: Gallery) -> None:
    mixed = [Mail("iris@example.com", "sent", (AT_SES,)), Mail("omar@example.org", "parked", (CUT,))]
    await gallery.event(DOUBTFUL, mixed, due_in_s=-60, status="partly_sent")
    page = await visitor.get("/")
    notice = page.main.one("div", id="notices")
    assert "2 mails are parked: nobody knows whether they arrived." in notice.text
    assert notice.one("a")["href"] == "/parked"
    assert page.root.one("span", id="parked-count").text == "2 parked mails"
    tile = page.main.one("nav", id="strip").one("a", href="/parked")
    assert tile.text == "Parked mails 2", "as many as the notice says"
    row = next(row for row in page.main.one("tbody").all("tr") if DOUBTFUL in row.text)
    assert "Partly sent" in row.text
    hint = row.one("a", class_="sub")
    assert hint.text == "1 parked: your decision"
    page = await visitor.get(hint["href"].partition("#")[0])
    assert [title.text for title in page.main.all("a", class_="title")] == ["omar@example.org"]


async def test_another_workspaces_parked_mail_is_not_there(
    visitor: Visitor, empty_gallery: Gallery, another: Gallery
) -> None:
    await another.event("Secret", [Mail("a@example.com", "parked", (AT_SES,))], due_in_s=-60, status="parked")
    page = await visitor.get("/parked")
    assert "Nothing is parked" in page.main.text
    message_id = await another.database.pool.fetchval("SELECT id FROM messages")
    token = page.form("/theme").values()["csrf_token"]
    answer = await visitor.client.post(
        f"/messages/{message_id}/resolve", data={"csrf_token": token, "outcome": "sent", "back": "/parked"}
    )
    assert answer.status_code == 404
    assert await another.database.pool.fetchval("SELECT state FROM messages") == "parked"
