"""The audit log: nothing in it changes, it is read by filters, and leaves as a file."""

import csv
import io
import uuid
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from uuid_utils.compat import uuid7

from janus_mail.audit.actors import COMMAND, SYSTEM, Other
from janus_mail.audit.record import record
from janus_mail.keys.key import create_key
from janus_mail.models.states import ActorKind, Role
from janus_mail.storage.database import Database
from tests.people import add_person, add_workspace, signed_in

ANN = Other(ActorKind.USER, "ann@example.com", uuid.UUID(int=7), "203.0.113.7")


@pytest.fixture
async def entry_id(database: Database, workspace_id: uuid.UUID) -> uuid.UUID:
    async with database.transaction() as connection:
        await record(
            connection, ANN, "provider.changed", "provider", uuid7(), workspace_id=workspace_id, name="SendGrid",
            before={"rate_per_second": 10}, after={"rate_per_second": 50},
        )  # fmt: skip
    found: uuid.UUID = await database.pool.fetchval("SELECT id FROM audit_log")
    return found


@pytest.mark.parametrize("erasing", [False, True], ids=["as-ever", "while-erasing"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET action = 'nothing.done'",
        "UPDATE audit_log SET at = at - interval '1 day'",
        "UPDATE audit_log SET actor_id = gen_random_uuid()",
        "UPDATE audit_log SET actor_kind = 'system'",
        "UPDATE audit_log SET object_id = NULL",
        "UPDATE audit_log SET object_kind = 'event'",
        "UPDATE audit_log SET workspace_id = NULL",
        "UPDATE audit_log SET request_id = 'another'",
        "UPDATE audit_log SET id = gen_random_uuid()",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "TRUNCATE audit_log CASCADE",
    ],
)
async def test_the_log_refuses_to_be_changed(
    database: Database, entry_id: uuid.UUID, statement: str, erasing: bool
) -> None:
    before = await database.pool.fetchrow("SELECT * FROM audit_log")
    async with database.pool.acquire() as connection, connection.transaction():
        if erasing:
            await connection.execute("SET LOCAL janus.erasing = 'on'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await connection.execute(f"SAVEPOINT here; {statement}")
        await connection.execute("ROLLBACK TO here")
    assert await database.pool.fetchrow("SELECT * FROM audit_log") == before


async def test_an_erasure_changes_words_and_only_within_its_transaction(
    database: Database, entry_id: uuid.UUID
) -> None:
    words = "UPDATE audit_log SET actor = 'x', address = NULL, object = 'x', before = '{}', after = '{}'"
    async with database.pool.acquire() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(words)
        async with connection.transaction():
            await connection.execute("SET LOCAL janus.erasing = 'on'")
            assert await connection.execute(words) == "UPDATE 1"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(words)


def _ours(answer: httpx.Response) -> list[dict[str, Any]]:
    """Without that of the key which asks."""
    data: list[dict[str, Any]] = answer.json()["data"]
    return [entry for entry in data if entry["action"] != "key.created"]


@pytest.fixture
async def log(database: Database, workspace_id: uuid.UUID) -> dict[str, uuid.UUID]:
    """Entries a, b and c of the workspace, in this order, one of another and one of the server; objects by name."""
    objects = {name: uuid7() for name in "abc"}
    other = await add_workspace(database, "other")
    bob = replace(ANN, label="API key ci", kind=ActorKind.API_KEY, actor_id=uuid7(), address="198.51.100.4")
    async with database.transaction() as connection:
        await record(
            connection, ANN, "provider.changed", "provider", objects["a"], workspace_id=workspace_id, name="SendGrid",
            before={"rate_per_second": 10}, after={"rate_per_second": 50},
        )  # fmt: skip
        await record(
            connection, bob, "event.canceled", "event", objects["b"], workspace_id=workspace_id, after={"messages": 1}
        )
        await record(
            connection, SYSTEM, "provider.created", "provider", objects["c"], workspace_id=workspace_id, name="=1+1"
        )
        await record(connection, ANN, "event.canceled", "event", uuid7(), workspace_id=other)
        await record(connection, COMMAND, "person.erased", "person", uuid7(), workspace_id=None)
    return objects


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, "cba"),
        ({"actor": "ANN@"}, "a"),
        ({"actor": "ci"}, "b"),
        ({"actor": str(ANN.actor_id)}, "a"),
        ({"action": "provider.changed"}, "a"),
        ({"action": "provider.*"}, "ca"),
        ({"action": "*"}, "cba"),
        ({"action": "provider"}, ""),
        ({"object_kind": "event"}, "b"),
        ({"object_id": "b"}, "b"),
        ({"q": "sendgrid"}, "a"),
        ({"q": "198.51"}, "b"),
        ({"q": "rate_per"}, "a"),
        ({"q": "%"}, ""),
        ({"since": "2020-01-01"}, "cba"),
        ({"since": "2099-01-01T00:00:00Z"}, ""),
        ({"until": "2020-01-01"}, ""),
        ({"until": "2099-01-01", "action": "event.*"}, "b"),
    ],
    ids=str,
)
async def test_filters_say_which_entries(
    api: httpx.AsyncClient, log: dict[str, uuid.UUID], query: dict[str, str], found: str
) -> None:
    given = {name: str(log.get(value, value)) if name == "object_id" else value for name, value in query.items()}
    answer = await api.get("/api/audit", params=given)
    assert answer.status_code == 200, answer.text
    names = {str(object_id): name for name, object_id in log.items()}
    assert "".join(names[entry["object"]["id"]] for entry in _ours(answer)) == found


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"since": "soon"}, 400, "invalid_filter"),
        ({"object_id": "x"}, 400, None),
        ({"actr": "ann"}, 400, "unknown_parameter"),
        ({"cursor": "x"}, 400, "invalid_cursor"),
        ({"scope": "server"}, 403, "not_administrator"),
        ({"scope": "all"}, 400, None),
    ],
    ids=str,
)
async def test_what_cannot_be_asked_is_refused(
    api: httpx.AsyncClient, query: dict[str, str], status: int, code: str | None
) -> None:
    for path in ("/api/audit", "/api/audit/export"):
        if "cursor" in query and path.endswith("export"):
            continue
        answer = await api.get(path, params=query)
        assert (answer.status_code, code or answer.json()["code"]) == (status, answer.json()["code"])


