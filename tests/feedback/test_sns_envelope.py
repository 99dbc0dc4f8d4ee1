"""What proves that a post comes from Amazon SNS: the envelope's signature, its topic, its age, its certificate."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from janus_mail.feedback.reader import Forged, NotNow
from janus_mail.feedback.services.ses import READER, SesReader
from janus_mail.feedback.sns import Unreachable

from .hook_posts import JSON, post_of, shaken, try_to_break, verdict
from .sns_recorded import CERTIFICATE, ENVELOPE, SIGNATURES
from .sns_signing import (
    CERTIFICATE_URL,
    PINNED,
    SUBSCRIBE_URL,
    TOPIC,
    Config,
    certificate,
    headers_of,
    key,
    notification,
    sign,
    stamp,
    subscription,
)

SEND = {"eventType": "Send", "mail": {"messageId": "0102", "destination": ["ann@example.com"]}, "send": {}}
SENT = notification(SEND, Subject="Amazon SES Email Event Notification")


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_openssl_signed_is_accepted(version: str) -> None:
    config = Config(signing_certificate=CERTIFICATE)
    envelope = ENVELOPE | {"SignatureVersion": version, "Signature": SIGNATURES[version]}
    assert verdict(READER, config, post_of(envelope, headers_of(envelope))) is None
    for name in ("Message", "MessageId", "Subject", "Timestamp"):
        changed = envelope | {name: envelope[name].replace("00Z", "01Z").replace("m", "n").replace("9f", "9e")}
        assert verdict(READER, config, post_of(changed)) == "signature_wrong"


@pytest.mark.parametrize(
    "envelope",
    [
        sign(SENT),
        sign(SENT, "1"),
        sign(notification(SEND)),
        sign(notification(SEND, Subject=None)),
        sign(notification("Successfully validated SNS topic for Amazon SES event publishing.")),
        sign(subscription()),
        sign(subscription("UnsubscribeConfirmation")),
        sign(SENT | stamp(timedelta(minutes=59))),
        sign(SENT | stamp(timedelta(minutes=-4))),
    ],
)
def test_what_sns_signed_is_accepted(envelope: dict[str, Any]) -> None:
    assert verdict(READER, PINNED, post_of(envelope, headers_of(envelope))) is None
    assert verdict(READER, PINNED, post_of(envelope)) is None


@pytest.mark.parametrize(
    ("envelope", "refused"),
    [
        (sign(SENT, by=key("another")), "signature_wrong"),
        (sign(SENT, "1") | {"SignatureVersion": "2"}, "signature_wrong"),
        (sign(SENT) | {"Subject": None}, "signature_wrong"),
        (sign(notification(SEND)) | {"Subject": "x"}, "signature_wrong"),
        (sign(SENT) | {"Message": SENT["Message"] + " "}, "signature_wrong"),
        (sign(subscription()) | {"SubscribeURL": SUBSCRIBE_URL + "0"}, "signature_wrong"),
        (sign(subscription()) | {"Type": "UnsubscribeConfirmation"}, "signature_wrong"),
        (sign(SENT) | {"Signature": "AAAA"}, "signature_wrong"),
        (sign(SENT) | {"Signature": "no base64!"}, "signature_wrong"),
        (sign(SENT) | {"Signature": "ü"}, "signature_wrong"),
        (sign(SENT) | {"Signature": None}, "signature_missing"),
        (sign(SENT) | {"SignatureVersion": "3"}, "signature_missing"),
        (sign(SENT) | {"SignatureVersion": None}, "signature_missing"),
        (SENT, "signature_missing"),
        (sign(SENT | {"TopicArn": TOPIC + "2"}), "other_topic"),
        (sign(SENT | {"TopicArn": [TOPIC]}), "other_topic"),
        (sign(SENT | stamp(timedelta(minutes=61))), "signature_too_old"),
        (sign(SENT | stamp(timedelta(minutes=-6))), "signature_ahead"),
        (sign(SENT | {"Timestamp": "now"}), "signature_undated"),
        (sign(SENT) | {"Message": {"eventType": "Send"}}, "not_an_envelope"),
        (sign(SENT) | {"Type": "Letter"}, "not_an_envelope"),
        (sign(subscription(SubscribeURL="https://example.com/?Action=ConfirmSubscription")), "not_an_envelope"),
        (SEND, "not_an_envelope"),
    ],
)
def test_what_sns_did_not_sign_of_late_for_this_topic_is_refused(envelope: dict[str, Any], refused: str) -> None:
    assert verdict(READER, PINNED, post_of(envelope)) == refused


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"x-amz-sns-rawdelivery": "true"}, "not_an_envelope"),
        ({"x-amz-sns-message-type": "SubscriptionConfirmation"}, "not_an_envelope"),
        ({"x-amz-sns-message-id": "another"}, "not_an_envelope"),
    ],
)
def test_headers_that_say_something_else_are_refused(headers: dict[str, str], refused: str) -> None:
    assert verdict(READER, PINNED, post_of(sign(SENT), headers_of(SENT) | headers)) == refused


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff", b"{}", b'{"Type":7}', b"[" * 100_000])
def test_what_is_no_envelope_is_refused(body: bytes) -> None:
    assert verdict(READER, PINNED, post_of(body)) == "not_an_envelope"


def test_without_a_topic_nothing_is_taken() -> None:
    for topic in (None, ""):
        assert verdict(READER, Config(topic), post_of(sign(SENT))) == "hook_not_set_up"


def test_a_certificate_in_the_settings_that_is_none_is_said_to_be() -> None:
    elliptic = certificate(ec.generate_private_key(ec.SECP256R1())).decode()
    for pem in ("x", CERTIFICATE[:200], elliptic):
        assert verdict(READER, Config(signing_certificate=pem), post_of(sign(SENT))) == "hook_not_set_up"


class Certificates:
    """Where certificates are fetched, and what was."""

    def __init__(self, *answers: bytes | Unreachable) -> None:
        self.asked: list[str] = []
        self._answers = list(answers) or [certificate()]
        self.gate = asyncio.Event()
        self.gate.set()

    async def load(self, url: str) -> bytes:
        self.asked.append(url)
        await self.gate.wait()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Unreachable):
            raise answer
        return answer


async def test_a_certificate_is_fetched_once() -> None:
    certificates = Certificates()
    reader = SesReader(certificates.load)
    for _ in range(3):
        await reader.verify(Config(), post_of(sign(SENT)))
    await reader.verify(Config(), post_of(sign(SENT | {"SigningCertURL": None, "SigningCertUrl": CERTIFICATE_URL})))
    assert certificates.asked == [CERTIFICATE_URL]
    with pytest.raises(Forged):
        await reader.verify(Config(), post_of(sign(SENT, by=key("another"))))


async def test_all_who_need_a_certificate_at_once_wait_for_one_fetch() -> None:
    certificates = Certificates()
    certificates.gate.clear()
    reader = SesReader(certificates.load)
    waiting = [asyncio.ensure_future(reader.verify(Config(), post_of(sign(SENT)))) for _ in range(5)]
    while not certificates.asked:
        await asyncio.sleep(0)
    waiting[0].cancel()
    certificates.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError, *[type(None)] * 4]
    assert len(certificates.asked) == 1


@pytest.mark.parametrize("answer", [Unreachable("SNS answered 503.", 503), Unreachable("no way"), b"<html>no</html>"])
async def test_while_a_certificate_cannot_be_fetched_the_post_is_asked_for_again(answer: bytes | Unreachable) -> None:
    certificates = Certificates(answer, certificate())
    reader = SesReader(certificates.load)
    with pytest.raises(NotNow):
        await reader.verify(Config(), post_of(sign(SENT)))
    await reader.verify(Config(), post_of(sign(SENT)))
    assert len(certificates.asked) == 2


async def test_a_certificate_that_sns_does_not_have_proves_nothing() -> None:
    with pytest.raises(Forged) as refused:
        await SesReader(Certificates(Unreachable("", 404)).load).verify(Config(), post_of(sign(SENT)))
    assert refused.value.code == "certificate_not_of_sns"


@pytest.mark.parametrize(
    "url",
    [
        None,
        7,
        "",
        "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
        "https://sns.eu-west-1.amazonaws.com/a.txt",
        "https://sns.eu-west-1.amazonaws.com/?x=SimpleNotificationService-0a1b.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/SimpleNotificationService-0a1b.pem",
        "https://sns.eu-west-1.amazonaws.com@example.com/SimpleNotificationService-0a1b.pem",
        "https://user@sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
        "https://sns.eu-west-1.amazonaws.com.example.com/SimpleNotificationService-0a1b.pem",
        "https://example.com/sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
        "https://example.com\\@sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
        "https://sns.amazonaws.com/SimpleNotificationService-0a1b.pem",
        "https://sns.eu.west.amazonaws.com/SimpleNotificationService-0a1b.pem",
        "https://s3.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
        "https://sns.eu-west-1.amazonaws.com\n.example.com/SimpleNotificationService-0a1b.pem",
        "https://sns.eu-weſt-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
        "https://[sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
        " https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
        "https://sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com/x/SimpleNotificationService-0a1b.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem?Action=GetEndpointAttributes&EndpointArn=1",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem?",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem#x",
        "https://sns.s3-us-west-2.amazonaws.com/SimpleNotificationService-0a1b.pem",
        "https://sns.evil-bucket.amazonaws.com/SimpleNotificationService-0a1b.pem",
    ],
)
async def test_a_certificate_is_fetched_from_sns_alone(url: Any) -> None:
    certificates = Certificates()
    with pytest.raises(Forged) as refused:
        await SesReader(certificates.load).verify(Config(), post_of(sign(SENT | {"SigningCertURL": url})))
    assert (refused.value.code, certificates.asked) == ("certificate_not_of_sns", [])


@pytest.mark.parametrize(
    "url",
    [
        "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-0a1b.pem",
        "https://sns.us-gov-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
        "https://sns.us-east-1.amazonaws.com:443/SimpleNotificationService-0a1b.pem",
    ],
)
async def test_every_region_of_sns_is_sns(url: str) -> None:
    certificates = Certificates()
    await SesReader(certificates.load).verify(Config(), post_of(sign(SENT | {"SigningCertURL": url})))
    assert certificates.asked == [url]


async def test_a_post_for_another_topic_or_of_yesterday_makes_nothing_be_fetched() -> None:
    certificates = Certificates()
    for envelope in (SENT | {"TopicArn": "arn:other"}, SENT | stamp(timedelta(days=1))):
        with pytest.raises(Forged):
            await SesReader(certificates.load).verify(Config(), post_of(sign(envelope)))
    assert certificates.asked == []


@settings(max_examples=40, deadline=None)
@given(st.binary() | JSON.map(json.dumps).map(str.encode) | JSON.map(notification).map(json.dumps).map(str.encode))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    try_to_break(READER, PINNED, body, {})


@settings(max_examples=50, deadline=None)
@given(shaken(sign(SENT)))
def test_no_values_of_an_envelope_break_the_reader(envelope: dict[str, Any]) -> None:
    try_to_break(READER, PINNED, json.dumps(envelope).encode(), {})
