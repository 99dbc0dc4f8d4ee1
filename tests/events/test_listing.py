"""Lists: filters, pages, the cache, and what a message shows."""

import uuid
from typing import Any

import httpx
import pytest
from uuid_utils.compat import uuid7

from janus_mail.accounts.callers import Caller
from janus_mail.events import listing
from janus_mail.models.states import ActorKind
from janus_mail.storage.database import Database
from tests.events.conftest import EVENT, YEAR, AddProvider, Schedule, SetState


async def subjects(api: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await api.get("/api/events", params=query)
    assert answer.status_code == 200, answer.text
    return [event["email_subject"] for event in answer.json()["data"]]


async def test_events_come_newest_first_in_pages_that_stay_right_while_some_are_added(
    api: httpx.AsyncClient, schedule: Schedule
) -> None:
    for number in range(5):
        await schedule(email_subject=f"S{number}")
    first = (await api.get("/api/events", params={"limit": 2})).json()
    assert [event["email_subject"] for event in first["data"]] == ["S4", "S3"]
    assert first["has_more"]
    await schedule(email_subject="S5")
    assert await subjects(api, limit=2, cursor=first["next_cursor"]) == ["S2", "S1"]
    everything = (await api.get("/api/events")).json()
    assert (len(everything["data"]), everything["has_more"], everything["next_cursor"]) == (6, False, None)


async def test_each_filter_leaves_what_it_names(
    api: httpx.AsyncClient, database: Database, schedule: Schedule, add_provider: AddProvider, set_state: SetState
) -> None:
    ses = await add_provider("Amazon SES", "ses")
    a = await schedule(
        email_subject="Spring invoice", recipients="Ann@example.com, b@example.com", from_email="Sales@example.com",
        tags=["x", "y"], provider="ses", expected_sent_at=f"{YEAR}-01-01T00:00:00Z",
    )  # fmt: skip
    b = await schedule(
        email_subject="Autumn", send_as="group", recipients="g@example.com, h@example.com", bcc="i@example.com",
        expected_sent_at=f"{YEAR + 1}-01-01T00:00:00Z",
    )  # fmt: skip
    await api.delete(f"/api/events/{b['id']}")
    await database.pool.execute("UPDATE messages SET provider_id = $1 WHERE event_id = $2", ses, uuid.UUID(b["id"]))
    for query, expected in [
        ({"status": "canceled"}, ["Autumn"]),
        ({"status": "pending"}, ["Spring invoice"]),
        ({"recipient": "b@EXAMPLE.com"}, ["Spring invoice"]),
        ({"recipient": "Ann <Ann@example.com>"}, ["Spring invoice"]),
        ({"recipient": "h@example.com"}, ["Autumn"]),
        ({"recipient": "i@example.com"}, ["Autumn"]),
        ({"recipient": "z@example.com"}, []),
        ({"from_email": "Sales@example.com"}, ["Spring invoice"]),
        ({"tag": "y"}, ["Spring invoice"]),
        ({"tag": "z"}, []),
        ({"provider": "SES"}, ["Autumn", "Spring invoice"]),
        ({"provider": "amazon ses"}, ["Autumn"]),
        ({"provider": str(ses)}, ["Autumn"]),
        ({"provider": "sendgrid"}, []),
        ({"q": "INVOICE spring"}, ["Spring invoice"]),
        ({"q": "spring autumn"}, []),
        ({"q": "!&|<->:*"}, []),
        ({"expected_after": f"{YEAR}-06-01"}, ["Autumn"]),
        ({"expected_before": f"{YEAR}-06-01T00:00:00+02:00"}, ["Spring invoice"]),
        (
            {"expected_after": f"{YEAR}-01-01T00:00:00Z", "expected_before": f"{YEAR + 1}-01-01T00:00:00Z"},
            ["Spring invoice"],
        ),
        ({"created_after": b["created_at"]}, ["Autumn"]),
        ({"created_before": b["created_at"]}, ["Spring invoice"]),
        ({"created_before": a["created_at"]}, []),
        ({"status": "canceled", "tag": "y"}, []),
    ]:
        assert await subjects(api, **query) == expected, query


async def test_no_list_needs_a_thread(api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(call: object, *_: object, **__: object) -> None:
        raise AssertionError(f"{call} runs in a thread")

    monkeypatch.setattr("fastapi.dependencies.utils.run_in_threadpool", refuse)
    for path in ("/api/events", "/api/messages"):
        assert (await api.get(path, params={"limit": 1})).status_code == 200


async def test_a_filter_without_an_offset_is_in_the_workspaces_zone(
    api: httpx.AsyncClient, database: Database, schedule: Schedule
) -> None:
    await schedule(expected_sent_at=f"{YEAR}-01-01T12:00:00Z")
    assert await subjects(api, expected_after=f"{YEAR}-01-01T12:00:00") == ["Hello World"]
    await database.pool.execute("UPDATE workspaces SET timezone = 'America/New_York'")
    assert await subjects(api, expected_after=f"{YEAR}-01-01T12:00") == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"status": "done"}, "invalid_input"),
        ({"recipient": "nobody"}, "invalid_filter"),
        ({"created_after": "tomorrow at 9am"}, "invalid_filter"),
        ({"created_after": "2024-13-45"}, "invalid_filter"),
        ({"q": ""}, "invalid_input"),
        ({"q": "x" * 201}, "invalid_input"),
        ({"limit": "0"}, "invalid_input"),
        ({"limit": "101"}, "invalid_input"),
        ({"cursor": "x"}, "invalid_cursor"),
        ({"statuss": "sent"}, "unknown_parameter"),
    ],
)
async def test_a_filter_that_cannot_be_read_is_refused_and_does_not_show_everything(
    api: httpx.AsyncClient, query: dict[str, str], code: str
) -> None:
    answer = await api.get("/api/events", params=query)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_a_list_comes_from_the_cache_until_something_is_written(
    api: httpx.AsyncClient, schedule: Schedule, database: Database
) -> None:
    async def use(**query: str) -> str:
        return (await api.get("/api/events", params=query)).headers["X-Cache"]

    event = await schedule()
    assert [await use(), await use(), await use(status="pending"), await use(status="pending")] == [
        "miss", "hit", "miss", "hit",
    ]  # fmt: skip
    await schedule()
    assert await use() == "miss"
    await api.patch(f"/api/events/{event['id']}", json={"version": 1, "email_subject": "New"})
    assert [await use(), await use()] == ["miss", "hit"]
    await api.delete(f"/api/events/{event['id']}")
    assert await use() == "miss"


