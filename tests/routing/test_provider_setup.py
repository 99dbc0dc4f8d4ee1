"""Providers are set up, given other settings, and removed through the API."""

import asyncio
import uuid
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from uuid_utils.compat import uuid7

from janus_mail.routing.create import create_provider
from janus_mail.routing.environment import keep_environment_provider
from janus_mail.routing.seed import seed_workspace
from janus_mail.settings import Settings
from janus_mail.storage.secrets import SecretBox
from janus_mail.web.context import Context
from tests.routing.conftest import SMTP, a_message, is_due

RELAY = {"kind": "smtp", "name": "Relay", "config": SMTP}


async def stored_config(context: Context, provider_id: str) -> dict[str, Any]:
    sealed = await context.database.pool.fetchval("SELECT config FROM providers WHERE id = $1", uuid.UUID(provider_id))
    return context.secrets.open(sealed)


async def names(api: httpx.AsyncClient) -> list[str]:
    return [provider["name"] for provider in (await api.get("/api/providers")).json()["data"]]


async def test_a_provider_is_set_up_with_all_that_was_said(api: httpx.AsyncClient, context: Context) -> None:
    said = {
        **RELAY, "enabled": False, "from_email": "ann@Bücher.example", "from_name": "Ann",
        "sender_domains": ["Bücher.example"], "rate_per_second": 2.5, "daily_quota": 500,
    }  # fmt: skip

    answer = await api.post("/api/providers", json=said)

    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["Location"] == f"/api/providers/{made['id']}"
    assert made == (await api.get(answer.headers["Location"])).json()
    assert {name: made[name] for name in said if name != "config"} == {
        **{name: value for name, value in said.items() if name != "config"},
        "from_email": "ann@xn--bcher-kva.example",
        "sender_domains": ["xn--bcher-kva.example"],
    }
    assert (made["position"], made["sandbox"], made["version"], made["circuit"]["state"]) == (1, False, 1, "closed")
    assert (await stored_config(context, made["id"]))["password"] == "a-long-password"


async def test_no_answer_ever_holds_a_secret(api: httpx.AsyncClient) -> None:
    made = await api.post("/api/providers", json=RELAY)
    one = f"/api/providers/{made.json()['id']}"
    answers = [
        made,
        await api.get("/api/providers"),
        await api.patch(one, json={"config": {**SMTP, "password": "another-long-one"}}),
        await api.patch(one, json={"config": {"host": "", "password": "another-long-one"}}),
        await api.patch(one, json={"config": {**SMTP, "password": ["another-long-one"]}}),
        await api.post("/api/providers", json={**RELAY, "name": "X", "config": {**SMTP, "port": "a-long-password"}}),
        await api.post(f"{one}/circuit", json={"state": "open"}),
        await api.delete(one),
    ]

    assert [answer.status_code for answer in answers] == [201, 200, 200, 400, 400, 400, 200, 200]
    for answer in answers:
        assert "a-long-password" not in answer.text
        assert "another-long-one" not in answer.text


async def test_a_server_on_this_machine_is_a_provider_too(api: httpx.AsyncClient) -> None:
    config = {"host": "127.0.0.1", "port": 1025, "security": "none"}

    answer = await api.post("/api/providers", json={**RELAY, "config": config})

    assert (answer.status_code, answer.json()["config"]) == (201, config)


async def test_a_new_provider_takes_the_place_that_was_asked_for(api: httpx.AsyncClient, sandboxes: list[str]) -> None:
    async def set_up(name: str, position: int | None) -> int:
        body = {"kind": "ses", "name": name, "sandbox": True, "position": position}
        answer = await api.post("/api/providers", json=body)
        assert answer.status_code == 201, answer.text
        place: int = answer.json()["position"]
        return place

    assert [await set_up("second", 2), await set_up("last", None), await set_up("beyond", 999)] == [2, 5, 6]
    assert await set_up("first", 1) == 1
    assert await names(api) == ["first", "Amazon SES", "second", "Google SMTP", "SendGrid", "last", "beyond"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"kind": "carrier-pigeon"}, "kind"),
        ({"kind": "sendgrid", "config": {}}, "config.api_key"),
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"position": 0}, "position"),
        ({"rate_per_second": 0}, "rate_per_second"),
        ({"rate_per_second": True}, "rate_per_second"),
        ({"daily_quota": 0}, "daily_quota"),
        ({"sandbox": "yes"}, "sandbox"),
        ({"enabled": 1}, "enabled"),
        ({"from_email": "ann"}, "from_email"),
        ({"sender_domains": []}, "sender_domains"),
        ({"config": {}}, "config.host"),
        ({"config": {**SMTP, "port": 0}}, "config.port"),
        ({"config": {**SMTP, "colour": "red"}}, "config.colour"),
        ({"config": {**SMTP, "password": "•••• word"}}, "config.password"),
        ({"from_environment": True}, "from_environment"),
    ],
)
async def test_a_wrong_provider_is_refused_by_field(
    api: httpx.AsyncClient, context: Context, wrong: dict[str, Any], field: str
) -> None:
    answer = await api.post("/api/providers", json={**RELAY, **wrong})

    assert answer.status_code == 400
    assert [detail["field"] for detail in answer.json()["details"]] == [field]
    assert await context.database.pool.fetchval("SELECT count(*) FROM providers") == 0


