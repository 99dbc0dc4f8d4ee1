"""Forms that only our own pages can send: a random cookie, and the same value signed in each form (double submit).

What is signed also names the session: a token from before a sign-in is worth nothing after it (OWASP's cheat sheet on
CSRF, «Signed double-submit cookie»). And the workspace that the page showed: what is pressed in an old tab must not
happen in another one, to which somebody has switched meanwhile.
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

    def token(self, seed: str, session: str = "", workspace: str = "") -> str:
        """What the form carries; `seed` is the cookie's value, the others are ids."""
        return self._signer.sign(_bound(seed, session, workspace)).decode()

    def fits(self, seed: str | None, token: object, session: str = "", workspace: str | None = None) -> bool:
        """Whether a form with `token` came from a page that we made for the holder of the cookie in this session, and
        that showed this workspace; null: whichever."""
        if not seed or not isinstance(token, str):
            return False
        try:
            signed = self._signer.unsign(token)
        except BadSignature:
            return False
        if workspace is None:
            workspace = signed.rpartition(b"/")[2].decode()
        return hmac.compare_digest(signed, _bound(seed, session, workspace).encode())


def _bound(seed: str, session: str, workspace: str) -> str:
    return f"{seed}/{session}/{workspace}"
