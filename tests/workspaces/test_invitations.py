"""Invitations: a link that works once, for as long as whoever made it may invite."""

import asyncio
import re
import uuid
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from janus_mail.accounts.callers import Person as Who
from janus_mail.accounts.erase_person import erase_person
from janus_mail.audit.actors import COMMAND
from janus_mail.errors import Conflict, Forbidden, NotFound, Unauthorized
from janus_mail.models.states import Role
from janus_mail.notices.system_mail import opened
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from janus_mail.web.context import Context
from janus_mail.workspaces import invitations
from janus_mail.workspaces.accepting import Account, join, join_with_new_account
from janus_mail.workspaces.places import Somebody
from tests.people import add_person, add_workspace
from tests.workspaces.conftest import Person, id_of, noted

NEW = {"email": "anna@example.org", "role": "editor"}
PASSWORD = "seven green lamps hum"


def secret_of(link: str) -> str:
    return link.rpartition("/")[2]


async def somebody(context: Context, email: str) -> Somebody:
    """Signed in, in no workspace."""
    user_id = await add_person(context.database, email)
    return Somebody(Who(user_id=user_id, email=email, name="", administrator=False), "127.0.0.1")


@pytest.fixture
def context(app: FastAPI) -> Context:
    found: Context = app.state.context
    return found


@pytest.fixture
def mailing(app: FastAPI, settings_here: Settings) -> Context:
    """The same where mail of our own is set up."""
    before: Context = app.state.context
    app.state.context = replace(
        before, settings=before.settings.model_copy(update={"system_provider": "Amazon SES"})
    )  # fmt: skip
    made: Context = app.state.context
    return made


async def test_without_mail_the_link_is_shown_to_who_invites_this_once(person: Person, database: Database) -> None:
    mara = await person("mara@example.com")
    made = await mara.post("/api/invitations", json=NEW, headers={"Idempotency-Key": "one"})
    assert made.status_code == 201, made.text
    link = made.json()["link"]
    assert re.fullmatch(r"http://testserver/invitations/[\w-]{43}", link)
    assert made.json()["mailed"] is False
    again = await mara.post("/api/invitations", json=NEW, headers={"Idempotency-Key": "one"})
    assert (again.json()["link"], again.headers["idempotent-replayed"]) == (None, "true")
    assert again.json()["invitation"] == made.json()["invitation"]
    listed = await mara.get("/api/invitations")
    assert [one["email"] for one in listed.json()["data"]] == ["anna@example.org"]
    secret = secret_of(link)
    stored = await database.pool.fetch("SELECT i::text AS said FROM invitations i")
    log = await database.pool.fetch("SELECT a::text AS said FROM audit_log a")
    assert all(secret not in row["said"] for row in [*stored, *log])
    assert secret not in listed.text


async def test_with_mail_the_link_goes_to_the_address_alone(
    person: Person, mailing: Context, database: Database
) -> None:
    mara = await person("mara@example.com")
    made = await mara.post("/api/invitations", json=NEW)
    assert (made.json()["link"], made.json()["mailed"]) == (None, True)
    [row] = await database.pool.fetch("SELECT sealed FROM system_mails")
    mail = opened(row["sealed"], mailing.secrets)
    assert mail.recipient == "anna@example.org"
    assert "mara (mara@example.com) invites you" in mail.text.replace("\n", " ")
    [link] = re.findall(r"http://testserver/invitations/\S+", mail.text)
    found = await invitations.find_offer(database, secret_of(link))
    assert found is not None
    # Nobody is pestered through us.
    soon = await mara.post("/api/invitations", json=NEW)
    assert (soon.status_code, 0 < int(soon.headers["retry-after"]) <= 60) == (429, True)


async def test_a_new_link_takes_the_place_of_the_old_one(person: Person, context: Context, database: Database) -> None:
    mara = await person("mara@example.com")
    first = (await mara.post("/api/invitations", json=NEW)).json()
    second = (await mara.post("/api/invitations", json=NEW | {"email": "Anna@Example.org", "role": "viewer"})).json()
    third = await mara.post(f"/api/invitations/{second['invitation']['id']}/resend")
    assert (third.status_code, third.json()["invitation"]["role"]) == (201, "viewer")
    opens = [await invitations.find_offer(database, secret_of(one["link"])) for one in (first, second, third.json())]
    assert [found is not None for found in opens] == [False, False, True]
    assert len((await mara.get("/api/invitations")).json()["data"]) == 1
    assert (await mara.post(f"/api/invitations/{first['invitation']['id']}/resend")).status_code == 404


