"""Mandrill's webhooks: each event, and the signature over address and fields."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from janus_mail.feedback.reader import Post, Unreadable
from janus_mail.feedback.services.mandrill import READER
from janus_mail.models.states import FeedbackType

from .hook_posts import JSON, MESSAGE_UUID, URL, post_of, read, shaken, smtp, try_to_break, verdict

KEY = "kR9cQw7zT2vX5bN8mL4jHg"
ENTERED = SecretStr(KEY)


@dataclass(frozen=True)
class Config:
    webhook_key: SecretStr | None = ENTERED
    webhook_url: str | None = None


MESSAGE_ID = "5f3c1b9a7e2d4c6f8a0b1c2d3e4f5a6b"


def mail(**more: Any) -> dict[str, Any]:
    return {
        "ts": 1772366300,
        "subject": "Your invoice",
        "email": "ann@example.com",
        "sender": "shop@example.net",
        "tags": ["invoice"],
        "opens": [],
        "clicks": [],
        "state": "sent",
        "metadata": {"janus_message_id": MESSAGE_UUID},
        "_id": MESSAGE_ID,
        "_version": "x1",
    } | more


def event(word: str, msg: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"event": word, "_id": MESSAGE_ID, "ts": 1772366400, "msg": msg} | more


def form(events: Any) -> str:
    return urlencode({"mandrill_events": json.dumps(events)})


VISIT = {
    "ip": "192.0.2.9",
    "user_agent": "Mozilla/5.0 Firefox/140.0",
    "location": {"country_short": "NL", "city": "Utrecht"},
    "user_agent_parsed": {"type": "Browser", "ua_family": "Firefox", "mobile": False},
}
READING = {"ip": "192.0.2.9", "user_agent": "Mozilla/5.0 Firefox/140.0"}
HARD = {
    "state": "bounced",
    "bounce_description": "bad_mailbox",
    "bgtools_code": 10,
    "diag": "smtp;550 5.1.1 The email account that you tried to reach does not exist.",
}
SOFT = {"bounce_description": "mailbox_full", "bgtools_code": 22, "diag": "smtp;552 5.2.2 Over Quota"}
WAITING = [
    {"ts": 1772366200, "type": "deferred", "diag": "421 4.7.0 come back later"},
    {"ts": 1772366400, "type": "deferred", "diag": "451 4.3.5 Temporarily unavailable, try again later.", "size": 0},
]


@pytest.mark.parametrize(
    ("told", "type_", "reason", "details"),
    [
        (event("send", mail()), FeedbackType.SENT, None, {}),
        (event("delivered", mail()), FeedbackType.DELIVERED, None, {}),
        (
            event("deferral", mail(state="deferred", smtp_events=WAITING)),
            FeedbackType.DEFERRED,
            WAITING[1]["diag"],
            smtp(451, "4.3.5"),
        ),
        (
            event("hard_bounce", mail(**HARD)),
            FeedbackType.BOUNCED_HARD,
            HARD["diag"],
            smtp(550, "5.1.1") | {"classification": "bad_mailbox"},
        ),
        (
            event("soft_bounce", mail(**SOFT)),
            FeedbackType.BOUNCED_SOFT,
            SOFT["diag"],
            smtp(552, "5.2.2") | {"classification": "mailbox_full"},
        ),
        (
            event("reject", mail(state="rejected", reject="hard-bounce")),
            FeedbackType.REJECTED,
            "hard-bounce",
            {"classification": "hard-bounce"},
        ),
        (
            event("reject", mail(), reject={"reason": "spam", "expired": False}),
            FeedbackType.REJECTED,
            "spam",
            {"classification": "spam"},
        ),
        (event("spam", mail(state="spam")), FeedbackType.COMPLAINED, None, {}),
        (event("unsub", mail(state="unsub")), FeedbackType.UNSUBSCRIBED, None, {}),
        (event("open", mail(), **VISIT), FeedbackType.OPENED, None, READING),
        (
            event("click", mail(), url="https://example.net/ü", **VISIT),
            FeedbackType.CLICKED,
            None,
            READING | {"url": "https://example.net/ü"},
        ),
        (event("inbound", mail()), FeedbackType.UNKNOWN, "inbound", {}),
    ],
    ids=lambda value: value.get("event", "") if isinstance(value, dict) else str(value),
)
def test_each_event_is_read(
    told: dict[str, Any], type_: FeedbackType, reason: str | None, details: dict[str, Any]
) -> None:
    (happened,) = read(READER, form([told]))
    assert (happened.type, happened.reason, dict(happened.details)) == (type_, reason, details)
    assert (happened.provider_message_id, happened.message_uuid) == (MESSAGE_ID, MESSAGE_UUID)
    assert (happened.recipient, happened.at) == ("ann@example.com", datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
    assert happened.raw == told


def test_a_key_is_made_of_mail_word_and_second_and_of_the_link() -> None:
    told = [
        event("open", mail()),
        event("open", mail(opens=[{"ts": 1}])),  # the same, told again later
        event("open", mail(), ts=1772366401),
        event("click", mail(), url="https://example.net/1"),
        event("click", mail(), url="https://example.net/2"),
    ]
    keys = [happened.key for happened in read(READER, form(told))]
    assert keys[0] == keys[1] == f"{MESSAGE_ID}/open/1772366400"
    assert len(set(keys)) == 4


def test_changes_of_the_services_own_lists_are_no_mails() -> None:
    listed = {"type": "blacklist", "action": "add", "reject": {"email": "ann@example.com", "reason": "manual"}}
    assert read(READER, form([listed])) == []
    assert [happened.type for happened in read(READER, form([listed, event("open", mail())]))] == [FeedbackType.OPENED]


def test_metadata_that_php_made_a_list_of_is_none() -> None:
    (happened,) = read(READER, form([event("open", mail(metadata=[]))]))
    assert happened.message_uuid is None


@pytest.mark.parametrize(
    "body",
    ["", "{", "a=b", "&" * 200, "a=b&" * 200]
    + [f"mandrill_events={value}" for value in ("", "{}", "[{}]", "[7]", "%ff")],
)
def test_what_is_no_list_of_events_is_unreadable(body: str) -> None:
    with pytest.raises(Unreadable):
        read(READER, body)


def signature(signed: str, key: str = KEY) -> dict[str, str]:
    digest = hmac.new(key.encode(), signed.encode(), hashlib.sha1).digest()
    return {"x-mandrill-signature": base64.b64encode(digest).decode()}


EVENTS = json.dumps([event("send", mail(subject="Grüße & mehr + €"))])
BODY = urlencode({"mandrill_events": EVENTS})
SIGNED = f"{URL}mandrill_events{EVENTS}"


def test_a_signature_as_the_documentation_makes_it_is_accepted() -> None:
    # By OpenSSL: printf '%s' 'https://u:p@example.com/h/?a=bmandrill_events[]' | openssl dgst -sha1 -hmac k -binary
    config = Config(SecretStr("k"), "https://u:p@example.com/h/?a=b")
    headers = {"x-mandrill-signature": "KDDrbKxk4VoHk9q2er9lkdvwvKQ="}
    assert verdict(READER, config, post_of("mandrill_events=%5B%5D", headers)) is None


@pytest.mark.parametrize(
    ("post", "refused"),
    [
        (post_of(BODY, signature(SIGNED)), None),
        (post_of(f"z=1&{BODY}&a=%C3%BC+", signature(f"{URL}aü mandrill_events{EVENTS}z1")), None),
        (post_of(BODY), "signature_missing"),
        (post_of(BODY, signature(SIGNED, "another")), "signature_wrong"),
        (post_of(BODY, signature(SIGNED, "test-webhook")), "signature_wrong"),
        (post_of(BODY.replace("invoice", "invoicf"), signature(SIGNED)), "signature_wrong"),
        (post_of(BODY, signature(SIGNED.replace(URL, URL + "/"))), "signature_wrong"),
        (post_of(BODY, signature(SIGNED), url=URL + "?x"), "signature_wrong"),
        (post_of(BODY, {"x-mandrill-signature": hmac.new(KEY.encode(), SIGNED.encode(), "sha1").hexdigest()}),
         "signature_wrong"),
        (post_of(BODY, {"x-mandrill-signature": "é"}), "signature_wrong"),
        (post_of(b"\xff=1", signature(SIGNED)), "not_readable"),
        (post_of("a=%ff", signature(SIGNED)), "not_readable"),
    ],
)  # fmt: skip
def test_only_what_was_signed_with_the_key_is_taken(post: Post, refused: str | None) -> None:
    assert verdict(READER, Config(), post) == refused


def test_the_address_as_it_is_configured_there_is_what_counts() -> None:
    there = "https://user:pass@MAIL.example.com:443/hooks/x/?a=b"
    post = post_of(BODY, signature(SIGNED.replace(URL, there)))
    assert verdict(READER, Config(webhook_url=there), post) is None
    assert verdict(READER, Config(), post) == "signature_wrong"


def test_the_post_with_which_mandrill_tries_a_new_webhook_is_taken_and_means_nothing() -> None:
    trial = post_of("mandrill_events=%5B%5D", signature(f"{URL}mandrill_events[]", "test-webhook"))
    for config in (Config(), Config(None)):
        assert verdict(READER, config, trial) is None
    assert READER.read(trial) == []


def test_without_a_key_nothing_else_is_taken() -> None:
    assert verdict(READER, Config(None), post_of(BODY, signature(SIGNED, "test-webhook"))) == "hook_not_set_up"


@settings(max_examples=40, deadline=None)
@given(st.binary() | JSON.map(form).map(str.encode), st.text())
def test_no_bytes_break_the_reader(body: bytes, said: str) -> None:
    try_to_break(READER, Config(), body, {"x-mandrill-signature": said})


@settings(max_examples=50, deadline=None)
@given(shaken(event("deferral", mail(smtp_events=WAITING, **HARD), reject={"reason": "x"}, **VISIT)))
def test_no_values_break_the_reader(told: dict[str, Any]) -> None:
    try_to_break(READER, Config(), form([told]).encode(), {})
