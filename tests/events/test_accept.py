"""Accepting over HTTP: what is answered, what is stored, and in which order things happen."""

import json
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from janus_mail.delivery.bell import Bell
from janus_mail.storage.database import Database
from janus_mail.web.limiter import Limiter
from tests.events.conftest import EVENT, YEAR, AddProvider, Schedule, stored


async def test_the_predecessors_request_is_answered_in_its_words_and_leaves_at_once(
    anonymous_api: httpx.AsyncClient, database: Database
) -> None:
    answer = await anonymous_api.post("/api/events", json=EVENT)
    assert answer.status_code == 201
    body = answer.json()
    assert (body["status"], body["message"]) == ("success", "Email scheduled successfully")
    event = body["event"]
    assert answer.headers["Location"] == f"/api/events/{event['id']}"
    assert event["expected_sent_at"] == "2024-07-15T10:00:00Z"
    assert "2024-07-15T10:00:00Z is past: the mail leaves at once." in event["warnings"]
    assert event["recipients"] == [{"email": "test@example.com", "name": None}]
    assert event["counts"] | {"scheduled": 1} == event["counts"]
    assert sum(event["counts"].values()) == 1
    assert len(event["counts"]) == 10
    row = await database.pool.fetchrow("SELECT *, clock_timestamp() AS now FROM messages")
    assert row is not None
    assert (row["recipient"], row["state"], row["fence"]) == ("test@example.com", "scheduled", 0)
    assert row["now"] - timedelta(seconds=10) < row["due_at"] == row["next_try_at"] <= row["now"]
    assert row["give_up_at"] - row["due_at"] == timedelta(days=1)
    assert (await anonymous_api.get(answer.headers["Location"])).json() == event


async def test_every_field_is_answered_as_it_was_understood(
    api: httpx.AsyncClient, database: Database, add_provider: AddProvider
) -> None:
    await add_provider("Amazon SES", "ses")
    given: dict[str, Any] = {
        "email_subject": "Grüße, {{name}}",
        "email_content": "Plan: {{plan}}",
        "email_html": "<b>{{plan}}</b>",
        "expected_sent_at": f"{YEAR}-01-02T03:04:05",
        "timezone": "Asia/Kathmandu",
        "recipients": [{"email": "Ann@Example.COM", "name": "Ann", "variables": {"plan": "Pro"}}],
        "reply_to": "Help <help@example.com>, b@example.com",
        "from_email": "Sales <sales@example.com>",
        "provider": "ses",
        "failover": False,
        "priority": "high",
        "expires_at": f"{YEAR}-01-02T03:04:06",
        "on_uncertain": "park",
        "headers": {"X-Campaign": "spring"},
        "tags": ["a", "b", "a"],
        "metadata": {"order": "4711"},
    }
    answer = await api.post("/api/events", json=given)
    assert answer.status_code == 201, answer.text
    event = answer.json()["event"]
    changed = {
        "expected_sent_at": f"{YEAR}-01-01T21:19:05Z",
        "expires_at": f"{YEAR}-01-01T21:19:06Z",
        "recipients": [{"email": "Ann@example.com", "name": "Ann"}],
        "reply_to": [{"email": "help@example.com", "name": "Help"}, {"email": "b@example.com", "name": None}],
        "from_email": "sales@example.com",
        "from_name": "Sales",
        "tags": ["a", "b"],
    }
    assert {name: event[name] for name in given | changed} == given | changed
    assert event["warnings"] == []
    assert (event["version"], event["created_by"]) == (1, "API key test")
    row = await database.pool.fetchrow(
        "SELECT recipient, recipient_name, variables, priority, expires_at FROM messages"
    )
    assert row is not None
    assert tuple(row.values())[:4] == ("Ann@example.com", "Ann", {"plan": "Pro"}, 0)
    assert row["expires_at"] == datetime(YEAR, 1, 1, 21, 19, 6, tzinfo=UTC)


async def test_each_recipient_gets_a_message_and_doubles_get_one(api: httpx.AsyncClient, database: Database) -> None:
    addresses = [f"r{number}@example.com" for number in range(25)]
    answer = await api.post(
        "/api/events", json=EVENT | {"recipients": [*addresses, "r3@EXAMPLE.com", "R3 <r3@example.com>"]}
    )
    event = answer.json()["event"]
    assert (event["recipients_count"], len(event["recipients"])) == (25, 20)
    assert "2 recipients were given more than once: each address gets one mail." in event["warnings"]
    rows = await database.pool.fetch("SELECT recipient FROM messages ORDER BY id")
    assert [row["recipient"] for row in rows] == addresses


