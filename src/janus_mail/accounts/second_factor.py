"""The second factor: codes of an app (TOTP, RFC 6238), and recovery codes that stand in for them, each once."""

import base64
import hashlib
import hmac
import logging
import secrets as randomness
import time
import uuid
from dataclasses import dataclass
from typing import Final

import pyotp
import segno
from uuid_utils.compat import uuid7

from janus_mail.accounts import queries_account as queries
from janus_mail.audit.record import Actor, record
from janus_mail.errors import Conflict, Detail, InvalidInput, NotFound
from janus_mail.storage.database import Connection
from janus_mail.storage.secrets import SecretBox, UnreadableSecret
from janus_mail.web.context import Context
from janus_mail.web.rate_limits import charge

ISSUER: Final = "Janus"
RECOVERY_CODES: Final = 10

_log = logging.getLogger(__name__)

_STEP_S: Final = 30
_STEPS_OFF: Final = (-1, 0, 1)  # a clock may be wrong by so many, and a code takes its time to be typed
_RECOVERY_OCTETS: Final = 15  # 120 bits, 24 letters (OWASP ASVS 2.6.2: at least 112 bits)
_GROUP: Final = 4
_LONGEST: Final = 100  # of what is typed
# A wrong code is one of a million, three of which are right: so many tries would take years.
_TRIES: Final = 10
_TRIES_PER_S: Final = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What an app is to be told: `qr` is a picture as a data address, `secret` the same to be typed."""

    secret: str
    qr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Whether a second factor is in force, or waits for its first code; how many recovery codes are left."""

    in_force: bool
    pending: bool
    codes_left: int


async def take_code(connection: Connection, secrets: SecretBox, user_id: uuid.UUID, code: str) -> bool:
    """Whether this is a code of the app that was not used yet, or an unused recovery code; it is used up by this.

    Blanks, hyphens and case do not matter. Whoever calls bounds the tries: see `prove_code`.
    """
    typed = _plain(code)
    row = await connection.fetchrow(queries.SECOND_FACTOR, user_id)
    if row is None or row["totp_since"] is None:
        return False
    step = _step_of(secrets, row["totp_secret"], typed)
    if step is not None:
        return await connection.fetchval(queries.TAKE_STEP, user_id, step) is not None
    digest, found = _digest(typed), None
    for one in await connection.fetch(queries.RECOVERY_CODES_LEFT, user_id):
        if hmac.compare_digest(one["digest"], digest):
            found = one["id"]
    return found is not None and await connection.fetchval(queries.TAKE_RECOVERY_CODE, user_id, found) is not None


async def prove_code(context: Context, user_id: uuid.UUID, code: str) -> bool:
    """The same with bounded tries, in a transaction of its own, so that a code is used up whatever follows.

    Raises `TooManyRequests`.
    """
    await charge(context, f"second-factor:{user_id}", _TRIES, _TRIES_PER_S)
    async with context.database.transaction() as connection:
        return await take_code(connection, context.secrets, user_id, code)


async def standing(connection: Connection, user_id: uuid.UUID) -> Standing:
    """Raises `NotFound`."""
    row = await connection.fetchrow(queries.SECOND_FACTOR, user_id)
    if row is None:
        raise NotFound("This account is gone.")
    left = len(await connection.fetch(queries.RECOVERY_CODES_LEFT, user_id))
    in_force = row["totp_since"] is not None
    return Standing(in_force=in_force, pending=row["totp_secret"] is not None and not in_force, codes_left=left)


async def begin(connection: Connection, secrets: SecretBox, user_id: uuid.UUID) -> None:
    """Make a new secret, which is in force once a code of it was seen. Raises `Conflict` where one is in force."""
    sealed = secrets.seal({"totp": pyotp.random_base32()})
    if await connection.fetchval(queries.BEGIN_SECOND_FACTOR, user_id, sealed) is None:
        raise Conflict("A second factor is in force already. Switch it off first.")


