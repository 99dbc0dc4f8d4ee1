"""Brevo's webhooks: each event in both spellings, one and many, and who may post."""

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
from janus_mail.feedback.services.brevo import READER
from janus_mail.models.states import FeedbackType

from .hook_posts import JSON, MESSAGE_UUID, NOW, post_of, read, shaken, smtp, try_to_break, verdict


@dataclass(frozen=True)
class Config:
    webhook_password: SecretStr | None = None


MESSAGE_ID = "<202603011200.31415926535@smtp-relay.mailin.fr>"
COMMON: dict[str, Any] = {
    "email": "ann@example.com",
    "id": 271828,
    "message-id": MESSAGE_ID,
    "subject": "Your invoice",
    "date": "2026-03-01 13:00:00",
    "ts": 1772370000,
    "ts_event": 1772370000,
    "ts_epoch": 1772366400125,
    "tag": '["invoice"]',
    "tags": ["invoice"],
    "template_id": 3,
    "X-Mailin-custom": json.dumps({"janus_message_id": MESSAGE_UUID, "order": "77"}),
    "sending_ip": "192.0.2.1",
    "contact_id": 8,
    "mirror_link": "https://app-smtp.brevo.com/log/preview/1",
}
AGENT = {"user_agent": "Mozilla/5.0 (Macintosh)"}
NO_MAILBOX = {"reason": " RecipientError: 550 5.5.0 Requested action not taken: mailbox unavailable."}
NO_SERVER = {"reason": "undefined Unable to find MX of domain nomx.example.com"}


@pytest.mark.parametrize(
    ("event", "type_", "details"),
    [
        ({"event": "request"}, FeedbackType.QUEUED, {}),
        ({"event": "sent"}, FeedbackType.QUEUED, {}),
        ({"event": "delivered"}, FeedbackType.DELIVERED, {}),
        ({"event": "deferred", "reason": "451 4.7.1 Greylisted"}, FeedbackType.DEFERRED, smtp(451, "4.7.1")),
        ({"event": "soft_bounce"} | NO_SERVER, FeedbackType.BOUNCED_SOFT, {}),
        ({"event": "softBounce"} | NO_SERVER, FeedbackType.BOUNCED_SOFT, {}),
        ({"event": "hard_bounce"} | NO_MAILBOX, FeedbackType.BOUNCED_HARD, smtp(550, "5.5.0")),
        ({"event": "hardBounce"} | NO_MAILBOX, FeedbackType.BOUNCED_HARD, smtp(550, "5.5.0")),
        ({"event": "invalid_email", "reason": "no such domain"}, FeedbackType.BOUNCED_HARD, {}),
        ({"event": "invalidEmail", "reason": "no such domain"}, FeedbackType.BOUNCED_HARD, {}),
        ({"event": "blocked", "reason": "blocked : due to blacklist user"}, FeedbackType.REJECTED, {}),
        ({"event": "error", "reason": "template"}, FeedbackType.FAILED, {}),
        ({"event": "spam"}, FeedbackType.COMPLAINED, {}),
        ({"event": "complaint"}, FeedbackType.COMPLAINED, {}),
        ({"event": "opened"} | AGENT, FeedbackType.OPENED, AGENT),
        ({"event": "unique_opened"} | AGENT, FeedbackType.OPENED, AGENT),
        ({"event": "uniqueOpened"} | AGENT, FeedbackType.OPENED, AGENT),
        ({"event": "proxy_open"}, FeedbackType.OPENED, {"machine": True}),
        ({"event": "unique_proxy_open"}, FeedbackType.OPENED, {"machine": True}),
        ({"event": "uniqueProxyOpen"}, FeedbackType.OPENED, {"machine": True}),
        (
            {"event": "click", "link": "https://example.net/pay"} | AGENT,
            FeedbackType.CLICKED,
            AGENT | {"url": "https://example.net/pay"},
        ),
        ({"event": "unsubscribe"}, FeedbackType.UNSUBSCRIBED, {}),
        ({"event": "unsubscribed"}, FeedbackType.UNSUBSCRIBED, {}),
        ({"event": "listAddition"}, FeedbackType.UNKNOWN, {}),
    ],
    ids=lambda value: value.get("event", "") if isinstance(value, dict) else str(value),
)
def test_each_event_is_read(event: dict[str, Any], type_: FeedbackType, details: dict[str, Any]) -> None:
    (happened,) = read(READER, COMMON | event)
    assert (happened.type, dict(happened.details)) == (type_, details)
    assert (happened.provider_message_id, happened.message_uuid) == (MESSAGE_ID, MESSAGE_UUID)
    assert (happened.recipient, happened.at) == (
        "ann@example.com",
        datetime(2026, 3, 1, 12, 0, 0, 125000, tzinfo=UTC),
    )
    unknown = "list_addition" if type_ is FeedbackType.UNKNOWN else None
    assert happened.reason == (event["reason"].strip() if "reason" in event else unknown)
    assert happened.raw == COMMON | event


