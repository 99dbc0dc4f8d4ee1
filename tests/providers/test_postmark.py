"""A mail as Postmark takes it: what is posted, what is adapted, and whom it does not write to any more."""

import json
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from janus_mail.providers.contract import Accepted, Address, Attachment
from janus_mail.providers.http_service import HttpAdapter
from janus_mail.providers.limits import Asked
from janus_mail.providers.outcomes import PolicyRejected, ProviderBroken, ProviderDown, RecipientRejected
from janus_mail.providers.postmark import LIMITS, PostmarkConfig, request
from janus_mail.providers.registry import adapter_for, mask_config, validate_config

from .conftest import Hold, fields_to, mail_of
from .fake_http import Reply
from .fake_postmark import BENCH, TOKEN, FakePostmark
from .served import served

ID = "0190b0a1-0000-7000-8000-000000000001"
CONFIG = PostmarkConfig(server_token=TOKEN)
PAPER = Attachment("paper.pdf", "application/pdf", b"%PDF-1")
LOGO = Attachment("logo.png", "image/png", b"\x89PNG", "logo@janus")
EVERYTHING = fields_to(
    "b@example.net", Address("c@example.net", "Lee, Carl"),
    cc=(Address("d@example.net", "Dora"),), bcc=(Address("e@example.net"),),
    reply_to=(Address("desk@example.com", "Desk"), Address("copy@example.com")),
    html='<p>Hi <img src="cid:logo@janus"></p>', headers={"X-Campaign": "Summer"}, tags=("welcome", "spring"),
    metadata={"order": "4711"}, attachments=(PAPER, LOGO),
)  # fmt: skip

# As postmarker 1.0 sends the same mail; it is how others reach Postmark.
FROM_POSTMARKER: dict[str, Any] = {
    "From": '"Ann" <a@example.com>',
    "To": 'b@example.net,"Lee, Carl" <c@example.net>',
    "Cc": "Dora <d@example.net>",
    "Bcc": "e@example.net",
    "Subject": "Hello",
    "Tag": "welcome",
    "HtmlBody": '<p>Hi <img src="cid:logo@janus"></p>',
    "TextBody": "Hi there.",
    "Metadata": {"janus_message_id": ID, "order": "4711"},
    "ReplyTo": "Desk <desk@example.com>, copy@example.com",
    "Headers": [
        {"Name": "Message-ID", "Value": "<1@example.com>"},
        {"Name": "X-PM-KeepID", "Value": "true"},
        {"Name": "X-Campaign", "Value": "Summer"},
    ],
    "TrackOpens": None,
    "TrackLinks": "None",
    "Attachments": [
        {"Name": "paper.pdf", "Content": "JVBERi0x", "ContentType": "application/pdf"},
        {"Name": "logo.png", "Content": "iVBORw==", "ContentType": "image/png", "ContentID": "cid:logo@janus"},
    ],
    "MessageStream": "outbound",
}


def body_of(config: PostmarkConfig = CONFIG, *, to: tuple[str | Address, ...] = (), **fields: Any) -> dict[str, Any]:
    given = fields_to(*to, **fields)
    body: dict[str, Any] = json.loads(request(config, mail_of(given), given).body)
    return body


def test_the_whole_request_is_this() -> None:
    config = PostmarkConfig(server_token=TOKEN, message_stream="outbound")
    sent = request(config, mail_of(EVERYTHING), EVERYTHING)
    assert (sent.method, sent.path) == ("POST", "/email")
    assert sent.headers == {
        "X-Postmark-Server-Token": TOKEN, "Content-Type": "application/json", "Accept": "application/json",
    }  # fmt: skip
    assert json.loads(sent.body) == {
        "From": '"Ann" <a@example.com>',
        "To": 'b@example.net, "Lee, Carl" <c@example.net>',
        "Cc": '"Dora" <d@example.net>',
        "Bcc": "e@example.net",
        "ReplyTo": '"Desk" <desk@example.com>, copy@example.com',
        "Subject": "Hello",
        "TextBody": "Hi there.",
        "HtmlBody": '<p>Hi <img src="cid:logo@janus"></p>',
        "Headers": FROM_POSTMARKER["Headers"],
        "Metadata": {"janus_message_id": ID, "order": "4711"},
        "Attachments": FROM_POSTMARKER["Attachments"],
        "Tag": "welcome",
        "MessageStream": "outbound",
    }