async def test_a_group_is_one_message_with_all_roles_and_nobody_in_two_of_them(
    api: httpx.AsyncClient, database: Database
) -> None:
    answer = await api.post(
        "/api/events",
        json=EVENT
        | {
            "send_as": "group",
            "recipients": "Ann <a@example.com>, b@example.com",
            "cc": ["b@example.com", "c@example.com"],
            "bcc": "d@example.com, a@example.com",
        },
    )
    event = answer.json()["event"]
    assert [mailbox["email"] for mailbox in event["recipients"]] == ["a@example.com", "b@example.com"]
    assert [mailbox["email"] for mailbox in event["cc"]] == ["c@example.com"]
    assert [mailbox["email"] for mailbox in event["bcc"]] == ["d@example.com"]
    assert event["recipients_count"] == 4
    assert event["counts"]["scheduled"] == 1
    assert await stored(database) == (1, 1)
    kept = await database.pool.fetchval("SELECT group_recipients FROM events")
    assert kept["to"][0] == {"email": "a@example.com", "name": "Ann"}
    assert await database.pool.fetchval("SELECT recipient FROM messages") == "a@example.com"


async def test_a_mail_to_several_has_no_name_of_its_own(api: httpx.AsyncClient) -> None:
    group = EVENT | {"send_as": "group", "recipients": "Ann <a@example.com>", "email_content": "Dear {{name}}"}
    assert (await api.post("/api/events", json=group)).status_code == 201
    answer = await api.post("/api/events", json=group | {"recipients": "Ann <a@example.com>, b@example.com"})
    assert answer.json()["code"] == "invalid_variables"
    first = {"email": "a@example.com", "variables": {"name": "all"}}
    answer = await api.post("/api/events", json=group | {"recipients": [first, "b@example.com"]})
    assert answer.status_code == 201, answer.text
    answer = await api.post("/api/events", json=group | {"recipients": ["b@example.com", first]})
    assert answer.json()["code"] == "invalid_variables"


async def test_a_time_without_an_offset_is_the_events_else_the_workspaces_else_the_servers(
    api: httpx.AsyncClient, database: Database
) -> None:
    async def sent_at(**fields: str) -> str:
        answer = await api.post("/api/events", json=EVENT | {"expected_sent_at": f"{YEAR}-07-15T10:00:00"} | fields)
        text: str = answer.json()["event"]["expected_sent_at"]
        return text

    assert await sent_at() == f"{YEAR}-07-15T10:00:00Z"
    await database.pool.execute("UPDATE workspaces SET timezone = 'America/New_York'")
    assert await sent_at() == f"{YEAR}-07-15T14:00:00Z"
    assert await sent_at(timezone="Europe/Berlin") == f"{YEAR}-07-15T08:00:00Z"


async def test_warnings_say_what_becomes_of_the_mail(
    api: httpx.AsyncClient, database: Database, schedule: Schedule, add_provider: AddProvider
) -> None:
    none = (await schedule(expected_sent_at=f"{_clocks_go_forward()}T02:30", timezone="Europe/Berlin"))["warnings"]
    assert [warning.split(":")[0] for warning in none] == [
        f"{_clocks_go_forward()} 02",
        "No provider is configured yet",
    ]
    await add_provider("Caught", sandbox=True)
    assert any("Sandbox" in warning for warning in (await schedule())["warnings"])
    await add_provider("Real", "ses")
    assert not any("Sandbox" in warning for warning in (await schedule())["warnings"])
    assert any("Sandbox" in warning for warning in (await schedule(provider="caught"))["warnings"])
    await database.pool.execute("UPDATE providers SET enabled = false")
    assert any("switched off" in warning for warning in (await schedule())["warnings"])
    assert (
        "Real is switched off: the mail waits until it is switched on."
        in (await schedule(provider="ses", failover=False))["warnings"]
    )


