"""Amazon SES, through SNS: events of a configuration set and notifications of an identity, one an envelope.
https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

from datetime import timedelta
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from janus_mail.feedback import sns
from janus_mail.feedback.proof import check_age
from janus_mail.feedback.reader import Forged, Happened, NotSetUp, Post, Reader, Unreadable
from janus_mail.feedback.values import (
    MESSAGE_UUID_NAME,
    Object,
    digest_of,
    first_text,
    inside,
    key_of,
    message_uuid_of,
    parse_json,
    present,
    recipient_of,
    smtp_details,
    text_of,
    time_of,
    unknown,
)
from janus_mail.models.states import FeedbackType

OLDEST = timedelta(hours=1)  # SNS tries a post again for less, and its time stays what it was


class _Kind(NamedTuple):
    """Where an event's details are, and who it is about: those under `people`, else everyone the mail went to, else
    (`of_all` is False: SES does not say which of them it was) the one, if it was one."""

    details: str
    type: FeedbackType
    people: str | None = None
    of_all: bool = True


_KINDS = {
    "Send": _Kind("send", FeedbackType.SENT),
    "Delivery": _Kind("delivery", FeedbackType.DELIVERED, "recipients"),
    "DeliveryDelay": _Kind("deliveryDelay", FeedbackType.DEFERRED, "delayedRecipients"),
    "Bounce": _Kind("bounce", FeedbackType.BOUNCED_SOFT, "bouncedRecipients", of_all=False),
    "Complaint": _Kind("complaint", FeedbackType.COMPLAINED, "complainedRecipients", of_all=False),
    "Reject": _Kind("reject", FeedbackType.REJECTED),
    "Rendering Failure": _Kind("failure", FeedbackType.FAILED),
    "Open": _Kind("open", FeedbackType.OPENED, of_all=False),
    "Click": _Kind("click", FeedbackType.CLICKED, of_all=False),
    "Subscription": _Kind("subscription", FeedbackType.UNKNOWN, of_all=False),
}
_UNKNOWN = _Kind("", FeedbackType.UNKNOWN, of_all=False)

# Permanent, but SES did not try: the address is on its list.
_SUPPRESSED = {"Suppressed", "OnAccountSuppressionList", "UnsubscribedRecipient"}

# What SES says once a topic is set, as a sentence or as an event.
_GREETING = "Successfully validated SNS topic"
_GREETING_KIND = "AmazonSnsSubscriptionSucceeded"


class _Config(Protocol):
    @property
    def topic_arn(self) -> str | None: ...

    @property
    def signing_certificate(self) -> str | None: ...


class SesReader(Reader):
    keeps = frozenset[str]()
    fetches = True

    def __init__(self, load: sns.Load = sns.fetch) -> None:
        self._certificates = sns.Certificates(load)

    async def verify(self, config: _Config, post: Post) -> None:
        if not config.topic_arn:
            raise NotSetUp("Enter the ARN of the SNS topic in the provider's settings first.")
        envelope = _checked_envelope(post)
        if envelope.get("TopicArn") != config.topic_arn:  # anyone may have SNS sign a topic of theirs and post it to us
            raise Forged("other_topic", "The post is of another SNS topic than the one in the provider's settings.")
        if envelope["Type"] == sns.SUBSCRIPTION and not sns.is_address(envelope.get("SubscribeURL")):
            raise Forged("not_an_envelope", "The address to confirm the subscription at is not one of Amazon SNS.")
        check_age(time_of(envelope.get("Timestamp")), post, OLDEST)
        if config.signing_certificate:
            key = _pinned_key(config.signing_certificate)
        else:
            key = await self._certificates.key_at(envelope.get("SigningCertURL") or envelope.get("SigningCertUrl"))
        sns.check_signature(envelope, key)

    def read(self, post: Post) -> list[Happened]:
        envelope = parse_json(post.body)
        kind, message = inside(envelope, "Type"), inside(envelope, "Message")
        if kind in (sns.SUBSCRIPTION, sns.UNSUBSCRIPTION):
            return []
        if kind != sns.NOTIFICATION or not isinstance(message, str):
            raise Unreadable("It is not an envelope of Amazon SNS.")
        if message.startswith(_GREETING):
            return []
        event = parse_json(message)
        word = first_text(inside(event, "eventType"), inside(event, "notificationType"))
        if word is None:
            raise Unreadable("It is not an event of Amazon SES.")
        return [] if word == _GREETING_KIND else _happened(event, word, envelope, post)

    def confirmations(self, post: Post) -> list[str]:
        envelope = parse_json(post.body)
        url = inside(envelope, "SubscribeURL")
        return [url] if inside(envelope, "Type") == sns.SUBSCRIPTION and isinstance(url, str) else []


def _checked_envelope(post: Post) -> Object:
    """With the values as they were signed. Raises `Forged`."""
    if post.headers.get("x-amz-sns-rawdelivery", "").lower() == "true":
        raise Forged("not_an_envelope", "Switch raw message delivery off: without its envelope a post proves nothing.")
    try:
        envelope = orjson.loads(post.body)
    except ValueError:
        envelope = None
    if not isinstance(envelope, dict) or not isinstance(envelope.get("Type"), str):
        raise Forged("not_an_envelope", "The post is not an envelope of Amazon SNS.")
    for header, name in (("x-amz-sns-message-type", "Type"), ("x-amz-sns-message-id", "MessageId")):
        if post.headers.get(header, envelope.get(name)) != envelope.get(name):
            raise Forged("not_an_envelope", f"The post's header {header} says something else than its envelope.")
    return envelope


@lru_cache(maxsize=32)
def _pinned_key(pem: str) -> RSAPublicKey:
    try:
        return sns.key_in_certificate(pem.encode())
    except ValueError:
        raise NotSetUp("The signing certificate in the provider's settings cannot be read: it is PEM.") from None


def _happened(event: Object, word: str, envelope: Object, post: Post) -> list[Happened]:
    kind = _KINDS.get(word, _UNKNOWN)
    mail, told = event.get("mail"), event.get(kind.details)
    envelope_id = text_of(envelope.get("MessageId"))
    times = (
        inside(told, "timestamp"),
        inside(mail, "timestamp") if word == "Send" else None,
        envelope.get("Timestamp"),
    )
    at = next(filter(None, map(time_of, times)), post.received_at)
    type_, about_all = _type_of(word, kind, told), _details(told)
    happened = []
    for person in _people(kind, mail, told):
        address = text_of(person) or text_of(inside(person, "emailAddress"))
        said = first_text(inside(person, "diagnosticCode"), inside(told, "smtpResponse"))
        status = text_of(inside(person, "status"))
        happened.append(
            Happened(
                key=key_of(envelope_id, address) if envelope_id else digest_of([event, address]),
                type=type_,
                at=at,
                recipient=recipient_of(address),
                message_uuid=message_uuid_of(inside(mail, "tags", MESSAGE_UUID_NAME)),
                provider_message_id=text_of(inside(mail, "messageId")),
                reason=first_text(said, inside(told, "reason"), inside(told, "errorMessage"), unknown(type_, word)),
                details=about_all | smtp_details(said) | present(status=status),
                raw=event,
            )
        )
    return happened


def _people(kind: _Kind, mail: Any, told: Any) -> list[Any]:
    named = inside(told, kind.people) if kind.people else None
    if isinstance(named, list) and named:
        return named
    everyone = inside(mail, "destination")
    if isinstance(everyone, list) and everyone and (kind.of_all or len(everyone) == 1):
        return everyone
    return [None]


def _type_of(word: str, kind: _Kind, told: Any) -> FeedbackType:
    if word == "Bounce" and inside(told, "bounceType") == "Permanent":
        suppressed = text_of(inside(told, "bounceSubType")) in _SUPPRESSED
        return FeedbackType.REJECTED if suppressed else FeedbackType.BOUNCED_HARD
    if word == "Subscription" and _opted_out(told):
        return FeedbackType.UNSUBSCRIBED
    return kind.type


def _opted_out(told: Any) -> bool:
    """Of everything, or of a topic that it was in before."""
    now, before = inside(told, "newTopicPreferences"), inside(told, "oldTopicPreferences")
    return inside(now, "unsubscribeAll") is True or bool(_topics_left(now) - _topics_left(before))


def _topics_left(preferences: Any) -> set[str]:
    topics = inside(preferences, "topicSubscriptionStatus")
    return {
        text_of(inside(topic, "topicName")) or ""
        for topic in (topics if isinstance(topics, list) else [])
        if (text_of(inside(topic, "subscriptionStatus")) or "").replace("_", "").lower() == "optout"
    }


def _details(told: Any) -> dict[str, Any]:
    bounce = "/".join(filter(None, [text_of(inside(told, "bounceType")), text_of(inside(told, "bounceSubType"))]))
    named = first_text(bounce, inside(told, "complaintFeedbackType"), inside(told, "complaintSubType"))
    return present(
        classification=first_text(named, inside(told, "delayType")),
        url=text_of(inside(told, "link")),
        user_agent=text_of(inside(told, "userAgent")),
        ip=text_of(inside(told, "ipAddress")),
    )


READER = SesReader()
