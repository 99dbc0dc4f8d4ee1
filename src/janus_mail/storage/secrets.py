"""Secrets at rest: JSON encrypted with the first of `JANUS_SECRET_KEYS`, read with any of them."""

from collections.abc import Sequence
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class UnreadableSecret(Exception):
    """None of the keys opens this value: a key was removed from `JANUS_SECRET_KEYS` too early."""


class SecretBox:
    """Encrypts a JSON object to bytes and back."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._newest = Fernet(keys[0])
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def seal(self, value: dict[str, Any]) -> bytes:
        return self._fernet.encrypt(orjson.dumps(value))

    def open(self, sealed: bytes) -> dict[str, Any]:
        """Raises `UnreadableSecret` when no key fits."""
        try:
            opened: dict[str, Any] = orjson.loads(self._fernet.decrypt(sealed))
        except InvalidToken:
            raise UnreadableSecret("a stored secret opens with none of JANUS_SECRET_KEYS") from None
        return opened

    def resealed(self, sealed: bytes) -> bytes | None:
        """The same under the first key; null where it is already. Raises `UnreadableSecret` when no key fits."""
        try:
            self._newest.decrypt(sealed)
        except InvalidToken:
            try:
                return self._fernet.rotate(sealed)
            except InvalidToken:
                raise UnreadableSecret("a stored secret opens with none of JANUS_SECRET_KEYS") from None
        return None
