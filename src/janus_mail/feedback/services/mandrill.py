"""Mandrill: a form with one field, a JSON list of events; HMAC-SHA1 over its address and fields.
https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/

The signature has no time: told again, an event has the same key and changes nothing.
"""

import base64
import hashlib
import hmac
from typing import Any, Protocol
from urllib.parse import parse_qsl

from pydantic import SecretStr

from janus_mail.feedback.proof import check_signature, key_in
from janus_mail.feedback.reader import Forged, Happened, Post, Reader, Unreadable
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

MAX_FIELDS = 100
_FIELD = "mandrill_events"
_NOTHING = [(_FIELD, "[]")]
_TRIAL_KEY = b"test-webhook"  # with it Mandrill signs what it posts when a webhook is made: there is no other key yet

_TYPES = {
    "send": FeedbackType.SENT,
    "delivered": FeedbackType.DELIVERED,
    "deferral": FeedbackType.DEFERRED,
    "hard_bounce": FeedbackType.BOUNCED_HARD,
    "soft_bounce": FeedbackType.BOUNCED_SOFT,
    "reject": FeedbackType.REJECTED,
    "spam": FeedbackType.COMPLAINED,
    "unsub": FeedbackType.UNSUBSCRIBED,
    "open": FeedbackType.OPENED,
    "click": FeedbackType.CLICKED,
}


class _Config(Protocol):
    @property
    def webhook_key(self) -> SecretStr | None: ...

    @property
    def webhook_url(self) -> str | None: ...


class MandrillReader(Reader):
    keeps = frozenset[str]()

    async def verify(self, config: _Config, post: Post) -> None:
        try:
            fields = _fields(post.body)
        except Unreadable as error:
            raise Forged("not_readable", f"The post cannot be read: {error}") from None
        url = config.webhook_url or post.url
        said = post.headers.get("x-mandrill-signature")
        if fields == _NOTHING and said == _sign(_TRIAL_KEY, url, fields):  # which anybody may know
            return
        check_signature(_sign(key_in(config.webhook_key, "the webhook's key"), url, fields), said)

    def read(self, post: Post) -> list[Happened]:
        told = parse_json(dict(_fields(post.body)).get(_FIELD, ""))
        if not isinstance(told, list):
            raise Unreadable("It is not a list of events.")
        events = [event for event in told if text_of(inside(event, "event"))]
        # Changes of its lists of allowed and denied addresses have a type instead: they are no mail's.
        if told and not events and not any(text_of(inside(event, "type")) for event in told):
            raise Unreadable("No event says what happened.")
        return [_happened(event, post) for event in events]


def _fields(body: bytes) -> list[tuple[str, str]]:
    """Raises `Unreadable`."""
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise Unreadable(f"It is not a form: {error}") from None


def _sign(key: bytes, url: str, fields: list[tuple[str, str]]) -> str:
    signed = url + "".join(name + value for name, value in sorted(fields))
    return base64.b64encode(hmac.new(key, signed.encode(), hashlib.sha1).digest()).decode()


def _happened(event: Object, post: Post) -> Happened:
    word = text_of(event["event"]) or ""
    kind, mail = _TYPES.get(word, FeedbackType.UNKNOWN), event.get("msg")
    message_id = first_text(event.get("_id"), inside(mail, "_id"))
    said = first_text(inside(mail, "diag"), _last_answer(inside(mail, "smtp_events")))
    refusal = first_text(
        inside(mail, "reject"), inside(mail, "reject", "reason"), event.get("reject"), inside(event, "reject", "reason")
    )
    return Happened(
        key=_key(event, word, message_id),
        type=kind,
        at=time_of(event.get("ts")) or post.received_at,
        recipient=recipient_of(inside(mail, "email")),
        message_uuid=message_uuid_of(inside(mail, "metadata", MESSAGE_UUID_NAME)),
        provider_message_id=message_id,
        reason=first_text(said, refusal, inside(mail, "bounce_description"), unknown(kind, word)),
        details=smtp_details(said)
        | present(
            classification=first_text(inside(mail, "bounce_description"), refusal),
            url=text_of(event.get("url")),
            user_agent=text_of(event.get("user_agent")),
            ip=text_of(event.get("ip")),
        ),
        raw=event,
    )


def _key(event: Object, word: str, message_id: str | None) -> str:
    """Events have no id: mail, word and second are what Mandrill says of them, and two links may be clicked in one."""
    when = text_of(event.get("ts"))
    if message_id is None or when is None:
        return digest_of(event)
    return key_of(message_id, word, when, *filter(None, [text_of(event.get("url"))]))


def _last_answer(smtp_events: Any) -> str | None:
    return text_of(inside(smtp_events[-1], "diag")) if isinstance(smtp_events, list) and smtp_events else None


READER = MandrillReader()
