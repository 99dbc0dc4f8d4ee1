"""Postmark's webhooks: each record type and bounce type, and who may post."""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from janus_mail.feedback.reader import Unreadable
from janus_mail.feedback.services.postmark import READER
from janus_mail.models.states import FeedbackType

from .hook_posts import JSON, MESSAGE_UUID, NOW, post_of, read, shaken, smtp, try_to_break, verdict


@dataclass(frozen=True)
class Config:
    webhook_password: SecretStr | None = None


MESSAGE_ID = "6b2f1c0e-53f4-4b0d-9a55-1c7a3a1d5e10"
COMMON = {
    "MessageID": MESSAGE_ID,
    "ServerID": 3141592,
    "MessageStream": "outbound",
    "Tag": "invoice",
    "Metadata": {"janus_message_id": MESSAGE_UUID, "order": "77"},
}
BOUNCE: dict[str, Any] = COMMON | {
    "RecordType": "Bounce",
    "ID": 4323372036854775807,
    "Type": "HardBounce",
    "TypeCode": 1,
    "Name": "Hard bounce",
    "Description": "The server was unable to deliver your message (ex: unknown user, mailbox not found).",
    "Details": "smtp;550 5.1.1 <nobody@Example.COM>: user unknown",
    "Email": "nobody@Example.COM",
    "From": "shop@example.net",
    "BouncedAt": "2026-02-28T19:30:00.1234567-05:00",
    "DumpAvailable": True,
    "Inactive": True,
    "CanActivate": True,
    "Subject": "Your invoice",
    "Content": "…",
}
COMPLAINT = BOUNCE | {
    "RecordType": "SpamComplaint",
    "ID": 42,
    "Type": "SpamComplaint",
    "TypeCode": 100001,
    "Details": "",
    "Description": "The subscriber explicitly marked this message as spam.",
}
DELIVERY = COMMON | {
    "RecordType": "Delivery",
    "Recipient": "ann@example.com",
    "DeliveredAt": "2026-03-01T00:30:00.7654321Z",
    "Details": "smtp;250 2.0.0 OK queued as 4Xy",
}
OPEN = COMMON | {
    "RecordType": "Open",
    "FirstOpen": True,
    "Client": {"Name": "Thunderbird", "Company": "Mozilla", "Family": "Thunderbird"},
    "OS": {"Name": "Linux", "Company": "", "Family": "Linux"},
    "Platform": "Desktop",
    "UserAgent": "Mozilla/5.0 Thunderbird/128.0",
    "ReadSeconds": 4,
    "Geo": {"CountryISOCode": "NL", "City": "Utrecht", "IP": "192.0.2.33"},
    "Recipient": "ann@example.com",
    "ReceivedAt": "2026-03-01T00:30:00Z",
}
CLICK = OPEN | {"RecordType": "Click", "ClickLocation": "HTML", "OriginalLink": "https://example.net/pay?id=7"}
SUBSCRIPTION = COMMON | {
    "RecordType": "SubscriptionChange",
    "Recipient": "ann@example.com",
    "ChangedAt": "2026-03-01T00:30:00Z",
    "Origin": "Recipient",
    "SuppressSending": True,
    "SuppressionReason": "ManualSuppression",
}

READING = {"user_agent": "Mozilla/5.0 Thunderbird/128.0", "ip": "192.0.2.33"}
HARD = smtp(550, "5.1.1") | {"classification": "HardBounce"}


@pytest.mark.parametrize(
    ("event", "type_", "details"),
    [
        (DELIVERY, FeedbackType.DELIVERED, smtp(250, "2.0.0")),
        (BOUNCE, FeedbackType.BOUNCED_HARD, HARD),
        (COMPLAINT, FeedbackType.COMPLAINED, {"classification": "SpamComplaint"}),
        (OPEN, FeedbackType.OPENED, READING),
        (CLICK, FeedbackType.CLICKED, READING | {"url": "https://example.net/pay?id=7"}),
        (SUBSCRIPTION, FeedbackType.UNSUBSCRIBED, {"classification": "ManualSuppression"}),
        (
            SUBSCRIPTION | {"SuppressionReason": "HardBounce"},
            FeedbackType.BOUNCED_HARD,
            {"classification": "HardBounce"},
        ),
        (
            SUBSCRIPTION | {"SuppressionReason": "SpamComplaint"},
            FeedbackType.COMPLAINED,
            {"classification": "SpamComplaint"},
        ),
        (SUBSCRIPTION | {"SuppressSending": False, "SuppressionReason": None}, FeedbackType.UNKNOWN, {}),
        (COMMON | {"RecordType": "Inbound", "FromFull": {}}, FeedbackType.UNKNOWN, {}),
    ],
    ids=lambda value: value.get("RecordType", "") if isinstance(value, dict) else str(value),
)
def test_each_record_type_is_read(event: dict[str, Any], type_: FeedbackType, details: dict[str, Any]) -> None:
    (happened,) = read(READER, event)
    assert (happened.type, dict(happened.details)) == (type_, details)
    assert (happened.provider_message_id, happened.message_uuid) == (MESSAGE_ID, MESSAGE_UUID)
    assert happened.raw == event


