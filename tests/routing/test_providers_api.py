import asyncio
import re
import uuid
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from uuid_utils.compat import uuid7

from janus_mail.errors import Conflict, InvalidInput
from janus_mail.keys.key import create_key
from janus_mail.routing.create import create_provider
from janus_mail.routing.seed import seed_workspace
from janus_mail.storage.secrets import SecretBox
from janus_mail.web.context import Context
from tests.routing.conftest import SMTP, a_message, is_due


async def test_the_list_shows_the_route_in_order(api: httpx.AsyncClient, sandboxes: list[str]) -> None:
    answer = (await api.get("/api/providers")).json()

    assert [(p["kind"], p["name"], p["position"]) for p in answer["data"]] == [
        ("ses", "Amazon SES", 1),
        ("smtp", "Google SMTP", 2),
        ("sendgrid", "SendGrid", 3),
    ]
    assert not answer["has_more"]
    first = answer["data"][0]
    assert first == (await api.get(f"/api/providers/{first['id']}")).json()
    assert first["circuit"] == {"state": "closed", "since": None, "reason": None, "until": None, "by_hand": False}
    assert (first["blocked_sender_domains"], first["quota"]) == ([], None)
    assert (first["sandbox"], first["sandbox_mode"], first["sandbox_failure_rate"]) == (True, "ok", 0)
    assert first["created_at"].endswith("Z")


async def test_the_list_is_paged_by_cursor(api: httpx.AsyncClient, sandboxes: list[str]) -> None:
    first = (await api.get("/api/providers", params={"limit": 2})).json()
    second = (await api.get("/api/providers", params={"limit": 2, "cursor": first["next_cursor"]})).json()

    assert [p["id"] for p in first["data"] + second["data"]] == sandboxes
    assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)


async def test_credentials_are_masked_and_sealed_at_rest(api: httpx.AsyncClient, context: Context, real: str) -> None:
    shown = await api.get(f"/api/providers/{real}")
    stored = await context.database.pool.fetchval("SELECT config FROM providers WHERE id = $1", uuid.UUID(real))

    assert shown.json()["config"]["password"] == "•••• word"
    assert shown.json()["config"]["host"] == "smtp.example.com"
    assert b"a-long-password" not in stored
    assert context.secrets.open(stored)["password"] == "a-long-password"


async def test_a_config_sealed_with_a_lost_key_is_shown_as_null(
    api: httpx.AsyncClient, context: Context, workspace_id: uuid.UUID
) -> None:
    lost = SecretBox(["q" * 43 + "="])
    await create_provider(context.database, lost, workspace_id, kind="smtp", name="Lost", config=SMTP)

    answer = await api.get("/api/providers")

    assert answer.status_code == 200
    assert answer.json()["data"][0]["config"] is None


