"""Mailgun's webhooks: each event, the forms of old, and the signature over time and token."""

import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from janus_mail.feedback.reader import Unreadable
from janus_mail.feedback.services.mailgun import READER
from janus_mail.models.states import FeedbackType

from .hook_posts import JSON, MESSAGE_UUID, NOW, post_of, read, shaken, smtp, try_to_break, verdict

KEY = "5d41402abc4b2a76b9719d911017c592"
API_KEY = SecretStr("key-of-the-api")
ENTERED = SecretStr(KEY)


@dataclass(frozen=True)
class Config:
    webhook_signing_key: SecretStr | None = ENTERED
    api_key: SecretStr | None = API_KEY


TOKEN = "651869375b9df3c98fc15c4889b102119add1235c38fc92824"
AT = datetime(2026, 3, 1, 11, 59, 58, 250000, tzinfo=UTC)
COMMON: dict[str, Any] = {
    "id": "hTWCTD81RtiDN-v9o3Xz7A",
    "timestamp": AT.timestamp(),
    "log-level": "info",
    "account": {"id": "5f0c"},
    "domain": {"name": "example.net"},
    "recipient": "ann@Example.com",
    "recipient-domain": "example.com",
    "tags": ["invoice"],
    "campaigns": [],
    "user-variables": {"janus_message_id": MESSAGE_UUID, "order": "77"},
    "flags": {"is-authenticated": True, "is-routed": False, "is-system-test": False, "is-test-mode": False},
    "envelope": {
        "sender": "shop@example.net",
        "targets": "ann@example.com",
        "transport": "smtp",
        "sending-ip": "192.0.2.7",
    },
    "message": {
        "headers": {
            "to": "Ann <ann@example.com>",
            "from": "shop@example.net",
            "subject": "Your invoice",
            "message-id": "20260301115955.1.DF5966851B4BAA99@example.net",
        },
        "attachments": [],
        "size": 809,
    },
    "storage": {"url": "https://storage-us-west1.api.mailgun.net/v3/x", "key": "BAAB"},
}
MESSAGE_ID = "<20260301115955.1.DF5966851B4BAA99@example.net>"
READING = {
    "ip": "192.0.2.20",
    "geolocation": {"country": "NL", "region": "UT", "city": "Utrecht"},
    "client-info": {"user-agent": "Mozilla/5.0", "device-type": "desktop", "client-type": "browser", "bot": ""},
}
READ = {"ip": "192.0.2.20", "user_agent": "Mozilla/5.0"}


def status(code: int, message: str, **more: Any) -> dict[str, Any]:
    return {
        "delivery-status": {
            "code": code,
            "message": message,
            "description": "",
            "mx-host": "mx.example.com",
            "tls": True,
            "attempt-no": 1,
            "session-seconds": 0.75,
            "utf8": True,
            "certificate-verified": True,
        }
        | more
    }


def failed(severity: str, reason: str | None, told: dict[str, Any]) -> dict[str, Any]:
    return {"event": "failed", "severity": severity, "reason": reason} | told


GONE = status(550, "5.1.1 The email account that you tried to reach does not exist.", **{"enhanced-code": "5.1.1"})
BEFORE = status(605, "Not delivering to previously bounced address")
NO_MX = status(498, "No MX for example.com", **{"retry-seconds": 600})
GREY = status(450, "4.7.1 Greylisted", **{"retry-seconds": 300})


