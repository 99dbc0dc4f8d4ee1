"""A mail as Amazon SES takes it: what is asked for, who signs it, and what is left out or refused beforehand."""

import asyncio
import base64
import json
import random
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from email.parser import BytesParser
from email.policy import SMTP
from functools import partial
from hashlib import sha256
from typing import Any

import boto3
import botocore.session
import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from pydantic import ValidationError

from janus_mail.providers import ses_client
from janus_mail.providers.contract import Address, Attachment, Fields
from janus_mail.providers.limits import Asked
from janus_mail.providers.network import ANY
from janus_mail.providers.outcomes import PolicyRejected, ProviderBroken
from janus_mail.providers.registry import adapter_for, mask_config, validate_config
from janus_mail.providers.ses import LIMITS, SesAdapter, parameters
from janus_mail.providers.ses_body import LARGE_BYTES, filled
from janus_mail.providers.ses_client import Account
from janus_mail.providers.ses_config import SesConfig
from janus_mail.providers.timeouts import HttpTimeouts

from .conftest import SHORT_HTTP, Hold, TimedHold, fields_to, mail_of
from .fake_http import Act, Reply
from .fake_ses import ACCOUNT, CONFIG, KEY_ID, REGION, SECRET_KEY, FakeSes, error

ID = "0190b0a1-0000-7000-8000-000000000001"
SETTINGS = {**CONFIG, "configuration_set": "janus", "from_arn": "arn:aws:ses:eu-west-1:123456789012:identity/x.test"}

Serve = Callable[..., Awaitable[FakeSes]]
Connect = Callable[..., SesAdapter]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[FakeSes] = []

    async def start(*steps: Any) -> FakeSes:
        servers.append(FakeSes(*steps))
        await servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    adapters: list[SesAdapter] = []

    def to(server: FakeSes, *, timeouts: HttpTimeouts = SHORT_HTTP, **config: object) -> SesAdapter:
        settings = SesConfig.model_validate({**CONFIG, "endpoint": server.url, **config})
        adapters.append(SesAdapter(settings, timeouts=timeouts, network=ANY))
        return adapters[-1]

    yield to
    for adapter in adapters:
        await adapter.close()


def everything() -> Fields:
    return fields_to(
        "b@example.net",
        Address("c@example.net", "Carl"),
        cc=(Address("d@example.net", "Dora"),),
        bcc=(Address("e@example.net"),),
        html="<p>Hi there.</p>",
        headers={"X-Campaign": "Summer"},
        tags=("welcome", "welcome", "spring", "not this one"),
        metadata={"order": "4711", "tag_1": "mine", "words": "not these", "größe": "1", "tagged": "yes"},
    )


async def test_the_whole_request_is_this(serve: Serve, connect: Connect) -> None:
    server = await serve()
    mail = mail_of(everything())
    await connect(server, **{name: SETTINGS[name] for name in ("configuration_set", "from_arn")}).send(mail, Hold())
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v2/email/outbound-emails")
    assert request.headers["content-type"] == "application/json"
    assert request.mail == {
        "Content": {"Raw": {"Data": base64.b64encode(mail.content()).decode()}},
        "Destination": {
            "ToAddresses": ["b@example.net", "c@example.net"],
            "CcAddresses": ["d@example.net"],
            "BccAddresses": ["e@example.net"],
        },
        "EmailTags": [
            {"Name": "janus_message_id", "Value": ID},
            {"Name": "order", "Value": "4711"},
            {"Name": "tagged", "Value": "yes"},
            {"Name": "tag_1", "Value": "welcome"},
            {"Name": "tag_2", "Value": "spring"},
        ],
        "ConfigurationSetName": "janus",
        "FromEmailAddressIdentityArn": "arn:aws:ses:eu-west-1:123456789012:identity/x.test",
    }


