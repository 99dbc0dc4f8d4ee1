"""Credentials are checked when they are saved: the answer is kept and shown, and a no refuses nothing."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from janus_mail.routing import verify
from janus_mail.web.context import Context
from tests.providers.scripted_smtp import Act, ScriptedSmtp
from tests.routing.conftest import SMTP

Serve = Callable[..., Awaitable[ScriptedSmtp]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[ScriptedSmtp] = []

    async def start(**script: Any) -> ScriptedSmtp:
        servers.append(await ScriptedSmtp(offers=("AUTH PLAIN",), **script).start())
        return servers[-1]

    yield start
    for server in servers:
        await server.stop()


def at(server: ScriptedSmtp, **changes: Any) -> dict[str, Any]:
    config = {**SMTP, "host": "127.0.0.1", "port": server.port, "security": "none"}
    return {"kind": "smtp", "name": "Relay", "config": {**config, **changes}}


async def test_credentials_that_the_service_knows_are_shown_as_such(api: httpx.AsyncClient, serve: Serve) -> None:
    server = await serve()

    made = (await api.post("/api/providers", json=at(server))).json()

    said = made["verification"]
    assert (said["ok"], said["outcome"], said["code"], said["response"]) == (
        True, "accepted", "235 2.7.0", "2.7.0 Authenticated",
    )  # fmt: skip
    assert said["latency_ms"] >= 0
    assert said["at"] >= made["created_at"]
    assert (await api.get(f"/api/providers/{made['id']}")).json()["verification"] == said
    assert (await api.get("/api/providers")).json()["data"][0]["verification"] == said
    assert server.conversations[0].verbs == ["EHLO", "AUTH", "QUIT"]


async def test_a_refused_key_is_told_and_the_provider_is_there_all_the_same(
    api: httpx.AsyncClient, serve: Serve
) -> None:
    server = await serve(always={"AUTH": "535 5.7.8 ann with a-long-password is nobody (YS1sb25nLXBhc3N3b3Jk)"})

    answer = await api.post("/api/providers", json=at(server))

    assert answer.status_code == 201
    said = answer.json()["verification"]
    assert (said["ok"], said["outcome"], said["code"]) == (False, "provider_broken", "535 5.7.8")
    assert said["response"] == "5.7.8 ann with •••• is nobody (••••)"
    assert "a-long-password" not in answer.text


async def test_nobody_who_answers_holds_the_request_up(
    api: httpx.AsyncClient, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "MOST_S", 0.2)
    server = await serve(always={"BANNER": Act.SILENCE})
    said = (await api.post("/api/providers", json=at(server))).json()["verification"]
    assert (said["ok"], said["outcome"], said["code"]) == (False, "provider_down", "timeout")
    await server.until(lambda: server.open_now == 0)


async def test_a_caller_may_ask_not_to_ask(api: httpx.AsyncClient, serve: Serve) -> None:
    server = await serve()
    made = (await api.post("/api/providers?verify=false", json=at(server))).json()
    assert made["verification"] is None
    one = f"/api/providers/{made['id']}"
    changed = await api.patch(f"{one}?verify=false", json={"config": at(server, max_connections=3)["config"]})
    assert changed.json()["verification"] is None
    assert server.conversations == []

    assert (await api.post(f"{one}/verify")).json()["verification"]["ok"] is True
    assert (await api.post(f"/api/providers/{uuid.uuid4()}/verify")).status_code == 404


async def test_only_another_config_is_checked(api: httpx.AsyncClient, serve: Serve) -> None:
    server = await serve()
    made = (await api.post("/api/providers", json=at(server))).json()
    one = f"/api/providers/{made['id']}"
    for patch in ({"name": "Other"}, {"enabled": False}, {"config": at(server)["config"]}):
        assert (await api.patch(one, json=patch)).json()["verification"] == made["verification"]
    assert len(server.conversations) == 1

    server.always["AUTH"] = "535 5.7.8 No"
    changed = (await api.patch(one, json={"config": at(server, password="another-long-one")["config"]})).json()
    assert (changed["verification"]["ok"], changed["version"]) == (False, 5)
    assert len(server.conversations) == 2


async def test_what_was_said_of_an_earlier_config_is_not_shown_for_a_later_one(
    api: httpx.AsyncClient, serve: Serve, context: Context
) -> None:
    server = await serve(answers={"AUTH": ["235 2.7.0 Fine", Act.SILENCE]})
    made = (await api.post("/api/providers", json=at(server))).json()
    one = f"/api/providers/{made['id']}"
    asking = asyncio.create_task(api.post(f"{one}/verify"))
    await server.until(lambda: len(server.conversations) == 2 and server.conversations[1].step == "AUTH")

    changed = await api.patch(f"{one}?verify=false", json={"config": at(server, max_connections=3)["config"]})
    assert changed.json()["verification"] is None

    server.conversations[1].writer.transport.abort()
    assert (await asking).json()["verification"] is None


async def test_settings_that_no_key_opens_are_said_to_be_so(
    api: httpx.AsyncClient, context: Context, real: str
) -> None:
    await context.database.pool.execute("UPDATE providers SET config = 'gone'")
    said = (await api.post(f"/api/providers/{real}/verify")).json()["verification"]
    assert (said["outcome"], said["code"]) == ("provider_broken", "unreadable")


async def test_the_dial_of_a_sandbox_answers(api: httpx.AsyncClient, sandboxes: list[str]) -> None:
    one = f"/api/providers/{sandboxes[0]}"
    assert (await api.post(f"{one}/verify")).json()["verification"]["ok"] is True
    await api.patch(one, json={"sandbox_mode": "broken_credentials"})
    said = (await api.post(f"{one}/verify")).json()["verification"]
    assert (said["ok"], said["outcome"]) == (False, "provider_broken")


async def test_the_hooks_address_is_shown_to_those_alone_who_may_change_it(
    api: httpx.AsyncClient, context: Context, real: str, reader: httpx.AsyncClient
) -> None:
    token = await context.database.pool.fetchval("SELECT hook_token FROM providers WHERE id = $1", uuid.UUID(real))
    one = f"/api/providers/{real}"
    for answer in (await api.get(one), await api.patch(one, json={"name": "X"})):
        assert answer.json()["hook_url"] == f"http://testserver/hooks/{real}/{token}"
    assert token in (await api.get("/api/providers")).text
    for answer in (await reader.get(one), await reader.get("/api/providers")):
        assert answer.status_code == 200
        assert token not in answer.text