async def test_an_entry_says_who_did_what_when_from_where_to_which_object(
    api: httpx.AsyncClient, entry_id: uuid.UUID
) -> None:
    (entry,) = _ours(await api.get("/api/audit"))
    assert entry["actor"] == {"kind": "user", "id": str(ANN.actor_id), "label": "ann@example.com"}
    assert (entry["address"], entry["action"]) == ("203.0.113.7", "provider.changed")
    assert entry["at"].endswith("Z")
    assert (entry["object"]["kind"], entry["object"]["name"]) == ("provider", "SendGrid")
    assert (entry["before"], entry["after"]) == ({"rate_per_second": 10}, {"rate_per_second": 50})


async def test_a_page_follows_another_and_none_is_lost_or_told_twice(
    api: httpx.AsyncClient, log: dict[str, uuid.UUID]
) -> None:
    query: dict[str, Any] = {"limit": 2, "until": "2099-01-01"}
    first = (await api.get("/api/audit", params=query)).json()
    rest = (await api.get("/api/audit", params=query | {"cursor": first["next_cursor"]})).json()
    assert [first["has_more"], rest["has_more"]] == [True, False]
    ids = [entry["object"]["id"] for entry in first["data"] + rest["data"]]
    assert ids[:3] == [str(log[name]) for name in "cba"]
    assert len(ids) == len(set(ids)) == 4  # and the key's


async def test_an_entry_names_the_request_and_the_key_that_made_it(api: httpx.AsyncClient, database: Database) -> None:
    made = await api.post("/api/suppressions", json={"addresses": ["ann@example.com"]})
    (entry,) = _ours(await api.get("/api/audit"))
    assert entry["request_id"] == made.headers["x-request-id"]
    key_id = await database.pool.fetchval("SELECT id FROM api_keys WHERE name = 'test'")
    assert entry["actor"] == {"kind": "api_key", "id": str(key_id), "label": "API key test"}
    assert entry["address"] == "127.0.0.1"


