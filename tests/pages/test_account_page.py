"""`/account`: what somebody changes about themselves, without JavaScript."""

import re
import uuid
from collections.abc import AsyncIterator
from urllib.parse import unquote

import httpx
import pyotp
import pytest
from fastapi import FastAPI

from janus_mail.accounts.sessions import open_session
from janus_mail.models.states import Role
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox
from tests.accounts.programs import MARA, PASSWORD, QUICK, quick_passwords
from tests.conftest import TEST_KEY
from tests.pages.conftest import Visitor
from tests.pages.reading import Page, faults_of
from tests.people import HTML, add_person, signed_in

__all__ = ["quick_passwords"]

NEW = "another four words here"


@pytest.fixture
async def mara(database: Database, workspace_id: uuid.UUID) -> uuid.UUID:
    await add_person(database, "ann@example.com", workspace_id=workspace_id)
    digest = QUICK.hash(PASSWORD)
    return await add_person(database, MARA, workspace_id=workspace_id, role=Role.VIEWER, password_digest=digest)


@pytest.fixture
async def browser(
    app: FastAPI, database: Database, mara: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Visitor]:
    """Mara's."""
    monkeypatch.setattr(app.state.context.settings, "system_provider", "sandbox")
    async with signed_in(app, database, mara) as client:
        client.follow_redirects = True
        yield Visitor(client)


async def read_mails(database: Database) -> list[dict[str, str]]:
    rows = await database.pool.fetch("SELECT sealed FROM system_mails ORDER BY id")
    return [SecretBox([TEST_KEY]).open(row["sealed"]) for row in rows]


async def in_force(browser: Visitor, page: Page) -> list[str]:
    """Set the second factor up; its recovery codes."""
    page = await browser.send(page, "/account/second-factor", factor_current=PASSWORD)
    secret = page.main.all("code")[0].text.replace(" ", "")
    page = await browser.send(page, "/account/second-factor/confirm", code=pyotp.TOTP(secret).now())
    assert faults_of(page) == []
    return [item.text for item in page.main.one("ul", class_="mono").all("li")]


async def test_who_is_a_stranger_is_led_to_the_door(app: FastAPI) -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://testserver", headers=HTML
    ) as client:
        answer = await client.get("/account")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Faccount")


async def test_who_is_in_no_workspace_has_an_account_all_the_same(browser: Visitor, database: Database) -> None:
    await database.pool.execute("DELETE FROM memberships")
    page = await browser.get("/account")
    assert faults_of(page) == []
    assert page.root.all("nav") == []


async def test_the_page_says_who_one_is_and_stands_in_nobodys_way(browser: Visitor) -> None:
    page = await browser.get("/account")
    assert faults_of(page) == []
    assert MARA in page.main.text
    assert page.form("/account/name").values()["name"] == "Mara"


async def test_a_new_name_is_shown_and_one_that_does_not_do_stays_typed(browser: Visitor) -> None:
    page = await browser.send(await browser.get("/account"), "/account/name", name="Mara Lind")
    assert "Your name is changed." in page.main.text
    page = await browser.send(page, "/account/name", name="x" * 101, status=400)
    assert page.form("/account/name").values()["name"] == "x" * 101
    assert "at most 100 characters" in page.main.text
    assert faults_of(page) == []


async def test_a_new_password_signs_other_browsers_out_and_not_this_one(
    browser: Visitor, database: Database, mara: uuid.UUID
) -> None:
    async with database.transaction() as connection:
        await open_session(connection, mara, address="", user_agent="", lasts_s=60)
    page = await browser.send(
        await browser.get("/account"), "/account/password", password_current=PASSWORD, password_new=NEW
    )
    assert "The password is changed." in page.main.text
    assert await database.pool.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 1


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"password_current": "wrong", "password_new": NEW}, "password_current"),
        ({"password_current": PASSWORD, "password_new": "short"}, "password_new"),
    ],
    ids=["not theirs", "too short"],
)
async def test_what_is_wrong_with_a_password_stands_at_its_field_and_none_is_shown(
    browser: Visitor, fields: dict[str, str], wrong: str
) -> None:
    page = await browser.send(await browser.get("/account"), "/account/password", fields, status=400)
    assert page.root.one("input", id=wrong)["aria-invalid"] == "true"
    assert faults_of(page) == []
    assert not [typed for typed in (PASSWORD, NEW, "short") if f'value="{typed}"' in page.html]