async def test_names_that_are_taken_or_reserved_are_refused(api: httpx.AsyncClient, sandboxes: list[str]) -> None:
    for name in ("Amazon SES", "environment", "Environment"):
        answer = await api.post("/api/providers", json={**RELAY, "name": name})
        assert (answer.status_code, answer.json()["code"]) == (409, "name_taken"), name
    assert len(await names(api)) == 3


async def test_a_workspace_has_no_more_providers_than_can_be_put_in_order(
    api: httpx.AsyncClient, context: Context, workspace_id: uuid.UUID
) -> None:
    await context.database.pool.execute(
        """INSERT INTO providers (id, workspace_id, kind, name, position, config)
           SELECT gen_random_uuid(), $1, 'ses', n::text, n, '' FROM generate_series(1, 1000) n""",
        workspace_id,
    )

    answer = await api.post("/api/providers", json=RELAY)

    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_providers")


async def test_a_repeated_request_sets_one_provider_up(api: httpx.AsyncClient) -> None:
    async def ask(body: dict[str, Any] = RELAY) -> httpx.Response:
        return await api.post("/api/providers", json=body, headers={"Idempotency-Key": "setup-1"})

    first, *others = await asyncio.gather(*(ask() for _ in range(4)))
    again = await ask()
    other = await ask({**RELAY, "name": "Other"})

    assert {answer.status_code for answer in (first, *others)} <= {201, 409}
    assert again.status_code == 201
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == f"/api/providers/{again.json()['id']}"
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert await names(api) == ["Relay"]


async def test_a_new_provider_takes_what_waits_for_one(
    api: httpx.AsyncClient, context: Context, redis: Redis, workspace_id: uuid.UUID
) -> None:
    waiting = await a_message(context, workspace_id, waiting_for="circuit")

    await api.post("/api/providers", json=RELAY)

    assert await is_due(context, waiting)
    await context.bell.close()
    assert await redis.exists("arq:queue")


OTHERWISE = {"host": SMTP["host"], "max_connections": 5}


@pytest.mark.parametrize(
    ("sent", "password"),
    [
        ({**OTHERWISE, "username": "ann"}, "a-long-password"),
        ({**OTHERWISE, "username": "ann", "password": "•••• word"}, "a-long-password"),
        ({**OTHERWISE, "username": "ann", "password": "another-long-one"}, "another-long-one"),
        ({**OTHERWISE, "password": None}, None),
    ],
)
async def test_a_stored_secret_stays_until_another_is_sent(
    api: httpx.AsyncClient, context: Context, real: str, sent: dict[str, Any], password: str | None
) -> None:
    answer = await api.patch(f"/api/providers/{real}", json={"config": sent})

    assert answer.status_code == 200, answer.text
    assert answer.json()["config"]["max_connections"] == 5
    assert await stored_config(context, real) == {**sent, "password": password}


@pytest.mark.parametrize(
    "elsewhere", [{"host": "evil.example.com"}, {"port": 2525}, {"security": "none"}, {"verify_certificate": False}]
)
async def test_a_stored_secret_is_never_sent_to_another_server(
    api: httpx.AsyncClient, real: str, elsewhere: dict[str, object]
) -> None:
    config = {**SMTP, "password": "•••• word", **elsewhere}
    answer = await api.patch(f"/api/providers/{real}", json={"config": config})
    assert (answer.status_code, answer.json()["code"]) == (400, "secret_needed")
    assert answer.json()["details"][0]["field"] == "config.password"
    again = await api.patch(f"/api/providers/{real}", json={"config": {**config, "password": "told-anew-123"}})
    assert again.status_code == 200


async def test_a_mask_of_another_secret_is_refused(api: httpx.AsyncClient, context: Context, real: str) -> None:
    answer = await api.patch(f"/api/providers/{real}", json={"config": {**SMTP, "password": "•••• sesame"}})

    assert (answer.status_code, answer.json()["code"]) == (400, "masked_secret")
    assert answer.json()["details"][0]["field"] == "config.password"
    assert "sesame" not in answer.text
    assert await stored_config(context, real) == SMTP


async def test_a_config_that_no_key_opens_can_be_replaced(
    api: httpx.AsyncClient, context: Context, workspace_id: uuid.UUID
) -> None:
    lost = await create_provider(
        context.database, SecretBox(["q" * 43 + "="]), workspace_id, kind="smtp", name="Lost", config=SMTP
    )

    assert (await api.patch(f"/api/providers/{lost}", json={"config": SMTP})).status_code == 200
    assert await stored_config(context, str(lost)) == SMTP