async def test_awss_own_client_asks_for_the_same_in_the_same_words(serve: Serve, connect: Connect) -> None:
    server = await serve()
    mail = mail_of(everything())
    await connect(server, configuration_set="janus").send(mail, Hold())
    theirs = boto3.session.Session(KEY_ID, SECRET_KEY, region_name=REGION).client(
        "sesv2", endpoint_url=server.url, config=Config(retries={"total_max_attempts": 1, "mode": "standard"})
    )
    config = SesConfig.model_validate({**CONFIG, "configuration_set": "janus"})
    asked = parameters(config, mail, everything(), mail.content())
    answer = await asyncio.to_thread(theirs.send_email, **asked)
    ours, their_own = server.requests
    assert answer["MessageId"] == server.ledger[1].id
    assert (ours.method, ours.path, ours.body) == (their_own.method, their_own.path, their_own.body)
    signed = {"authorization", "x-amz-date", "amz-sdk-invocation-id", "user-agent"}
    by_http = {"accept", "accept-encoding", "connection"}
    assert {name: value for name, value in ours.headers.items() if name not in signed | by_http} == {
        name: value for name, value in their_own.headers.items() if name not in signed | by_http
    }


async def test_a_large_mail_is_the_same_request_made_in_a_thread(serve: Serve, connect: Connect) -> None:
    server, threads = await serve(), set[int]()
    file = Attachment("März.pdf", "application/pdf", random.Random(1).randbytes(7_000_001))
    small = mail_of(fields := replace(everything(), attachments=(file,)))
    content = small.content()

    def made() -> bytes:
        threads.add(threading.get_ident())
        return content

    accepted = await connect(server, configuration_set="janus").send(replace(small, content=made), Hold())
    (request,) = server.requests
    assert accepted.provider_message_id == server.ledger[0].id  # so its signature fits
    asked = parameters(SesConfig.model_validate({**CONFIG, "configuration_set": "janus"}), small, fields, content)
    asked["Content"]["Raw"]["Data"] = base64.b64encode(content).decode()
    assert request.body == json.dumps(asked).encode()
    assert request.headers["x-amz-content-sha256"] == sha256(request.body).hexdigest()
    assert "x-amz-content-sha256" in request.headers["authorization"]
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


async def test_a_timer_that_was_set_while_a_mail_left_does_not_keep_it(serve: Serve, connect: Connect) -> None:
    server = await serve()
    adapter = connect(server)
    hold = TimedHold()
    gone, content = weakref.ref(hold), mail_of(fields_to()).content()
    large = replace(mail_of(fields_to()), content=(made := partial(bytes, content)), size=LARGE_BYTES)
    dropped = weakref.ref(made)
    await adapter.send(large, hold)
    del hold, large, made
    assert (gone(), dropped()) == (None, None)


@pytest.mark.parametrize("over", [-1, 0, 1, 2, 3])
async def test_from_256_kib_on_a_mail_is_large_and_its_bytes_are_the_same(
    over: int, serve: Serve, connect: Connect
) -> None:
    server = await serve()
    mail = mail_of(fields_to())
    content = mail.content() + (b"x" * 62 + b"\r\n") * 5000
    content = content[: LARGE_BYTES + over]
    await connect(server).send(replace(mail, content=lambda: content, size=len(content)), Hold())
    assert base64.b64decode(server.requests[0].mail["Content"]["Raw"]["Data"]) == content
    assert ("x-amz-content-sha256" in server.requests[0].headers) is (over >= 0)


