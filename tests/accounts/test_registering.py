"""Making an account, confirming it, setting a forgotten password, and the first account of all."""

import asyncio
import uuid
from collections.abc import Awaitable
from typing import Any

import pytest
from asyncpg.pool import PoolConnectionProxy
from fastapi import FastAPI

from janus_mail.accounts.account import confirm_new_email
from janus_mail.accounts.sessions import open_session, prove_session
from janus_mail.errors import ApiError, Conflict, Forbidden, InvalidInput, NotFound, TooManyRequests
from janus_mail.gate.care import care
from janus_mail.gate.links import make_link
from janus_mail.gate.passwords import digest_password, verify_password
from janus_mail.gate.registering import (
    Registered,
    confirm,
    find_unconfirmed,
    make_account,
    prove_registrant,
    register,
)
from janus_mail.gate.resetting import find_reset, may_ask, reset_password, send_reset
from janus_mail.models.states import LinkPurpose
from janus_mail.storage.database import Database
from janus_mail.web.context import Context
from tests.accounts.counting import Counting
from tests.accounts.mailing import GOOD, last_link, mails, set_up
from tests.people import add_person

EMAIL, NAME, OTHER = "mara@example.com", "Mara Lind", "eleven brisk otters"
HERE = "192.0.2.7"


@pytest.fixture
def context(app: FastAPI) -> Context:
    """Registering is open, and mail waits to be sent."""
    return set_up(app, {"registration": "open", "system_provider": "post", "public_url": "https://janus.example/"})


async def registered(context: Context, email: str = EMAIL, password: str = GOOD, name: str = NAME) -> Registered:
    return await register(context, email=email, name=name, password=password, address=HERE)


async def secret_of(database: Database) -> str:
    return (await last_link(database)).rpartition("/")[2]


async def state(database: Database, email: str = EMAIL) -> tuple[bool, bool]:
    """Whether there is one, and whether it is confirmed."""
    row = await database.pool.fetchrow("SELECT confirmed_at FROM users WHERE lower(email) = lower($1)", email)
    return row is not None, row is not None and row["confirmed_at"] is not None


async def actions(database: Database) -> list[str]:
    return [row["action"] for row in await database.pool.fetch("SELECT action FROM audit_log ORDER BY id")]


async def refused(trying: Awaitable[object]) -> ApiError:
    with pytest.raises(ApiError) as error:
        await trying
    return error.value


async def test_who_registers_gets_a_link_that_opens_the_account_once(context: Context, database: Database) -> None:
    made = await registered(context)
    assert await state(database) == (True, False)
    [mail] = await mails(database)
    assert mail.recipient == EMAIL
    assert mail.text.count("https://janus.example/confirm/") == 1
    assert "https://janus.example/confirm/" in mail.html
    assert NAME not in mail.text + mail.html + mail.subject  # a stranger could have written it
    secret = await secret_of(database)
    assert await confirm(context, secret, address=HERE) == made.user_id
    assert await state(database) == (True, True)
    assert (await refused(confirm(context, secret, address=HERE))).code == "link_gone"
    assert await actions(database) == ["account.registered", "account.confirmed"]


async def test_looking_at_a_link_confirms_nothing(context: Context, database: Database) -> None:
    await registered(context)
    found = await find_unconfirmed(context, await secret_of(database))
    assert found.email == EMAIL
    assert await state(database) == (True, False)


async def test_an_address_that_has_an_account_is_answered_alike_and_its_owner_told(
    context: Context, database: Database, counting: Counting
) -> None:
    owner = await add_person(database, EMAIL, password_digest=await digest_password(OTHER))
    counting.computed = 0
    known = await registered(context, "MARA@example.com")
    assert counting.computed == 1
    unknown = await registered(context, "new@example.com")
    assert counting.computed == 2
    assert type(known) is type(unknown)
    assert known.user_id != owner  # a cookie holds it
    told, link = await mails(database)
    assert (told.recipient, link.recipient) == (EMAIL, "new@example.com")
    assert "has one already" in told.text
    assert "/confirm/" not in told.text
    row = await database.pool.fetchrow("SELECT name, password_digest FROM users WHERE id = $1", owner)
    assert row is not None
    assert row["name"] == "Mara"
    assert await verify_password(OTHER, row["password_digest"])


