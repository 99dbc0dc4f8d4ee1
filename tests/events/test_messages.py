"""What a message shows of its group's recipients, and the list of what needs a person."""

import uuid
from typing import Any

import httpx
import pytest
from uuid_utils.compat import uuid7

from janus_mail.events import queries
from janus_mail.storage.database import Database
from tests.events.conftest import Schedule, SetState

Answer = Any


@pytest.fixture
def answered(database: Database, workspace_id: uuid.UUID) -> Answer:
    """Notes what a server said of one recipient, as a finish would."""

    async def run(address: str, state: str, code: str, response: str) -> None:
        await database.pool.execute(
            """INSERT INTO message_recipients (message_id, address, workspace_id, role, state, code, response)
               SELECT id, $2, $1, 'to', $3, $4, $5 FROM messages""",
            workspace_id, address, state, code, response,
        )  # fmt: skip

    return run


async def recipients(api: httpx.AsyncClient, database: Database) -> list[dict[str, Any]]:
    message_id = await database.pool.fetchval("SELECT id FROM messages")
    shown: list[dict[str, Any]] = (await api.get(f"/api/messages/{message_id}")).json()["recipients"]
    return shown


async def states(api: httpx.AsyncClient, database: Database) -> list[str]:
    return [recipient["state"] for recipient in await recipients(api, database)]


async def test_a_groups_message_shows_everyone_in_order_with_what_servers_said(
    api: httpx.AsyncClient, database: Database, schedule: Schedule, answered: Answer
) -> None:
    await schedule(send_as="group", recipients="z@example.com, a@example.com", cc="c@example.com", bcc="b@example.com")
    await answered("a@example.com", "deferred", "451 4.7.1", "Come back later")
    silent = {"state": "waiting", "code": None, "response": None, "delivery_status": None}
    assert await recipients(api, database) == [
        {"address": "z@example.com", "role": "to", **silent},
        {"address": "a@example.com", "role": "to", "state": "deferred", "code": "451 4.7.1",
         "response": "Come back later", "delivery_status": None},
        {"address": "c@example.com", "role": "cc", **silent},
        {"address": "b@example.com", "role": "bcc", **silent},
    ]  # fmt: skip


async def test_a_message_to_one_recipient_names_nobody_else(
    api: httpx.AsyncClient, database: Database, schedule: Schedule
) -> None:
    await schedule()
    assert await recipients(api, database) == []


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("sending", ["sent", "failed", "deferred", "waiting"]),
        ("uncertain", ["sent", "failed", "deferred", "uncertain"]),
        ("parked", ["sent", "failed", "deferred", "parked"]),
        ("sent", ["sent", "failed", "failed", "sent"]),
        ("canceled", ["sent", "failed", "failed", "canceled"]),
        ("failed", ["sent", "failed", "failed", "failed"]),
    ],
)
async def test_when_a_message_ends_nobody_in_its_group_waits_any_more(
    api: httpx.AsyncClient, database: Database, schedule: Schedule, set_state: SetState, answered: Answer, message: str,
    expected: list[str],
) -> None:  # fmt: skip
    event = await schedule(send_as="group", recipients="a@example.com, b@example.com, c@example.com, d@example.com")
    for address, state in [("a", "sent"), ("b", "failed"), ("c", "deferred")]:
        await answered(f"{address}@example.com", state, "250", "said")
    await set_state(event["id"], message)
    assert await states(api, database) == expected


async def test_what_needs_a_person_is_listed_by_its_state(
    api: httpx.AsyncClient, schedule: Schedule, set_state: SetState
) -> None:
    event = await schedule(recipients="a@example.com, b@example.com, c@example.com, d@example.com")
    for name, state in [("a", "parked"), ("b", "failed"), ("c", "uncertain")]:
        await set_state(event["id"], state, recipient=f"{name}@example.com")
        listed = (await api.get("/api/messages", params={"state": state})).json()["data"]
        assert [message["recipient"] for message in listed] == [f"{name}@example.com"]
    both = {"state": "parked", "recipient": "b@example.com"}
    assert (await api.get("/api/messages", params=both)).json()["data"] == []


@pytest.mark.parametrize("state", ["parked", "failed"])
async def test_the_few_in_trouble_are_found_without_reading_what_was_sent(
    api: httpx.AsyncClient, database: Database, workspace_id: uuid.UUID, schedule: Schedule, state: str
) -> None:
    event = await schedule()
    async with database.transaction() as connection:
        await connection.executemany(
            """INSERT INTO messages (id, workspace_id, event_id, recipient, due_at, next_try_at, priority, give_up_at,
                                     state)
               SELECT $1, $2, $3, 'x@example.com', now(), now(), 1, now(), $4""",
            [(uuid7(), workspace_id, uuid.UUID(event["id"]), state if n % 500 == 0 else "sent") for n in range(2_000)],
        )
        await connection.execute("ANALYZE messages")
        # As the server plans it once it has seen the statement often: with nothing known of the parameters.
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE often (uuid, int, text) AS {queries.list_messages({'state': state})}")
        rows = await connection.fetch(f"EXPLAIN EXECUTE often ('{workspace_id}', 11, '{state}')")
        await connection.execute("DEALLOCATE often")
    assert "ix_messages_trouble" in "\n".join(row[0] for row in rows)


@pytest.mark.parametrize(
    ("message", "sent", "failed", "waiting"),
    [("sending", 1, 1, 2), ("uncertain", 1, 1, 2), ("parked", 1, 1, 2), ("sent", 2, 2, 0), ("canceled", 1, 3, 0)],
)
async def test_a_groups_event_says_how_many_of_its_recipients_have_the_mail(
    api: httpx.AsyncClient, schedule: Schedule, set_state: SetState, answered: Answer, message: str, sent: int,
    failed: int, waiting: int,
) -> None:  # fmt: skip
    event = await schedule(
        send_as="group", recipients="a@example.com, b@example.com, c@example.com", cc="d@example.com"
    )
    for address, state in [("a", "sent"), ("b", "failed"), ("c", "deferred")]:
        await answered(f"{address}@example.com", state, "250", "said")
    await set_state(event["id"], message)
    shown = (await api.get(f"/api/events/{event['id']}")).json()
    assert shown["recipients_reached"] == {"sent": sent, "failed": failed, "waiting": waiting}


async def test_a_group_that_nobody_was_asked_for_yet_waits_whole_and_one_mail_each_has_its_counts(
    api: httpx.AsyncClient, schedule: Schedule
) -> None:
    group = await schedule(send_as="group", recipients="a@example.com", bcc="b@example.com")
    each = await schedule()
    reached = [(await api.get(f"/api/events/{event['id']}")).json()["recipients_reached"] for event in (group, each)]
    assert reached == [{"sent": 0, "failed": 0, "waiting": 2}, None]
