"""What holds on every page: its headers, its form, that nothing on it stands in anybody's way."""

import re
from pathlib import Path

import pytest

from janus_mail import pages
from tests.pages.conftest import Visitor
from tests.pages.gallery import INVOICE, Gallery, trouble
from tests.pages.reading import Page, faults_of


async def every_page(visitor: Visitor, gallery: Gallery) -> dict[str, Page]:
    """Each page that the gallery has, with something opened where there is something to open."""
    paths = ["/", "/?status=failed", "/?q=nothing+fits", "/add", "/providers", "/mailbox", "/parked", "/suppressions"]
    paths += ["/suppressions?q=nothing+fits", "/suppressions?reason=complaint"]
    paths += ["/members", "/keys", "/audit", "/audit?action=provider.*", "/erasures", "/workspace", "/login"]
    paths += ["/cancel?status=pending", "/cancel?recipient=nobody"]
    paths += ["/providers/add", "/providers/add/smtp", "/providers/add/sendgrid"]
    own = ("history", "edit", "test")
    paths += [f"/providers/{provider_id}/{page}" for provider_id in gallery.providers.values() for page in own]
    for event_id in gallery.events.values():
        paths.append(f"/events/{event_id}")
        messages = await gallery.database.pool.fetch("SELECT id FROM messages WHERE event_id = $1 LIMIT 8", event_id)
        paths += [f"/events/{event_id}?message={message['id']}" for message in messages]
        paths.append(f"/add?again={event_id}")
    paths += ["/mailbox?view=text", "/mailbox?view=headers", "/mailbox?view=source"]
    return {path: await visitor.get(path) for path in paths}


@pytest.mark.parametrize("paused", [False, True])
async def test_no_page_stands_in_anybodys_way(visitor: Visitor, gallery: Gallery, paused: bool) -> None:
    if paused:
        await trouble(gallery)
        await gallery.database.pool.execute("UPDATE workspaces SET paused_at = clock_timestamp()")
    shown = await every_page(visitor, gallery)
    assert {path: faults for path, page in shown.items() if (faults := faults_of(page))} == {}


def test_the_sprite_has_no_icon_that_is_not_used() -> None:
    folder = Path(pages.__file__).parent
    sprite = folder / "templates" / "parts" / "sprite.html"
    others = [path for path in (*folder.rglob("*.py"), *folder.rglob("*.html")) if path != sprite]
    said = "".join(path.read_text(encoding="utf-8") for path in others)
    drawn = re.findall(r'id="i-([a-z]+)"', sprite.read_text(encoding="utf-8"))
    assert [name for name in drawn if f'"{name}"' not in said] == []


@pytest.mark.parametrize(
    "path", ["/", "/add", "/providers", "/mailbox", "/parked", "/suppressions", "/keys", "/login", "/nothing"]
)
async def test_a_page_runs_and_loads_only_what_is_ours(visitor: Visitor, gallery: Gallery, path: str) -> None:
    answer = await visitor.client.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"https?:", policy)
    page = Page(answer.text)
    for element in (*page.root.all("script"), *page.root.all("link")):
        address = element.attributes.get("src") or element["href"]
        file = await visitor.client.get(address)
        assert file.status_code == 200, address
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_a_page_is_the_visitors_alone_and_asked_for_anew(visitor: Visitor, gallery: Gallery) -> None:
    assert (await visitor.client.get("/")).headers["cache-control"] == "private, no-cache"


async def test_pages_are_not_part_of_the_api_document(visitor: Visitor, empty_gallery: Gallery) -> None:
    paths = (await visitor.client.get("/openapi.json")).json()["paths"]
    programs = ("/api/", "/send_email", "/view_sent", "/healthz", "/readyz", "/metrics")
    assert all(path.startswith(programs) for path in paths)


async def test_an_asset_of_another_version_is_not_kept(visitor: Visitor, empty_gallery: Gallery) -> None:
    answer = await visitor.client.get("/static/0123456789ab/janus.css")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path", ["/static/x/../../site.py", "/static/x/%2e%2e/%2e%2e/site.py", "/static/x/nothing.css"]
)
async def test_nothing_outside_the_folder_is_served(visitor: Visitor, empty_gallery: Gallery, path: str) -> None:
    assert (await visitor.client.get(path)).status_code == 404


async def test_times_are_told_in_the_visitors_zone_and_the_zone_is_named(visitor: Visitor, gallery: Gallery) -> None:
    assert "Times are UTC." in (await visitor.get("/")).main.text
    visitor.client.cookies.set("janus_zone", "Asia%2FTokyo")
    page = await visitor.get(f"/events/{gallery.events[INVOICE]}")
    assert "Tokyo time" in page.main.text
    assert all("Asia/Tokyo" in time["title"] for time in page.main.all("time"))
    assert all(time["datetime"].endswith("Z") for time in page.main.all("time"))
    visitor.client.cookies.set("janus_zone", "Nowhere/Land")
    assert "Times are UTC." in (await visitor.get("/")).main.text


async def test_colours_follow_the_system_until_the_visitor_says_otherwise(visitor: Visitor, gallery: Gallery) -> None:
    page = await visitor.get("/providers")
    assert "data-theme" not in page.root.one("html").attributes
    page = await visitor.send(page, "/theme", theme="dark")
    assert visitor.address.endswith("/providers")
    assert page.root.one("html")["data-theme"] == "dark"
    page = await visitor.send(page, "/theme", theme="")
    assert "data-theme" not in page.root.one("html").attributes


async def test_choosing_colours_leads_nowhere_else(visitor: Visitor, gallery: Gallery) -> None:
    page = await visitor.get("/")
    await visitor.send(page, "/theme", theme="dark", back="//elsewhere.example/x")
    assert visitor.address == "http://localhost/"


async def test_the_pulse_tells_that_workers_live_and_mail_is_late(visitor: Visitor, gallery: Gallery) -> None:
    pulse = (await visitor.update("/pulse")).text
    assert "1 waits for the next try" in pulse
    assert "1 worker, the last seen" in pulse
    await gallery.database.pool.execute("DELETE FROM workers")
    assert "No worker is running" in (await visitor.update("/pulse")).text
