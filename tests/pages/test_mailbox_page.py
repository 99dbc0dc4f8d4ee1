"""`/mailbox`: what the sandbox caught."""

from email import message_from_bytes
from email.policy import SMTP

import pytest

from janus_mail.pages.letter import read_letter
from janus_mail.storage.database import Database
from tests.pages.conftest import Visitor
from tests.pages.gallery import Gallery
from tests.pages.reading import Page

NEWEST = "Your order 20418 has shipped"


def listed(page: Page) -> list[str]:
    return [letter.one("b").text for letter in page.main.one("ul", class_="letters").all("li")]


async def test_caught_mails_are_listed_newest_first_and_the_newest_is_opened(
    visitor: Visitor, gallery: Gallery
) -> None:
    page = await visitor.get("/mailbox")
    assert listed(page)[0] == NEWEST
    assert len(listed(page)) == 6
    assert page.root.one("h2", id="opened").text == NEWEST
    facts = page.main.one("dl", class_="facts").text
    assert facts.startswith("From Northwind Tools <orders@northwind.example> To Noor Haddad <noor.haddad@example.com>")
    assert "23 s ago by Amazon SES" in facts or "24 s ago by Amazon SES" in facts
    assert page.root.one("span", id="caught").text == "6 caught mails"


async def test_a_mail_is_shown_in_each_of_its_forms(visitor: Visitor, gallery: Gallery) -> None:
    page = await visitor.get("/mailbox")
    tabs = {tab.text: tab["href"] for tab in page.main.one("nav", class_="tabs").all("a")}
    assert list(tabs) == ["HTML", "Text", "Headers (5)", "Source"]
    frame = page.main.one("iframe")
    html = await visitor.client.get(frame["src"])
    assert "Dear Noor," in html.text
    assert html.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    text = await visitor.client.get((await visitor.get(tabs["Text"])).main.one("iframe")["src"])
    assert "<pre>\nDear Noor,\n" in text.text
    assert "background: #fff" in text.text, "on white in dark mode too"
    headers = await visitor.get(tabs["Headers (5)"])
    assert not headers.main.all("iframe")
    assert "Subject Your order 20418 has shipped" in headers.main.text
    source = await visitor.client.get((await visitor.get(tabs["Source"])).main.one("iframe")["src"])
    assert "MIME-Version: 1.0" in source.text


async def test_a_mail_can_be_taken_home_byte_for_byte(visitor: Visitor, gallery: Gallery, database: Database) -> None:
    page = await visitor.get("/mailbox")
    link = next(a for a in page.main.all("a") if a.text.startswith("Download .eml"))
    answer = await visitor.client.get(link["href"])
    content = await database.pool.fetchval("SELECT content FROM captured_mails ORDER BY id DESC LIMIT 1")
    assert answer.content == content
    assert answer.headers["content-type"] == "message/rfc822"
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert message_from_bytes(answer.content, policy=SMTP)["Subject"] == NEWEST


async def test_the_way_leads_to_its_event_and_its_provider(visitor: Visitor, gallery: Gallery) -> None:
    page = await visitor.get("/mailbox")
    links = {link.text: link["href"] for link in page.main.one("dl", class_="facts").all("a")}
    event = await visitor.get(links["its event"])
    assert event.main.one("ol", class_="way")
    assert links["Amazon SES"] == f"/providers#p-{gallery.providers['Amazon SES']}"


async def test_the_opened_mail_stays_while_new_ones_come_in(visitor: Visitor, gallery: Gallery) -> None:
    page = await visitor.get("/mailbox")
    live = page.root.one("div", id="live")
    await gallery.caught("Newer still", "x@example.com", 0)
    update = Page((await visitor.update(live["hx-get"])).text)
    assert listed(update)[0] == "Newer still"
    assert update.root.one("h2", id="opened").text == NEWEST


async def test_the_mailbox_is_emptied_but_for_what_came_meanwhile(visitor: Visitor, gallery: Gallery) -> None:
    page = await visitor.get("/mailbox")
    form = next(form for form in page.main.all("form"))
    assert form.text.startswith("Delete 6 caught mails?")
    await gallery.caught("Came meanwhile", "x@example.com", 0)
    after = await visitor.send(page, form["action"])
    assert "6 caught mails deleted." in after.main.text
    assert listed(after) == ["Came meanwhile"]


async def test_an_empty_mailbox_says_what_comes_here_and_fills_itself(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await visitor.get("/mailbox")
    assert "No mail has been caught yet" in page.main.text
    assert page.main.one("a", class_="main")["href"] == "/add"
    poll = page.root.one("div", id="live")["hx-get"]
    assert "hx-refresh" not in (await visitor.update(poll)).headers
    await visitor.send(await visitor.get("/"), "/add/first")
    await empty_gallery.caught("First", "x@example.com", 0)
    assert (await visitor.update(poll)).headers["hx-refresh"] == "true"


async def test_many_mails_come_in_pages_both_ways(visitor: Visitor, gallery: Gallery) -> None:
    for number in range(40):
        await gallery.caught(f"Number {number}", "x@example.com", 0, html=None)
    first = await visitor.get("/mailbox")
    second = await visitor.get(first.main.one("a", rel="next")["href"])
    third = await visitor.get(second.main.one("a", rel="next")["href"])
    assert (len(listed(first)), len(listed(second)), len(listed(third))) == (20, 20, 6)
    assert third.root.one("h2", id="opened").text == NEWEST
    assert listed(await visitor.get(third.main.one("a", rel="prev")["href"])) == listed(second)
    assert second.main.one("a", rel="prev")["href"] == "/mailbox"


async def test_a_mail_that_was_deleted_meanwhile_gives_way_to_the_newest(visitor: Visitor, gallery: Gallery) -> None:
    page = await visitor.get("/mailbox?mail=0195a1c2-7d3e-7b60-9f41-2c8b5e0d7a11")
    assert page.root.one("h2", id="opened").text == NEWEST
    await visitor.get("/mailbox/0195a1c2-7d3e-7b60-9f41-2c8b5e0d7a11/preview", status=404)
    await visitor.get("/mailbox/0195a1c2-7d3e-7b60-9f41-2c8b5e0d7a11.eml", status=404)


async def test_recipients_that_no_header_names_are_shown(
    visitor: Visitor, gallery: Gallery, database: Database
) -> None:
    await database.pool.execute("UPDATE captured_mails SET recipients = recipients || '{secret@example.com}'::text[]")
    page = await visitor.get("/mailbox")
    assert "Blind copies secret@example.com" in page.main.one("dl", class_="facts").text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no header at all",
        b"Subject: =?utf-8?q?caf=C3=A9?=\r\nContent-Type: text/plain; charset=nonsense\r\n\r\nna\xc3\xafve \xff\r\n",
        b"Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n<p>cut off",
        b"From: =?bad?=\r\nTo: ,,,<>;:\r\nDate: yesterday\r\nContent-Type: ;;;\r\n\r\nx",
    ],
)
def test_odd_mails_are_shown_as_far_as_they_go(content: bytes) -> None:
    letter = read_letter(content)
    assert letter.forms[-1] == ("source", "Source")
    assert all(isinstance(value, str) for _, value in letter.headers)


def test_encoded_headers_and_bodies_are_shown_decoded() -> None:
    letter = read_letter(
        b"Subject: =?utf-8?q?caf=C3=A9?=\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\nbmHDr3ZlDQo=\r\n"
    )
    assert letter.header("subject") == "café"
    assert letter.text == "naïve\n"
