"""`/providers`: the route, today's numbers, the dials."""

import uuid

import pytest

from janus_mail.storage.database import Database
from tests.pages.conftest import Visitor
from tests.pages.gallery import AT_SES, Gallery, Mail, Tried
from tests.pages.reading import Element, Page


def names(page: Page) -> list[str]:
    return [provider.one("h2").text for provider in page.main.all("li", class_="provider")]


def place(page: Page, name: str) -> Element:
    return next(li for li in page.main.all("li", class_="provider") if li.one("h2").text == name)


def numbers(page: Page, name: str) -> dict[str, str]:
    listed = place(page, name).one("dl", class_="numbers")
    return dict(zip([t.text for t in listed.all("dt")], [d.text for d in listed.all("dd")], strict=True))


def path(gallery: Gallery, name: str, action: str) -> str:
    return f"/providers/{gallery.providers[name]}/{action}"


async def test_providers_stand_in_the_order_of_the_route_and_can_be_moved(
    visitor: Visitor, empty_gallery: Gallery
) -> None:
    page = await visitor.get("/providers")
    assert names(page) == ["Amazon SES", "Google SMTP", "SendGrid"]
    up, down = place(page, "Amazon SES").one("form", action=path(empty_gallery, "Amazon SES", "move")).all("button")
    assert "disabled" in up.attributes
    assert down.text == "Move Amazon SES down"
    page = await visitor.send(page, path(empty_gallery, "Amazon SES", "move"), move="down")
    assert names(page) == ["Google SMTP", "Amazon SES", "SendGrid"]
    assert visitor.address.endswith(f"/providers#p-{empty_gallery.providers['Amazon SES']}")
    page = await visitor.send(page, path(empty_gallery, "SendGrid", "move"), move="down")
    assert names(page) == ["Google SMTP", "Amazon SES", "SendGrid"]


