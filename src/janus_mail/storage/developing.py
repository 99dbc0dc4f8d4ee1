"""What a developer does with a database: make it, and write the next migration."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg
from alembic import command
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool

from janus_mail.storage.database import connect, engine
from janus_mail.storage.migrate import alembic_config


async def create_database(dsn: str) -> bool:
    """Make the database that `dsn` names, by way of `postgres` on the same server; false when it is there already."""
    try:
        connection = await connect(dsn)
    except asyncpg.InvalidCatalogNameError:
        parts = urlsplit(dsn)
        connection = await connect(urlunsplit(parts._replace(path="/postgres")))
        name = unquote(parts.path.removeprefix("/")).replace('"', '""')
        try:
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()
        return True
    await connection.close()
    return False


async def write_revision(dsn: str, message: str) -> Path | None:
    """A migration from what the models have and the migrated database has not; none when they agree."""
    async with engine(dsn, poolclass=NullPool).connect() as connection:
        return await connection.run_sync(_write_revision, message)


def _write_revision(connection: Connection, message: str) -> Path | None:
    config = alembic_config(connection)
    config.set_main_option("file_template", "%%(year)d_%%(month).2d_%%(day).2d_%%(slug)s")
    config.set_main_option("timezone", "UTC")
    number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1

    def drop_empty(_context: Any, _revision: Any, directives: list[Any]) -> None:
        if directives[0].upgrade_ops.is_empty():
            directives.clear()

    written = command.revision(
        config, message, autogenerate=True, rev_id=f"{number:04}", process_revision_directives=drop_empty
    )
    return Path(written.path) if isinstance(written, Script) else None
