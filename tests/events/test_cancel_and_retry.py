"""Cancel, send now, retry and resolve over HTTP."""

import uuid

import httpx
import pytest

from janus_mail.storage.database import Database
from tests.events.conftest import Schedule, SetState


async def states(database: Database) -> list[str]:
    return [row["state"] for row in await database.pool.fetch("SELECT state FROM messages ORDER BY recipient")]


async def test_canceling_stops_what_has_not_begun_and_counts_what_was_too_late(
    api: httpx.AsyncClient, database: Database, schedule: Schedule, set_state: SetState
) -> None:
    event = await schedule(recipients="a@example.com, b@example.com, c@example.com, d@example.com")
    await set_state(event["id"], "leased", recipient="b@example.com")
    await set_state(event["id"], "sending", recipient="c@example.com")
    await set_state(event["id"], "sent", recipient="d@example.com")
    answer = await api.delete(f"/api/events/{event['id']}")
    body = answer.json()
    assert answer.status_code == 200
    assert (body["canceled"], body["too_late"]) == (2, 2)
    assert body["message"] == "2 messages canceled; 2 too late."
    assert (body["event"]["status"], body["event"]["counts"]["canceled"]) == ("sending", 2)
    assert await states(database) == ["canceled", "canceled", "sending", "sent"]
    again = (await api.delete(f"/api/events/{event['id']}")).json()
    assert (again["canceled"], again["too_late"]) == (0, 2)


async def test_a_canceled_event_stays_readable_and_shows_as_canceled_in_the_next_list(
    api: httpx.AsyncClient, schedule: Schedule
) -> None:
    event = await schedule()
    await api.get("/api/events")
    await api.delete(f"/api/events/{event['id']}")
    assert (await api.get(f"/api/events/{event['id']}")).json()["status"] == "canceled"
    assert (await api.get("/api/events")).json()["data"][0]["status"] == "canceled"


async def test_send_now_makes_what_waits_due_and_moves_the_events_time(
    api: httpx.AsyncClient, database: Database, schedule: Schedule, set_state: SetState
) -> None:
    event = await schedule(recipients="a@example.com, b@example.com")
    await set_state(event["id"], "sent", recipient="a@example.com")
    answer = await api.post(f"/api/events/{event['id']}/send-now")
    assert (answer.status_code, answer.json()["messages"]) == (200, 1)
    assert answer.json()["message"].startswith("1 message due now.")
    assert answer.json()["event"]["expected_sent_at"] < event["expected_sent_at"]
    assert await database.pool.fetchval("SELECT due_at <= clock_timestamp() FROM messages WHERE state = 'scheduled'")
    await set_state(event["id"], "sent")
    answer = await api.post(f"/api/events/{event['id']}/send-now")
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_send")


async def test_retry_takes_up_what_failed_or_is_parked(
    api: httpx.AsyncClient, database: Database, schedule: Schedule, set_state: SetState
) -> None:
    event = await schedule(recipients="a@example.com, b@example.com, c@example.com")
    answer = await api.post(f"/api/events/{event['id']}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_retry")
    for recipient, state in [("a@example.com", "failed"), ("b@example.com", "parked"), ("c@example.com", "sent")]:
        await set_state(event["id"], state, recipient=recipient)
    answer = await api.post(f"/api/events/{event['id']}/retry")
    assert (answer.status_code, answer.json()["messages"]) == (200, 2)
    assert answer.json()["event"]["counts"]["scheduled"] == 2
    assert await states(database) == ["scheduled", "scheduled", "sent"]


@pytest.mark.parametrize(("outcome", "state"), [("sent", "sent"), ("resend", "scheduled"), ("failed", "failed")])
async def test_a_person_settles_a_parked_message(
    api: httpx.AsyncClient, schedule: Schedule, set_state: SetState, outcome: str, state: str
) -> None:
    event = await schedule()
    message = (await api.get(f"/api/events/{event['id']}/messages")).json()["data"][0]
    path = f"/api/messages/{message['id']}/resolve"
    answer = await api.post(path, json={"outcome": outcome})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_parked")
    await set_state(event["id"], "parked")
    answer = await api.post(path, json={"outcome": outcome})
    assert (answer.status_code, answer.json()["state"]) == (200, state)
    assert (answer.json()["sent_at"] is not None) == (outcome == "sent")
    assert (await api.get(f"/api/events/{event['id']}")).json()["counts"][state] == 1


async def test_an_outcome_that_there_is_not_is_refused(
    api: httpx.AsyncClient, database: Database, schedule: Schedule, set_state: SetState
) -> None:
    event = await schedule()
    await set_state(event["id"], "parked")
    message_id = await database.pool.fetchval("SELECT id FROM messages")
    for body in ({"outcome": "maybe"}, {}, {"outcome": "sent", "why": "x"}):
        assert (await api.post(f"/api/messages/{message_id}/resolve", json=body)).status_code == 400
    assert await states(database) == ["parked"]


async def test_what_is_not_there_or_anothers_is_404(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient, database: Database, schedule: Schedule
) -> None:
    event_id = (await schedule())["id"]
    message_id = await database.pool.fetchval("SELECT id FROM messages")
    nobodys = uuid.uuid4()
    for client, event, message in [(stranger, event_id, message_id), (api, nobodys, nobodys)]:
        for method, path in [
            ("GET", f"/api/events/{event}"),
            ("GET", f"/api/events/{event}/messages"),
            ("DELETE", f"/api/events/{event}"),
            ("POST", f"/api/events/{event}/retry"),
            ("POST", f"/api/events/{event}/send-now"),
            ("GET", f"/api/messages/{message}"),
        ]:
            answer = await client.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
        answer = await client.post(f"/api/messages/{message}/resolve", json={"outcome": "sent"})
        assert answer.status_code == 404
    assert await states(database) == ["scheduled"]
