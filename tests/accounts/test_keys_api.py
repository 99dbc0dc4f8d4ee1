"""API keys over HTTP: made, changed, rotated and revoked by whoever may everything."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from janus_mail.accounts.callers import Caller
from janus_mail.errors import Forbidden
from janus_mail.keys import changes as key_changes
from janus_mail.keys.key import create_key
from janus_mail.keys.schemas import ApiKeyCreate
from janus_mail.models.states import ActorKind
from janus_mail.storage.database import Database
from janus_mail.web.context import Context
from tests.accounts.blocked import until_blocked
from tests.people import add_workspace

NEW = {"name": "shop", "scopes": ["events:read", "events:write"]}


async def made(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/api/keys", json=NEW | fields)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def status_with(api: httpx.AsyncClient, secret: str, path: str = "/api/workspace") -> int:
    return (await api.get(path, headers={"Authorization": f"Bearer {secret}"})).status_code


async def test_a_key_is_shown_once_and_opens_what_its_scopes_say(api: httpx.AsyncClient) -> None:
    key = await made(api, expires_in_days=90)
    assert key["key"]["status"] == "active"
    assert key["key"]["created_by"] == "API key test"
    assert datetime.fromisoformat(key["key"]["expires_at"]) - datetime.now(UTC) > timedelta(days=89)
    assert await status_with(api, key["secret"]) == 200
    assert await status_with(api, key["secret"], "/api/providers") == 403
    assert await status_with(api, key["secret"], "/api/keys") == 403
    listed = await api.get("/api/keys")
    assert [one["name"] for one in listed.json()["data"]] == ["shop", "test"]
    assert key["secret"] not in listed.text
    assert "digest" not in listed.text


async def test_the_same_request_again_makes_no_second_key_and_shows_none(api: httpx.AsyncClient) -> None:
    first = await api.post("/api/keys", json=NEW, headers={"Idempotency-Key": "one"})
    again = await api.post("/api/keys", json=NEW, headers={"Idempotency-Key": "one"})
    assert (again.status_code, again.json()["secret"], again.headers["idempotent-replayed"]) == (201, None, "true")
    assert again.json()["key"]["id"] == first.json()["key"]["id"]
    assert len((await api.get("/api/keys")).json()["data"]) == 2


@pytest.mark.parametrize(
    "given",
    [
        {"scopes": []}, {"scopes": ["events:burn"]}, {"scopes": None}, {"name": ""}, {"name": "a\nb"},
        {"name": "x" * 101}, {"expires_at": "2020-01-01T00:00:00Z"}, {"expires_at": "2030-01-01T00:00:00"},
        {"expires_at": "9999-12-31T23:59:59.999999Z"}, {"expires_at": "9999-12-31T23:59:59-12:00"},
        {"expires_at": "0001-01-01T00:00:00+14:00"},
        {"expires_in_days": 0}, {"expires_in_days": 10_000}, {"expires_in_days": 1, "expires_at": "2099-01-01T00:00Z"},
        {"rate_limit": -1}, {"rate_limit": 10**9}, {"workspace_id": str(uuid.UUID(int=1))}, {"prefix": "abc"},
        {"created_by": "the boss"}, {"digest": "x"}, {"revoked_at": None},
    ],
    ids=str,
)  # fmt: skip
async def test_what_is_no_key_is_not_made(api: httpx.AsyncClient, given: dict[str, Any]) -> None:
    refused = await api.post("/api/keys", json=NEW | given)
    assert refused.status_code == 400, refused.text
    assert len((await api.get("/api/keys")).json()["data"]) == 1


async def test_name_and_limit_change_and_nothing_else_does(api: httpx.AsyncClient, database: Database) -> None:
    key = (await made(api))["key"]
    path = f"/api/keys/{key['id']}"
    changed = await api.patch(path, json={"name": "store", "rate_limit": 600})
    assert changed.json() == key | {"name": "store", "rate_limit": 600}
    assert (await api.patch(path, json={"rate_limit": None})).json()["rate_limit"] is None
    for wrong in ({}, {"scopes": ["admin"]}, {"expires_at": None}, {"name": None}, {"revoked_at": None}, {"id": "x"}):
        assert (await api.patch(path, json=wrong)).status_code == 400, wrong
    row = await database.pool.fetchrow("SELECT before, after FROM audit_log WHERE action = 'key.changed' ORDER BY id")
    assert row is not None
    assert (row["before"], row["after"]) == (
        {"name": "shop", "rate_limit": None}, {"name": "store", "rate_limit": 600},
    )  # fmt: skip


async def test_a_rotated_key_goes_on_and_a_revoked_one_does_not(api: httpx.AsyncClient) -> None:
    old = await made(api)
    path = f"/api/keys/{old['key']['id']}"
    new = (await api.post(f"{path}/rotate")).json()
    assert (new["key"]["name"], new["key"]["scopes"]) == ("shop", old["key"]["scopes"])
    assert [await status_with(api, one["secret"]) for one in (old, new)] == [200, 200]
    again = await api.post(f"{path}/rotate", json={"overlap_hours": 0})
    assert (again.status_code, again.json()["code"]) == (409, "already_rotated")
    gone = await api.delete(path)
    assert (gone.status_code, gone.json()["status"]) == (200, "revoked")
    assert [await status_with(api, one["secret"]) for one in (old, new)] == [401, 200]
    assert (await api.delete(path)).json() == gone.json()
    newest = await api.post(f"/api/keys/{new['key']['id']}/rotate", json={"overlap_hours": 0})
    assert [await status_with(api, one) for one in (new["secret"], newest.json()["secret"])] == [401, 200]
    for wrong in ({"overlap_hours": 721}, {"overlap_hours": -1}, {"overlap_hours": "1"}, {"hours": 1}):
        assert (await api.post(f"{path}/rotate", json=wrong)).status_code == 400


async def test_nobody_touches_a_key_of_another_workspace(api: httpx.AsyncClient, database: Database) -> None:
    other = await add_workspace(database, "other")
    secret = await create_key(database, workspace=str(other), name="theirs")
    key_id = await database.pool.fetchval("SELECT id FROM api_keys WHERE workspace_id = $1", other)
    for answer in (
        await api.patch(f"/api/keys/{key_id}", json={"name": "mine"}),
        await api.delete(f"/api/keys/{key_id}"),
        await api.post(f"/api/keys/{key_id}/rotate"),
    ):
        assert answer.status_code == 404
    assert await status_with(api, secret) == 200
    assert [one["name"] for one in (await api.get("/api/keys")).json()["data"]] == ["test"]


@pytest.mark.parametrize("scope", ["events:read", "events:write", "providers:read", "providers:write"])
async def test_a_key_hands_out_nothing_that_it_lacks(
    app: FastAPI, database: Database, workspace_id: uuid.UUID, scope: str
) -> None:
    context: Context = app.state.context
    narrow = Caller(
        workspace_id=workspace_id, workspace_name="default", kind=ActorKind.API_KEY, label="narrow",
        scopes=frozenset({scope}),
    )  # fmt: skip
    for wanted in ("admin", *({"events:read", "providers:write"} - {scope})):
        with pytest.raises(Forbidden, match=wanted):
            await key_changes.accept_key(context, narrow, ApiKeyCreate(name="x", scopes=[scope, wanted]))
    assert await database.pool.fetchval("SELECT count(*) FROM api_keys") == 0


async def test_a_workspace_has_so_many_keys_and_no_more(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_changes, "MAX_KEYS", 2)
    await made(api)
    refused = await api.post("/api/keys", json=NEW)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_keys")


async def test_who_rotates_a_key_waits_for_the_workspace_before_they_hold_the_key(
    api: httpx.AsyncClient, database: Database, workspace_id: uuid.UUID
) -> None:
    """As who deletes the workspace does: else each would wait for the other."""
    key_id = (await made(api))["key"]["id"]
    async with database.transaction() as connection:
        await connection.execute("SELECT FROM workspaces WHERE id = $1 FOR UPDATE", workspace_id)
        rotating = asyncio.create_task(api.post(f"/api/keys/{key_id}/rotate"))
        await until_blocked(database, 1)
        await connection.execute("SELECT FROM api_keys WHERE id = $1 FOR UPDATE NOWAIT", uuid.UUID(key_id))
    assert (await rotating).status_code == 201
