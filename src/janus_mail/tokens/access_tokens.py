"""Access tokens of people: short-lived JWTs (RFC 9068), signed with keys made from `JANUS_SECRET_KEYS`."""

import base64
import hashlib
import time
import uuid
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from janus_mail.accounts.callers import Caller, Person
from janus_mail.models.states import ActorKind, Role
from janus_mail.tokens import queries
from janus_mail.web.context import Context

_ALGORITHM: Final = "HS256"
_TYPE: Final = "at+jwt"
_ISSUER: Final = "janus"
_AUDIENCE: Final = "janus-api"
_REQUIRED: Final = ("exp", "iat", "iss", "aud", "sub", "jti", "workspace", "family")
_SKEW_S: Final = 10  # by which the clocks of two servers may differ
_LONGEST: Final = 2_000  # ours have some 500 characters


def looks_like_one(token: str) -> bool:
    """Three parts with points between them, and no API key."""
    return token.count(".") == 2


def issue_access_token(
    secret_keys: Sequence[str], *, user_id: uuid.UUID, workspace_id: uuid.UUID, family_id: uuid.UUID, lasts_s: int
) -> str:
    """Signed with the first key, whose name is its `kid`."""
    kid, key = next(iter(_signing_keys(tuple(secret_keys)).items()))
    now = int(time.time())
    claims = {
        "iss": _ISSUER, "aud": _AUDIENCE, "sub": str(user_id), "workspace": str(workspace_id),
        "family": str(family_id), "iat": now, "exp": now + lasts_s, "jti": str(uuid.uuid4()),
    }  # fmt: skip
    return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"kid": kid, "typ": _TYPE})


async def prove_access_token(context: Context, token: str, *, address: str) -> Caller | None:
    """Who shows it, as what they are in its workspace now; none if it is forged, expired or revoked."""
    claims = _read(token, context.settings.require_secret_keys())
    if claims is None:
        return None
    user_id, workspace_id, family_id = claims
    row = await context.database.pool.fetchrow(queries.PROVE_ACCESS, user_id, workspace_id, family_id)
    if row is None:
        return None
    person = Person(
        user_id=user_id, email=row["email"], name=row["name"], administrator=row["administrator"]
    )  # fmt: skip
    return Caller(
        workspace_id=workspace_id, workspace_name=row["workspace_name"], kind=ActorKind.USER, label=person.email,
        address=address, role=Role(row["role"]), person=person,
    )  # fmt: skip


def _read(token: str, secret_keys: tuple[str, ...]) -> tuple[uuid.UUID, uuid.UUID, uuid.UUID] | None:
    """User, workspace and family; none if it is not ours, or no longer."""
    if len(token) > _LONGEST:
        return None
    try:
        header = jwt.get_unverified_header(token)
        key = _signing_keys(secret_keys).get(str(header.get("kid")))
        if key is None or header.get("typ") != _TYPE:
            return None
        claims = jwt.decode(
            token, key, algorithms=[_ALGORITHM], audience=_AUDIENCE, issuer=_ISSUER, leeway=_SKEW_S,
            options={"require": list(_REQUIRED)},
        )  # fmt: skip
        return uuid.UUID(claims["sub"]), uuid.UUID(claims["workspace"]), uuid.UUID(claims["family"])
    except (jwt.InvalidTokenError, ValueError, AttributeError, TypeError, RecursionError):  # the last of older PyJWT
        return None


@lru_cache(maxsize=4)
def _signing_keys(secret_keys: tuple[str, ...]) -> dict[str, bytes]:
    """By `kid`, the newest first. Made from the secret keys and not those themselves, which also encrypt."""
    made = {}
    for secret in secret_keys:
        key = HKDF(hashes.SHA256(), 32, salt=None, info=b"janus access token").derive(base64.urlsafe_b64decode(secret))
        made[hashlib.sha256(b"kid" + key).hexdigest()[:16]] = key
    return made