async def test_limits_are_set_and_taken_away(api: httpx.AsyncClient, real: str) -> None:
    async def limits(patch: dict[str, Any]) -> tuple[float | None, int | None]:
        answer = (await api.patch(f"/api/providers/{real}", json=patch)).json()
        return answer["rate_per_second"], answer["daily_quota"]

    assert await limits({"rate_per_second": 14, "daily_quota": 200}) == (14, 200)
    assert await limits({"rate_per_second": None}) == (None, 200)
    assert await limits({"daily_quota": None}) == (None, None)


async def test_a_quota_says_what_is_used_of_it_today(
    api: httpx.AsyncClient, context: Context, workspace_id: uuid.UUID, real: str
) -> None:
    await context.database.pool.execute(
        """INSERT INTO provider_usage (provider_id, day, workspace_id, used)
           SELECT $1, (clock_timestamp() AT TIME ZONE 'UTC')::date - n, $2, 100 + n FROM generate_series(1, 0, -1) n""",
        uuid.UUID(real),
        workspace_id,
    )
    midnight = await context.database.pool.fetchval("SELECT date_trunc('day', clock_timestamp()) + interval '1 day'")

    assert (await api.get(f"/api/providers/{real}")).json()["quota"] is None
    quota = (await api.patch(f"/api/providers/{real}", json={"daily_quota": 500})).json()["quota"]

    assert quota == {"used_today": 100, "resets_at": midnight.strftime("%Y-%m-%dT%H:%M:%SZ")}
    fresh = await api.post("/api/providers", json={**RELAY, "daily_quota": 5})
    assert fresh.json()["quota"]["used_today"] == 0


async def test_a_removed_provider_leaves_the_route_and_what_waited_for_it_goes_on(
    api: httpx.AsyncClient, context: Context, redis: Redis, workspace_id: uuid.UUID, sandboxes: list[str]
) -> None:
    waiting = await a_message(context, workspace_id, waiting_for="circuit")
    await context.bell.close()
    await redis.flushdb()

    answer = await api.delete(f"/api/providers/{sandboxes[1]}")

    assert (answer.status_code, answer.json()["name"]) == (200, "Google SMTP")
    assert await names(api) == ["Amazon SES", "SendGrid"]
    kept = await context.database.pool.fetchval("SELECT config FROM providers WHERE id = $1", uuid.UUID(sandboxes[1]))
    assert kept == b""
    assert await is_due(context, waiting)
    await context.bell.close()
    assert await redis.exists("arq:queue")
    one = f"/api/providers/{sandboxes[1]}"
    again = [await api.delete(one), await api.get(one), await api.patch(one, json={"enabled": True}),
             await api.get(f"{one}/incidents"), await api.post(f"{one}/circuit", json={"state": "open"})]  # fmt: skip
    assert [answer.status_code for answer in again] == [404] * 5
    assert (await api.post("/api/providers", json={**RELAY, "name": "Google SMTP"})).status_code == 201


async def test_the_provider_of_mail_settings_is_changed_and_removed_there(
    api: httpx.AsyncClient, context: Context, settings: Settings
) -> None:
    with_mail = settings.model_copy(update={"mail_server": "smtp.example.com", "mail_use_tls": True})
    provider_id = await keep_environment_provider(context.database, context.secrets, with_mail)
    before = (await api.get(f"/api/providers/{provider_id}")).json()

    removed = await api.delete(f"/api/providers/{provider_id}")
    changed = await api.patch(f"/api/providers/{provider_id}", json={"config": SMTP})

    for answer in (removed, changed):
        assert (answer.status_code, answer.json()["code"]) == (409, "kept_by_environment")
    assert (await api.get(f"/api/providers/{provider_id}")).json() == before
    assert (await api.patch(f"/api/providers/{provider_id}", json={"rate_per_second": 3})).status_code == 200


async def test_nobody_changes_another_workspaces_provider(api: httpx.AsyncClient, context: Context) -> None:
    other = await seed_workspace(context.database, "other")
    theirs = await create_provider(
        context.database, context.secrets, other, kind="ses", name="Amazon SES", sandbox=True
    )
    row = "SELECT * FROM providers WHERE id = $1"
    before = await context.database.pool.fetchrow(row, theirs)

    for provider_id in (theirs, uuid7()):
        one = f"/api/providers/{provider_id}"
        answers = [
            await api.delete(one),
            await api.patch(one, json={"config": {}}),
            await api.post(f"{one}/circuit", json={"state": "open"}),
            await api.post(f"{one}/circuit", json={"state": "closed"}),
            await api.get(f"{one}/incidents"),
        ]
        assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "not_found")] * 5
    assert await context.database.pool.fetchrow(row, theirs) == before
    assert await context.database.pool.fetchval("SELECT count(*) FROM circuits") == 0
