"""`/hooks/…`: who may post, what is refused, what is stored before it is answered."""

import asyncio
import json
import time
import uuid
from urllib.parse import urlencode

import asyncpg
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from pydantic import SecretStr

from janus_mail.app import create_app
from janus_mail.feedback import shelf as shelf_module
from janus_mail.feedback.hooks import Hooks
from janus_mail.feedback.services.sendgrid import SIGNATURE, TIMESTAMP
from janus_mail.feedback.shelf import Shelf, shelf_of
from janus_mail.settings import Settings
from tests.delivery.conftest import Workshop
from tests.feedback.conftest import PUBLIC_KEY, Service, batch, event, long_ago, service_of, signed


async def test_a_signed_post_is_stored_before_it_is_answered(sendgrid: Service) -> None:
    body = batch(event("delivered"))
    answer = await sendgrid.post(body)
    assert (answer.status_code, answer.json()) == (200, {"status": "success"})
    (post,) = await sendgrid.stored()
    assert (post["body"], post["kind"], post["headers"], post["tries"]) == (body, "sendgrid", {}, 0)
    assert post["provider_id"] == sendgrid.provider_id


async def test_a_forged_post_is_refused_and_nothing_is_stored(sendgrid: Service) -> None:
    body = batch(event("delivered"))
    stranger = ec.generate_private_key(ec.SECP256R1())
    true = signed(body)
    forged = {
        "signature_missing": ({}, {SIGNATURE: true[SIGNATURE]}, {TIMESTAMP: true[TIMESTAMP]}),
        "signature_wrong": (
            signed(body, key=stranger), signed(body + b" "), {**true, SIGNATURE: "!"}, {**true, SIGNATURE: "AAAA"},
            {**true, TIMESTAMP: str(int(true[TIMESTAMP]) + 1)},
        ),
        "signature_too_old": (signed(body, at=long_ago()),),
        "signature_ahead": (signed(body, at=time.time() + 3600),),
    }  # fmt: skip
    for code, headers in ((code, one) for code, many in forged.items() for one in many):
        answer = await sendgrid.post(body, headers)
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert answer.json()["error"]
    assert await sendgrid.stored() == []


async def test_every_wrong_address_is_answered_alike(shop: Workshop, sendgrid: Service) -> None:
    gone = await service_of(shop, sendgrid.client, "gone")
    await shop.database.pool.execute("UPDATE providers SET deleted_at = now() WHERE id = $1", gone.provider_id)
    wrong = f"/hooks/{sendgrid.provider_id}/{'0' * 32}"
    none = f"/hooks/{uuid.uuid4()}/{'0' * 32}"
    bodies = set()
    for path in (wrong, none, gone.path, "/hooks/x/y", wrong + "/dsn", "/hooks/%C3%A9/%C3%A9"):
        body = batch(event("delivered"))
        answer = await sendgrid.client.post(path, content=body, headers=signed(body))
        assert answer.status_code == 401
        bodies.add((answer.json()["code"], answer.json()["error"]))
        assert (await sendgrid.client.head(path)).status_code == 401
    assert len(bodies) == 1
    assert await sendgrid.stored() == []


async def test_head_tells_that_somebody_is_there_and_get_is_no_method(sendgrid: Service) -> None:
    assert (await sendgrid.client.head(sendgrid.path)).status_code == 200
    answer = await sendgrid.client.get(sendgrid.path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "HEAD, POST")


async def test_a_hook_that_is_not_set_up_says_what_to_enter_where(shop: Workshop, client: httpx.AsyncClient) -> None:
    for kind, said in (("sendgrid", "verification key"), ("smtp", "/dsn")):
        service = await service_of(shop, client, kind, kind=kind, config={})
        body = batch(event("delivered"))
        answer = await service.post(body)
        assert (answer.status_code, answer.json()["code"]) == (401, "hook_not_set_up")
        assert said in answer.json()["error"]
    assert await service.stored() == []


async def test_a_key_that_is_no_key_is_not_believed(shop: Workshop, client: httpx.AsyncClient) -> None:
    for wrong in ("no base64", "AAAA"):  # as it may have been stored before keys were checked
        service = await service_of(shop, client, wrong, config={"webhook_public_key": wrong})
        assert (await service.post(batch(event("delivered")))).status_code == 401
        assert await service.stored() == []


async def test_a_key_copied_with_its_pem_lines_is_read(shop: Workshop, client: httpx.AsyncClient) -> None:
    pem = f"-----BEGIN PUBLIC KEY-----\n{PUBLIC_KEY[:64]}\n{PUBLIC_KEY[64:]}\n-----END PUBLIC KEY-----\n"
    service = await service_of(shop, client, config={"webhook_public_key": pem})
    assert (await service.post(batch(event("delivered")))).status_code == 200


async def test_a_changed_key_counts_within_a_second(shop: Workshop, sendgrid: Service) -> None:
    assert (await sendgrid.post(batch(event("delivered")))).status_code == 200
    await shop.database.pool.execute("UPDATE providers SET hook_token = 'another' WHERE id = $1", sendgrid.provider_id)
    async with asyncio.timeout(3):
        while (await sendgrid.post(batch(event("delivered")))).status_code == 200:
            await asyncio.sleep(0.1)
    sendgrid.path = f"/hooks/{sendgrid.provider_id}/another"
    assert (await sendgrid.post(batch(event("delivered")))).status_code == 200


