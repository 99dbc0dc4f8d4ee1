"""Who may see pages, and what protects their forms."""

import httpx
import pytest
from fastapi import FastAPI

from janus_mail.app import create_app
from janus_mail.pages.csrf import CsrfGuard
from janus_mail.settings import Settings
from tests.pages.conftest import HTML, Visitor
from tests.pages.gallery import INVOICE, Gallery
from tests.pages.reading import Page, faults_of

PATHS = ["/", "/add", "/cancel", "/parked", "/providers", "/mailbox", "/pulse"]


@pytest.mark.parametrize("path", PATHS)
async def test_without_accounts_and_without_the_anonymous_workspace_pages_are_closed(app: FastAPI, path: str) -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost", headers=HTML
    ) as client:
        answer = await client.get(path)
    assert answer.status_code == 403
    page = Page(answer.text)
    assert page.root.one("h1").text == "Not open to you"
    assert "make run" in page.main.text
    assert faults_of(page) == []


async def test_a_foreign_name_for_this_machine_opens_nothing(visitor: Visitor, gallery: Gallery) -> None:
    await visitor.get("/", status=403, host="attacker.example")


async def test_a_foreign_page_cannot_read_a_page(visitor: Visitor, gallery: Gallery) -> None:
    await visitor.get("/", status=403, origin="https://attacker.example")


async def test_a_form_without_the_token_changes_nothing(visitor: Visitor, gallery: Gallery) -> None:
    path = f"/events/{gallery.events[INVOICE]}/cancel"
    await visitor.get("/")
    answer = await visitor.client.post(path, data={"csrf_token": "guessed"})
    assert answer.status_code == 403
    assert "grown old" in answer.text
    assert await gallery.database.pool.fetchval("SELECT count(*) FROM messages WHERE state = 'canceled'") == 40


async def test_a_token_of_another_browser_is_worth_nothing(visitor: Visitor, gallery: Gallery) -> None:
    token = (await visitor.get("/providers")).form("/theme").values()["csrf_token"]
    visitor.client.cookies.clear()
    await visitor.get("/providers")
    answer = await visitor.client.post("/theme", data={"csrf_token": token, "theme": "dark"})
    assert answer.status_code == 403


async def test_the_token_cookie_is_out_of_reach_for_scripts_and_other_sites(visitor: Visitor, gallery: Gallery) -> None:
    cookie = (await visitor.client.get("/")).headers["set-cookie"].lower()
    assert cookie.startswith("janus_csrf=")
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


def test_a_token_outlives_the_change_of_the_secret_key() -> None:
    old, new = "o" * 43 + "=", "n" * 43 + "="
    token = CsrfGuard([old]).token("seed")
    assert CsrfGuard([new, old]).fits("seed", token)
    assert CsrfGuard([new, old]).token("seed") == CsrfGuard([new]).token("seed")
    assert not CsrfGuard([new]).fits("seed", token)
    assert not CsrfGuard([old]).fits("another", token)
    assert not CsrfGuard([old]).fits(None, token)


@pytest.mark.parametrize(
    ("path", "status"), [("/nothing", 404), ("/events/not-an-id", 404), ("/?cursor=nonsense", 400), ("/?q=%00", 400)]
)
async def test_an_error_is_a_page_in_the_same_look(visitor: Visitor, gallery: Gallery, path: str, status: int) -> None:
    page = await visitor.get(path, status=status)
    assert faults_of(page) == []
    assert page.main.one("a")["href"] == "/"


async def test_an_event_of_another_workspace_is_not_there(visitor: Visitor, gallery: Gallery) -> None:
    await visitor.get("/events/0195a1c2-7d3e-7b60-9f41-2c8b5e0d7a11", status=404)


async def test_while_the_database_is_away_a_page_says_so_and_that_mail_is_safe(
    settings: Settings, visitor: Visitor, gallery: Gallery
) -> None:
    app = create_app(settings.model_copy(update={"anonymous_workspace": "default"}))
    async with app.router.lifespan_context(app):
        await app.state.context.database.pool.close()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=HTML) as client:
            answer = await client.get("/")
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    assert "Mail that was accepted still leaves" in Page(answer.text).main.text
