"""How often each caller may ask, and what they are told."""

import asyncio
import dataclasses
import uuid
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from janus_mail.accounts import access
from janus_mail.errors import TooManyRequests
from janus_mail.keys.key import create_key, prove_key
from janus_mail.storage.database import Database
from janus_mail.web.limiter import Limiter
from janus_mail.web.rate_limits import charge
from tests.feedback.conftest import PUBLIC_KEY, batch, event, signed
from tests.people import add_person, signed_in
from tests.web.asking import HEADERS, check_refusal, client_of, limited, told

WRONG = "janus_aaaaaaaaaa_" + "x" * 43
EVENT = {
    "email_subject": "Hello", "email_content": "Hello", "expected_sent_at": "in 2 days", "recipients": "a@example.com",
}  # fmt: skip


ASKED: dict[str, tuple[str, str, Any, int]] = {
    "answered": ("GET", "/api/events", None, 200),
    "stored": ("POST", "/api/events", EVENT, 201),
    "not valid": ("POST", "/api/events", {}, 400),
    "not there": ("GET", f"/api/events/{uuid.uuid4()}", None, 404),
    "no such path": ("GET", "/api/nothing", None, 404),
    "wrong method": ("PATCH", "/api/events/batch", None, 405),
    "too large": ("POST", "/api/providers", {"name": "x" * 70_000}, 413),
}


@pytest.mark.parametrize(("method", "path", "body", "status"), ASKED.values(), ids=ASKED)
async def test_every_answer_of_the_api_says_what_is_left(
    app: FastAPI, api: httpx.AsyncClient, method: str, path: str, body: Any, status: int
) -> None:
    limited(app, read=50, write=50, send=50, address=100)
    answer = await api.request(method, path, json=body)
    assert answer.status_code == status
    limit, remaining = told(answer)
    assert remaining < limit


async def test_who_lacks_a_scope_or_a_key_is_told_too(
    app: FastAPI, database: Database, workspace_id: uuid.UUID
) -> None:
    limited(app, send=6_000, refused=120)
    reader = await create_key(database, workspace="default", name="reader", scopes=["events:read"])
    async with client_of(app, reader) as client:
        answer = await client.post("/api/events", json=EVENT)
        assert (answer.status_code, told(answer)) == (403, (6_000, 5_999))
    async with client_of(app) as client:
        answer = await client.get("/api/events")
        assert (answer.status_code, told(answer)) == (401, (120, 119))


CLASSES: dict[str, tuple[str, str, str]] = {
    "read": ("read", "GET", "/api/events"),
    "read one": ("read", "GET", f"/api/events/{uuid.uuid4()}"),
    "send": ("send", "POST", "/api/events"),
    "send many": ("send", "POST", "/api/events/batch"),
    "dry run": ("write", "POST", "/api/events/dry-run"),
    "cancel": ("write", "DELETE", f"/api/events/{uuid.uuid4()}"),
    "change": ("write", "PATCH", f"/api/events/{uuid.uuid4()}"),
    "pause": ("write", "POST", "/api/workspace/pause"),
}


@pytest.mark.parametrize(("kind", "method", "path"), CLASSES.values(), ids=CLASSES)
async def test_each_class_of_routes_has_its_own_limit(
    app: FastAPI, api: httpx.AsyncClient, kind: str, method: str, path: str
) -> None:
    limited(app, **({"read": 50, "write": 50, "send": 50} | {kind: 2}))
    for left in (1, 0):
        answer = await api.request(method, path)
        assert answer.status_code != 429
        assert told(answer) == (2, left)
    check_refusal(await api.request(method, path))
    elsewhere = f"/api/events/{uuid.uuid4()}"
    others = {"read": ("GET", "/api/events"), "send": ("POST", "/api/events"), "write": ("DELETE", elsewhere)}
    for other, (way, where) in others.items():
        assert ((await api.request(way, where)).status_code == 429) == (other == kind)


async def test_a_key_may_have_a_limit_of_its_own_for_all_classes(
    app: FastAPI, api: httpx.AsyncClient, database: Database
) -> None:
    limited(app, read=1, write=1, send=1)
    await database.pool.execute("UPDATE api_keys SET rate_limit = 3")
    answers = [await api.get("/api/events"), await api.post("/api/events", json=EVENT), await api.get("/api/events")]
    assert [told(answer) for answer in answers] == [(3, 2), (3, 1), (3, 0)]
    check_refusal(await api.delete(f"/api/events/{uuid.uuid4()}"))
    await database.pool.execute("UPDATE api_keys SET rate_limit = 0")
    answer = await api.get("/api/events")
    assert answer.status_code == 200
    assert not any(name in answer.headers for name in HEADERS)


