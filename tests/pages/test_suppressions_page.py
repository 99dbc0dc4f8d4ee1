"""`/suppressions`: who gets no mail and why, found, added, imported, taken off, without JavaScript."""

import httpx

from janus_mail.storage.database import Database
from tests.pages.conftest import Visitor
from tests.pages.gallery import INVOICE, Gallery
from tests.pages.reading import Element, Page

HERE = "/suppressions"
ADD = f"{HERE}/add"


def lines(page: Page) -> list[Element]:
    return page.main.one("tbody").all("tr")


def addresses(page: Page) -> list[str]:
    return [line.all("b")[0].text for line in lines(page)]


def said(page: Page) -> str:
    return page.root.one("p", role="status").text


async def listed(database: Database) -> list[tuple[str, str, str]]:
    rows = await database.pool.fetch("SELECT address, reason, source FROM suppressions ORDER BY address")
    return [(row["address"], row["reason"], row["source"]) for row in rows]


async def upload(visitor: Visitor, page: Page, content: bytes, *, status: int = 200, **fields: str) -> Page:
    """Choose a file and send the form for it."""
    values = {name: value for name, value in page.form(f"{HERE}/import").values().items() if name == "csrf_token"}
    file = {"file": ("list.csv", content, "text/csv")}
    answer = await visitor.client.post(f"{HERE}/import", data=values | fields, files=file)
    assert answer.status_code == status, answer.text[-2000:]
    return Page(answer.text)


async def test_each_address_stands_there_with_why_who_said_so_and_since_when(
    visitor: Visitor, gallery: Gallery
) -> None:
    page = await visitor.get(HERE)
    bounced, *_, asked = lines(page)
    assert bounced.all("b")[0].text == "purchasing@example.org"
    assert "Hard bounce" in bounced.text
    assert "told by Google SMTP" in bounced.text
    assert "2 h ago" in bounced.text
    event_id = gallery.events["Quote Q-1187 for 12 bench vices"]
    assert bounced.one("a", class_="sub")["href"].startswith(f"/events/{event_id}?message=")
    assert "By hand" in asked.text
    assert "told by API key billing-web: asked for it by phone" in asked.text
    assert asked.all("a", class_="sub") == []
    assert "4 addresses" in page.main.text


async def test_an_address_is_found_by_a_part_of_it_and_by_the_reason(visitor: Visitor, gallery: Gallery) -> None:
    assert addresses(await visitor.get(f"{HERE}?q=EXAMPLE.org")) == ["purchasing@example.org"]
    page = await visitor.get(f"{HERE}?reason=complaint")
    assert addresses(page) == ["h.tanaka@example.jp"]
    assert page.main.one("a", download="")["href"] == f"{HERE}/export?reason=complaint"
    nothing = (await visitor.get(f"{HERE}?q=nobody&reason=complaint")).main
    assert "No address fits." in nothing.text
    assert HERE in [link["href"] for link in nothing.all("a")]
    assert len(addresses(await visitor.get(f"{HERE}?reason=odd"))) == 4


async def test_a_long_list_comes_in_pages_there_and_back(visitor: Visitor, gallery: Gallery) -> None:
    for number in range(60):
        await gallery.suppressed(f"person{number}@example.org", "manual", "somebody", 60, None)
    page, seen = await visitor.get(HERE), list[str]()
    while True:
        seen += addresses(page)
        older = [link for link in page.main.all("a", rel="next") if "href" in link.attributes]
        if not older:
            break
        page = await visitor.get(older[0]["href"])
    assert len(seen) == len(set(seen)) == 64
    page = await visitor.get(page.main.one("a", rel="prev")["href"])
    assert addresses(page) == seen[25:50]
    page = await visitor.get(page.main.one("a", rel="prev")["href"])
    assert addresses(page) == seen[:25]