@pytest.mark.parametrize(
    ("bounce_type", "type_"),
    [
        ("HardBounce", FeedbackType.BOUNCED_HARD),
        ("BadEmailAddress", FeedbackType.BOUNCED_HARD),
        ("Transient", FeedbackType.DEFERRED),
        ("DnsError", FeedbackType.DEFERRED),
        ("SoftBounce", FeedbackType.BOUNCED_SOFT),
        ("Unknown", FeedbackType.BOUNCED_SOFT),
        ("VirusNotification", FeedbackType.BOUNCED_SOFT),
        ("Unsubscribe", FeedbackType.UNSUBSCRIBED),
        ("SpamNotification", FeedbackType.COMPLAINED),
        ("SpamComplaint", FeedbackType.COMPLAINED),
        ("Blocked", FeedbackType.REJECTED),
        ("DMARCPolicy", FeedbackType.REJECTED),
        ("ManuallyDeactivated", FeedbackType.REJECTED),
        ("Unconfirmed", FeedbackType.REJECTED),
        ("SMTPApiError", FeedbackType.FAILED),
        ("TemplateRenderingFailed", FeedbackType.FAILED),
        ("AutoResponder", FeedbackType.UNKNOWN),
        ("AddressChange", FeedbackType.UNKNOWN),
        ("ChallengeVerification", FeedbackType.UNKNOWN),
        ("Subscribe", FeedbackType.UNKNOWN),
        ("OpenRelayTest", FeedbackType.UNKNOWN),
        ("InboundError", FeedbackType.UNKNOWN),
        ("SomethingNew", FeedbackType.UNKNOWN),
        (None, FeedbackType.UNKNOWN),
    ],
)
def test_each_bounce_type_is_read(bounce_type: str | None, type_: FeedbackType) -> None:
    (happened,) = read(READER, BOUNCE | {"Type": bounce_type})
    assert happened.type is type_


def test_a_bounce_tells_who_when_and_why() -> None:
    (happened,) = read(READER, BOUNCE)
    assert happened.key == "Bounce/4323372036854775807"
    assert happened.recipient == "nobody@example.com"
    assert happened.at == datetime(2026, 3, 1, 0, 30, 0, 123456, tzinfo=UTC)
    assert happened.reason == "smtp;550 5.1.1 <nobody@Example.COM>: user unknown"


def test_an_event_without_an_id_has_a_key_of_what_makes_it_this_one() -> None:
    first, again, later = (
        read(READER, OPEN | change)[0].key for change in ({}, {"ReadSeconds": 9}, {"ReceivedAt": "x"})
    )
    assert first == again != later
    assert len({read(READER, event)[0].key for event in (OPEN, CLICK, DELIVERY, SUBSCRIPTION)}) == 4


def test_a_suppression_by_hand_names_no_mail() -> None:
    (happened,) = read(READER, SUBSCRIPTION | {"MessageID": "00000000-0000-0000-0000-000000000000"})
    assert happened.provider_message_id is None


def test_an_event_that_does_not_say_when_came_when_it_came() -> None:
    (happened,) = read(READER, BOUNCE | {"BouncedAt": "soon"})
    assert happened.at == NOW


def test_an_address_that_cannot_be_mailed_is_left_to_the_raw_event() -> None:
    (happened,) = read(READER, BOUNCE | {"Email": "no address"})
    assert happened.recipient is None
    assert happened.raw["Email"] == "no address"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'"Bounce"', b'{"RecordType": 0.5e}', b'{"RecordType": []}'])
def test_what_is_no_event_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read(READER, body)


def basic(credentials: str) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}


GUARDED = Config(SecretStr("pässword:1"))


def test_without_a_password_the_token_in_the_address_is_enough() -> None:
    assert verdict(READER, Config(), post_of(DELIVERY)) is None
    assert verdict(READER, Config(SecretStr("")), post_of(DELIVERY)) is None


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        (basic("janus:pässword:1"), None),
        (basic(":pässword:1"), None),
        ({"authorization": "Bearer pässword:1"}, None),
        ({"authorization": "bearer  pässword:1"}, None),
        ({}, "password_missing"),
        ({"authorization": "Digest pässword:1"}, "password_missing"),
        ({"authorization": "pässword:1"}, "password_missing"),
        (basic("janus:pässword:2"), "password_wrong"),
        (basic("pässword:1:"), "password_wrong"),
        (basic("pässword"), "password_wrong"),
        ({"authorization": "Basic pässword:1"}, "password_wrong"),
        ({"authorization": "Basic ===="}, "password_wrong"),
        ({"authorization": "Basic /w=="}, "password_wrong"),
        ({"authorization": "Bearer"}, "password_wrong"),
        ({"authorization": "Bearer pässword:1x"}, "password_wrong"),
    ],
    ids=str,
)
def test_a_password_that_is_set_must_come_with_the_post(headers: dict[str, str], refused: str | None) -> None:
    assert verdict(READER, GUARDED, post_of(DELIVERY, headers)) == refused


@settings(max_examples=40, deadline=None)
@given(st.binary() | JSON.map(json.dumps).map(str.encode), st.text())
def test_no_bytes_break_the_reader(body: bytes, authorization: str) -> None:
    try_to_break(READER, GUARDED, body, {"authorization": authorization})


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([BOUNCE, CLICK, SUBSCRIPTION]).flatmap(shaken))
def test_no_values_break_the_reader(event: dict[str, Any]) -> None:
    try_to_break(READER, Config(), json.dumps(event).encode(), {})