async def pending(connection: Connection, secrets: SecretBox, user_id: uuid.UUID, email: str) -> Pending | None:
    """What the app is to be told; none where nothing waits for its first code."""
    row = await connection.fetchrow(queries.SECOND_FACTOR, user_id)
    if row is None or row["totp_secret"] is None or row["totp_since"] is not None:
        return None
    secret = secrets.open(row["totp_secret"])["totp"]
    uri = pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER)
    # White around it and black within, whatever the colours of the page: else cameras do not find it.
    qr = segno.make(uri, error="m", micro=False).svg_data_uri(scale=4, border=4, dark="#000", light="#fff")
    return Pending(secret=" ".join(_groups(secret)), qr=qr)


async def confirm(connection: Connection, secrets: SecretBox, actor: Actor, user_id: uuid.UUID, code: str) -> list[str]:
    """From now on signing in needs a code. The recovery codes, this once.

    Raises `InvalidInput` (`wrong_code`), `Conflict` where nothing waits.
    """
    row = await connection.fetchrow(queries.SECOND_FACTOR, user_id)
    if row is None or row["totp_secret"] is None or row["totp_since"] is not None:
        raise Conflict("No second factor waits for its first code.")
    step = _step_of(secrets, row["totp_secret"], _plain(code))
    confirmed = None
    if step is not None:  # the very secret that was read: in another tab there may be a newer one
        confirmed = await connection.fetchval(queries.CONFIRM_SECOND_FACTOR, user_id, step, row["totp_secret"])
    if confirmed is None:
        sentence = "This is not the code that the app shows now. Is the clock of the phone right?"
        raise InvalidInput(sentence, code="wrong_code", details=[Detail("code", sentence)])
    codes = await _make_codes(connection, user_id)
    await record(connection, actor, "second_factor.switched_on", "user", user_id, workspace_id=None, name=actor.label)
    return codes


async def renew_codes(connection: Connection, actor: Actor, user_id: uuid.UUID) -> list[str]:
    """New recovery codes, this once; the old ones are worth nothing. Raises `Conflict` without a second factor."""
    row = await connection.fetchrow(queries.SECOND_FACTOR, user_id)
    if row is None or row["totp_since"] is None:
        raise Conflict("There is no second factor.")
    codes = await _make_codes(connection, user_id)
    await record(connection, actor, "second_factor.codes_renewed", "user", user_id, workspace_id=None, name=actor.label)
    return codes


async def switch_off(connection: Connection, actor: Actor, user_id: uuid.UUID, *, name: str) -> None:
    """Signing in needs a password alone. Whoever calls has seen password and code, or is an administrator."""
    await connection.execute(queries.FORGET_SECOND_FACTOR, user_id)
    await connection.execute(queries.FORGET_RECOVERY_CODES, user_id)
    await record(connection, actor, "second_factor.switched_off", "user", user_id, workspace_id=None, name=name)


async def _make_codes(connection: Connection, user_id: uuid.UUID) -> list[str]:
    await connection.execute(queries.FORGET_RECOVERY_CODES, user_id)
    codes = [base64.b32encode(randomness.token_bytes(_RECOVERY_OCTETS)).decode().lower() for _ in range(RECOVERY_CODES)]
    await connection.execute(
        queries.INSERT_RECOVERY_CODES, user_id, [uuid7() for _ in codes], [_digest(code) for code in codes]
    )
    return ["-".join(_groups(code)) for code in codes]


def _step_of(secrets: SecretBox, sealed: bytes, typed: str) -> int | None:
    """The newest step whose code this is; all are looked at, whichever fits. None where its key is gone: then a
    recovery code helps."""
    try:
        codes = pyotp.TOTP(secrets.open(sealed)["totp"], interval=_STEP_S)
    except UnreadableSecret as error:
        _log.error("%s", error)
        return None
    now, found = int(time.time()) // _STEP_S, None
    for off in _STEPS_OFF:
        if hmac.compare_digest(codes.generate_otp(now + off).encode(), typed.encode("utf-8", "surrogatepass")):
            found = now + off
    return found


def _plain(code: str) -> str:
    return "".join(code[:_LONGEST].split()).replace("-", "").lower()


def _groups(letters: str) -> list[str]:
    return [letters[start : start + _GROUP] for start in range(0, len(letters), _GROUP)]


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).digest()
