"""Runs the migrations on the connection it is given, or on the one that the settings name."""

import asyncio

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool

import janus_mail.models  # noqa: F401  (makes every table known)
from janus_mail.settings import load_settings
from janus_mail.storage.base import Base
from janus_mail.storage.database import engine


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_alone() -> None:
    async with engine(load_settings().database_dsn, poolclass=NullPool).connect() as connection:
        await connection.run_sync(run)


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    asyncio.run(run_alone())