async def test_keys_have_each_their_own_and_share_their_workspaces(
    app: FastAPI, api_key: str, database: Database
) -> None:
    other = await create_key(database, workspace="default", name="other")
    limited(app, read=3, workspace=5)
    async with client_of(app, api_key) as one, client_of(app, other) as two:
        assert [told(await one.get("/api/events")) for _ in range(3)] == [(3, 2), (3, 1), (3, 0)]
        for _ in range(20):  # what is refused to one is not taken from the others
            check_refusal(await one.get("/api/events"))
        assert [told(await two.get("/api/events")) for _ in range(2)] == [(5, 1), (5, 0)]
        answer = await two.get("/api/events")
        check_refusal(answer)
        assert "of this workspace" in answer.json()["error"]


async def test_an_address_has_a_limit_whoever_asks_from_it(app: FastAPI, api_key: str) -> None:
    limited(app, address=3)
    elsewhere = client_of(app, api_key, address="2001:db8::1")
    async with client_of(app, api_key) as known, client_of(app) as stranger, elsewhere as far:
        assert (await known.get("/api/events")).status_code == 200
        assert (await stranger.get("/api/nothing")).status_code == 404
        assert (await stranger.get("/add")).status_code == 401
        check_refusal(await known.get("/api/events"))
        assert (await far.get("/api/events")).status_code == 200