async def test_a_large_body_with_another_hash_in_its_headers_is_not_believed(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve()
    monkeypatch.setattr(ses_client, "filled", lambda body, data: (filled(body, data)[0], sha256(b"other").hexdigest()))
    file = Attachment("a.pdf", "application/pdf", bytes(LARGE_BYTES))
    with pytest.raises(ProviderBroken, match="InvalidSignature"):
        await connect(server).send(mail_of(fields_to(attachments=(file,))), Hold())
    assert server.ledger == []


async def test_what_is_not_given_is_left_out(serve: Serve, connect: Connect) -> None:
    server = await serve()
    await connect(server).send(mail_of(fields_to()), Hold())
    assert {**server.requests[0].mail, "Content": None} == {
        "Content": None,
        "Destination": {"ToAddresses": ["b@example.net"]},
        "EmailTags": [{"Name": "janus_message_id", "Value": ID}],
    }


async def test_the_bytes_that_leave_are_our_own_and_clean_for_seven_bits(serve: Serve, connect: Connect) -> None:
    server = await serve()
    words = "Grüße, 世界 🚀 " * 100 + "\nFrom here\n" + "ü" * 2000
    file = Attachment("Rechnung für März.pdf", "application/pdf", bytes(range(256)) * 50, "logo@janus")
    mail = mail_of(
        fields_to(
            Address("b@example.net", "Jörg Müller"), subject=words[:300], text=words, html=f"<p>{words}</p>",
            headers={"X-Words": words[:500]}, attachments=(file,),
        )
    )  # fmt: skip
    await connect(server).send(mail, Hold())
    sent = base64.b64decode(server.requests[0].mail["Content"]["Raw"]["Data"])
    assert sent == mail.content()
    assert sent.isascii()
    assert max(len(line) for line in sent.split(b"\r\n")) <= 998
    encodings = {
        part["content-transfer-encoding"]
        for part in BytesParser(policy=SMTP).parsebytes(sent).walk()
        if not part.is_multipart()
    }
    assert encodings <= {"7bit", "quoted-printable", "base64"}


async def test_an_envelope_holds_each_address_once_and_nobody_is_lost(serve: Serve, connect: Connect) -> None:
    server = await serve()
    fields = fields_to("b@example.net", "b@example.net", cc=(Address("b@example.net"), Address("c@example.net")))
    mail = mail_of(fields, recipients=("b@example.net", "c@example.net", "unnamed@example.net"))
    await connect(server).send(mail, Hold())
    assert server.requests[0].mail["Destination"] == {
        "ToAddresses": ["b@example.net"],
        "CcAddresses": ["c@example.net"],
        "BccAddresses": ["unnamed@example.net"],
    }


async def test_no_request_is_repeated_whatever_it_meets(serve: Serve, connect: Connect) -> None:
    server = await serve(error(503, "ServiceUnavailable", "Busy."), error(429, "TooManyRequestsException", "Slowly."))
    adapter = connect(server)
    for _ in range(2):
        with pytest.raises(Exception, match=r"provider_down|throttled"):
            await adapter.send(mail_of(fields_to()), Hold())
    assert len(server.requests) == 2


async def test_many_mails_at_once_have_their_own_answers(serve: Serve, connect: Connect) -> None:
    server = await serve()
    adapter = connect(server)
    mails = [mail_of(fields_to(f"r{n}@example.net")) for n in range(30)]
    accepted = await asyncio.gather(*(adapter.send(mail, Hold()) for mail in mails))
    by_id = {taken.id: taken.recipients for taken in server.ledger}
    assert [by_id[one.provider_message_id or ""] for one in accepted] == [[f"r{n}@example.net"] for n in range(30)]


async def test_a_canceled_send_lets_nothing_leave_afterwards(serve: Serve, connect: Connect) -> None:
    server = await serve(Act.HANG)
    adapter = connect(server)
    sending = asyncio.create_task(adapter.send(mail_of(fields_to()), Hold()))
    await server.until(lambda: len(server.requests) == 1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await adapter.send(mail_of(fields_to("c@example.net")), Hold())
    assert [taken.recipients for taken in server.ledger] == [["c@example.net"]]


async def test_an_account_that_is_closed_early_lets_its_mail_go(serve: Serve, connect: Connect) -> None:
    server = await serve()
    adapter = connect(server)
    sending = asyncio.create_task(adapter.send(mail_of(fields_to()), Hold()))
    await asyncio.sleep(0)  # it is being opened
    await adapter.close()
    await sending
    assert len(server.ledger) == 1
    await server.until(lambda: server.open_now == 0)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sender": Address("jörg@example.com")}, "smtputf8_not_offered"),
        ({"cc": (Address("jörg@example.net"),)}, "smtputf8_not_offered"),
        ({"headers": {"X-SES-Message-Tags": "janus_message_id=other"}}, "reserved_header"),
        ({"headers": {"X-SES-CONFIGURATION-SET": "other"}}, "reserved_header"),
        ({"cc": tuple(Address(f"r{n}@example.net") for n in range(50))}, "too_many_recipients"),
        ({"attachments": (Attachment("setup.EXE", "application/octet-stream", b"MZ"),)}, "file_type_refused"),
        ({"text": "x" * 40_000_000}, "too_large"),
    ],
)
async def test_what_ses_cannot_carry_is_refused_before_it_is_asked(
    changes: dict[str, Any], code: str, serve: Serve, connect: Connect
) -> None:
    server = await serve()
    hold = Hold()
    with pytest.raises(PolicyRejected) as raised:
        await connect(server).send(mail_of(fields_to(**changes)), hold)
    assert raised.value.code == code
    assert (hold.dispatches, server.connections) == (0, 0)


