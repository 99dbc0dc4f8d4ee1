"""What a browser holds on its way in: the cookie of a session, and before it what says that the password was right."""

import hmac
import secrets
import uuid
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, Literal

from itsdangerous import BadSignature, TimestampSigner
from starlette.responses import Response

from janus_mail.accounts.access import address_of
from janus_mail.accounts.sessions import close_session
from janus_mail.gate.sign_in import begin_session
from janus_mail.pages import cookies
from janus_mail.pages.cookies import delete_cookie, read_cookie, set_cookie
from janus_mail.pages.rendering import go_to
from janus_mail.pages.visit import Arrival, our_path
from janus_mail.settings import Settings

SECOND_STEP_S: Final = 300
_SKEW_S: Final = 10  # by which the clocks of two servers may differ
_SEED_OCTETS: Final = 24
_ID_LENGTH: Final = 32  # in hexadecimal digits
# What was right: the password of somebody whose code is still to come, or the one that somebody has just chosen.
Step = Literal["second step", "registered"]


async def signed_in_answer(
    arrival: Arrival, user_id: uuid.UUID, path: str, *, password_digest: str | None = None
) -> Response:
    """For who has proved who they are, in all steps: a new session, and on to `path` if it is one of ours.

    Nothing from before is worth anything: the browser's old session is closed, its forms have to be loaded anew.
    `password_digest` is that of the password that was shown, where one was. Raises `Unauthorized` for who may not sign
    in, or whose password has been changed meanwhile.
    """
    request, context = arrival.request, arrival.context
    async with context.database.transaction() as connection:
        if arrival.session is not None:
            await close_session(connection, arrival.session.person.user_id, arrival.session.id)
        token = await begin_session(
            context, connection, user_id, address=address_of(request), password_digest=password_digest,
            user_agent=request.headers.get("user-agent", ""),
        )  # fmt: skip
    response = go_to(arrival, our_path(path))
    set_cookie(request, response, cookies.SESSION, token, max_age_s=context.settings.session_seconds)
    set_cookie(request, response, cookies.CSRF, secrets.token_urlsafe(_SEED_OCTETS))
    delete_cookie(request, response, cookies.HALF_SIGNED_IN)
    return response


def keep_step(
    arrival: Arrival, response: Response, step: Step, user_id: uuid.UUID, password_digest: str, *, lasts_s: int
) -> None:
    """That this browser's holder knows the password that this digest is of. It ends with the password."""
    # Of the same length for whomever.
    value = _signer(arrival.context.settings, step).sign(f"{user_id.hex}{_print_of(password_digest)}")
    set_cookie(arrival.request, response, cookies.HALF_SIGNED_IN, value.decode(), max_age_s=lasts_s)


def person_at(arrival: Arrival, step: Step, *, lasts_s: int) -> uuid.UUID | None:
    """Whose step the browser is at; none if at none, or for too long. `is_at` says whether it still counts."""
    read = _read(arrival, step, lasts_s)
    return read[0] if read is not None else None


def is_at(arrival: Arrival, step: Step, user_id: uuid.UUID, password_digest: str | None, *, lasts_s: int) -> bool:
    """Whether its holder has shown the password that is in force for this person."""
    read = _read(arrival, step, lasts_s)
    if read is None or password_digest is None:
        return False
    return read[0] == user_id and hmac.compare_digest(read[1], _print_of(password_digest))


def discreet(response: Response) -> Response:
    """For a page whose address is a secret: nobody is told it, and no copy is kept."""
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response


def _read(arrival: Arrival, step: Step, lasts_s: int) -> tuple[uuid.UUID, str] | None:
    value = read_cookie(arrival.request, cookies.HALF_SIGNED_IN)
    if value is None:
        return None
    try:
        signed, at = _signer(arrival.context.settings, step).unsign(value, return_timestamp=True)
        said = signed.decode("ascii")
        person = uuid.UUID(said[:_ID_LENGTH]), said[_ID_LENGTH:]
    except (BadSignature, ValueError):
        return None
    age_s = (datetime.now(UTC) - at).total_seconds()  # its own `max_age` takes nothing from a clock that is ahead
    return person if -_SKEW_S <= age_s <= lasts_s else None


def _signer(settings: Settings, step: Step) -> TimestampSigner:
    """Signed with the first of `JANUS_SECRET_KEYS`, checked with any; itsdangerous signs with the last of a list."""
    return TimestampSigner(
        list(reversed(settings.require_secret_keys())), salt=f"janus.pages.signing_in {step}", key_derivation="hmac",
        digest_method=sha256,
    )  # fmt: skip


def _print_of(password_digest: str) -> str:
    """Names a digest without telling it."""
    return sha256(password_digest.encode()).hexdigest()[:32]
