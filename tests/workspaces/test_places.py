"""The workspaces of a person: made, listed, deleted."""

import uuid
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from janus_mail.accounts.callers import Caller
from janus_mail.accounts.callers import Person as Who
from janus_mail.errors import Forbidden
from janus_mail.models.states import ActorKind, Role
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox
from janus_mail.workspaces import places
from tests.conftest import TEST_KEY
from tests.pages.gallery import Gallery, fill
from tests.people import add_workspace, signed_in
from tests.workspaces.conftest import Person, id_of, noted


async def test_a_person_makes_a_workspace_and_owns_it(person: Person, database: Database) -> None:
    vic = await person("vic@example.com", Role.VIEWER)
    made = await vic.post("/api/workspaces", json={"name": "Side project"}, headers={"Idempotency-Key": "one"})
    assert (made.status_code, made.json()["role"], made.json()["current"]) == (201, "owner", False)
    again = await vic.post("/api/workspaces", json={"name": "Side project"}, headers={"Idempotency-Key": "one"})
    assert (again.json(), again.headers["idempotent-replayed"]) == (made.json(), "true")
    listed = (await vic.get("/api/workspaces")).json()["data"]
    assert [(one["name"], one["role"], one["current"]) for one in listed] == [
        ("default", "viewer", True), ("Side project", "owner", False),
    ]  # fmt: skip
    assert await database.pool.fetchval("SELECT count(*) FROM providers") == 0
    assert await noted(database, "workspace.") == ["workspace.created"]


async def test_nobody_else_sees_it_and_a_key_sees_its_own_workspace_alone(
    api: httpx.AsyncClient, person: Person, workspace_id: uuid.UUID
) -> None:
    mara, noor = await person("mara@example.com"), await person("noor@example.com")
    await mara.post("/api/workspaces", json={"name": "Hers"})
    assert [one["name"] for one in (await noor.get("/api/workspaces")).json()["data"]] == ["default"]
    assert (await api.get("/api/workspaces")).json()["data"] == [
        {"id": str(workspace_id), "name": "default", "role": None, "current": True}
    ]
    for path, body in (("/api/workspaces", {"name": "x"}), ("/api/workspace/delete", {"name": "default"})):
        refused = await api.post(path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (403, "person_needed")


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "x", "handle": "default"}, {"name": "x", "role": "owner"}, {"name": None}],
    ids=str,
)  # fmt: skip
async def test_what_is_no_workspace_is_not_made(person: Person, database: Database, body: dict[str, object]) -> None:
    mara = await person("mara@example.com")
    assert (await mara.post("/api/workspaces", json=body)).status_code == 400
    assert await database.pool.fetchval("SELECT count(*) FROM workspaces") == 1


async def test_a_person_is_in_so_many_workspaces_and_no_more(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MAX_PLACES", 2)
    mara = await person("mara@example.com")
    assert (await mara.post("/api/workspaces", json={"name": "Second"})).status_code == 201
    refused = await mara.post("/api/workspaces", json={"name": "Third"})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_workspaces")


async def test_a_deleted_workspace_takes_everything_of_it_along_and_nothing_else(
    app: FastAPI, person: Person, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_AT_ONCE", 7)
    doomed, kept = [Gallery(database, SecretBox([TEST_KEY]), await add_workspace(database, n)) for n in ("a", "b")]
    for gallery in (doomed, kept):
        await fill(gallery, many=20)
    mara = await person("mara@example.com", within=doomed.workspace_id)
    wrong = await mara.post("/api/workspace/delete", json={"name": "A"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "wrong_name")
    before = await rows_of(database, kept.workspace_id)
    assert (await mara.post("/api/workspace/delete", json={"name": "a"})).status_code == 200
    assert await rows_of(database, doomed.workspace_id) == {}
    assert await rows_of(database, kept.workspace_id) == before
    assert await database.pool.fetchval("SELECT count(*) FROM workspaces WHERE name = 'a'") == 0
    # In its own log, which nobody reads any more, and in the server's.
    said = await database.pool.fetch("SELECT * FROM audit_log WHERE action = 'workspace.deleted' ORDER BY id")
    assert [(row["workspace_id"], row["object_id"]) for row in said] == [
        (doomed.workspace_id, doomed.workspace_id), (None, doomed.workspace_id),
    ]  # fmt: skip
    assert (await mara.get("/api/workspace")).status_code == 401
    async with signed_in(app, database, await id_of(database, "mara@example.com")) as browser:
        answer = await browser.get("/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/workspaces/new")


async def test_the_same_request_of_somebody_else_makes_their_own_workspace(person: Person, database: Database) -> None:
    mara, noor = await person("mara@example.com"), await person("noor@example.com")
    given: dict[str, Any] = {"json": {"name": "Mine"}, "headers": {"Idempotency-Key": "one"}}
    hers = (await mara.post("/api/workspaces", **given)).json()["id"]
    again = await mara.post("/api/workspaces", **given)
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (hers, "true")
    answer = await noor.post("/api/workspaces", **given)
    assert (answer.status_code, "idempotent-replayed" in answer.headers) == (201, False)
    assert answer.json()["id"] != hers


async def test_who_is_no_owner_any_more_when_their_turn_comes_deletes_nothing(
    app: FastAPI, person: Person, database: Database
) -> None:
    team = await add_workspace(database, "team")
    await person("mara@example.com", within=team)
    await person("noor@example.com", within=team)
    mara_id = await id_of(database, "mara@example.com")
    mara = Caller(
        workspace_id=team, workspace_name="team", kind=ActorKind.USER, label="mara@example.com", role=Role.OWNER,
        person=Who(user_id=mara_id, email="mara@example.com", name="Mara", administrator=False),
    )  # fmt: skip
    await database.pool.execute("UPDATE memberships SET role = 'viewer' WHERE user_id = $1", mara_id)
    with pytest.raises(Forbidden):
        await places.delete_workspace(app.state.context, mara, "team")
    assert await database.pool.fetchval("SELECT paused_at FROM workspaces WHERE id = $1", team) is None


async def test_the_servers_own_workspace_stays(person: Person, database: Database) -> None:
    mara = await person("mara@example.com")
    refused = await mara.post("/api/workspace/delete", json={"name": "default"})
    assert (refused.status_code, refused.json()["code"]) == (409, "default_workspace")
    assert await database.pool.fetchval("SELECT paused_at FROM workspaces") is None


async def rows_of(database: Database, workspace_id: uuid.UUID) -> dict[str, int]:
    """How many rows every table has that bear this workspace, but for the log of what was done."""
    tables = await database.pool.fetch(
        """SELECT table_name AS name FROM information_schema.columns
           WHERE table_schema = 'public' AND column_name = 'workspace_id' AND table_name <> 'audit_log'"""
    )
    assert len(tables) > 15
    counts = {
        table["name"]: await database.pool.fetchval(
            f'SELECT count(*) FROM "{table["name"]}" WHERE workspace_id = $1', workspace_id
        )
        for table in tables
    }
    return {name: many for name, many in counts.items() if many}
