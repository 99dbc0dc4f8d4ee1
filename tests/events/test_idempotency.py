"""`Idempotency-Key`: the same request does its work once, also when it comes twice at the same time."""

import asyncio
from typing import Any

import httpx
import pytest

from janus_mail.events import accept as accepting
from janus_mail.events import intake
from janus_mail.storage.database import Database
from tests.events.conftest import EVENT, stored

KEY = {"Idempotency-Key": "order-4711"}


async def post(api: httpx.AsyncClient, path: str = "/api/events", body: Any = EVENT, **headers: str) -> httpx.Response:
    return await api.post(path, json=body, headers=KEY | headers)


async def test_a_repeated_request_is_answered_with_the_first_event(api: httpx.AsyncClient, database: Database) -> None:
    first = await post(api)
    assert "Idempotent-Replayed" not in first.headers
    again = await post(api)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert await stored(database) == (1, 1)


async def test_racing_requests_with_one_key_make_one_event(api: httpx.AsyncClient, database: Database) -> None:
    answers = await asyncio.gather(*(post(api) for _ in range(8)))
    made = {answer.json()["event"]["id"] for answer in answers if answer.status_code == 201}
    assert len(made) == 1
    for answer in answers:
        assert answer.status_code == 201 or answer.json()["code"] == "idempotency_key_in_use", answer.text
    assert await stored(database) == (1, 1)


async def test_a_request_under_a_key_that_is_still_running_is_told_so(
    api: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, go_on = asyncio.Event(), asyncio.Event()
    insert = intake.insert

    async def slow_insert(*arguments: Any) -> None:
        held.set()
        await go_on.wait()
        await insert(*arguments)

    monkeypatch.setattr(accepting, "insert", slow_insert)
    first = asyncio.create_task(post(api))
    await held.wait()
    second = await post(api)
    go_on.set()
    assert (second.status_code, second.json()["code"]) == (409, "idempotency_key_in_use")
    assert (await first).status_code == 201
    assert await stored(database) == (1, 1)


async def test_another_body_under_the_same_key_is_refused(api: httpx.AsyncClient, database: Database) -> None:
    await post(api)
    answer = await post(api, body=EVENT | {"email_subject": "Bye"})
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_reused")
    assert await stored(database) == (1, 1)


async def test_a_request_that_was_refused_leaves_its_key_free(api: httpx.AsyncClient, database: Database) -> None:
    assert (await post(api, body=EVENT | {"provider": "Nowhere"})).status_code == 400
    assert (await post(api)).status_code == 201
    assert await stored(database) == (1, 1)


async def test_a_replay_needs_nothing_that_has_changed_since(api: httpx.AsyncClient, database: Database) -> None:
    first = await post(api)
    await database.pool.execute("UPDATE workspaces SET from_email = NULL")
    assert (await post(api)).json() == first.json()


async def test_after_a_day_a_key_may_be_used_again(api: httpx.AsyncClient, database: Database) -> None:
    await post(api)
    await database.pool.execute("UPDATE idempotency_keys SET created_at = created_at - interval '24 hours 1 second'")
    again = await post(api, body=EVENT | {"email_subject": "Bye"})
    assert again.status_code == 201
    assert "Idempotent-Replayed" not in again.headers
    assert await stored(database) == (2, 2)
    assert (await post(api, body=EVENT | {"email_subject": "Bye"})).headers["Idempotent-Replayed"] == "true"


async def test_keys_of_workspaces_and_routes_are_apart(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient, database: Database
) -> None:
    assert (await post(api)).status_code == 201
    assert "Idempotent-Replayed" not in (await post(stranger)).headers
    assert (await post(api, "/api/events/batch", {"events": [EVENT]})).status_code == 201
    assert await stored(database) == (3, 3)


@pytest.mark.parametrize("key", ["", "x" * 257])
async def test_a_key_has_1_to_256_characters(api: httpx.AsyncClient, database: Database, key: str) -> None:
    answer = await api.post("/api/events", json=EVENT, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")
    assert await stored(database) == (0, 0)


async def test_a_key_of_256_characters_is_taken(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/events", json=EVENT, headers={"Idempotency-Key": "x" * 256})
    assert answer.status_code == 201


async def test_a_batch_is_answered_again_word_for_word(api: httpx.AsyncClient, database: Database) -> None:
    body = {"events": [EVENT, {}, EVENT]}
    first = await post(api, "/api/events/batch?mode=permissive", body)
    again = await post(api, "/api/events/batch?mode=permissive", body)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.content == first.content
    assert await stored(database) == (2, 2)
    strict = await post(api, "/api/events/batch?mode=strict", body)
    assert (strict.status_code, strict.json()["code"]) == (409, "idempotency_key_reused")