def test_tags_and_metadata_that_stay_behind_are_told() -> None:
    asked = Asked(tags=("a b", "fine", "ü"), metadata={"tag": "x", "tag_7": "x", "to": "a b", "order": "1"})
    assert LIMITS.left_behind(asked) == [
        "the tag a b", "the tag ü", "the metadata tag_7", "the metadata to",
    ]  # fmt: skip


async def test_what_the_account_may_is_told_when_it_is_checked(serve: Serve, connect: Connect) -> None:
    server = await serve()
    adapter = connect(server)
    assert (await adapter.verify()).response == (
        "It knows these keys. Sending is on. It may write to anyone. "
        "1,204 of 50,000 mails in the last 24 hours are used, 14 a second may be sent."
    )
    new = {**ACCOUNT, "ProductionAccessEnabled": False, "SendingEnabled": False, "SendQuota": {"Max24HourSend": -1}}
    server.script(Reply(200, json.dumps(new).encode()))
    assert (await adapter.verify()).response == (
        "It knows these keys. Sending is switched off for this account. "
        "It is in the sandbox: it writes to verified addresses alone. "
        "0 of any number mails in the last 24 hours are used, 0 a second may be sent."
    )


async def test_keys_that_may_only_send_are_known_all_the_same(serve: Serve, connect: Connect) -> None:
    refusal = "User: arn:aws:iam::1:user/j is not authorized to perform: ses:GetAccount on resource: *"
    server = await serve(error(403, "AccessDeniedException", refusal))
    verified = await connect(server).verify()
    assert verified.code == "403"
    assert "knows these keys" in verified.response


async def test_a_region_has_the_address_that_aws_gives_it_or_another_is_asked(serve: Serve, connect: Connect) -> None:
    for region, address in {"eu-west-1": "com", "us-gov-west-1": "com", "cn-north-1": "com.cn"}.items():
        assert SesConfig.model_validate({**CONFIG, "region": region}).region == region
        opened = await ses_client._open(Account(region, KEY_ID, SECRET_KEY), SHORT_HTTP, ANY, 1)
        assert opened.client.meta.endpoint_url == f"https://email.{region}.amazonaws.{address}"
        await opened.kept.aclose()
    for region in botocore.session.Session().get_available_regions("sesv2"):
        assert SesConfig.model_validate({**CONFIG, "region": region})
    server = await serve()
    with pytest.raises(ProviderBroken):  # the fake has nothing there
        await connect(server, endpoint=f"{server.url}/gateway/").send(mail_of(fields_to()), Hold())
    assert server.requests[0].path == "/gateway/v2/email/outbound-emails"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "the region is needed"),
        ({"region": REGION}, "both keys are needed"),
        ({"region": REGION, "access_key_id": KEY_ID}, "both keys are needed"),
        ({**CONFIG, "access_key_id": "AKIA 1"}, "no blanks"),
        ({**CONFIG, "region": "evil.example.com/"}, "pattern"),
        ({**CONFIG, "region": "eu-west-1 "}, "pattern"),
        ({**CONFIG, "use_default_credentials": True}, "leave the keys out"),
        ({"region": REGION, "use_default_credentials": True, "session_token": "t"}, "leave the keys out"),
        ({**CONFIG, "configuration_set": "a b"}, "pattern"),
        ({**CONFIG, "topic_arn": "arn:aws:sqs:eu-west-1:123456789012:janus"}, "pattern"),
        ({**CONFIG, "from_arn": "example.com"}, "pattern"),
        ({**CONFIG, "endpoint": "ftp://example.com"}, "plain address"),
        ({**CONFIG, "profile": "x"}, "Extra inputs are not permitted"),
    ],
)
def test_bad_settings_are_refused_with_a_reason(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError) as raised:
        validate_config("ses", given)
    assert complaint in str(raised.value)


