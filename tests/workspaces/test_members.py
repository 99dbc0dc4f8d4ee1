"""Who is in a workspace: seen by all, changed by owners, and never without one."""

import asyncio
import uuid

import httpx
import pytest
from fastapi import FastAPI

from janus_mail.models.states import Role
from janus_mail.storage.database import Database
from tests.pages.reading import Page
from tests.people import add_person, add_workspace, signed_in
from tests.workspaces.conftest import Person, id_of, noted


async def test_everybody_in_a_workspace_sees_who_is_and_nobody_from_elsewhere(
    person: Person, database: Database, workspace_id: uuid.UUID
) -> None:
    await person("mara@example.com")
    viewer = await person("vic@example.com", Role.VIEWER)
    await add_person(database, "x@example.com", workspace_id=await add_workspace(database, "other"))
    seen = (await viewer.get("/api/members")).json()["data"]
    assert [(one["email"], one["role"]) for one in seen] == [
        ("vic@example.com", "viewer"), ("mara@example.com", "owner"),
    ]  # fmt: skip
    first = (await viewer.get("/api/members?limit=1")).json()
    assert first["has_more"]
    rest = (await viewer.get("/api/members", params={"cursor": first["next_cursor"]})).json()
    assert [one["email"] for one in rest["data"]] == ["mara@example.com"]


async def test_an_owner_changes_roles_and_the_change_holds_at_once(person: Person, database: Database) -> None:
    mara, noor = await person("mara@example.com"), await person("noor@example.com", Role.VIEWER)
    noor_id = await id_of(database, "noor@example.com")
    assert (await noor.post("/api/workspace/pause")).status_code == 403
    changed = await mara.patch(f"/api/members/{noor_id}", json={"role": "editor"})
    assert (changed.status_code, changed.json()["role"]) == (200, "editor")
    assert (await noor.post("/api/workspace/pause")).status_code == 200
    for wrong in ({"role": "god"}, {}, {"role": "viewer", "workspace_id": str(noor_id)}):
        assert (await mara.patch(f"/api/members/{noor_id}", json=wrong)).status_code == 400
    assert (await noor.patch(f"/api/members/{noor_id}", json={"role": "owner"})).status_code == 403
    assert await noted(database, "member.") == ["member.role_changed"]


async def test_only_an_owner_makes_owners_and_a_key_does_not(
    api: httpx.AsyncClient, person: Person, database: Database
) -> None:
    mara = await person("mara@example.com")
    await person("noor@example.com", Role.VIEWER)
    noor_id = await id_of(database, "noor@example.com")
    refused = await api.patch(f"/api/members/{noor_id}", json={"role": "owner"})
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_role")
    invited = await api.post("/api/invitations", json={"email": "new@example.com", "role": "owner"})
    assert invited.status_code == 403
    assert (await api.patch(f"/api/members/{noor_id}", json={"role": "editor"})).status_code == 200
    assert (await mara.patch(f"/api/members/{noor_id}", json={"role": "owner"})).status_code == 200


@pytest.mark.parametrize("way", ["demoted", "removed", "leaves"])
async def test_the_last_owner_stays(person: Person, database: Database, way: str) -> None:
    mara = await person("mara@example.com")
    await person("noor@example.com", Role.EDITOR)
    mara_id = await id_of(database, "mara@example.com")
    if way == "demoted":
        refused = await mara.patch(f"/api/members/{mara_id}", json={"role": "viewer"})
    elif way == "removed":
        refused = await mara.delete(f"/api/members/{mara_id}")
    else:
        refused = await mara.post("/api/workspace/leave")
    assert (refused.status_code, refused.json()["code"]) == (409, "last_owner")
    assert await database.pool.fetchval("SELECT role FROM memberships WHERE user_id = $1", mara_id) == "owner"
    assert await noted(database, "member.") == []


async def test_an_owner_who_cannot_sign_in_is_none(person: Person, database: Database) -> None:
    mara, noor = await person("mara@example.com"), await person("noor@example.com", Role.VIEWER)
    await person("gone@example.com")
    await database.pool.execute("UPDATE users SET disabled_at = clock_timestamp() WHERE email = 'gone@example.com'")
    assert (await mara.post("/api/workspace/leave")).json()["code"] == "last_owner"
    assert (await noor.post("/api/workspace/leave")).status_code == 200


async def test_two_owners_who_demote_each_other_at_the_same_moment_leave_one(
    person: Person, database: Database
) -> None:
    for number in range(5):
        emails = [f"{name}{number}@example.com" for name in ("mara", "noor")]
        place = await add_workspace(database, f"race {number}")
        mara, noor = [await person(email, within=place) for email in emails]
        mara_id, noor_id = [await id_of(database, email) for email in emails]
        answers = await asyncio.gather(
            mara.patch(f"/api/members/{noor_id}", json={"role": "viewer"}),
            noor.patch(f"/api/members/{mara_id}", json={"role": "viewer"}),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 403]
        owners = await database.pool.fetchval(
            "SELECT count(*) FROM memberships WHERE workspace_id = $1 AND role = 'owner'", place
        )
        assert owners == 1


async def test_who_is_removed_sees_nothing_any_more_by_whatever_they_hold(
    app: FastAPI, person: Person, database: Database, workspace_id: uuid.UUID
) -> None:
    mara, noor = await person("mara@example.com"), await person("noor@example.com")
    noor_id = await id_of(database, "noor@example.com")
    other = await add_workspace(database, "other")
    await database.pool.execute("INSERT INTO memberships VALUES ($1, $2, 'viewer')", other, noor_id)
    async with signed_in(app, database, noor_id) as browser:
        await database.pool.execute("UPDATE sessions SET workspace_id = $1", workspace_id)
        assert "Workspace default" in Page((await browser.get("/")).text).root.text
        gone = await mara.delete(f"/api/members/{noor_id}")
        assert (gone.status_code, gone.json()["email"]) == (200, "noor@example.com")
        assert (await noor.get("/api/workspace")).status_code == 401
        assert await database.pool.fetchval("SELECT count(*) FROM refresh_tokens WHERE revoked_at IS NULL") == 1
        assert "Workspace other" in Page((await browser.get("/")).text).root.text
    assert (await mara.delete(f"/api/members/{noor_id}")).status_code == 404


async def test_who_leaves_is_out_and_a_key_cannot_leave(
    api: httpx.AsyncClient, person: Person, database: Database
) -> None:
    mara, noor = await person("mara@example.com"), await person("noor@example.com", Role.VIEWER)
    assert (await noor.post("/api/workspace/leave")).status_code == 200
    assert (await noor.get("/api/workspace")).status_code == 401
    assert [one["email"] for one in (await mara.get("/api/members")).json()["data"]] == ["mara@example.com"]
    refused = await api.post("/api/workspace/leave")
    assert (refused.status_code, refused.json()["code"]) == (403, "person_needed")
    assert await noted(database, "member.") == ["member.left"]


async def test_somebody_of_another_workspace_is_nobody_here(person: Person, database: Database) -> None:
    mara = await person("mara@example.com")
    stranger = await add_person(database, "x@example.com", workspace_id=await add_workspace(database, "other"))
    for answer in (
        await mara.patch(f"/api/members/{stranger}", json={"role": "viewer"}),
        await mara.delete(f"/api/members/{stranger}"),
    ):
        assert answer.status_code == 404
    assert await database.pool.fetchval("SELECT role FROM memberships WHERE user_id = $1", stranger) == "owner"