async def test_another_workspaces_provider_is_not_there(
    api: httpx.AsyncClient, context: Context, sandboxes: list[str]
) -> None:
    other = await seed_workspace(context.database, "other")
    theirs = await create_provider(
        context.database, context.secrets, other, kind="ses", name="Amazon SES", sandbox=True
    )

    for answer in (
        await api.get(f"/api/providers/{theirs}"),
        await api.patch(f"/api/providers/{theirs}", json={"enabled": False}),
        await api.get(f"/api/providers/{uuid7()}"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert str(theirs) not in (await api.get("/api/providers")).text
    order = await api.post("/api/providers/order", json={"order": [*sandboxes, str(theirs)]})
    assert order.status_code == 400


async def test_a_change_changes_what_is_given_and_nothing_else(api: httpx.AsyncClient, sandboxes: list[str]) -> None:
    before = (await api.get(f"/api/providers/{sandboxes[0]}")).json()
    patch = {
        "name": "SES Frankfurt",
        "from_email": "Ann@Bücher.example",
        "from_name": "Ann",
        "sender_domains": ["Bücher.example"],
        "sandbox_mode": "slow",
        "sandbox_failure_rate": 0.25,
    }
    answer = await api.patch(f"/api/providers/{sandboxes[0]}", json=patch)

    assert answer.status_code == 200
    after = answer.json()
    assert after == {
        **before,
        **patch,
        "from_email": "Ann@xn--bcher-kva.example",
        "sender_domains": ["xn--bcher-kva.example"],
        "version": before["version"] + 1,
        "updated_at": after["updated_at"],
    }
    assert after["updated_at"] > before["updated_at"]
    cleared = await api.patch(f"/api/providers/{sandboxes[0]}", json={"sender_domains": None, "from_email": None})
    assert (cleared.json()["sender_domains"], cleared.json()["from_email"]) == (None, None)
    assert cleared.json()["name"] == "SES Frankfurt"


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": " a"}, "name"),
        ({"name": "n" * 101}, "name"),
        ({"name": None}, "name"),
        ({"enabled": "yes"}, "enabled"),
        ({"from_email": "not-an-address"}, "from_email"),
        ({"from_email": "Ann <ann@example.com>"}, "from_email"),
        ({"sender_domains": []}, "sender_domains"),
        ({"sender_domains": ["a@b.example"]}, "sender_domains[0]"),
        ({"sandbox_mode": "on_fire"}, "sandbox_mode"),
        ({"sandbox_failure_rate": 1.5}, "sandbox_failure_rate"),
        ({"sandbox_failure_rate": -0.1}, "sandbox_failure_rate"),
        ({"kind": "smtp"}, "kind"),
        ({"config": None}, "config"),
        ({"config": []}, "config"),
        ({"rate_per_second": 0}, "rate_per_second"),
        ({"rate_per_second": -1.5}, "rate_per_second"),
        ({"rate_per_second": "10"}, "rate_per_second"),
        ({"daily_quota": 0}, "daily_quota"),
        ({"daily_quota": 1.5}, "daily_quota"),
        ({"daily_quota": 2**31}, "daily_quota"),
    ],
)
async def test_a_wrong_change_is_refused_and_changes_nothing(
    api: httpx.AsyncClient, sandboxes: list[str], patch: dict[str, object], field: str
) -> None:
    before = (await api.get(f"/api/providers/{sandboxes[0]}")).json()

    answer = await api.patch(f"/api/providers/{sandboxes[0]}", json={**patch, "from_name": "Never stored"})

    assert answer.status_code == 400
    assert [detail["field"] for detail in answer.json()["details"]] == [field]
    assert (await api.get(f"/api/providers/{sandboxes[0]}")).json() == before


async def test_a_real_provider_has_no_dial(api: httpx.AsyncClient, real: str) -> None:
    for dial in ({"sandbox_mode": "down"}, {"sandbox_failure_rate": 0.5}):
        answer = await api.patch(f"/api/providers/{real}", json=dial)
        assert answer.status_code == 400
        assert "sandbox" in answer.json()["error"]
    assert (await api.patch(f"/api/providers/{real}", json={"enabled": False})).status_code == 200


async def test_two_providers_of_a_workspace_never_share_a_name(
    api: httpx.AsyncClient, context: Context, workspace_id: uuid.UUID, sandboxes: list[str]
) -> None:
    answer = await api.patch(f"/api/providers/{sandboxes[0]}", json={"name": "SendGrid"})

    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    with pytest.raises(Conflict, match="SendGrid"):
        await create_provider(
            context.database, context.secrets, workspace_id, kind="sendgrid", name="SendGrid", sandbox=True
        )


async def test_a_change_against_an_older_version_is_refused(api: httpx.AsyncClient, sandboxes: list[str]) -> None:
    assert (await api.patch(f"/api/providers/{sandboxes[0]}", json={"enabled": False, "version": 1})).is_success

    answer = await api.patch(f"/api/providers/{sandboxes[0]}", json={"enabled": True, "version": 1})

    assert (answer.status_code, answer.json()["code"]) == (409, "version_conflict")


async def test_the_order_is_the_callers(api: httpx.AsyncClient, sandboxes: list[str]) -> None:
    ses, smtp, sendgrid = sandboxes

    answer = await api.post("/api/providers/order", json={"order": [sendgrid, ses, smtp]})

    assert answer.status_code == 200
    assert [(p["id"], p["position"]) for p in answer.json()["data"]] == [(sendgrid, 1), (ses, 2), (smtp, 3)]
    assert (await api.get("/api/providers")).json() == answer.json()


