"""What proves a service's posts is checked when it is entered, and read as it is when it was stored before."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from janus_mail.providers.registry import adapter_for, validate_config


def public_key(curve: ec.EllipticCurve, encoding: Encoding = Encoding.DER) -> str:
    key = ec.generate_private_key(curve).public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    return key.decode() if encoding is Encoding.PEM else base64.b64encode(key).decode()


def certificate(key: CertificateIssuerPrivateKeyTypes) -> str:
    name, now = x509.Name([]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


SENDGRID = {"api_key": "SG.abc"}
RESEND = {"api_key": "re_abc"}
SES = {"region": "eu-west-1", "access_key_id": "AKIA", "secret_access_key": "secret"}
GOOD: list[tuple[str, dict[str, Any]]] = [
    ("sendgrid", {**SENDGRID, "webhook_public_key": public_key(ec.SECP256R1())}),
    ("sendgrid", {**SENDGRID, "webhook_public_key": public_key(ec.SECP256R1(), Encoding.PEM)}),
    ("sendgrid", {**SENDGRID, "webhook_public_key": None}),
    ("resend", {**RESEND, "webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}),
    ("resend", {**RESEND, "webhook_secret": "whsec_MfKQ9r8GKYqrTwjU"}),
    ("ses", {**SES, "signing_certificate": certificate(rsa.generate_private_key(65537, 2048))}),
]
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("sendgrid", {**SENDGRID, "webhook_public_key": "x"}, "no public key"),
    ("sendgrid", {**SENDGRID, "webhook_public_key": "AAAA"}, "no public key"),
    ("sendgrid", {**SENDGRID, "webhook_public_key": public_key(ec.SECP384R1())}, "P-256"),
    ("resend", {**RESEND, "webhook_secret": "MfKQ9r8GKYqrTwjU"}, "whsec_"),
    ("resend", {**RESEND, "webhook_secret": "whsec_"}, "whsec_"),
    ("resend", {**RESEND, "webhook_secret": "whsec_*"}, "whsec_"),
    ("ses", {**SES, "signing_certificate": "x"}, "no certificate"),
    ("ses", {**SES, "signing_certificate": certificate(ec.generate_private_key(ec.SECP256R1()))}, "RSA"),
    ("ses", {**SES, "topic_arn": "janus"}, "pattern"),
]


@pytest.mark.parametrize(("kind", "config"), GOOD)
def test_a_good_key_is_stored_as_it_came(kind: str, config: dict[str, Any]) -> None:
    assert validate_config(kind, config) == config


@pytest.mark.parametrize(("kind", "config", "said"), BAD)
def test_what_is_no_key_is_refused_when_it_is_entered(kind: str, config: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        validate_config(kind, config)


@pytest.mark.parametrize(("kind", "config"), [(kind, config) for kind, config, _ in BAD if kind != "ses"])
def test_a_provider_that_was_stored_with_an_odd_key_still_sends(kind: str, config: dict[str, Any]) -> None:
    adapter_for(kind, config)
