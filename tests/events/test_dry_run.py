"""A dry run: how an event would be understood, whom its mail would be tried with, and why each other is left out."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from uuid_utils.compat import uuid7

from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox
from tests.conftest import TEST_KEY
from tests.events.conftest import EVENT, AddProvider, stored

CONFIG = SecretBox([TEST_KEY]).seal({"host": "smtp.example.com", "security": "none"})


async def dry_run(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/api/events/dry-run", json=EVENT | {"expected_sent_at": "in 2 days"} | fields)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def route(api: httpx.AsyncClient, **fields: Any) -> tuple[list[str], dict[str, str]]:
    """The names in order, and the reason against each other one."""
    said = (await dry_run(api, **fields))["route"]
    tried = [step["provider"]["name"] for step in said["providers"]]
    return tried, {out["provider"]["name"]: out["reason"] for out in said["left_out"]}


@pytest.fixture
async def add(add_provider: AddProvider) -> AddProvider:
    """Providers that could send, one behind the other."""
    places = iter(range(1, 100))

    async def run(name: str, kind: str = "smtp", **columns: Any) -> uuid.UUID:
        return await add_provider(name, kind, **{"position": next(places), "config": CONFIG, **columns})

    return run


@pytest.fixture
async def circuit(database: Database, workspace_id: uuid.UUID) -> Any:
    async def run(provider_id: uuid.UUID, state: str, rest_s: float | None, sender_domain: str = "") -> None:
        until = None if rest_s is None else datetime.now(UTC) + timedelta(seconds=rest_s)
        await database.pool.execute(
            """INSERT INTO circuits
                   (provider_id, sender_domain, workspace_id, state, number, trips, reason, since, until)
               VALUES ($1, $2, $3, $4, 1, 1, '5 failures in a row', clock_timestamp(), $5)""",
            provider_id, sender_domain, workspace_id, state, until,
        )  # fmt: skip

    return run


async def test_a_dry_run_tells_how_an_event_is_understood_and_stores_nothing(
    api: httpx.AsyncClient, database: Database, add: AddProvider
) -> None:
    await add("A")
    answer = await api.post(
        "/api/events/dry-run",
        json=EVENT | {"recipients": "Ann <ann@EXAMPLE.com>, ann@example.com, b@example.com"},
        headers={"Idempotency-Key": "once"},
    )
    body = answer.json()
    assert (answer.status_code, body["status"], body["messages"]) == (200, "success", 2)
    event = body["event"]
    assert (event["expected_sent_at"], event["on_uncertain"], event["priority"]) == (
        "2024-07-15T10:00:00Z", "resend", "normal",
    )  # fmt: skip
    assert event["recipients"][0] == {"email": "ann@example.com", "name": "Ann"}
    assert len(event["warnings"]) == 2
    assert body["due_at"] > "2026"
    assert not {"id", "status", "version"} & event.keys()
    assert await stored(database) == (0, 0)
    assert await database.pool.fetchval("SELECT count(*) FROM idempotency_keys") == 0
    assert (await api.get("/api/events")).json()["data"] == []


async def test_a_dry_run_refuses_what_accepting_would_refuse(api: httpx.AsyncClient) -> None:
    for wrong in ({"recipients": "nobody"}, {"expected_sent_at": "whenever"}, {"colour": "red"}, {"provider": "none"}):
        tried = await api.post("/api/events/dry-run", json=EVENT | wrong)
        posted = await api.post("/api/events", json=EVENT | wrong)
        assert tried.status_code == posted.status_code == 400
        assert tried.json()["code"] == posted.json()["code"]


async def test_providers_come_in_the_order_of_the_route_and_the_preferred_one_first(
    api: httpx.AsyncClient, add: AddProvider
) -> None:
    for name in ("A", "B", "C"):
        await add(name)
    assert await route(api) == (["A", "B", "C"], {})
    assert await route(api, provider="B") == (["B", "A", "C"], {})
    assert await route(api, provider="B", failover=False) == (
        ["B"], {"A": "failover is off", "C": "failover is off"},
    )  # fmt: skip
    assert await route(api, failover=False) == (["A"], {"B": "failover is off", "C": "failover is off"})


async def test_what_is_set_up_against_a_mail_is_said(api: httpx.AsyncClient, add: AddProvider) -> None:
    await add("Off", enabled=False)
    await add("Theirs", sender_domains=["example.org"])
    await add("Sandbox", "ses", sandbox=True)
    await add("Broken", config=b"unreadable")
    await add("Gone", deleted_at=datetime.now(UTC))
    await add("Good", rate_per_second=5.0)
    body = (await dry_run(api))["route"]
    reasons = {out["provider"]["name"]: (out["reason"], out["until"]) for out in body["left_out"]}
    assert reasons.pop("Broken")[0].startswith("its settings cannot be read")
    assert reasons == {
        "Off": ("switched off", None),
        "Theirs": ("not for this sender", None),
        "Sandbox": ("a sandbox, and this mail is meant to leave", None),
    }
    (good,) = body["providers"]
    assert (good["provider"]["name"], good["sandbox"], good["note"]) == ("Good", False, "At most 5 mails a second.")
    assert body["notes"] == []
    assert (await route(api, from_email="ann@example.org"))[0] == ["Theirs", "Good"]
    tried, against = await route(api, provider="Sandbox")
    assert tried == ["Sandbox"]
    assert against["Good"] == "this mail is for the sandbox"


async def test_a_circuit_that_is_open_is_said_with_its_end(
    api: httpx.AsyncClient, add: AddProvider, circuit: Any
) -> None:
    rests, by_hand, probed, rested, closed = [await add(n) for n in ("Rests", "By hand", "Probed", "Rested", "Closed")]
    await circuit(rests, "open", 60)
    await circuit(by_hand, "open", None)
    await circuit(probed, "half_open", 60)
    await circuit(rested, "open", -1)
    await circuit(closed, "closed", None)
    said = (await dry_run(api))["route"]
    against = {out["provider"]["name"]: (out["reason"], out["until"] is not None) for out in said["left_out"]}
    assert against == {
        "Rests": ("its circuit is open: 5 failures in a row", True),
        "By hand": ("its circuit is open: 5 failures in a row", False),
        "Probed": ("one mail is trying whether it works again", True),
    }
    first, second = said["providers"]
    assert (first["provider"]["name"], second["provider"]["name"], second["note"]) == ("Rested", "Closed", None)
    assert first["note"].startswith("It was resting")


async def test_a_circuit_for_one_sender_domain_leaves_out_that_sender_alone(
    api: httpx.AsyncClient, add: AddProvider, circuit: Any
) -> None:
    await circuit(await add("A"), "open", 60, "example.org")
    await add("B")
    assert await route(api, from_email="Ann@EXAMPLE.org") == (
        ["B"], {"A": "its circuit is open for senders at example.org: 5 failures in a row"},
    )  # fmt: skip
    assert await route(api) == (["A", "B"], {})


async def test_a_daily_quota_that_is_used_up_is_said_until_midnight_in_utc(
    api: httpx.AsyncClient, database: Database, workspace_id: uuid.UUID, add: AddProvider
) -> None:
    today = datetime.now(UTC).date()
    used_up, half_used, of_yesterday = [await add(name, daily_quota=10) for name in ("Up", "Half", "Yesterday")]
    for provider_id, used, days in [(used_up, 10, 0), (half_used, 5, 0), (of_yesterday, 10, 1)]:
        await database.pool.execute(
            "INSERT INTO provider_usage (provider_id, day, workspace_id, used) VALUES ($1, $2, $3, $4)",
            provider_id, today - timedelta(days=days), workspace_id, used,
        )  # fmt: skip
    said = (await dry_run(api))["route"]
    assert [step["provider"]["name"] for step in said["providers"]] == ["Half", "Yesterday"]
    (out,) = said["left_out"]
    assert out["reason"] == "its daily quota is used up"
    assert out["until"].endswith("T00:00:00Z")
    assert datetime.fromisoformat(out["until"]) > datetime.now(UTC)


async def test_where_nothing_can_take_the_mail_or_the_workspace_is_paused_that_is_said(
    api: httpx.AsyncClient, add: AddProvider, circuit: Any
) -> None:
    waits = "No provider can take the mail now: it waits until one can."
    assert (await dry_run(api))["route"] == {"providers": [], "left_out": [], "notes": [waits]}
    provider_id = await add("A")
    await circuit(provider_id, "open", None)
    await add("B")
    # The others are no way out where failover is off.
    said = (await dry_run(api, provider="A", failover=False))["route"]
    assert (said["providers"], said["notes"]) == ([], [waits])
    await api.post("/api/workspace/pause")
    assert (await dry_run(api))["route"]["notes"] == ["The workspace is paused: nothing leaves until it is resumed."]


async def test_a_route_of_another_workspace_is_not_shown(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient, add: AddProvider
) -> None:
    await add(f"A {uuid7()}")
    assert (await dry_run(stranger))["route"]["providers"] == []


@pytest.mark.parametrize("action", ["send-now", "retry"])
async def test_mail_that_is_asked_for_now_and_cannot_leave_says_what_is_against_it(
    api: httpx.AsyncClient, database: Database, add: AddProvider, circuit: Any, action: str
) -> None:
    async def ask(**fields: Any) -> tuple[str, list[str]]:
        event = (await api.post("/api/events", json=EVENT | {"expected_sent_at": "in 2 days"} | fields)).json()["event"]
        if action == "retry":
            await database.pool.execute("UPDATE messages SET state = 'failed' WHERE state = 'scheduled'")
        answer = (await api.post(f"/api/events/{event['id']}/{action}")).json()
        return answer["message"], answer["warnings"]

    resting, full = await add("A"), await add("B", daily_quota=1)
    await circuit(resting, "open", None)
    assert (await ask())[1] == []
    await database.pool.execute(
        """INSERT INTO provider_usage (provider_id, day, workspace_id, used)
           SELECT id, (clock_timestamp() AT TIME ZONE 'UTC')::date, workspace_id, 1 FROM providers WHERE id = $1""",
        full,
    )
    midnight = f"{datetime.now(UTC).date() + timedelta(days=1)} 00:00 UTC"
    waits = "No provider can take the mail now: it waits until one can."
    message, warnings = await ask()
    assert warnings == [
        waits, "A: its circuit is open: 5 failures in a row.", f"B: its daily quota is used up, until {midnight}.",
    ]  # fmt: skip
    if action == "send-now":
        assert message == f"1 message due now. {waits}"
    assert "B: failover is off." in (await ask(provider="A", failover=False))[1]
    await add("C")
    assert (await ask())[1] == []
    await api.post("/api/workspace/pause")
    assert (await ask())[1] == ["The workspace is paused: nothing leaves until it is resumed."]
