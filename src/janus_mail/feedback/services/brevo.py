"""Brevo: one JSON object a call, or a list of them, unsigned. https://developers.brevo.com/docs/transactional-webhooks

There is no signature and so no age: told again, an event has the same key and changes nothing.
"""

import re
from typing import Any, Protocol

from pydantic import SecretStr

from janus_mail.feedback.proof import check_password
from janus_mail.feedback.reader import Happened, Post, Reader, Unreadable
from janus_mail.feedback.values import (
    MESSAGE_UUID_NAME,
    Object,
    digest_of,
    events_among,
    in_angle_brackets,
    inside,
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
    "request": FeedbackType.QUEUED,
    "sent": FeedbackType.QUEUED,  # what `request` is called where one subscribes to it
    "delivered": FeedbackType.DELIVERED,
    "deferred": FeedbackType.DEFERRED,
    "soft_bounce": FeedbackType.BOUNCED_SOFT,
    "hard_bounce": FeedbackType.BOUNCED_HARD,
    "invalid_email": FeedbackType.BOUNCED_HARD,
    "blocked": FeedbackType.REJECTED,
    "error": FeedbackType.FAILED,
    "spam": FeedbackType.COMPLAINED,
    "complaint": FeedbackType.COMPLAINED,
    "opened": FeedbackType.OPENED,
    "unique_opened": FeedbackType.OPENED,
    "proxy_open": FeedbackType.OPENED,
    "unique_proxy_open": FeedbackType.OPENED,
    "click": FeedbackType.CLICKED,
    "unsubscribe": FeedbackType.UNSUBSCRIBED,
    "unsubscribed": FeedbackType.UNSUBSCRIBED,
}
_BY_MACHINES = {"proxy_open", "unique_proxy_open"}
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


class _Config(Protocol):
    @property
    def webhook_password(self) -> SecretStr | None: ...


class BrevoReader(Reader):
    keeps = frozenset[str]()

    async def verify(self, config: _Config, post: Post) -> None:
        check_password(config.webhook_password, post)

    def read(self, post: Post) -> list[Happened]:
        told = parse_json(post.body)
        return [_happened(event, post) for event in events_among([told] if isinstance(told, dict) else told, "event")]


def _happened(event: Object, post: Post) -> Happened:
    word = _HUMP.sub("_", text_of(event["event"]) or "").lower()
    kind = _TYPES.get(word, FeedbackType.UNKNOWN)
    said = text_of(event.get("reason"))
    # Of the times only `ts_epoch` is surely in UTC.
    when = next((time for name in ("ts_epoch", "ts_event", "ts") if (time := time_of(event.get(name)))), None)
    return Happened(
        key=_key(event),
        type=kind,
        at=when or post.received_at,
        recipient=recipient_of(event.get("email")),
        message_uuid=message_uuid_of(inside(_custom(event.get("X-Mailin-custom")), MESSAGE_UUID_NAME)),
        provider_message_id=in_angle_brackets(text_of(event.get("message-id"))),
        reason=said or unknown(kind, word),
        details=smtp_details(said)
        | present(
            url=text_of(event.get("link")),
            user_agent=text_of(event.get("user_agent")),
            machine=True if word in _BY_MACHINES else None,
        ),
        raw=event,
    )


def _key(event: Object) -> str:
    """Of what makes it this event; the rest (a contact's id, say) may have changed when it is told again."""
    when = [text_of(event.get(name)) for name in ("ts_epoch", "ts_event", "ts", "date")]
    if not any(when):
        return digest_of(event)
    named = [text_of(event.get(name)) for name in ("event", "message-id", "email", "link")]
    return digest_of([*named, next(filter(None, when))])


def _custom(value: Any) -> Any:
    """The header that we gave the mail, which is JSON."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except Unreadable:
        return None


READER = BrevoReader()