async def test_what_is_withdrawn_old_or_made_up_opens_nothing(
    person: Person, context: Context, database: Database
) -> None:
    mara, anna = await person("mara@example.com"), await somebody(context, "anna@example.org")
    made = (await mara.post("/api/invitations", json=NEW)).json()
    gone = await mara.delete(f"/api/invitations/{made['invitation']['id']}")
    assert (gone.status_code, gone.json()["email"]) == (200, "anna@example.org")
    assert (await mara.delete(f"/api/invitations/{made['invitation']['id']}")).status_code == 404
    old = (await mara.post("/api/invitations", json=NEW)).json()
    await database.pool.execute("UPDATE invitations SET expires_at = clock_timestamp() WHERE revoked_at IS NULL")
    for secret in (secret_of(made["link"]), secret_of(old["link"]), "x" * 43, "", "é" * 43, "x" * 4000):
        with pytest.raises(NotFound):
            await join(context, anna, secret)
    assert (await mara.get("/api/invitations")).json()["data"] == []
    assert await noted(database, "invitation.") == ["invitation.made", "invitation.withdrawn", "invitation.made"]


async def test_an_invitation_falls_with_the_right_of_who_made_it(
    person: Person, context: Context, database: Database
) -> None:
    mara, noor = await person("mara@example.com"), await person("noor@example.com")
    noor_id = await id_of(database, "noor@example.com")
    secret = secret_of((await noor.post("/api/invitations", json=NEW)).json()["link"])
    await mara.patch(f"/api/members/{noor_id}", json={"role": "editor"})
    assert await invitations.find_offer(database, secret) is None
    assert (await mara.get("/api/invitations")).json()["data"] == []
    await mara.patch(f"/api/members/{noor_id}", json={"role": "owner"})
    assert await invitations.find_offer(database, secret) is not None
    await database.pool.execute("UPDATE users SET disabled_at = clock_timestamp() WHERE id = $1", noor_id)
    assert await invitations.find_offer(database, secret) is None
    await database.pool.execute("UPDATE users SET disabled_at = NULL WHERE id = $1", noor_id)
    await mara.delete(f"/api/members/{noor_id}")
    with pytest.raises(NotFound):
        await join(context, await somebody(context, "anna@example.org"), secret)


async def test_a_keys_invitation_stands_until_the_key_is_revoked(
    api: httpx.AsyncClient, context: Context, workspace_id: uuid.UUID, database: Database
) -> None:
    secret = secret_of((await api.post("/api/invitations", json=NEW)).json()["link"])
    anna = await somebody(context, "anna@example.org")
    for word, opens in (("clock_timestamp()", False), ("NULL", True)):
        await database.pool.execute(f"UPDATE api_keys SET revoked_at = {word}")
        assert (await invitations.find_offer(database, secret) is not None) == opens
    assert await join(context, anna, secret) == workspace_id


async def test_who_was_erased_meanwhile_joins_nothing(person: Person, context: Context, database: Database) -> None:
    mara = await person("mara@example.com")
    secret = secret_of((await mara.post("/api/invitations", json=NEW)).json()["link"])
    anna = await somebody(context, "anna@example.net")
    async with database.transaction() as connection:
        await erase_person(connection, COMMAND, anna.actor_id)
    with pytest.raises(Unauthorized):
        await join(context, anna, secret)
    assert await invitations.find_offer(database, secret) is not None


async def test_nobody_is_pestered_from_many_workspaces(
    person: Person, mailing: Context, app: FastAPI, database: Database
) -> None:
    settings = mailing.settings.model_copy(update={"rate_limit_sign_in": 6})
    app.state.context = replace(mailing, settings=settings)
    answers = []
    for name in ("one", "two", "three"):
        owner = await person(f"{name}@example.com", within=await add_workspace(database, name))
        answers.append((await owner.post("/api/invitations", json=NEW | {"email": "Anna@example.org"})).status_code)
    assert answers == [201, 201, 429]
    assert await database.pool.fetchval("SELECT count(*) FROM invitations") == 2


async def test_of_several_who_come_with_it_at_once_one_gets_in(
    person: Person, context: Context, database: Database, workspace_id: uuid.UUID
) -> None:
    mara = await person("mara@example.com")
    secret = secret_of((await mara.post("/api/invitations", json=NEW)).json()["link"])
    those = [await somebody(context, f"{number}@example.org") for number in range(4)]
    answers = await asyncio.gather(
        *(join(context, one, secret) for one in those),
        join_with_new_account(context, Account("Anna", PASSWORD), secret, address="127.0.0.1"),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, NotFound) for answer in answers) == 4
    many = await database.pool.fetchval("SELECT count(*) FROM memberships WHERE workspace_id = $1", workspace_id)
    assert many == 2
    assert await noted(database, "member.") == ["member.joined"]


