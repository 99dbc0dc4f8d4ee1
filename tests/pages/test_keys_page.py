"""`/keys`: made with a few words, shown once, rotated and revoked by a click."""

import shlex

import pytest
from fastapi import FastAPI

from janus_mail.keys.key import prove_key
from janus_mail.models.states import Role
from janus_mail.pages.role_words import SCOPES
from janus_mail.storage.database import Database
from tests.pages.reading import faults_of
from tests.pages.visiting import visiting

MARA = "mara@example.com"


async def test_a_key_is_made_shown_once_and_opens_what_was_ticked(app: FastAPI, database: Database) -> None:
    async with visiting(app, database, MARA) as mara:
        page = await mara.get("/keys")
        assert faults_of(page) == []
        assert "No key yet" in page.main.text
        fields = {"csrf_token": page.form("/keys").values()["csrf_token"], "name": "shop", "expires": "30"}
        answer = await mara.client.post("/keys", data=fields | {"scopes": ["events:read", "providers:read"]})
        assert answer.headers["cache-control"] == "no-store"
        page = type(page)(answer.text)
        assert faults_of(page) == []
        secret = page.root.one("input", id="secret")["value"]
        assert f'curl http://testserver/api/events -H "Authorization: Bearer {secret}"' in page.main.text
        proven = await prove_key(database, secret)
        assert proven is not None
        assert proven.scopes == {"events:read", "providers:read"}
        days = await database.pool.fetchval(
            "SELECT extract(day FROM expires_at - clock_timestamp())::int FROM api_keys"
        )
        assert days == 29
        page = await mara.get("/keys")
        assert secret not in page.html
        assert "See mail, See providers" in page.main.text


@pytest.mark.parametrize("scope", SCOPES)
async def test_the_call_that_is_shown_works_as_it_is_pasted(app: FastAPI, database: Database, scope: str) -> None:
    async with visiting(app, database, MARA) as mara:
        page = await mara.send(await mara.get("/keys"), "/keys", name="shop", scopes=scope, expires="")
        _, address, _, header = shlex.split(page.root.one("pre", id="call").text)
        name, _, value = header.partition(": ")
        assert (await mara.client.get(address, headers={name: value})).status_code == 200


async def test_a_key_is_rotated_and_revoked_by_a_click(app: FastAPI, database: Database) -> None:
    async with visiting(app, database, MARA) as mara:
        page = await mara.send(await mara.get("/keys"), "/keys", name="shop", scopes="admin", expires="")
        old = page.root.one("input", id="secret")["value"]
        key_id = await database.pool.fetchval("SELECT id FROM api_keys")
        page = await mara.send(page, f"/keys/{key_id}/rotate", overlap_hours="168")
        new = page.root.one("input", id="secret")["value"]
        assert f"then {new.split('_')[1]}" in page.main.text
        page = await mara.send(page, f"/keys/{key_id}/revoke")
        assert "it is refused from now on" in page.main.text
        assert "Revoked" in page.main.text
        assert [await prove_key(database, key) is not None for key in (old, new)] == [False, True]
        again = await mara.client.post(
            f"/keys/{key_id}/rotate", data={"csrf_token": page.form("/keys").values()["csrf_token"]}
        )
        assert (again.status_code, "This key is over" in again.text) == (409, True)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": ""}, "What it is for: "),
        ({"name": "x", "expires": "4"}, "How long: "),
        ({"name": "x", "scopes": "events:burn"}, "What it may do: "),
    ],
    ids=["name", "expires", "scopes"],
)
async def test_what_is_wrong_is_said(app: FastAPI, database: Database, fields: dict[str, str], says: str) -> None:
    async with visiting(app, database, MARA) as mara:
        page = await mara.send(await mara.get("/keys"), "/keys", fields, status=400)
        assert says in page.root.one(id="errors").text
        assert faults_of(page) == []
        assert await database.pool.fetchval("SELECT count(*) FROM api_keys") == 0


@pytest.mark.parametrize("role", [Role.EDITOR, Role.VIEWER])
async def test_keys_are_for_owners(app: FastAPI, database: Database, role: Role) -> None:
    async with visiting(app, database, "other@example.com", role) as other:
        page = await other.get("/keys", status=403)
        assert "ask an owner" in page.root.text
        assert "/keys" not in {a["href"] for a in (await other.get("/")).root.one("nav", aria_label="Main").all("a")}
