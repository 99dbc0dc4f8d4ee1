"""No way leads from one workspace into another: each operation and page is asked with the ids of somebody else's."""

import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx
import orjson
import pytest
from fastapi import FastAPI
from uuid_utils.compat import uuid7

from janus_mail.keys.key import create_key
from janus_mail.models.states import Role
from janus_mail.storage.database import Database
from tests.pages.gallery import Gallery
from tests.pages.reading import Page
from tests.people import add_person, add_workspace, program_of, signed_in
from tests.security.surfaces import Operation, Surface

# By the parameter's name: one that is the victim's. $1 their workspace.
IDS: Final[Mapping[str, str]] = {
    "event_id": "SELECT id FROM events WHERE workspace_id = $1 LIMIT 1",
    "message_id": "SELECT id FROM messages WHERE workspace_id = $1 LIMIT 1",
    "provider_id": "SELECT id FROM providers WHERE workspace_id = $1 LIMIT 1",
    "mail_id": "SELECT id FROM captured_mails WHERE workspace_id = $1 LIMIT 1",
    "up_to": "SELECT max(id::text) FROM captured_mails WHERE workspace_id = $1",
    "suppression_id": "SELECT id FROM suppressions WHERE workspace_id = $1 LIMIT 1",
    "suppression": "SELECT id FROM suppressions WHERE workspace_id = $1 LIMIT 1",
    "key_id": "SELECT id FROM api_keys WHERE workspace_id = $1 LIMIT 1",
    "user_id": "SELECT user_id FROM memberships WHERE workspace_id = $1 LIMIT 1",
    "invitation_id": "SELECT id FROM invitations WHERE workspace_id = $1 LIMIT 1",
    "workspace_id": "SELECT id FROM workspaces WHERE id = $1",
    "session_id": "SELECT s.id FROM sessions s JOIN memberships m USING (user_id) WHERE m.workspace_id = $1 LIMIT 1",
    "family_id": "SELECT family_id FROM refresh_tokens WHERE workspace_id = $1 LIMIT 1",
}
# Parameters that name nothing of a workspace.
PLAIN: Final[dict[str, str]] = {"place": "0", "kind": "smtp", "name": "janus.css", "secret": "x" * 43, "token": "x"}
# Whoever asks is told nothing of a workspace by these.
OPEN: Final = frozenset(
    {
        "POST /api/auth/token",
        "POST /api/auth/refresh",
        "POST /api/auth/revoke",
        "GET /api/docs",
        "GET /api/provider-kinds",
    }
)
MARK: Final = "northwind-secret"


@pytest.fixture
async def victim(gallery: Gallery, database: Database) -> Gallery:
    """A workspace with one of everything, and its mark in all that people may read."""
    workspace_id = gallery.workspace_id
    owner = await add_person(database, f"{MARK}@example.org", workspace_id=workspace_id)
    await create_key(database, workspace="default", name=MARK)
    pool = database.pool
    async with signed_in_once(database, owner):
        pass
    await pool.execute(
        """INSERT INTO refresh_tokens (id, family_id, user_id, workspace_id, digest, expires_at, address, user_agent)
           VALUES ($1, $1, $2, $3, '\\x01', clock_timestamp() + interval '1 day', '', '')""",
        uuid7(), owner, workspace_id,
    )  # fmt: skip
    await pool.execute(
        """INSERT INTO invitations (id, workspace_id, email, role, digest, invited_by, expires_at)
           VALUES ($1, $2, $3, 'editor', '\\x01', 'Mara', clock_timestamp() + interval '1 day')""",
        uuid7(), workspace_id, f"{MARK}-guest@example.org",
    )  # fmt: skip
    await pool.execute("UPDATE events SET subject = $2 || subject WHERE workspace_id = $1", workspace_id, MARK)
    await pool.execute("UPDATE providers SET name = $2 || name WHERE workspace_id = $1", workspace_id, MARK)
    await pool.execute("UPDATE messages SET recipient = $2 || recipient WHERE workspace_id = $1", workspace_id, MARK)
    await pool.execute(
        "INSERT INTO suppressions (id, workspace_id, address, reason, source) VALUES ($1, $2, $3, 'manual', 'test')",
        uuid7(), workspace_id, f"{MARK}-gone@example.org",
    )  # fmt: skip
    await pool.execute("UPDATE workspaces SET name = $2 WHERE id = $1", workspace_id, MARK)
    return gallery


