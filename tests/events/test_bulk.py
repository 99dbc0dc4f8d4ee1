"""COPY stores what the statement for few events stores."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from janus_mail.events import bulk, intake
from janus_mail.events.rows import EventRow, NewEvent, NewMessage
from janus_mail.storage.database import Connection, Database
from tests.events.conftest import EVENT, stored

_GIVE_UP_S = 3600.5
_NOW = datetime(2026, 7, 15, 8, 30, 1, 123456, tzinfo=UTC)
_ODD = "Ä “quoted” \\N \t ☃ 𝄞"


def _plain(workspace_id: uuid.UUID) -> NewEvent:
    """With nothing that may be left out."""
    row = EventRow(
        id=uuid4(), workspace_id=workspace_id, subject="Hello", text=None, html=None, from_email=None, from_name=None,
        reply_to=[], headers={}, attachments=[], tags=[], metadata={}, expected_sent_at=_NOW, timezone=None, priority=1,
        expires_at=None, send_as="individual", group_recipients=None, first_recipients=[], recipients_count=1,
        provider=None, provider_id=None, failover=True, on_uncertain="resend", warnings=[], created_by=None,
        status="pending", counts={"scheduled": 1}, exactly_sent_at=None, error_message=None, version=1,
        created_at=_NOW, updated_at=_NOW,
    )  # fmt: skip
    return NewEvent(row, _NOW, [NewMessage(uuid4(), "a@example.com", None, {})])


def _full(workspace_id: uuid.UUID) -> NewEvent:
    """With everything, and with characters that a format may stumble over."""
    people: list[dict[str, Any]] = [{"email": "a@example.com", "name": _ODD}, {"email": "b@example.com", "name": None}]
    row = replace(
        _plain(workspace_id).row,
        id=uuid4(), subject=_ODD, text=_ODD, html=f"<p>{_ODD}</p>", from_email="me@example.com", from_name=_ODD,
        reply_to=people, headers={"X-Odd": _ODD}, tags=["one", _ODD, 'a"b,{c}'], metadata={_ODD: _ODD},
        attachments=[{"filename": _ODD, "content_type": "a/b", "size": 1, "digest": "00", "content_id": None}],
        expected_sent_at=datetime(1, 1, 1, 12, tzinfo=UTC), timezone="Europe/Berlin", priority=2,
        expires_at=datetime(2031, 1, 1, tzinfo=timezone(timedelta(hours=-7))), send_as="group",
        group_recipients={"to": people, "cc": [], "bcc": []}, first_recipients=people, recipients_count=70_000,
        provider="ses", provider_id=uuid4(), failover=False, on_uncertain="park", warnings=[_ODD, ""],
        created_by=f"API key {_ODD}", counts={"scheduled": 2},
    )  # fmt: skip
    messages = [NewMessage(uuid4(), f"{name}@example.com", _ODD, {"name": _ODD, "empty": ""}) for name in "ab"]
    return NewEvent(row, _NOW + timedelta(microseconds=1), messages)


async def _rows(connection: Connection) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = []
    for table in ("events", "messages"):
        rows += await connection.fetch(f"SELECT * FROM {table} ORDER BY id")
    return rows


async def test_both_ways_store_the_same(database: Database, workspace_id: uuid.UUID) -> None:
    new = [_plain(workspace_id), _full(workspace_id), _plain(workspace_id)]
    found = []
    for way in (bulk.copy, intake._insert):
        async with database.pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await way(connection, new, _GIVE_UP_S)
            found.append(await _rows(connection))
            await transaction.rollback()
    copied, inserted = found
    assert len(copied) == 3 + 4
    assert copied == inserted


async def test_a_single_row_whose_columns_never_change_is_stored_once(
    database: Database, workspace_id: uuid.UUID
) -> None:
    async with database.transaction() as connection:
        await bulk.copy(connection, [_plain(workspace_id)], _GIVE_UP_S)
    assert await stored(database) == (1, 1)


async def test_an_event_to_many_is_stored_whole(api: httpx.AsyncClient, database: Database) -> None:
    recipients = [f"reader{number}@example.com" for number in range(intake._MANY_ROWS)]
    answer = await api.post("/api/events", json=EVENT | {"recipients": recipients})
    assert answer.status_code == 201, answer.text
    assert await stored(database) == (1, intake._MANY_ROWS)


async def test_a_message_that_is_refused_takes_its_events_with_it(database: Database, workspace_id: uuid.UUID) -> None:
    new = [_plain(workspace_id) for _ in range(intake._MANY_ROWS)]
    new[-1].messages[0].id = new[0].messages[0].id
    async with database.pool.acquire() as connection:
        with pytest.raises(asyncpg.UniqueViolationError):
            await intake.insert(connection, new, _GIVE_UP_S)
    assert await stored(database) == (0, 0)
