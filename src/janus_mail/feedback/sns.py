"""Amazon SNS, which brings SES's feedback: its envelope, whose signature proves it, and its addresses.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import asyncio
import base64
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpcore
from cachetools import LRUCache
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import InvalidVersion, load_pem_x509_certificate

from janus_mail.feedback.reader import Forged, NotNow
from janus_mail.providers.http_network import HttpNetwork
from janus_mail.providers.network import PUBLIC
from janus_mail.providers.outcomes import ProviderBroken

TIMEOUT_S = 10.0  # SNS waits 15 s for our answer
MAX_ANSWER_BYTES = 64 * 1024
MAX_CERTIFICATES = 32

NOTIFICATION = "Notification"
SUBSCRIPTION = "SubscriptionConfirmation"
UNSUBSCRIPTION = "UnsubscribeConfirmation"

Load = Callable[[str], Awaitable[bytes]]

_HOST = re.compile(r"sns\.[a-z]{2}(-[a-z]+)+-\d\.amazonaws\.com(\.cn)?", re.ASCII)  # its regions, and no bucket
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9a-f]+\.pem", re.ASCII)

_CONFIRMATION_FIELDS = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED_FIELDS = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    SUBSCRIPTION: _CONFIRMATION_FIELDS,
    UNSUBSCRIPTION: _CONFIRMATION_FIELDS,
}
_MAY_BE_MISSING = "Subject"

_HASHES: dict[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303  # SNS's default is 1


class Unreachable(Exception):
    """SNS did not give what was asked for: `status` is its answer's, None where there was none."""

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status


def is_address(url: object) -> bool:
    """Whether it leads to SNS and nowhere else: https, the host as AWS names them, no user, no port of its own."""
    return _parts(url) is not None


def is_certificate_address(url: object) -> bool:
    """Whether SNS itself keeps a certificate there. With a query SNS answers what others have stored with it."""
    parts = _parts(url)
    return parts is not None and "?" not in str(url) and _CERTIFICATE.fullmatch(parts.path) is not None


def _parts(url: object) -> SplitResult | None:
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url or "#" in url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    ours = parts.scheme == "https" and _HOST.fullmatch(parts.netloc.removesuffix(":443")) is not None
    return parts if ours else None


async def fetch(
    url: str, *, network: httpcore.AsyncNetworkBackend | None = None, tls: ssl.SSLContext | None = None
) -> bytes:
    """GET an address that `is_address`, from a public one (or through `network`); redirects are not followed. Raises
    `Unreachable`."""
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            httpcore.AsyncConnectionPool(
                ssl_context=tls or ssl.create_default_context(), network_backend=network or HttpNetwork(PUBLIC)
            ) as pool,
            pool.stream("GET", url, headers={"User-Agent": "janus-mail"}) as response,
        ):
            body = bytearray()
            async for chunk in response.aiter_stream():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise Unreachable("SNS's answer is too long.", response.status)
    except TimeoutError:
        raise Unreachable(f"SNS did not answer within {TIMEOUT_S:g} s.") from None
    except ProviderBroken:
        raise Unreachable("SNS cannot be reached: its name leads to an address that is not public.") from None
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
        raise Unreachable(f"SNS cannot be reached: {error}") from None
    if response.status != 200:
        raise Unreachable(f"SNS answered {response.status}.", response.status)
    return bytes(body)


class Certificates:
    """The keys of SNS's signing certificates, each fetched once, by address."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._keys: LRUCache[str, RSAPublicKey] = LRUCache(MAX_CERTIFICATES)
        self._under_way: dict[str, asyncio.Task[bytes]] = {}

    async def key_at(self, url: object) -> RSAPublicKey:
        """Raises `Forged` for an address that is not SNS's, `NotNow` while it gives no certificate."""
        if not isinstance(url, str) or not is_certificate_address(url):
            raise Forged("certificate_not_of_sns", "The address of the signing certificate is not one of Amazon SNS.")
        key = self._keys.get(url)
        if key is None:
            try:
                key = self._keys[url] = key_in_certificate(await self._fetched(url))
            except Unreachable as error:
                if error.status in (403, 404):
                    raise Forged("certificate_not_of_sns", "Amazon SNS has no such signing certificate.") from None
                raise NotNow(f"The signing certificate cannot be fetched. {error}") from None
            except ValueError:
                raise NotNow("What was fetched as the signing certificate is none.") from None
        return key

    async def _fetched(self, url: str) -> bytes:
        """All who ask meanwhile wait for the same."""
        task = self._under_way.get(url)
        if task is None:
            task = self._under_way[url] = asyncio.ensure_future(self._load(url))
            task.add_done_callback(lambda _: self._under_way.pop(url, None))
        return await asyncio.shield(task)


def key_in_certificate(pem: bytes) -> RSAPublicKey:
    """Raises ValueError."""
    try:
        key = load_pem_x509_certificate(pem).public_key()
    except (InvalidVersion, UnsupportedAlgorithm, TypeError) as error:
        raise ValueError(str(error)) from None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("Its key is not an RSA one.")
    return key


def check_signature(envelope: Mapping[str, Any], key: RSAPublicKey) -> None:
    """Raises `Forged` unless the envelope was signed with that key's other half."""
    signed, signature = _signed_text(envelope), envelope.get("Signature")
    algorithm = _HASHES.get(str(envelope.get("SignatureVersion")))
    if not isinstance(signature, str) or algorithm is None:
        raise Forged("signature_missing", "The post has no signature of version 1 or 2.")
    try:
        key.verify(base64.b64decode(signature, validate=True), signed.encode(), padding.PKCS1v15(), algorithm)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        raise Forged("signature_wrong", "The signature is not Amazon SNS's.") from None


def _signed_text(envelope: Mapping[str, Any]) -> str:
    """What the signature is over. Raises `Forged` where a field of it is missing."""
    names = _SIGNED_FIELDS.get(str(envelope.get("Type")))
    if names is None:
        raise Forged("not_an_envelope", "The post is none of the envelopes of Amazon SNS.")
    signed = []
    for name in names:
        value = envelope.get(name)
        if value is None and name == _MAY_BE_MISSING:
            continue
        if not isinstance(value, str):
            raise Forged("not_an_envelope", f"The post is not an envelope of Amazon SNS: it has no {name}.")
        signed.append(f"{name}\n{value}\n")
    return "".join(signed)
