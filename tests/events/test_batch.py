"""Many events in one request."""

import httpx
import pytest

from janus_mail.events import batch
from janus_mail.storage.database import Database
from tests.events.conftest import EVENT, stored

BAD_TIME = EVENT | {"expected_sent_at": "2024-13-45"}


async def test_a_batch_is_answered_in_the_order_of_the_request(api: httpx.AsyncClient, database: Database) -> None:
    events = [
        EVENT
        | {"email_subject": f"Number {n}", "tags": [f"t{n}"], "recipients": ["a@example.com", f"r{n}@example.com"]}
        for n in range(120)
    ]
    answer = await api.post("/api/events/batch", json={"events": events})
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (120, 0)
    rows = await database.pool.fetch(
        """SELECT e.id::text AS id, e.subject, e.tags, array_agg(m.recipient ORDER BY m.id) AS recipients
           FROM events e JOIN messages m ON m.event_id = e.id GROUP BY e.id"""
    )
    found = {row["id"]: row for row in rows}
    for number, item in enumerate(body["data"]):
        row = found[item["id"]]
        assert (row["subject"], row["tags"]) == (f"Number {number}", [f"t{number}"])
        assert row["recipients"] == ["a@example.com", f"r{number}@example.com"]
        assert item["status"] == "pending"


async def test_one_that_is_wrong_stops_a_strict_batch_and_is_named(api: httpx.AsyncClient, database: Database) -> None:
    answer = await api.post("/api/events/batch", json={"events": [EVENT, BAD_TIME, {}, 5]})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_batch")
    assert answer.json()["error"] == (
        "3 of 4 events cannot be accepted, so none was. events[1]: Invalid datetime format. Use ISO 8601 format."
    )
    fields = [detail["field"] for detail in answer.json()["details"]]
    assert fields[:2] == ["events[1].expected_sent_at", "events[2].email_subject"]
    assert fields[-1] == "events[3]"
    assert await stored(database) == (0, 0)


async def test_a_permissive_batch_takes_the_good_ones(api: httpx.AsyncClient, database: Database) -> None:
    answer = await api.post("/api/events/batch?mode=permissive", json={"events": [{}, EVENT, BAD_TIME, 5]})
    assert answer.status_code == 201
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (1, 3)
    assert body["data"][0] == {"error": "Missing required fields.", "code": "missing_fields", "index": 0}
    assert body["data"][1]["status"] == "pending"
    assert body["data"][2]["code"] == "invalid_datetime"
    assert body["data"][3] == {"error": "An event is an object.", "code": "invalid_input", "index": 3}
    assert await stored(database) == (1, 1)


async def test_a_permissive_batch_without_a_good_one_stores_nothing(api: httpx.AsyncClient, database: Database) -> None:
    answer = await api.post("/api/events/batch?mode=permissive", json={"events": [{}]})
    assert (answer.status_code, answer.json()["accepted"]) == (201, 0)
    assert await stored(database) == (0, 0)


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ({}, ""),
        ({"events": []}, ""),
        ({"events": [EVENT] * 1001}, ""),
        ({"events": "x"}, ""),
        ({"events": [EVENT], "more": 1}, ""),
        ({"events": [EVENT]}, "?mode=lax"),
    ],
)
async def test_what_is_no_batch_is_refused(
    api: httpx.AsyncClient, database: Database, body: dict[str, object], query: str
) -> None:
    assert (await api.post(f"/api/events/batch{query}", json=body)).status_code == 400
    assert await stored(database) == (0, 0)


async def test_a_batch_that_makes_too_many_messages_is_refused(
    api: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "MAX_MESSAGES", 3)
    answer = await api.post(
        "/api/events/batch", json={"events": [EVENT | {"recipients": "a@example.com, b@example.com"}] * 2}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "too_many_messages")
    assert await stored(database) == (0, 0)


async def test_a_batch_shows_in_the_next_list(api: httpx.AsyncClient) -> None:
    assert (await api.get("/api/events")).json()["data"] == []
    made = (await api.post("/api/events/batch", json={"events": [EVENT] * 3})).json()["data"]
    listed = (await api.get("/api/events")).json()["data"]
    assert [event["id"] for event in listed] == [item["id"] for item in reversed(made)]