async def test_an_empty_list_says_what_comes_here_and_what_to_do(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await visitor.get(HERE)
    assert "No address is suppressed" in page.main.text
    assert page.main.one("a", class_="main")["href"] == "#file"
    assert page.main.all("table") == []
    assert page.main.all("a", download="") == []


async def test_addresses_are_added_by_the_form(visitor: Visitor, empty_gallery: Gallery, database: Database) -> None:
    typed = "Ann@example.org, Bob <bob@example.org>\nann@example.org"
    page = await visitor.send(await visitor.get(HERE), ADD, addresses=typed, why="unsubscribe", note="by phone")
    assert said(page) == "2 addresses added: they get no mail from now on."
    source = "somebody on this machine: by phone"
    assert await listed(database) == [
        ("ann@example.org", "unsubscribe", source), ("bob@example.org", "unsubscribe", source),
    ]  # fmt: skip
    page = await visitor.send(page, ADD, addresses="ann@example.org", why="manual", note="")
    assert said(page) == "It was there already."


async def test_what_is_no_address_is_told_under_the_field_and_what_was_typed_is_kept(
    visitor: Visitor, empty_gallery: Gallery, database: Database
) -> None:
    typed = "ann@example.org\nnobody"
    page = await visitor.send(
        await visitor.get(HERE), ADD, addresses=typed, why="complaint", note="x" * 200, status=400
    )
    assert page.root.one("title").text.startswith("Error: ")
    assert "“nobody”" in page.main.one("div", role="alert").text
    field = page.main.one("textarea", id="addresses")
    assert field["aria-invalid"] == "true"
    assert field.text.split() == typed.split()
    assert page.form(ADD).values()["why"] == "complaint"
    page = await visitor.send(page, ADD, addresses="ann@example.org", note="x" * 200, status=400)
    assert page.main.one("input", id="note")["aria-invalid"] == "true"
    await visitor.send(page, ADD, addresses=" \n", note="", status=400)
    await visitor.send(page, ADD, addresses="ann@example.org", note="", why="odd", status=400)
    assert await listed(database) == []


async def test_an_address_is_taken_off_after_a_question_and_the_page_is_as_it_was(
    visitor: Visitor, gallery: Gallery, database: Database
) -> None:
    page = await visitor.get(f"{HERE}?q=tanaka")
    (line,) = lines(page)
    assert "They asked not to be mailed." in line.text
    action = line.one("form")["action"]
    page = await visitor.send(page, action)
    assert visitor.address.endswith(f"{HERE}?q=tanaka")
    assert said(page) == "Taken off the list: it gets mail again."
    assert "h.tanaka@example.jp" not in {address for address, *_ in await listed(database)}
    answer = await visitor.client.post(action, data=(await visitor.get(HERE)).form(ADD).values())
    assert said(Page(answer.text)) == "Nothing was changed: it is no longer as this page showed it."


async def test_a_file_is_imported_and_exported(visitor: Visitor, empty_gallery: Gallery, database: Database) -> None:
    content = b"address,reason\nann@example.org,hard_bounce\nbob@example.org,\n"
    page = await upload(visitor, await visitor.get(HERE), content)
    assert said(page) == "2 addresses added: they get no mail from now on."
    assert [address for address, *_ in await listed(database)] == ["ann@example.org", "bob@example.org"]
    answer = await visitor.client.get(f"{HERE}/export?q=ann")
    assert answer.headers["content-type"].startswith("text/csv")
    assert [line.split(",")[0] for line in answer.text.splitlines()] == ["address", "ann@example.org"]


async def test_wrong_lines_of_a_file_are_told_and_may_be_left_out(
    visitor: Visitor, empty_gallery: Gallery, database: Database
) -> None:
    content = b"ann@example.org\n" + b"nobody\n" * 30
    page = await upload(visitor, await visitor.get(HERE), content, status=400)
    alert = page.main.one("div", role="alert").text
    assert "30 lines are wrong: nothing was imported." in alert
    assert "Line 2: " in alert
    assert "and 10 more" in alert
    assert await listed(database) == []
    page = await upload(visitor, page, content, mode="permissive")
    assert said(page) == "1 address added; 30 lines left out."
    page = await upload(visitor, page, b"", status=400)
    alert = page.main.one("div", role="alert").text
    assert "There is no address in this file." in alert
    assert "leave out the lines" not in alert


async def test_forms_that_are_not_ours_change_nothing(visitor: Visitor, gallery: Gallery, database: Database) -> None:
    before = await listed(database)
    (line, *_) = lines(await visitor.get(HERE))
    file = {"file": ("list.csv", b"ann@example.org", "text/csv")}
    for answer in (
        await visitor.client.post(ADD, data={"addresses": "ann@example.org"}),
        await visitor.client.post(line.one("form")["action"]),
        await visitor.client.post(f"{HERE}/import", files=file),
        await visitor.client.post(f"{HERE}/import", files=file, data={"csrf_token": "x"}),
    ):
        assert answer.status_code == 403
    assert await listed(database) == before


async def test_nobody_sees_or_removes_another_workspaces_address(
    visitor: Visitor, gallery: Gallery, another: Gallery
) -> None:
    await another.suppressed("theirs@example.org", "manual", "them", 60, None)
    assert "theirs@example.org" not in addresses(await visitor.get(HERE))
    theirs = await another.database.pool.fetchval("SELECT id FROM suppressions WHERE address = 'theirs@example.org'")
    page = await visitor.get(HERE)
    answer: httpx.Response = await visitor.client.post(f"{HERE}/{theirs}/remove", data=page.form(ADD).values())
    assert said(Page(answer.text)).startswith("Nothing was changed")
    assert await another.database.pool.fetchval("SELECT count(*) FROM suppressions WHERE id = $1", theirs) == 1


async def test_the_form_for_an_event_says_who_gets_no_mail(visitor: Visitor, gallery: Gallery) -> None:
    form = (await visitor.get("/add")).form("/add").values()
    typed = {"email_subject": "Hello", "email_content": "Hi", "recipients": "H.Tanaka@example.jp, ann@example.com"}
    answer = await visitor.client.post("/add/check", data={**form, **typed})
    assert "1 recipient is suppressed and gets no mail: H.Tanaka@example.jp (complaint)." in answer.text


async def test_an_event_says_why_a_mail_was_suppressed_and_sends_it_again_on_demand(
    visitor: Visitor, gallery: Gallery
) -> None:
    event_id = gallery.events[INVOICE]
    message_id = await gallery.database.pool.fetchval(
        "SELECT id FROM messages WHERE event_id = $1 AND state = 'suppressed'", event_id
    )
    page = await visitor.get(f"/events/{event_id}?message={message_id}")
    line = page.main.one("tr", id=f"m-{message_id}")
    assert "Suppressed" in line.text
    assert "complaint, told by Postmark on 2026-03-12" in line.text
    way = page.main.one("tr", id=f"way-{message_id}").text
    assert "This address must not be mailed: complaint, told by Postmark on 2026-03-12." in way
    assert "Send 1 failed and 1 suppressed again…" in page.main.text
    await visitor.send(page, f"/events/{event_id}/retry")
    state = await gallery.database.pool.fetchval("SELECT state FROM messages WHERE id = $1", message_id)
    assert state == "scheduled"
