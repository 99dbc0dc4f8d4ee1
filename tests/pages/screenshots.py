"""Photographs every page at 1280 and 390 px, light and dark: `python -m tests.pages.screenshots [folder]`.

Names are those of the design's own screenshots, so that the two can be laid side by side. The servers are the ones that
`TEST_DATABASE_URL` and `TEST_REDIS_URL` name, else embedded ones.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page
from uuid_utils.compat import uuid7

from janus_mail.app import create_app
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from janus_mail.storage.embedded import EmbeddedPostgres, EmbeddedRedis
from janus_mail.storage.secrets import SecretBox
from tests.conftest import TEST_KEY, NewDatabase
from tests.pages.browser import launched
from tests.pages.gallery import GROUP, INVOICE, Gallery, fill, trouble
from tests.pages.serving import served

WORKSPACE = "Northwind Tools"
WIDTHS = {1280: 900, 390: 844}


async def photograph(folder: Path, new_database: NewDatabase, redis_url: str) -> None:
    async with launched() as browser:
        async with workspace(new_database, redis_url, full=True) as (address, gallery):
            event = f"/events/{gallery.events[INVOICE]}?message={await _first_message(gallery)}"
            for name, path in (
                ("events", "/"),
                ("event", event),
                ("add", "/add"),
                ("providers", "/providers"),
                ("mailbox", "/mailbox"),
                ("suppressions", "/suppressions"),
                ("members", "/members"),
                ("keys", "/keys"),
                ("audit", "/audit"),
                ("erasures", "/erasures"),
                ("workspace", "/workspace"),
                ("login", "/login"),
                ("error", "/nothing"),
            ):
                await _in_every_mode(browser, folder, name, address + path)
        async with workspace(new_database, redis_url, full=True) as (address, gallery):
            await trouble(gallery)
            history = f"/providers/{gallery.providers['Amazon SES']}/history"
            for name, path in (
                ("trouble-events", "/"),
                ("trouble-providers", "/providers"),
                ("history", history),
                ("provider-kinds", "/providers/add"),
                ("provider-add", "/providers/add/smtp"),
                ("provider-edit", history.replace("/history", "/edit")),
                ("provider-test", history.replace("/history", "/test")),
                ("parked", "/parked"),
                ("cancel", "/cancel?q=march+invoice"),
                ("group", f"/events/{gallery.events[GROUP]}"),
            ):
                await _in_every_mode(browser, folder, name, address + path)
            await gallery.database.pool.execute("UPDATE workspaces SET paused_at = clock_timestamp()")
            await _in_every_mode(browser, folder, "paused", address)
            await gallery.database.pool.execute("UPDATE workspaces SET paused_at = NULL")
            down = "5 failures in a row: connection_refused"
            await gallery.incident("Amazon SES", "open", "failures", down, ago_s=20, for_s=600)
            await _in_every_mode(browser, folder, "closed", address)
        async with workspace(new_database, redis_url, full=False) as (address, _):
            await _in_every_mode(browser, folder, "empty", address)


@asynccontextmanager
async def workspace(new_database: NewDatabase, redis_url: str, *, full: bool) -> AsyncIterator[tuple[str, Gallery]]:
    """The application with the design's workspace, or with one in which nothing was scheduled yet."""
    dsn = await new_database()
    database = await Database.open(dsn)
    gallery = Gallery(database, SecretBox([TEST_KEY]), uuid7())
    await database.pool.execute(
        "INSERT INTO workspaces (id, name, from_email, from_name, timezone) VALUES ($1, $2, $3, $2, 'Europe/Berlin')",
        gallery.workspace_id, WORKSPACE, "hello@northwind.example",
    )  # fmt: skip
    if full:
        await fill(gallery)
    else:
        await gallery.provider("Amazon SES", "ses")
        await gallery.worker()
    # It is not there to be seen again while the photographs are taken.
    await database.pool.execute("UPDATE workers SET seen_at = clock_timestamp() + interval '1 hour'")
    settings = Settings.model_validate(
        {
            "env": "development", "database_url": dsn, "redis_url": redis_url, "secret_keys": TEST_KEY,
            "anonymous_workspace": WORKSPACE, "public_url": "http://localhost:8000", "log_level": "WARNING",
        }
    )  # fmt: skip
    app = create_app(settings)
    async with app.router.lifespan_context(app), served(app) as address:
        yield address, gallery
    await database.close()


async def _in_every_mode(browser: Browser, folder: Path, name: str, url: str) -> None:
    for width, height in WIDTHS.items():
        for scheme in ("light", "dark"):
            context = await browser.new_context(
                viewport={"width": width, "height": height}, timezone_id="Europe/Berlin",
                color_scheme="dark" if scheme == "dark" else "light",
            )  # fmt: skip
            page = await context.new_page()
            await page.goto(url)
            if name == "add":
                await _make_mistakes(page)
            if width < 1000:  # Chromium draws a frame only where it is in sight
                tall = await page.evaluate("document.documentElement.scrollHeight")
                await page.set_viewport_size({"width": width, "height": tall})
                await page.wait_for_timeout(200)
            path = folder / f"{name}-{width}-{scheme}.png"
            await page.screenshot(path=path, full_page=True)
            sys.stdout.write(f"{path}\n")
            await context.close()


async def _make_mistakes(page: Page) -> None:
    """As the design shows the form: sent with two errors."""
    await page.get_by_label("Subject").fill("Workshop on Saturday: what to bring")
    await page.get_by_label("Recipients").fill(
        "Noor Haddad <noor.haddad@example.com>, jonas@example, priya.raman@example.com\n"
        "wei.zhang@example.net, noor.haddad@example.com"
    )
    await page.get_by_label("Text", exact=True).fill(
        "Hello,\n\non Saturday we sharpen planes and chisels together, from 10 to 13 o’clock.\n"
        "Bring two blades of your own and an apron; stones and coffee are here.\n\nSee you soon\nNorthwind Tools"
    )
    await page.get_by_text("sender, copies").click()
    await page.get_by_label("Expires").fill("2026-01-01T08:00")
    await page.get_by_label("Tags").fill("workshop")
    await page.get_by_role("button", name="Schedule").click()
    await page.get_by_role("alert").wait_for()


async def _first_message(gallery: Gallery) -> str:
    return str(
        await gallery.database.pool.fetchval(
            "SELECT id FROM messages WHERE event_id = $1 ORDER BY id LIMIT 1", gallery.events[INVOICE]
        )
    )


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        servers = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="janus-screenshots-")))
        postgres_url = os.environ.get("TEST_DATABASE_URL")
        if postgres_url is None:
            postgres_url = stack.enter_context(EmbeddedPostgres(servers / "postgres", durable=False)).url("postgres")
        redis_url = os.environ.get("TEST_REDIS_URL")
        if redis_url is None:
            redis_url = stack.enter_context(EmbeddedRedis(servers / "redis")).url
        new_database = NewDatabase(postgres_url)
        try:
            asyncio.run(photograph(folder, new_database, redis_url))
        finally:
            asyncio.run(new_database.drop_all())


if __name__ == "__main__":
    main()