@pytest.mark.parametrize(
    ("event", "type_", "details"),
    [
        ({"event": "accepted", "method": "HTTP"}, FeedbackType.QUEUED, {}),
        ({"event": "delivered"} | status(250, "OK"), FeedbackType.DELIVERED, {"smtp_code": 250}),
        ({"event": "delivered", "delivery-status": None}, FeedbackType.DELIVERED, {}),
        (failed("temporary", "generic", NO_MX), FeedbackType.DEFERRED, {"classification": "generic"}),
        (
            failed("temporary", "greylisted", GREY),
            FeedbackType.DEFERRED,
            smtp(450, "4.7.1") | {"classification": "greylisted"},
        ),
        (
            failed("permanent", "bounce", GONE),
            FeedbackType.BOUNCED_HARD,
            smtp(550, "5.1.1") | {"classification": "bounce"},
        ),
        (
            failed("permanent", "generic", GONE),
            FeedbackType.BOUNCED_HARD,
            smtp(550, "5.1.1") | {"classification": "generic"},
        ),
        (failed("permanent", None, GONE), FeedbackType.BOUNCED_HARD, smtp(550, "5.1.1")),
        (
            failed("permanent", "generic", status(552, "full", **{"bounce-type": "soft"})),
            FeedbackType.BOUNCED_SOFT,
            {"smtp_code": 552, "classification": "generic"},
        ),
        (failed("permanent", "old", NO_MX), FeedbackType.BOUNCED_SOFT, {"classification": "old"}),
        (failed("permanent", "espblock", NO_MX), FeedbackType.BOUNCED_SOFT, {"classification": "espblock"}),
        (failed("permanent", "suppress-bounce", BEFORE), FeedbackType.REJECTED, {"classification": "suppress-bounce"}),
        (
            failed("permanent", "suppress-complaint", {"delivery-status": None}),
            FeedbackType.REJECTED,
            {"classification": "suppress-complaint"},
        ),
        (
            failed("permanent", "suppress-unsubscribe", {}),
            FeedbackType.REJECTED,
            {"classification": "suppress-unsubscribe"},
        ),
        (failed("permanent", "generic", BEFORE), FeedbackType.REJECTED, {"classification": "generic"}),
        ({"event": "opened"} | READING, FeedbackType.OPENED, READ),
        (
            {"event": "opened"} | READING | {"client-info": {"user-agent": "Mozilla/5.0", "bot": "apple"}},
            FeedbackType.OPENED,
            READ | {"machine": True},
        ),
        (
            {"event": "clicked", "url": "https://example.net/pay"} | READING,
            FeedbackType.CLICKED,
            READ | {"url": "https://example.net/pay"},
        ),
        ({"event": "unsubscribed"} | READING, FeedbackType.UNSUBSCRIBED, READ),
        ({"event": "complained"}, FeedbackType.COMPLAINED, {}),
        ({"event": "stored"}, FeedbackType.UNKNOWN, {}),
    ],
    ids=lambda value: value.get("event", "") if isinstance(value, dict) else str(value),
)
def test_each_event_is_read(event: dict[str, Any], type_: FeedbackType, details: dict[str, Any]) -> None:
    (happened,) = read(READER, {"signature": {"token": TOKEN}, "event-data": COMMON | event})
    assert (happened.type, dict(happened.details)) == (type_, details)
    assert (happened.provider_message_id, happened.message_uuid) == (MESSAGE_ID, MESSAGE_UUID)
    assert (happened.key, happened.recipient, happened.at) == (TOKEN, "ann@example.com", AT)
    assert happened.raw == COMMON | event


def test_a_bounce_tells_why_in_the_servers_words() -> None:
    (happened,) = read(READER, {"event-data": COMMON | failed("permanent", "bounce", GONE)})
    assert happened.reason == "5.1.1 The email account that you tried to reach does not exist."


def test_a_rejection_that_names_no_recipient_is_about_the_one_of_its_header() -> None:
    event = COMMON | {
        "event": "rejected",
        "reject": {"reason": "Sandbox subdomains are for test purposes only.", "description": ""},
    }
    del event["recipient"]
    (happened,) = read(READER, {"event-data": event})
    assert (happened.type, happened.recipient) == (FeedbackType.REJECTED, "ann@example.com")
    assert happened.reason == "Sandbox subdomains are for test purposes only."
    event["message"] = {"headers": {"to": "ann@example.com, bo@example.com"}}
    assert read(READER, {"event-data": event})[0].recipient is None


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{}", b"[]", b'{"event-data":{}}', b'{"event-data":[]}', b'{"event-data":7}']
)
def test_what_is_no_event_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read(READER, body)


