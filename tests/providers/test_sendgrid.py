"""A mail as SendGrid takes it: what is posted, what is adapted, what is refused beforehand."""

import asyncio
import json
import os
import sys
from email.header import decode_header, make_header
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from janus_mail.providers.contract import Address, Attachment
from janus_mail.providers.http_service import HttpAdapter
from janus_mail.providers.limits import Asked
from janus_mail.providers.outcomes import PolicyRejected, ProviderBroken, ProviderDown
from janus_mail.providers.registry import adapter_for, mask_config, validate_config
from janus_mail.providers.sendgrid import LIMITS, SERVICE, SendGridConfig, request
from janus_mail.providers.timeouts import HttpTimeouts

from .conftest import Hold, ServeSendGrid, ToSendGrid, fields_to, mail_of
from .fake_http import Reply
from .fake_sendgrid import FakeSendGrid
from .sendgrid_rules import KEY, problems_with

ID = "0190b0a1-0000-7000-8000-000000000001"
CONFIG = SendGridConfig(api_key=KEY)

PAPER = Attachment("paper.pdf", "application/pdf", b"%PDF-1")
LOGO = Attachment("logo.png", "image/png", b"\x89PNG", "logo@janus")
# As sendgrid 6.12.5, SendGrid's own library for Python, sends this mail.
FROM_SENDGRID_PYTHON: dict[str, Any] = {
    "from": {"name": "Ann", "email": "a@example.com"},
    "subject": "Hello",
    "personalizations": [
        {
            "to": [{"email": "b@example.net"}, {"name": "Carl", "email": "c@example.net"}],
            "cc": [{"name": "Dora", "email": "d@example.net"}],
            "bcc": [{"email": "e@example.net"}],
        }
    ],
    "content": [
        {"type": "text/plain", "value": "Hi there."},
        {"type": "text/html", "value": '<p>Hi <img src="cid:logo@janus"></p>'},
    ],
    "attachments": [
        {
            "content": "iVBORw==",
            "type": "image/png",
            "filename": "logo.png",
            "disposition": "inline",
            "content_id": "logo@janus",
        },
        {"content": "JVBERi0x", "type": "application/pdf", "filename": "paper.pdf", "disposition": "attachment"},
    ],
    "headers": {"X-Campaign": "Summer", "Message-ID": "<1@example.com>"},
    "categories": ["spring", "welcome"],
    "custom_args": {"order": "4711", "janus_message_id": ID},
    "ip_pool_name": "transactional",
    "mail_settings": {"sandbox_mode": {"enable": True}},
    "reply_to": {"name": "Desk", "email": "desk@example.com"},
}


def body_of(config: SendGridConfig = CONFIG, *, to: tuple[str | Address, ...] = (), **fields: Any) -> dict[str, Any]:
    """What would be posted; SendGrid has no complaint about it."""
    given = fields_to(*to, **fields)
    body: dict[str, Any] = json.loads(request(config, mail_of(given), given).body)
    assert list(problems_with(body)) == []
    return body


async def test_a_mail_is_taken_under_an_id(serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid) -> None:
    server = await serve_sendgrid()
    hold = Hold()
    accepted = await sendgrid_to(server).send(mail_of(fields_to()), hold)
    (taken,) = server.ledger
    assert (accepted.code, accepted.provider_message_id) == ("202", taken.id)
    assert taken.janus_message_id == ID
    assert (hold.dispatches, hold.last_bytes) == (1, 1)


def test_the_whole_request_is_what_sendgrids_own_library_sends() -> None:
    assert list(problems_with(FROM_SENDGRID_PYTHON)) == []
    body = body_of(
        SendGridConfig(api_key=KEY, ip_pool="transactional", validate_only=True),
        to=("b@example.net", Address("c@example.net", "Carl")),
        cc=(Address("d@example.net", "Dora"),),
        bcc=(Address("e@example.net"),),
        reply_to=(Address("desk@example.com", "Desk"),),
        html='<p>Hi <img src="cid:logo@janus"></p>',
        headers={"X-Campaign": "Summer"},
        tags=("welcome", "welcome", "spring"),
        metadata={"order": "4711"},
        attachments=(PAPER, LOGO),
    )
    for name in ("attachments", "categories"):  # it turns these lists round
        body[name].reverse()
    assert body == FROM_SENDGRID_PYTHON


