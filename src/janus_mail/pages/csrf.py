"""Forms that only our own pages can send: a random cookie, and the same value signed in each form (double submit).

What is signed also names the session: a token from before a sign-in is worth nothing after it (OWASP's cheat sheet on
CSRF, «Signed double-submit cookie»).
"""

import hmac
from collections.abc import Sequence
from hashlib import sha256

from itsdangerous import BadSignature, Signer

FIELD = "csrf_token"


class CsrfGuard:
    """Makes and checks the tokens. Signed with the first of `JANUS_SECRET_KEYS`, checked with any."""

    def __init__(self, keys: Sequence[str]) -> None:
        # itsdangerous signs with the last of a list.
        self._signer = Signer(
            list(reversed(keys)), salt="janus.pages.csrf", key_derivation="hmac", digest_method=sha256
        )

    def token(self, seed: str, session: str = "") -> str:
        """What the form carries; `seed` is the cookie's value, `session` the session's id."""
        return self._signer.sign(_bound(seed, session)).decode()

    def fits(self, seed: str | None, token: object, session: str = "") -> bool:
        """Whether a form with `token` came from a page that we made for the holder of the cookie in this session."""
        if not seed or not isinstance(token, str):
            return False
        try:
            signed = self._signer.unsign(token)
        except BadSignature:
            return False
        return hmac.compare_digest(signed, _bound(seed, session).encode())


def _bound(seed: str, session: str) -> str:
    return f"{seed}/{session}"
