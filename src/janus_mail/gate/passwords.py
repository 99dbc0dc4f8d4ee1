"""Passwords: argon2id with OWASP's parameters, in threads and a few at once; and which are too easy to guess."""

import asyncio
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, TypeVar

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

from janus_mail.errors import Detail, InvalidInput, TooManyRequests

LEAST: Final = 10  # characters
MOST: Final = 200
_MOST_TYPED: Final = 4 * MOST  # before they are normal: «e» and an accent may be two
_LEAST_DIFFERENT: Final = 4
_AT_ONCE: Final = 4  # computations: each takes 19 MiB and a core
_MOST_WAITING: Final = 200  # some seconds of them; who comes then is better told than kept waiting
_SHORTEST_WORD: Final = 3  # of a name or an address that a password may not be made of

# The OWASP Password Storage Cheat Sheet: argon2id, 19 MiB, 2 iterations, 1 lane.
hasher: PasswordHash = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1),))

T = TypeVar("T")
_threads: Final = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="password")  # they start when there is work
_waiting: Final[set[object]] = set()


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether a password fits; `renewed` is its digest under today's parameters where the stored one has others."""

    fits: bool
    renewed: str | None = None


async def digest_password(password: str) -> str:
    """In argon2's own format. Raises `TooManyRequests` where too many wait for theirs."""
    given = _octets(password)
    return await _in_thread(lambda: hasher.hash(given))


async def verify_password(password: str, digest: str | None) -> bool:
    """Takes as long where there is no digest. Raises `TooManyRequests` where too many wait for theirs."""
    return (await check_password(password, digest)).fits


async def check_password(password: str, digest: str | None) -> Checked:
    """As `verify_password`, and says whether the digest is to be renewed."""
    given = _octets(password)
    return await _in_thread(lambda: _check(given, digest))


def check_new_password(password: str, *, email: str, name: str) -> None:
    """Raises `InvalidInput` (`weak_password`) with a sentence that says what to do."""
    normal = _normal(password)
    if len(normal) < LEAST:
        raise _weak(f"Use at least {LEAST} characters: three or four words in a row are easy to keep in mind.")
    if len(normal) > MOST:
        raise _weak(f"Use at most {MOST} characters.")
    plain = normal.casefold()
    if len(set(plain)) < _LEAST_DIFFERENT:
        raise _weak("These are the same few characters again and again: use others.")
    if plain in _common() or plain.replace(" ", "") in _common():
        raise _weak("Many people use this password, so it is among the first that are tried: use another.")
    letters = re.sub(r"[\W\d_]+", "", plain)
    if any(_is_made_of(letters, word) or plain == said.casefold() for word, said in _own_words(email, name)):
        raise _weak("This is your name, your address or ours with little besides: use something else.")


def _check(given: bytes, digest: str | None) -> Checked:
    current = hasher
    try:
        return Checked(*current.verify_and_update(given, digest or _nobodys(current)))
    except UnknownHashError:
        return Checked(False)


@lru_cache(maxsize=2)
def _nobodys(current: PasswordHash) -> str:
    """A digest that nothing fits, as costly to check as any."""
    return current.hash(secrets.token_bytes(32))


async def _in_thread(work: Callable[[], T]) -> T:
    if len(_waiting) >= _MOST_WAITING:
        raise TooManyRequests("Many people sign in just now. Try again in a few seconds.", retry_after_s=5)
    place = object()
    _waiting.add(place)
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads, work)
    finally:
        _waiting.discard(place)


def _octets(password: str) -> bytes:
    return _normal(password).encode("utf-8", "surrogatepass")


def _normal(password: str) -> str:
    """The same for all ways to type the same characters (NFKC, as NIST SP 800-63B section 3.1.1.2 asks).

    What is longer than any password stays as it is: marks out of order are sorted in time that grows with the square of
    their number, so that some hundred kilobytes of them would hold up the whole process.
    """
    return unicodedata.normalize("NFKC", password) if len(password) <= _MOST_TYPED else password


def _own_words(email: str, name: str) -> Iterator[tuple[str, str]]:
    """Each in letters alone, and as it was said."""
    local, _, domain = email.rpartition("@")
    for said in ("janus", "janusmail", email, local, domain, domain.partition(".")[0], name, *name.split()):
        letters = re.sub(r"[\W\d_]+", "", unicodedata.normalize("NFKC", said).casefold())
        if len(letters) >= _SHORTEST_WORD:
            yield letters, said


def _is_made_of(letters: str, word: str) -> bool:
    """Once or several times, with nothing else."""
    return len(letters) > 0 and not letters.replace(word, "")


@cache
def _common() -> frozenset[str]:
    return frozenset((Path(__file__).parent / "common_passwords.txt").read_text("utf-8").split("\n"))


def _weak(sentence: str) -> InvalidInput:
    return InvalidInput(sentence, code="weak_password", details=[Detail("password", sentence)])
