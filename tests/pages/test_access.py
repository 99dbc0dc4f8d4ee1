"""Who may see pages, and what protects their forms."""

from urllib.parse import quote

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
async def test_a_stranger_is_led_to_where_one_signs_in_and_back(app: FastAPI, path: str) -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost", headers=HTML
    ) as client:
        answer = await client.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"] == ("/login" if path == "/" else f"/login?next={quote(path, safe='')}")
        update = await client.get(path, headers={"HX-Request": "true"})
        assert (update.status_code, update.headers["hx-redirect"], update.text) == (401, "/login", "")


async def test_a_foreign_name_for_this_machine_opens_nothing(visitor: Visitor, gallery: Gallery) -> None:
    answer = await visitor.client.get("/", headers={"Host": "attacker.example"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


async def test_a_foreign_page_cannot_read_a_page(visitor: Visitor, gallery: Gallery) -> None:
    answer = await visitor.client.get("/", headers={"Origin": "https://attacker.example"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


async def test_in_production_cookies_travel_over_tls_alone_and_no_subdomain_can_set_them(
    visitor: Visitor, gallery: Gallery
) -> None:
    answer = await visitor.client.get("https://localhost/")
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("__host-janus_csrf=")
    assert "secure" in cookie
    assert "path=/" in cookie


async def test_a_token_is_worth_nothing_in_another_session() -> None:
    guard = CsrfGuard(["k" * 43 + "="])
    assert guard.fits("seed", guard.token("seed", "session"), "session")
    assert not guard.fits("seed", guard.token("seed", ""), "session")
    assert not guard.fits("seed", guard.token("seed", "session"), "")


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
