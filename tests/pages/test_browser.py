"""The pages in a real browser, with the real engine behind them."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.async_api import Browser, Page, expect
from redis.asyncio import Redis

from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from tests.delivery.conftest import working
from tests.pages.browser import launched
from tests.pages.gallery import CUT, GROUP, INVOICE, NO_MAILBOX, Gallery, Mail, trouble
from tests.pages.serving import served

pytestmark = pytest.mark.timeout(90)

QUICK = {
    "lease_seconds": 5.0, "patrol_seconds": 0.5, "rollup_seconds": 0.1, "retry_base_seconds": 0.3,
    "shutdown_seconds": 3.0,
}  # fmt: skip
WATCH = """
  addEventListener("securitypolicyviolation", (e) => console.error(`CSP: ${e.violatedDirective} ${e.blockedURI}`))
"""


@dataclass(slots=True)
class Window:
    """A browser's page that notes everything a developer would see in its console."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def expect_a_refusal(self) -> None:
        """Chromium notes every answer of 400."""
        assert ["400 (Bad Request)" in complaint for complaint in self.complaints] == [True]
        self.complaints.clear()


Open = Callable[..., Awaitable[Window]]


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with launched() as browser:
        yield browser


@pytest.fixture
async def address(anonymous_app: FastAPI) -> AsyncIterator[str]:
    async with served(anonymous_app) as address:
        yield address


