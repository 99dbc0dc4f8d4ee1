"""Resend: one event a call, signed by Svix. https://resend.com/docs/webhooks/introduction and
https://docs.svix.com/receiving/verifying-payloads/how-manual
"""

import base64
import hashlib
import hmac
import re
from datetime import timedelta
from typing import Any, Protocol

from pydantic import SecretStr

from janus_mail.feedback.proof import check_age, check_signature, key_in
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

OLDEST = timedelta(seconds=300)
_SECONDS = re.compile(r"(\d{1,12})(?:\.\d+)?", re.ASCII)  # Svix's own libraries sign the whole seconds of a fraction

_TYPES = {
    "email.scheduled": FeedbackType.QUEUED,
    "email.sent": FeedbackType.SENT,
    "email.delivered": FeedbackType.DELIVERED,
    "email.delivery_delayed": FeedbackType.DEFERRED,
    "email.suppressed": FeedbackType.REJECTED,
    "email.failed": FeedbackType.FAILED,
    "email.complained": FeedbackType.COMPLAINED,
    "email.opened": FeedbackType.OPENED,
    "email.clicked": FeedbackType.CLICKED,
}

# What is told of other things than mails that left, and what Resend does with its own lists of contacts.
_NOT_OURS = ("contact.", "domain.", "suppression.", "topic.", "inbox.", "email.received")


class _Config(Protocol):
    @property
    def webhook_secret(self) -> SecretStr | None: ...


class ResendReader(Reader):
    keeps = frozenset({"svix-id", "webhook-id"})

    async def verify(self, config: _Config, post: Post) -> None:
        key = _key_bytes(key_in(config.webhook_secret, "the webhook's signing secret"))
        event_id, timestamp = _header(post, "id"), _SECONDS.fullmatch(_header(post, "timestamp"))
        if not event_id or timestamp is None:
            raise Forged("signature_missing", "The post has no signature.")
        signed = f"{event_id}.{timestamp[1]}.".encode("utf-8", "replace") + post.body
        true = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        # While a secret is changed there is one signature with each.
        entries = [entry.partition(",") for entry in _header(post, "signature").split()]
        check_signature(true, *(signature for version, _, signature in entries if version == "v1"))
        check_age(time_of(timestamp[1]), post, OLDEST)

    def read(self, post: Post) -> list[Happened]:
        event = parse_json(post.body)
        word, data = text_of(inside(event, "type")), inside(event, "data")
        if word is None or not isinstance(data, dict):
            raise Unreadable("It has no type or no data.")
        if word.startswith(_NOT_OURS):
            return []
        event_id = _header(post, "id") or digest_of(event)
        to = data.get("to")
        addresses = dict.fromkeys(map(text_of, to if isinstance(to, list) else [to]))
        return [_happened(event, word, data, address, event_id, post) for address in addresses or [None]]


def _header(post: Post, name: str) -> str:
    """Svix lets its customers name the headers after the standard instead."""
    return post.headers.get(f"svix-{name}") or post.headers.get(f"webhook-{name}") or ""


def _key_bytes(secret: bytes) -> bytes:
    encoded = secret.removeprefix(b"whsec_").rstrip(b"=")
    try:
        key = base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        key = b""
    if not key:  # anybody can sign with an empty one
        raise NotSetUp("The signing secret in the provider's settings is none: it is whsec_ and base64.")
    return key


def _happened(event: Object, word: str, data: Object, address: str | None, event_id: str, post: Post) -> Happened:
    trouble = next(
        (data[name] for name in ("bounce", "suppressed", "failed") if isinstance(data.get(name), dict)), None
    )
    visit = next((data[name] for name in ("click", "open") if isinstance(data.get(name), dict)), None)
    said = _diagnosis(inside(trouble, "diagnosticCode"))
    kind = _type_of(word, trouble)
    return Happened(
        key=key_of(event_id, address),
        type=kind,
        at=time_of(inside(visit, "timestamp")) or time_of(event.get("created_at")) or post.received_at,
        recipient=recipient_of(address),
        message_uuid=message_uuid_of(_tag(data.get("tags"), MESSAGE_UUID_NAME)),
        provider_message_id=text_of(data.get("email_id")),
        reason=first_text(said, inside(trouble, "message"), inside(trouble, "reason"), unknown(kind, word)),
        details=smtp_details(said)
        | present(
            classification=_classification(trouble),
            url=text_of(inside(visit, "link")),
            user_agent=text_of(inside(visit, "userAgent")),
            ip=text_of(inside(visit, "ipAddress")),
        ),
        raw=event,
    )


def _type_of(word: str, bounce: Any) -> FeedbackType:
    if word != "email.bounced":
        return _TYPES.get(word, FeedbackType.UNKNOWN)
    if "suppressed sending" in (text_of(inside(bounce, "message")) or ""):  # before there was `email.suppressed`
        return FeedbackType.REJECTED
    hard = text_of(inside(bounce, "type")) in (None, "Permanent")
    return FeedbackType.BOUNCED_HARD if hard else FeedbackType.BOUNCED_SOFT


def _classification(trouble: Any) -> str | None:
    words = [text_of(inside(trouble, name)) for name in ("type", "subType")]
    return "/".join(filter(None, words)) or text_of(inside(trouble, "reason"))


def _diagnosis(value: Any) -> str | None:
    """Older posts have a list of them, newer ones one."""
    return first_text(*value) if isinstance(value, list) else text_of(value)


def _tag(tags: Any, name: str) -> Any:
    """Tags come as an object; where they are sent they are a list of names and values."""
    if isinstance(tags, list):
        return next((inside(tag, "value") for tag in tags if inside(tag, "name") == name), None)
    return inside(tags, name)


READER = ResendReader()
