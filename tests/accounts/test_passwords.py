"""Passwords: which may be one, and that checking one costs the same whoever asks."""

import asyncio
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from janus_mail.errors import InvalidInput, TooManyRequests
from janus_mail.gate import passwords
from janus_mail.gate.passwords import check_new_password, check_password, digest_password, verify_password
from tests.accounts.counting import Counting
from tests.accounts.mailing import GOOD

LIST = Path(passwords.__file__).parent / "common_passwords.txt"


@pytest.fixture
def closed(counting: Counting) -> Iterator[Counting]:
    """Nothing is computed until the gate opens."""
    counting.gate.clear()
    yield counting
    counting.gate.set()


def test_in_production_argon2id_has_the_parameters_that_owasp_names() -> None:
    """The tests have a cheap one in its place, so the source is read."""
    source = Path(passwords.__file__).read_text()
    assert "Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1)" in source
    digest = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1),)).hash("x")
    assert digest.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_a_password_fits_its_digest_and_no_other_does() -> None:
    digest = await digest_password(GOOD)
    assert GOOD not in digest
    assert await verify_password(GOOD, digest)
    assert not await verify_password(GOOD + " ", digest)
    assert not await verify_password(GOOD, "no digest")


async def test_the_same_characters_typed_another_way_are_the_same_password() -> None:
    assert await verify_password(
        "ange\u0301lique tr\u00e8s t\u00f4t", await digest_password("ang\u00e9lique tre\u0300s to\u0302t")
    )


async def test_a_password_that_takes_long_to_bring_into_one_form_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks out of order are sorted in the square of their number: 400 kB would stop the process for a minute."""
    normal: list[int] = []

    def normalize(form: Literal["NFC", "NFD", "NFKC", "NFKD"], text: str) -> str:
        normal.append(len(text))
        return unicodedata.normalize(form, text)

    monkeypatch.setattr(passwords, "unicodedata", SimpleNamespace(normalize=normalize))
    marks = "\u0300\u0316" * 1_000
    assert not await verify_password(marks, await digest_password(GOOD))
    with pytest.raises(InvalidInput, match="at most 200"):
        check_new_password(marks, email="", name="")
    assert max(normal) <= 4 * passwords.MOST


async def test_nothing_fits_an_account_without_a_password() -> None:
    assert not await verify_password("", None)
    assert not await verify_password(GOOD, None)


async def test_it_costs_the_same_where_there_is_no_digest(counting: Counting) -> None:
    digest = await digest_password(GOOD)
    counting.computed = 0
    await verify_password("wrong password", digest)
    assert counting.computed == 1
    await verify_password("wrong password", None)
    assert counting.computed == 2


async def test_a_digest_of_other_parameters_is_renewed_by_a_right_password_alone(counting: Counting) -> None:
    old = PasswordHash((Argon2Hasher(2, 16, 1),)).hash(GOOD)
    checked = await check_password(GOOD, old)
    assert checked.fits
    assert checked.renewed is not None
    assert "m=8,t=1" in checked.renewed
    assert (await check_password("wrong password", old)).renewed is None
    assert (await check_password(GOOD, checked.renewed)).renewed is None


async def test_a_few_are_computed_at_once_and_who_comes_when_too_many_wait_is_told(
    closed: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_MOST_WAITING", 12)
    waiting = [asyncio.create_task(verify_password(GOOD, None)) for _ in range(12)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests):
        await verify_password(GOOD, None)
    closed.gate.set()
    assert await asyncio.gather(*waiting) == [False] * 12
    assert closed.most_at_once <= 4


@pytest.mark.parametrize(
    "password",
    [
        GOOD, "correct-horse-9-staples", "Jánusz wandert gern", "mara likes 12 figs", "漢字仮名交じり文の長い句",
        "1029384756 and so on", "x" * 100 + "abcdefghi" + "y" * 91,
    ],
    ids=["words", "signs", "beyond-ascii", "name-within", "kanji", "digits-first", "as-long-as-may-be"],
)  # fmt: skip
def test_a_password_that_is_hard_to_guess_may_be_one(password: str) -> None:
    check_new_password(password, email="mara@northwind.example", name="Mara Lind")


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("", "at least 10"),
        ("123456789", "at least 10"),
        ("ﬀﬀﬀﬀ", "at least 10"),  # eight characters when they are what they stand for
        ("ab" * 101, "at most 200"),
        ("aaaaaaaaaaaa", "same few"),
        ("abcabcabcabc", "same few"),
        ("1234567890", "Many people"),
        ("qwertyuiop", "Many people"),
        ("Password2024", "Many people"),
        ("PASSWORDPASSWORD", "Many people"),
        ("correct horse battery staple", "Many people"),
        ("iloveyou1234", "Many people"),
        ("janus-2026!", "your name"),
        ("Janus Janus Janus", "your name"),
        ("mara@northwind.example", "your name"),
        ("mara-1234567", "your name"),
        ("NORTHWIND-2026", "your name"),
        ("Mara Lind 1987", "your name"),
        ("lind_lind_lind", "your name"),
    ],
)
def test_a_password_that_is_soon_guessed_is_refused_with_what_to_do(password: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_new_password(password, email="mara@northwind.example", name="Mara Lind")
    assert says in refused.value.message
    assert refused.value.code == "weak_password"
    assert [detail.field for detail in refused.value.details] == ["password"]
    assert not password or password not in refused.value.message


def test_the_list_has_thousands_all_as_they_are_compared() -> None:
    entries = LIST.read_text("utf-8").splitlines()
    assert len(entries) > 5_000
    assert entries == sorted(set(entries))
    assert all(len(entry) >= passwords.LEAST and entry == entry.casefold() for entry in entries)