async def test_a_new_address_is_confirmed_by_a_press_on_the_page_that_its_link_leads_to(
    browser: Visitor, database: Database, app: FastAPI
) -> None:
    page = await browser.send(
        await browser.get("/account"), "/account/email", email="mara@new.example", email_current=PASSWORD
    )
    assert "on its way to the new address" in page.main.text
    mail = (await read_mails(database))[0]
    found = re.search(r"http://testserver(/account/email/\S+)", mail["text"])
    assert found is not None
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://testserver", headers=HTML
    ) as client:
        elsewhere = Visitor(client)
        answer = await client.get(found[1])
        assert answer.headers["referrer-policy"] == "no-referrer"
        page = Page(answer.text)
        assert faults_of(page) == []
        assert await database.pool.fetchval("SELECT count(*) FROM users WHERE email = $1", MARA) == 1
        (form,) = page.root.all("form")
        answer = await client.post(found[1], data=form.values())
        assert "The address is changed" in answer.text
        await elsewhere.get(found[1], status=404)
    assert "mara@new.example" in (await browser.get("/account")).main.text


async def test_the_second_factor_is_set_up_from_a_picture_and_switched_off_with_a_code(browser: Visitor) -> None:
    page = await browser.get("/account")
    page = await browser.send(page, "/account/second-factor", factor_current="wrong", status=400)
    page = await browser.send(page, "/account/second-factor", factor_current=PASSWORD)
    assert faults_of(page) == []
    picture = page.main.one("img")
    assert picture["src"].startswith("data:image/svg+xml")
    assert (await browser.get("/account/second-factor")).main.one("img")["src"] == picture["src"]  # loaded anew
    page = await browser.send(page, "/account/second-factor/confirm", code="000000", status=400)
    assert page.root.one("input", id="code")["aria-invalid"] == "true"
    secret = page.main.all("code")[0].text.replace(" ", "")
    page = await browser.send(page, "/account/second-factor/confirm", code=pyotp.TOTP(secret).now())
    codes = [item.text for item in page.main.one("ul", class_="mono").all("li")]
    assert len(codes) == 10
    file = next(link["href"] for link in page.main.all("a") if "download" in link.attributes)
    assert all(code in unquote(file) for code in codes)
    page = await browser.get("/account")
    assert "10 of your recovery codes are left" in page.main.text
    assert codes[0] not in page.html
    page = await browser.get("/account/second-factor")
    assert page.main.all("img") == []
    fields = {"off_current": PASSWORD, "off_code": "000000"}
    page = await browser.send(page, "/account/second-factor/off", fields, status=400)
    assert page.root.one("input", id="off_code")["aria-invalid"] == "true"
    page = await browser.send(page, "/account/second-factor/off", {**fields, "off_code": codes[3]})
    assert "The second factor is off." in page.main.text


async def test_the_page_with_codes_is_kept_nowhere(browser: Visitor) -> None:
    await in_force(browser, await browser.get("/account"))
    page = await browser.get("/account/second-factor")
    action = "/account/second-factor/codes"
    answer = await browser.client.post(action, data={**page.form(action).values(), "current": PASSWORD})
    assert answer.headers["cache-control"] == "no-store"
    assert "Your new recovery codes" in answer.text
    page = await browser.send(page, action, current="wrong", status=400)
    assert page.root.one("input", id="current")["aria-invalid"] == "true"


