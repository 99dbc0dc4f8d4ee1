"""Mailtrap's webhooks: each event, both formats, and the signature."""

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from janus_mail.feedback.reader import Unreadable
from janus_mail.feedback.services.mailtrap import READER
from janus_mail.models.states import FeedbackType

from .hook_posts import JSON, MESSAGE_UUID, post_of, read, shaken, smtp, try_to_break, verdict

SECRET = "8d9a3c0e7f5b2d4a6c8e0f1a3b5c7d9e"
ENTERED = SecretStr(SECRET)


@dataclass(frozen=True)
class Config:
    webhook_secret: SecretStr | None = ENTERED


MESSAGE_ID = "1df37d17-0286-4d8b-8edf-bc4ec5be86e6"
COMMON: dict[str, Any] = {
    "timestamp": 1772366400,
    "message_id": MESSAGE_ID,
    "event_id": "3f0d9c51-8f21-4f8b-b0aa-2f7c7f6a1d02",
    "email": "ann@Example.com",
    "sending_stream": "transactional",
    "sending_domain_name": "example.net",
    "category": "invoice",
    "custom_variables": {"janus_message_id": MESSAGE_UUID, "order": 77},
}
READING = {"ip": "192.0.2.44", "user_agent": "Mozilla/5.0 (X11; Linux x86_64)"}
SOFT = {
    "response": "soft bounce (450 4.2.0 The mailbox is busy, try later. x1si - gsmtp)",
    "response_code": 450,
    "bounce_category": "unavailable",
}
HARD = {
    "response": "bounced (550 5.1.1 There is no such mailbox. x1si - gsmtp)",
    "response_code": 550,
    "bounce_category": "badmailbox",
}


@pytest.mark.parametrize(
    ("event", "type_", "reason", "details"),
    [
        ({"event": "delivery"}, FeedbackType.DELIVERED, None, {}),
        (
            {"event": "soft bounce"} | SOFT,
            FeedbackType.BOUNCED_SOFT,
            SOFT["response"],
            smtp(450, "4.2.0") | {"classification": "unavailable"},
        ),
        (
            {"event": "soft_bounce"} | SOFT,
            FeedbackType.BOUNCED_SOFT,
            SOFT["response"],
            smtp(450, "4.2.0") | {"classification": "unavailable"},
        ),
        (
            {"event": "bounce"} | HARD,
            FeedbackType.BOUNCED_HARD,
            HARD["response"],
            smtp(550, "5.1.1") | {"classification": "badmailbox"},
        ),
        ({"event": "suspension", "reason": "trial over"}, FeedbackType.DEFERRED, "trial over", {}),
        ({"event": "reject", "reason": "recipient suppressed"}, FeedbackType.REJECTED, "recipient suppressed", {}),
        ({"event": "spam"}, FeedbackType.COMPLAINED, None, {}),
        ({"event": "unsubscribe"} | READING, FeedbackType.UNSUBSCRIBED, None, READING),
        ({"event": "open"} | READING, FeedbackType.OPENED, None, READING),
        (
            {"event": "click", "url": "https://example.net/a?b=c"} | READING,
            FeedbackType.CLICKED,
            None,
            READING | {"url": "https://example.net/a?b=c"},
        ),
        ({"event": "forwarded"}, FeedbackType.UNKNOWN, "forwarded", {}),
    ],
    ids=lambda value: value.get("event", "") if isinstance(value, dict) else str(value),
)
def test_each_event_is_read(
    event: dict[str, Any], type_: FeedbackType, reason: str | None, details: dict[str, Any]
) -> None:
    (happened,) = read(READER, {"events": [COMMON | event]})
    assert (happened.type, happened.reason, dict(happened.details)) == (type_, reason, details)
    assert (happened.key, happened.recipient) == (COMMON["event_id"], "ann@example.com")
    assert (happened.provider_message_id, happened.message_uuid) == (MESSAGE_ID, MESSAGE_UUID)
    assert happened.at == datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    assert happened.raw == COMMON | event


EVENTS = [COMMON | {"event": "delivery", "event_id": "one"}, COMMON | {"event": "open", "event_id": "two"}]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"events": EVENTS}),
        json.dumps(EVENTS),
        "\n".join(map(json.dumps, EVENTS)),
        "\r\n".join(map(json.dumps, EVENTS)) + "\r\n\r\n",
        "\n".join(json.dumps({"events": [event]}) for event in EVENTS),
    ],
    ids=["object", "list", "lines", "lines of Windows", "lines of objects"],
)
def test_both_formats_are_read(body: str) -> None:
    assert [happened.key for happened in read(READER, body)] == ["one", "two"]


def test_a_batch_of_none_and_one_line_are_read() -> None:
    assert read(READER, {"events": []}) == []
    assert [happened.key for happened in read(READER, json.dumps(EVENTS[0]) + "\n")] == ["one"]


@pytest.mark.parametrize(
    "body", [b"", b"\n", b"{", b"{}", b"17", b'{"events":7}', b'{"events":[{"event":""}]}', b"{}\n{}"]
)
def test_what_is_no_event_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read(READER, body)


def signed(body: bytes, key: str = SECRET) -> dict[str, str]:
    return {"mailtrap-signature": hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}


BODY = json.dumps({"events": EVENTS}).encode()


def test_a_signature_that_mailtraps_own_library_accepts_is_accepted() -> None:
    body = (
        '{"events":[{"event":"delivery","email":"jörg@example.com","event_id":"bede7236-2284-43d6-a953-1fdcafd0fdbc"}]}'
    )
    signature = "4dfd870290a4acc150d944430f5af0a6a52869b1e5dd58c6a3ed0af0d43b8df3"
    assert verdict(READER, Config(), post_of(body, {"mailtrap-signature": signature})) is None


@pytest.mark.parametrize(
    ("body", "headers", "refused"),
    [
        (BODY, signed(BODY), None),
        (BODY, {}, "signature_missing"),
        (BODY, {"mailtrap-signature": ""}, "signature_missing"),
        (BODY, signed(BODY, "another"), "signature_wrong"),
        (BODY + b" ", signed(BODY), "signature_wrong"),
        (BODY[:-1] + bytes([BODY[-1] ^ 1]), signed(BODY), "signature_wrong"),
        (BODY, {"mailtrap-signature": signed(BODY)["mailtrap-signature"][:-1]}, "signature_wrong"),
        (BODY, {"mailtrap-signature": "é" * 64}, "signature_wrong"),
    ],
)
def test_only_what_was_signed_with_the_secret_is_taken(
    body: bytes, headers: dict[str, str], refused: str | None
) -> None:
    assert verdict(READER, Config(), post_of(body, headers)) == refused


def test_without_a_secret_nothing_is_taken() -> None:
    for config in (Config(None), Config(SecretStr(" "))):
        assert verdict(READER, config, post_of(BODY, signed(BODY, ""))) == "hook_not_set_up"


@settings(max_examples=40, deadline=None)
@given(st.binary() | JSON.map(json.dumps).map(str.encode), st.text())
def test_no_bytes_break_the_reader(body: bytes, signature: str) -> None:
    try_to_break(READER, Config(), body, {"mailtrap-signature": signature})


@settings(max_examples=50, deadline=None)
@given(shaken({"events": [COMMON | {"event": "click", "url": "https://example.net/"} | HARD]}))
def test_no_values_break_the_reader(body: dict[str, Any]) -> None:
    try_to_break(READER, Config(), json.dumps(body).encode(), {})