async def test_a_providers_row_is_read_once_a_second(
    shop: Workshop, sendgrid: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    read = Hooks._read

    async def counted(self: Hooks, ids: list[uuid.UUID]) -> object:
        nonlocal reads
        reads += 1
        return await read(self, ids)

    monkeypatch.setattr(Hooks, "_read", counted)
    hooks, token = Hooks(shop.database), sendgrid.path.rpartition("/")[2]
    for _ in range(50):
        assert await hooks.find(sendgrid.provider_id, token) is not None
    assert reads == 1


async def test_a_body_above_the_limit_is_refused(sendgrid: Service) -> None:
    answer = await sendgrid.post(b" " * (10 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_when_too_much_waits_to_be_stored_it_is_503_and_never_a_2xx(
    app: FastAPI, sendgrid: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf_module, "MOST_POSTS", 5)
    shelf = shelf_of(app.state.context.database)
    async with app.state.context.database.pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK hook_posts")  # so that nothing is stored meanwhile
        first = [asyncio.create_task(sendgrid.post(batch(event("delivered")))) for _ in range(20)]
        async with asyncio.timeout(3):
            while sum(task.done() for task in first) < 15:
                await asyncio.sleep(0.01)
        refused = [task.result() for task in first if task.done()]
        assert {answer.status_code for answer in refused} == {503}
        assert {(answer.headers["retry-after"], answer.json()["code"]) for answer in refused} == {("2", "too_busy")}
    answers = [await task for task in first]
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [503] * 15
    assert len(await sendgrid.stored()) == 5
    assert (shelf.posts, shelf.octets) == (0, 0)


async def test_when_too_many_octets_wait_it_is_503(
    app: FastAPI, sendgrid: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf_module, "MOST_OCTETS", 1000)
    assert (await sendgrid.post(b"[" + b" " * 1200 + b"]")).status_code == 503
    assert (await sendgrid.post(batch(event("delivered")))).status_code == 200
    shelf = shelf_of(app.state.context.database)
    assert (shelf.posts, shelf.octets) == (0, 0)


async def test_a_store_that_takes_too_long_is_503_and_gives_its_place_back(
    app: FastAPI, sendgrid: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("janus_mail.feedback.endpoints._PATIENCE_S", 0.2)
    async with app.state.context.database.pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK hook_posts")
        answer = await sendgrid.post(batch(event("delivered")))
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        assert shelf_of(app.state.context.database).posts == 1
    async with asyncio.timeout(3):
        while shelf_of(app.state.context.database).posts:
            await asyncio.sleep(0.01)
    assert len(await sendgrid.stored()) == 1  # stored after all; the service will post it again, and it counts once


async def test_without_the_database_it_is_503(settings: Settings, shop: Workshop) -> None:
    away = settings.model_copy(update={"database_url": SecretStr("postgresql://127.0.0.1:1/x")})
    app = create_app(away)
    async with app.router.lifespan_context(app), httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://testserver"
    ) as client:  # fmt: skip
        answer = await client.post(f"/hooks/{uuid.uuid4()}/{'0' * 32}", content=b"[]")
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)


async def test_a_post_that_postgresql_refuses_does_not_cost_the_others_theirs(
    shop: Workshop, sendgrid: Service
) -> None:
    shelf = Shelf(shop.database)

    async def put(kind: object) -> None:
        with shelf.place() as place:
            await shelf.put(shelf_module.Kept(place, shop.workspace_id, sendgrid.provider_id, kind, {}, b"[]"))  # type: ignore[arg-type]

    ends = await asyncio.gather(put("sendgrid"), put(None), put("sendgrid"), return_exceptions=True)
    assert [type(end) for end in ends] == [type(None), asyncpg.NotNullViolationError, type(None)]
    assert (len(await sendgrid.stored()), shelf.posts) == (2, 0)


async def test_bounces_as_mail_need_the_token_and_nothing_else(sendgrid: Service) -> None:
    answer = await sendgrid.post(b"Subject: x\r\n\r\nHi", {}, path="/dsn")
    assert (answer.status_code, answer.json()) == (200, {"status": "success"})
    (post,) = await sendgrid.stored()
    assert (post["kind"], post["body"]) == ("dsn", b"Subject: x\r\n\r\nHi")


async def test_a_large_post_is_checked_while_others_are_answered(shop: Workshop, client: httpx.AsyncClient) -> None:
    service = await service_of(shop, client, kind="mandrill", config={"webhook_key": "k"})
    told = json.dumps([{"event": "send", "msg": {"subject": "\xe9" * 100}}] * 8_000, ensure_ascii=False)
    body = urlencode({"mandrill_events": told}).encode()
    assert 4 * 2**20 < len(body) < 10 * 2**20
    posting = asyncio.create_task(service.post(body, {"x-mandrill-signature": "no"}))
    turns = 0
    while not posting.done():  # on the loop it would be done within a few
        await asyncio.sleep(0.005)
        turns += 1
    answer = await posting
    assert (answer.status_code, answer.json()["code"]) == (401, "signature_wrong")
    assert turns > 20
    assert await service.stored() == []


async def test_settings_that_cannot_be_read_are_logged_once_until_they_change(
    shop: Workshop, sendgrid: Service, caplog: pytest.LogCaptureFixture
) -> None:
    unreadable = "UPDATE providers SET config = $2 WHERE id = $1"

    def complaints() -> int:
        return sum("cannot be used" in record.message for record in caplog.records)

    for times, sealed in enumerate((b"x", b"y"), 1):
        await shop.database.pool.execute(unreadable, sendgrid.provider_id, sealed)
        async with asyncio.timeout(3):
            while complaints() < times:
                await sendgrid.post(batch(event("delivered")))
                await asyncio.sleep(0.05)
        for _ in range(5):
            answer = await sendgrid.post(batch(event("delivered")))
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        assert complaints() == times
