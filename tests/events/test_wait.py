"""`Prefer: wait=N`: the answer comes when all is final, or when the time is over."""

import asyncio
import time
from typing import Any

import httpx
import pytest

from janus_mail.events.wait import preferred_wait_s
from janus_mail.storage.database import Database
from tests.events.conftest import EVENT, stored


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        (["wait=10"], 10),
        (["WAIT = 10"], 10),
        (['wait="5"'], 5),
        (["respond-async, wait=7; foo=bar"], 7),
        (["return=minimal", "wait=3"], 3),
        (["wait=3, wait=9"], 3),
        (["wait=0"], 0),
        (["wait=31"], 30),
        (["wait=999999999"], 30),
        (["wait"], None),
        (["wait=ten"], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["await=10"], None),
    ],
)
def test_the_preference_is_read_as_rfc_7240_says(headers: list[str], seconds: int | None) -> None:
    assert preferred_wait_s(headers) == seconds


async def test_the_answer_comes_as_soon_as_every_message_is_final(api: httpx.AsyncClient, database: Database) -> None:
    body = EVENT | {"recipients": "a@example.com, b@example.com"}
    waiting = asyncio.create_task(api.post("/api/events", json=body, headers={"Prefer": "wait=20"}))
    while await stored(database) != (1, 2):
        await asyncio.sleep(0.01)
    await database.pool.execute(
        """UPDATE messages SET attempt_count = 1,
           state = CASE recipient WHEN 'a@example.com' THEN 'sent' ELSE 'failed' END,
           sent_at = CASE recipient WHEN 'a@example.com' THEN now() END,
           last_error = CASE recipient WHEN 'b@example.com' THEN '550 no' END"""
    )
    started = time.monotonic()
    answer = await waiting
    assert time.monotonic() - started < 5
    assert answer.headers["Preference-Applied"] == "wait=20"
    event: dict[str, Any] = answer.json()["event"]
    assert (event["status"], event["counts"]["sent"], event["counts"]["failed"]) == ("partly_sent", 1, 1)
    assert event["error_message"] == "550 no"
    assert event["exactly_sent_at"] is not None


async def test_the_answer_comes_when_the_time_is_over(api: httpx.AsyncClient, database: Database) -> None:
    started = time.monotonic()
    answer = await api.post("/api/events", json=EVENT, headers={"Prefer": "wait=1"})
    assert 1 <= time.monotonic() - started < 4
    assert (answer.status_code, answer.json()["event"]["status"]) == (201, "pending")


async def test_waiting_requests_hold_no_connection(api: httpx.AsyncClient, database: Database) -> None:
    """There are ten connections: more than ten can wait, and others are still answered."""
    waiting = [
        asyncio.create_task(api.post("/api/events", json=EVENT, headers={"Prefer": "wait=20"})) for _ in range(15)
    ]
    while await stored(database) != (15, 15):
        await asyncio.sleep(0.01)
    assert (await asyncio.wait_for(api.get("/api/events"), 5)).status_code == 200
    await database.pool.execute("UPDATE messages SET state = 'sent', sent_at = now()")
    assert {answer.json()["event"]["status"] for answer in await asyncio.gather(*waiting)} == {"sent"}


async def test_a_replayed_request_waits_too(api: httpx.AsyncClient, database: Database) -> None:
    headers = {"Idempotency-Key": "k"}
    await api.post("/api/events", json=EVENT, headers=headers)
    await database.pool.execute("UPDATE messages SET state = 'sent', sent_at = now()")
    again = await api.post("/api/events", json=EVENT, headers=headers | {"Prefer": "wait=20"})
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["event"]["status"] == "sent"