async def test_an_order_must_name_every_provider_once(api: httpx.AsyncClient, sandboxes: list[str]) -> None:
    ses, smtp, sendgrid = sandboxes
    for order in ([ses, smtp], [ses, smtp, sendgrid, ses], [ses, smtp, str(uuid7())], [], ["x", smtp, sendgrid]):
        answer = await api.post("/api/providers/order", json={"order": order})
        assert answer.status_code == 400, order
        assert answer.json()["details"][0]["field"].startswith("order"), order
    assert [p["id"] for p in (await api.get("/api/providers")).json()["data"]] == sandboxes


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"enabled": False}, {"enabled": True}),
        ({"sandbox_mode": "down"}, {"sandbox_mode": "ok"}),
        ({"sandbox_failure_rate": 1.0}, {"sandbox_failure_rate": 0}),
        ({"rate_per_second": 0.1}, {"rate_per_second": None}),
        ({"daily_quota": 1}, {"daily_quota": 2}),
    ],
)
async def test_what_waits_for_a_provider_is_tried_at_once_when_it_takes_mail_again(
    api: httpx.AsyncClient,
    context: Context,
    redis: Redis,
    workspace_id: uuid.UUID,
    sandboxes: list[str],
    before: dict[str, object],
    after: dict[str, object],
) -> None:
    await api.patch(f"/api/providers/{sandboxes[0]}", json=before)
    waiting = await a_message(context, workspace_id, waiting_for="circuit")
    for_its_time = await a_message(context, workspace_id, waiting_for=None)
    await context.bell.close()
    await redis.flushdb()

    await api.patch(f"/api/providers/{sandboxes[0]}", json={"from_name": "Ann"})
    assert not await is_due(context, waiting)
    await api.patch(f"/api/providers/{sandboxes[0]}", json=after)

    assert await is_due(context, waiting)
    assert not await is_due(context, for_its_time)
    await context.bell.close()
    assert await redis.exists("arq:queue")


async def test_every_change_renews_the_lists(
    api: httpx.AsyncClient, context: Context, workspace_id: uuid.UUID, sandboxes: list[str]
) -> None:
    async def use() -> str:
        return (await context.list_cache.serve(workspace_id, "q", lambda: asyncio.sleep(0, b"page")))[1]

    assert [await use(), await use()] == ["miss", "hit"]
    await api.patch(f"/api/providers/{sandboxes[0]}", json={"name": "New"})
    assert await use() == "miss"
    await api.post("/api/providers/order", json={"order": sandboxes[::-1]})
    assert await use() == "miss"


async def test_providers_have_scopes_of_their_own(app: FastAPI, context: Context, sandboxes: list[str]) -> None:
    events_only = await create_key(context.database, workspace="default", name="e", scopes=["events:write"])
    readers = await create_key(context.database, workspace="default", name="r", scopes=["providers:read"])
    one = f"/api/providers/{sandboxes[0]}"

    async def status(key: str, method: str, path: str, body: object = None) -> int:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver", headers=headers) as client:
            return (await client.request(method, path, json=body)).status_code

    for path in ("/api/providers", one, "/api/provider-kinds"):
        assert [await status(key, "GET", path) for key in ("", events_only, readers)] == [401, 403, 200]
    assert await status(readers, "PATCH", one, {"enabled": False}) == 403
    assert await status(readers, "POST", "/api/providers/order", {"order": sandboxes}) == 403


async def test_kinds_say_what_their_config_must_hold(api: httpx.AsyncClient) -> None:
    kinds = {kind["kind"]: kind for kind in (await api.get("/api/provider-kinds")).json()["data"]}

    assert set(kinds) >= {"smtp", "ses", "sendgrid", "mailgun", "mandrill", "mailtrap", "postmark", "resend", "brevo"}
    assert kinds["ses"]["label"] == "Amazon SES"
    assert {"host", "port", "password"} <= kinds["smtp"]["config_schema"]["properties"].keys()


