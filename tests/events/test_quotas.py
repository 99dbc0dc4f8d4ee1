"""How many mails a workspace may schedule in a minute and in a month."""

import asyncio
import dataclasses
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from uuid_utils.compat import uuid7

from janus_mail.events import batch
from janus_mail.keys.key import create_key
from janus_mail.storage.database import Database
from janus_mail.web.limiter import Limiter
from janus_mail.workspaces.usage import count_month, fitting, over_month, read_usage
from tests.events.conftest import EVENT

LATER = EVENT | {"expected_sent_at": "in 2 days"}

SetQuotas = Callable[..., Awaitable[None]]


@pytest.fixture
def quotas(app: FastAPI, database: Database, workspace_id: uuid.UUID) -> SetQuotas:
    """Sets the workspace's quotas; and no minute ends."""
    context = app.state.context
    app.state.context = dataclasses.replace(context, limiter=Limiter(context.redis, clock=lambda: 1_800_000_000.0))

    async def run(*, minute: int | None = None, monthly: int | None = None) -> None:
        await database.pool.execute(
            "UPDATE workspaces SET minute_quota = $2, monthly_quota = $3 WHERE id = $1", workspace_id, minute, monthly
        )

    return run


def to(many: int) -> dict[str, Any]:
    """An event for so many."""
    return LATER | {"recipients": [f"r{number}@example.com" for number in range(many)]}


async def used(database: Database) -> list[int]:
    return [row["used"] for row in await database.pool.fetch("SELECT used FROM workspace_usage")]


async def stored(database: Database) -> int:
    many: int = await database.pool.fetchval("SELECT coalesce(sum(recipients_count), 0) FROM events")
    return many


