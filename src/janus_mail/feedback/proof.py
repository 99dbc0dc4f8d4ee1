"""What the readers' checks have in common: keys that must be there, comparing in constant time, age."""

import base64
import hmac
from datetime import datetime, timedelta

from pydantic import SecretStr

from janus_mail.feedback.reader import Forged, NotSetUp, Post

AHEAD = timedelta(minutes=5)  # how far a service's clock may be before ours


def key_in(secret: SecretStr | None, what: str) -> bytes:
    """The key as bytes; `what` names it with its article. Raises `NotSetUp` where there is none."""
    key = secret.get_secret_value().strip() if secret is not None else ""
    if not key:
        raise NotSetUp(f"Enter {what} in the provider's settings first.")
    return key.encode()


def check_signature(true: str, *said: str | None) -> None:
    """Raises `Forged` unless one of those that came is the true one. Compares in constant time."""
    given = [signature.encode("utf-8", "replace") for signature in said if signature]
    if not given:
        raise Forged("signature_missing", "The post has no signature.")
    if not any(hmac.compare_digest(signature, true.encode()) for signature in given):
        raise Forged("signature_wrong", "The signature is not what the provider's key gives.")


def check_age(signed_at: datetime | None, post: Post, oldest: timedelta) -> None:
    """Raises `Forged` where it was signed longer ago, further ahead than clocks differ, or at no time that is known."""
    if signed_at is None:
        raise Forged("signature_undated", "The post does not say when it was signed.")
    if post.received_at - signed_at > oldest:
        raise Forged("signature_too_old", "The post was signed too long ago.")
    if signed_at - post.received_at > AHEAD:
        raise Forged("signature_ahead", "The post was signed in the future; compare the clocks.")


def check_password(password: SecretStr | None, post: Post) -> None:
    """For services that sign nothing: the token in the address is what proves them, and the password where one is set,
    as that of HTTP Basic or as a Bearer token (RFC 7617, 6750). Raises `Forged`."""
    expected = password.get_secret_value() if password is not None else ""
    if not expected:
        return
    scheme, _, credentials = post.headers.get("authorization", "").partition(" ")
    given = credentials.strip()
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except ValueError:
            given = ""
    elif scheme.lower() != "bearer":
        raise Forged("password_missing", "The post has no password, as HTTP Basic or Bearer.")
    if not hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode()):
        raise Forged("password_wrong", "The password of the post is not the one in the provider's settings.")
