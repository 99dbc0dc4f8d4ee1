"""Canceling by filter: counted first, the same number then, in batches, and never without a filter."""

import uuid
from dataclasses import fields
from typing import Any

import httpx
import pytest

from janus_mail.events import cancel_many
from janus_mail.events.listing import EventFilters
from janus_mail.events.requests import EventsCancel
from janus_mail.storage.database import Database
from tests.events.conftest import YEAR, AddProvider, Schedule, SetState

Counts = tuple[int, int, int]


async def cancel(api: httpx.AsyncClient, **which: Any) -> Counts:
    """Events, messages, and those that were too late."""
    answer = await api.post("/api/events/cancel", json=which)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["dry_run"] is which.get("dry_run", True)
    return body["events"], body["messages"], body["too_late"]


async def canceled(api: httpx.AsyncClient) -> list[str]:
    """The subjects of what is canceled."""
    events = (await api.get("/api/events", params={"status": "canceled", "limit": 100})).json()["data"]
    return sorted(event["email_subject"] for event in events)


@pytest.mark.parametrize(
    "which",
    [
        {"tag": "x"},
        {"recipient": "Ann@example.com"},
        {"from_email": "sales@example.com"},
        {"provider": "Amazon SES"},
        {"q": "spring"},
        {"expected_before": f"{YEAR}-06-01T00:00:00Z"},
        {"expected_before": f"{YEAR}-06-01T00:00:00Z", "expected_after": f"{YEAR}-01-01", "tag": "x"},
        {"created_after": "2020-01-01T00:00:00Z", "q": "spring"},
        {"status": "pending", "tag": "x"},
    ],
)
async def test_each_filter_counts_what_it_then_cancels(
    api: httpx.AsyncClient, schedule: Schedule, add_provider: AddProvider, which: dict[str, Any]
) -> None:
    await add_provider("Amazon SES", "ses")
    await schedule(
        email_subject="Spring sale", recipients="Ann@example.com, b@example.com", tags=["x"], provider="Amazon SES",
        from_email="sales@example.com", expected_sent_at=f"{YEAR}-02-01T00:00:00Z",
    )  # fmt: skip
    await schedule(email_subject="Other", expected_sent_at=f"{YEAR}-08-01T00:00:00Z")
    assert await cancel(api, **which) == (1, 2, 0)
    assert await canceled(api) == []
    assert await cancel(api, **which, dry_run=False) == (1, 2, 0)
    assert await canceled(api) == ["Spring sale"]
    assert await cancel(api, **which, dry_run=False) == (0, 0, 0)


async def test_a_count_says_how_to_do_it(api: httpx.AsyncClient, schedule: Schedule) -> None:
    await schedule(tags=["x"])
    counted = await api.post("/api/events/cancel", json={"tag": "x"})
    assert counted.json()["message"] == "1 message of 1 event would be canceled. Send dry_run: false to do it."
    nothing = await api.post("/api/events/cancel", json={"tag": "y"})
    assert nothing.json()["message"] == "0 messages of 0 events would be canceled."


@pytest.mark.parametrize(
    "which", [{"tag": "z"}, {"created_before": "2020-01-01T00:00:00Z"}, {"status": "sent"}, {"status": "canceled"}]
)
async def test_what_does_not_fit_is_left(api: httpx.AsyncClient, schedule: Schedule, which: dict[str, Any]) -> None:
    await schedule(tags=["x"])
    assert await cancel(api, **which, dry_run=False) == (0, 0, 0)
    assert await canceled(api) == []


async def test_without_a_filter_nothing_is_canceled(api: httpx.AsyncClient, schedule: Schedule) -> None:
    await schedule()
    for body in ({}, {"dry_run": False}, {"tag": None, "dry_run": False}):
        answer = await api.post("/api/events/cancel", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "filter_required")
    for wrong in ({"tga": "x"}, {"tag": ""}, {"status": "lost"}, {"recipient": "?"}, {"created_after": "whenever"}):
        answer = await api.post("/api/events/cancel", json=wrong | {"dry_run": False})
        assert answer.status_code == 400, wrong
    assert await canceled(api) == []


async def test_what_has_begun_is_counted_as_too_late_and_left_alone(
    api: httpx.AsyncClient, database: Database, schedule: Schedule, set_state: SetState
) -> None:
    event = await schedule(recipients="a@example.com, b@example.com, c@example.com, d@example.com", tags=["x"])
    for recipient, state in [("b", "sending"), ("c", "sent"), ("d", "uncertain")]:
        await set_state(event["id"], state, recipient=f"{recipient}@example.com")
    assert await cancel(api, tag="x") == (1, 1, 3)
    answer = await api.post("/api/events/cancel", json={"tag": "x", "dry_run": False})
    assert answer.json()["message"] == "1 message of 1 event canceled; 3 too late."
    rows = await database.pool.fetch("SELECT state FROM messages ORDER BY recipient")
    assert [row["state"] for row in rows] == ["canceled", "sending", "sent", "uncertain"]


async def test_many_are_canceled_in_batches_each_event_once(
    api: httpx.AsyncClient, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancel_many, "_MOST_EVENTS", 3)
    monkeypatch.setattr(cancel_many, "_MOST_MESSAGES", 4)
    for number in range(8):
        await schedule(email_subject=f"S{number}", tags=["x"], recipients=", ".join(
            f"r{n}@example.com" for n in range(1 + 5 * (number % 3 == 0))
        ))  # fmt: skip
    assert await cancel(api, tag="x") == (8, 23, 0)
    assert await cancel(api, tag="x", dry_run=False) == (8, 23, 0)
    assert await canceled(api) == [f"S{number}" for number in range(8)]


async def test_a_batch_that_fails_leaves_those_before_it_canceled_and_the_rest_for_the_next_request(
    api: httpx.AsyncClient, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancel_many, "_MOST_EVENTS", 1)
    for number in range(3):
        await schedule(email_subject=f"S{number}", tags=["x"])
    whole, seen = cancel_many._one_batch, []

    async def break_at_the_second(*args: Any, **options: Any) -> Any:
        seen.append(args)
        if len(seen) == 2:
            raise OSError("the line is cut")
        return await whole(*args, **options)

    with monkeypatch.context() as broken:
        broken.setattr(cancel_many, "_one_batch", break_at_the_second)
        answer = await api.post("/api/events/cancel", json={"tag": "x", "dry_run": False})
        assert answer.status_code == 503
    assert await canceled(api) == ["S0"]
    assert await cancel(api, tag="x", dry_run=False) == (2, 2, 0)
    assert await canceled(api) == ["S0", "S1", "S2"]


async def test_another_workspaces_events_are_not_canceled(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient, schedule: Schedule
) -> None:
    await schedule(tags=["x"])
    assert await cancel(stranger, tag="x", dry_run=False) == (0, 0, 0)
    assert await canceled(api) == []


async def test_an_event_taken_up_again_can_be_canceled_at_once(
    api: httpx.AsyncClient, database: Database, schedule: Schedule, set_state: SetState
) -> None:
    event = await schedule(tags=["x"])
    await set_state(event["id"], "failed")
    await database.pool.execute("UPDATE events SET status = 'failed' WHERE id = $1", uuid.UUID(event["id"]))
    assert await cancel(api, tag="x") == (0, 0, 0)
    assert (await api.post(f"/api/events/{event['id']}/retry")).status_code == 200
    assert await cancel(api, tag="x", dry_run=False) == (1, 1, 0)


def test_every_filter_of_the_list_is_one_for_canceling() -> None:
    assert {field.name for field in fields(EventFilters)} == EventsCancel.model_fields.keys() - {"dry_run"}
