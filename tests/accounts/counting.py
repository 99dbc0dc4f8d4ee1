"""Argon2 that counts: what cannot be told apart costs the same number of computations."""

import threading

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from janus_mail.gate import passwords
from janus_mail.gate.passwords import verify_password


class Counting(Argon2Hasher):
    """The one of the tests, with how much it computes, and how much of it at once."""

    def __init__(self) -> None:
        super().__init__(1, 8, 1)
        self.computed = self.most_at_once = self._now = 0
        self._lock, self.gate = threading.Lock(), threading.Event()
        self.gate.set()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        with self._lock:
            self.computed += 1
        return super().hash(password, salt=salt)

    def verify(self, password: str | bytes, hash: str | bytes) -> bool:  # noqa: A002
        with self._lock:
            self.computed += 1
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        self.gate.wait(10)
        try:
            return super().verify(password, hash)
        finally:
            with self._lock:
                self._now -= 1


async def counting_from_now(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """In the place of the tests' own."""
    counting = Counting()
    monkeypatch.setattr(passwords, "hasher", PasswordHash((counting,)))
    await verify_password("warm", None)  # the digest that stands for none is made once
    counting.computed = counting.most_at_once = 0
    return counting