async def test_a_provider_can_be_switched_off_and_on(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await visitor.get("/providers")
    page = await visitor.send(page, path(empty_gallery, "SendGrid", "switch"), enabled="off")
    assert "Switched off" in place(page, "SendGrid").text
    assert "Switched off: it is left out of the route." in page.main.text
    page = await visitor.send(page, path(empty_gallery, "SendGrid", "switch"), enabled="on")
    assert "Sandbox: nothing leaves" in place(page, "SendGrid").text


async def test_with_every_provider_off_the_page_says_that_mail_waits(
    visitor: Visitor, empty_gallery: Gallery, database: Database
) -> None:
    await database.pool.execute("UPDATE providers SET enabled = false")
    page = await visitor.get("/providers")
    assert "Every provider is switched off. Mail waits until one is on." in page.main.text


async def test_the_dial_of_a_sandbox_provider_is_turned(
    visitor: Visitor, empty_gallery: Gallery, database: Database
) -> None:
    page = await visitor.get("/providers")
    dial = path(empty_gallery, "Amazon SES", "dial")
    assert page.form(dial).values()["sandbox_mode"] == "ok"
    page = await visitor.send(page, dial, sandbox_mode="throttled", sandbox_failure_percent="25")
    assert page.form(dial).values() | {"csrf_token": ""} == {
        "csrf_token": "", "sandbox_mode": "throttled", "sandbox_failure_percent": "25",
    }  # fmt: skip
    said = page.form(dial).text
    assert said.endswith(
        "Now: each mail is answered “slow down, 30 s”, so Google SMTP takes it. Of 100 mails, 25 find it down."
    )
    row = await database.pool.fetchrow("SELECT * FROM providers WHERE name = 'Amazon SES'")
    assert row is not None
    assert (row["sandbox_mode"], row["sandbox_failure_rate"]) == ("throttled", 0.25)


@pytest.mark.parametrize(
    "fields",
    [
        {"sandbox_mode": "exploding"},
        {"sandbox_mode": "ok", "sandbox_failure_percent": "101"},
        {"sandbox_mode": "ok", "sandbox_failure_percent": "-1"},
        {"sandbox_mode": "ok", "sandbox_failure_percent": "²"},
    ],
)
async def test_a_dial_has_no_other_places(
    visitor: Visitor, empty_gallery: Gallery, database: Database, fields: dict[str, str]
) -> None:
    page = await visitor.get("/providers")
    await visitor.send(page, path(empty_gallery, "Amazon SES", "dial"), fields, status=400)
    assert await database.pool.fetchval("SELECT sandbox_mode FROM providers WHERE name = 'Amazon SES'") == "ok"


async def test_another_workspaces_provider_is_not_there(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await visitor.get("/providers")
    token = page.form("/theme").values()["csrf_token"]
    answer = await visitor.client.post(
        f"/providers/{uuid.uuid4()}/switch", data={"csrf_token": token, "enabled": "off"}
    )
    assert answer.status_code == 404


async def test_todays_numbers_come_from_the_attempts(visitor: Visitor, empty_gallery: Gallery) -> None:
    slow = Tried("Amazon SES", "throttled", "450 4.7.1", "", -0.5, 40)
    taken = Tried("Google SMTP", "accepted", "250", "", 0.1, 100)
    cut = Tried("SendGrid", "uncertain", "disconnected", "", 0.1, 100)
    mails = [Mail("a@example.com", "sent", (slow, taken))] * 3 + [Mail("b@example.com", "uncertain", (cut,))]
    await empty_gallery.event("Today", mails, due_in_s=-1, status="sending")
    page = await visitor.get("/providers")
    assert numbers(page, "Amazon SES") == {"Caught today": "0", "Failed": "0", "Passed on": "3"}
    assert numbers(page, "Google SMTP") == {"Caught today": "3", "Failed": "0", "Passed on": "0", "Median": "100 ms"}
    assert numbers(page, "SendGrid")["Uncertain"] == "1"
    spark = place(page, "Google SMTP").one("svg", class_="spark")
    assert spark["aria-label"].startswith("Caught by hour today, most at")
    assert place(await visitor.get("/providers"), "SendGrid").all("rect", class_="bad")


async def test_a_real_provider_shows_where_it_leads_and_how_its_last_try_ended(
    visitor: Visitor, empty_gallery: Gallery
) -> None:
    config = {"host": "mail.example.org", "port": 587, "username": "me", "password": "a long secret word"}
    await empty_gallery.provider("Office relay", "smtp", sandbox=False, config=config)
    page = await visitor.get("/providers")
    assert "Taking mail" in place(page, "Office relay").text
    assert "SMTP · mail.example.org:587 · STARTTLS" in place(page, "Office relay").text
    assert "secret" not in page.html
    assert "Sandbox: only for mail that names it" in place(page, "Amazon SES").text
    assert "Every provider is a sandbox." not in page.main.text
    refused = Tried("Office relay", "provider_broken", "535 5.7.8", "no", 0.1, 20)
    await empty_gallery.event("x", [Mail("a@example.com", "sent", (refused, AT_SES))], due_in_s=-5, status="sent")
    page = await visitor.get("/providers")
    assert "Last try: refused our key" in place(page, "Office relay").text


async def test_neither_tests_nor_what_was_never_asked_count_as_todays_mail(
    visitor: Visitor, empty_gallery: Gallery
) -> None:
    unfit = Tried("Amazon SES", "policy_rejected", "too_large", "12345 bytes")
    refused = Tried("Amazon SES", "message_rejected", "550 5.6.0", "no")
    await empty_gallery.event("Large", [Mail("a@example.com", "failed", (unfit,))], due_in_s=-1, status="failed")
    test = [Mail("b@example.com", "failed", (refused,))]
    await empty_gallery.event("Test of it", test, due_in_s=-1, status="failed", failover=False)
    await empty_gallery.database.pool.execute(
        "UPDATE attempts SET worker_id = provider_id WHERE message_id IN (SELECT id FROM messages WHERE event_id = $1)",
        empty_gallery.events["Test of it"],
    )
    today = numbers(await visitor.get("/providers"), "Amazon SES")
    assert today == {"Caught today": "0", "Failed": "0", "Passed on": "0"}
    rows = (await visitor.get("/")).main.one("tbody").all("tr")
    assert [[chip.text for chip in row.all("span", class_="chip")] for row in rows] == [["Test"], []]


async def test_accounts_of_one_service_are_told_apart(visitor: Visitor, empty_gallery: Gallery) -> None:
    config = {"domain": "mg.northwind.example", "region": "eu", "api_key": "key-1234567890abcdef1234a09c"}
    await empty_gallery.provider("Mailgun", "mailgun", sandbox=False, config=config)
    token = {"server_token": "01234567-89ab-cdef-0123-456789abcdef", "message_stream": "outbound"}
    await empty_gallery.provider("Postmark", "postmark", sandbox=False, config=token)
    page = await visitor.get("/providers")
    assert "mg.northwind.example · EU · key •••• a09c" in place(page, "Mailgun").text
    assert "outbound · key •••• cdef" in place(page, "Postmark").text
    assert "1234567890" not in page.html


async def test_numbers_are_renewed_without_touching_the_dials(visitor: Visitor, gallery: Gallery) -> None:
    live = (await visitor.get("/providers")).root.one("div", id="live")
    parts = live["hx-select-oob"].split(",")
    page = Page((await visitor.update(live["hx-get"])).text)
    ids = {element.attributes.get("id") for element in page.root.all()}
    assert {part.removeprefix("#").partition(":")[0] for part in parts} - {"said"} <= ids
    for part in parts:
        part_id = part.removeprefix("#").partition(":")[0]
        assert not [e for e in page.root.all(id=part_id) if e.all("input")]


async def test_without_a_provider_the_page_says_what_to_do(visitor: Visitor, workspace_id: uuid.UUID) -> None:
    page = await visitor.get("/providers")
    assert "No provider yet" in page.main.text
    assert "MAIL_SERVER" in page.main.text