def test_what_is_not_given_is_left_out() -> None:
    assert body_of() == {
        "From": '"Ann" <a@example.com>',
        "To": "b@example.net",
        "Subject": "Hello",
        "TextBody": "Hi there.",
        "Headers": FROM_POSTMARKER["Headers"][:2],
        "Metadata": {"janus_message_id": ID},
    }


async def test_postmark_reads_it_as_what_its_python_client_sends() -> None:
    async with served(BENCH, message_stream="outbound") as (server, adapter):
        await adapter.send(mail_of(EVERYTHING), Hold())
        async with httpx.AsyncClient() as client:
            headers = {"X-Postmark-Server-Token": TOKEN, "Accept": "application/json"}
            answer = await client.post(f"{server.url}/email", headers=headers, json=FROM_POSTMARKER)
        assert answer.json()["ErrorCode"] == 0
        ours, theirs = server.ledger
        for part in ("sender", "to", "cc", "bcc", "reply_to", "subject", "text", "html", "headers", "attachments",
                     "tags", "metadata", "janus_message_id"):  # fmt: skip
            assert getattr(ours, part) == getattr(theirs, part), part


async def test_whom_postmark_does_not_write_to_any_more_is_told_of_a_group() -> None:
    async with served(BENCH) as (server, adapter):
        assert isinstance(server, FakePostmark)
        server.inactive = {"c@example.net", "e@example.net"}
        accepted = await adapter.send(
            mail_of(fields_to("b@example.net", "C@example.net", bcc=(Address("e@example.net"),))), Hold()
        )
        assert accepted.provider_message_id == server.ledger[0].id
        assert [(address, type(error)) for address, error in accepted.refused] == [
            ("C@example.net", RecipientRejected), ("e@example.net", RecipientRejected),
        ]  # fmt: skip


async def test_a_group_without_anybody_left_is_refused_for_each_by_name() -> None:
    async with served(BENCH) as (server, adapter):
        assert isinstance(server, FakePostmark)
        server.inactive = {"b@example.net", "c@example.net"}
        with pytest.raises(RecipientRejected) as raised:
            await adapter.send(mail_of(fields_to("b@example.net", "c@example.net")), Hold())
        assert (raised.value.code, len(raised.value.refused), server.ledger) == ("422 406", 2, [])


async def test_a_mail_that_postmark_takes_late_is_taken() -> None:
    late = (
        b'{"To":"b@example.net","SubmittedAt":"2023-01-01T00:00:00","MessageID":"0a129aee-e1cd-480d-b08d-4f48548ff48d",'
        b'"Message":"Message accepted, but delivery may be delayed."}'
    )
    async with served(BENCH, Reply(200, late)) as (_, adapter):
        accepted = await adapter.send(mail_of(fields_to()), Hold())
        assert accepted.provider_message_id == "0a129aee-e1cd-480d-b08d-4f48548ff48d"


async def test_with_the_test_token_a_mail_is_looked_at_only_and_the_real_one_is_still_checked() -> None:
    async with served(BENCH, validate_only=True) as (server, adapter):
        assert isinstance(await adapter.send(mail_of(fields_to()), Hold()), Accepted)
        assert (len(server.requests), server.ledger) == (1, [])
        assert await adapter.verify() is not None
    async with served(BENCH, validate_only=True, server_token="another") as (_, adapter):
        with pytest.raises(ProviderBroken):
            await adapter.verify()


async def test_a_check_that_is_answered_with_anything_but_the_server_is_none() -> None:
    async with served(BENCH) as (server, adapter):
        server.script(Reply(200, b"[]"), Reply(200, b'{"errors":["x"]}'), Reply(200, b'{"ErrorCode":10}'))
        for expected in (ProviderDown, ProviderDown, ProviderBroken):
            with pytest.raises(expected):
                await adapter.verify()


async def test_a_stream_that_the_server_has_not_is_an_error_of_the_provider() -> None:
    async with served(BENCH, message_stream="spring-sale") as (_, adapter):
        with pytest.raises(ProviderBroken) as raised:
            await adapter.send(mail_of(fields_to()), Hold())
        assert (raised.value.code, raised.value.scope) == ("422 1235", "provider")