async def test_a_change_that_is_taken_back_leaves_no_entry(api: httpx.AsyncClient, database: Database) -> None:
    one = {"kind": "ses", "name": "A", "sandbox": True}
    assert (await api.post("/api/providers?verify=false", json=one)).status_code == 201
    assert (await api.post("/api/providers?verify=false", json=one)).status_code == 409
    assert await database.pool.fetchval("SELECT count(*) FROM audit_log WHERE object_kind = 'provider'") == 1


async def test_the_file_has_what_the_list_has_and_no_cell_is_a_formula(
    api: httpx.AsyncClient, log: dict[str, uuid.UUID]
) -> None:
    answer = await api.get("/api/audit/export", params={"object_kind": "provider"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["object"] for row in rows] == ["'=1+1", "SendGrid"]
    assert rows[1] | {"at": "", "object_id": "", "actor_id": ""} == {
        "at": "", "actor_kind": "user", "actor_id": "", "actor": "ann@example.com", "address": "203.0.113.7",
        "request_id": "", "action": "provider.changed", "object_kind": "provider", "object_id": "",
        "object": "SendGrid", "before": '{"rate_per_second":10}', "after": '{"rate_per_second":50}',
    }  # fmt: skip
    assert rows[1]["object_id"] == str(log["a"])
    (entry,) = (await api.get("/api/audit", params={"action": "audit.exported"})).json()["data"]
    assert entry["after"] == {"object_kind": "provider"}


async def test_a_long_log_leaves_whole(api: httpx.AsyncClient, database: Database, workspace_id: uuid.UUID) -> None:
    await database.pool.execute(
        """INSERT INTO audit_log (id, workspace_id, actor_kind, actor, action, object_kind, object)
           SELECT gen_random_uuid(), $1, 'system', 'Janus', 'event.canceled', 'event', n::text
           FROM generate_series(1, 4100) n""",
        workspace_id,
    )
    answer = await api.get("/api/audit/export", params={"object_kind": "event"})
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert {row["object"] for row in rows} == {str(number) for number in range(1, 4101)}
    assert len(rows) == 4100


@pytest.mark.parametrize(("role", "status"), [(Role.OWNER, 200), (Role.EDITOR, 403), (Role.VIEWER, 403)])
async def test_the_log_is_for_owners(
    app: FastAPI, database: Database, workspace_id: uuid.UUID, role: Role, status: int
) -> None:
    user_id = await add_person(database, "mara@example.com", workspace_id=workspace_id, role=role)
    async with signed_in(app, database, user_id) as browser:
        assert (await browser.get("/audit")).status_code == status
        assert (await browser.get("/audit/export")).status_code == status


async def test_a_key_needs_the_scope_admin(api: httpx.AsyncClient, database: Database) -> None:
    key = await create_key(
        database, workspace="default", name="less",
        scopes=("events:read", "events:write", "providers:read", "providers:write"),
    )  # fmt: skip
    for path in ("/api/audit", "/api/audit/export"):
        answer = await api.get(path, headers={"Authorization": f"Bearer {key}"})
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


async def test_what_is_about_the_server_is_for_its_administrators(
    app: FastAPI, database: Database, workspace_id: uuid.UUID, log: dict[str, uuid.UUID]
) -> None:
    for administrator in (True, False):
        email = f"{administrator}@example.com".lower()
        user_id = await add_person(database, email, workspace_id=workspace_id, administrator=administrator)
        async with signed_in(app, database, user_id) as browser:
            answer = await browser.get("/audit?scope=server")
            assert answer.status_code == (200 if administrator else 403)
            assert ("erased a person" in answer.text) is administrator
            assert ("scope=server" in (await browser.get("/audit")).text) is administrator


async def test_nobody_sees_the_entries_of_another_workspace(
    api: httpx.AsyncClient, database: Database, log: dict[str, uuid.UUID]
) -> None:
    key = await create_key(database, workspace="other", name="theirs")
    answer = await api.get("/api/audit", headers={"Authorization": f"Bearer {key}"})
    assert [entry["action"] for entry in _ours(answer)] == ["event.canceled"]
