"""What a provider's config leads to is looked at when it is saved, and again whenever it is connected to."""

import asyncio
import socket
import threading
import uuid
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
from aiohappyeyeballs import AddrInfoType
from fastapi import FastAPI

from janus_mail.providers import network
from janus_mail.providers.registry import KINDS, fields_connected_to
from janus_mail.routing import addresses
from janus_mail.routing.environment import keep_environment_provider
from janus_mail.routing.verify import verify_provider
from janus_mail.settings import Settings
from janus_mail.web.context import Context
from tests.providers.benches import BENCHES
from tests.providers.scripted_smtp import ScriptedSmtp
from tests.providers.test_private_addresses import Names

SMTP = {"host": "mail.example.com", "username": "ann", "password": "a-long-password"}
GATEWAY = {"api_key": "SG.abc.def", "endpoint": "https://gateway.example"}
CONFIGS: dict[str, dict[str, Any]] = {"smtp": SMTP} | {bench.kind: dict(bench.config) for bench in BENCHES}
STRANGE = [
    "http://", "https://", "https://[", "https://[::1", "https://[::1]:99999", "https://:443", "https://..",
    "https://a b", "https://127.0.0.1#@example.com", "https://example.com@127.0.0.1", "https://127.0.0.1\\@example.com",
    "https:///127.0.0.1", "//127.0.0.1", "file:///etc/passwd", "gopher://127.0.0.1", "https://\u0000", "https://💌",
    "https://" + "a" * 64 + ".example", "https://" + "a." * 200 + "example", "https://127.0.0.1%00.example.com",
    "https://%31%32%37.0.0.1", "https://０x7f.1", "https://xn--", "127.0.0.1", "\ud800", "", 1, None, [], {},
]  # fmt: skip


@pytest.fixture
def guarded(app: FastAPI, context: Context) -> Iterator[Context]:
    """As in production: JANUS_ALLOW_PRIVATE_HOSTS is off."""
    settings = context.settings.model_copy(update={"allow_private_hosts": False})
    app.state.context = replace(context, settings=settings)
    yield app.state.context
    app.state.context = context


def resolve(monkeypatch: pytest.MonkeyPatch, *answers: Sequence[str]) -> Names:
    """At save the first, then the next."""
    names = Names(*answers)
    monkeypatch.setattr(network, "look_up", names)
    monkeypatch.setattr(addresses, "look_up", names)
    return names


async def add(api: httpx.AsyncClient, kind: str, config: object, **more: Any) -> httpx.Response:
    body = {"kind": kind, "name": "Ours", "config": config, **more}
    return await api.post("/api/providers", params={"verify": "false"}, json=body)


async def change(api: httpx.AsyncClient, provider_id: str, config: object, **more: Any) -> httpx.Response:
    return await api.patch(f"/api/providers/{provider_id}", params={"verify": "false"}, json={"config": config, **more})