def test_one_event_and_a_list_of_them_are_read_alike() -> None:
    events = [COMMON | {"event": word} for word in ("delivered", "opened")]
    assert read(READER, events) == [read(READER, event)[0] for event in events]
    assert read(READER, []) == []


def test_a_key_is_made_of_what_makes_it_this_event() -> None:
    click = COMMON | {"event": "click", "link": "https://example.net/1"}
    same = click | {"contact_id": 9, "tags": []}
    others = [
        click | change
        for change in (
            {"event": "opened"},
            {"email": "bo@example.com"},
            {"message-id": "<2@x>"},
            {"ts_epoch": 1772366400126},
            {"link": "https://example.net/2"},
        )
    ]
    (key,) = {read(READER, event)[0].key for event in (click, same)}
    assert len({read(READER, event)[0].key for event in others} | {key}) == 6


@pytest.mark.parametrize(
    ("times", "at"),
    [
        ({"ts_epoch": 1772366400}, datetime(2026, 3, 1, 12, 0, tzinfo=UTC)),  # as one page of the documentation has it
        ({"ts_epoch": None, "ts_event": 1772366401}, datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)),
        ({"ts_epoch": None, "ts_event": None, "ts": 1772366402}, datetime(2026, 3, 1, 12, 0, 2, tzinfo=UTC)),
        ({"ts_epoch": "never", "ts_event": None, "ts": 1e300}, NOW),
    ],
)
def test_the_time_is_the_surest_one_that_is_there(times: dict[str, Any], at: datetime) -> None:
    (happened,) = read(READER, COMMON | {"event": "delivered"} | times)
    assert happened.at == at


@pytest.mark.parametrize("custom", [None, "{", "plain", '"text"', {"janus_message_id": "no uuid"}, []])
def test_a_mail_that_does_not_carry_our_id_is_known_by_the_services(custom: Any) -> None:
    (happened,) = read(READER, COMMON | {"event": "delivered", "X-Mailin-custom": custom})
    assert (happened.message_uuid, happened.provider_message_id) == (None, MESSAGE_ID)


def test_a_message_id_without_its_brackets_gets_them() -> None:
    (happened,) = read(READER, COMMON | {"event": "delivered", "message-id": MESSAGE_ID.strip("<>")})
    assert happened.provider_message_id == MESSAGE_ID


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"null", b'"delivered"', b'{"event":null}', b"[{}]", b"[7]"])
def test_what_is_no_event_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read(READER, body)


def test_the_password_that_is_set_must_come_with_the_post() -> None:
    guarded = Config(SecretStr("s3cret"))
    right = {"authorization": f"Basic {base64.b64encode(b'brevo:s3cret').decode()}"}
    assert verdict(READER, guarded, post_of(COMMON, right)) is None
    assert verdict(READER, guarded, post_of(COMMON, {"authorization": "Bearer s3cret"})) is None
    assert verdict(READER, guarded, post_of(COMMON, {"authorization": "Bearer s3creT"})) == "password_wrong"
    assert verdict(READER, guarded, post_of(COMMON)) == "password_missing"
    assert verdict(READER, Config(), post_of(COMMON)) is None


@settings(max_examples=40, deadline=None)
@given(st.binary() | JSON.map(json.dumps).map(str.encode), st.text())
def test_no_bytes_break_the_reader(body: bytes, authorization: str) -> None:
    try_to_break(READER, Config(SecretStr("s3cret")), body, {"authorization": authorization})


@settings(max_examples=50, deadline=None)
@given(shaken(COMMON | {"event": "click", "link": "https://example.net/"} | NO_MAILBOX))
def test_no_values_break_the_reader(event: dict[str, Any]) -> None:
    try_to_break(READER, Config(), json.dumps(event).encode(), {})
