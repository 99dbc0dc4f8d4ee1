"""A mail as Mailtrap takes it: what is posted and where, what is left out or refused beforehand."""

import base64
import json
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from janus_mail.providers.contract import Address, Attachment
from janus_mail.providers.http_service import HttpAdapter
from janus_mail.providers.limits import Asked
from janus_mail.providers.mailtrap import KIND, SERVICE, MailtrapConfig, request
from janus_mail.providers.outcomes import PolicyRejected, ProviderBroken, Uncertain
from janus_mail.providers.registry import adapter_for, mask_config, validate_config
from janus_mail.providers.timeouts import HttpTimeouts

from .conftest import Hold, fields_to, mail_of
from .fake_http import Reply
from .fake_mailtrap import BENCH, SANDBOX_ID, TOKEN, refusal
from .served import served

ID = "0190b0a1-0000-7000-8000-000000000001"
CONFIG = MailtrapConfig(api_key=TOKEN)
PAPER = Attachment("paper.pdf", "application/pdf", b"%PDF-")
LOGO = Attachment("logo.png", "image/png", b"\x89PNG", "logo@janus")

# As its SDK (mailtrap 2.11.0 for Python) sends this mail.
BY_THE_SDK = {
    "to": [{"email": "b@example.net"}, {"email": "c@example.net", "name": "Carl"}],
    "from": {"email": "a@example.com", "name": "Ann"},
    "cc": [{"email": "d@example.net", "name": "Dora"}],
    "bcc": [{"email": "e@example.net"}],
    "attachments": [
        {"content": "JVBERi0=", "filename": "paper.pdf", "disposition": "attachment", "type": "application/pdf"},
        {
            "content": "iVBORw==",
            "filename": "logo.png",
            "disposition": "inline",
            "type": "image/png",
            "content_id": "logo@janus",
        },
    ],
    "headers": {"X-Campaign": "Summer"},
    "custom_variables": {"janus_message_id": ID, "order": "4711"},
    "reply_to": {"email": "desk@example.com", "name": "Desk"},
    "subject": "Hello",
    "text": "Hi there.",
    "html": "<p>Hi there.</p>",
    "category": "welcome",
}


def body_of(*to: str | Address, **fields: Any) -> dict[str, Any]:
    given = fields_to(*to, **fields)
    body: dict[str, Any] = json.loads(request(CONFIG, mail_of(given), given).body)
    return body


def test_the_whole_request_is_what_the_sdk_sends() -> None:
    body = body_of(
        "b@example.net",
        Address("c@example.net", "Carl"),
        cc=(Address("d@example.net", "Dora"),),
        bcc=(Address("e@example.net"),),
        reply_to=(Address("desk@example.com", "Desk"),),
        html="<p>Hi there.</p>",
        headers={"X-Campaign": "Summer"},
        tags=("welcome", "spring"),
        metadata={"order": "4711"},
        attachments=(PAPER, LOGO),
    )
    assert body == BY_THE_SDK


async def test_the_service_takes_what_the_sdk_sends() -> None:
    async with served(BENCH) as (server, _), httpx.AsyncClient() as client:
        for headers in ({"Authorization": f"Bearer {TOKEN}"}, {"Api-Token": TOKEN}):
            answer = await client.post(f"{server.url}/api/send", json=BY_THE_SDK, headers=headers)
            assert (answer.status_code, len(answer.json()["message_ids"])) == (200, 4)


def test_what_is_not_given_is_left_out() -> None:
    assert body_of() == {
        "from": {"email": "a@example.com", "name": "Ann"},
        "to": [{"email": "b@example.net"}],
        "subject": "Hello",
        "text": "Hi there.",
        "custom_variables": {"janus_message_id": ID},
    }


async def test_the_request_carries_token_and_kind() -> None:
    async with served(BENCH) as (server, adapter):
        await adapter.send(mail_of(fields_to()), Hold())
        (asked,) = server.requests
    assert (asked.method, asked.path) == ("POST", "/api/send")
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["content-type"] == asked.headers["accept"] == "application/json"


def test_several_addresses_for_answers_stand_in_a_header_in_ascii() -> None:
    body = body_of(
        reply_to=(Address("desk@example.com", "Büro"), Address("copy@example.com"), Address("x@example.com", "X, Y")),
        headers={"X-Greeting": "Grüße"},
    )
    assert "reply_to" not in body
    assert body["headers"] == {
        "X-Greeting": "=?utf-8?b?R3LDvMOfZQ==?=",
        "Reply-To": '=?utf-8?b?QsO8cm8=?= <desk@example.com>, copy@example.com, "X, Y" <x@example.com>',
    }


def test_a_mail_without_a_word_is_still_a_mail() -> None:
    assert body_of(text="", html=None)["text"] == "\n"
    body = body_of(text="", html="<p>x</p>")
    assert (body.get("text"), body["html"]) == (None, "<p>x</p>")


def test_an_address_stands_once_where_it_came_first() -> None:
    body = body_of("b@example.net", "B@Example.net", cc=(Address("b@example.net"),), bcc=(Address("d@example.net"),))
    assert [body.get(role) for role in ("to", "cc", "bcc")] == [
        [{"email": "b@example.net"}], None, [{"email": "d@example.net"}],
    ]  # fmt: skip