@pytest.fixture
async def opened(browser: Browser, address: str) -> AsyncIterator[Open]:
    """Opens windows on the application; no window may end with a complaint."""
    windows: list[Window] = []

    async def run(path: str = "/", **options: Any) -> Window:
        context = await browser.new_context(base_url=address, **{"timezone_id": "Europe/Berlin", **options})
        context.set_default_timeout(8_000)
        await context.add_init_script(WATCH)
        window = Window(await context.new_page())
        windows.append(window)
        window.page.on("pageerror", lambda error: window.complaints.append(str(error)))
        window.page.on(
            "console", lambda said: window.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        await window.page.goto(path)
        return window

    yield run
    for window in windows:
        await window.page.context.close()
    assert [complaint for window in windows for complaint in window.complaints] == []


@pytest.fixture
async def engine(settings: Settings, database: Database, redis: Redis) -> AsyncIterator[None]:
    """A running worker."""
    async with working(settings.model_copy(update=QUICK), database, redis):
        yield


async def fill_in(page: Page, subject: str = "Hello from a browser", recipients: str = "ann@example.com") -> None:
    await page.get_by_label("Subject").fill(subject)
    await page.get_by_label("Recipients").fill(recipients)
    await page.get_by_label("Text", exact=True).fill("It works.")


async def test_a_mail_is_scheduled_by_hand_leaves_and_lies_in_the_mailbox(
    opened: Open, empty_gallery: Gallery, engine: None
) -> None:
    page = (await opened("/")).page
    await expect(page.get_by_role("heading", level=1)).to_have_text("Nothing is scheduled yet")
    await page.get_by_role("link", name="Write one").click()
    await fill_in(page)
    await page.get_by_text("Now", exact=True).click()
    await expect(page.locator("#happens")).to_contain_text("At once")
    await page.get_by_role("button", name="Schedule").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Hello from a browser")
    await expect(page.locator("#due")).to_contain_text("Sent")
    await page.get_by_role("link", name="Events").first.click()
    row = page.get_by_role("row").filter(has_text="Hello from a browser")
    await expect(row).to_contain_text("Sent")
    await expect(row).to_contain_text("Amazon SES")
    await page.get_by_role("link", name="Mailbox").click()
    await expect(page.locator("#opened")).to_have_text("Hello from a browser")
    await expect(page.frame_locator("iframe").locator("body")).to_contain_text("It works.")


async def test_with_the_first_provider_down_the_timeline_tells_why_the_second_took_it(
    opened: Open, empty_gallery: Gallery, engine: None
) -> None:
    page = (await opened("/providers")).page
    first = page.locator(".provider").first
    await first.get_by_text("Down", exact=True).click()
    await first.get_by_role("button", name="Turn the dial").click()
    await expect(page.get_by_role("status")).to_contain_text("The dial is turned")
    await expect(page.locator(".provider").first.get_by_label("Down", exact=True)).to_be_checked()
    await page.goto("/add")
    await fill_in(page)
    await page.get_by_text("Now", exact=True).click()
    await page.get_by_role("button", name="Schedule").click()
    await expect(page.locator("#due")).to_contain_text("Sent")
    await page.get_by_role("link", name="ann@example.com").click()
    steps = page.get_by_role("list", name="What happened to the mail for ann@example.com").get_by_role("listitem")
    await expect(steps).to_have_count(3)
    await expect(steps.nth(1)).to_contain_text("Amazon SES could not take it")
    await expect(steps.nth(1)).to_contain_text("This mail went on to Google SMTP at once.")
    await expect(steps.nth(1)).to_contain_text("421 4.3.2 Service not available")
    await expect(steps.nth(2)).to_contain_text("Google SMTP took the mail")


async def test_without_javascript_a_mail_is_scheduled_just_as_well(
    opened: Open, empty_gallery: Gallery, engine: None
) -> None:
    window = await opened("/add", java_script_enabled=False)
    page = window.page
    await fill_in(page, recipients="nobody")
    await page.get_by_role("button", name="Schedule").click()
    await expect(page.get_by_role("alert")).to_contain_text("1 thing to put right")
    window.expect_a_refusal()
    await page.get_by_label("Recipients").fill("ann@example.com")
    await page.get_by_text("Now", exact=True).click()
    await expect(page.get_by_label("Date and time")).to_be_hidden()
    await page.get_by_role("button", name="Schedule").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Hello from a browser")
    for _ in range(50):
        if "Sent" in await page.locator("#due").inner_text():
            break
        await page.reload()
    await page.get_by_role("link", name="ann@example.com").click()
    await expect(page.locator(".way")).to_contain_text("Amazon SES took the mail")
    await page.get_by_text("More filters").count()
    await page.goto("/?q=browser")
    await expect(page.get_by_role("row")).to_have_count(2)


async def test_the_documentation_runs_an_operation(opened: Open, empty_gallery: Gallery) -> None:
    page = (await opened("/docs")).page
    operation = page.locator(".opblock").filter(has=page.locator('[data-path="/api/events"]')).filter(has_text="POST")
    await operation.locator(".opblock-summary").click()
    await operation.get_by_role("button", name="Try it out").click()
    await operation.get_by_role("button", name="Execute").click()
    await expect(operation.locator(".live-responses-table .response .response-col_status")).to_contain_text("201")
    await page.goto("/")
    await expect(page.get_by_role("row")).to_have_count(2)


async def test_the_list_filters_itself_while_one_types(opened: Open, gallery: Gallery) -> None:
    page = (await opened("/")).page
    await expect(page.get_by_role("row")).to_have_count(11)
    await page.get_by_label("Words in the subject").press_sequentially("invoice")
    await expect(page.get_by_role("row")).to_have_count(2)
    await expect(page).to_have_url(re.compile(r"/\?q=invoice$"))
    await expect(page.get_by_label("Words in the subject")).to_be_focused()
    await page.go_back()
    await expect(page.get_by_role("row")).to_have_count(11)


async def test_a_live_update_leaves_alone_what_is_in_use(opened: Open, gallery: Gallery, database: Database) -> None:
    page = (await opened(f"/events/{gallery.events[INVOICE]}")).page
    await page.get_by_text("Cancel the rest…").click()
    link = page.get_by_role("link", name="felix.brandt@example.net")
    await link.focus()
    await database.pool.execute(
        "UPDATE events SET counts = '{\"sent\": 7, \"failed\": 1}', status = 'partly_sent' WHERE id = $1",
        gallery.events[INVOICE],
    )
    await expect(page.locator("#counts")).to_contain_text("8 of 8 done")
    await expect(link).to_be_focused()
    await expect(page.get_by_text("Cancel 1 email that has not left?")).to_be_visible()
    await expect(page.locator("#said")).to_have_text("Partly sent: 7 sent, 1 failed.")
    assert await page.locator("#live").get_attribute("hx-get") is None


async def test_the_form_can_be_filled_in_with_the_keyboard_alone(opened: Open, empty_gallery: Gallery) -> None:
    page = (await opened("/add")).page
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    for text in ("By keyboard", "ann@example.com", "It works."):
        await page.keyboard.type(text)
        await page.keyboard.press("Tab")
    await expect(page.locator("summary").filter(has_text="Add HTML")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("ArrowLeft")
    await expect(page.get_by_label("Monday 09:00")).to_be_checked()
    await page.keyboard.press("Tab")
    await expect(page.locator("summary").filter(has_text="More sender")).to_be_focused()
    ring = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert ring == "solid"
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Schedule")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("By keyboard")


async def test_errors_are_focused_and_lead_to_their_fields(opened: Open, empty_gallery: Gallery) -> None:
    window = await opened("/add")
    page = window.page
    await fill_in(page, recipients="jonas@example")
    await page.get_by_text("sender, copies").click()
    await page.get_by_label("Tags").fill("kept")
    await page.get_by_role("button", name="Schedule").click()
    await expect(page.get_by_role("alert")).to_be_focused()
    window.expect_a_refusal()
    await page.get_by_role("alert").get_by_role("link").click()
    await expect(page.get_by_label("Recipients")).to_be_focused()
    await expect(page.get_by_label("Tags")).to_have_value("kept")


async def test_times_are_in_the_zone_of_who_looks_from_the_first_page_on(opened: Open, gallery: Gallery) -> None:
    page = (await opened("/", timezone_id="Asia/Tokyo")).page
    await expect(page.locator("h1 + p")).to_contain_text("Times are Tokyo time.")


async def test_nothing_is_wider_than_the_window(opened: Open, gallery: Gallery) -> None:
    """Down to 320 px, which is also 1280 at 400 %, with the longest subject, address and words that there can be."""
    address = f"{'a' * 64}@{'b' * 60}.{'c' * 60}.{'d' * 60}.example"
    subject = "s" * 998
    await gallery.event(
        subject, [Mail(address, "failed", (NO_MAILBOX,)), Mail(address, "parked", (CUT,))], due_in_s=-60,
        status="failed", tags=["t" * 128],
        metadata={"k" * 128: "v" * 1024}, from_email=address, from_name="n" * 200,
    )  # fmt: skip
    await gallery.caught(subject, address, 1)
    await trouble(gallery)
    reason = f"5 failures in a row: 421 {'x' * 300}"
    await gallery.incident("Amazon SES", "open", "failures", reason, ago_s=60, for_s=600)
    await gallery.database.pool.execute("UPDATE workspaces SET paused_at = clock_timestamp()")
    message = await gallery.database.pool.fetchval("SELECT id FROM messages WHERE recipient = $1 LIMIT 1", address)
    event = gallery.events[subject]
    page = (await opened("/")).page
    history = f"/providers/{gallery.providers['Amazon SES']}/history"
    for path in (
        "/", f"/events/{event}?message={message}", f"/add?again={event}", "/providers", "/mailbox",
        "/mailbox?view=headers", f"/events/{gallery.events[INVOICE]}", f"/events/{gallery.events[GROUP]}",
        "/parked", f"/cancel?q={subject[:300]}", history,
    ):  # fmt: skip
        await page.goto(path)
        for width in (320, 640, 1000, 1280):
            await page.set_viewport_size({"width": width, "height": 900})
            wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, (path, width, wide)


async def test_escape_closes_a_question_and_gives_the_focus_back(opened: Open, gallery: Gallery) -> None:
    page = (await opened("/")).page
    question = page.get_by_text("Pause sending…")
    await question.click()
    await expect(page.get_by_role("button", name="Pause sending")).to_be_visible()
    await page.get_by_role("button", name="Pause sending").focus()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Pause sending")).to_be_hidden()
    await expect(question).to_be_focused()


@pytest.mark.parametrize("javascript", [True, False])
async def test_sending_is_paused_and_resumed_by_hand(
    opened: Open, empty_gallery: Gallery, engine: None, javascript: bool
) -> None:
    page = (await opened("/add", java_script_enabled=javascript)).page
    await fill_in(page)
    await page.get_by_text("In 1 hour", exact=True).click()
    await page.get_by_role("button", name="Schedule").click()
    await page.goto("/")
    await page.get_by_text("Pause sending…").click()
    await page.get_by_role("button", name="Pause sending").click()
    await expect(page.locator("#band")).to_contain_text("Sending is paused since")
    await page.get_by_role("link", name="Hello from a browser").click()
    await page.get_by_text("Send now…").click()
    await page.get_by_role("button", name="Send 1 email now").click()
    await expect(page.locator("#way-now")).to_contain_text("The workspace is paused")
    await page.get_by_role("button", name="Resume").click()
    await expect(page.locator("#band")).to_be_hidden()
    for _ in range(50):
        if "Sent" in await page.locator("#due").inner_text():
            break
        await page.reload()
    await expect(page.locator("#due")).to_contain_text("Sent")


async def test_on_a_phone_an_opened_mail_is_in_sight(opened: Open, gallery: Gallery) -> None:
    page = (await opened("/mailbox", viewport={"width": 390, "height": 600})).page
    await page.get_by_role("link", name="Hello from Janus").click()
    await expect(page.locator("#opened")).to_have_text("Hello from Janus")
    await expect(page.locator("#opened")).to_be_in_viewport()


async def test_which_way_a_mail_will_go_stays_open_while_the_form_is_filled_in(opened: Open, gallery: Gallery) -> None:
    page = (await opened("/add")).page
    await page.get_by_text("Which way will it go?").click()
    ways = page.locator("#ways")
    await expect(ways.get_by_role("listitem").first).to_contain_text("1 · Amazon SES")
    await page.get_by_text("sender, copies").click()
    await page.get_by_label("First provider").select_option("Mailgun")
    await expect(ways.get_by_role("listitem").first).to_contain_text("1 · Mailgun")
    await expect(ways).to_be_visible()


async def test_dark_is_dark_and_light_is_light(opened: Open, gallery: Gallery) -> None:
    page = (await opened("/", color_scheme="dark")).page
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = await page.evaluate(colour)
    await page.locator(".who summary").click()
    await page.get_by_label("Colours").select_option("Light")
    await page.get_by_role("button", name="Use these").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert await page.evaluate(colour) != dark


async def test_a_mail_cannot_run_or_load_anything(browser: Browser, address: str, gallery: Gallery) -> None:
    asked: list[str] = []
    page = await browser.new_page(base_url=address)
    page.on("requestfinished", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: asked.append(f"{request.failure}: {request.url}"))
    await gallery.caught(
        "Nasty", "ann@example.com", 0,
        html="<p id=here>Look</p><script>top.document.title = 'taken'</script><img src='https://spy.example/x.png'>"
        "<meta http-equiv=refresh content='0;url=https://spy.example/'><form action='https://spy.example/'></form>",
    )  # fmt: skip
    await page.goto("/mailbox")
    await expect(page.frame_locator("iframe").locator("#here")).to_have_text("Look")
    assert await page.title() == "Nasty · Mailbox · Janus"
    assert [url for url in asked if not url.startswith(address)] == ["csp: https://spy.example/x.png"]
    await page.close()