def signed_in_once(database: Database, user_id: uuid.UUID) -> Any:
    return signed_in(FastAPI(), database, user_id)


@pytest.fixture
async def ids(victim: Gallery, database: Database) -> dict[str, str]:
    found = {name: await database.pool.fetchval(sql, victim.workspace_id) for name, sql in IDS.items()}
    assert all(found.values()), [name for name, value in found.items() if not value]
    return {name: str(value) for name, value in found.items()} | PLAIN


@pytest.fixture
async def intruders(database: Database) -> uuid.UUID:
    """The workspace of whoever asks."""
    return await add_workspace(database, "intruders")


async def state_of(database: Database, workspace_id: uuid.UUID) -> dict[str, str]:
    """A digest of every row of every table that is the workspace's."""
    tables = await database.pool.fetch(
        """SELECT table_name AS name FROM information_schema.columns
           WHERE table_schema = 'public' AND column_name = 'workspace_id' AND table_name <> 'audit_log'"""
    )
    digests = {}
    for row in tables:
        digests[row["name"]] = await database.pool.fetchval(
            f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {row['name']} t"
            " WHERE workspace_id = $1",
            workspace_id,
        )
    digests["workspaces"] = await database.pool.fetchval(
        "SELECT md5(t::text) FROM workspaces t WHERE id = $1", workspace_id
    )
    return digests


@pytest.fixture
async def credentials(database: Database, intruders: uuid.UUID) -> dict[str, str]:
    """Of the intruders: a key that may everything, and a person in each role."""
    made = {"key": await create_key(database, workspace="intruders", name="all")}
    for role in Role:
        user_id = await add_person(database, f"{role}@intruders.example", workspace_id=intruders, role=role)
        made[role] = await program_of(database, user_id, intruders)
    return made


