"""`/administration`: what an administrator of the server sees and does, and nobody else."""

import uuid
from asyncio import create_task, gather
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from janus_mail.accounts import second_factor
from janus_mail.accounts.administration import set_administrator
from janus_mail.accounts.sessions import open_session
from janus_mail.audit.actors import SYSTEM
from janus_mail.models.states import Role
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox
from tests.accounts.blocked import until_blocked
from tests.accounts.programs import MARA
from tests.conftest import TEST_KEY
from tests.pages.conftest import Visitor
from tests.pages.reading import faults_of
from tests.people import add_person, signed_in

ROOT = "root@example.com"
FORMS = (
    "invite", "people/{id}/confirm", "people/{id}/disable", "people/{id}/enable", "people/{id}/make-administrator",
    "people/{id}/revoke-administrator", "people/{id}/sign-out", "people/{id}/second-factor-off",
    "people/{id}/reset-link", "people/{id}/email", "workspaces/{id}/quotas",
)  # fmt: skip


@pytest.fixture
async def mara(database: Database, workspace_id: uuid.UUID) -> uuid.UUID:
    return await add_person(database, MARA, workspace_id=workspace_id, name="Mara Lind")


@pytest.fixture
async def root(
    app: FastAPI, database: Database, mara: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Visitor]:
    """An administrator's browser; they are in no workspace."""
    monkeypatch.setattr(app.state.context.settings, "system_provider", "sandbox")
    user_id = await add_person(database, ROOT, administrator=True)
    async with signed_in(app, database, user_id) as client:
        client.follow_redirects = True
        yield Visitor(client)


class Row:
    """One person's row of the table, with its buttons."""

    def __init__(self, root: Visitor, user_id: uuid.UUID) -> None:
        self.root, self.user_id = root, user_id

    async def text(self) -> str:
        return (await self.root.get("/administration")).root.one("tr", id=f"u-{self.user_id}").text

    async def press(self, doing: str, *, status: int = 200, **fields: str) -> str:
        page = await self.root.get("/administration")
        action = f"/administration/people/{self.user_id}/{doing}"
        return (await self.root.send(page, action, fields, status=status)).main.text


@pytest.fixture
def row(root: Visitor, mara: uuid.UUID) -> Row:
    return Row(root, mara)


async def last_entry(database: Database) -> tuple[str, str, str]:
    row = await database.pool.fetchrow("SELECT action, actor, object FROM audit_log ORDER BY id DESC LIMIT 1")
    assert row is not None
    return row["action"], row["actor"], row["object"]


@pytest.mark.parametrize("role", [*Role])
async def test_only_administrators_get_in_whatever_they_are_in_a_workspace(
    app: FastAPI, database: Database, workspace_id: uuid.UUID, role: Role
) -> None:
    user_id = await add_person(database, MARA, workspace_id=workspace_id, role=role)
    async with signed_in(app, database, user_id) as client:
        for path in ("/administration", "/administration/workspaces", "/administration/invite"):
            assert (await client.get(path)).status_code == 403, path
        for path in FORMS:
            answer = await client.post(f"/administration/{path.format(id=user_id)}", data={"csrf_token": "x"})
            assert (answer.status_code, "Only administrators" in answer.text) == (403, True), path
        assert "/administration" not in (await client.get("/account")).text


