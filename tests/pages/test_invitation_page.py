"""`/invitations/…`: what whoever opens the link is told, and what it does."""

import httpx
import pytest
from fastapi import FastAPI

from janus_mail.audit.actors import COMMAND
from janus_mail.models.states import Role
from janus_mail.storage.database import Database
from janus_mail.workspaces.invitations import invite_to_server
from tests.pages.conftest import HTML, Visitor
from tests.pages.reading import faults_of
from tests.pages.visiting import visiting

MARA, ANNA, NOOR = "mara@example.com", "anna@example.org", "noor@example.com"
PASSWORD = "seven green lamps hum"


@pytest.fixture
async def path(app: FastAPI, database: Database) -> str:
    """Where Anna's invitation by Mara, as an editor, is opened."""
    async with visiting(app, database, MARA) as mara:
        page = await mara.send(await mara.get("/members"), "/members/invite", email=ANNA, role="editor")
        return page.root.one("input", id="link")["value"].removeprefix("http://testserver")


def stranger(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://testserver", headers=HTML, follow_redirects=True
    )


async def test_who_has_no_account_makes_one_and_is_in(app: FastAPI, database: Database, path: str) -> None:
    async with stranger(app) as client:
        visitor = Visitor(client)
        page = await visitor.get(path)
        assert faults_of(page) == []
        for words in ("Join default", "Mara (mara@example.com) invites anna@example.org", "As editor: "):
            assert words in page.main.text
        weak = await visitor.send(page, path, name="Anna", password="1234567890", status=400)
        assert "Password: " in weak.root.one(id="errors").text
        assert weak.form(path).values()["name"] == "Anna"
        assert "1234567890" not in weak.html
        page = await visitor.send(page, path, name="Anna", password=PASSWORD)
        assert visitor.address == "http://testserver/"
        assert "Workspace default Anna" in page.root.text
        assert "Nothing is scheduled yet" in page.main.text
        over = await visitor.get(path, status=404)
        assert "This invitation is over" in over.main.text
    assert await database.pool.fetchval("SELECT count(*) FROM memberships") == 2


async def test_who_has_an_account_signs_in_first_and_comes_back(app: FastAPI, database: Database, path: str) -> None:
    async with visiting(app, database, ANNA, None) as anna, stranger(app) as client:
        page = await Visitor(client).get(path)
        assert page.main.one("a", class_="main")["href"] == f"/login?next={path}"
        assert page.main.all("form") == []
        page = await anna.get(path)
        assert "You are signed in as anna@example.org" in page.main.text
        page = await anna.send(page, path)
        assert "You are in." in page.main.text
        assert "Workspace default" in page.root.text


async def test_an_account_cannot_be_taken_over_by_the_link_of_its_address(
    app: FastAPI, database: Database, path: str
) -> None:
    async with stranger(app) as client:
        visitor = Visitor(client)
        page = await visitor.get(path)  # nobody has the address yet
        async with visiting(app, database, ANNA, None):
            before = await database.pool.fetchrow("SELECT u::text FROM users u WHERE email = $1", ANNA)
            await visitor.send(page, path, name="Mallory", password=PASSWORD, status=409)
        assert await database.pool.fetchrow("SELECT u::text FROM users u WHERE email = $1", ANNA) == before
    assert await database.pool.fetchval("SELECT count(*) FROM memberships") == 1


async def test_who_is_signed_in_under_another_address_is_told_which_account_it_will_be(
    app: FastAPI, database: Database, path: str
) -> None:
    async with visiting(app, database, NOOR, None) as noor:
        page = await noor.get(path)
        assert "signed in as noor@example.com , and join with that account, though another" in page.main.text
        await noor.send(page, path)
    role = await database.pool.fetchval(
        "SELECT role FROM memberships m JOIN users u ON u.id = m.user_id WHERE u.email = $1", NOOR
    )
    assert role == Role.EDITOR


async def test_a_new_session_shows_the_workspace_that_was_joined(app: FastAPI, database: Database, path: str) -> None:
    async with visiting(app, database, NOOR, None) as noor:
        await noor.send(await noor.get("/"), "/workspaces/new", name="Hers")
        page = await noor.send(await noor.get(path), path)
        assert "Workspace default" in page.root.text


async def test_the_page_is_nobodys_to_keep_or_to_tell(app: FastAPI, path: str) -> None:
    async with stranger(app) as client:
        for address in (path, "/invitations/unknown"):
            answer = await client.get(address)
            assert (answer.headers["referrer-policy"], answer.headers["cache-control"]) == ("no-referrer", "no-store")
        assert (await client.post(path, data={"name": "x", "password": PASSWORD})).status_code == 403


async def test_an_invitation_to_the_server_leads_to_a_workspace_of_ones_own(app: FastAPI) -> None:
    made = await invite_to_server(app.state.context, COMMAND, "new@example.org")
    path = str(made.link).removeprefix("http://testserver")
    async with stranger(app) as client:
        visitor = Visitor(client)
        page = await visitor.send(await visitor.get(path), path, name="New", password=PASSWORD)
        assert visitor.address.endswith("/workspaces/new")
        assert "Name your workspace" in page.root.text


async def test_what_others_typed_is_text_and_nothing_else(app: FastAPI, database: Database) -> None:
    evil = "<script>alert(1)</script>"
    await database.pool.execute("UPDATE workspaces SET name = $1", evil)
    async with visiting(app, database, MARA) as mara:
        await database.pool.execute("UPDATE users SET name = $1", evil)
        page = await mara.send(await mara.get("/members"), "/members/invite", email=ANNA, role="viewer")
        path = page.root.one("input", id="link")["value"].removeprefix("http://testserver")
        shown = [await mara.get(one) for one in ("/", "/members", "/workspace", "/keys", "/workspaces/new", path)]
    async with stranger(app) as client:
        shown.append(await Visitor(client).get(path))
    assert all(evil not in page.html for page in shown)
    assert "&lt;script&gt;" in shown[-1].html
