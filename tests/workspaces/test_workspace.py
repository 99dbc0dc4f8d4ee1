"""The workspace over HTTP: how it stands, the stop button, what becomes of mail that may have left."""

import asyncio
import uuid
from typing import Any

import httpx
from fastapi import FastAPI
from redis.asyncio import Redis

from janus_mail.keys.key import create_key
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from tests.compat.conftest import sandboxes
from tests.delivery.conftest import working

__all__ = ["sandboxes"]

EVENT = {
    "email_subject": "Hello World", "email_content": "This is a test email.", "expected_sent_at": "2024-07-15T10:00:00",
    "recipients": "a@example.com, b@example.com",
}  # fmt: skip


async def schedule(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/api/events", json=EVENT | fields)
    assert answer.status_code == 201, answer.text
    event: dict[str, Any] = answer.json()["event"]
    return event


async def client_with(app: FastAPI, database: Database, *scopes: str) -> httpx.AsyncClient:
    key = await create_key(database, workspace="default", name="some", scopes=scopes)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://testserver", headers={"Authorization": f"Bearer {key}"}
    )


async def test_a_workspace_shows_what_waits_in_it(api: httpx.AsyncClient, workspace_id: uuid.UUID) -> None:
    await schedule(api)
    await schedule(api, expected_sent_at="in 2 days", recipients="c@example.com")
    assert (await api.get("/api/workspace")).json() == {
        "id": str(workspace_id), "name": "default", "timezone": "UTC", "language": "en-GB",
        "from_email": "janus@example.com", "from_name": "Janus", "allowed_senders": None, "on_uncertain": "resend",
        "retention_days": None, "minute_quota": 0, "monthly_quota": 0, "used_this_month": None,
        "paused_at": None, "waiting": 3, "due": 2, "sending": 0, "uncertain": 0,
    }  # fmt: skip


async def test_a_pause_says_what_waits_and_what_is_leaving_and_holds_however_often_it_is_asked_for(
    api: httpx.AsyncClient, database: Database
) -> None:
    await schedule(api)
    await database.pool.execute("UPDATE messages SET state = 'leased' WHERE recipient = 'a@example.com'")
    await database.pool.execute("UPDATE messages SET state = 'sending' WHERE recipient = 'b@example.com'")
    first = await api.post("/api/workspace/pause")
    assert (first.status_code, first.json()["message"]) == (
        200,
        "Paused; 1 message waiting; 1 message already leaving.",
    )
    assert first.json()["workspace"]["paused_at"] is not None
    assert await database.pool.fetchval("SELECT state FROM messages WHERE recipient = 'a@example.com'") == "scheduled"
    again = await api.post("/api/workspace/pause")
    assert again.json() == first.json()
    assert (await api.get("/api/workspace")).json() == first.json()["workspace"]


async def test_a_pause_says_of_how_many_mails_nobody_knows_whether_they_left(
    api: httpx.AsyncClient, database: Database
) -> None:
    await schedule(api)
    await database.pool.execute("UPDATE messages SET state = 'uncertain', waiting_for = 'evidence'")
    paused = (await api.post("/api/workspace/pause")).json()
    assert paused["message"] == "Paused; 0 messages waiting; 2 messages may have left."
    assert paused["workspace"]["uncertain"] == 2


async def test_what_takes_no_body_refuses_one_and_changes_nothing(api: httpx.AsyncClient) -> None:
    for path in ("pause", "resume"):
        for content in (b'{"x": 1}', b"[]", b"null", b"{", b"x=1"):
            answer = await api.post(f"/api/workspace/{path}", content=content)
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input"), content
            assert answer.json()["error"] == "This request takes no fields: send no body."
    named = await api.post("/api/workspace/pause", json={"x": 1})
    assert named.json()["details"] == [{"field": "x", "message": "There is no such field."}]
    assert (await api.get("/api/workspace")).json()["paused_at"] is None
    event = await schedule(api, expected_sent_at="in 2 days")
    for action in ("send-now", "retry"):
        assert (await api.post(f"/api/events/{event['id']}/{action}", json={"when": "now"})).status_code == 400
    assert (await api.get(f"/api/events/{event['id']}")).json()["version"] == 1
    for content in (b"", b" ", b"{}"):
        assert (await api.post("/api/workspace/pause", content=content)).status_code == 200, content


