"""`/members`: who is in, who may be, and who sees what of it."""

import re

import pytest
from fastapi import FastAPI

from janus_mail.models.states import Role
from janus_mail.storage.database import Database
from tests.pages.conftest import Visitor
from tests.pages.reading import faults_of
from tests.pages.visiting import visiting

MARA, NOOR, VIC = "mara@example.com", "noor@example.com", "vic@example.com"


async def test_an_owner_sees_who_is_in_and_may_change_all_but_being_the_last(app: FastAPI, database: Database) -> None:
    async with visiting(app, database, NOOR, Role.EDITOR), visiting(app, database, MARA) as mara:
        page = await mara.get("/members")
        assert faults_of(page) == []
        assert "Mara you mara@example.com" in page.main.text
        assert "the only one, so it stays" in page.main.text
        noor = await database.pool.fetchval("SELECT id FROM users WHERE email = $1", NOOR)
        page = await mara.send(page, f"/members/{noor}/role", role="owner")
        assert "The role is changed" in page.main.text
        assert "the only one" not in page.main.text
        page = await mara.send(page, f"/members/{noor}/remove")
        assert "They are out, at once." in page.main.text
        assert NOOR not in page.main.text


async def test_without_mail_the_link_is_shown_once_and_opens(app: FastAPI, database: Database) -> None:
    async with visiting(app, database, MARA) as mara:
        page = await mara.send(await mara.get("/members"), "/members/invite", email="anna@example.org", role="viewer")
        link = page.root.one("input", id="link")["value"]
        assert re.fullmatch(r"http://testserver/invitations/[\w-]{43}", link)
        assert faults_of(page) == []
        page = await mara.get("/members")
        assert page.root.all("input", id="link") == []
        assert "anna@example.org" in page.main.text
        own = (await mara.get(link.removeprefix("http://testserver"))).main
        assert "who is in it already" in own.text
        assert own.all("form") == []
        invitation_id = await database.pool.fetchval("SELECT id FROM invitations")
        page = await mara.send(page, f"/members/invitations/{invitation_id}/again")
        assert page.root.one("input", id="link")["value"] != link
        newest = await database.pool.fetchval("SELECT id FROM invitations WHERE revoked_at IS NULL")
        page = await mara.send(page, f"/members/invitations/{newest}/withdraw")
        assert "opens nothing any more" in page.main.text
        assert "anna@example.org" not in page.main.text


@pytest.mark.parametrize(
    ("email", "role", "says"),
    [
        ("no address", "viewer", "Address: "),
        ("anna@example.org", "god", "Role: "),
        (MARA, "viewer", "is in this workspace already"),
    ],
)
async def test_what_is_wrong_is_said_and_what_was_typed_stays(
    app: FastAPI, database: Database, email: str, role: str, says: str
) -> None:
    async with visiting(app, database, MARA) as mara:
        page = await mara.get("/members")
        status = 409 if email == MARA else 400
        page = await mara.send(page, "/members/invite", email=email, role=role, status=status)
        assert says in page.root.one(id="errors").text
        assert page.form("/members/invite").values()["email"] == email
        assert page.root.one("title").text.startswith("Error: ")


async def test_who_is_no_owner_sees_the_members_and_no_button(app: FastAPI, database: Database) -> None:
    async with visiting(app, database, MARA), visiting(app, database, VIC, Role.VIEWER) as vic:
        page = await vic.get("/members")
        assert MARA in page.main.text
        assert page.main.all("form") == []
        assert faults_of(page) == []


async def test_on_this_machine_without_accounts_nobody_is_a_member(visitor: Visitor) -> None:
    page = await visitor.get("/members")
    assert "Nobody has an account here" in page.main.text
    assert faults_of(page) == []
