"""Providers in a real browser: dragged into another order, filled in by a preset, copied from."""

import pytest
from playwright.async_api import expect

from janus_mail.storage.database import Database
from tests.pages.gallery import Gallery
from tests.pages.test_browser import Open, address, browser, opened

__all__ = ["address", "browser", "opened"]

pytestmark = pytest.mark.timeout(90)

TALL = {"width": 1280, "height": 1600}


async def order(database: Database) -> list[str]:
    return [row["name"] for row in await database.pool.fetch("SELECT name FROM providers ORDER BY position")]


async def test_a_place_is_dragged_to_where_it_belongs(opened: Open, empty_gallery: Gallery, database: Database) -> None:
    page = (await opened("/providers", viewport=TALL)).page
    places = page.locator("li.provider .place")
    await places.nth(2).drag_to(page.locator("li.provider").nth(0), target_position={"x": 20, "y": 2})
    await expect(page.get_by_text("The route has its new order.")).to_be_visible()
    assert await order(database) == ["SendGrid", "Amazon SES", "Google SMTP"]
    await expect(page.locator("li.provider h2")).to_have_text(["SendGrid", "Amazon SES", "Google SMTP"])


async def test_what_is_dropped_elsewhere_stays_where_it_was(
    opened: Open, empty_gallery: Gallery, database: Database
) -> None:
    page = (await opened("/providers", viewport=TALL)).page
    await page.locator("li.provider .place").nth(0).drag_to(page.locator("h1"))
    await expect(page.locator("li.provider h2")).to_have_text(["Amazon SES", "Google SMTP", "SendGrid"])
    assert await order(database) == ["Amazon SES", "Google SMTP", "SendGrid"]


async def test_the_order_is_changed_by_keyboard_too(opened: Open, empty_gallery: Gallery, database: Database) -> None:
    page = (await opened("/providers")).page
    await page.get_by_role("button", name="Move SendGrid up").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("The route has its new order.")).to_be_visible()
    assert await order(database) == ["Amazon SES", "SendGrid", "Google SMTP"]


async def test_a_known_service_fills_in_its_server(opened: Open, empty_gallery: Gallery) -> None:
    page = (await opened("/providers/add/smtp")).page
    await page.get_by_label("Service", exact=True).select_option("sendgrid")
    await expect(page.get_by_label("Server", exact=True)).to_have_value("smtp.sendgrid.net")
    await expect(page.get_by_label("Port", exact=True)).to_have_value("587")
    await expect(page.get_by_label("User name", exact=True)).to_have_value("apikey")
    await page.get_by_label("Service", exact=True).select_option("gmail")
    await expect(page.get_by_label("Server", exact=True)).to_have_value("smtp.gmail.com")
    await expect(page.get_by_label("User name", exact=True)).to_have_value("")
    await page.get_by_label("User name", exact=True).fill("ann@example.com")
    await page.get_by_label("Service", exact=True).select_option("custom")
    await expect(page.get_by_label("Server", exact=True)).to_have_value("")
    await expect(page.get_by_label("User name", exact=True)).to_have_value("ann@example.com")


async def test_the_hooks_address_is_copied_by_a_click(opened: Open, empty_gallery: Gallery) -> None:
    path = f"/providers/{empty_gallery.providers['SendGrid']}/edit"
    page = (await opened(path)).page
    await page.get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    name = page.get_by_label("Name", exact=True)
    await name.fill("")
    await name.press("Control+V")
    assert await name.input_value() == await page.locator("#hook").text_content()


async def test_a_sandbox_is_set_up_and_tested_by_hand(opened: Open, empty_gallery: Gallery) -> None:
    page = (await opened("/providers")).page
    await page.get_by_role("link", name="Add a provider").click()
    await page.get_by_role("link", name="Choose Postmark").click()
    await page.get_by_label("A sandbox").check()
    await page.get_by_role("button", name="Add Postmark").click()
    await expect(page.get_by_text("Added, last in the route.")).to_be_visible()
    await page.get_by_label("To", exact=True).fill("ann@example.org")
    await page.get_by_role("button", name="Send a test").click()
    await expect(page.get_by_role("heading", name="Postmark took the mail")).to_be_visible()
    await page.get_by_role("link", name="See it in the mailbox").click()
    await expect(page.get_by_role("heading", name="Test mail through Postmark")).to_be_visible()