async def test_a_paused_workspace_accepts_and_keeps_and_sends_when_it_is_resumed(
    api: httpx.AsyncClient, settings: Settings, database: Database, redis: Redis, sandboxes: dict[str, uuid.UUID]
) -> None:
    await api.post("/api/workspace/pause")
    event = await schedule(api)
    async with working(settings, database, redis):
        answer = await api.get("/api/workspace")
        assert (answer.json()["waiting"], answer.json()["due"]) == (2, 2)
        resumed = await api.post("/api/workspace/resume")
        assert (resumed.status_code, resumed.json()["workspace"]["paused_at"]) == (200, None)
        sent = await api.post("/api/events", json=EVENT, headers={"Prefer": "wait=10"})
        assert sent.json()["event"]["status"] == "sent"
    assert (await api.get(f"/api/events/{event['id']}")).json()["counts"]["sent"] == 2
    again = await api.post("/api/workspace/resume")
    assert again.json()["message"] == "Resumed; 0 messages due now."


async def test_resuming_wakes_the_workers(api: httpx.AsyncClient, redis: Redis) -> None:
    await api.post("/api/workspace/resume")
    async with asyncio.timeout(5):
        while not await redis.zcard("arq:queue"):
            await asyncio.sleep(0.01)


async def test_the_policy_of_the_workspace_is_that_of_the_events_that_name_none(
    api: httpx.AsyncClient, database: Database
) -> None:
    before = await schedule(api)
    answer = await api.patch("/api/workspace", json={"on_uncertain": "park"})
    assert (answer.status_code, answer.json()["workspace"]["on_uncertain"]) == (200, "park")
    assert (await schedule(api))["on_uncertain"] == "park"
    assert (await schedule(api, on_uncertain="resend"))["on_uncertain"] == "resend"
    assert (await api.get(f"/api/events/{before['id']}")).json()["on_uncertain"] == "resend"
    for wrong in ({"on_uncertain": "drop"}, {"on_uncertain": None}, {}, {"on_uncertain": "park", "nme": "x"}):
        assert (await api.patch("/api/workspace", json=wrong)).status_code == 400
    assert (await api.get("/api/workspace")).json()["on_uncertain"] == "park"


async def test_who_may_schedule_may_stop_and_only_an_admin_sets_the_policy(app: FastAPI, database: Database) -> None:
    async with await client_with(app, database, "events:read") as reader:
        assert (await reader.get("/api/workspace")).status_code == 200
        for path in ("pause", "resume"):
            assert (await reader.post(f"/api/workspace/{path}")).status_code == 403
    async with await client_with(app, database, "events:read", "events:write") as writer:
        assert (await writer.post("/api/workspace/pause")).status_code == 200
        assert (await writer.post("/api/workspace/resume")).status_code == 200
        assert (await writer.patch("/api/workspace", json={"on_uncertain": "park"})).status_code == 403
    assert await database.pool.fetchval("SELECT on_uncertain FROM workspaces") == "resend"


async def test_pausing_one_workspace_leaves_the_others(
    app: FastAPI, api: httpx.AsyncClient, database: Database
) -> None:
    await database.pool.execute(
        "INSERT INTO workspaces (id, handle, name, from_email) VALUES ($1, 'other', 'other', 'o@example.com')",
        uuid.uuid4(),
    )
    await api.post("/api/workspace/pause")
    assert await database.pool.fetchval("SELECT paused_at FROM workspaces WHERE name = 'other'") is None
