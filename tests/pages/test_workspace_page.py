"""`/workspace` and `/workspaces/new`: settings, going from one to another, the first steps in a new one."""

import uuid

import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from janus_mail.models.states import Role
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from tests.delivery.conftest import working
from tests.pages.conftest import Visitor
from tests.pages.gallery import Gallery
from tests.pages.reading import faults_of
from tests.pages.visiting import visiting
from tests.people import add_workspace

MARA, VIC = "mara@example.com", "vic@example.com"


async def test_settings_are_saved_and_only_what_was_changed(app: FastAPI, database: Database) -> None:
    async with visiting(app, database, MARA) as mara:
        page = await mara.get("/workspace")
        assert faults_of(page) == []
        page = await mara.send(
            page, "/workspace", name="Northwind", allowed_senders="example.com\nnoor@example.org", retention_days="90",
            on_uncertain="park",
        )  # fmt: skip
        assert "The settings are saved." in page.main.text
        row = await database.pool.fetchrow("SELECT * FROM workspaces")
        assert row is not None
        assert (row["name"], row["allowed_senders"], row["retention_days"], row["on_uncertain"], row["timezone"]) == (
            "Northwind", ["example.com", "noor@example.org"], 90, "park", None,
        )  # fmt: skip
        [entry] = await database.pool.fetch("SELECT after FROM audit_log WHERE action = 'workspace.changed'")
        assert set(entry["after"]) == {"name", "allowed_senders", "retention_days", "on_uncertain"}
        page = await mara.send(await mara.get("/workspace"), "/workspace", allowed_senders="", retention_days="")
        row = await database.pool.fetchrow("SELECT allowed_senders, retention_days FROM workspaces")
        assert row is not None
        assert list(row) == [None, None]


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("name", ""), ("timezone", "Mars/Olympus"), ("from_email", "no address"), ("allowed_senders", "nothing at all"),
        ("allowed_senders", "elsewhere.example"), ("retention_days", "for ever"), ("retention_days", "0"),
        ("language", "tlh"), ("on_uncertain", "drop"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said_at_its_field_and_what_was_typed_stays(
    app: FastAPI, database: Database, field: str, typed: str
) -> None:
    async with visiting(app, database, MARA) as mara:
        page = await mara.send(await mara.get("/workspace"), "/workspace", {field: typed}, status=400)
        assert page.root.one("div", id="errors").all("a", href=f"#{field}") != []
        if field not in ("timezone", "language", "on_uncertain"):
            assert page.form("/workspace").values()[field] == typed
        assert await database.pool.fetchval("SELECT name FROM workspaces") == "default"


async def test_who_is_no_owner_sees_the_settings_and_may_leave(app: FastAPI, database: Database) -> None:
    async with visiting(app, database, MARA), visiting(app, database, VIC, Role.VIEWER) as vic:
        page = await vic.get("/workspace")
        assert "janus@example.com" in page.main.text
        assert [form["action"] for form in page.main.all("form")] == ["/workspace/leave"]
        page = await vic.send(page, "/workspace/leave")
        assert vic.address.endswith("/workspaces/new")
        assert "Signed in as vic@example.com" in page.root.text


async def test_the_last_owner_is_told_that_they_stay(app: FastAPI, database: Database) -> None:
    async with visiting(app, database, MARA) as mara:
        page = await mara.send(await mara.get("/workspace"), "/workspace/leave", status=409)
        assert "make somebody else one first" in page.root.one(id="errors").text
        assert "/workspace/delete" not in page.html  # the server’s own


async def test_a_tab_left_open_changes_nothing_in_the_workspace_that_was_switched_to(
    app: FastAPI, database: Database
) -> None:
    async with visiting(app, database, MARA) as mara:
        other = await add_workspace(database, "other")
        user_id = await database.pool.fetchval("SELECT id FROM users")
        await database.pool.execute(
            "INSERT INTO memberships (workspace_id, user_id, role) VALUES ($1, $2, 'owner')", other, user_id
        )
        old_tab = await mara.get("/workspace")
        await mara.send(old_tab, f"/workspaces/{other}/switch")
        refused = await mara.send(old_tab, "/workspace", name="Northwind", status=403)
        assert "grown old" in refused.root.text
        assert await database.pool.fetchval("SELECT name FROM workspaces WHERE id = $1", other) == "other"
        # What is of the person and of no workspace goes on from there.
        await mara.send(old_tab, "/theme", theme="dark")
        await mara.send(old_tab, f"/workspaces/{other}/switch")
        await mara.send(old_tab, "/logout")
        assert mara.address.endswith("/login?after=out")


async def test_the_menu_names_ones_workspaces_and_switches_between_them(app: FastAPI, database: Database) -> None:
    other = await add_workspace(database, "Side project")
    elsewhere = await add_workspace(database, "Elsewhere")
    async with visiting(app, database, MARA) as mara:
        user_id = await database.pool.fetchval("SELECT id FROM users")
        await database.pool.execute("INSERT INTO memberships VALUES ($1, $2, 'viewer')", other, user_id)
        page = await mara.get("/")
        menu = page.root.one("ul", aria_label="Your workspaces")
        assert [item.text for item in menu.all("li")] == ["default", "Switch to Side project"]
        page = await mara.send(page, f"/workspaces/{other}/switch")
        assert "Workspace Side project" in page.root.text
        assert page.main.all("a", href="/add") == []
        token = page.form("/theme").values()["csrf_token"]
        for workspace_id in (elsewhere, uuid.uuid4()):
            refused = await mara.client.post(f"/workspaces/{workspace_id}/switch", data={"csrf_token": token})
            assert refused.status_code == 404
        assert "Workspace Side project" in (await mara.get("/")).root.text


async def test_the_menu_leads_to_what_is_ones_own(app: FastAPI, database: Database, visitor: Visitor) -> None:
    assert "this machine only" in (await visitor.get("/")).root.text
    assert "/login" not in {link["href"] for link in (await visitor.get("/")).root.all("a")}
    async with visiting(app, database, MARA) as mara:
        links = {link["href"] for link in (await mara.get("/")).root.all("a")}
        assert {"/account", "/workspaces/new", "/members", "/keys", "/audit", "/workspace"} <= links
        assert "/administration" not in links
        await database.pool.execute("UPDATE users SET administrator = true")
        assert "/administration" in {link["href"] for link in (await mara.get("/")).root.all("a")}
    assert "/login" in {link["href"] for link in (await visitor.get("/")).root.all("a")}


async def test_from_nothing_to_a_mail_that_was_caught_each_page_says_the_next_step(
    app: FastAPI, settings: Settings, database: Database, redis: Redis
) -> None:
    async with visiting(app, database, "lone@example.org", None) as lone:
        page = await lone.get("/")
        assert "Name your workspace" in page.root.text
        assert faults_of(page) == []
        assert page.form("/workspaces/new").values()["from_email"] == "lone@example.org"
        refused = await lone.send(page, "/workspaces/new", name="", status=400)
        assert "Name: " in refused.root.one(id="errors").text
        page = await lone.send(page, "/workspaces/new", name="Lone star")
        assert "The workspace is yours. Add a provider next" in page.main.text
        assert faults_of(page) == []
        assert page.main.all("a", href="/providers/add") != []
        providers = await lone.get("/providers")
        assert "Try with sandbox providers first" in providers.main.text
        page = await lone.send(page, "/providers/sandboxes")
        assert [h.text for h in page.main.all("h2")][:3] == ["Amazon SES", "Google SMTP", "SendGrid"]
        again = await lone.send(providers, "/providers/sandboxes")
        assert "Nothing was changed" in again.main.text
        page = await lone.send(await lone.get("/"), "/add/first")
        async with working(settings, database, redis):
            for _ in range(200):
                if await database.pool.fetchval("SELECT count(*) FROM captured_mails"):
                    break
                page = await lone.get("/mailbox")
        assert "lone@example.org" in (await lone.get("/mailbox")).main.text


async def test_a_workspace_is_deleted_by_typing_its_name(app: FastAPI, database: Database) -> None:
    async with visiting(app, database, "lone@example.org", None) as lone:
        await lone.send(await lone.get("/"), "/workspaces/new", name="Short-lived")
        page = await lone.get("/workspace")
        page = await lone.send(page, "/workspace/delete", name="short-lived", status=400)
        assert "Type the workspace’s name as it is: Short-lived" in page.root.one(id="errors").text
        page = await lone.send(page, "/workspace/delete", name="Short-lived")
        assert lone.address.endswith("/workspaces/new")
        assert "The workspace is deleted." in page.main.text
        assert await database.pool.fetchval("SELECT count(*) FROM workspaces WHERE name = 'Short-lived'") == 0


async def test_dates_and_numbers_are_in_the_workspaces_language(visitor: Visitor, gallery: Gallery) -> None:
    async def titles() -> list[str]:
        return [time["title"] for time in (await visitor.get("/")).main.all("time")]

    assert all(title[0].isdigit() for title in await titles())
    await gallery.database.pool.execute("UPDATE workspaces SET language = 'en-US'")
    assert all(title[0].isalpha() for title in await titles())
    await gallery.database.pool.execute("UPDATE workspaces SET language = NULL")
    assert all(title[0].isdigit() for title in await titles())
