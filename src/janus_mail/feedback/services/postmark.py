"""Postmark: one JSON object a call, unsigned. https://postmarkapp.com/developer/webhooks/webhooks-overview

There is no signature and so no age: told again, an event has the same key and changes nothing.
"""

from typing import Protocol

from pydantic import SecretStr

from janus_mail.feedback.proof import check_password
from janus_mail.feedback.reader import Happened, Post, Reader, Unreadable
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

_TYPES = {
    "Delivery": FeedbackType.DELIVERED,
    "SpamComplaint": FeedbackType.COMPLAINED,
    "Open": FeedbackType.OPENED,
    "Click": FeedbackType.CLICKED,
}

_BOUNCES = {
    "HardBounce": FeedbackType.BOUNCED_HARD,
    "BadEmailAddress": FeedbackType.BOUNCED_HARD,
    "Transient": FeedbackType.DEFERRED,
    "DnsError": FeedbackType.DEFERRED,
    "SoftBounce": FeedbackType.BOUNCED_SOFT,
    "Unknown": FeedbackType.BOUNCED_SOFT,
    "VirusNotification": FeedbackType.BOUNCED_SOFT,
    "Unsubscribe": FeedbackType.UNSUBSCRIBED,
    "SpamNotification": FeedbackType.COMPLAINED,
    "SpamComplaint": FeedbackType.COMPLAINED,
    "Blocked": FeedbackType.REJECTED,
    "DMARCPolicy": FeedbackType.REJECTED,
    "ManuallyDeactivated": FeedbackType.REJECTED,
    "Unconfirmed": FeedbackType.REJECTED,
    "SMTPApiError": FeedbackType.FAILED,
    "TemplateRenderingFailed": FeedbackType.FAILED,
}  # AutoResponder, AddressChange and the like say nothing of the delivery

_SUPPRESSIONS = {
    "ManualSuppression": FeedbackType.UNSUBSCRIBED,
    "HardBounce": FeedbackType.BOUNCED_HARD,
    "SpamComplaint": FeedbackType.COMPLAINED,
}

_NO_MAIL = "00000000-0000-0000-0000-000000000000"  # a subscription that was changed by hand


class _Config(Protocol):
    @property
    def webhook_password(self) -> SecretStr | None: ...


class PostmarkReader(Reader):
    keeps = frozenset[str]()

    async def verify(self, config: _Config, post: Post) -> None:
        check_password(config.webhook_password, post)

    def read(self, post: Post) -> list[Happened]:
        event = parse_json(post.body)
        kind = text_of(inside(event, "RecordType"))
        if kind is None:
            raise Unreadable("It has no RecordType.")
        when = first_text(*(event.get(name) for name in ("BouncedAt", "DeliveredAt", "ReceivedAt", "ChangedAt")))
        address = first_text(event.get("Recipient"), event.get("Email"))
        message_id = text_of(event.get("MessageID"))
        said = text_of(event.get("Details"))
        happened = _type_of(event, kind)
        return [
            Happened(
                key=_key(event, kind, message_id, address, when),
                type=happened,
                at=time_of(when) or post.received_at,
                recipient=recipient_of(address),
                message_uuid=message_uuid_of(inside(event, "Metadata", MESSAGE_UUID_NAME)),
                provider_message_id=None if message_id == _NO_MAIL else message_id,
                reason=first_text(
                    said, event.get("Description"), event.get("SuppressionReason"), unknown(happened, kind)
                ),
                details=smtp_details(said)
                | present(
                    classification=first_text(event.get("Type"), event.get("SuppressionReason")),
                    url=text_of(event.get("OriginalLink")),
                    user_agent=text_of(event.get("UserAgent")),
                    ip=text_of(inside(event, "Geo", "IP")),
                ),
                raw=event,
            )
        ]


def _type_of(event: Object, kind: str) -> FeedbackType:
    if kind == "Bounce":
        return _BOUNCES.get(text_of(event.get("Type")) or "", FeedbackType.UNKNOWN)
    if kind == "SubscriptionChange" and event.get("SuppressSending") is True:
        return _SUPPRESSIONS.get(text_of(event.get("SuppressionReason")) or "", FeedbackType.UNKNOWN)
    return _TYPES.get(kind, FeedbackType.UNKNOWN)


def _key(event: Object, kind: str, message_id: str | None, address: str | None, when: str | None) -> str:
    number = text_of(event.get("ID"))
    if number:
        return key_of(kind, number)
    if when is None:
        return digest_of(event)
    return digest_of((kind, message_id, address, when, text_of(event.get("OriginalLink"))))


READER = PostmarkReader()
