"""The first account of all: made through a link that is printed at the server, once."""

import asyncio
import logging
import uuid

import pytest
from fastapi import FastAPI

from janus_mail.errors import Conflict, InvalidInput, NotFound
from janus_mail.gate.registering import register
from janus_mail.gate.set_up import is_set_up, say_set_up, set_up_link
from janus_mail.gate.set_up import set_up as make_first
from janus_mail.storage.database import Database
from janus_mail.web.context import Context
from tests.accounts.mailing import GOOD, set_up
from tests.people import add_person

EMAIL, NAME, HERE = "mara@example.com", "Mara Lind", "192.0.2.7"


@pytest.fixture
def context(app: FastAPI) -> Context:
    """Registering is open as well."""
    return set_up(app, {"registration": "open", "public_url": "https://janus.example/"})


async def first(context: Context, secret: str, email: str = EMAIL) -> uuid.UUID:
    return await make_first(context, secret, email=email, name=NAME, password=GOOD, address=HERE)


async def test_the_first_account_administers_the_server_and_owns_its_workspace(
    context: Context, database: Database, workspace_id: uuid.UUID
) -> None:
    link = await set_up_link(database, context.settings)
    assert link.startswith("https://janus.example/set-up/")
    user_id = await first(context, link.rpartition("/")[2])
    row = await database.pool.fetchrow(
        """SELECT u.administrator, u.confirmed_at, m.workspace_id, m.role
           FROM users u JOIN memberships m ON m.user_id = u.id"""
    )
    assert row is not None
    assert (row["administrator"], row["workspace_id"], row["role"]) == (True, workspace_id, "owner")
    assert row["confirmed_at"] is not None
    with pytest.raises(NotFound) as gone:
        await first(context, link.rpartition("/")[2], "x@example.com")
    assert gone.value.code == "link_gone"
    with pytest.raises(Conflict, match="janus users create"):
        await set_up_link(database, context.settings)
    assert await database.pool.fetchval("SELECT count(*) FROM users") == 1
    assert user_id == await database.pool.fetchval("SELECT id FROM users")


async def test_a_start_says_how_the_first_account_is_made_until_there_is_one(
    context: Context, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await say_set_up(context)
    assert caplog.text.count("janus users set-up-link") == 1
    assert "/set-up/" not in caplog.text
    caplog.clear()
    await add_person(database, EMAIL)
    await say_set_up(context)
    assert caplog.text == ""


async def test_of_several_who_race_for_the_set_up_link_one_wins(context: Context, database: Database) -> None:
    secret = (await set_up_link(database, context.settings)).rpartition("/")[2]
    ended = await asyncio.gather(
        *(first(context, secret, f"p{n}@example.com") for n in range(5)), return_exceptions=True
    )
    assert sum(isinstance(one, uuid.UUID) for one in ended) == 1
    assert await database.pool.fetchval("SELECT count(*) FROM users") == 1


async def test_a_mistake_in_the_form_does_not_use_the_link_up(context: Context, database: Database) -> None:
    secret = (await set_up_link(database, context.settings)).rpartition("/")[2]
    with pytest.raises(InvalidInput):
        await make_first(context, secret, email=EMAIL, name=NAME, password="short", address=HERE)
    await first(context, secret)


async def test_a_half_done_registration_does_not_keep_the_owner_of_the_server_out(
    context: Context, database: Database
) -> None:
    await register(context, email=EMAIL, name=NAME, password="eleven brisk otters", address=HERE)
    secret = (await set_up_link(database, context.settings)).rpartition("/")[2]
    await first(context, secret)
    assert await database.pool.fetchval("SELECT count(*) FROM users") == 1
    async with database.transaction() as connection:
        assert await is_set_up(connection)
