"""A mail as Brevo takes it: what is posted, what is adapted, and what a double means."""

import json
import uuid
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from janus_mail.providers.brevo import LIMITS, BrevoConfig, request
from janus_mail.providers.contract import Accepted, Address, Attachment
from janus_mail.providers.http_service import HttpAdapter
from janus_mail.providers.limits import Asked
from janus_mail.providers.outcomes import PolicyRejected, ProviderBroken, ProviderDown, RecipientRejected, Uncertain
from janus_mail.providers.registry import adapter_for, mask_config, validate_config

from .conftest import Hold, fields_to, mail_of
from .fake_brevo import BENCH, DUPLICATE, KEY, KEY_NOT_FOUND
from .fake_http import Act, Reply
from .served import served

ID = "0190b0a1-0000-7000-8000-000000000001"
MAIL_KEY = "31d0a4ec-d286-5e5d-820e-9ca68b9b34dc"
CONFIG = BrevoConfig(api_key=KEY)
EVERYTHING = fields_to(
    "b@example.net", Address("c@example.net", "Lee, Carl"),
    cc=(Address("d@example.net", "Dora"),), bcc=(Address("e@example.net"),),
    reply_to=(Address("desk@example.com", "Desk"),), html="<p>Hi</p>", headers={"X-Campaign": "Summer"},
    tags=("welcome", "spring"), metadata={"order": "4711"},
    attachments=(Attachment("paper.pdf", "application/pdf", b"%PDF-1"),),
)  # fmt: skip

# As brevo-python 5.1.0, Brevo's own client, sends the same mail; sib-api-v3-sdk 7.6.0 sends the same.
FROM_BREVO_PYTHON: dict[str, Any] = {
    "attachment": [{"content": "JVBERi0x", "name": "paper.pdf"}],
    "bcc": [{"email": "e@example.net"}],
    "cc": [{"email": "d@example.net", "name": "Dora"}],
    "headers": {
        "X-Campaign": "Summer",
        "X-Mailin-custom": f'{{"janus_message_id":"{ID}","order":"4711"}}',
        "idempotencyKey": MAIL_KEY,
        "sender.ip": "192.0.2.25",
    },
    "htmlContent": "<p>Hi</p>",
    "replyTo": {"email": "desk@example.com", "name": "Desk"},
    "sender": {"email": "a@example.com", "name": "Ann"},
    "subject": "Hello",
    "tags": ["welcome", "spring"],
    "textContent": "Hi there.",
    "to": [{"email": "b@example.net"}, {"email": "c@example.net", "name": "Lee, Carl"}],
}


def body_of(config: BrevoConfig = CONFIG, *, to: tuple[str | Address, ...] = (), **fields: Any) -> dict[str, Any]:
    given = fields_to(*to, **fields)
    body: dict[str, Any] = json.loads(request(config, mail_of(given), given).body)
    return body


def test_the_whole_request_is_this_and_what_brevos_own_client_sends() -> None:
    sent = request(BrevoConfig(api_key=KEY, sender_ip="192.0.2.25"), mail_of(EVERYTHING), EVERYTHING)
    assert (sent.method, sent.path) == ("POST", "/v3/smtp/email")
    assert sent.headers == {
        "api-key": KEY, "Accept": "application/json", "Content-Type": "application/json", "idempotencyKey": MAIL_KEY,
    }  # fmt: skip
    assert json.loads(sent.body) == FROM_BREVO_PYTHON


async def test_the_fake_takes_what_brevos_own_client_sends() -> None:
    async with served(BENCH) as (server, _), httpx.AsyncClient(headers={"api-key": KEY}) as client:
        answer = await client.post(f"{server.url}/v3/smtp/email", json=FROM_BREVO_PYTHON)
        assert (answer.status_code, answer.json()) == (201, {"messageId": server.ledger[0].id})


def test_what_is_not_given_is_left_out() -> None:
    assert body_of() == {
        "sender": {"email": "a@example.com", "name": "Ann"},
        "to": [{"email": "b@example.net"}],
        "subject": "Hello",
        "htmlContent": '<div style="white-space: pre-wrap">Hi there.</div>',
        "textContent": "Hi there.",
        "headers": {"X-Mailin-custom": f'{{"janus_message_id":"{ID}"}}', "idempotencyKey": MAIL_KEY},
    }


