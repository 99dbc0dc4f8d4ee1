"""What goes on at the providers, below the route; and what is said where a key is refused."""

from tests.pages.conftest import Visitor
from tests.pages.gallery import HOUR, Gallery, Mail, Tried
from tests.pages.test_circuit_pages import DOWN, place, rest

KEYS = "the provider refuses us: 403 UnrecognizedClientException The security token is invalid."


async def refused_key(gallery: Gallery, name: str = "Amazon SES") -> None:
    await gallery.incident(name, "open", "broken", KEYS, ago_s=HOUR, for_s=600)


async def test_a_refused_key_leads_to_where_a_new_one_is_put_in(visitor: Visitor, empty_gallery: Gallery) -> None:
    await refused_key(empty_gallery)
    edit = f"/providers/{empty_gallery.providers['Amazon SES']}/edit"
    page = await visitor.get("/providers")
    here = place(page, "Amazon SES")
    assert "Key refused, left out" in here.text or "Being tried again" in here.text
    assert [a["href"] for a in here.all("a") if a.text.startswith("Put in a new key")] == [edit]
    assert not [a for a in place(page, "SendGrid").all("a") if a.text.startswith("Put in a new key")]
    await empty_gallery.event("Something", [Mail("a@example.com")], due_in_s=60, status="pending")
    notices = (await visitor.get("/")).main.one("div", id="notices")
    assert "Amazon SES has refused our key since" in notices.text
    assert "Mail goes through Google SMTP meanwhile. Put in a new key" in notices.text
    assert [a["href"] for a in notices.all("a")] == [edit]


async def test_a_key_that_is_tried_in_vain_is_still_told_as_refused(visitor: Visitor, empty_gallery: Gallery) -> None:
    await refused_key(empty_gallery)
    failed = "the probe failed: 401 unauthorized Key not found"
    await empty_gallery.incident("Amazon SES", "half_open", "probe", KEYS, ago_s=60)
    await empty_gallery.incident("Amazon SES", "open", "probe", failed, ago_s=59, for_s=600)
    await empty_gallery.event("Something", [Mail("a@example.com")], due_in_s=60, status="pending")
    assert "Key refused, left out" in place(await visitor.get("/providers"), "Amazon SES").text
    assert "has refused our key" in (await visitor.get("/")).main.one("div", id="notices").text


async def test_a_provider_that_is_down_asks_for_no_key(visitor: Visitor, empty_gallery: Gallery) -> None:
    await rest(empty_gallery, "Amazon SES")
    await empty_gallery.event("Something", [Mail("a@example.com")], due_in_s=60, status="pending")
    assert "Put in a new key" not in (await visitor.get("/providers")).main.text
    assert "key" not in (await visitor.get("/")).main.one("div", id="notices").text


async def test_the_incidents_of_all_providers_stand_below_the_route(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await visitor.get("/providers")
    assert "No provider has failed so far." in page.main.one("section", id="incidents").text
    for number in range(10):
        ago_s = HOUR - number * 60
        await empty_gallery.incident("SendGrid", "open", "failures", DOWN, ago_s=ago_s, for_s=30)
        await empty_gallery.incident("SendGrid", "closed", "probe", "the probe passed", ago_s=ago_s - 30)
    await empty_gallery.incident("Amazon SES", "open", "broken", KEYS, ago_s=2 * HOUR, for_s=600)
    took_over = Tried("Google SMTP", "accepted", "250", "", 0.1, 100)
    mails = [Mail(f"a{number}@example.com", "sent", (took_over,)) for number in range(3)]
    await empty_gallery.event("Meanwhile", mails, due_in_s=-HOUR - 1000, status="sent")
    section = (await visitor.get("/providers")).main.one("section", id="incidents")
    rows = [[cell.text for cell in row.all("td")] for row in section.one("tbody").all("tr")]
    assert len(rows) == 8
    assert rows[0][0].startswith("Key refused, left out")
    assert rows[0][1].startswith("Amazon SES")
    assert rows[0][3:] == ["Going on", "3 mails went through Google SMTP instead"]
    assert [row[0].startswith("Down") and row[3] == "30 s" for row in rows[1:]] == [True] * 7
    links = [a["href"] for a in section.one("tbody").all("tr")[0].all("a")]
    provider = f"/providers/{empty_gallery.providers['Amazon SES']}"
    assert links == [f"{provider}/edit", f"{provider}/history"]


async def test_another_workspaces_incidents_are_not_there(
    visitor: Visitor, empty_gallery: Gallery, another: Gallery
) -> None:
    await refused_key(another)
    page = await visitor.get("/providers")
    assert "No provider has failed so far." in page.main.one("section", id="incidents").text