async def test_who_is_in_already_is_not_invited_and_does_not_use_one_up(
    person: Person, context: Context, database: Database
) -> None:
    mara = await person("mara@example.com")
    await person("noor@example.com", Role.VIEWER)
    refused = await mara.post("/api/invitations", json={"email": "NOOR@example.com", "role": "owner"})
    assert (refused.status_code, refused.json()["code"]) == (409, "already_a_member")
    secret = secret_of((await mara.post("/api/invitations", json=NEW)).json()["link"])
    user_id = await id_of(database, "mara@example.com")
    herself = Somebody(Who(user_id=user_id, email="mara@example.com", name="", administrator=False), "")
    with pytest.raises(Conflict, match="already"):
        await join(context, herself, secret)
    assert await invitations.find_offer(database, secret) is not None


async def test_an_account_is_made_confirmed_with_the_invited_address_and_role(
    person: Person, context: Context, database: Database, workspace_id: uuid.UUID
) -> None:
    mara = await person("mara@example.com")
    secret = secret_of((await mara.post("/api/invitations", json=NEW)).json()["link"])
    user_id, place = await join_with_new_account(context, Account("Anna", PASSWORD), secret, address="127.0.0.1")
    row = await database.pool.fetchrow("SELECT * FROM users WHERE id = $1", user_id)
    assert row is not None
    assert (place, row["email"], row["confirmed_at"] is not None, row["administrator"]) == (
        workspace_id, "anna@example.org", True, False,
    )  # fmt: skip
    assert await database.pool.fetchval("SELECT role FROM memberships WHERE user_id = $1", user_id) == "editor"


async def test_where_no_accounts_are_made_only_who_has_one_is_invited(
    person: Person, context: Context, app: FastAPI
) -> None:
    mara, anna = await person("mara@example.com"), await somebody(context, "anna@example.org")
    open_secret = secret_of(
        (await mara.post("/api/invitations", json=NEW | {"email": "new@example.org"})).json()["link"]
    )
    closed = replace(context, settings=context.settings.model_copy(update={"registration": "closed"}))
    app.state.context = closed
    try:
        refused = await mara.post("/api/invitations", json=NEW | {"email": "nobody@example.org"})
        assert (refused.status_code, refused.json()["code"]) == (403, "registration_closed")
        assert "has no account" in refused.json()["error"]
        secret = secret_of((await mara.post("/api/invitations", json=NEW)).json()["link"])
        await join(closed, anna, secret)
        with pytest.raises(Forbidden):
            await join_with_new_account(closed, Account("N", PASSWORD), open_secret, address="")
        with pytest.raises(Forbidden):
            await invitations.invite_to_server(closed, COMMAND, "new@example.org")
    finally:
        app.state.context = context


async def test_an_invitation_to_the_server_makes_an_account_and_no_member(context: Context, database: Database) -> None:
    made = await invitations.invite_to_server(context, COMMAND, "new@example.org")
    assert made.link is not None
    assert made.link not in repr(made)
    with pytest.raises(Conflict, match="have an account"):
        await join(context, await somebody(context, "anna@example.org"), secret_of(made.link))
    user_id, place = await join_with_new_account(context, Account("New", PASSWORD), secret_of(made.link), address="")
    assert place is None
    assert await database.pool.fetchval("SELECT count(*) FROM memberships WHERE user_id = $1", user_id) == 0
    with pytest.raises(Conflict):
        await invitations.invite_to_server(context, COMMAND, "NEW@example.org")


async def test_nobody_sees_or_touches_the_invitations_of_another_workspace(person: Person, database: Database) -> None:
    mara = await person("mara@example.com")
    made = (await mara.post("/api/invitations", json=NEW)).json()["invitation"]
    other = await person("x@example.com", within=await add_workspace(database, "other"))
    assert (await other.get("/api/invitations")).json()["data"] == []
    assert (await other.delete(f"/api/invitations/{made['id']}")).status_code == 404
    assert (await other.post(f"/api/invitations/{made['id']}/resend")).status_code == 404
    for role in (Role.EDITOR, Role.VIEWER):
        one = await person(f"{role}@example.com", role)
        assert (await one.get("/api/invitations")).status_code == 403
        assert (await one.post("/api/invitations", json=NEW)).status_code == 403


async def test_so_many_stand_open_and_no_more(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitations, "MAX_OPEN", 1)
    mara = await person("mara@example.com")
    assert (await mara.post("/api/invitations", json=NEW)).status_code == 201
    refused = await mara.post("/api/invitations", json=NEW | {"email": "more@example.org"})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_invitations")
