"""The migrations, run from code."""

from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool

from janus_mail.storage.database import Database, engine

# In an installed package they lie beside it, in a checkout at its root.
_PLACES = (Path(__file__).parents[1] / "alembic", Path(__file__).parents[3] / "alembic")


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without a file."""
    config = Config()
    place = next((place for place in _PLACES if (place / "env.py").exists()), _PLACES[-1])
    config.set_main_option("script_location", str(place))
    config.set_main_option("path_separator", "os")
    if connection is not None:
        config.attributes["connection"] = connection
    return config


async def migrate(dsn: str, revision: str = "head") -> None:
    """Bring the schema up (or, to an older revision, down). One transaction a migration."""
    async with engine(dsn, poolclass=NullPool).connect() as connection:
        await connection.run_sync(_run, revision)


def _run(connection: Connection, revision: str) -> None:
    config = alembic_config(connection)
    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()  # Alembic commits only transactions that it began itself
    below = current is not None and revision not in ("head", "heads") and _is_below(script, revision, current)
    (command.downgrade if below else command.upgrade)(config, revision)


def _is_below(script: ScriptDirectory, revision: str, current: str) -> bool:
    return revision == "base" or any(step.revision == revision for step in script.iterate_revisions(current, "base"))


async def is_migrated(database: Database) -> bool:
    """Whether the schema is the one this program was written for. Raises what asyncpg raises when it is away."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    try:
        found = await database.pool.fetch("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return False
    return [row["version_num"] for row in found] == [head]