def test_variables_beyond_what_fits_stay_here_but_our_id_goes_along() -> None:
    carried = body_of(metadata={f"k{n}": "ü" * 100 for n in range(9)})["custom_variables"]
    assert list(carried) == ["janus_message_id", "k0", "k1", "k2", "k3"]
    assert body_of(metadata={"janus_message_id": "mine"})["custom_variables"] == {"janus_message_id": ID}
    asked = Asked(tags=("one", "two", "x" * 256))
    assert KIND.limits.left_behind(asked) == ["the tag two", f"the tag {'x' * 256}"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sender": Address("jörg@example.com")}, "smtputf8_not_offered"),
        ({"headers": {"X-MT-Category": "other"}}, "reserved_header"),
        ({"attachments": (Attachment("März.pdf", "application/pdf", b"1"),)}, "filename_not_ascii"),
        ({"cc": tuple(Address(f"r{n}@example.net") for n in range(1000))}, "too_many_recipients"),
        ({"html": "x" * 10_000_001}, "too_large"),
    ],
)
async def test_what_mailtrap_cannot_carry_is_refused_before_it_is_asked(changes: dict[str, Any], code: str) -> None:
    async with served(BENCH) as (server, adapter):
        hold = Hold()
        with pytest.raises(PolicyRejected) as raised:
            await adapter.send(mail_of(fields_to(**changes)), hold)
        assert raised.value.code == code
        assert (hold.dispatches, server.connections) == (0, 0)


async def test_a_sandbox_keeps_a_mail_under_one_id_or_none() -> None:
    async with served(BENCH, stream="sandbox", sandbox_id=SANDBOX_ID) as (server, adapter):
        accepted = await adapter.send(mail_of(fields_to("b@example.net", "c@example.net")), Hold())
        assert accepted.provider_message_id == server.ledger[0].id
        assert server.requests[0].path == f"/api/send/{SANDBOX_ID}"
        server.script(Reply(200, b'{"success":true}'))
        assert (await adapter.send(mail_of(fields_to()), Hold())).provider_message_id is None
        assert (await adapter.verify()) is not None
    async with served(BENCH, Reply(200, b'{"success":true}')) as (_, adapter):  # no sandbox
        with pytest.raises(Uncertain):
            await adapter.send(mail_of(fields_to()), Hold())


async def test_a_check_sends_nothing_and_knows_the_token_by_what_is_missed() -> None:
    async with served(BENCH) as (server, adapter):
        verified = await adapter.verify()
        assert verified is not None
        assert "knows these credentials" in verified.response
        assert [asked.body for asked in server.requests] == [b"{}"]
        assert not server.ledger
        server.script(Reply(422, b'{"errors":["something else is missing"]}'))
        assert await adapter.verify() is not None
        for reply in (Reply(200, b'{"success":false,"errors":["Unauthorized"]}'), refusal(403, "Forbidden")):
            server.script(reply)
            with pytest.raises(ProviderBroken):
                await adapter.verify()


@pytest.mark.parametrize(
    ("given", "base_url"),
    [
        ({}, "https://send.api.mailtrap.io"),
        ({"stream": "bulk"}, "https://bulk.api.mailtrap.io"),
        ({"stream": "sandbox", "sandbox_id": 1}, "https://sandbox.api.mailtrap.io"),
        ({"stream": "bulk", "endpoint": "https://gateway.example.com/mt/"}, "https://gateway.example.com/mt"),
    ],
)
def test_the_stream_or_another_address_is_asked(given: dict[str, object], base_url: str) -> None:
    config = MailtrapConfig.model_validate({"api_key": TOKEN, **given})
    assert HttpAdapter(SERVICE, config, timeouts=HttpTimeouts()).base_url == base_url


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "an API key is needed"),
        ({"api_key": "a b"}, "no blanks"),
        ({"api_key": TOKEN, "stream": "spam"}, "'transactional', 'bulk' or 'sandbox'"),
        ({"api_key": TOKEN, "stream": "sandbox"}, "the number of the sandbox is needed"),
        ({"api_key": TOKEN, "sandbox_id": 1}, "is for the stream sandbox"),
        ({"api_key": TOKEN, "stream": "sandbox", "sandbox_id": "../1"}, "valid integer"),
        ({"api_key": TOKEN, "stream": "sandbox", "sandbox_id": 0}, "greater than or equal to 1"),
        ({"api_key": TOKEN, "inbox": 1}, "Extra inputs are not permitted"),
    ],
)
def test_bad_settings_are_refused_with_a_reason(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError) as raised:
        validate_config("mailtrap", given)
    assert complaint in str(raised.value)


def test_the_registry_knows_it_and_hides_its_token() -> None:
    given = {"api_key": TOKEN, "stream": "sandbox", "sandbox_id": 7, "webhook_secret": "0123456789abcdef"}
    assert validate_config("mailtrap", given) == given
    assert mask_config("mailtrap", given) == {
        "api_key": "•••• ests", "stream": "sandbox", "sandbox_id": 7, "webhook_secret": "•••• cdef",
    }  # fmt: skip
    adapter = adapter_for("mailtrap", given)
    assert isinstance(adapter, HttpAdapter)
    assert TOKEN not in repr(adapter)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 200),
        ({"to": []}, 400),
        ({"to": [{"email": "nobody"}]}, 400),
        ({"subject": ""}, 400),
        ({"text": ""}, 400),
        ({"surprise": 1}, 400),
        ({"custom_variables": {"n": 1}}, 400),
        ({"custom_variables": {"n": "x" * 1000}}, 400),
        ({"headers": {"X-Greeting": "Grüße"}}, 400),
        ({"attachments": [{"content": "not base64!", "filename": "x"}]}, 400),
        ({"attachments": [{"content": base64.b64encode(b"x").decode()}]}, 400),
        ({"from": {"email": "a@elsewhere.example"}}, 401),
    ],
)
async def test_the_fake_is_as_strict_as_the_real_one(change: dict[str, Any], status: int) -> None:
    async with served(BENCH) as (server, _), httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        answer = await client.post(f"{server.url}/api/send", json={**body_of(), **change})
        assert answer.status_code == status, answer.text
        assert len(server.ledger) == (status == 200)
