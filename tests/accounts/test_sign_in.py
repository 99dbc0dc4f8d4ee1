"""Signing in: who may, who is stopped, and that nobody learns which addresses have an account."""

import asyncio
import uuid
from collections.abc import Awaitable
from typing import Any

import pytest
from fastapi import FastAPI
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from janus_mail.accounts.sessions import open_session
from janus_mail.errors import ApiError, TooManyRequests, Unauthorized
from janus_mail.gate.passwords import digest_password
from janus_mail.gate.sign_in import Proven, begin_session, prove_password
from janus_mail.storage.database import Database
from janus_mail.web.context import Context
from tests.accounts.counting import Counting
from tests.accounts.mailing import GOOD, set_up
from tests.people import add_person

EMAIL = "mara@example.com"
HOME, ELSEWHERE = "192.0.2.7", "198.51.100.1"
STATES = {
    "unknown": "DELETE FROM users",
    "unconfirmed": "UPDATE users SET confirmed_at = NULL",
    "disabled": "UPDATE users SET disabled_at = now()",
    "erased": "UPDATE users SET erased_at = now()",
    "without-password": "UPDATE users SET password_digest = NULL",
}


@pytest.fixture
async def user_id(database: Database) -> uuid.UUID:
    return await add_person(database, EMAIL, password_digest=await digest_password(GOOD))


@pytest.fixture
def context(app: FastAPI, user_id: uuid.UUID) -> Context:
    """Without limits."""
    found: Context = app.state.context
    return found


@pytest.fixture
def limited(app: FastAPI, user_id: uuid.UUID) -> Context:
    """Thirty tries from an address, ten for an account."""
    return set_up(app, {"rate_limit_sign_in": 30})


async def refusal(trying: Awaitable[Proven]) -> ApiError:
    with pytest.raises((Unauthorized, TooManyRequests)) as refused:
        await trying
    return refused.value


async def tries(context: Context, many: int, email: str, password: str, address: str) -> list[str]:
    """What each is answered, one after the other; a success by its name."""
    said = []
    for _ in range(many):
        try:
            await prove_password(context, email, password, address=address)
            said.append("in")
        except ApiError as error:
            said.append(error.code)
    return said


async def audited(database: Database) -> list[tuple[str, str, str | None]]:
    rows = await database.pool.fetch("SELECT action, actor, object FROM audit_log ORDER BY id")
    return [(row["action"], row["actor"], row["object"]) for row in rows]


@pytest.mark.parametrize("typed", [EMAIL, "  MARA@Example.COM ", "Mara@EXAMPLE.com"])
async def test_the_right_password_opens_however_the_address_is_written(
    context: Context, user_id: uuid.UUID, typed: str
) -> None:
    proven = await prove_password(context, typed, GOOD, address=HOME)
    assert (proven.user_id, proven.needs_code) == (user_id, False)


async def test_who_has_a_second_factor_is_told_that_it_is_needed(context: Context, database: Database) -> None:
    await database.pool.execute("UPDATE users SET totp_secret = 'x', totp_since = now()")
    assert (await prove_password(context, EMAIL, GOOD, address=HOME)).needs_code


async def test_a_domain_in_another_script_is_the_same_address(context: Context, database: Database) -> None:
    other = await add_person(database, "ann@xn--bcher-kva.example", password_digest=await digest_password(GOOD))
    assert (await prove_password(context, "ann@bücher.example", GOOD, address=HOME)).user_id == other


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("password", [GOOD, "another one"], ids=["right", "wrong"])
async def test_who_may_not_come_in_is_answered_as_with_a_wrong_password(
    context: Context, database: Database, counting: Counting, state: str, password: str
) -> None:
    wrong = await refusal(prove_password(context, EMAIL, "another one", address=HOME))
    assert counting.computed == 1
    await database.pool.execute(STATES[state])
    told = await refusal(prove_password(context, EMAIL, password, address=HOME))
    assert (told.status, told.code, told.message) == (wrong.status, wrong.code, wrong.message)
    assert (told.status, told.code) == (401, "invalid_credentials")
    assert counting.computed == 2