def test_an_address_stands_once_where_it_came_first() -> None:
    body = body_of(
        to=("b@example.net", "B@Example.net"), cc=(Address("b@example.net"),), bcc=(Address("d@example.net"),)
    )
    assert [body.get(role) for role in ("To", "Cc", "Bcc")] == ["b@example.net", None, "d@example.net"]


def test_a_mail_without_a_word_is_still_a_mail() -> None:
    assert body_of(text="", html="")["TextBody"] == "\n"
    assert "TextBody" not in body_of(text="", html="<p>x</p>")


def test_metadata_goes_as_far_as_it_fits_and_the_rest_is_known_beforehand() -> None:
    metadata = {"Order": "1", "order": "2", "a-key-with-21-letters": "3", "long": "x" * 81, "edge": "ü" * 80}
    assert body_of(metadata=metadata)["Metadata"] == {"janus_message_id": ID, "Order": "1", "edge": "ü" * 80}
    left = LIMITS.left_behind(Asked(metadata=metadata, tags=("one", "two")))
    assert left == ["the tag two", *(f"the metadata {key}" for key in ("order", "a-key-with-21-letters", "long"))]
    assert len(body_of(metadata={f"k{n}": "v" for n in range(20)})["Metadata"]) == 10


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sender": Address("jörg@example.com")}, "smtputf8_not_offered"),
        ({"to": tuple(Address(f"r{n}@example.net") for n in range(51))}, "too_many_recipients"),
        ({"headers": {"x-pm-keepid": "false"}}, "reserved_header"),
        ({"attachments": (Attachment("run.EXE", "application/octet-stream", b"MZ"),)}, "file_type_refused"),
    ],
)
async def test_what_postmark_cannot_express_is_refused_before_it_is_asked(changes: dict[str, Any], code: str) -> None:
    async with served(BENCH) as (server, adapter):
        with pytest.raises(PolicyRejected) as raised:
            await adapter.send(mail_of(fields_to(**changes)), Hold())
        assert (raised.value.code, server.connections) == (code, 0)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "a server token is needed"),
        ({"server_token": "a b"}, "no blanks"),
        ({"server_token": TOKEN, "message_stream": "Out bound"}, "pattern"),
        ({"server_token": TOKEN, "webhook_password": "pass wörd"}, "no blanks"),
        ({"api_key": TOKEN}, "Extra inputs are not permitted"),
    ],
)
def test_bad_settings_are_refused_with_a_reason(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError) as raised:
        validate_config("postmark", given)
    assert complaint in str(raised.value)


def test_the_registry_knows_it_and_hides_its_secrets() -> None:
    given = {"server_token": TOKEN, "message_stream": "outbound", "webhook_password": "correct-horse"}
    assert validate_config("postmark", given) == given
    masked = {"server_token": "•••• 7e90", "message_stream": "outbound", "webhook_password": "•••• orse"}
    assert mask_config("postmark", given) == masked
    adapter = adapter_for("postmark", given)
    assert isinstance(adapter, HttpAdapter)
    assert adapter.base_url == "https://api.postmarkapp.com"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"To": "b@example"}, 422, 300),
        ({"To": "", "Cc": "", "Bcc": ""}, 422, 300),
        ({"From": "a@elsewhere.example"}, 422, 400),
        ({"From": "nobody"}, 422, 300),
        ({"TextBody": "", "HtmlBody": ""}, 422, 300),
        ({"Surprise": 1}, 422, 403),
        ({"Attachments": [{"Name": "a.txt", "Content": "no base64!", "ContentType": "text/plain"}]}, 422, 300),
        ({"Attachments": [{"Name": "a.exe", "Content": "", "ContentType": "text/plain"}]}, 422, 411),
        ({"Metadata": {"a-key-with-21-letters": "x"}}, 422, 300),
        ({"Metadata": {"n": 1}}, 422, 300),
        ({"MessageStream": "none"}, 422, 1235),
        ({}, 200, 0),
    ],
)
async def test_the_fake_is_as_strict_as_the_real_one(change: dict[str, Any], status: int, code: int) -> None:
    async with served(BENCH) as (server, _), httpx.AsyncClient() as client:
        headers = {"X-Postmark-Server-Token": TOKEN, "Accept": "application/json"}
        answer = await client.post(f"{server.url}/email", headers=headers, json={**body_of(), **change})
        assert (answer.status_code, answer.json()["ErrorCode"]) == (status, code), answer.text
        assert len(server.ledger) == (status == 200)