def signed(at: datetime = NOW, key: str = KEY, **more: str) -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    signature = hmac.new(key.encode(), (timestamp + TOKEN).encode(), hashlib.sha256).hexdigest()
    return {"timestamp": timestamp, "token": TOKEN, "signature": signature} | more


def body_of(signature: Any) -> dict[str, Any]:
    return {"signature": signature, "event-data": COMMON | {"event": "delivered"}}


def test_a_signature_that_openssl_made_is_accepted() -> None:
    # printf '%s' 1772366400651869375b9df3c98fc15c4889b102119add1235c38fc92824 | openssl dgst -sha256 -hmac …
    signature = {
        "timestamp": "1772366400",
        "token": TOKEN,
        "signature": "b6759d60b8af5fbc713eb9d0d5919f5485ef5c260e354ce247ad5e4c4a56f787",
    }
    assert verdict(READER, Config(), post_of(body_of(signature))) is None


@pytest.mark.parametrize(
    ("signature", "refused"),
    [
        (signed(), None),
        (signed() | {"timestamp": 1772366400}, None),
        (signed(NOW - timedelta(hours=8, minutes=55)), None),
        (signed(NOW + timedelta(minutes=4)), None),
        (signed(NOW - timedelta(hours=9, minutes=1)), "signature_too_old"),
        (signed(NOW + timedelta(minutes=6)), "signature_ahead"),
        (signed(key="of the subaccount") | {"parent-signature": signed()["signature"]}, None),
        (signed(key="another"), "signature_wrong"),
        (signed(key=API_KEY.get_secret_value()), "signature_wrong"),
        (signed() | {"token": TOKEN[:-1]}, "signature_wrong"),
        (signed() | {"token": TOKEN + " "}, "signature_wrong"),
        (signed() | {"timestamp": "1772366401"}, "signature_wrong"),
        (signed() | {"signature": signed()["signature"].upper()}, "signature_wrong"),
        (signed() | {"signature": "ß"}, "signature_wrong"),
        (signed() | {"signature": None}, "signature_missing"),
        (signed() | {"token": [TOKEN]}, "signature_missing"),
        (signed() | {"timestamp": None}, "signature_missing"),
        (signed() | {"timestamp": "yesterday."}, "signature_missing"),
        ({}, "signature_missing"),
        (None, "signature_missing"),
        ([signed()], "signature_missing"),
    ],
)
def test_only_what_was_signed_with_the_key_and_of_late_is_taken(signature: Any, refused: str | None) -> None:
    assert verdict(READER, Config(), post_of(body_of(signature))) == refused


@pytest.mark.parametrize("digits", [9, 11, 13])  # with 13 it would be the same time, in milliseconds
def test_digits_of_the_token_cannot_be_passed_off_as_the_times(digits: int) -> None:
    whole = signed()["timestamp"] + TOKEN
    shifted = signed() | {"timestamp": whole[:digits], "token": whole[digits:]}
    assert verdict(READER, Config(), post_of(body_of(shifted))) == "signature_missing"


def test_without_a_signing_key_the_key_of_the_api_is_it() -> None:
    post = post_of(body_of(signed(key=API_KEY.get_secret_value())))
    for config in (Config(None), Config(SecretStr(""))):
        assert verdict(READER, config, post) is None
        assert verdict(READER, config, post_of(body_of(signed()))) == "signature_wrong"
    assert verdict(READER, Config(None, SecretStr("")), post) == "hook_not_set_up"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"a=b"])
def test_what_cannot_be_read_is_refused(body: bytes) -> None:
    assert verdict(READER, Config(), post_of(body)) in ("not_readable", "signature_missing")


