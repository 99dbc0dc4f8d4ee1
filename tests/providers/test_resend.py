"""A mail as Resend takes it: what is posted, what is adapted, and that the same mail twice is one."""

import json
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from janus_mail.providers.contract import Address, Attachment
from janus_mail.providers.http_service import HttpAdapter
from janus_mail.providers.limits import Asked
from janus_mail.providers.outcomes import PolicyRejected, ProviderBroken, ProviderDown, Uncertain
from janus_mail.providers.registry import adapter_for, mask_config, validate_config
from janus_mail.providers.resend import LIMITS, ResendConfig, request

from .conftest import Hold, fields_to, mail_of
from .fake_http import Act, Reply
from .fake_resend import BENCH, INVALID_KEY, KEY, SENDING_KEY, STILL_AT_IT
from .served import served

ID = "0190b0a1-0000-7000-8000-000000000001"
CONFIG = ResendConfig(api_key=KEY)
PAPER = Attachment("paper.pdf", "application/pdf", b"%PDF-1")
LOGO = Attachment("logo.png", "image/png", b"\x89PNG", "logo@janus")
EVERYTHING = fields_to(
    "b@example.net", Address("c@example.net", "Lee, Carl"),
    cc=(Address("d@example.net", "Dora"),), bcc=(Address("e@example.net"),),
    reply_to=(Address("desk@example.com", "Desk"), Address("copy@example.com")),
    html='<p>Hi <img src="cid:logo@janus"></p>', headers={"X-Campaign": "Summer"}, tags=("welcome", "spring"),
    metadata={"order": "4711"}, attachments=(PAPER, LOGO),
)  # fmt: skip

# As resend 2.52.0, Resend's own client for Python, sends the same mail under the same key.
FROM_RESEND_PYTHON: dict[str, Any] = {
    "from": "Ann <a@example.com>",
    "to": ["b@example.net", '"Lee, Carl" <c@example.net>'],
    "cc": ["Dora <d@example.net>"],
    "bcc": ["e@example.net"],
    "reply_to": ["Desk <desk@example.com>", "copy@example.com"],
    "subject": "Hello",
    "text": "Hi there.",
    "html": '<p>Hi <img src="cid:logo@janus"></p>',
    "headers": {"X-Campaign": "Summer"},
    "attachments": [
        {"filename": "paper.pdf", "content": "JVBERi0x", "content_type": "application/pdf"},
        {"filename": "logo.png", "content": "iVBORw==", "content_type": "image/png", "content_id": "logo@janus"},
    ],
    "tags": [
        {"name": "janus_message_id", "value": ID},
        {"name": "order", "value": "4711"},
        {"name": "tag_1", "value": "welcome"},
        {"name": "tag_2", "value": "spring"},
    ],
}
ITS_HEADERS = {"Authorization": f"Bearer {KEY}", "Accept": "application/json", "Idempotency-Key": "key-1"}


def body_of(*, to: tuple[str | Address, ...] = (), **fields: Any) -> dict[str, Any]:
    given = fields_to(*to, **fields)
    body: dict[str, Any] = json.loads(request(CONFIG, mail_of(given), given).body)
    return body


def test_the_whole_request_is_this_and_what_resends_own_client_sends() -> None:
    sent = request(CONFIG, mail_of(EVERYTHING), EVERYTHING)
    assert (sent.method, sent.path) == ("POST", "/emails")
    assert sent.headers == {**ITS_HEADERS, "Content-Type": "application/json"}
    assert json.loads(sent.body) == FROM_RESEND_PYTHON


async def test_the_fake_takes_what_resends_own_client_sends() -> None:
    async with served(BENCH) as (server, _), httpx.AsyncClient(headers=ITS_HEADERS) as client:
        answer = await client.post(f"{server.url}/emails", json=FROM_RESEND_PYTHON)
        assert answer.json() == {"id": server.ledger[0].id}


def test_what_is_not_given_is_left_out() -> None:
    assert body_of() == {
        "from": "Ann <a@example.com>",
        "to": ["b@example.net"],
        "subject": "Hello",
        "text": "Hi there.",
        "tags": [{"name": "janus_message_id", "value": ID}],
    }