def refused(answer: httpx.Response) -> tuple[int, str, list[str]]:
    told = answer.json()
    return answer.status_code, told["code"], [detail["field"] for detail in told["details"]]


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_is_refused_where_it_leads_within_naming_the_field(
    kind: str, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for field in fields_connected_to(kind):
        for host in ("127.0.0.1", "intranet.example"):
            resolve(monkeypatch, ("10.0.0.7",))
            value = host if kind == "smtp" else f"https://{host}:8443/mail"
            answer = await add(api, kind, CONFIGS[kind] | {field: value})
            assert refused(answer) == (400, "private_address", [f"config.{field}"])
            (detail,) = answer.json()["details"]
            sentence = f"{host} leads to an address that is not public, and JANUS_ALLOW_PRIVATE_HOSTS is off."
            assert (detail["message"], answer.json()["error"]) == (sentence, sentence)
            assert "10.0.0.7" not in answer.text
    assert (await api.get("/api/providers")).json()["data"] == []


@pytest.mark.usefixtures("guarded")
async def test_a_change_that_leads_within_is_refused_and_nothing_is_stored(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, ("8.8.8.8",), ("fd00::7",))
    made = (await add(api, "smtp", SMTP)).json()
    answer = await change(api, made["id"], SMTP | {"host": "10.0.0.1"})
    assert refused(answer) == (400, "private_address", ["config.host"])
    assert (await api.get(f"/api/providers/{made['id']}")).json()["config"] == made["config"]


async def test_what_was_saved_while_it_was_allowed_may_be_renamed_and_is_not_connected_to(
    app: FastAPI, context: Context, guarded: Context, api: httpx.AsyncClient
) -> None:
    app.state.context = context
    made = (await add(api, "smtp", SMTP | {"host": "127.0.0.1"})).json()
    app.state.context = guarded
    answer = await change(api, made["id"], made["config"], name="Other")
    assert (answer.status_code, answer.json()["name"]) == (200, "Other")
    verified = (await api.post(f"/api/providers/{made['id']}/verify")).json()["verification"]
    assert (verified["ok"], verified["outcome"], verified["code"]) == (False, "provider_broken", "private_address")


@pytest.mark.usefixtures("guarded")
async def test_a_name_that_is_public_when_it_is_saved_and_ours_when_it_is_asked_is_asked_nothing(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await ScriptedSmtp().start()
    names = resolve(monkeypatch, ("8.8.8.8",), ("127.0.0.1",))
    config = {"host": "rebind.example", "port": server.port, "security": "none"}
    answer = await api.post("/api/providers", json={"kind": "smtp", "name": "Rebinding", "config": config})
    assert (answer.status_code, answer.json()["verification"]["code"]) == (201, "private_address")
    assert (names.asked, server.conversations) == (["rebind.example"] * 2, [])
    tried = await api.post(f"/api/providers/{answer.json()['id']}/test", json={"to": "a@example.org"})
    assert (tried.status_code, tried.json()["code"], tried.json()["dispatched_at"]) == (200, "private_address", None)
    assert server.conversations == []
    await server.stop()


@pytest.mark.usefixtures("guarded")
async def test_a_preset_that_leads_within_is_refused_too(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = resolve(monkeypatch, ("192.168.1.1",))
    answer = await add(api, "smtp", {"preset": "gmail", "username": "a@gmail.com", "password": "abcd efgh ijkl mnop"})
    assert refused(answer) == (400, "private_address", ["config.host"])
    assert names.asked == ["smtp.gmail.com"]


@pytest.mark.usefixtures("guarded")
async def test_a_name_that_nobody_knows_yet_is_saved(api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, ())
    assert (await add(api, "smtp", SMTP)).status_code == 201


async def test_a_look_up_has_an_end_and_no_transaction_waits_for_it(
    guarded: Context, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = []

    async def look_up(_host: str, _port: int, *_threads: object) -> Sequence[AddrInfoType]:
        waiting.append(await guarded.database.pool.fetchval(
            """SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND state LIKE 'idle in transaction%'"""
        ))  # fmt: skip
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(addresses, "look_up", look_up)
    assert addresses.LOOK_UP_S == 2
    monkeypatch.setattr(addresses, "LOOK_UP_S", 0.2)
    async with asyncio.timeout(5):
        made = await add(api, "smtp", SMTP)
        assert (await change(api, made.json()["id"], SMTP | {"host": "other.example"})).status_code == 200
    assert (made.status_code, waiting) == (201, [0, 0])


@pytest.mark.usefixtures("guarded")
async def test_names_that_nobody_answers_for_keep_nobody_else_from_looking_one_up(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, system = threading.Event(), socket.getaddrinfo

    def getaddrinfo(host: str, *given: Any, **more: Any) -> Any:
        if "slow" in host:
            answered.wait(10)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return system(host, *given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(addresses, "LOOK_UP_S", 0.2)
    try:
        async with asyncio.timeout(5):
            slow = [add(api, "smtp", SMTP | {"host": f"slow{n}.example"}, name=f"{n}") for n in range(40)]
            assert {answer.status_code for answer in await asyncio.gather(*slow)} == {201}
            assert await network.look_up("localhost", 25)
            assert await asyncio.get_running_loop().getaddrinfo("localhost", 5432)
            assert await asyncio.to_thread(int, "1") == 1
    finally:
        answered.set()


@pytest.mark.usefixtures("guarded")
async def test_a_repeated_request_is_answered_as_before_whatever_its_name_leads_to_now(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, ("8.8.8.8",), ("10.0.0.1",))
    api.headers["Idempotency-Key"] = str(uuid.uuid4())
    first, second = await add(api, "smtp", SMTP), await add(api, "smtp", SMTP)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] == second.json()["id"]


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_sandbox_connects_nowhere_and_may_name_any_host(kind: str, api: httpx.AsyncClient) -> None:
    (field,) = fields_connected_to(kind)
    config = {field: "10.0.0.1" if kind == "smtp" else "http://10.0.0.1"}
    answer = await add(api, kind, config, sandbox=True)
    assert answer.status_code == 201
    assert (await change(api, answer.json()["id"], config | {"max_connections": 3})).status_code == 200


@pytest.mark.parametrize(
    ("allowed", "leads_to", "code"),
    [
        (False, "8.8.8.8", "insecure_address"),
        (False, None, "insecure_address"),
        (False, "10.0.0.1", "private_address"),
        (True, "8.8.8.8", "insecure_address"),
        (True, None, "insecure_address"),
        (True, "10.0.0.1", None),
        (True, "127.0.0.1", None),
    ],
)
async def test_http_without_tls_is_for_hosts_of_our_own_network(
    allowed: bool, leads_to: str | None, code: str | None, app: FastAPI, guarded: Context, context: Context,
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    app.state.context = context if allowed else guarded
    resolve(monkeypatch, (leads_to,) if leads_to else ())
    config = GATEWAY | {"endpoint": "http://gateway.example:8080"}
    answer = await add(api, "sendgrid", config)
    if code is None:
        assert answer.status_code == 201
        return
    assert refused(answer) == (400, code, ["config.endpoint"])
    if code == "insecure_address":
        assert answer.json()["details"][0]["message"].startswith("http:// shows the key to everyone on the way")
    made = (await add(api, "sendgrid", {"api_key": "SG.abc.def"})).json()
    assert refused(await change(api, made["id"], config)) == (400, code, ["config.endpoint"])


async def test_where_they_are_allowed_they_are_saved_and_nothing_is_looked_up(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = resolve(monkeypatch, ("127.0.0.1",))
    assert (await add(api, "smtp", SMTP | {"host": "127.0.0.1"})).status_code == 201
    assert (await add(api, "sendgrid", GATEWAY, name="Gateway")).status_code == 201
    assert names.asked == []


async def test_the_mail_server_of_the_operators_own_settings_may_be_anywhere(
    guarded: Context, settings: Settings
) -> None:
    server = await ScriptedSmtp().start()
    given = {"mail_server": "127.0.0.1", "mail_port": server.port, "mail_use_tls": False}
    mail = Settings.model_validate({**settings.model_dump(exclude_unset=True), **given, "allow_private_hosts": False})
    provider_id = await keep_environment_provider(guarded.database, guarded.secrets, mail)
    assert provider_id is not None
    workspace_id = await guarded.database.pool.fetchval("SELECT workspace_id FROM providers WHERE id = $1", provider_id)
    verified = (await verify_provider(guarded, workspace_id, provider_id)).verification
    assert verified is not None
    assert verified.ok
    assert len(server.conversations) == 1
    await server.stop()


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("address", STRANGE, ids=lambda address: ascii(address)[:40])
async def test_nothing_that_is_given_for_an_address_is_a_fault_of_ours(
    address: object, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "LOOK_UP_S", 0.5)
    sandbox = (await add(api, "ses", {}, sandbox=True, name="Sandbox")).json()
    for kind, field in (("smtp", "host"), ("sendgrid", "endpoint")):
        added = _sent(add(api, kind, CONFIGS[kind] | {field: address}, name=kind))
        changed = _sent(change(api, sandbox["id"], {"endpoint": address}))
        for answer in await asyncio.gather(added, changed):
            assert answer is None or answer.status_code in (200, 201, 400), answer.text


async def _sent(sending: Awaitable[httpx.Response]) -> httpx.Response | None:
    """None where it is no JSON that a client could send."""
    try:
        return await sending
    except UnicodeEncodeError:
        return None