@pytest.mark.parametrize(
    ("kind", "config", "field"),
    [
        ("ses", {"use_default_credentials": True}, "config.region"),
        ("carrier-pigeon", {}, "kind"),
        ("smtp", {}, "config.host"),
        ("smtp", {"host": "smtp.example.com", "port": "many"}, "config.port"),
        ("smtp", {"host": "smtp.example.com", "colour": "red"}, "config.colour"),
        ("smtp", {"host": "smtp.example.com", "username": "ann", "password": ["hunter2"]}, "config.password"),
    ],
)
async def test_a_real_provider_must_be_usable_to_be_saved(
    context: Context, workspace_id: uuid.UUID, kind: str, config: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await create_provider(context.database, context.secrets, workspace_id, kind=kind, name="X", config=config)

    assert [detail.field for detail in refused.value.details] == [field]
    assert "hunter2" not in repr(refused.value) + repr(refused.value.details) + repr(refused.value.__cause__)
    assert await context.database.pool.fetchval("SELECT count(*) FROM providers") == 0


async def test_the_name_environment_is_reserved(
    api: httpx.AsyncClient, context: Context, workspace_id: uuid.UUID, sandboxes: list[str]
) -> None:
    answer = await api.patch(f"/api/providers/{sandboxes[0]}", json={"name": "Environment"})
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    with pytest.raises(Conflict):
        await create_provider(
            context.database, context.secrets, workspace_id, kind="ses", name="environment", sandbox=True
        )


async def test_providers_made_at_the_same_time_get_places_of_their_own(
    context: Context, workspace_id: uuid.UUID
) -> None:
    await asyncio.gather(
        *(
            create_provider(context.database, context.secrets, workspace_id, kind="ses", name=f"{n}", sandbox=True)
            for n in range(8)
        )
    )

    rows = await context.database.pool.fetch("SELECT position FROM providers ORDER BY position")
    assert [row["position"] for row in rows] == list(range(1, 9))


async def tries_of(
    context: Context,
    workspace_id: uuid.UUID,
    provider_id: str,
    many: int,
    *,
    ago: str = "0 seconds",
    begun: bool = True,
) -> None:
    """Finished tries at a provider; one that never began left nothing."""
    message_id = await a_message(context, workspace_id, waiting_for=None)
    await context.database.pool.execute(
        """INSERT INTO attempts (id, workspace_id, message_id, number, round, fence, worker_id, provider_id,
                                 provider_kind, provider_name, started_at, dispatched_at, finished_at, outcome)
           SELECT gen_random_uuid(), $1, $2, n, 1, 1, $3, $3, 'smtp', 'Real', at, CASE WHEN $6 THEN at END, at,
                  'accepted'
           FROM generate_series(1, $4::int) n, LATERAL (SELECT clock_timestamp() - $5::text::interval AS at) t""",
        workspace_id, message_id, uuid.UUID(provider_id), many, ago, begun,
    )  # fmt: skip


async def test_a_quota_that_is_set_counts_what_was_tried_on_this_day_before(
    api: httpx.AsyncClient, context: Context, workspace_id: uuid.UUID, sandboxes: list[str], real: str
) -> None:
    await tries_of(context, workspace_id, real, 7)
    await tries_of(context, workspace_id, real, 5, ago="1 day")
    await tries_of(context, workspace_id, real, 3, begun=False)
    await tries_of(context, workspace_id, sandboxes[-1], 2)

    async def used_with(quota: int | None) -> int | None:
        shown = (await api.patch(f"/api/providers/{real}", json={"daily_quota": quota})).json()["quota"]
        return shown["used_today"] if shown else None

    assert await used_with(100) == 7
    await tries_of(context, workspace_id, real, 4)
    assert await used_with(50) == 7  # workers count while there is a quota
    assert await used_with(None) is None
    assert await used_with(50) == 11


async def test_a_quota_that_is_set_again_forgets_nothing_that_was_counted(
    api: httpx.AsyncClient, context: Context, workspace_id: uuid.UUID, real: str
) -> None:
    await api.patch(f"/api/providers/{real}", json={"daily_quota": 100})
    await context.database.pool.execute("UPDATE provider_usage SET used = 30")
    await api.patch(f"/api/providers/{real}", json={"daily_quota": None})
    await tries_of(context, workspace_id, real, 2)

    again = await api.patch(f"/api/providers/{real}", json={"daily_quota": 100})

    assert again.json()["quota"]["used_today"] == 30


async def test_every_line_of_the_readme_can_be_pasted_into_the_first_workspace(
    api: httpx.AsyncClient, sandboxes: list[str]
) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    lines = re.findall(r"curl -X POST http://localhost:8000(/\S+) .*?\\\n\s+-d '(.*?)'\n", readme)
    assert [path for path, _ in lines] == ["/api/events", "/api/providers"]
    for path, body in lines:
        answer = await api.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 201, answer.text