async def test_the_database_clock_decides_what_now_means(
    api: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await database.pool.fetchval("SELECT clock_timestamp()")
    event = (await api.post("/api/events", json=EVENT | {"expected_sent_at": "now"})).json()["event"]
    after = await database.pool.fetchval("SELECT clock_timestamp()")
    assert before <= datetime.fromisoformat(event["expected_sent_at"]) <= after
    assert not any("past" in warning for warning in event["warnings"])


async def test_the_bell_is_rung_after_the_commit_so_that_no_wake_up_finds_nothing(
    app: FastAPI, api: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(Exception):
        """The process ends here."""

    async def committed() -> int:
        async with database.transaction() as connection:  # another connection: it sees only what is committed
            count: int = await connection.fetchval("SELECT count(*) FROM messages")
            return count

    seen: list[Any] = []

    def ring(_self: Bell, due: Any) -> None:
        seen.extend(due)
        raise Silent

    monkeypatch.setattr(Bell, "ring", ring)
    answer = await api.post("/api/events", json=EVENT)
    assert answer.status_code == 500
    assert len(seen) == 1
    assert await committed() == 1


async def test_events_are_accepted_while_redis_is_away(
    app: FastAPI, api: httpx.AsyncClient, redis: Redis, database: Database
) -> None:
    dead = Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.5)
    context = app.state.context
    app.state.context = type(context)(
        settings=context.settings, database=context.database, redis=dead, secrets=context.secrets,
        list_cache=type(context.list_cache)(dead, 3600), bell=Bell(dead, horizon_s=900), limiter=Limiter(dead),
    )  # fmt: skip
    assert (await api.post("/api/events", json=EVENT)).status_code == 201
    answer = await api.get("/api/events")
    assert (answer.headers["X-Cache"], len(answer.json()["data"])) == ("bypass", 1)
    await app.state.context.bell.close()
    app.state.context = context
    assert await stored(database) == (1, 1)


async def test_a_provider_is_found_by_id_by_name_and_by_kind_but_not_in_another_workspace(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient, add_provider: AddProvider
) -> None:
    provider_id = await add_provider("Amazon SES", "ses")
    for name in (str(provider_id), "amazon ses", "ses"):
        answer = await api.post("/api/events", json=EVENT | {"provider": name})
        assert (answer.status_code, answer.json()["event"]["provider"]) == (201, name)
        assert (await stranger.post("/api/events", json=EVENT | {"provider": name})).status_code == 400


async def test_a_sender_of_the_provider_is_enough(
    api: httpx.AsyncClient, database: Database, add_provider: AddProvider
) -> None:
    await database.pool.execute("UPDATE workspaces SET from_email = NULL")
    await add_provider("Own", "ses", from_email="own@example.com")
    await add_provider("Other", "sendgrid")
    assert (await api.post("/api/events", json=EVENT)).status_code == 201
    answer = await api.post("/api/events", json=EVENT | {"provider": "Other", "failover": False})
    assert answer.json()["code"] == "sender_required"


async def test_the_openapi_document_describes_every_field_and_status(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    for name in ("EventCreate", "EventChange", "EventOut", "MessageOut", "AttemptOut", "BatchCreate"):
        for field, schema in schemas[name]["properties"].items():
            assert schema.keys() & {"title", "$ref"}, (name, field)
    operation = document["paths"]["/api/events"]["post"]
    assert {"201", "400", "401", "403", "409", "413", "415", "503"} <= operation["responses"].keys()
    assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/EventCreate")
    batch = schemas["BatchCreate"]["properties"]["events"]
    assert batch["items"]["$ref"].endswith("/EventCreate")
    assert json.dumps(document)


async def test_ids_are_uuids_that_sort_by_time(schedule: Schedule) -> None:
    ids = [uuid.UUID((await schedule())["id"]) for _ in range(3)]
    assert ids == sorted(ids)
    assert {each.version for each in ids} == {7}


def _clocks_go_forward() -> date:
    """The last Sunday of March, as the European Union has it."""
    last = date(YEAR, 3, 31)
    return last - timedelta(days=(last.weekday() + 1) % 7)


async def test_variables_do_not_make_a_mail_of_any_size(api: httpx.AsyncClient, database: Database) -> None:
    body = {
        "email_subject": "Hello", "email_content": "{{x}} " * 1000, "expected_sent_at": "now",
        "recipients": [{"email": "ann@example.org", "variables": {"x": "y" * 2000}}],
    }  # fmt: skip
    answer = await api.post("/api/events", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("ann@example.org: email_content would be longer than 1,048,576 characters")
    assert await database.pool.fetchval("SELECT count(*) FROM events") == 0


async def test_escaping_counts_toward_the_size_of_html(api: httpx.AsyncClient) -> None:
    body = {
        "email_subject": "Hello", "email_html": "{{x}}" * 300, "expected_sent_at": "now",
        "recipients": [{"email": "ann@example.org", "variables": {"x": "<" * 1000}}],
    }  # fmt: skip
    assert (await api.post("/api/events", json=body)).status_code == 400


async def test_the_provider_that_was_meant_stays_meant_when_it_is_renamed(
    api: httpx.AsyncClient, database: Database
) -> None:
    await database.pool.execute(
        """INSERT INTO providers (id, workspace_id, kind, name, position, sandbox, config)
           SELECT gen_random_uuid(), id, 'ses', 'Amazon SES', 1, true, '' FROM workspaces"""
    )
    body = {
        "email_subject": "Hello", "email_content": "Hi", "expected_sent_at": "2030-01-01T00:00:00Z",
        "recipients": "ann@example.org", "provider": "Amazon SES",
    }  # fmt: skip
    event = (await api.post("/api/events", json=body)).json()["event"]
    await database.pool.execute("UPDATE providers SET name = 'SES in Dublin'")
    assert event["provider"] == "Amazon SES"
    assert await database.pool.fetchval("SELECT p.name FROM events e JOIN providers p ON p.id = e.provider_id") == (
        "SES in Dublin"
    )