def test_what_is_not_given_is_left_out() -> None:
    assert body_of() == {
        "personalizations": [{"to": [{"email": "b@example.net"}]}],
        "from": {"email": "a@example.com", "name": "Ann"},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hi there."}],
        "headers": {"Message-ID": "<1@example.com>"},
        "custom_args": {"janus_message_id": ID},
    }


async def test_the_request_carries_key_and_kind(serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid) -> None:
    server = await serve_sendgrid()
    await sendgrid_to(server).send(mail_of(fields_to()), Hold())
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v3/mail/send")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == request.headers["accept"] == "application/json"


async def test_any_script_arrives_as_given(serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid) -> None:
    server = await serve_sendgrid()
    fields = fields_to(
        Address("b@xn--bcher-kva.example", "Bücher Ω"),
        sender=Address("a@xn--bcher-kva.example", "Ännchen 日本"),
        subject="Grüße 👩‍👩‍👧‍👦 نص",
        text="Ünïcode\n日本\n",
        html="<p>é 日本</p>",
        headers={"X-Worter": "Zoë " * 40},
        tags=("größer",),
        metadata={"schlüssel": "wört"},
        reply_to=(Address("r@example.com", "Ré, pondeur"), Address("s@example.com")),
    )
    await sendgrid_to(server).send(mail_of(fields), Hold())
    mail = server.ledger[0].mail
    assert mail["from"]["name"] == "Ännchen 日本"
    assert mail["personalizations"][0]["to"] == [{"email": "b@xn--bcher-kva.example", "name": "Bücher Ω"}]
    assert (mail["subject"], mail["content"][0]["value"], mail["content"][1]["value"]) == (
        "Grüße 👩‍👩‍👧‍👦 نص",
        "Ünïcode\n日本\n",
        "<p>é 日本</p>",
    )
    assert (mail["categories"], mail["custom_args"]["schlüssel"]) == (["größer"], "wört")
    assert [address["email"] for address in mail["reply_to_list"]] == ["r@example.com", "s@example.com"]
    assert decoded(mail["headers"]["X-Worter"]) == "Zoë " * 40


def decoded(value: str) -> str:
    assert value.isascii()
    assert "\n" not in value
    return str(make_header(decode_header(value)))


def test_an_address_stands_once_where_it_came_first() -> None:
    body = body_of(
        to=("b@example.net", "B@Example.net", "c@example.net"),
        cc=(Address("c@example.net"), Address("d@example.net")),
        bcc=(Address("d@example.net"), Address("b@example.net")),
    )
    assert body["personalizations"] == [
        {"to": [{"email": "b@example.net"}, {"email": "c@example.net"}], "cc": [{"email": "d@example.net"}]}
    ]


@pytest.mark.parametrize(
    ("name", "shown"), [("Lee, Ann", "Lee Ann"), ("a;b ,c", "a b c"), (",", None), ('"Q" <x>', '"Q" <x>')]
)
def test_a_recipients_name_holds_nothing_that_begins_another(name: str, shown: str | None) -> None:
    given = body_of(to=(Address("b@example.net", name),))["personalizations"][0]["to"][0]
    assert given.get("name") == shown


def test_a_mail_without_a_word_is_still_a_mail() -> None:
    assert body_of(text="", html="")["content"] == [{"type": "text/plain", "value": "\n"}]
    assert body_of(text="", html="<p>x</p>")["content"] == [{"type": "text/html", "value": "<p>x</p>"}]


def test_more_tags_than_fit_are_left_out() -> None:
    assert body_of(tags=tuple(f"t{n}" for n in range(12)))["categories"] == [f"t{n}" for n in range(10)]