def check_month(answer: httpx.Response, had: int, quota: int) -> None:
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    today = datetime.now(UTC)
    ends = (today.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    sentence = f"This workspace has scheduled {had} of {quota} mails of this month (until {ends:%Y-%m-%d}, UTC)."
    assert answer.json()["error"] == sentence
    assert abs(int(answer.headers["retry-after"]) - (ends - today).total_seconds()) < 60


def check_minute(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (429, "minute_quota_exceeded")
    assert 0 < int(answer.headers["retry-after"]) <= 60


async def test_without_a_quota_nothing_is_counted(
    api: httpx.AsyncClient, quotas: SetQuotas, database: Database
) -> None:
    assert (await api.post("/api/events", json=to(3))).status_code == 201
    await quotas(minute=0, monthly=0)
    assert (await api.post("/api/events", json=to(3))).status_code == 201
    assert await used(database) == []


async def test_a_month_has_its_quota_of_mails(api: httpx.AsyncClient, quotas: SetQuotas, database: Database) -> None:
    await quotas(monthly=5)
    assert (await api.post("/api/events", json=to(3))).status_code == 201
    check_month(await api.post("/api/events", json=to(3)), 3, 5)
    assert await used(database) == [3]
    assert (await api.post("/api/events", json=to(2))).status_code == 201
    check_month(await api.post("/api/events", json=LATER), 5, 5)
    assert await stored(database) == 5


async def test_a_minute_has_its_quota_of_mails(api: httpx.AsyncClient, quotas: SetQuotas, database: Database) -> None:
    await quotas(minute=5)
    assert (await api.post("/api/events", json=to(3))).status_code == 201
    check_minute(await api.post("/api/events", json=to(3)))
    assert (await api.post("/api/events", json=to(2))).status_code == 201
    check_minute(await api.post("/api/events", json=LATER))
    more_than_ever = await api.post("/api/events", json=to(6))
    check_minute(more_than_ever)
    assert "send fewer at once" in more_than_ever.json()["error"]
    assert await stored(database) == 5


async def test_a_group_counts_by_its_recipients(api: httpx.AsyncClient, quotas: SetQuotas) -> None:
    await quotas(monthly=5)
    check_month(await api.post("/api/events", json=to(6) | {"send_as": "group"}), 0, 5)
    assert (await api.post("/api/events", json=to(5) | {"send_as": "group"})).status_code == 201


@pytest.mark.parametrize("path", ["/api/events", "/api/events/batch"], ids=["alone", "batch"])
@pytest.mark.parametrize("monthly", [True, False], ids=["month", "minute"])
async def test_of_many_requests_at_once_the_quota_gets_through(
    api: httpx.AsyncClient, quotas: SetQuotas, database: Database, monthly: bool, path: str
) -> None:
    await (quotas(monthly=20) if monthly else quotas(minute=20))
    body = LATER if path == "/api/events" else {"events": [LATER]}
    answers = await asyncio.gather(*(api.post(path, json=body) for _ in range(60)))
    assert [answer.status_code for answer in answers].count(201) == 20
    assert await stored(database) == 20


async def test_one_workspaces_quota_stops_no_other(
    api: httpx.AsyncClient, quotas: SetQuotas, database: Database
) -> None:
    await database.pool.execute(
        "INSERT INTO workspaces (id, handle, name, from_email) VALUES ($1, 'other', 'other', 'o@example.com')", uuid7()
    )
    other = {"Authorization": f"Bearer {await create_key(database, workspace='other', name='other')}"}
    await quotas(monthly=4)
    asked = [api.post("/api/events", json=LATER, headers=other if n % 2 else None) for n in range(40)]
    statuses = [answer.status_code for answer in await asyncio.gather(*asked)]
    assert (statuses[::2].count(201), statuses[1::2].count(201)) == (4, 20)


async def test_who_waits_for_their_own_count_keeps_no_other_workspace_waiting(
    api: httpx.AsyncClient, quotas: SetQuotas, database: Database, workspace_id: uuid.UUID
) -> None:
    await database.pool.execute(
        """INSERT INTO workspaces (id, handle, name, from_email, monthly_quota)
           VALUES ($1, 'other', 'other', 'o@example.com', 99)""", uuid7()
    )  # fmt: skip
    other = {"Authorization": f"Bearer {await create_key(database, workspace='other', name='other')}"}
    await quotas(monthly=99)
    assert (await api.post("/api/events", json=LATER)).status_code == 201
    async with database.transaction() as connection:  # as a large batch of theirs does while it is stored
        await connection.execute("SELECT FROM workspace_usage WHERE workspace_id = $1 FOR UPDATE", workspace_id)
        waiting = []
        for _ in range(8):
            waiting.append(asyncio.create_task(api.post("/api/events", json=LATER)))
            await asyncio.wait(waiting, timeout=0.05)
        async with asyncio.timeout(3):
            assert (await api.post("/api/events", json=LATER, headers=other)).status_code == 201
        assert not any(task.done() for task in waiting)
    assert {(await task).status_code for task in waiting} == {201}


async def test_what_was_scheduled_before_the_quota_counts(
    api: httpx.AsyncClient, quotas: SetQuotas, database: Database, workspace_id: uuid.UUID
) -> None:
    for many in (2, 3):
        assert (await api.post("/api/events", json=to(many))).status_code == 201
    last_month = (await api.post("/api/events", json=to(4))).json()["event"]["id"]
    await database.pool.execute(
        "UPDATE events SET created_at = created_at - interval '32 days' WHERE id = $1", uuid.UUID(last_month)
    )
    await quotas(monthly=6)
    check_month(await api.post("/api/events", json=to(2)), 5, 6)
    assert (await api.post("/api/events", json=LATER)).status_code == 201
    assert await used(database) == [6]
    await quotas()  # nothing is counted meanwhile
    assert (await api.post("/api/events", json=to(10))).status_code == 201
    await quotas(monthly=10)
    async with database.transaction() as connection:
        await count_month(connection, workspace_id)
    check_month(await api.post("/api/events", json=LATER), 16, 10)


async def test_another_month_begins_with_nothing(
    api: httpx.AsyncClient, quotas: SetQuotas, database: Database, workspace_id: uuid.UUID
) -> None:
    await database.pool.execute(
        "INSERT INTO workspace_usage VALUES ($1, (date_trunc('month', now()) - interval '1 month')::date, 99)",
        workspace_id,
    )
    await quotas(monthly=1)
    assert (await api.post("/api/events", json=LATER)).status_code == 201
    assert sorted(await used(database)) == [1, 99]


async def test_a_month_that_ends_meanwhile_loses_no_mail(database: Database, workspace_id: uuid.UUID) -> None:
    """The clock of a schema of ours stands before pg_catalog's: each look at it is a month later."""
    async with database.transaction() as connection:
        await connection.execute("""
            CREATE SCHEMA clocks;
            CREATE SEQUENCE clocks.looks;
            CREATE FUNCTION clocks.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
                $$ SELECT now() + nextval('clocks.looks') * interval '1 month' $$;
            SET LOCAL search_path = clocks, pg_catalog, public;
        """)
        async with asyncio.timeout(5):
            for mails in (3, 2):
                assert await over_month(connection, workspace_id, 9, [mails], whole=True) == [None]
        assert [row["used"] for row in await connection.fetch("SELECT used FROM workspace_usage")] == [5]
        await connection.execute("DROP SCHEMA clocks CASCADE")


async def test_a_request_that_is_repeated_counts_once(
    api: httpx.AsyncClient, quotas: SetQuotas, database: Database
) -> None:
    await quotas(monthly=3, minute=3)
    for key in ("one", "one", "two", "two", "one"):
        assert (await api.post("/api/events", json=LATER, headers={"Idempotency-Key": key})).status_code == 201
    assert await used(database) == [2]
    refused = await api.post("/api/events", json=to(2), headers={"Idempotency-Key": "three"})
    check_minute(refused)
    assert (await api.post("/api/events", json=LATER, headers={"Idempotency-Key": "three"})).status_code == 201
    check_minute(await api.post("/api/events", json=LATER))


async def test_what_is_refused_or_tried_costs_nothing(
    api: httpx.AsyncClient, quotas: SetQuotas, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await quotas(monthly=1, minute=1)
    assert (await api.post("/api/events/dry-run", json=LATER)).status_code == 200
    assert (await api.post("/api/events", json=LATER | {"timezone": "Nowhere/Land"})).status_code == 400
    assert (await api.post("/api/events/batch", json={"events": [LATER, {}]})).status_code == 400
    monkeypatch.setattr(batch, "MAX_MESSAGES", 0)
    assert (await api.post("/api/events/batch", json={"events": [LATER]})).json()["code"] == "too_many_messages"
    assert await used(database) == []
    assert (await api.post("/api/events", json=LATER)).status_code == 201


async def test_a_large_event_counts_as_a_small_one(
    api: httpx.AsyncClient, quotas: SetQuotas, database: Database
) -> None:
    await quotas(monthly=300)
    files = {"attachments": [{"filename": "a.txt", "content": "aGVsbG8="}]}
    assert (await api.post("/api/events", json=to(250))).status_code == 201
    check_month(await api.post("/api/events", json=to(51)), 250, 300)
    check_month(await api.post("/api/events", json=to(51) | files), 250, 300)
    assert (await api.post("/api/events", json=to(50) | files)).status_code == 201
    assert await used(database) == [300]


@pytest.mark.parametrize("monthly", [True, False], ids=["month", "minute"])
async def test_a_strict_batch_is_accepted_whole_or_not_at_all(
    api: httpx.AsyncClient, quotas: SetQuotas, database: Database, monthly: bool
) -> None:
    await (quotas(monthly=5) if monthly else quotas(minute=5))
    refused = await api.post("/api/events/batch", json={"events": [to(3), to(3)]})
    check_month(refused, 0, 5) if monthly else check_minute(refused)
    assert await stored(database) == 0
    assert (await api.post("/api/events/batch", json={"events": [to(3), to(2)]})).status_code == 201


@pytest.mark.parametrize("monthly", [True, False], ids=["month", "minute"])
async def test_a_permissive_batch_names_those_that_go_beyond(
    api: httpx.AsyncClient, quotas: SetQuotas, database: Database, monthly: bool
) -> None:
    await (quotas(monthly=5) if monthly else quotas(minute=5))
    events = [to(3), {}, to(3), to(2), LATER]
    answer = await api.post("/api/events/batch?mode=permissive", json={"events": events})
    assert answer.status_code == 201
    code = "quota_exceeded" if monthly else "minute_quota_exceeded"
    refused = {item["index"]: item["code"] for item in answer.json()["data"] if "index" in item}
    assert set(refused) == {1, 2, 4}
    assert (refused[2], refused[4]) == (code, code)
    assert await stored(database) == 5
    assert await used(database) == ([5] if monthly else [])


async def test_the_servers_quota_is_for_who_has_none_of_their_own(
    app: FastAPI, api: httpx.AsyncClient, quotas: SetQuotas
) -> None:
    settings = app.state.context.settings.model_copy(update={"monthly_quota": 1})
    app.state.context = dataclasses.replace(app.state.context, settings=settings)
    assert (await api.post("/api/events", json=LATER)).status_code == 201
    check_month(await api.post("/api/events", json=LATER), 1, 1)
    await quotas(monthly=2)
    assert (await api.post("/api/events", json=LATER)).status_code == 201
    await quotas(monthly=0)
    assert (await api.post("/api/events", json=to(9))).status_code == 201


async def test_the_form_api_says_it_in_its_own_shape(
    api: httpx.AsyncClient, api_key: str, quotas: SetQuotas, database: Database
) -> None:
    await quotas(monthly=1)
    assert (await api.post("/api/events", json=LATER)).status_code == 201
    form = {
        "to_email": "a@example.com", "from_email": "janus@example.com", "subject": "Hello", "body_text": "Hello",
        "TOKEN": api_key,
    }  # fmt: skip
    answer = await api.post("/send_email/", data=form)
    assert answer.status_code == 429
    assert answer.json()["errors"]["__all__"][0].startswith("This workspace has scheduled 1 of 1 mails")
    assert await stored(database) == 1


async def test_use_is_told(
    app: FastAPI, api: httpx.AsyncClient, quotas: SetQuotas, database: Database, workspace_id: uuid.UUID
) -> None:
    async def told() -> tuple[int, int, int | None]:
        async with database.pool.acquire() as connection:
            usage = await read_usage(connection, workspace_id, app.state.context.settings)
        assert (usage.resets_at.day, usage.resets_at.tzinfo) == (1, UTC)
        return usage.minute_quota, usage.monthly_quota, usage.used

    assert (await api.post("/api/events", json=to(3))).status_code == 201
    assert await told() == (0, 0, None)
    await quotas(minute=7, monthly=10)
    assert await told() == (7, 10, 3)
    assert (await api.post("/api/events", json=LATER)).status_code == 201
    assert await told() == (7, 10, 4)


@pytest.mark.parametrize(
    ("mails", "left", "fit"),
    [([1, 1], 2, [True, True]), ([3, 2], 2, [False, True]), ([2, 1, 1], 3, [True, True, False]), ([], 5, []),
     ([1], 0, [False])],
)  # fmt: skip
def test_what_fits_is_taken_in_its_turn(mails: list[int], left: int, fit: list[bool]) -> None:
    assert fitting(mails, left) == fit
