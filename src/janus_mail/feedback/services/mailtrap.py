"""Mailtrap: JSON or JSON Lines, HMAC-SHA256 over the body. https://docs.mailtrap.io/email-api-smtp/advanced/webhooks

The signature has no time: told again, an event has the same key and changes nothing.
"""

import hashlib
import hmac
from typing import Any, Protocol

from pydantic import SecretStr

from janus_mail.feedback.proof import check_signature, key_in
from janus_mail.feedback.reader import Happened, Post, Reader, Unreadable
from janus_mail.feedback.values import (
    MESSAGE_UUID_NAME,
    Object,
    digest_of,
    events_among,
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
    whole_number_of,
)
from janus_mail.models.states import FeedbackType

_TYPES = {
    "delivery": FeedbackType.DELIVERED,
    "soft bounce": FeedbackType.BOUNCED_SOFT,
    "bounce": FeedbackType.BOUNCED_HARD,
    "suspension": FeedbackType.DEFERRED,  # the account may not send for now
    "reject": FeedbackType.REJECTED,
    "spam": FeedbackType.COMPLAINED,
    "unsubscribe": FeedbackType.UNSUBSCRIBED,
    "open": FeedbackType.OPENED,
    "click": FeedbackType.CLICKED,
}


class _Config(Protocol):
    @property
    def webhook_secret(self) -> SecretStr | None: ...


class MailtrapReader(Reader):
    keeps = frozenset[str]()

    async def verify(self, config: _Config, post: Post) -> None:
        key = key_in(config.webhook_secret, "the webhook's signing secret")
        true = hmac.new(key, post.body, hashlib.sha256).hexdigest()
        check_signature(true, post.headers.get("mailtrap-signature"))

    def read(self, post: Post) -> list[Happened]:
        return [_happened(event, post) for event in events_among(_listed(post.body), "event")]


def _listed(body: bytes) -> list[Any]:
    """The events of `{"events": […]}`, of a bare list, of one alone, or of lines of these."""
    try:
        values = [parse_json(body)]
    except Unreadable:
        values = [parse_json(line) for line in body.splitlines() if line.strip()]
        if not values:
            raise
    listed: list[Any] = []
    for value in values:
        events = value["events"] if isinstance(value, dict) and "events" in value else value
        listed.extend(events if isinstance(events, list) else [events])
    return listed


def _happened(event: Object, post: Post) -> Happened:
    word = text_of(event["event"]) or ""
    kind = _TYPES.get(word.replace("_", " "), FeedbackType.UNKNOWN)
    said = text_of(event.get("response"))
    event_id = text_of(event.get("event_id"))
    return Happened(
        key=key_of(event_id) if event_id else digest_of(event),
        type=kind,
        at=time_of(event.get("timestamp")) or post.received_at,
        recipient=recipient_of(event.get("email")),
        message_uuid=message_uuid_of(inside(event, "custom_variables", MESSAGE_UUID_NAME)),
        provider_message_id=text_of(event.get("message_id")),
        reason=first_text(said, event.get("reason"), unknown(kind, word)),
        details=smtp_details(said)
        | present(
            smtp_code=whole_number_of(event.get("response_code")),
            classification=text_of(event.get("bounce_category")),
            url=text_of(event.get("url")),
            user_agent=text_of(event.get("user_agent")),
            ip=text_of(event.get("ip")),
        ),
        raw=event,
    )


READER = MailtrapReader()