async def test_of_1000_wrong_keys_few_are_looked_up_and_then_nobody_is_let_in_from_there(
    app: FastAPI, api_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(app, refused=20)
    looked_up = 0

    async def counted(database: Database, token: str) -> Any:
        nonlocal looked_up
        looked_up += 1
        return await prove_key(database, token)

    monkeypatch.setattr(access, "prove_key", counted)
    elsewhere = client_of(app, api_key, address="192.0.2.1")
    async with client_of(app, WRONG) as guesser, client_of(app, api_key) as guessed, elsewhere as owner:
        statuses = [(await guesser.get("/api/events")).status_code for _ in range(1_000)]
        assert statuses == [401] * 20 + [429] * 980
        assert looked_up == 20
        check_refusal(await guessed.get("/api/events"))
        assert looked_up == 20
        assert (await owner.get("/api/events")).status_code == 200


async def test_1000_wrong_keys_at_once_are_stopped_too(app: FastAPI, workspace_id: uuid.UUID) -> None:
    limited(app, refused=20)
    async with client_of(app, WRONG) as guesser:
        answers = await asyncio.gather(*(guesser.get("/api/events") for _ in range(200)))
        again = await asyncio.gather(*(guesser.get("/api/events") for _ in range(800)))
    assert {answer.status_code for answer in answers} <= {401, 429}
    assert {answer.status_code for answer in again} == {429}


async def test_wrong_tokens_of_the_form_api_count_as_well(app: FastAPI, api_key: str) -> None:
    limited(app, refused=3)
    async with client_of(app) as client:
        for _ in range(3):
            assert (await client.get("/view_sent_emails/", params={"TOKEN": WRONG})).status_code == 403
        assert (await client.get("/view_sent_emails/", params={"TOKEN": api_key})).status_code == 429


async def test_the_form_api_says_it_in_its_own_shape(app: FastAPI, api_key: str) -> None:
    limited(app, send=1)
    async with client_of(app) as client:
        answers = [await client.post("/send_email/", data={"TOKEN": api_key}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [400, 429]
    assert answers[1].json()["status"] == 429
    assert "schedule mail" in answers[1].json()["errors"]["__all__"][0]
    assert answers[1].headers["retry-after"] == answers[1].headers["ratelimit-reset"]


async def test_anonymous_callers_of_this_machine_have_no_limits(
    anonymous_app: FastAPI, anonymous_api: httpx.AsyncClient
) -> None:
    limited(anonymous_app, read=1, write=1, send=1, workspace=1, address=1, refused=1, pages=1)
    for path in ("/api/events", "/api/nothing", "/add", "/"):
        for _ in range(3):
            answer = await anonymous_api.get(path)
            assert answer.status_code in (200, 404)
            assert not any(name in answer.headers for name in HEADERS)


async def test_who_says_that_they_come_through_a_proxy_is_limited_like_anybody(anonymous_app: FastAPI) -> None:
    limited(anonymous_app, address=1)
    async with client_of(anonymous_app, address="127.0.0.1") as client:
        answers = [await client.get("/api/events", headers={"X-Forwarded-For": f"192.0.2.{n}"}) for n in range(3)]
    assert [answer.status_code for answer in answers] == [401, 429, 429]


async def test_a_forged_address_evades_no_limit(app: FastAPI, workspace_id: uuid.UUID) -> None:
    limited(app, address=5)
    async with client_of(app) as client:
        answers = [await client.get("/api/nothing", headers={"X-Forwarded-For": f"192.0.2.{n}"}) for n in range(8)]
    assert [answer.status_code for answer in answers] == [404] * 5 + [429] * 3


async def test_an_ipv6_customer_is_one_caller(app: FastAPI, workspace_id: uuid.UUID) -> None:
    limited(app, address=3)
    statuses = []
    for number in range(5):
        async with client_of(app, address=f"2001:db8:1:2::{number}") as client:
            statuses.append((await client.get("/api/nothing")).status_code)
    assert statuses == [404] * 3 + [429] * 2


async def test_two_api_processes_count_together(app: FastAPI, anonymous_app: FastAPI, api_key: str) -> None:
    for process in (app, anonymous_app):  # on one PostgreSQL and one Redis
        limited(process, read=4)
    async with client_of(app, api_key) as here, client_of(anonymous_app, api_key) as there:
        lefts = [told(await client.get("/api/events"))[1] for client in (here, there, here, there)]
        assert lefts == [3, 2, 1, 0]
        check_refusal(await here.get("/api/events"))
        check_refusal(await there.get("/api/events"))


async def test_without_redis_the_limits_hold_in_the_process(app: FastAPI, api: httpx.AsyncClient) -> None:
    context = limited(app, read=2)
    app.state.context = dataclasses.replace(context, limiter=Limiter(None, clock=lambda: 1_800_000_000.0))
    assert [told(await api.get("/api/events")) for _ in range(2)] == [(2, 1), (2, 0)]
    check_refusal(await api.get("/api/events"))


async def test_one_request_asks_redis_once(app: FastAPI, api: httpx.AsyncClient, redis: Redis) -> None:
    limited(app, read=100, workspace=100, address=100)
    await api.get("/api/workspace")
    before = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    await api.get("/api/workspace")
    assert (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] == before + 1
    assert len(await redis.keys("janus:rate:*")) == 3


async def test_what_watches_us_has_no_limit(app: FastAPI, workspace_id: uuid.UUID) -> None:
    limited(app, address=1, pages=1)
    async with client_of(app) as client:
        for path in ("/healthz", "/readyz", "/metrics", "/static/nothing.css"):
            assert 429 not in [(await client.get(path)).status_code for _ in range(3)]


async def test_a_stranger_may_look_at_so_many_pages(app: FastAPI, workspace_id: uuid.UUID) -> None:
    limited(app, pages=3)
    async with client_of(app) as client:
        answers = [await client.get("/", headers={"Accept": "text/html"}) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [303, 303, 303, 429]
        assert answers[3].headers["content-type"].startswith("text/html")
        assert "retry-after" in answers[3].headers
        assert (await client.get("/api/nothing")).status_code == 404  # the API has its own


@pytest.mark.parametrize("cookie", ["a=b", "janus_session=forged"])
async def test_a_cookie_that_signs_nobody_in_evades_no_limit(
    app: FastAPI, workspace_id: uuid.UUID, cookie: str
) -> None:
    limited(app, pages=3, address=10)
    async with client_of(app) as client:
        answers = [await client.get("/", headers={"Cookie": cookie}) for _ in range(12)]
        assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 9
        check_refusal(await client.get("/api/nothing"))  # what was refused was looked up, and so counts for the address


async def test_a_key_beyond_its_limit_still_counts_for_its_address(app: FastAPI, api_key: str) -> None:
    limited(app, read=2, address=5)
    async with client_of(app, api_key) as client, client_of(app) as stranger:
        assert [(await client.get("/api/events")).status_code for _ in range(4)] == [200] * 2 + [429] * 2
        assert [(await stranger.get("/api/nothing")).status_code for _ in range(2)] == [404, 429]


async def test_a_key_that_works_is_not_stopped_by_wrong_ones_from_its_address_until_it_works_no_more(
    app: FastAPI, api_key: str, database: Database
) -> None:
    limited(app, refused=3)
    async with client_of(app, WRONG) as guesser, client_of(app, api_key) as working:
        assert (await working.get("/api/events")).status_code == 200
        assert [(await guesser.get("/api/events")).status_code for _ in range(5)] == [401] * 3 + [429] * 2
        assert [(await working.get("/api/events")).status_code for _ in range(5)] == [200] * 5
        await database.pool.execute("UPDATE api_keys SET revoked_at = now()")
        assert [(await working.get("/api/events")).status_code for _ in range(3)] == [401, 429, 429]


async def test_a_wrong_key_beside_a_right_token_of_the_form_api_is_not_taken_for_right(
    app: FastAPI, api_key: str
) -> None:
    limited(app, refused=2)
    async with client_of(app, WRONG) as beside, client_of(app, WRONG[:-1] + "y") as guesser:
        assert (await beside.get("/view_sent_emails/", params={"TOKEN": api_key})).status_code == 200
        assert [(await guesser.get("/api/events")).status_code for _ in range(2)] == [401] * 2
        assert (await beside.get("/api/events")).status_code == 429


async def test_each_person_may_look_at_so_many_pages_whoever_else_is_behind_their_address(
    app: FastAPI, database: Database, workspace_id: uuid.UUID
) -> None:
    ann, bob = [await add_person(database, f"{name}@example.com", workspace_id=workspace_id) for name in ("ann", "bob")]
    limited(app, pages=3)
    async with (
        client_of(app, address="127.0.0.1") as stranger,
        signed_in(app, database, ann) as anns,
        signed_in(app, database, bob) as bobs,
    ):
        assert [(await stranger.get("/")).status_code for _ in range(4)] == [401] * 3 + [429]
        assert [(await anns.get("/")).status_code for _ in range(4)] == [200] * 3 + [429]
        assert (await bobs.get("/")).status_code == 200


@pytest.fixture
async def hooks(api: httpx.AsyncClient) -> list[str]:
    """The paths of two providers' hooks."""
    paths = []
    for name in ("one", "two"):
        config = {"api_key": "SG.x", "webhook_public_key": PUBLIC_KEY}
        made = await api.post("/api/providers", json={"kind": "sendgrid", "name": name, "config": config})
        assert made.status_code == 201, made.text
        paths.append(httpx.URL(made.json()["hook_url"]).path)
    return paths


async def test_a_hook_has_a_limit_of_its_own(app: FastAPI, hooks: list[str]) -> None:
    limited(app, hooks=2, address=1)
    body = batch(event("delivered"))
    statuses = []
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        async with client_of(app, address=address) as service:
            statuses.append((await service.post(hooks[0], content=body, headers=signed(body))).status_code)
    assert statuses == [200, 200, 429]
    async with client_of(app, address="192.0.2.3") as service:
        assert (await service.post(hooks[1], content=body, headers=signed(body))).status_code == 200


async def test_who_posts_forged_feedback_to_one_hook_is_stopped_there_alone(app: FastAPI, hooks: list[str]) -> None:
    limited(app, refused=3, hooks=100)
    body = batch(event("delivered"))
    async with client_of(app) as service:
        forged = [await service.post(hooks[0], content=body) for _ in range(5)]
        assert [answer.status_code for answer in forged] == [401] * 3 + [429] * 2
        guessed = [await service.post(f"{hooks[1].rpartition('/')[0]}/guess{n}", content=body) for n in range(4)]
        assert [answer.status_code for answer in guessed] == [401] * 3 + [429]
    async with client_of(app, address="192.0.2.3") as service:
        assert (await service.post(hooks[0], content=body, headers=signed(body))).status_code == 200


async def test_other_parts_charge_what_they_like(app: FastAPI) -> None:
    context = limited(app)
    for _ in range(3):
        await charge(context, "sign-in:ann@example.com", 3, 900)
    with pytest.raises(TooManyRequests) as refused:
        await charge(context, "sign-in:ann@example.com", 3, 900)
    assert "at most 3 in 15 minutes" in refused.value.message
    assert 0 < (refused.value.retry_after_s or 0) <= 900
    await charge(context, "sign-in:bob@example.com", 3, 900)
    await charge(context, "sign-in:ann@example.com", 0, 900)


def test_every_route_of_the_api_documents_its_limits(app: FastAPI) -> None:
    for path, operations in app.openapi()["paths"].items():
        if not path.startswith("/api/"):
            continue
        for method, operation in operations.items():
            assert "429" in operation["responses"], (method, path)
            assert "Retry-After" in operation["responses"]["429"]["headers"], (method, path)
            for status, said in operation["responses"].items():
                assert {name.title() for name in HEADERS} <= {name.title() for name in said["headers"]}, (path, status)