@pytest.mark.parametrize(
    "typed", ["", "\0", "x" * 60_000, "mara", "@", "mara@example.com\r\nBcc: x@y.example", "\ud800@x"]
)
async def test_what_is_no_address_is_refused_likewise(context: Context, counting: Counting, typed: str) -> None:
    assert (await refusal(prove_password(context, typed, GOOD, address=HOME))).code == "invalid_credentials"
    assert counting.computed == 1


async def test_every_refusal_is_in_the_audit_log_and_names_only_who_has_an_account(
    context: Context, database: Database, user_id: uuid.UUID
) -> None:
    await tries(context, 1, "Mara@example.com", "wrong password", HOME)
    await tries(context, 1, "my-password-by-mistake", "x", HOME)
    async with database.transaction() as connection:
        await begin_session(context, connection, user_id, address=HOME, user_agent="test")
    assert await audited(database) == [
        ("session.refused", EMAIL, EMAIL),
        ("session.refused", "somebody", None),
        ("session.begun", EMAIL, EMAIL),
    ]
    assert {row["address"] for row in await database.pool.fetch("SELECT address FROM audit_log")} == {HOME}


async def test_a_digest_of_other_parameters_is_renewed_when_its_person_comes(
    context: Context, database: Database
) -> None:
    old = PasswordHash((Argon2Hasher(2, 16, 1),)).hash(GOOD)
    await database.pool.execute("UPDATE users SET password_digest = $1", old)
    await tries(context, 1, EMAIL, "wrong password", HOME)
    assert await database.pool.fetchval("SELECT password_digest FROM users") == old
    proven = await prove_password(context, EMAIL, GOOD, address=HOME)
    assert proven.password_digest == await database.pool.fetchval("SELECT password_digest FROM users") != old
    assert await tries(context, 1, EMAIL, GOOD, HOME) == ["in"]


async def test_who_was_disabled_a_moment_ago_gets_no_session(context: Context, database: Database) -> None:
    proven = await prove_password(context, EMAIL, GOOD, address=HOME)
    await database.pool.execute(STATES["disabled"])
    with pytest.raises(Unauthorized):
        async with database.transaction() as connection:
            await begin_session(context, connection, proven.user_id, address=HOME, user_agent="")
    assert await database.pool.fetchval("SELECT count(*) FROM sessions") == 0


async def test_a_password_that_was_changed_a_moment_ago_begins_no_session(
    context: Context, database: Database, user_id: uuid.UUID
) -> None:
    """Who resets their password because somebody knows it must not be a moment too late."""
    proven = await prove_password(context, EMAIL, GOOD, address=HOME)
    await database.pool.execute("UPDATE users SET password_digest = $1", await digest_password("another one"))
    async with database.transaction() as connection:
        with pytest.raises(Unauthorized):
            await begin_session(
                context, connection, user_id, address=HOME, user_agent="", password_digest=proven.password_digest
            )
    assert await database.pool.fetchval("SELECT count(*) FROM sessions") == 0


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"], ids=["existing", "unknown"])
async def test_a_thousand_tries_for_an_account_are_ten(limited: Context, counting: Counting, email: str) -> None:
    said = await asyncio.gather(*(tries(limited, 10, email, "wrong password", f"198.51.{n}.1") for n in range(100)))
    assert sum(answer.count("invalid_credentials") for answer in said) == 10
    assert sum(answer.count("too_many_requests") for answer in said) == 990


async def test_a_thousand_tries_from_an_address_are_thirty(limited: Context, counting: Counting) -> None:
    said = await asyncio.gather(
        *(tries(limited, 10, f"p{n}@example.com", "wrong password", ELSEWHERE) for n in range(100))
    )
    assert sum(answer.count("invalid_credentials") for answer in said) == 30
    assert counting.computed == 30