async def test_neither_a_key_nor_this_machine_is_an_administrator(
    api: httpx.AsyncClient, anonymous_api: httpx.AsyncClient
) -> None:
    for client in (api, anonymous_api):
        answer = await client.get("/administration", headers={"Accept": "text/html"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fadministration")


@pytest.mark.parametrize("path", FORMS)
async def test_no_form_of_another_site_is_taken(root: Visitor, mara: uuid.UUID, path: str) -> None:
    answer = await root.client.post(f"/administration/{path.format(id=mara)}", data={"csrf_token": "x"})
    assert answer.status_code == 403
    assert "grown old" in answer.text


async def test_the_pages_stand_in_nobodys_way(root: Visitor) -> None:
    for path in (
        "/administration",
        "/administration?q=nobody",
        "/administration/workspaces?q=x",
        "/administration/workspaces",
    ):
        assert faults_of(await root.get(path)) == [], path


async def test_people_are_found_by_part_of_name_or_address(root: Visitor) -> None:
    for words, found in (("lind", True), ("MARA@", True), ("%", False), ("root", False)):
        page = await root.get(f"/administration?q={words.replace('%', '%25')}")
        assert (MARA in page.main.text) is found, words


async def test_who_is_erased_is_listed_no_more(root: Visitor, database: Database) -> None:
    await database.pool.execute("UPDATE users SET erased_at = clock_timestamp() WHERE email = $1", MARA)
    assert MARA not in (await root.get("/administration")).main.text


async def test_many_people_are_shown_a_page_at_a_time(root: Visitor, database: Database) -> None:
    for number in range(30):
        await add_person(database, f"p{number}@example.com")
    page = await root.get("/administration")
    assert len(page.root.all("tr")) == 26
    (older,) = [link for link in page.main.all("a") if link.attributes.get("rel") == "next"]
    page = await root.get(older["href"])
    assert ROOT in page.main.text
    assert len(page.root.all("tr")) == 8


async def test_an_account_is_confirmed_by_hand(row: Row, database: Database) -> None:
    await database.pool.execute("UPDATE users SET confirmed_at = NULL WHERE email = $1", MARA)
    assert "Not confirmed" in await row.text()
    assert "Done" in await row.press("confirm")
    assert "Open" in await row.text()
    assert await last_entry(database) == ("account.confirmed", ROOT, MARA)


async def test_who_is_disabled_is_out_at_once_and_may_come_back(row: Row, database: Database, app: FastAPI) -> None:
    async with signed_in(app, database, row.user_id) as theirs:
        assert (await theirs.get("/account")).status_code == 200
        await row.press("disable")
        assert (await theirs.get("/account")).status_code == 303
        assert await last_entry(database) == ("account.disabled", ROOT, MARA)
        assert "Disabled" in await row.text()
        await row.press("enable")
        assert await last_entry(database) == ("account.enabled", ROOT, MARA)
        assert (await theirs.get("/account")).status_code == 303  # the session does not come back


async def test_an_administrator_is_made_and_unmade_but_not_the_last_one(row: Row, database: Database) -> None:
    own = Row(row.root, await database.pool.fetchval("SELECT id FROM users WHERE email = $1", ROOT))
    assert "last administrator" in await own.press("revoke-administrator", status=409)
    await row.press("make-administrator")
    assert await last_entry(database) == ("account.changed", ROOT, MARA)
    await row.press("revoke-administrator")
    await row.press("make-administrator")
    await database.pool.execute("UPDATE users SET disabled_at = clock_timestamp() WHERE email = $1", MARA)
    assert "last administrator" in await own.press("revoke-administrator", status=409)  # a disabled one is none
    await database.pool.execute("UPDATE users SET disabled_at = NULL")
    await own.press("revoke-administrator", status=403)  # done, and the page is not theirs any more


async def test_nobody_disables_themselves(root: Visitor, database: Database, mara: uuid.UUID) -> None:
    await database.pool.execute("UPDATE users SET administrator = true")
    own = await database.pool.fetchval("SELECT id FROM users WHERE email = $1", ROOT)
    page = await root.get("/administration")
    token = page.form("/administration/invite").values()["csrf_token"]
    answer = await root.client.post(f"/administration/people/{own}/disable", data={"csrf_token": token})
    assert (answer.status_code, "cannot disable yourself" in answer.text) == (409, True)


async def test_who_cannot_sign_in_becomes_no_administrator(root: Visitor, database: Database, mara: uuid.UUID) -> None:
    await database.pool.execute("UPDATE users SET confirmed_at = NULL WHERE id = $1", mara)
    token = (await root.get("/administration")).form("/administration/invite").values()["csrf_token"]
    answer = await root.client.post(f"/administration/people/{mara}/make-administrator", data={"csrf_token": token})
    assert answer.status_code == 409
    assert not await database.pool.fetchval("SELECT administrator FROM users WHERE id = $1", mara)


async def test_all_sessions_of_a_person_are_ended(row: Row, database: Database) -> None:
    async with database.transaction() as connection:
        await open_session(connection, row.user_id, address="", user_agent="", lasts_s=60)
    await row.press("sign-out")
    open_ = "SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NULL"
    assert await database.pool.fetchval(open_, row.user_id) == 0
    assert await last_entry(database) == ("sessions.ended", ROOT, MARA)


async def test_a_link_for_a_new_password_is_mailed_where_mail_is_set_up(row: Row, database: Database) -> None:
    said = await row.press("reset-link")
    assert "/reset/" not in said
    sealed = await database.pool.fetchval("SELECT sealed FROM system_mails")
    mail = SecretBox([TEST_KEY]).open(sealed)
    assert (mail["recipient"], "/reset/" in mail["text"]) == (MARA, True)
    assert (await last_entry(database))[0] == "password.link_made"


async def test_without_mail_the_link_is_shown_once_and_kept_nowhere(
    row: Row, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.state.context.settings, "system_provider", None)
    page = await row.root.get("/administration")
    action = f"/administration/people/{row.user_id}/reset-link"
    answer = await row.root.client.post(action, data=page.form(action).values())
    assert answer.headers["cache-control"] == "no-store"
    assert "http://testserver/reset/" in answer.text
    assert MARA in answer.text
    assert "/reset/" not in (await row.root.get("/administration")).html


async def test_a_lost_second_factor_is_switched_off_and_its_person_told(row: Row, database: Database) -> None:
    async with database.transaction() as connection:
        await second_factor.begin(connection, SecretBox([TEST_KEY]), row.user_id)
    await database.pool.execute("UPDATE users SET totp_since = clock_timestamp() WHERE id = $1", row.user_id)
    assert "second factor" in await row.text()
    await row.press("second-factor-off")
    assert "second factor" not in await row.text()
    assert await last_entry(database) == ("second_factor.switched_off", ROOT, MARA)
    assert await database.pool.fetchval("SELECT count(*) FROM system_mails") == 1


async def test_what_was_looked_for_stays_when_something_is_refused(root: Visitor, mara: uuid.UUID) -> None:
    page = await root.get("/administration?q=mara+l")
    page = await root.send(page, f"/administration/people/{mara}/email?q=mara+l", email=ROOT, status=409)
    assert [row["id"] for row in page.main.one("tbody").all("tr")] == [f"u-{mara}"]


async def test_an_address_is_changed_by_hand_but_not_to_a_taken_one(row: Row, database: Database) -> None:
    assert "Another account has this address" in await row.press("email", email=ROOT.upper(), status=409)
    assert "Done" in await row.press("email", email="mara@new.example")
    assert "mara@new.example" in await row.text()
    assert await last_entry(database) == ("email.changed", ROOT, "mara@new.example")
    await row.press("email", email="nothing", status=400)


async def test_somebody_is_invited_to_the_server(
    root: Visitor, app: FastAPI, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = await root.get("/administration")
    page = await root.send(page, "/administration/invite", email="new@example.com")
    assert "on its way" in page.main.text
    monkeypatch.setattr(app.state.context.settings, "system_provider", None)
    page = await root.send(page, "/administration/invite", email="other@example.com")
    assert "http://testserver/invitations/" in page.root.one("code", id="link").text
    page = await root.send(page, "/administration/invite", email=MARA, status=409)
    assert page.form("/administration/invite").values()["email"] == MARA
    assert faults_of(page) == []
    rows = await database.pool.fetch("SELECT email, workspace_id FROM invitations ORDER BY id")
    assert [tuple(row) for row in rows] == [("new@example.com", None), ("other@example.com", None)]


@pytest.mark.parametrize("mode", ["open", "invite", "closed"])
async def test_the_page_says_how_the_server_is_set_and_what_that_means(
    root: Visitor, app: FastAPI, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(app.state.context.settings, "registration", mode)
    page = await root.get("/administration")
    assert f"{mode} :" in page.main.text
    assert "JANUS_SYSTEM_PROVIDER" in page.main.text
    assert faults_of(page) == []


async def test_workspaces_are_shown_with_their_owners_and_without_what_is_in_them(
    root: Visitor, database: Database, workspace_id: uuid.UUID, mara: uuid.UUID
) -> None:
    page = await root.get("/administration/workspaces")
    text = page.root.one("tr", id=f"w-{workspace_id}").text
    assert "1 member, owned by mara@example.com" in text
    assert "any number a minute" in text
    assert "janus@example.com" not in page.main.text  # their sender


async def test_quotas_are_set_noted_and_taken_back(root: Visitor, database: Database, workspace_id: uuid.UUID) -> None:
    action = f"/administration/workspaces/{workspace_id}/quotas"
    page = await root.get("/administration/workspaces")
    page = await root.send(page, action, minute_quota="60", monthly_quota="10,000")
    assert "60 a minute" in page.main.text
    row = await database.pool.fetchrow(
        "SELECT before, after, workspace_id FROM audit_log WHERE object_kind = 'workspace'"
    )
    assert row is not None
    assert row["before"] == {"minute_quota": None, "monthly_quota": None}
    assert row["after"] == {"minute_quota": 60, "monthly_quota": 10_000}
    assert row["workspace_id"] == workspace_id
    assert await database.pool.fetchval("SELECT used FROM workspace_usage") == 0
    page = await root.send(page, action, minute_quota="0", monthly_quota="")
    row = await database.pool.fetchrow("SELECT minute_quota, monthly_quota FROM workspaces WHERE id = $1", workspace_id)
    assert row is not None
    assert tuple(row) == (0, None)


@pytest.mark.parametrize("quota", ["-1", "many", "9" * 12, "1.5", "٣"])
async def test_what_is_no_quota_is_refused(root: Visitor, workspace_id: uuid.UUID, quota: str) -> None:
    page = await root.get("/administration/workspaces")
    page = await root.send(page, f"/administration/workspaces/{workspace_id}/quotas", minute_quota=quota, status=400)
    assert "A quota is 0 to" in page.main.text


@pytest.mark.parametrize(
    "path", ["people/{id}/disable", "people/{id}/reset-link", "people/{id}/email", "workspaces/{id}/quotas"]
)
async def test_what_is_not_there_is_changed_by_nobody(root: Visitor, path: str) -> None:
    token = (await root.get("/administration")).form("/administration/invite").values()["csrf_token"]
    answer = await root.client.post(
        f"/administration/{path.format(id=uuid.uuid4())}", data={"csrf_token": token, "email": "a@example.com"}
    )
    assert "Nothing was changed" in answer.text
    answer = await root.client.post(f"/administration/people/{uuid.uuid4()}/promote", data={"csrf_token": token})
    assert answer.status_code == 404


async def test_a_stored_script_is_shown_as_text(root: Visitor, database: Database, workspace_id: uuid.UUID) -> None:
    await database.pool.execute("UPDATE users SET name = '<script>alert(1)</script>'")
    await database.pool.execute("UPDATE workspaces SET name = '<script>alert(2)</script>'")
    for path in ("/administration", "/administration/workspaces", "/account"):
        assert "<script>alert" not in (await root.get(path)).html


async def test_two_administrators_do_not_unmake_each_other_at_once(
    root: Visitor, app: FastAPI, database: Database
) -> None:
    await database.pool.execute("UPDATE users SET administrator = true")
    ids = [row["id"] for row in await database.pool.fetch("SELECT id FROM users")]
    context = app.state.context
    async with database.transaction() as connection:
        await connection.execute("SELECT FROM users FOR UPDATE")
        tasks = [create_task(set_administrator(context, SYSTEM, user_id, administrator=False)) for user_id in ids]
        await until_blocked(database, 2)
    await gather(*tasks, return_exceptions=True)
    assert await database.pool.fetchval("SELECT count(*) FROM users WHERE administrator") == 1