FIELDS = {
    "event": "bounced",
    "recipient": "ann@example.com",
    "domain": "example.net",
    "Message-Id": MESSAGE_ID,
    "code": "550",
    "error": "5.1.1 There is no such mailbox",
    "janus_message_id": MESSAGE_UUID,
}


def multipart(fields: dict[str, str]) -> bytes:
    parts = [f'--b0\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{fields[name]}\r\n' for name in fields]
    file = '--b0\r\nContent-Disposition: form-data; name="attachment-1"; filename="a"\r\n\r\n\x00\r\n'
    return "".join([*parts, file, "--b0--\r\n"]).encode()


@pytest.mark.parametrize(
    "filler", [b"\r\n" * 500_000, b"--\r\n" * 200_000, b"--b0\r\n\r\n\r\n" * 100_000], ids=["lines", "dashes", "parts"]
)
def test_a_form_nested_ever_deeper_is_refused_in_no_time(filler: bytes) -> None:
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(1, 200))
    begun = time.monotonic()
    post = post_of(b"--b0\r\n" + nested + filler, {"content-type": "multipart/form-data; boundary=b0"})
    assert verdict(READER, Config(), post) in {"not_readable", "signature_missing"}
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (urlencode(FIELDS | signed()).encode(), "application/x-www-form-urlencoded"),
        (multipart(FIELDS | signed()), "multipart/form-data; boundary=b0"),
    ],
    ids=["form", "multipart"],
)
def test_the_forms_of_old_are_verified_and_read_as_far_as_they_say(body: bytes, content_type: str) -> None:
    post = post_of(body, {"content-type": content_type})
    assert verdict(READER, Config(), post) is None
    (happened,) = READER.read(post)
    assert (happened.key, happened.type, happened.at) == (TOKEN, FeedbackType.BOUNCED_HARD, NOW)
    assert (happened.recipient, happened.provider_message_id) == ("ann@example.com", MESSAGE_ID)
    assert (happened.message_uuid, dict(happened.details)) == (MESSAGE_UUID, smtp(550, "5.1.1"))
    forged = post_of(body.replace(TOKEN.encode(), TOKEN[::-1].encode()), {"content-type": content_type})
    assert verdict(READER, Config(), forged) == "signature_wrong"


@pytest.mark.parametrize(
    ("word", "type_"),
    [
        ("delivered", FeedbackType.DELIVERED),
        ("dropped", FeedbackType.REJECTED),
        ("opened", FeedbackType.OPENED),
        ("clicked", FeedbackType.CLICKED),
        ("complained", FeedbackType.COMPLAINED),
        ("unsubscribed", FeedbackType.UNSUBSCRIBED),
        ("stored", FeedbackType.UNKNOWN),
    ],
)
def test_each_word_of_a_form_is_read(word: str, type_: FeedbackType) -> None:
    (happened,) = read(READER, urlencode(FIELDS | {"event": word}))
    assert happened.type is type_


def test_of_two_fields_of_one_name_mailguns_own_counts() -> None:
    body = urlencode([("token", "of the caller's variables"), ("signature", "x"), *(FIELDS | signed()).items()])
    assert verdict(READER, Config(), post_of(body)) is None


HEADERS = st.sampled_from(["", "application/json", "multipart/form-data; boundary=b0", "multipart/form-data"])


@settings(max_examples=50, deadline=None)
@given(
    st.binary()
    | JSON.map(json.dumps).map(str.encode)
    | st.binary().map(lambda junk: multipart(FIELDS | signed()).replace(b"event", junk)),
    HEADERS | st.text(),
)
def test_no_bytes_break_the_reader(body: bytes, content_type: str) -> None:
    try_to_break(READER, Config(), body, {"content-type": content_type})


@settings(max_examples=50, deadline=None)
@given(shaken({"signature": signed(), "event-data": COMMON | READING | failed("permanent", "bounce", GONE)}))
def test_no_values_break_the_reader(body: dict[str, Any]) -> None:
    try_to_break(READER, Config(), json.dumps(body).encode(), {})
