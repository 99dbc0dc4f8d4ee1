"""Changing an event over HTTP: only the version that was read, only before anything leaves."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from janus_mail.storage.database import Database
from tests.events.conftest import YEAR, Schedule, SetState


async def patch(api: httpx.AsyncClient, event: dict[str, Any], **fields: Any) -> httpx.Response:
    return await api.patch(f"/api/events/{event['id']}", json={"version": event["version"]} | fields)


async def test_content_time_and_priority_change_and_workers_lose_what_they_hold(
    api: httpx.AsyncClient, database: Database, schedule: Schedule, set_state: SetState
) -> None:
    event = await schedule(recipients="a@example.com, b@example.com")
    await set_state(event["id"], "leased", recipient="a@example.com")
    answer = await patch(
        api,
        event,
        email_subject="New",
        email_content=None,
        email_html="<p>New</p>",
        expected_sent_at=f"{YEAR}-01-01T10:00:00+01:00",
        priority="bulk",
        expires_at=f"{YEAR}-01-02T00:00:00Z",
        reply_to="r@example.com",
        from_email="Me <m@example.com>",
        headers={"X-A": "1"},
        tags=["t"],
        metadata={"k": "v"},
    )
    assert answer.status_code == 200, answer.text
    changed = answer.json()["event"]
    assert changed["version"] == 2
    assert answer.headers["ETag"] == '"2"'
    assert (changed["email_subject"], changed["email_content"], changed["email_html"]) == ("New", None, "<p>New</p>")
    assert (changed["expected_sent_at"], changed["priority"]) == (f"{YEAR}-01-01T09:00:00Z", "bulk")
    assert (changed["from_email"], changed["from_name"]) == ("m@example.com", "Me")
    assert (changed["headers"], changed["tags"], changed["metadata"]) == ({"X-A": "1"}, ["t"], {"k": "v"})
    assert (await api.get(f"/api/events/{event['id']}")).json() == changed
    for row in await database.pool.fetch("SELECT * FROM messages"):
        assert (row["state"], row["fence"], row["priority"]) == ("scheduled", 1, 2)
        assert row["due_at"] == row["next_try_at"] == datetime(YEAR, 1, 1, 9, tzinfo=UTC)
        assert row["expires_at"] == datetime(YEAR, 1, 2, tzinfo=UTC)


async def test_what_is_left_out_stays_and_null_empties(api: httpx.AsyncClient, schedule: Schedule) -> None:
    event = await schedule(from_name="Ann", expires_at=f"{YEAR + 1}-01-01", email_html="<p>x</p>", tags=["t"])
    changed = (await patch(api, event, from_name=None, expires_at=None)).json()["event"]
    assert (changed["from_name"], changed["expires_at"]) == (None, None)
    same = ("email_subject", "email_content", "email_html", "tags", "expected_sent_at", "recipients", "priority")
    assert [changed[name] for name in same] == [event[name] for name in same]
    kept = (await patch(api, changed, email_subject=None, tags=None, priority="high")).json()["event"]
    assert (kept["email_subject"], kept["tags"]) == ("Hello World", ["t"])


async def test_if_match_and_version_name_the_version(api: httpx.AsyncClient, schedule: Schedule) -> None:
    event = await schedule()
    path = f"/api/events/{event['id']}"

    async def status(body: dict[str, Any], **headers: str) -> tuple[int, str | None]:
        answer = await api.patch(path, json={"email_subject": "New"} | body, headers=headers)
        return answer.status_code, answer.json().get("code")

    assert await status({}) == (400, "version_required")
    assert await status({}, **{"If-Match": "*"}) == (400, "invalid_version")
    assert await status({"version": 2}, **{"If-Match": '"1"'}) == (400, "invalid_version")
    assert await status({"version": 2}) == (409, "version_conflict")
    etag = (await api.get(path)).headers["ETag"]
    assert await status({}, **{"If-Match": etag}) == (200, None)
    assert await status({}, **{"If-Match": etag}) == (409, "version_conflict")
    assert await status({"version": 2}, **{"If-Match": "2"}) == (200, None)


async def test_of_two_changes_at_once_one_is_made(api: httpx.AsyncClient, schedule: Schedule) -> None:
    event = await schedule()
    answers = await asyncio.gather(*(patch(api, event, email_subject=f"S{n}") for n in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    made = next(answer.json()["event"] for answer in answers if answer.status_code == 200)
    assert (await api.get(f"/api/events/{event['id']}")).json()["email_subject"] == made["email_subject"]


@pytest.mark.parametrize("state", ["sending", "uncertain", "sent"])
async def test_it_is_too_late_once_a_message_is_leaving(
    api: httpx.AsyncClient, schedule: Schedule, set_state: SetState, state: str
) -> None:
    event = await schedule(recipients="a@example.com, b@example.com")
    await set_state(event["id"], state, recipient="b@example.com")
    answer = await patch(api, event, email_subject="New")
    assert (answer.status_code, answer.json()["code"]) == (409, "too_late")
    shown = (await api.get(f"/api/events/{event['id']}")).json()
    assert (shown["email_subject"], shown["version"]) == ("Hello World", 1)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "nothing_to_change"),
        ({"email_content": None}, "missing_fields"),
        ({"email_subject": ""}, "missing_fields"),
        ({"email_subject": "a\nb"}, "invalid_input"),
        ({"expected_sent_at": "2024-13-45"}, "invalid_datetime"),
        ({"expected_sent_at": "in 6 years"}, "too_far_ahead"),
        ({"expected_sent_at": f"{YEAR + 1}-07-01"}, "expires_too_early"),
        ({"expires_at": "2024-01-01"}, "expires_too_early"),
        ({"timezone": "Mars/Olympus"}, "unknown_timezone"),
        ({"from_email": "no"}, "invalid_sender"),
        ({"reply_to": "no"}, "invalid_recipients"),
        ({"email_content": "Hi {{plan}} {{what}}"}, "invalid_variables"),
        ({"recipients": "new@example.com"}, "invalid_input"),
    ],
)
async def test_a_change_that_is_not_valid_changes_nothing(
    api: httpx.AsyncClient, database: Database, schedule: Schedule, fields: dict[str, Any], code: str
) -> None:
    event = await schedule(
        recipients=[{"email": "a@example.com", "variables": {"plan": "Pro"}}], expires_at=f"{YEAR + 1}-06-01T00:00:00Z"
    )
    answer = await patch(api, event, **fields)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert (await api.get(f"/api/events/{event['id']}")).json() == event
    assert await database.pool.fetchval("SELECT max(fence) FROM messages") == 0


async def test_a_new_text_may_use_the_variables_that_its_recipients_have(
    api: httpx.AsyncClient, schedule: Schedule
) -> None:
    event = await schedule(recipients=[{"email": "a@example.com", "name": "Ann", "variables": {"plan": "Pro"}}])
    assert (await patch(api, event, email_content="Hi {{name}}: {{plan}}")).status_code == 200


async def test_a_time_that_has_passed_makes_it_due_now_with_a_warning(
    api: httpx.AsyncClient, database: Database, schedule: Schedule
) -> None:
    event = await schedule()
    changed = (await patch(api, event, expected_sent_at="2024-01-01T00:00:00Z")).json()["event"]
    assert changed["warnings"] == ["2024-01-01T00:00:00Z is past: the mail leaves at once."]
    age_s = await database.pool.fetchval("SELECT extract(epoch FROM clock_timestamp() - due_at)::float8 FROM messages")
    assert 0 <= age_s < 30


async def test_a_change_shows_in_the_next_list(api: httpx.AsyncClient, schedule: Schedule) -> None:
    event = await schedule()
    assert (await api.get("/api/events")).json()["data"][0]["email_subject"] == "Hello World"
    await patch(api, event, email_subject="New")
    assert (await api.get("/api/events")).json()["data"][0]["email_subject"] == "New"


async def test_another_workspace_cannot_change_it(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient, schedule: Schedule
) -> None:
    event = await schedule()
    answer = await patch(stranger, event, email_subject="Stolen")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await api.get(f"/api/events/{event['id']}")).json() == event