def test_the_key_is_a_uuid_that_is_the_same_for_the_same_mail() -> None:
    def key_of(idempotency_key: str) -> str:
        mail = mail_of(fields_to(), idempotency_key=idempotency_key)
        return request(CONFIG, mail, fields_to()).headers["idempotencyKey"]

    assert key_of("key-1") == key_of("key-1") == MAIL_KEY
    assert key_of("key-2") != MAIL_KEY
    assert uuid.UUID(key_of("key-2")).version == 5


def test_a_mail_of_text_alone_gets_html_that_says_the_same() -> None:
    assert body_of(text="a < b &\n  c")["htmlContent"] == (
        '<div style="white-space: pre-wrap">a &lt; b &amp;\n  c</div>'
    )
    assert body_of(text="", html="")["htmlContent"] == '<div style="white-space: pre-wrap">&nbsp;</div>'
    assert "textContent" not in body_of(text=None, html="<p>x</p>")


async def test_a_try_again_that_is_called_a_double_is_a_mail_that_brevo_has() -> None:
    async with served(BENCH, Act.CUT_TAKEN) as (server, adapter):
        mail = mail_of(fields_to())
        with pytest.raises(Uncertain):
            await adapter.send(mail, Hold())
        assert len(server.requests) == 1  # nothing is repeated in the hope of the key
        again = await adapter.send(replace(mail, attempt_number=2, key_used=True), Hold())
        assert (again.code, again.provider_message_id) == ("400 duplicate_parameter", None)
        assert len(server.ledger) == 1


async def test_a_first_try_that_is_called_a_double_is_left_in_doubt() -> None:
    async with served(BENCH) as (server, adapter):
        await adapter.send(mail_of(fields_to()), Hold())
        with pytest.raises(Uncertain) as raised:
            await adapter.send(mail_of(fields_to()), Hold())
        assert (raised.value.code, len(server.ledger)) == ("400 duplicate_parameter", 1)


async def test_after_tries_at_others_a_double_is_left_in_doubt() -> None:
    async with served(BENCH, DUPLICATE) as (_, adapter):
        with pytest.raises(Uncertain):
            await adapter.send(mail_of(fields_to(), attempt_number=3), Hold())


async def test_a_check_that_is_answered_with_anything_but_the_account_is_none() -> None:
    async with served(BENCH) as (server, adapter):
        server.script(Reply(200, b"[]"), Reply(200, b'{"errors":["x"]}'), Reply(200, KEY_NOT_FOUND.body))
        for expected in (ProviderDown, ProviderDown, ProviderBroken):
            with pytest.raises(expected):
                await adapter.verify()


async def test_in_brevos_sandbox_mode_a_mail_is_looked_at_only() -> None:
    async with served(BENCH, validate_only=True) as (server, adapter):
        assert isinstance(await adapter.send(mail_of(fields_to()), Hold()), Accepted)
        assert (server.requests[0].mail["headers"]["X-Sib-Sandbox"], server.ledger) == ("drop", [])


async def test_errors_are_told_by_what_brevo_complains_of() -> None:
    async with served(BENCH) as (_, adapter):
        with pytest.raises(ProviderBroken) as raised:
            await adapter.send(mail_of(fields_to(sender=Address("a@elsewhere.example"))), Hold())
        assert (raised.value.code, raised.value.scope) == ("400 invalid_parameter", "sender")
        with pytest.raises(RecipientRejected):
            await adapter.send(mail_of(fields_to("b@example")), Hold())


ENCODED = "=?utf-8?b?TMOpZSwgQW5u?="
LONG = "Ö" * 60 + ", Ann"


@pytest.mark.parametrize(
    ("name", "to", "reply_to"),
    [
        ("Lee, Ann", "Lee, Ann", "Lee, Ann"),
        ("Jörg Müller", "Jörg Müller", "Jörg Müller"),
        ("Lée, Ann", ENCODED, "Lée Ann"),
        (LONG, "Ö" * 60 + " Ann", "Ö" * 60 + " Ann"),
        ("x" * 80, "x" * 70, "x" * 70),
    ],
)
async def test_names_are_told_so_that_none_gets_lost(name: str, to: str, reply_to: str) -> None:
    body = body_of(to=(Address("b@example.net", name),), reply_to=(Address("desk@example.com", name),))
    assert (body["to"][0]["name"], body["replyTo"]["name"]) == (to, reply_to)
    async with served(BENCH) as (server, adapter):
        await adapter.send(mail_of(fields_to(Address("b@example.net", name))), Hold())
        arrived = server.ledger[0].to[0].name or ""
        assert arrived.replace(",", "")[:60] == name.replace(",", "")[:60]