def test_metadata_beyond_what_fits_stays_here_but_our_id_goes_along() -> None:
    metadata = {f"k{n}": "ü" * 600 for n in range(20)}
    carried = body_of(metadata=metadata)["custom_args"]
    assert list(carried) == ["janus_message_id", *(f"k{n}" for n in range(8))]
    assert body_of(metadata={"janus_message_id": "mine"})["custom_args"] == {"janus_message_id": ID}


def test_metadata_that_would_be_lost_among_an_events_own_fields_stays_here() -> None:
    metadata = {
        "email": "x",
        "event": "x",
        "sg_event_id": "x",
        "status": "x",
        "emails": "kept",
        "janus_message_id": "x",
    }
    assert body_of(metadata=metadata)["custom_args"] == {"janus_message_id": ID, "emails": "kept"}
    names = ("email", "event", "sg_event_id", "status", "janus_message_id")
    assert LIMITS.left_behind(Asked(metadata=metadata)) == [f"the metadata {name}" for name in names]


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        (b'{"scopes":["alerts.read"]}', "Mail Send"),
        (b'{"scopes":[]}', "Mail Send"),
        (b'{"errors":[{"message":"authorization required","field":null,"help":null}]}', "authorization required"),
    ],
)
async def test_a_key_that_may_not_send_is_broken(
    scopes: bytes, expected: str, serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid(Reply(200, scopes))
    with pytest.raises(ProviderBroken, match=expected):
        await sendgrid_to(server).verify()


async def test_scopes_are_an_object_that_says_so(serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid) -> None:
    for body in (b"[]", b'{"errors":["x"]}', b'{"scopes":"mail.send"}', b"{}"):
        with pytest.raises(ProviderDown):
            await sendgrid_to(await serve_sendgrid(Reply(200, body))).verify()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sender": Address("jörg@example.com")}, "smtputf8_not_offered"),
        ({"to": (Address("jörg@example.net"),)}, "smtputf8_not_offered"),
        ({"cc": (Address("jörg@example.net"),)}, "smtputf8_not_offered"),
        ({"reply_to": (Address("jörg@example.net"),)}, "smtputf8_not_offered"),
        ({"headers": {"X-SG-EID": "1"}}, "reserved_header"),
        ({"to": tuple(Address(f"r{n}@example.net") for n in range(1001))}, "too_many_recipients"),
        ({"html": "x" * 30_000_000}, "too_large"),
    ],
)
async def test_what_sendgrid_cannot_express_is_refused_before_it_is_asked(
    changes: dict[str, Any], code: str, serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid()
    hold = Hold()
    with pytest.raises(PolicyRejected) as raised:  # so that the next provider is tried
        await sendgrid_to(server).send(mail_of(fields_to(**changes)), hold)
    assert raised.value.code == code
    assert (hold.dispatches, server.connections) == (0, 0)


async def test_a_group_some_of_whom_have_the_mail_is_refused(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid()
    fields = fields_to("b@example.net", "c@example.net", cc=(Address("d@example.net"),))
    with pytest.raises(PolicyRejected) as raised:
        await sendgrid_to(server).send(mail_of(fields, recipients=("c@example.net",)), Hold())
    assert raised.value.code == "group_partly_sent"
    await sendgrid_to(server).send(mail_of(fields), Hold())
    assert server.ledger[0].recipients == ["b@example.net", "c@example.net", "d@example.net"]


async def test_in_sendgrids_sandbox_mode_a_mail_is_looked_at_only(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid()
    accepted = await sendgrid_to(server, validate_only=True).send(mail_of(fields_to()), Hold())
    assert (accepted.code, accepted.provider_message_id) == ("200", None)
    assert (len(server.requests), server.ledger) == (1, [])


@pytest.mark.parametrize(
    ("given", "base_url"),
    [
        ({}, "https://api.sendgrid.com"),
        ({"region": "eu"}, "https://api.eu.sendgrid.com"),
        ({"region": "eu", "endpoint": "https://gateway.example.com/sendgrid/"}, "https://gateway.example.com/sendgrid"),
        ({"endpoint": "http://127.0.0.1:8025"}, "http://127.0.0.1:8025"),
    ],
)
def test_the_region_or_another_address_is_asked(given: dict[str, object], base_url: str) -> None:
    adapter = HttpAdapter(SERVICE, SendGridConfig.model_validate({"api_key": KEY, **given}), timeouts=HttpTimeouts())
    assert adapter.base_url == base_url


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "an API key is needed"),
        ({"api_key": ""}, "an API key is needed"),
        ({"api_key": "SG.a b"}, "no blanks"),
        ({"api_key": "SG.a\r\nX-Evil: 1"}, "no blanks"),
        ({"api_key": "SG.ü"}, "ASCII"),
        ({"api_key": KEY, "region": "asia"}, "'us' or 'eu'"),
        ({"api_key": KEY, "endpoint": "ftp://example.com"}, "plain address"),
        ({"api_key": KEY, "endpoint": "example.com"}, "plain address"),
        ({"api_key": KEY, "endpoint": "https://u:p@example.com"}, "plain address"),
        ({"api_key": KEY, "endpoint": "https://example.com?a=1"}, "plain address"),
        ({"api_key": KEY, "subuser": "x"}, "Extra inputs are not permitted"),
    ],
)
def test_bad_settings_are_refused_with_a_reason(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError) as raised:
        validate_config("sendgrid", given)
    assert complaint in str(raised.value)