async def test_the_same_mail_again_is_the_mail_that_resend_has() -> None:
    async with served(BENCH) as (server, adapter):
        first = await adapter.send(mail_of(fields_to()), Hold())
        again = await adapter.send(mail_of(fields_to()), Hold())
        assert first.provider_message_id == again.provider_message_id == server.ledger[0].id
        assert (len(server.requests), len(server.ledger)) == (2, 1)


async def test_another_mail_under_the_same_key_is_left_in_doubt() -> None:
    async with served(BENCH) as (server, adapter):
        await adapter.send(mail_of(fields_to()), Hold())
        with pytest.raises(Uncertain) as raised:
            await adapter.send(mail_of(fields_to(subject="Another")), Hold())
        assert (raised.value.code, len(server.ledger)) == ("409 invalid_idempotent_request", 1)


async def test_while_resend_is_still_at_it_the_same_is_asked_again() -> None:
    async with served(BENCH, Act.CUT_TAKEN, STILL_AT_IT) as (server, adapter):
        hold = Hold()
        accepted = await adapter.send(mail_of(fields_to()), hold)
        assert accepted.provider_message_id == server.ledger[0].id
        assert (len(server.requests), len(server.ledger), hold.dispatches) == (3, 1, 1)
        assert {request.headers["idempotency-key"] for request in server.requests} == {"key-1"}


async def test_a_key_that_may_only_send_is_known_and_sends() -> None:
    async with served(BENCH, api_key=SENDING_KEY) as (server, adapter):
        verified = await adapter.verify()
        assert verified is not None
        assert (verified.code, verified.response) == (
            "401 restricted_api_key", "It knows this key, which may do nothing but send.",
        )  # fmt: skip
        await adapter.send(mail_of(fields_to()), Hold())
        assert len(server.ledger) == 1


async def test_a_check_that_is_answered_with_anything_but_domains_is_none() -> None:
    async with served(BENCH) as (server, adapter):
        server.script(Reply(200, b"[]"), Reply(200, b'{"errors":["x"]}'), Reply(200, INVALID_KEY.body))
        for expected in (ProviderDown, ProviderDown, ProviderBroken):
            with pytest.raises(expected):
                await adapter.verify()


async def test_a_domain_that_is_not_verified_is_the_senders_matter() -> None:
    async with served(BENCH) as (_, adapter):
        with pytest.raises(ProviderBroken) as raised:
            await adapter.send(mail_of(fields_to(sender=Address("a@elsewhere.example"))), Hold())
        assert (raised.value.code, raised.value.scope) == ("403 validation_error", "sender")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Jörg «Ö» Müller", "Jörg «Ö» Müller <b@example.net>"),
        ("Lee, Ann", '"Lee, Ann" <b@example.net>'),
        ("Dr. Müller", '"Dr. Müller" <b@example.net>'),
        ('Ann "A" <x@y>', '"Ann \\"A\\" <x@y>" <b@example.net>'),
        (None, "b@example.net"),
    ],
)
def test_only_names_that_need_quotes_get_them(name: str | None, shown: str) -> None:
    assert body_of(to=(Address("b@example.net", name),))["to"] == [shown]


def test_an_address_stands_once_where_it_came_first() -> None:
    body = body_of(to=("b@example.net", "B@Example.net"), cc=(Address("b@example.net"), Address("d@example.net")))
    assert (body["to"], body["cc"]) == (["b@example.net"], ["d@example.net"])


def test_headers_beyond_ascii_are_encoded() -> None:
    assert body_of(headers={"X-Greeting": "Grüße"})["headers"] == {"X-Greeting": "=?utf-8?b?R3LDvMOfZQ==?="}


def test_a_mail_without_a_word_is_still_a_mail() -> None:
    assert body_of(text="", html="")["text"] == "\n"
    assert "text" not in body_of(text="", html="<p>x</p>")


