"""A provider's circuit is seen and switched through the API."""

import uuid
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from janus_mail.routing.environment import keep_environment_provider
from janus_mail.settings import Settings
from janus_mail.web.context import Context
from tests.routing.conftest import SMTP, a_message, circuit_row, is_due


async def circuit(api: httpx.AsyncClient, provider_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = (await api.get(f"/api/providers/{provider_id}")).json()["circuit"]
    return shown


async def switch(api: httpx.AsyncClient, provider_id: str, **body: Any) -> httpx.Response:
    return await api.post(f"/api/providers/{provider_id}/circuit", json=body)


@pytest.mark.parametrize(
    ("state", "until_in_s", "shown", "by_hand"),
    [
        ("open", 60, "open", False),
        ("open", -1, "half_open", False),
        ("open", None, "open", True),
        ("half_open", 60, "half_open", False),
        ("half_open", -1, "half_open", False),
        ("closed", None, "closed", False),
    ],
)
async def test_a_circuit_is_shown_as_the_next_mail_finds_it(
    api: httpx.AsyncClient, context: Context, real: str, state: str, until_in_s: float | None, shown: str, by_hand: bool
) -> None:
    await circuit_row(context, real, state=state, until_in_s=until_in_s)

    found = await circuit(api, real)

    assert (found["state"], found["by_hand"], found["reason"]) == (shown, by_hand, "5 failures in a row")
    assert found["since"].endswith("Z")
    assert (found["until"] is None) == (until_in_s is None)
    assert (await api.get("/api/providers")).json()["data"][0]["circuit"] == found


async def test_a_provider_names_the_sender_domains_that_it_does_not_take(
    api: httpx.AsyncClient, context: Context, real: str
) -> None:
    await circuit_row(context, real, "b.example", until_in_s=60)
    await circuit_row(context, real, "a.example", until_in_s=None)
    await circuit_row(context, real, "over.example", until_in_s=-1)
    await circuit_row(context, real, "closed.example", state="closed", until_in_s=None)

    provider = (await api.get(f"/api/providers/{real}")).json()

    assert provider["circuit"]["state"] == "closed"
    assert [blocked["domain"] for blocked in provider["blocked_sender_domains"]] == ["a.example", "b.example"]
    first, second = provider["blocked_sender_domains"]
    assert (first["until"], first["reason"]) == (None, "5 failures in a row")
    assert second["since"] < second["until"]
    assert second["until"].endswith("Z")


async def test_a_circuit_opened_by_hand_stays_open_until_it_is_closed_by_hand(
    api: httpx.AsyncClient, real: str
) -> None:
    opened = await switch(api, real, state="open", reason="The account is being moved.")

    assert opened.status_code == 200
    shown = opened.json()["circuit"]
    assert (shown["state"], shown["reason"], shown["until"], shown["by_hand"]) == (
        "open", "The account is being moved.", None, True
    )  # fmt: skip
    await api.patch(f"/api/providers/{real}", json={"config": {**SMTP, "host": "mx.example.com"}})
    assert (await circuit(api, real))["by_hand"]

    closed = await switch(api, real, state="closed")
    assert closed.json()["circuit"]["state"] == "closed"
    assert not closed.json()["circuit"]["by_hand"]


async def test_opening_once_more_by_hand_keeps_the_reason_and_the_history_unless_it_brings_another_reason(
    api: httpx.AsyncClient, real: str
) -> None:
    async def told() -> tuple[str, list[str]]:
        (incident,) = (await api.get(f"/api/providers/{real}/incidents")).json()["data"]
        return (await circuit(api, real))["reason"], [change["reason"] for change in incident["changes"]]

    await switch(api, real, state="open", reason="The account is being moved.")
    await switch(api, real, state="open")
    await switch(api, real, state="open", reason="The account is being moved.")
    assert await told() == ("The account is being moved.", ["The account is being moved."])

    await switch(api, real, state="open", reason="It is closed for good.")
    assert await told() == ("It is closed for good.", ["The account is being moved.", "It is closed for good."])


async def test_opening_by_hand_what_failures_opened_makes_it_stay_open(
    api: httpx.AsyncClient, context: Context, real: str
) -> None:
    await circuit_row(context, real, until_in_s=60)

    opened = (await switch(api, real, state="open")).json()["circuit"]

    assert (opened["by_hand"], opened["reason"]) == (True, "opened by hand")


async def test_closing_lets_waiting_mail_go_and_unblocks_sender_domains(
    api: httpx.AsyncClient, context: Context, redis: Redis, workspace_id: uuid.UUID, real: str
) -> None:
    await circuit_row(context, real, until_in_s=60)
    await circuit_row(context, real, "a.example", until_in_s=60)
    waiting = await a_message(context, workspace_id, waiting_for="circuit")
    await context.bell.close()
    await redis.flushdb()

    await switch(api, real, state="open")
    assert not await is_due(context, waiting)
    answer = await switch(api, real, state="close")

    assert (answer.json()["circuit"]["state"], answer.json()["blocked_sender_domains"]) == ("closed", [])
    assert await is_due(context, waiting)
    await context.bell.close()
    assert await redis.exists("arq:queue")


@pytest.mark.parametrize(
    "body", [{}, {"state": "half_open"}, {"state": "open", "reason": ""}, {"state": "open", "reason": "a\nb"},
             {"state": "open", "until": "2030-01-01T00:00:00Z"}]
)  # fmt: skip
async def test_a_wrong_switch_moves_nothing(
    api: httpx.AsyncClient, context: Context, real: str, body: dict[str, Any]
) -> None:
    assert (await switch(api, real, **body)).status_code == 400
    assert await context.database.pool.fetchval("SELECT count(*) FROM circuits") == 0


@pytest.mark.parametrize(
    "patch",
    [
        {"enabled": False},
        {"sender_domains": ["example.com"]},
        {"sandbox_mode": "slow"},
        {"sandbox_failure_rate": 0.5},
        {"config": {"host": "smtp.example.com"}},
    ],
)
async def test_other_settings_begin_with_a_closed_circuit(
    api: httpx.AsyncClient, context: Context, sandboxes: list[str], patch: dict[str, Any]
) -> None:
    await circuit_row(context, sandboxes[1], until_in_s=60)
    await circuit_row(context, sandboxes[1], "a.example", until_in_s=60)

    answer = await api.patch(f"/api/providers/{sandboxes[1]}", json=patch)

    assert answer.status_code == 200, answer.text
    assert (answer.json()["circuit"]["state"], answer.json()["blocked_sender_domains"]) == ("closed", [])


@pytest.mark.parametrize(
    "patch",
    [
        {"name": "New", "from_name": "Ann", "rate_per_second": 5, "daily_quota": 5},
        {"enabled": True, "config": {"preset": "gmail"}},
    ],
)
async def test_a_change_that_decides_nothing_leaves_the_circuit(
    api: httpx.AsyncClient, context: Context, sandboxes: list[str], patch: dict[str, Any]
) -> None:
    await circuit_row(context, sandboxes[1], until_in_s=60)
    before = await circuit(api, sandboxes[1])

    assert (await api.patch(f"/api/providers/{sandboxes[1]}", json=patch)).status_code == 200

    assert await circuit(api, sandboxes[1]) == before


async def test_other_mail_settings_begin_with_a_closed_circuit(
    api: httpx.AsyncClient, context: Context, settings: Settings
) -> None:
    one, other = (
        settings.model_copy(update={"mail_server": server, "mail_use_tls": True})
        for server in ("one.example.com", "other.example.com")
    )
    provider_id = str(await keep_environment_provider(context.database, context.secrets, one))
    await circuit_row(context, provider_id, until_in_s=60)

    await keep_environment_provider(context.database, context.secrets, one)
    assert (await circuit(api, provider_id))["state"] == "open"
    await keep_environment_provider(context.database, context.secrets, other)

    assert (await circuit(api, provider_id))["state"] == "closed"