@pytest.fixture
async def stranger(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client:
        yield client


async def send(
    client: httpx.AsyncClient, operation: Operation, ids: Mapping[str, str], token: str | None, body: Any
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    kind = operation.kinds[0] if operation.kinds else ""
    content: bytes | None = None
    if kind == "text/csv":
        content = b"address\nx@example.org\n"
    elif kind and kind != "application/json":
        return await client.request(
            operation.surface.method, operation.surface.at(ids), headers=headers, data=body or {"x": "y"}
        )
    elif kind:
        content = orjson.dumps(body)
    if content is not None:
        headers["Content-Type"] = kind
    return await client.request(operation.surface.method, operation.surface.at(ids), headers=headers, content=content)


async def stay(database: Database, intruders: uuid.UUID) -> None:
    """Some operations make whoever asks leave."""
    await database.pool.execute(
        """INSERT INTO memberships (workspace_id, user_id, role)
           SELECT $1, id, split_part(email, '@', 1) FROM users WHERE email LIKE '%@intruders.example'
           ON CONFLICT (workspace_id, user_id) DO UPDATE SET role = excluded.role""",
        intruders,
    )
    await database.pool.execute("UPDATE refresh_tokens SET revoked_at = NULL WHERE workspace_id = $1", intruders)


def of_the_api(every_operation: list[Operation]) -> list[Operation]:
    return [one for one in every_operation if one.surface.path.startswith("/api/")]


def test_every_parameter_of_an_address_has_an_id_to_try(every_surface: list[Surface]) -> None:
    names = {name for surface in every_surface for name in surface.parameters}
    assert names - IDS.keys() - PLAIN.keys() == set(), "name in IDS how one of the victim's is found, or in PLAIN"


@pytest.mark.parametrize("who", ["key", *Role])
async def test_the_ids_of_another_workspace_open_nothing_and_change_nothing(
    stranger: httpx.AsyncClient, every_operation: list[Operation], ids: dict[str, str], victim: Gallery,
    credentials: dict[str, str], database: Database, intruders: uuid.UUID, who: str,
) -> None:  # fmt: skip
    before = await state_of(database, victim.workspace_id)
    for operation in of_the_api(every_operation):
        await stay(database, intruders)
        # Whoever deletes a workspace types its name: the victim's.
        body = {"name": MARK} if operation.surface.path == "/api/workspace/delete" else operation.body
        answer = await send(stranger, operation, ids, credentials[who], body)
        name = f"{operation.surface}: {answer.status_code} {answer.text[:300]}"
        assert answer.status_code < 500, name
        assert MARK not in answer.text, name
        if set(operation.surface.parameters) & IDS.keys():
            assert answer.status_code in (400, 403, 404), name
    assert await state_of(database, victim.workspace_id) == before


async def test_ids_of_another_workspace_within_a_body_or_a_query_lead_nowhere(
    stranger: httpx.AsyncClient, every_operation: list[Operation], ids: dict[str, str], victim: Gallery,
    credentials: dict[str, str], database: Database,
) -> None:  # fmt: skip
    before = await state_of(database, victim.workspace_id)
    own = {name: str(uuid7()) for name in ids} | PLAIN
    for operation in of_the_api(every_operation):
        for field in operation.fields:
            for theirs in {ids["provider_id"], ids["workspace_id"], ids["event_id"], ids["user_id"]}:
                answer = await send(stranger, operation, own, credentials["key"], field.put(operation.body, theirs))
                assert answer.status_code < 500, f"{operation.surface} {field}: {answer.text[:300]}"
                assert MARK not in answer.text, f"{operation.surface} {field}"
        for place, name in operation.parameters:
            if place == "query":
                path = f"{operation.surface.at(own)}?{name}={ids.get(name, ids['event_id'])}"
                answer = await stranger.request(
                    operation.surface.method, path, headers={"Authorization": f"Bearer {credentials['key']}"}
                )
                assert answer.status_code < 500, f"{path}: {answer.text[:300]}"
                assert MARK not in answer.text, path
    assert await state_of(database, victim.workspace_id) == before


async def test_without_credentials_nothing_is_answered(
    stranger: httpx.AsyncClient, every_surface: list[Surface], every_operation: list[Operation], ids: dict[str, str]
) -> None:
    """Of the routes, not of the document: one that is left out of it needs credentials too."""
    kinds = {str(one.surface): one for one in every_operation}
    for surface in every_surface:
        if not surface.path.startswith("/api/") or str(surface) in OPEN:
            continue
        operation = kinds.get(str(surface)) or Operation(surface, "", (), (), (), None, ())
        for token in (None, "janus_aaaaaaaaaa_" + "b" * 43, "a.b.c", ""):
            answer = await send(stranger, operation, ids, token, operation.body)
            assert answer.status_code == 401, f"{surface} lets anybody in: {answer.status_code} {answer.text[:200]}"


async def test_pages_show_and_do_nothing_of_another_workspace(
    app: FastAPI, every_surface: list[Surface], ids: dict[str, str], victim: Gallery, intruders: uuid.UUID,
    database: Database,
) -> None:  # fmt: skip
    before = await state_of(database, victim.workspace_id)
    user_id = await add_person(database, "owner@intruders.example", workspace_id=intruders)
    async with signed_in(app, database, user_id) as browser:
        token = Page((await browser.get("/")).text).form("/theme").values()["csrf_token"]
        for surface in (one for one in every_surface if one.is_page and one.path not in ("/logout", "/account/delete")):
            path = surface.at(ids)
            answer = await (
                browser.get(path) if surface.method == "GET"
                else browser.request(surface.method, path, data={"csrf_token": token})
            )  # fmt: skip
            name = f"{surface}: {answer.status_code}"
            assert answer.status_code < 500, name
            assert MARK not in answer.text, name
            if surface.method == "GET" and set(surface.parameters) & IDS.keys():
                assert answer.status_code in (303, 403, 404), name
    assert await state_of(database, victim.workspace_id) == before


async def test_fields_that_are_not_offered_are_refused_and_nothing_is_made(
    stranger: httpx.AsyncClient, every_operation: list[Operation], ids: dict[str, str], victim: Gallery,
    credentials: dict[str, str],
) -> None:  # fmt: skip
    """Mass assignment: whoever names a workspace, a role or an id in a body is told that there is no such field."""
    own = {name: str(uuid7()) for name in ids} | PLAIN
    for operation in of_the_api(every_operation):
        if not operation.is_json or not isinstance(operation.body, dict):
            continue
        for field, value in (
            ("workspace_id", ids["workspace_id"]), ("role", "owner"), ("administrator", True), ("id", str(uuid7())),
            ("created_by", "somebody else"), ("from_environment", True), ("user_id", ids["user_id"]),
        ):  # fmt: skip
            if field in operation.body:
                continue
            answer = await send(stranger, operation, own, credentials["key"], {**operation.body, field: value})
            assert answer.status_code in (400, 401, 403, 404), f"{operation.surface} takes {field}: {answer.text[:200]}"
