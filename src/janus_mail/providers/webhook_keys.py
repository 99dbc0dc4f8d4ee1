"""What proves a service's posts: its keys, checked when they are entered. What was stored earlier is read as it is, so
that a provider with an odd one still sends."""

import base64
from binascii import Error as InvalidBase64
from typing import Annotated

from pydantic import AfterValidator, SecretStr, ValidationInfo

from janus_mail.providers.http_config import Secret


def _ecdsa_key(value: str | None, info: ValidationInfo) -> str | None:
    if not value or not _saving(info):
        return value
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    plain = value.split("-----")[2] if value.count("-----") >= 4 else value
    try:
        key = load_der_public_key(base64.b64decode("".join(plain.split()), validate=True))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("This is no public key of the curve P-256, in base64 or PEM: copy it as the service shows it.")
    return value


def _svix_secret(value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
    given = value.get_secret_value() if value is not None else ""
    if not given or not _saving(info):
        return value
    encoded = given.removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (InvalidBase64, ValueError):
        key = b""
    if not given.startswith("whsec_") or not key:
        raise ValueError("A signing secret is whsec_ and base64: copy it as the service shows it.")
    return value


def _rsa_certificate(value: str | None, info: ValidationInfo) -> str | None:
    if not value or not _saving(info):
        return value
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.x509 import InvalidVersion, load_pem_x509_certificate

    try:
        key = load_pem_x509_certificate(value.encode()).public_key()
    except (InvalidVersion, UnsupportedAlgorithm, TypeError, ValueError):
        key = None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("This is no certificate in PEM with an RSA key: copy all of it, with its first and last line.")
    return value


# Secp256r1, as base64 of its DER or as PEM.
EcdsaKey = Annotated[str | None, AfterValidator(_ecdsa_key)]
# `whsec_` and base64 of any length but none.
SvixSecret = Annotated[Secret, AfterValidator(_svix_secret)]
# X.509 in PEM.
RsaCertificate = Annotated[str | None, AfterValidator(_rsa_certificate)]


def _saving(info: ValidationInfo) -> bool:
    """What is stored already is taken as it is: it is told of when it is used."""
    return info.context is not None and not info.context.get("stored")