def test_tags_and_metadata_go_as_far_as_they_fit_and_the_rest_is_known_beforehand() -> None:
    metadata = {
        "order": "4711",
        "e-mail": "ann@example.com",
        "tag_1": "mine",
        "schlüssel": "x",
        "janus_message_id": "x",
    }
    tags = ("welcome", "zwei Wörter", "welcome", "spring")
    assert body_of(metadata=metadata, tags=tags)["tags"] == [
        {"name": "janus_message_id", "value": ID},
        {"name": "order", "value": "4711"},
        {"name": "tag_1", "value": "welcome"},
        {"name": "tag_2", "value": "spring"},
    ]
    assert LIMITS.left_behind(Asked(metadata=metadata, tags=tags))[:4] == [
        "the tag zwei Wörter", "the metadata e-mail", "the metadata tag_1", "the metadata schlüssel",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("filename", "content_type", "sent"),
    [
        ("a.pdf", "application/pdf", {"content_type": "application/pdf"}),
        ("a.pdf", "application/octet-stream", {}),
        ("a.xml", "application/xml", {}),
        ("a.tar.gz", "application/gzip", {"content_type": "application/gzip"}),
        ("a.strange", "application/x-strange", {"content_type": "application/x-strange"}),
    ],
)
def test_a_files_type_is_said_where_its_ending_says_the_same_or_nothing(
    filename: str, content_type: str, sent: dict[str, str]
) -> None:
    file = Attachment(filename, content_type, b"1")
    assert body_of(attachments=(file,))["attachments"] == [{"filename": filename, "content": "MQ==", **sent}]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to": (Address("jörg@example.net"),)}, "smtputf8_not_offered"),
        ({"to": tuple(Address(f"r{n}@example.net") for n in range(51))}, "too_many_recipients"),
        ({"attachments": (Attachment("run.ps1", "text/plain", b"1"),)}, "file_type_refused"),
        ({"attachments": (Attachment("data.txt", "text/csv", b"1"),)}, "file_type_refused"),
    ],
)
async def test_what_resend_cannot_express_is_refused_before_it_is_asked(changes: dict[str, Any], code: str) -> None:
    async with served(BENCH) as (server, adapter):
        with pytest.raises(PolicyRejected) as raised:
            await adapter.send(mail_of(fields_to(**changes)), Hold())
        assert (raised.value.code, server.connections) == (code, 0)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "an API key is needed"),
        ({"api_key": "re_a b"}, "no blanks"),
        ({"api_key": KEY, "webhook_secret": "whsec_ü"}, "ASCII"),
        ({"api_key": KEY, "region": "eu"}, "Extra inputs are not permitted"),
    ],
)
def test_bad_settings_are_refused_with_a_reason(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError) as raised:
        validate_config("resend", given)
    assert complaint in str(raised.value)


def test_the_registry_knows_it_and_hides_its_secrets() -> None:
    given = {"api_key": KEY, "webhook_secret": "whsec_MfKQ9r8GKYqrTwjU"}
    assert validate_config("resend", given) == given
    assert mask_config("resend", given) == {"api_key": "•••• cess", "webhook_secret": "•••• TwjU"}
    adapter = adapter_for("resend", given)
    assert isinstance(adapter, HttpAdapter)
    assert adapter.base_url == "https://api.resend.com"


@pytest.mark.parametrize(
    ("change", "status", "name"),
    [
        ({"to": ["b@example"]}, 422, "validation_error"),
        ({"to": ["b@example.com"]}, 422, "validation_error"),
        ({"to": []}, 422, "missing_required_field"),
        ({"subject": ""}, 422, "missing_required_field"),
        ({"text": ""}, 422, "validation_error"),
        ({"surprise": 1}, 422, "validation_error"),
        ({"tags": [{"name": "größe", "value": "x"}]}, 422, "validation_error"),
        ({"tags": [{"name": "a", "value": "x"}, {"name": "a", "value": "y"}]}, 422, "validation_error"),
        ({"attachments": [{"filename": "a.txt", "content": "no base64!"}]}, 422, "invalid_attachment"),
        ({"attachments": [{"filename": "a.exe", "content": ""}]}, 422, "invalid_attachment"),
        ({"headers": {"X-A": 1}}, 422, "validation_error"),
        ({"from": "a@elsewhere.example"}, 403, "validation_error"),
        ({}, 200, None),
    ],
)
async def test_the_fake_is_as_strict_as_the_real_one(change: dict[str, Any], status: int, name: str | None) -> None:
    async with served(BENCH) as (server, _), httpx.AsyncClient(headers=ITS_HEADERS) as client:
        answer = await client.post(f"{server.url}/emails", json={**body_of(), **change})
        assert (answer.status_code, answer.json().get("name")) == (status, name), answer.text
        assert len(server.ledger) == (status == 200)