def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the database from now on."""
    asked: list[str] = []

    def count(call: str) -> None:
        made = getattr(PoolConnectionProxy, call)

        async def counting(self: object, query: str, *args: object, **more: object) -> object:
            asked.append(query)
            return await made(self, query, *args, **more)

        monkeypatch.setattr(PoolConnectionProxy, call, counting)

    for call in ("execute", "fetchrow", "fetchval"):
        count(call)
    return asked


async def test_an_address_that_has_an_account_takes_as_many_statements(
    context: Context, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever measures hundreds of answers would else tell them apart."""
    asked = statements(monkeypatch)
    await person(database)
    many = []
    for email in (EMAIL, "new@example.com"):
        asked.clear()
        await registered(context, email)
        many.append(len(asked))
    assert many[1] > 3
    assert abs(many[0] - many[1]) <= 1


async def test_the_owner_of_a_disabled_account_is_not_written_to(context: Context, database: Database) -> None:
    await add_person(database, EMAIL)
    await database.pool.execute("UPDATE users SET disabled_at = now()")
    await registered(context)
    assert await mails(database) == []


async def test_who_registers_an_address_anew_takes_the_place_of_a_half_done_registration(
    context: Context, database: Database
) -> None:
    await registered(context, password=OTHER)
    first = await secret_of(database)
    await registered(context)
    assert (await refused(confirm(context, first, address=HERE))).code == "link_gone"
    found = await find_unconfirmed(context, await secret_of(database))
    assert await verify_password(GOOD, found.password_digest)
    assert await database.pool.fetchval("SELECT count(*) FROM users") == 1


async def test_who_confirms_has_to_know_the_password_that_was_chosen(context: Context, database: Database) -> None:
    """Else a stranger registers my address with their password, I confirm it, and we share an account."""
    await registered(context, password=OTHER)
    found = await find_unconfirmed(context, await secret_of(database))
    assert (await refused(prove_registrant(context, found, GOOD))).code == "wrong_password"
    await prove_registrant(context, found, OTHER)


async def test_a_link_is_worth_nothing_when_its_person_has_another_address_by_then(
    context: Context, database: Database
) -> None:
    await registered(context)
    secret = await secret_of(database)
    await database.pool.execute("UPDATE users SET email = 'another@example.com'")
    assert (await refused(confirm(context, secret, address=HERE))).code == "link_gone"
    assert await state(database, "another@example.com") == (True, False)


async def test_registering_twice_at_once_makes_one_account(context: Context, database: Database) -> None:
    await asyncio.gather(*(registered(context) for _ in range(4)))
    assert await database.pool.fetchval("SELECT count(*) FROM users") == 1


@pytest.mark.parametrize("registration", ["invite", "closed"])
async def test_where_registering_is_not_open_nothing_is_made(
    app: FastAPI, database: Database, registration: str
) -> None:
    context = set_up(app, {"registration": registration, "system_provider": "post"})
    with pytest.raises(Forbidden):
        await registered(context)
    assert await state(database) == (False, False)


@pytest.mark.parametrize(
    ("email", "name", "password", "field"),
    [
        ("mara", NAME, GOOD, "email"),
        ("", NAME, GOOD, "email"),
        ("Mara <mara@example.com>", NAME, GOOD, "email"),
        ("mara@example.com\r\nBcc: x@y.example", NAME, GOOD, "email"),
        ("mara@example.com, ann@example.com", NAME, GOOD, "email"),
        (EMAIL, " ", GOOD, "name"),
        (EMAIL, "\u200b\u2060\u00ad", GOOD, "name"),
        (EMAIL, "x" * 101, GOOD, "name"),
        (EMAIL, "Mara\r\nBcc: x@y.example", GOOD, "name"),
        (EMAIL, "Ma\u202era", GOOD, "name"),
        (EMAIL, NAME, "password2024", "password"),
        (EMAIL, NAME, "mara-lind-1", "password"),
    ],
    ids=lambda value: "".join(c if c.isalnum() else "-" for c in value.encode("ascii", "replace").decode()[:30]),
)
async def test_what_cannot_be_an_account_is_refused_by_its_field(
    context: Context, database: Database, email: str, name: str, password: str, field: str
) -> None:
    error = await refused(registered(context, email, password, name))
    assert isinstance(error, InvalidInput)
    assert [detail.field for detail in error.details] == [field]
    assert await state(database) == (False, False)
    assert await mails(database) == []