def test_the_registry_knows_it_and_hides_its_key() -> None:
    given = {"api_key": KEY, "region": "eu"}
    assert validate_config("sendgrid", given) == given
    assert mask_config("sendgrid", given) == {"api_key": "•••• ests", "region": "eu"}
    adapter = adapter_for("sendgrid", given)
    assert isinstance(adapter, HttpAdapter)
    for shown in (repr(adapter), repr(SendGridConfig.model_validate(given))):
        assert KEY not in shown


async def test_the_fake_runs_as_a_process_that_writes_down_what_it_takes(sendgrid_to: ToSendGrid) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.providers.fake_sendgrid",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": "src"},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            port = int(await process.stdout.readline())
            adapter = sendgrid_to(f"http://127.0.0.1:{port}")
            accepted = await adapter.send(mail_of(fields_to("b@example.net")), Hold())
            line = json.loads(await process.stdout.readline())
            assert (line["id"], line["janus_message_id"], line["message_id"], line["recipients"]) == (
                accepted.provider_message_id, ID, "<1@example.com>", ["b@example.net"],
            )  # fmt: skip
            process.stdin.write(b'{"act": "CUT_TAKEN", "share": 1}\n')
            assert json.loads(await process.stdout.readline()) == {"fired": 0}
            with pytest.raises(Exception, match="uncertain"):
                await adapter.send(mail_of(fields_to("c@example.net")), Hold())
            assert json.loads(await process.stdout.readline())["recipients"] == ["c@example.net"]
            process.terminate()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"to": []}, 400),
        ({"subject": ""}, 400),
        ({"surprise": 1}, 400),
        ({"content": [{"type": "text/plain", "value": ""}]}, 400),
        ({"content": [{"type": "text/html", "value": "x"}, {"type": "text/plain", "value": "x"}]}, 400),
        ({"custom_args": {"n": 1}}, 400),
        ({"attachments": [{"content": "not base64!", "filename": "x"}]}, 400),
        ({"personalizations": [{"to": [{"email": "b@example.net"}, {"email": "B@example.net"}]}]}, 400),
        ({"headers": {"Reply-To": "x@example.com"}}, 400),
        ({}, 202),
    ],
)
async def test_the_fake_is_as_strict_as_the_real_one(
    change: dict[str, Any], status: int, serve_sendgrid: ServeSendGrid
) -> None:
    server: FakeSendGrid = await serve_sendgrid()
    to = change.pop("to", [{"email": "b@example.net"}])
    mail = {**body_of(), "personalizations": [{"to": to}], **change}
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as client:
        answer = await client.post(f"{server.url}/v3/mail/send", json=mail)
    assert answer.status_code == status, answer.text
    assert len(server.ledger) == (status == 202)
