"""The same in a real browser, which reads pages as intruders hope that it does."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from playwright.async_api import APIResponse, Browser, Page

from tests.pages.browser import launched
from tests.pages.conftest import Visitor
from tests.pages.gallery import Gallery
from tests.pages.serving import served
from tests.pages.test_browser import WATCH
from tests.security.stored import caught, places, send_in, spoil
from tests.security.surfaces import surfaces
from tests.security.test_stored_scripts import SCRIPT

_WINDOWS = 2  # at once
# What Chromium says of a mail that has a script, in its frame: that is as it should be.
_HELD = ("Blocked script execution in", "Refused to load the image 'http", "Loading the image 'http")


@dataclass(slots=True)
class Looking:
    """Goes through pages and notes what a developer would see in the console, and whether something ran."""

    browser: Browser
    address: str
    looked_at: int = 0
    for_strangers: list[str] = field(default_factory=list)  # whom who is signed in is led away from
    complaints: list[str] = field(default_factory=list)

    async def through(self, paths: Sequence[str], cookies: httpx.Cookies | None = None) -> None:
        """With the cookies of who is signed in."""
        context = await self.browser.new_context(base_url=self.address)
        for name, value in (cookies or {}).items():
            await context.add_cookies([{"name": name, "value": value, "url": self.address}])
        await context.add_init_script(WATCH)
        page = await context.new_page()
        page.on("dialog", lambda dialog: self.complaints.append(f"{page.url}: a dialog says {dialog.message}"))
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        page.on("console", lambda said: self._hear(page.url, said.type, said.text))
        for path in paths:
            answer = await context.request.get(path)
            if urlsplit(answer.url).path != urlsplit(path).path and cookies:
                self.for_strangers.append(path)
            elif answer.ok and answer.headers["content-type"].startswith("text/html") and await _is_ours(answer):
                await self._at(page, path)
        await context.close()

    async def _at(self, page: Page, path: str) -> None:
        await page.goto(path, wait_until="load")
        if await page.evaluate("window.__pwned !== undefined"):
            self.complaints.append(f"{path}: it ran")
        self.looked_at += 1

    def _hear(self, path: str, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not text.startswith(_HELD):
            self.complaints.append(f"{path}: {text}")


async def _is_ours(answer: APIResponse) -> bool:
    """A whole page of ours, no mail in a frame, on which something stored is shown."""
    text = await answer.text()
    return "sandbox" not in answer.headers["content-security-policy"] and "<body" in text and "__pwned" in text


@pytest.mark.timeout(90)
async def test_no_script_that_is_stored_runs_on_any_page(
    visitor: Visitor, owner: Visitor, gallery_of_few: Gallery, anonymous_app: FastAPI
) -> None:
    pool = gallery_of_few.database.pool
    await send_in(visitor.client, SCRIPT)
    await caught(gallery_of_few, SCRIPT)
    await spoil(pool, SCRIPT)
    ids = await places(pool)
    opened = await pool.fetchval("SELECT event_id FROM messages WHERE id = $1::uuid", ids["message_id"])
    paths = [surface.at(ids) for surface in surfaces(anonymous_app) if surface.method == "GET" and surface.is_page]
    paths += [f"/events/{opened}?message={ids['message_id']}", f"/add?again={ids['event_id']}"]
    async with served(anonymous_app) as address, launched() as browser:
        looking = Looking(browser, address)
        cookies = owner.client.cookies
        await asyncio.gather(*(looking.through(paths[n::_WINDOWS], cookies) for n in range(_WINDOWS)))
        await looking.through(looking.for_strangers)
    assert looking.complaints == []
    assert looking.looked_at > 12
