"""Amazon SES's events: each of them, for each of its recipients, and what SNS brings besides."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from janus_mail.feedback.reader import Unreadable
from janus_mail.feedback.services.ses import READER
from janus_mail.models.states import FeedbackType

from .hook_posts import MESSAGE_UUID, NOW, post_of, read, shaken, smtp, try_to_break
from .sns_signing import MESSAGE_ID, PINNED, SUBSCRIBE_URL, notification, subscription

SES_ID = "0102018f2b6d9a11-8a1e2c3d-4b5a-6978-8796-a5b4c3d2e1f0-000000"
MAIL: dict[str, Any] = {
    "timestamp": "2026-03-01T11:59:30.500Z",
    "messageId": SES_ID,
    "source": "Shop <shop@example.net>",
    "sourceArn": "arn:aws:ses:eu-west-1:123456789012:identity/example.net",
    "sendingAccountId": "123456789012",
    "destination": ["ann@Example.com", "bo@example.com"],
    "headersTruncated": False,
    "headers": [{"name": "From", "value": "Shop <shop@example.net>"}],
    "commonHeaders": {"from": ["shop@example.net"], "to": ["ann@example.com"], "subject": "Your invoice"},
    "tags": {
        "ses:configuration-set": ["janus"],
        "ses:source-ip": ["192.0.2.1"],
        "janus_message_id": [MESSAGE_UUID],
    },
}
WHEN = "2026-03-01T11:59:58.120Z"
AT = datetime(2026, 3, 1, 11, 59, 58, 120000, tzinfo=UTC)
ANN, BO = "ann@example.com", "bo@example.com"


def event(word: str, told: dict[str, Any], *, name: str | None = None, mail: dict[str, Any] = MAIL) -> dict[str, Any]:
    return {"eventType": word, "mail": mail, name or word[0].lower() + word[1:]: told}


def bounce(type_: str, subtype: str, *who: dict[str, Any]) -> dict[str, Any]:
    told = {
        "bounceType": type_,
        "bounceSubType": subtype,
        "bouncedRecipients": list(who) or [{"emailAddress": "ann@Example.com"}],
        "timestamp": WHEN,
        "feedbackId": "0102018f-000000",
        "reportingMTA": "dns; a6-3.smtp-out.eu-west-1.amazonses.com",
    }
    return event("Bounce", told)


GONE = {
    "emailAddress": "ann@Example.com",
    "action": "failed",
    "status": "5.1.1",
    "diagnosticCode": "smtp; 550 5.1.1 user unknown",
}
VISIT = {"timestamp": WHEN, "ipAddress": "192.0.2.5", "userAgent": "Mozilla/5.0"}
READ = {"ip": "192.0.2.5", "user_agent": "Mozilla/5.0"}
DELAY = {
    "delayType": "MailboxFull",
    "expirationTime": "2026-03-02T11:59:30.000Z",
    "delayedRecipients": [{"emailAddress": ANN, "status": "4.2.2", "diagnosticCode": "smtp; 452 4.2.2 full"}],
    "timestamp": WHEN,
}
DELIVERY = {
    "timestamp": WHEN,
    "processingTimeMillis": 812,
    "recipients": [ANN],
    "smtpResponse": "250 2.6.0 Message received",
    "reportingMTA": "a6-3.smtp-out.eu-west-1.amazonses.com",
}
COMPLAINT = {
    "complainedRecipients": [{"emailAddress": ANN}],
    "complaintFeedbackType": "abuse",
    "complaintSubType": None,
    "userAgent": "Amazon SES Mailbox Simulator",
    "timestamp": WHEN,
    "arrivalDate": "2026-03-01T11:00:00.000Z",
    "feedbackId": "0102018f-000000",
}


def preferences(*topics: str, everything: bool = False) -> dict[str, Any]:
    statuses = [dict(zip(("topicName", "subscriptionStatus"), topic.split("="), strict=True)) for topic in topics]
    return {"unsubscribeAll": everything, "topicSubscriptionStatus": statuses}


def change(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    told = {"contactList": "news", "timestamp": WHEN, "source": "UnsubscribeHeader"}
    preferences_ = {"newTopicPreferences": new, "oldTopicPreferences": old}
    return event("Subscription", told | preferences_, mail=MAIL | {"destination": [ANN]})


HARD, SOFT, REJECTED = FeedbackType.BOUNCED_HARD, FeedbackType.BOUNCED_SOFT, FeedbackType.REJECTED


@pytest.mark.parametrize(
    ("told", "type_", "recipients", "reason", "details"),
    [
        (event("Delivery", DELIVERY), FeedbackType.DELIVERED, [ANN], DELIVERY["smtpResponse"], smtp(250, "2.6.0")),
        (event("DeliveryDelay", DELAY), FeedbackType.DEFERRED, [ANN], "smtp; 452 4.2.2 full",
         smtp(452, "4.2.2") | {"classification": "MailboxFull"}),
        (bounce("Permanent", "NoEmail", GONE), HARD, [ANN], GONE["diagnosticCode"],
         smtp(550, "5.1.1") | {"classification": "Permanent/NoEmail"}),
        (bounce("Permanent", "General"), HARD, [ANN], None, {"classification": "Permanent/General"}),
        (bounce("Permanent", "Suppressed"), REJECTED, [ANN], None, {"classification": "Permanent/Suppressed"}),
        (bounce("Permanent", "OnAccountSuppressionList"), REJECTED, [ANN], None,
         {"classification": "Permanent/OnAccountSuppressionList"}),
        (bounce("Transient", "MailboxFull"), SOFT, [ANN], None, {"classification": "Transient/MailboxFull"}),
        (bounce("Undetermined", "Undetermined"), SOFT, [ANN], None, {"classification": "Undetermined/Undetermined"}),
        (bounce("Permanent", "General", GONE, {"emailAddress": BO}), HARD, [ANN, BO], GONE["diagnosticCode"],
         smtp(550, "5.1.1") | {"classification": "Permanent/General"}),
        (event("Complaint", COMPLAINT), FeedbackType.COMPLAINED, [ANN], None,
         {"classification": "abuse", "user_agent": "Amazon SES Mailbox Simulator"}),
        (event("Open", VISIT), FeedbackType.OPENED, [None], None, READ),
        (event("Click", VISIT | {"link": "https://example.net/pay", "linkTags": {"a": ["b"]}}), FeedbackType.CLICKED,
         [None], None, READ | {"url": "https://example.net/pay"}),
        (change(preferences("news=OptIn"), preferences(everything=True)), FeedbackType.UNSUBSCRIBED, [ANN], None, {}),
        (change(preferences("news=OptIn"), preferences("news=OptOut")), FeedbackType.UNSUBSCRIBED, [ANN], None, {}),
        (change(preferences("a=OptOut", "b=OptOut"), preferences("a=OptOut", "b=OptIn")), FeedbackType.UNKNOWN, [ANN],
         "Subscription", {}),
        (event("Levitation", {"timestamp": WHEN}), FeedbackType.UNKNOWN, [None], "Levitation", {}),
    ],
    ids=lambda value: value.get("eventType", "") if isinstance(value, dict) else str(value),
)  # fmt: skip
def test_each_event_is_read_for_each_whom_it_is_about(
    told: dict[str, Any],
    type_: FeedbackType,
    recipients: list[str | None],
    reason: str | None,
    details: dict[str, Any],
) -> None:
    happened = read(READER, notification(told))
    assert [each.recipient for each in happened] == recipients
    first = happened[0]
    assert (first.type, first.reason, dict(first.details)) == (type_, reason, details)
    for each in happened:
        assert (each.type, each.provider_message_id, each.message_uuid) == (type_, SES_ID, MESSAGE_UUID)
        assert each.at == (AT if type_ is not FeedbackType.UNKNOWN or "subscription" in told else NOW)
        assert each.key.startswith(MESSAGE_ID)
        assert each.raw == told
    assert len({each.key for each in happened}) == len(happened)


@pytest.mark.parametrize(
    ("told", "type_", "reason", "at"),
    [
        (event("Send", {}), FeedbackType.SENT, None, datetime(2026, 3, 1, 11, 59, 30, 500000, tzinfo=UTC)),
        (event("Reject", {"reason": "Bad content"}), FeedbackType.REJECTED, "Bad content", NOW),
        (
            event("Rendering Failure", {"templateName": "t", "errorMessage": "no name"}, name="failure"),
            FeedbackType.FAILED,
            "no name",
            NOW,
        ),
    ],
)
def test_what_happens_before_a_mail_leaves_happens_to_all_it_goes_to(
    told: dict[str, Any], type_: FeedbackType, reason: str | None, at: datetime
) -> None:
    happened = read(READER, notification(told))
    assert [(each.recipient, each.type, each.reason, each.at) for each in happened] == [
        (ANN, type_, reason, at),
        (BO, type_, reason, at),
    ]


def test_an_open_of_a_mail_to_one_is_that_ones() -> None:
    (happened,) = read(READER, notification(event("Open", VISIT, mail=MAIL | {"destination": [ANN]})))
    assert happened.recipient == ANN


def test_a_notification_of_an_identity_is_read_like_an_event() -> None:
    told = bounce("Permanent", "General", GONE) | {"mail": {name: MAIL[name] for name in MAIL if name != "tags"}}
    told["notificationType"] = told.pop("eventType")
    (happened,) = read(READER, notification(told))
    assert (happened.type, happened.recipient, happened.message_uuid) == (HARD, ANN, None)


@pytest.mark.parametrize(
    "message",
    [
        "Successfully validated SNS topic for Amazon SES event publishing.",
        {"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "You have successfully subscribed…"},
    ],
)
def test_what_is_said_when_a_topic_is_set_means_nothing(message: Any) -> None:
    assert read(READER, notification(message)) == []


def test_a_subscription_asks_to_be_confirmed_and_its_end_does_not() -> None:
    asked, ended = subscription(), subscription("UnsubscribeConfirmation")
    for envelope, addresses in ((asked, [SUBSCRIBE_URL]), (ended, []), (notification(event("Send", {})), [])):
        assert READER.confirmations(post_of(envelope)) == addresses
    assert read(READER, asked) == read(READER, ended) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{}", b"[]", b'{"Type":"Notification"}']
    + [json.dumps(notification(message)).encode() for message in ("Hello", "[]", "{}", '{"mail":{}}')],
)
def test_what_is_no_event_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read(READER, body)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(
        [
            bounce("Permanent", "General", GONE),
            event("DeliveryDelay", DELAY),
            event("Complaint", COMPLAINT),
            change(preferences("news=OptIn"), preferences("news=OptOut")),
        ]
    ).flatmap(shaken)
)
def test_no_values_of_an_event_break_the_reader(told: dict[str, Any]) -> None:
    try_to_break(READER, PINNED, json.dumps(notification(told)).encode(), {})
