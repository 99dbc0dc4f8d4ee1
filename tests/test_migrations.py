"""The migrations: one line of them, in step with the models, and a way back."""

import asyncio
import shutil
from pathlib import Path

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

import janus_mail.models  # noqa: F401  (makes every table known)
from janus_mail.storage import migrate as migrations
from janus_mail.storage.base import Base
from janus_mail.storage.database import Database, engine
from janus_mail.storage.developing import write_revision
from janus_mail.storage.migrate import alembic_config, is_migrated, migrate
from tests.conftest import NewDatabase

_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('ix_events_attachments')"


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_server_default": True})
    return list(compare_metadata(context, Base.metadata))


async def relations(dsn: str) -> set[str]:
    """Tables, indexes, sequences and types of ours, but for Alembic's own."""
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch(
        """SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace
           UNION SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace
           UNION SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"""
    )
    await connection.close()
    return {row["name"] for row in rows if "alembic" not in row["name"]}


async def definitions(dsn: str) -> set[str]:
    """Every column, constraint and index, in PostgreSQL's own words."""
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch(
        """SELECT concat_ws(' ', table_name, column_name, udt_name, is_nullable, column_default, is_identity) AS text
           FROM information_schema.columns WHERE table_schema = 'public'
           UNION SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid))
           FROM pg_constraint WHERE connamespace = 'public'::regnamespace
           UNION SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"""
    )
    await connection.close()
    return {row["text"] for row in rows if "alembic" not in row["text"]}


async def test_models_and_migrations_agree(database: Database) -> None:
    async with database.schema_connection() as connection:
        assert await connection.run_sync(differences) == []


async def test_the_models_alone_would_make_the_same_database(database_url: str, new_database: NewDatabase) -> None:
    """Alembic's comparison does not see checks, conditions of indexes, or columns' order in keys."""
    dsn = await new_database.empty()
    async with engine(dsn, poolclass=NullPool).begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    assert await definitions(dsn) == await definitions(database_url)


async def test_every_migration_has_a_way_back_and_can_be_run_again(new_database: NewDatabase) -> None:
    dsn = await new_database()
    there = await relations(dsn)
    assert "events" in there
    await migrate(dsn, "base")
    assert await relations(dsn) == set()
    script = ScriptDirectory.from_config(alembic_config())
    for step in reversed(list(script.walk_revisions())):
        await migrate(dsn, step.revision)
        await migrate(dsn, step.down_revision if isinstance(step.down_revision, str) else "base")
        await migrate(dsn, step.revision)
    assert await relations(dsn) == there


async def test_an_index_that_broke_off_is_built_anew_by_the_next_run(new_database: NewDatabase) -> None:
    """What builds it beside live traffic waits for older snapshots; ended there, it leaves an INVALID index behind."""
    dsn = await new_database.empty()
    await migrate(dsn, "0004")
    watching, older = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    building = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND query LIKE 'CREATE INDEX CONCURRENTLY%'
                    AND wait_event_type = 'Lock'"""
    try:
        async with older.transaction(isolation="repeatable_read"):
            await older.execute("SELECT FROM workspaces")
            migrating = asyncio.create_task(migrate(dsn))
            async with asyncio.timeout(20):
                while not await watching.fetch(building):
                    await asyncio.sleep(0.02)
            with pytest.raises(SQLAlchemyError):
                await migrating
        assert await watching.fetchval(_VALID) is False
        await migrate(dsn)
        assert await watching.fetchval(_VALID) is True
    finally:
        await watching.close()
        await older.close()
    assert await definitions(dsn) == await definitions(await new_database())


async def test_checks_of_tables_with_rows_are_held_against_them_while_others_write(new_database: NewDatabase) -> None:
    checked = """SELECT convalidated FROM pg_constraint
                 WHERE conname IN ('ck_message_recipients_state', 'ck_provider_incidents_cause')"""
    dsn = await new_database.empty()
    await migrate(dsn, "0009")
    writer = await asyncpg.connect(dsn)
    try:
        assert [row["convalidated"] for row in await writer.fetch(checked)] == [False, False]
        async with writer.transaction():
            await writer.execute("LOCK TABLE message_recipients, provider_incidents IN ROW EXCLUSIVE MODE")
            async with asyncio.timeout(20):
                await migrate(dsn, "0010")
        assert [row["convalidated"] for row in await writer.fetch(checked)] == [True, True]
    finally:
        await writer.close()


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(alembic_config()).get_heads()) == 1


async def test_a_database_counts_as_migrated_only_at_the_newest_revision(new_database: NewDatabase) -> None:
    dsn = await new_database.empty()
    database = await Database.open(dsn, pool_size=1)
    try:
        assert not await is_migrated(database)
        await migrate(dsn)
        assert await is_migrated(database)
    finally:
        await database.close()


async def test_a_new_migration_is_written_from_what_the_models_have_more(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "alembic"
    shutil.copytree(alembic_config().get_main_option("script_location") or "", place)
    monkeypatch.setattr(migrations, "_PLACES", (place,))
    dsn = await new_database()
    assert await write_revision(dsn, "nothing") is None

    connection = await asyncpg.connect(dsn)
    await connection.execute("ALTER TABLE workspaces DROP COLUMN timezone")
    await connection.close()
    path = await write_revision(dsn, "Workspaces know their zone")
    assert path is not None
    assert path.name.endswith("_workspaces_know_their_zone.py")
    await migrate(dsn)
    database = await Database.open(dsn, pool_size=1)
    async with database.schema_connection() as checking:
        assert await checking.run_sync(differences) == []
    await database.close()
