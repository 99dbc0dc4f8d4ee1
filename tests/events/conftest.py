"""Events over HTTP on a real database: schedule one, put its messages in a state, look from another workspace."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from uuid_utils.compat import uuid7

from janus_mail.keys.key import create_key
from janus_mail.storage.database import Database

EVENT: dict[str, Any] = {
    "email_subject": "Hello World",
    "email_content": "This is a test email.",
    "expected_sent_at": "2024-07-15T10:00:00",
    "recipients": "test@example.com",
}

YEAR = datetime.now(UTC).year + 2  # is to come, and less than five years ahead

Schedule = Callable[..., Awaitable[dict[str, Any]]]
SetState = Callable[..., Awaitable[None]]
AddProvider = Callable[..., Awaitable[uuid.UUID]]


@pytest.fixture
def schedule(api: httpx.AsyncClient) -> Schedule:
    """Schedules an event, by default one for ever in the future, and answers it."""

    async def run(**fields: Any) -> dict[str, Any]:
        answer = await api.post("/api/events", json=EVENT | {"expected_sent_at": "in 2 days"} | fields)
        assert answer.status_code == 201, answer.text
        event: dict[str, Any] = answer.json()["event"]
        return event

    return run


@pytest.fixture
def set_state(database: Database) -> SetState:
    """Puts messages of an event into a state, as delivery would."""

    async def run(event_id: str, state: str, *, recipient: str | None = None) -> None:
        await database.pool.execute(
            """UPDATE messages SET state = $2, sent_at = CASE WHEN $2 = 'sent' THEN clock_timestamp() END
               WHERE event_id = $1 AND ($3::text IS NULL OR recipient = $3)""",
            uuid.UUID(event_id),
            state,
            recipient,
        )

    return run


@pytest.fixture
def add_provider(database: Database, workspace_id: uuid.UUID) -> AddProvider:
    """A row of `providers`; nothing is sent through it here."""

    async def run(name: str, kind: str = "smtp", **columns: Any) -> uuid.UUID:
        provider_id = uuid7()
        values: dict[str, Any] = {
            "id": provider_id, "workspace_id": workspace_id, "kind": kind, "name": name, "position": 1, "config": b"",
        } | columns  # fmt: skip
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await database.pool.execute(f"INSERT INTO providers ({', '.join(values)}) VALUES ({places})", *values.values())
        return provider_id

    return run


@pytest.fixture
async def stranger(app: FastAPI, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """A client of another workspace, whose name is `other`."""
    await database.pool.execute(
        "INSERT INTO workspaces (id, handle, name, from_email) VALUES ($1, 'other', 'other', 'o@example.com')", uuid7()
    )
    key = await create_key(database, workspace="other", name="test")
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://testserver", headers=headers
    ) as client:
        yield client


async def stored(database: Database) -> tuple[int, int]:
    """How many events and messages there are."""
    row = await database.pool.fetchrow("SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM messages)")
    assert row is not None
    return row[0], row[1]