async def test_one_address_registers_and_fills_mailboxes_so_often_and_no_more(app: FastAPI, database: Database) -> None:
    context = set_up(app, {"registration": "open", "system_provider": "post", "rate_limit_sign_in": 9})
    for _ in range(3):
        await registered(context)
    with pytest.raises(TooManyRequests):
        await registered(context)
    for n in range(5):
        await registered(context, f"p{n}@example.com")
    with pytest.raises(TooManyRequests):
        await registered(context, "p9@example.com")
    assert len(await mails(database)) == 8


async def test_a_confirmed_account_takes_the_place_of_a_half_done_registration(
    context: Context, database: Database
) -> None:
    """Else a stranger who registers an address could keep its owner from being invited."""
    await registered(context)
    async with database.transaction() as connection:
        made = await make_account(connection, email=EMAIL, name=NAME, password_digest=None, confirmed=True)
    assert await database.pool.fetchval("SELECT id FROM users") == made
    with pytest.raises(Conflict) as taken:
        async with database.transaction() as connection:
            await make_account(connection, email="MARA@EXAMPLE.COM", name=NAME, password_digest=None, confirmed=True)
    assert taken.value.code == "email_taken"


# -- forgotten passwords


async def person(database: Database, **more: Any) -> uuid.UUID:
    return await add_person(database, EMAIL, password_digest=await digest_password(OTHER), **more)


async def test_a_forgotten_password_is_set_anew_and_everything_else_is_closed(
    context: Context, database: Database
) -> None:
    user_id = await person(database)
    async with database.transaction() as connection:
        token = await open_session(connection, user_id, address=HERE, user_agent="", lasts_s=3600)
    await send_reset(context, EMAIL, address=HERE)
    secret = await secret_of(database)
    assert await find_reset(context, secret) == EMAIL
    with pytest.raises(InvalidInput):
        await reset_password(context, secret, "short", address=HERE)
    assert await prove_session(database, token, address=HERE) is not None
    assert await reset_password(context, secret, GOOD, address=HERE) == user_id
    assert await verify_password(GOOD, await database.pool.fetchval("SELECT password_digest FROM users"))
    assert await prove_session(database, token, address=HERE) is None
    assert (await refused(reset_password(context, secret, OTHER, address=HERE))).code == "link_gone"
    link, told = await mails(database)
    assert (link.recipient, told.recipient) == (EMAIL, EMAIL)
    assert "changed" in told.subject
    assert "/reset/" not in told.text
    assert await actions(database) == ["password.reset_asked", "password.reset"]


async def test_a_reset_also_ends_a_change_of_address_that_waits(context: Context, database: Database) -> None:
    """Who stole the password may have asked for it: their link must not take the account after all."""
    user_id = await person(database)
    async with database.transaction() as connection:
        theirs = await make_link(
            connection, LinkPurpose.CHANGE_EMAIL, user_id=user_id, email="thief@example.com", lasts_s=3600
        )  # fmt: skip
    await send_reset(context, EMAIL, address=HERE)
    await reset_password(context, await secret_of(database), GOOD, address=HERE)
    assert (await refused(confirm_new_email(context, theirs, address=HERE))).code == "link_gone"
    assert await database.pool.fetchval("SELECT email FROM users") == EMAIL


