"""What Amazon SNS does to a message: an envelope, signed with a key whose certificate is to be fetched."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from .hook_posts import NOW

TOPIC = "arn:aws:sns:eu-west-1:123456789012:mail"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem"
SUBSCRIBE_URL = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn&Token=2336412f37"
MESSAGE_ID = "19ba9823-d7f2-53c1-860e-cb10e0d13dfc"

SIGNED = {
    "Notification": ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
    "SubscriptionConfirmation": ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
    "UnsubscribeConfirmation": ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
}


@cache
def key(name: str = "sns") -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(of: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None) -> bytes:
    """PEM."""
    own = of or key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    builder = x509.CertificateBuilder(name, name, own.public_key(), x509.random_serial_number())
    now = datetime.now(UTC)
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    return builder.sign(own, hashes.SHA256()).public_bytes(Encoding.PEM)


def notification(message: Any, **changes: Any) -> dict[str, Any]:
    """The envelope of an event, or of a sentence; not signed yet."""
    return {
        "Type": "Notification",
        "MessageId": MESSAGE_ID,
        "TopicArn": TOPIC,
        "Message": message if isinstance(message, str) else json.dumps(message) + "\n",
        "Timestamp": "2026-03-01T12:00:00.000Z",
        "SigningCertURL": CERTIFICATE_URL,
        "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=arn",
    } | changes


def subscription(kind: str = "SubscriptionConfirmation", **changes: Any) -> dict[str, Any]:
    asked = {"Type": kind, "Token": "2336412f37", "SubscribeURL": SUBSCRIBE_URL}
    envelope = (
        notification("You have chosen to subscribe to the topic arn…\nTo confirm, visit the SubscribeURL.") | asked
    )
    return envelope | changes


def sign(envelope: Mapping[str, Any], version: str = "2", *, by: rsa.RSAPrivateKey | None = None) -> dict[str, Any]:
    names = [name for name in SIGNED.get(str(envelope.get("Type")), []) if envelope.get(name) is not None]
    text = "".join(f"{name}\n{envelope[name]}\n" for name in names)
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()
    signature = (by or key()).sign(text.encode(), padding.PKCS1v15(), algorithm)
    return {**envelope, "SignatureVersion": version, "Signature": base64.b64encode(signature).decode()}


def headers_of(envelope: Mapping[str, Any]) -> dict[str, str]:
    return {
        "content-type": "text/plain; charset=UTF-8",
        "x-amz-sns-message-type": str(envelope.get("Type")),
        "x-amz-sns-message-id": str(envelope.get("MessageId")),
        "x-amz-sns-topic-arn": str(envelope.get("TopicArn")),
    }


def stamp(late: timedelta) -> dict[str, str]:
    """The timestamp of an envelope made that long before now."""
    return {"Timestamp": (NOW - late).isoformat(timespec="milliseconds").replace("+00:00", "Z")}


@dataclass(frozen=True)
class Config:
    """As much of SES's settings as proves a post."""

    topic_arn: str | None = TOPIC
    signing_certificate: str | None = None


PINNED = Config(signing_certificate=certificate().decode())
