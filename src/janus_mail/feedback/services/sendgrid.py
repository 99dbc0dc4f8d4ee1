"""SendGrid's Event Webhook: batches of flat events, signed with a key whose other half stands in the settings.
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from janus_mail.feedback.proof import check_age
from janus_mail.feedback.reader import Forged, Happened, NotSetUp, Post, Reader
from janus_mail.feedback.values import (
    MESSAGE_UUID_NAME,
    Object,
    digest_of,
    events_among,
    first_text,
    key_of,
    message_uuid_of,
    parse_json,
    present,
    recipient_of,
    smtp_details,
    text_of,
    time_of,
    whole_number_of,
)
from janus_mail.models.states import FeedbackType
from janus_mail.providers.sendgrid import SendGridConfig

SIGNATURE: Final = "x-twilio-email-event-webhook-signature"
TIMESTAMP: Final = "x-twilio-email-event-webhook-timestamp"

# A post is repeated for 24 hours, and nothing says that it is signed anew. One that is replayed has no effect: each
# event counts once.
_OLDEST: Final = timedelta(hours=25)

_TYPES: Final[Mapping[str, FeedbackType]] = {
    "processed": FeedbackType.QUEUED,
    "deferred": FeedbackType.DEFERRED,
    "delivered": FeedbackType.DELIVERED,
    "bounce": FeedbackType.BOUNCED_HARD,
    "dropped": FeedbackType.REJECTED,
    "open": FeedbackType.OPENED,
    "click": FeedbackType.CLICKED,
    "spamreport": FeedbackType.COMPLAINED,
    "unsubscribe": FeedbackType.UNSUBSCRIBED,
    "group_unsubscribe": FeedbackType.UNSUBSCRIBED,
}
# Theirs → ours.
_DETAILS: Final[Mapping[str, str]] = {
    "url": "url", "useragent": "user_agent", "ip": "ip", "status": "status", "type": "type", "attempt": "attempt",
    "bounce_classification": "classification", "asm_group_id": "group", "sg_machine_open": "machine",
}  # fmt: skip


class SendGridReader(Reader):
    """One POST is a JSON array."""

    keeps = frozenset()

    async def verify(self, config: SendGridConfig, post: Post) -> None:
        if not config.webhook_public_key:
            raise NotSetUp(
                "Enter the verification key of SendGrid's Signed Event Webhook in the provider's settings first."
            )
        timestamp, signature = post.headers.get(TIMESTAMP, ""), post.headers.get(SIGNATURE, "")
        if not timestamp or not signature:
            raise Forged("signature_missing", "The post has no signature: switch on the Signed Event Webhook.")
        key = _public_key(config.webhook_public_key)
        try:
            # Nothing secret is compared here, so it need not take the same time whatever is given.
            key.verify(base64.b64decode(signature, validate=True), timestamp.encode() + post.body, ec.ECDSA(SHA256()))
        except (InvalidSignature, ValueError):
            raise Forged("signature_wrong", "The signature is not what SendGrid's key gives.") from None
        check_age(_signed_at(timestamp), post, _OLDEST)

    def read(self, post: Post) -> list[Happened]:
        return [_happened(event, post) for event in events_among(parse_json(post.body), "event")]


READER: Final[Reader] = SendGridReader()


def _happened(event: Object, post: Post) -> Happened:
    word = event["event"]
    kind = _TYPES.get(word, FeedbackType.UNKNOWN) if isinstance(word, str) else FeedbackType.UNKNOWN
    if kind is FeedbackType.BOUNCED_HARD and event.get("type") == "blocked":
        kind = FeedbackType.BOUNCED_SOFT
    event_id, message_id = text_of(event.get("sg_event_id")), text_of(event.get("sg_message_id"))
    reason = first_text(event.get("reason"), event.get("response"))
    return Happened(
        key=key_of(event_id) if event_id else digest_of(event),
        type=kind,
        at=time_of(event.get("timestamp")) or post.received_at,
        recipient=recipient_of(event.get("email")),
        message_uuid=message_uuid_of(event.get(MESSAGE_UUID_NAME)),
        # The mail's X-Message-Id, then a dot and by which machine it went.
        provider_message_id=message_id.partition(".")[0] if message_id else None,
        reason=reason,
        details=smtp_details(reason) | present(**{ours: event.get(theirs) for theirs, ours in _DETAILS.items()}),
        raw=event,
    )


def _signed_at(timestamp: str) -> datetime | None:
    seconds = whole_number_of(timestamp)
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
    except (OverflowError, OSError, ValueError):
        return None


@lru_cache(maxsize=1024)
def _public_key(given: str) -> ec.EllipticCurvePublicKey:
    """From base64 DER, or the same between the lines of PEM. Raises `NotSetUp`."""
    plain = given.split("-----")[2] if given.count("-----") >= 4 else given
    try:
        key = load_der_public_key(base64.b64decode("".join(plain.split()), validate=True))
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise NotSetUp("The verification key in the provider's settings is none: copy it as SendGrid shows it.")
    return key