async def test_of_two_who_use_a_reset_link_at_once_one_sets_the_password(context: Context, database: Database) -> None:
    await person(database)
    await send_reset(context, EMAIL, address=HERE)
    secret = await secret_of(database)
    ended = await asyncio.gather(
        *(reset_password(context, secret, f"{GOOD} {n}", address=HERE) for n in range(4)), return_exceptions=True
    )
    assert sum(isinstance(one, uuid.UUID) for one in ended) == 1
    assert sum(isinstance(one, NotFound) for one in ended) == 3


async def test_a_reset_proves_that_the_address_is_read(context: Context, database: Database) -> None:
    await registered(context, password=OTHER)
    await send_reset(context, EMAIL, address=HERE)
    await reset_password(context, await secret_of(database), GOOD, address=HERE)
    assert await state(database) == (True, True)


@pytest.mark.parametrize(
    "change",
    ["DELETE FROM users", "UPDATE users SET disabled_at = now()", "UPDATE users SET erased_at = now()"],
    ids=["unknown", "disabled", "erased"],
)
async def test_nobody_is_written_to_where_there_is_no_account(
    context: Context, database: Database, change: str
) -> None:
    await person(database)
    await database.pool.execute(change)
    assert await may_ask(context, EMAIL, address=HERE) == EMAIL
    await send_reset(context, EMAIL, address=HERE)
    assert await mails(database) == []


@pytest.mark.parametrize(
    "change",
    ["UPDATE users SET email = 'x@example.com'", "UPDATE users SET disabled_at = now()", "DELETE FROM users"],
    ids=["another-address", "disabled", "gone"],
)
async def test_a_reset_link_is_worth_nothing_once_its_person_has_changed(
    context: Context, database: Database, change: str
) -> None:
    await person(database)
    await send_reset(context, EMAIL, address=HERE)
    secret = await secret_of(database)
    await database.pool.execute(change)
    assert (await refused(find_reset(context, secret))).code == "link_gone"
    assert (await refused(reset_password(context, secret, GOOD, address=HERE))).code == "link_gone"


async def test_strangers_who_register_an_address_keep_its_owner_from_no_new_password(
    app: FastAPI, database: Database
) -> None:
    context = set_up(app, {"system_provider": "post", "registration": "open", "rate_limit_sign_in": 9})
    await person(database)
    for n in range(3):
        await register(context, email=EMAIL, name=NAME, password=GOOD, address=f"198.51.{n}.1")
    await refused(register(context, email=EMAIL, name=NAME, password=GOOD, address="198.51.9.1"))
    await send_reset(context, EMAIL, address=HERE)
    assert "/reset/" in await last_link(database)


async def test_a_mailbox_gets_few_links_however_often_they_are_asked_for(app: FastAPI, database: Database) -> None:
    context = set_up(app, {"system_provider": "post", "rate_limit_sign_in": 9})
    await person(database)
    for n in range(12):
        await send_reset(context, EMAIL, address=f"198.51.{n}.1")
    assert len(await mails(database)) == 3


# -- what is cleared away


async def test_what_nobody_needs_any_more_is_cleared_away_and_nothing_else(
    context: Context, database: Database
) -> None:
    kept = await person(database)
    await registered(context, "soon@example.com")
    await registered(context, "never@example.com")
    await database.pool.execute(
        "UPDATE users SET created_at = now() - interval '8 days' WHERE email IN ('never@example.com', $1)", EMAIL
    )
    async with database.transaction() as connection:
        for lasts_s in (3600, -3600, -90_000):
            await open_session(connection, kept, address=HERE, user_agent="", lasts_s=lasts_s * 90)
        for purpose, lasts_s in ((LinkPurpose.RESET, 60), (LinkPurpose.CHANGE_EMAIL, -90_000)):
            await make_link(connection, purpose, user_id=kept, email=EMAIL, lasts_s=lasts_s)
    await care(database)
    await care(database)
    emails = {row["email"] for row in await database.pool.fetch("SELECT email FROM users")}
    assert emails == {EMAIL, "soon@example.com"}
    assert await database.pool.fetchval("SELECT count(*) FROM sessions") == 2
    purposes = {row["purpose"] for row in await database.pool.fetch("SELECT purpose FROM account_links")}
    assert purposes == {"reset", "confirm"}
