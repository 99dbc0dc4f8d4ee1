"""A commit that was answered for survives the server's crash."""

import asyncpg
import pytest
from tests.conftest import NewDatabase

from janus_mail.storage.database import Database


@pytest.mark.parametrize(("set_to", "used"), [("off", "on"), ("on", "on"), ("remote_apply", "remote_apply")])
async def test_a_server_that_would_answer_before_it_has_written_is_told_to_write(
    new_database: NewDatabase, set_to: str, used: str
) -> None:
    dsn = await new_database.empty()
    connection = await asyncpg.connect(dsn)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = {set_to}')
    await connection.close()
    database = await Database.open(dsn, pool_size=1)
    assert await database.pool.fetchval("SHOW synchronous_commit") == used
    await database.close()
