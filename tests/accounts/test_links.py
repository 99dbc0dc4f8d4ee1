"""Links that open something: once, for what they were made for, in their time."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import pytest

from janus_mail.gate.links import Link, find_link, make_link, public_address, take_link
from janus_mail.models.states import LinkPurpose
from janus_mail.settings import Settings
from janus_mail.storage.database import Connection, Database
from tests.people import add_person

EMAIL = "mara@example.com"


@pytest.fixture
async def user_id(database: Database) -> uuid.UUID:
    return await add_person(database, EMAIL)


async def made(
    database: Database, user_id: uuid.UUID | None, purpose: LinkPurpose = LinkPurpose.RESET, lasts_s: float = 60
) -> str:
    async with database.transaction() as connection:
        return await make_link(connection, purpose, user_id=user_id, email=EMAIL, lasts_s=lasts_s)


async def opened(
    database: Database,
    secret: str,
    purpose: LinkPurpose = LinkPurpose.RESET,
    how: Callable[[Connection, LinkPurpose, str], Awaitable[Link | None]] = take_link,
) -> Link | None:
    async with database.transaction() as connection:
        return await how(connection, purpose, secret)


async def test_a_link_opens_once_however_often_it_is_looked_at(database: Database, user_id: uuid.UUID) -> None:
    secret = await made(database, user_id)
    for _ in range(2):
        found = await opened(database, secret, how=find_link)
        assert found is not None
        assert (found.user_id, found.email) == (user_id, EMAIL)
    assert await opened(database, secret) is not None
    assert await opened(database, secret) is None
    assert await opened(database, secret, how=find_link) is None


async def test_of_many_who_come_at_once_one_gets_it(database: Database, user_id: uuid.UUID) -> None:
    secret = await made(database, user_id)
    got = await asyncio.gather(*(opened(database, secret) for _ in range(8)))
    assert sum(link is not None for link in got) == 1


async def test_a_link_that_was_taken_in_vain_opens_again(database: Database, user_id: uuid.UUID) -> None:
    secret = await made(database, user_id)
    async with database.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert await take_link(connection, LinkPurpose.RESET, secret) is not None
        await transaction.rollback()
    assert await opened(database, secret) is not None


@pytest.mark.parametrize("purpose", [p for p in LinkPurpose if p is not LinkPurpose.RESET])
async def test_a_link_opens_nothing_else(database: Database, user_id: uuid.UUID, purpose: LinkPurpose) -> None:
    secret = await made(database, user_id)
    assert await opened(database, secret, purpose) is None
    assert await opened(database, secret, purpose, find_link) is None
    assert await opened(database, secret) is not None


async def test_a_link_that_is_too_old_opens_nothing(database: Database, user_id: uuid.UUID) -> None:
    secret = await made(database, user_id, lasts_s=-1)
    assert await opened(database, secret, how=find_link) is None
    assert await opened(database, secret) is None


@pytest.mark.parametrize(
    "secret", ["", "x", "x" * 43, "ü" * 43, "\0" * 43, "x" * 5_000],
    ids=["empty", "short", "unknown", "beyond-ascii", "nul", "long"],
)  # fmt: skip
async def test_what_is_no_secret_opens_nothing(database: Database, user_id: uuid.UUID, secret: str) -> None:
    await made(database, user_id)
    assert await opened(database, secret) is None


async def test_a_new_link_takes_the_place_of_the_one_before(database: Database, user_id: uuid.UUID) -> None:
    other = await add_person(database, "ann@example.com")
    first, another, confirm = (
        await made(database, user_id), await made(database, other), await made(database, user_id, LinkPurpose.CONFIRM)
    )  # fmt: skip
    second = await made(database, user_id)
    assert await opened(database, first) is None
    assert await opened(database, second) is not None
    assert await opened(database, another) is not None
    assert await opened(database, confirm, LinkPurpose.CONFIRM) is not None


async def test_of_set_up_links_made_at_once_one_is_in_force(database: Database) -> None:
    secrets = await asyncio.gather(*(made(database, None, LinkPurpose.SET_UP) for _ in range(6)))
    found = [await opened(database, secret, LinkPurpose.SET_UP, find_link) for secret in secrets]
    assert sum(link is not None for link in found) == 1


async def test_the_secret_is_stored_nowhere(database: Database, user_id: uuid.UUID) -> None:
    secret = await made(database, user_id)
    row = await database.pool.fetchrow("SELECT l::text AS said FROM account_links l")
    assert row is not None
    assert secret not in row["said"]
    assert secret.encode().hex() not in row["said"]


@pytest.mark.parametrize(
    ("public_url", "address"),
    [
        ("https://mail.example", "https://mail.example/reset/x"),
        ("https://mail.example/", "https://mail.example/reset/x"),
        (None, "http://localhost:8123/reset/x"),
    ],
)
def test_addresses_are_those_of_the_settings(settings: Settings, public_url: str | None, address: str) -> None:
    given = settings.model_copy(update={"public_url": public_url, "port": 8123})
    assert public_address(given, "/reset/x") == address