def test_the_registry_knows_it_and_hides_its_keys() -> None:
    assert validate_config("ses", SETTINGS) == SETTINGS
    assert validate_config("ses", {"region": REGION, "use_default_credentials": True})
    masked = mask_config("ses", {**CONFIG, "session_token": "IQoJb3JpZ2luX2VjEJ"})
    assert masked == {
        "region": REGION, "access_key_id": "•••• MPLE", "secret_access_key": "•••• EKEY", "session_token": "•••• VjEJ",
    }  # fmt: skip
    adapter = adapter_for("ses", CONFIG)
    assert isinstance(adapter, SesAdapter)
    for shown in (repr(adapter), repr(SesConfig.model_validate(CONFIG)), repr(Account(REGION, KEY_ID, SECRET_KEY))):
        assert KEY_ID not in shown
        assert SECRET_KEY not in shown


def test_awss_library_is_read_by_those_alone_who_use_it() -> None:
    program = """
import sys
from janus_mail.providers.registry import adapter_for, KINDS
assert "ses" in KINDS
adapter_for("smtp", {"host": "mx.example.com"})
print([name for name in ("aioboto3", "aiobotocore", "botocore", "aiohttp") if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 200),
        ({"Surprise": 1}, 400),
        ({"EmailTags": [{"Name": "a", "Value": "a b"}]}, 400),
        ({"EmailTags": [{"Name": "a"}]}, 400),
        ({"EmailTags": [{"Name": "a", "Value": "1"}, {"Name": "a", "Value": "2"}]}, 400),
        ({"Destination": {}}, 400),
        ({"Destination": {"ToAddresses": "b@example.net"}}, 400),
        ({"Destination": {"ToAddresses": ["jörg@example.net"]}}, 400),
        ({"Content": {"Raw": {"Data": "not base64!"}}}, 400),
        ({"Content": {"Raw": {"Data": base64.b64encode(b"Subject: No sender\r\n\r\n").decode()}}}, 400),
        ({"Content": {}}, 400),
        ({"ConfigurationSetName": "unknown"}, 404),
    ],
)
async def test_the_fake_is_as_strict_as_the_real_one(change: dict[str, Any], status: int, serve: Serve) -> None:
    server = await serve()
    mail = mail_of(fields_to())
    asked = parameters(SesConfig.model_validate(CONFIG), mail, fields_to(), mail.content())
    asked["Content"] = {"Raw": {"Data": base64.b64encode(mail.content()).decode()}}
    assert (await _post(server, json.dumps({**asked, **change}).encode())).status_code == status
    assert len(server.ledger) == (status == 200)


async def test_the_fake_knows_a_request_that_was_changed_on_the_way(serve: Serve) -> None:
    server = await serve()
    for meddle in ({"changed": True}, {"secret_key": "other"}, {"region": "us-east-1"}, {"key_id": "AKIAOTHER"}):
        answer = await _post(server, b"{}", **meddle)
        assert answer.status_code == 403, meddle
        assert answer.headers["x-amzn-errortype"] in ("InvalidSignatureException", "UnrecognizedClientException")


async def _post(
    server: FakeSes, body: bytes, *, changed: bool = False, secret_key: str = SECRET_KEY, region: str = REGION,
    key_id: str = KEY_ID,
) -> httpx.Response:  # fmt: skip
    """Signed by botocore, then changed."""
    url = f"{server.url}/v2/email/outbound-emails"
    signed = AWSRequest("POST", url, data=body, headers={"Content-Type": "application/json"})
    SigV4Auth(Credentials(key_id, secret_key), "ses", region).add_auth(signed)
    async with httpx.AsyncClient() as client:
        return await client.post(url, content=body + b" " * changed, headers=dict(signed.headers))
