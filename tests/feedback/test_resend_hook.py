"""Resend's webhooks: each event, and Svix's signature."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from janus_mail.feedback.reader import Unreadable
from janus_mail.feedback.services.resend import READER
from janus_mail.models.states import FeedbackType

from .hook_posts import JSON, MESSAGE_UUID, NOW, post_of, read, shaken, smtp, try_to_break, verdict

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the one of Svix's documentation
ENTERED = SecretStr(SECRET)


@dataclass(frozen=True)
class Config:
    webhook_secret: SecretStr | None = ENTERED


EMAIL_ID = "4ef9a417-02e9-4d39-ad75-9611e0fcc33c"
SVIX_ID = "msg_2b9Dxk0sZc7RdYwQn4uV8tLe1aB"
DATA: dict[str, Any] = {
    "email_id": EMAIL_ID,
    "created_at": "2026-03-01T11:59:50.894719+00:00",
    "message_id": "<111-222-333@email.example.net>",
    "from": "Shop <shop@example.net>",
    "to": ["ann@Example.com"],
    "subject": "Your invoice",
    "tags": {"janus_message_id": MESSAGE_UUID, "category": "invoice"},
    "headers": [{"name": "X-Order", "value": "77"}],
    "template_id": "43f68331-0622-4e15-8202-246a0388854b",
}
AT = datetime(2026, 3, 1, 11, 59, 58, 120000, tzinfo=UTC)


def event(word: str, **more: Any) -> dict[str, Any]:
    return {"type": word, "created_at": "2026-03-01T11:59:58.120Z", "data": DATA | more}


HARD = {
    "type": "Permanent",
    "subType": "NoEmail",
    "message": "The recipient's address does not exist.",
    "diagnosticCode": ["smtp; 550 5.1.1 <ann@example.com>: unknown"],
}
OLD_HARD = {"message": "The recipient's email provider sent a hard bounce message, but didn't say why."}
OLD_SUPPRESSED = {"message": "Resend has suppressed sending to this address because it is on the suppression list."}
FULL = {"type": "Transient", "subType": "MailboxFull", "message": "The mailbox is full."}
SUPPRESSED = {"type": "OnAccountSuppressionList", "reason": "previous_bounce", "message": "It bounced before."}
CLICK = {
    "link": "https://example.net/pay",
    "ipAddress": "192.0.2.8",
    "userAgent": "Mozilla/5.0",
    "timestamp": "2026-03-01T11:59:58.120Z",
}
READ = {"ip": "192.0.2.8", "user_agent": "Mozilla/5.0"}


@pytest.mark.parametrize(
    ("told", "type_", "reason", "details"),
    [
        (event("email.scheduled"), FeedbackType.QUEUED, None, {}),
        (event("email.sent"), FeedbackType.SENT, None, {}),
        (event("email.delivered"), FeedbackType.DELIVERED, None, {}),
        (event("email.delivery_delayed"), FeedbackType.DEFERRED, None, {}),
        (
            event("email.bounced", bounce=HARD),
            FeedbackType.BOUNCED_HARD,
            HARD["diagnosticCode"][0],
            smtp(550, "5.1.1") | {"classification": "Permanent/NoEmail"},
        ),
        (
            event("email.bounced", bounce=HARD | {"diagnosticCode": "550 5.1.1 unknown"}),
            FeedbackType.BOUNCED_HARD,
            "550 5.1.1 unknown",
            smtp(550, "5.1.1") | {"classification": "Permanent/NoEmail"},
        ),
        (event("email.bounced", bounce=OLD_HARD), FeedbackType.BOUNCED_HARD, OLD_HARD["message"], {}),
        (event("email.bounced"), FeedbackType.BOUNCED_HARD, None, {}),
        (event("email.bounced", bounce=OLD_SUPPRESSED), FeedbackType.REJECTED, OLD_SUPPRESSED["message"], {}),
        (
            event("email.bounced", bounce=FULL),
            FeedbackType.BOUNCED_SOFT,
            FULL["message"],
            {"classification": "Transient/MailboxFull"},
        ),
        (
            event("email.bounced", bounce={"type": "Undetermined", "subType": "Undetermined", "message": "?"}),
            FeedbackType.BOUNCED_SOFT,
            "?",
            {"classification": "Undetermined/Undetermined"},
        ),
        (
            event("email.suppressed", suppressed=SUPPRESSED),
            FeedbackType.REJECTED,
            SUPPRESSED["message"],
            {"classification": "OnAccountSuppressionList"},
        ),
        (
            event("email.failed", failed={"reason": "reached_daily_quota"}),
            FeedbackType.FAILED,
            "reached_daily_quota",
            {"classification": "reached_daily_quota"},
        ),
        (event("email.complained"), FeedbackType.COMPLAINED, None, {}),
        (event("email.opened"), FeedbackType.OPENED, None, {}),
        (event("email.clicked", click=CLICK), FeedbackType.CLICKED, None, READ | {"url": "https://example.net/pay"}),
        (event("email.pinned"), FeedbackType.UNKNOWN, "email.pinned", {}),
    ],
    ids=lambda value: value.get("type", "") if isinstance(value, dict) else str(value),
)
def test_each_event_is_read(
    told: dict[str, Any], type_: FeedbackType, reason: str | None, details: dict[str, Any]
) -> None:
    (happened,) = read(READER, told, {"svix-id": SVIX_ID})
    assert (happened.type, happened.reason, dict(happened.details)) == (type_, reason, details)
    assert (happened.provider_message_id, happened.message_uuid) == (EMAIL_ID, MESSAGE_UUID)
    assert (happened.recipient, happened.at) == ("ann@example.com", AT)
    assert happened.key.startswith(SVIX_ID)
    assert happened.raw == told


@pytest.mark.parametrize(
    "word",
    ["contact.created", "contact.updated", "domain.updated", "email.received", "suppression.added", "inbox.created"],
)
def test_what_is_told_of_other_things_than_mails_that_left_means_nothing(word: str) -> None:
    assert read(READER, event(word, unsubscribed=True)) == []


def test_an_event_of_several_recipients_is_told_of_each() -> None:
    told = event("email.delivered", to=["Ann <ann@example.com>", "bo@example.com", "bo@example.com", "nobody"])
    happened = read(READER, told, {"svix-id": SVIX_ID})
    assert [each.recipient for each in happened] == ["ann@example.com", "bo@example.com", None]
    assert len({each.key for each in happened}) == 3


@pytest.mark.parametrize("to", [[], None, "ann@example.com", {"x": 1}])
def test_an_event_whose_recipients_are_no_list_is_still_told(to: Any) -> None:
    (happened,) = read(READER, event("email.delivered", to=to), {"svix-id": SVIX_ID})
    assert happened.recipient == (to if isinstance(to, str) else None)


def test_tags_may_be_a_list() -> None:
    tags = [{"name": "category", "value": "x"}, {"name": "janus_message_id", "value": MESSAGE_UUID}]
    assert read(READER, event("email.sent", tags=tags))[0].message_uuid == MESSAGE_UUID


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{}", b"[]", b'{"type":"email.sent"}', b'{"data":{}}', b'{"type":1,"data":[]}']
)
def test_what_is_no_event_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read(READER, body)


# Signed by the library `svix` 2.9.1 at NOW, with SECRET and with another.
BODY = (
    '{"type":"email.delivered","created_at":"2026-03-01T11:59:58.120Z","data":'
    '{"email_id":"4ef9a417-02e9-4d39-ad75-9611e0fcc33c","to":["jörg@example.com"]}}'
).encode()
TRUE = "v1,KCVwAtiRubm3N4eIzG2e2ePusw81vdvjxRFFm6KFdLI="
OTHERS = "v1,UK27Z0tpTt95V1AarRaLH0+Ijra1Q2OBc79i0L4S+Ug="


def signed(signature: str | None, **changes: str | None) -> dict[str, str]:
    headers = {"id": SVIX_ID, "timestamp": "1772366400", "signature": signature} | changes
    return {f"svix-{name}": value for name, value in headers.items() if value is not None}


def test_the_example_of_svixs_documentation_is_accepted() -> None:
    headers = {
        "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "svix-timestamp": "1614265330",
        "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    then = datetime.fromtimestamp(1614265330, UTC)
    assert verdict(READER, Config(), post_of('{"test": 2432232314}', headers, at=then)) is None
    assert verdict(READER, Config(), post_of('{"test": 2432232315}', headers, at=then)) == "signature_wrong"


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        (signed(TRUE), None),
        (signed(f"{OTHERS} v2,x {TRUE}"), None),
        (signed(f" {TRUE}  {OTHERS} "), None),
        (signed(TRUE, timestamp="1772366400.999"), None),
        ({name.replace("svix", "webhook"): value for name, value in signed(TRUE).items()}, None),
        (signed(OTHERS), "signature_wrong"),
        (signed(TRUE, id=SVIX_ID + "x"), "signature_wrong"),
        (signed(TRUE, timestamp="1772366401"), "signature_wrong"),
        (signed("v1,K" + TRUE[4:].lower()), "signature_wrong"),
        (signed("v1,ü"), "signature_wrong"),
        (signed(TRUE.replace("v1,", "v2,")), "signature_missing"),
        (signed("v1"), "signature_missing"),
        (signed(TRUE[3:]), "signature_missing"),
        (signed(""), "signature_missing"),
        (signed(None), "signature_missing"),
        (signed(TRUE, id=None), "signature_missing"),
        (signed(TRUE, timestamp=None), "signature_missing"),
        (signed(TRUE, timestamp="soon"), "signature_missing"),
        (signed(TRUE, timestamp="9" * 40), "signature_missing"),
        (signed(TRUE, timestamp="١٧٧٢٣٦٦٤٠٠"), "signature_missing"),
    ],
)
def test_only_what_was_signed_with_the_secret_is_taken(headers: dict[str, str], refused: str | None) -> None:
    assert verdict(READER, Config(), post_of(BODY, headers)) == refused


@pytest.mark.parametrize("place", range(0, len(BODY), 17))
def test_one_bit_that_is_changed_is_noticed(place: int) -> None:
    body = BODY[:place] + bytes([BODY[place] ^ 1]) + BODY[place + 1 :]
    assert verdict(READER, Config(), post_of(body, signed(TRUE))) == "signature_wrong"


@pytest.mark.parametrize(
    ("late_s", "refused"), [(0, None), (299, None), (-299, None), (301, "signature_too_old"), (-301, "signature_ahead")]
)
def test_a_signature_is_good_for_five_minutes(late_s: int, refused: str | None) -> None:
    assert verdict(READER, Config(), post_of(BODY, signed(TRUE), at=NOW + timedelta(seconds=late_s))) == refused


@pytest.mark.parametrize("secret", ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", f" {SECRET}\n"])
def test_the_secret_may_stand_there_as_people_copy_it(secret: str) -> None:
    assert verdict(READER, Config(SecretStr(secret)), post_of(BODY, signed(TRUE))) is None


def test_a_secret_without_its_padding_is_read() -> None:
    key = b"twenty-four random bytes!"
    secret = "whsec_" + base64.b64encode(key).decode().rstrip("=")
    digest = hmac.new(key, f"{SVIX_ID}.1772366400.".encode() + BODY, hashlib.sha256).digest()
    headers = signed(f"v1,{base64.b64encode(digest).decode()}")
    assert verdict(READER, Config(SecretStr(secret)), post_of(BODY, headers)) is None


@pytest.mark.parametrize("secret", [None, "", "whsec_", "whsec_*", "whsec_a", "whsec_ü"])
def test_without_a_secret_that_is_one_nothing_is_taken(secret: str | None) -> None:
    config = Config(None if secret is None else SecretStr(secret))
    assert verdict(READER, config, post_of(BODY, signed(TRUE))) == "hook_not_set_up"


@settings(max_examples=40, deadline=None)
@given(st.binary() | JSON.map(json.dumps).map(str.encode), st.text(), st.text(), st.text())
def test_no_bytes_break_the_reader(body: bytes, event_id: str, timestamp: str, signature: str) -> None:
    headers = {"svix-id": event_id, "svix-timestamp": timestamp, "svix-signature": signature}
    try_to_break(READER, Config(), body, headers)


@settings(max_examples=50, deadline=None)
@given(shaken(event("email.bounced", bounce=HARD, click=CLICK, tags=[{"name": "janus_message_id", "value": "x"}])))
def test_no_values_break_the_reader(told: dict[str, Any]) -> None:
    try_to_break(READER, Config(), json.dumps(told).encode(), signed(TRUE))