async def test_no_workspace_sees_anothers_events_or_messages(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient, schedule: Schedule
) -> None:
    event = await schedule(tags=["t"])
    assert await subjects(api) == ["Hello World"]
    for query in ({}, {"tag": "t"}, {"recipient": "test@example.com"}, {"q": "hello"}):
        assert await subjects(stranger, **query) == []
    for query in ({}, {"event_id": event["id"]}, {"recipient": "test@example.com"}):
        assert (await stranger.get("/api/messages", params=query)).json()["data"] == []
        assert len((await api.get("/api/messages", params=query)).json()["data"]) == 1


async def test_a_page_of_large_contents_ends_early_and_the_next_one_goes_on(
    api: httpx.AsyncClient, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_CONTENT_OCTETS", 2_500)
    for number in range(5):
        await schedule(email_subject=f"S{number}", email_content="x" * 1_000)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await api.get("/api/events", params=cursor)).json()
        assert len(page["data"]) <= 3
        seen += [event["email_subject"] for event in page["data"]]
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == ["S4", "S3", "S2", "S1", "S0"]


async def test_messages_are_filtered_and_paged(
    api: httpx.AsyncClient, database: Database, schedule: Schedule, set_state: SetState, add_provider: AddProvider
) -> None:
    event = await schedule(recipients="a@example.com, b@example.com, c@example.com")
    await schedule(recipients="a@example.com")
    await set_state(event["id"], "failed", recipient="b@example.com")
    ses = await add_provider("Amazon SES", "ses")
    await database.pool.execute("UPDATE messages SET provider_id = $1 WHERE recipient = 'b@example.com'", ses)

    async def found(**query: str) -> list[str]:
        answer = await api.get("/api/messages", params=query)
        return [message["recipient"] for message in answer.json()["data"]]

    assert await found() == ["a@example.com", "c@example.com", "b@example.com", "a@example.com"]
    assert await found(state="failed") == ["b@example.com"]
    assert await found(recipient="a@example.com", event_id=event["id"]) == ["a@example.com"]
    assert await found(provider="ses") == ["b@example.com"]
    path = f"/api/events/{event['id']}/messages"
    page = (await api.get(path, params={"limit": 2})).json()
    assert [message["recipient"] for message in page["data"]] == ["c@example.com", "b@example.com"]
    rest = (await api.get(path, params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert ([message["recipient"] for message in rest["data"]], rest["has_more"]) == (["a@example.com"], False)


async def test_a_message_shows_its_attempts_and_its_provider(
    api: httpx.AsyncClient, database: Database, schedule: Schedule, add_provider: AddProvider, workspace_id: uuid.UUID
) -> None:
    await schedule()
    ses = await add_provider("Amazon SES", "ses")
    message_id = await database.pool.fetchval(
        "UPDATE messages SET state = 'sent', provider_id = $1, attempt_count = 2, sent_at = now() RETURNING id", ses
    )
    for number, outcome in ((1, "provider_down"), (2, None)):
        await database.pool.execute(
            """INSERT INTO attempts (id, workspace_id, message_id, number, round, fence, worker_id, provider_id,
                                     provider_kind, provider_name, started_at, outcome, finished_at, code, latency_ms)
               VALUES ($1, $2, $3, $4, 1, 1, $1, $5, 'ses', 'As it was called', now(), $6::text,
                       CASE WHEN $6 IS NOT NULL THEN now() END, '421', 12)""",
            uuid7(), workspace_id, message_id, number, ses, outcome,
        )  # fmt: skip
    message = (await api.get(f"/api/messages/{message_id}")).json()
    assert message["provider"] == {"id": str(ses), "kind": "ses", "name": "Amazon SES"}
    assert (message["state"], message["next_try_at"]) == ("sent", None)
    assert [(a["number"], a["outcome"], a["finished_at"] is None) for a in message["attempts"]] == [
        (1, "provider_down", False),
        (2, None, True),
    ]
    assert message["attempts"][0]["provider"] == {"id": str(ses), "kind": "ses", "name": "As it was called"}


async def test_a_batch_of_statuses_is_counted(
    app: Any, api: httpx.AsyncClient, schedule: Schedule, workspace_id: uuid.UUID
) -> None:

    first = await schedule()
    await api.post("/api/events/batch", json={"events": [EVENT] * 2})
    await api.delete(f"/api/events/{first['id']}")
    caller = Caller(workspace_id=workspace_id, workspace_name="default", kind=ActorKind.API_KEY, label="test")
    counted = await listing.count_by_status(app.state.context, caller)
    assert {status.value: many for status, many in counted.items() if many} == {"pending": 2, "canceled": 1}
