"""Mailgun: one event a call, HMAC-SHA256 over time and token.
https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks

The signature does not cover the event. Its time does not change while the post is tried again, for 8 hours; a token is
taken once, as it is the event's key.
"""

import hashlib
import hmac
import re
from datetime import timedelta
from typing import Any, Protocol
from urllib.parse import parse_qsl

from pydantic import SecretStr
from python_multipart.multipart import parse_options_header

from janus_mail.content.addresses import parse_recipients
from janus_mail.feedback.multipart import multipart_fields
from janus_mail.feedback.proof import check_age, check_signature, key_in
from janus_mail.feedback.reader import Forged, Happened, Post, Reader, Unreadable
from janus_mail.feedback.values import (
    MESSAGE_UUID_NAME,
    Object,
    digest_of,
    events_among,
    first_text,
    in_angle_brackets,
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

OLDEST = timedelta(hours=9)
MAX_FIELDS = 1000
_SECONDS = re.compile(r"\d{10}", re.ASCII)

_TYPES = {
    "accepted": FeedbackType.QUEUED,
    "delivered": FeedbackType.DELIVERED,
    "rejected": FeedbackType.REJECTED,
    "opened": FeedbackType.OPENED,
    "clicked": FeedbackType.CLICKED,
    "unsubscribed": FeedbackType.UNSUBSCRIBED,
    "complained": FeedbackType.COMPLAINED,
}

# The forms that Mailgun posted before 2018 had two words of their own.
_FORM_TYPES = _TYPES | {"bounced": FeedbackType.BOUNCED_HARD, "dropped": FeedbackType.REJECTED}

_SURELY_HARD = {None, "bounce", "generic", "hardfail"}  # with any other reason the address may be right
_SUPPRESSED_CODES = {605, 606, 607}  # Mailgun's own: bounced, unsubscribed or complained before
_NOT_SMTP = {498, 499}  # Mailgun's own: no MX, could not connect


class _Config(Protocol):
    @property
    def webhook_signing_key(self) -> SecretStr | None: ...

    @property
    def api_key(self) -> SecretStr | None: ...


class MailgunReader(Reader):
    keeps = frozenset({"content-type"})

    async def verify(self, config: _Config, post: Post) -> None:
        signing_key = config.webhook_signing_key
        named = signing_key is not None and signing_key.get_secret_value().strip()
        key = key_in(signing_key if named else config.api_key, "the HTTP webhook signing key")
        try:
            signed = _signed(post)
        except Unreadable as error:
            raise Forged("not_readable", f"The post cannot be read: {error}") from None
        timestamp, token = text_of(signed.get("timestamp")) or "", signed.get("token")
        # Ten digits, or some of the token's could be passed off as the time's: another key, and an event counts twice.
        if not _SECONDS.fullmatch(timestamp) or not isinstance(token, str):
            raise Forged("signature_missing", "The post has no signature with time and token.")
        true = hmac.new(key, f"{timestamp}{token}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()
        # An event of a subaccount is signed with the key of the account above it as well.
        check_signature(true, text_of(signed.get("signature")), text_of(signed.get("parent-signature")))
        check_age(time_of(timestamp), post, OLDEST)

    def read(self, post: Post) -> list[Happened]:
        if not _is_json(post):
            return [_happened_in_form(_form(post), post)]
        told = parse_json(post.body)
        token = text_of(inside(told, "signature", "token"))
        return [_happened(event, token, post) for event in events_among([inside(told, "event-data")], "event")]


def _is_json(post: Post) -> bool:
    return post.body.lstrip()[:1] in (b"{", b"[")


def _signed(post: Post) -> Object:
    """Where signature, token and timestamp are. Raises `Unreadable`."""
    if not _is_json(post):
        return _form(post)
    signed = inside(parse_json(post.body), "signature")
    return signed if isinstance(signed, dict) else {}


def _form(post: Post) -> Object:
    """The fields of a form; of two of one name the last, for Mailgun's own stand behind the caller's variables. Raises
    `Unreadable`."""
    said = post.headers.get("content-type", "").encode("latin-1", "replace")
    content_type, options = parse_options_header(said)
    if content_type == b"multipart/form-data":
        fields = multipart_fields(post.body, options.get(b"boundary", b""), most=MAX_FIELDS)
    else:
        try:
            fields = parse_qsl(post.body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError as error:
            raise Unreadable(f"It is not a form: {error}") from None
    return {name.replace("\0", ""): value.replace("\0", "") for name, value in fields}


def _happened(event: Object, token: str | None, post: Post) -> Happened:
    status = event.get("delivery-status")
    kind = _type_of(event)
    said = first_text(inside(status, "message"), inside(status, "description"))
    refusal = first_text(inside(event, "reject", "description"), inside(event, "reject", "reason"))
    return Happened(
        key=key_of(token) if token else digest_of(event),
        type=kind,
        at=time_of(event.get("timestamp")) or post.received_at,
        recipient=recipient_of(event.get("recipient")) or _sole(inside(event, "message", "headers", "to")),
        message_uuid=message_uuid_of(inside(event, "user-variables", MESSAGE_UUID_NAME)),
        provider_message_id=in_angle_brackets(text_of(inside(event, "message", "headers", "message-id"))),
        reason=first_text(said, refusal, unknown(kind, text_of(event["event"]) or "")),
        details=smtp_details(said)
        | present(
            smtp_code=_smtp_code(inside(status, "code")),
            status=text_of(inside(status, "enhanced-code")),
            classification=first_text(event.get("reason"), inside(event, "reject", "reason")),
            url=text_of(event.get("url")),
            user_agent=text_of(inside(event, "client-info", "user-agent")),
            ip=text_of(event.get("ip")),
            machine=True if text_of(inside(event, "client-info", "bot")) else None,
        ),
        raw=event,
    )


def _type_of(event: Object) -> FeedbackType:
    word = text_of(event.get("event")) or ""
    if word != "failed":
        return _TYPES.get(word, FeedbackType.UNKNOWN)
    if event.get("severity") == "temporary":  # tried again; the end of that comes as permanent
        return FeedbackType.DEFERRED
    reason = text_of(event.get("reason"))
    status = event.get("delivery-status")
    if (reason or "").startswith("suppress-") or whole_number_of(inside(status, "code")) in _SUPPRESSED_CODES:
        return FeedbackType.REJECTED
    hard = reason in _SURELY_HARD and inside(status, "bounce-type") != "soft"
    return FeedbackType.BOUNCED_HARD if hard else FeedbackType.BOUNCED_SOFT


def _smtp_code(value: Any) -> int | None:
    code = whole_number_of(value)
    return code if code is not None and 200 <= code < 600 and code not in _NOT_SMTP else None


def _sole(value: Any) -> str | None:
    """The address of a header that names one."""
    recipients = parse_recipients(value).recipients if isinstance(value, str) else []
    return recipients[0].address if len(recipients) == 1 else None


def _happened_in_form(fields: Object, post: Post) -> Happened:
    """Of a legacy webhook: as much as its flat fields say."""
    word = text_of(fields.get("event"))
    if word is None:
        raise Unreadable("The form does not say what happened.")
    token = text_of(fields.get("token"))
    kind = _FORM_TYPES.get(word, FeedbackType.UNKNOWN)
    said = first_text(fields.get("error"), fields.get("notification"), fields.get("description"))
    return Happened(
        key=key_of(token) if token else digest_of(fields),
        type=kind,
        at=time_of(fields.get("timestamp")) or post.received_at,
        recipient=recipient_of(fields.get("recipient")),
        message_uuid=message_uuid_of(fields.get(MESSAGE_UUID_NAME)),
        provider_message_id=in_angle_brackets(first_text(fields.get("Message-Id"), fields.get("message-id"))),
        reason=said or unknown(kind, word),
        details=smtp_details(said)
        | present(
            smtp_code=_smtp_code(fields.get("code")),
            classification=text_of(fields.get("reason")),
            url=text_of(fields.get("url")),
            user_agent=text_of(fields.get("user-agent")),
            ip=text_of(fields.get("ip")),
        ),
        raw=fields,
    )


READER = MailgunReader()