def test_an_address_stands_once_where_it_came_first() -> None:
    body = body_of(to=("b@example.net", "B@Example.net"), cc=(Address("b@example.net"), Address("d@example.net")))
    assert (body["to"], body["cc"]) == ([{"email": "b@example.net"}], [{"email": "d@example.net"}])


def test_metadata_goes_as_far_as_it_fits_and_the_rest_is_known_beforehand() -> None:
    metadata = {"order": "4711", "greeting": "Grüße", "long": "x" * 900, "quote": '"q"'}
    carried = json.loads(body_of(metadata=metadata)["headers"]["X-Mailin-custom"])
    assert carried == {"janus_message_id": ID, "order": "4711", "quote": '"q"'}
    assert LIMITS.left_behind(Asked(longest_name=70)) == []
    assert LIMITS.left_behind(Asked(longest_name=71)) == ["the end of names longer than 70 characters"]
    assert LIMITS.left_behind(Asked(metadata=metadata)) == ["the metadata greeting", "the metadata long"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to": (Address("jörg@example.net"),)}, "smtputf8_not_offered"),
        ({"to": tuple(Address(f"r{n}@example.net") for n in range(100))}, "too_many_recipients"),
        ({"headers": {"X-Sib-Sandbox": "drop"}}, "reserved_header"),
        ({"headers": {"Sender.IP": "192.0.2.25"}}, "reserved_header"),
        ({"attachments": (Attachment("data.bin", "application/octet-stream", b"1"),)}, "file_type_refused"),
        ({"attachments": (Attachment("data", "text/plain", b"1"),)}, "file_type_refused"),
        ({"attachments": (Attachment("data.txt", "text/csv", b"1"),)}, "file_type_refused"),
    ],
)
async def test_what_brevo_cannot_express_is_refused_before_it_is_asked(changes: dict[str, Any], code: str) -> None:
    async with served(BENCH) as (server, adapter):
        with pytest.raises(PolicyRejected) as raised:
            await adapter.send(mail_of(fields_to(**changes)), Hold())
        assert (raised.value.code, server.connections) == (code, 0)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "an API key is needed"),
        ({"api_key": "xkeysib-a b"}, "no blanks"),
        ({"api_key": KEY, "sender_ip": "mail.example.com"}, "pattern"),
        ({"api_key": KEY, "webhook_password": "pass wörd"}, "no blanks"),
        ({"api_key": KEY, "region": "eu"}, "Extra inputs are not permitted"),
    ],
)
def test_bad_settings_are_refused_with_a_reason(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError) as raised:
        validate_config("brevo", given)
    assert complaint in str(raised.value)


def test_the_registry_knows_it_and_hides_its_secrets() -> None:
    given = {"api_key": KEY, "webhook_password": "correct-horse", "sender_ip": "192.0.2.25"}
    assert validate_config("brevo", given) == given
    masked = {"api_key": "•••• ests", "webhook_password": "•••• orse", "sender_ip": "192.0.2.25"}
    assert mask_config("brevo", given) == masked
    adapter = adapter_for("brevo", given)
    assert isinstance(adapter, HttpAdapter)
    assert adapter.base_url == "https://api.brevo.com"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"sender": {}}, 400, "invalid_parameter"),
        ({"to": []}, 400, "missing_parameter"),
        ({"to": [{"email": "b@example.net", "name": "x" * 71}]}, 400, "invalid_parameter"),
        ({"htmlContent": ""}, 400, "missing_parameter"),
        ({"subject": ""}, 400, "missing_parameter"),
        ({"surprise": 1}, 400, "invalid_parameter"),
        ({"attachment": [{"name": "a.exe", "content": ""}]}, 400, "invalid_parameter"),
        ({"attachment": [{"name": "a.txt", "content": "no base64!"}]}, 400, "invalid_parameter"),
        ({"headers": {"X-A": "Grüße"}}, 400, "invalid_parameter"),
        ({"headers": {"Message-ID": "<1@example.com>"}}, 400, "invalid_parameter"),
        ({"headers": {"idempotencyKey": "key-1"}}, 400, "invalid_parameter"),
        ({}, 201, None),
    ],
)
async def test_the_fake_is_as_strict_as_the_real_one(change: dict[str, Any], status: int, code: str | None) -> None:
    async with served(BENCH) as (server, _), httpx.AsyncClient(headers={"api-key": KEY}) as client:
        answer = await client.post(f"{server.url}/v3/smtp/email", json={**body_of(), **change})
        assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
        assert len(server.ledger) == (status == 201)