async def test_browsers_and_programs_are_listed_and_signed_out(
    browser: Visitor, database: Database, mara: uuid.UUID
) -> None:
    async with database.transaction() as connection:
        for agent in ("curl/8", "Mozilla/5.0 (X11; Linux) Firefox/1", "<script>alert(1)</script>"):
            await open_session(connection, mara, address="192.0.2.7", user_agent=agent, lasts_s=60)
    page = await browser.get("/account")
    assert "<script>alert" not in page.html
    assert "192.0.2.7" in page.main.text
    (item,) = [item for item in page.main.all("li") if item.text.startswith("curl")]
    (form,) = item.all("form")
    page = await browser.send(page, form["action"])
    assert "That browser is signed out." in page.main.text
    page = await browser.send(page, "/account/sessions/end")
    assert "2 browsers signed out." in page.main.text
    assert await database.pool.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 1


async def test_signing_out_this_browser_leads_to_the_door(browser: Visitor, database: Database) -> None:
    session_id = await database.pool.fetchval("SELECT id FROM sessions")
    page = await browser.get("/account")
    answer = await browser.client.post(
        f"/account/sessions/{session_id}/end", data=page.form("/account/name").values(), follow_redirects=False
    )
    assert answer.status_code == 303
    answer = await browser.client.get("/account", follow_redirects=False)
    assert answer.headers["location"].startswith("/login")


async def test_an_account_is_deleted_with_the_password_alone_where_nothing_hinders(
    browser: Visitor, database: Database
) -> None:
    page = await browser.get("/account")
    page = await browser.send(page, "/account/delete", delete_current="wrong", status=400)
    assert page.root.one("input", id="delete_current")["aria-invalid"] == "true"
    page = await browser.send(page, "/account/delete", delete_current=PASSWORD)
    assert "Your account is deleted" in page.main.text
    assert faults_of(page) == []
    assert await database.pool.fetchval("SELECT count(*) FROM users WHERE email = $1", MARA) == 0
    answer = await browser.client.get("/account", follow_redirects=False)
    assert answer.status_code == 303


async def test_what_hinders_is_said_instead_of_a_button(browser: Visitor, database: Database) -> None:
    await database.pool.execute("UPDATE memberships SET role = 'owner' WHERE role = 'viewer'")
    await database.pool.execute(
        "UPDATE memberships SET role = 'viewer' WHERE user_id <> (SELECT user_id FROM sessions)"
    )
    page = await browser.get("/account")
    assert "You are the only owner of" in page.main.text
    assert not [form for form in page.root.all("form") if form["action"] == "/account/delete"]
    assert faults_of(page) == []


@pytest.mark.parametrize(
    "path",
    [
        "/account/name", "/account/email", "/account/password", "/account/sessions/end", "/account/delete",
        "/account/second-factor", "/account/second-factor/confirm", "/account/second-factor/codes",
        "/account/second-factor/off", f"/account/sessions/{uuid.UUID(int=1)}/end",
        f"/account/programs/{uuid.UUID(int=1)}/end", f"/account/email/{'x' * 43}",
    ],
)  # fmt: skip
async def test_no_form_of_another_site_is_taken(browser: Visitor, path: str) -> None:
    answer = await browser.client.post(path, data={"password_current": PASSWORD, "csrf_token": "x"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "path", ["/account/name", "/account/password", "/account/second-factor/off", "/account/delete"]
)
async def test_who_comes_back_to_what_a_form_answered_sees_the_page(browser: Visitor, path: str) -> None:
    assert "Your account" in (await browser.get(path)).main.text


async def test_more_wrong_passwords_than_may_be_are_not_looked_at(
    browser: Visitor, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.state.context.settings, "rate_limit_sign_in", 9)
    page = await browser.get("/account")
    for _ in range(3):
        await browser.send(page, "/account/delete", delete_current="wrong", status=400)
    await browser.send(page, "/account/delete", delete_current=PASSWORD, status=429)
