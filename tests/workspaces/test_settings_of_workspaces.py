"""What a workspace may change of itself, and what not."""

import uuid
from typing import Any

import httpx
import pytest

from janus_mail.storage.database import Database
from tests.workspaces.conftest import noted
from tests.workspaces.test_workspace import EVENT, schedule


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"name": "  Northwind Tools "}, {"name": "Northwind Tools"}),
        ({"timezone": "Europe/Berlin"}, {"timezone": "Europe/Berlin"}),
        ({"timezone": None}, {"timezone": "UTC"}),
        ({"language": "en-US"}, {"language": "en-US"}),
        ({"language": None}, {"language": "en-GB"}),
        ({"from_email": "Hello@Example.com", "from_name": "Hello"}, {"from_email": "Hello@example.com"}),
        ({"from_email": None}, {"from_email": None}),
        ({"allowed_senders": ["@Example.com", "noor@straße.example"]},
         {"allowed_senders": ["example.com", "noor@xn--strae-oqa.example"]}),
        ({"allowed_senders": None}, {"allowed_senders": None}),
        ({"retention_days": 30}, {"retention_days": 30}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)  # fmt: skip
async def test_what_is_given_changes_and_nothing_else(
    api: httpx.AsyncClient, given: dict[str, Any], stored: dict[str, Any]
) -> None:
    before = (await api.get("/api/workspace")).json()
    answer = await api.patch("/api/workspace", json=given)
    assert answer.status_code == 200, answer.text
    after = (await api.get("/api/workspace")).json()
    assert {name: after[name] for name in stored} == stored
    assert {name: value for name, value in after.items() if name not in given} == {
        name: value for name, value in before.items() if name not in given
    }


@pytest.mark.parametrize(
    "given",
    [
        {}, {"name": ""}, {"name": " "}, {"name": None}, {"name": "two\nlines"}, {"name": "x" * 101},
        {"name": "‮evil"}, {"timezone": "Mars/Olympus"}, {"timezone": "localtime"}, {"language": "de-DE"},
        {"language": "en_GB"}, {"from_email": "no address"}, {"from_email": "Ann <ann@example.com>"},
        {"from_email": "a@example.com\r\nBcc: b@example.com"}, {"from_name": "a\r\nBcc: b@example.com"},
        {"allowed_senders": []}, {"allowed_senders": ["nothing at all"]}, {"allowed_senders": "example.com"},
        {"allowed_senders": ["example.com"] * 201}, {"retention_days": 0}, {"retention_days": "for ever"},
        {"retention_days": 36_501}, {"on_uncertain": "drop"},
        # What is the server's to say, or nobody's.
        {"minute_quota": 0}, {"monthly_quota": 0}, {"id": str(uuid.UUID(int=1))}, {"handle": "default"},
        {"workspace_id": str(uuid.UUID(int=1))}, {"role": "owner"}, {"paused_at": None}, {"created_at": None},
    ],
    ids=str,
)  # fmt: skip
async def test_what_does_not_fit_is_refused_and_changes_nothing(
    api: httpx.AsyncClient, database: Database, given: dict[str, Any]
) -> None:
    before = await database.pool.fetchrow("SELECT w::text FROM workspaces w")
    answer = await api.patch("/api/workspace", json=given)
    assert (answer.status_code, "error" in answer.json()) == (400, True), answer.text
    assert await database.pool.fetchrow("SELECT w::text FROM workspaces w") == before
    assert await noted(database, "workspace.") == []


async def test_the_usual_sender_is_always_one_that_is_allowed(api: httpx.AsyncClient) -> None:
    one = await api.patch("/api/workspace", json={"allowed_senders": ["northwind.example"]})
    assert (one.status_code, one.json()["code"]) == (400, "sender_not_allowed")
    assert one.json()["details"][0]["field"] == "allowed_senders"
    both = {"allowed_senders": ["northwind.example"], "from_email": "hello@northwind.example"}
    assert (await api.patch("/api/workspace", json=both)).status_code == 200
    other = await api.patch("/api/workspace", json={"from_email": "janus@example.com"})
    assert (other.status_code, other.json()["details"][0]["field"]) == (400, "from_email")
    # And what is allowed here is what mail may come from.
    assert (await schedule(api, from_email="x@northwind.example"))["status"] == "pending"
    refused = await api.post("/api/events", json=EVENT | {"from_email": "x@example.com"})
    assert refused.json()["code"] == "sender_not_allowed"


async def test_a_change_is_written_down_with_what_was_and_what_is(api: httpx.AsyncClient, database: Database) -> None:
    await api.patch("/api/workspace", json={"name": "Northwind", "on_uncertain": "resend"})
    [row] = await database.pool.fetch("SELECT * FROM audit_log WHERE action = 'workspace.changed'")
    assert (row["before"], row["after"]) == ({"name": "default"}, {"name": "Northwind"})
    await api.patch("/api/workspace", json={"name": "Northwind"})
    assert await noted(database, "workspace.changed") == ["workspace.changed"]


async def test_what_is_kept_must_outlast_the_requests_that_may_come_again(api: httpx.AsyncClient) -> None:
    assert (await api.patch("/api/workspace", json={"retention_days": 1})).status_code == 200
    app = api._transport.app  # type: ignore[attr-defined]
    usual = app.state.context.settings.idempotency_seconds
    try:
        app.state.context.settings.idempotency_seconds = 2 * 86_400
        refused = await api.patch("/api/workspace", json={"retention_days": 1})
    finally:
        app.state.context.settings.idempotency_seconds = usual
    assert (refused.status_code, refused.json()["details"][0]["field"]) == (400, "retention_days")
