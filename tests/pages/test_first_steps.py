"""The first steps of a team in a real browser, by what stands on the pages: from an account to a second person."""

import logging
import re
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from playwright.async_api import Browser, Page, expect
from redis.asyncio import Redis

from janus_mail.app import create_app
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from tests.delivery.conftest import working
from tests.pages.browser import launched
from tests.pages.serving import served

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with launched() as browser:
        yield browser


@pytest.fixture
async def open_to_all(settings: Settings, database: Database, redis: Redis) -> AsyncIterator[FastAPI]:
    app = create_app(settings.model_copy(update={"registration": "open"}))
    async with app.router.lifespan_context(app):
        yield app


async def window(browser: Browser, address: str) -> Page:
    context = await browser.new_context(base_url=address, timezone_id="Europe/Berlin")
    context.set_default_timeout(8_000)
    return await context.new_page()


def link_in(caplog: pytest.LogCaptureFixture, path: str, address: str) -> str:
    """The last link of a mail that development logs, as the one who reads that mail opens it."""
    found: list[str] = re.findall(rf"http://testserver({path}/\S+)", caplog.text)
    return address + found[-1]


async def test_from_an_account_to_a_mail_and_a_second_person(
    browser: Browser, open_to_all: FastAPI, settings: Settings, database: Database, redis: Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.WARNING)
    quick = settings.model_copy(update={"patrol_seconds": 0.5, "rollup_seconds": 0.1, "shutdown_seconds": 3.0})
    async with served(open_to_all) as address, working(quick, database, redis):
        page = await window(browser, address)
        await page.goto("/")
        await page.get_by_role("link", name="Make an account").click()
        await page.get_by_label("Name").fill("Mara Lind")
        await page.get_by_label("Email").fill("mara@northwind.example")
        await page.get_by_label("Password").fill("a violet horse sings")
        await page.get_by_role("button", name="Make the account").click()
        await expect(page.get_by_role("main")).to_contain_text("in the log of this server")

        await page.goto(link_in(caplog, "/confirm", address))
        await page.get_by_role("button", name="Confirm and sign in").click()
        await page.get_by_label("Name").fill("Northwind")
        await page.get_by_label("Mail comes from").fill("hello@northwind.example")
        await page.get_by_role("main").get_by_role("button").first.click()

        await page.get_by_role("main").get_by_role("link", name="Add a provider").first.click()
        await page.get_by_role("link", name="Choose SendGrid").click()
        await page.get_by_label("API key").fill("SG.0123456789abcdefghijkl.0123456789abcdefghijklmnopqrstuvwxyzABCDEFG")
        await page.get_by_label(re.compile("sandbox", re.IGNORECASE)).first.check()
        await page.get_by_role("main").get_by_role("button", name=re.compile("^(Add|Save)")).click()
        await expect(page.get_by_role("main")).to_contain_text("SendGrid")

        await page.get_by_role("link", name="Events").first.click()
        await page.get_by_role("main").get_by_role("link", name="Write one").click()
        await page.get_by_label("Subject").fill("Our first mail")
        await page.get_by_label("Recipients").fill("noor@example.org")
        await page.get_by_label("Text").first.fill("Hello Noor.")
        await page.get_by_role("button", name="Schedule").click()
        await page.get_by_text("Send now…").click()
        await page.get_by_role("button", name="Send 1 email now").click()
        await expect(page.get_by_role("main")).to_contain_text("Sent", timeout=15_000)

        await page.get_by_role("link", name="Members").click()
        await page.get_by_label("Address").fill("noor@northwind.example")
        await page.get_by_role("button", name="Invite").click()
        invitation = await page.get_by_role("main").locator("input[readonly]").first.input_value()

        second = await window(browser, address)
        await second.goto(invitation.replace("http://testserver", address))
        await expect(second.get_by_role("main")).to_contain_text("Northwind")
        await second.get_by_label("Name").fill("Noor Haddad")
        await second.get_by_label("Password").fill("green tea at midnight")
        await second.get_by_role("main").get_by_role("button").first.click()
        await expect(second.get_by_role("main")).to_contain_text("Our first mail")
        await page.reload()
        await page.get_by_role("link", name="Members").click()
        await expect(page.get_by_role("main")).to_contain_text("Noor Haddad")
        for one in (page, second):
            await one.context.close()