async def test_an_account_has_ten_tries_however_it_is_spelled(limited: Context, database: Database) -> None:
    """Each of these is the same account to PostgreSQL, also «İ», of which Python makes two characters."""
    await database.pool.execute("UPDATE users SET email = 'mikis@example.com'")
    spelled = ("mikis", "MIKIS", "mİkis", "mikİs", "mİkİs", "mi\u212ais", "MIKIS@EXAMPLE.COM ")
    for n, email in enumerate(spelled):
        email = email if "@" in email else f"{email}@example.com"
        assert await tries(limited, 1, email, GOOD, f"198.51.100.{n}") == ["in"]
    rest = [(await tries(limited, 1, f"{spelled[n % 6]}@example.com", GOOD, f"203.0.113.{n}"))[0] for n in range(9)]
    assert rest == ["in"] * 3 + ["too_many_requests"] * 6


async def test_an_ipv6_network_is_one_address(limited: Context) -> None:
    said = [
        (await tries(limited, 1, f"p{n}@example.com", "wrong password", f"2001:db8::{n:x}"))[0] for n in range(1, 41)
    ]
    assert said == ["invalid_credentials"] * 30 + ["too_many_requests"] * 10


async def test_existing_and_unknown_accounts_are_stopped_at_the_same_try(limited: Context, counting: Counting) -> None:
    asked: list[tuple[list[Any], int]] = []
    for email, address in ((EMAIL, "203.0.113.1"), ("nobody@example.com", "203.0.113.2")):
        counting.computed = 0
        said = []
        for n in range(14):
            refused = await refusal(prove_password(limited, email, "wrong password", address=address))
            said.append((n, refused.status, refused.code))
        asked.append((said, counting.computed))
    assert asked[0] == asked[1]


async def seen_at(database: Database, user_id: uuid.UUID, address: str) -> None:
    """They have signed in from there, some time ago."""
    async with database.transaction() as connection:
        await open_session(connection, user_id, address=address, user_agent="", lasts_s=-86_400)


@pytest.mark.parametrize(
    ("seen", "home"), [(HOME, HOME), ("2001:db8:1:2::7", "2001:db8:1:2:aaaa::9")], ids=["ipv4", "ipv6-network"]
)
async def test_strangers_cannot_lock_somebody_out_of_where_they_sign_in(
    limited: Context, database: Database, user_id: uuid.UUID, seen: str, home: str
) -> None:
    await seen_at(database, user_id, seen)
    for n in range(3):
        await tries(limited, 10, EMAIL, "wrong password", f"198.51.100.{n}")
    assert await tries(limited, 1, EMAIL, GOOD, "203.0.113.9") == ["too_many_requests"]
    assert await tries(limited, 1, EMAIL, "wrong password", home) == ["too_many_requests"]  # as from everywhere
    assert await tries(limited, 1, EMAIL, GOOD, home) == ["in"]


async def test_where_somebody_signs_in_no_more_may_be_tried_than_elsewhere(
    limited: Context, database: Database, user_id: uuid.UUID
) -> None:
    await seen_at(database, user_id, HOME)
    assert (
        await tries(limited, 12, EMAIL, "wrong password", HOME)
        == ["invalid_credentials"] * 10 + ["too_many_requests"] * 2
    )
    assert await tries(limited, 1, EMAIL, GOOD, HOME) == ["too_many_requests"]


async def test_right_passwords_are_counted_too(limited: Context) -> None:
    """Else somebody could clear the count between guesses of another account's password."""
    assert await tries(limited, 12, EMAIL, GOOD, HOME) == ["in"] * 10 + ["too_many_requests"] * 2


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"], ids=["existing", "unknown"])
async def test_no_address_stands_in_redis(limited: Context, email: str) -> None:
    await tries(limited, 2, email, "wrong password", HOME)
    assert limited.redis is not None
    keys = [key.decode() for key in await limited.redis.keys("*")]
    assert any(":sign-in:" in key for key in keys)
    assert not any(email in key for key in keys)
