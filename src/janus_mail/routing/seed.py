"""What a workspace starts with. Everything here may run again: what is there stays as its owner made it."""

import uuid

from uuid_utils.compat import uuid7

from janus_mail.routing import queries
from janus_mail.routing.create import NewProvider, add_provider
from janus_mail.storage.database import Connection, Database
from janus_mail.storage.secrets import SecretBox

DEFAULT_WORKSPACE = "default"
FROM_EMAIL, FROM_NAME = "janus@example.com", "Janus"

# Failover can be seen without any account.
SANDBOX: tuple[NewProvider, ...] = (
    {"kind": "ses", "name": "Amazon SES", "sandbox": True},
    {"kind": "smtp", "name": "Google SMTP", "sandbox": True, "config": {"preset": "gmail"}},
    {"kind": "sendgrid", "name": "SendGrid", "sandbox": True},
)


async def seed_workspace(
    database: Database, name: str, *, from_email: str | None = None, from_name: str | None = None
) -> uuid.UUID:
    """The workspace of that name, made where there is none; its id."""
    async with database.transaction() as connection:
        return await hold_workspace(connection, name, from_email=from_email, from_name=from_name)


async def seed_default_workspace(database: Database) -> uuid.UUID:
    """The workspace that every installation has. Who its mail comes from is for its owner to say."""
    return await seed_workspace(database, DEFAULT_WORKSPACE)


async def seed_development(database: Database, secrets: SecretBox) -> uuid.UUID:
    """The workspace `default` with a sender and, where it never had a provider of its own, three sandbox ones."""
    async with database.transaction() as connection:
        workspace_id = await hold_workspace(connection, DEFAULT_WORKSPACE, from_email=FROM_EMAIL, from_name=FROM_NAME)
        if not await connection.fetchval(queries.HAS_PROVIDERS_OF_ITS_OWN, workspace_id):
            # The workspace may be there without a sender: MAIL_* settings and production make it so.
            await connection.execute(queries.SET_MISSING_SENDER, workspace_id, FROM_EMAIL, FROM_NAME)
            for provider in SANDBOX:
                await add_provider(connection, secrets, workspace_id, **provider)
    return workspace_id


async def hold_workspace(
    connection: Connection, name: str, *, from_email: str | None = None, from_name: str | None = None
) -> uuid.UUID:
    """The same in a transaction, whose own the row is until it ends: processes that start together take turns."""
    await connection.execute(queries.MAKE_WORKSPACE, uuid7(), name, from_email, from_name)
    workspace_id: uuid.UUID = await connection.fetchval(queries.WORKSPACE_CALLED, name)
    await connection.execute(queries.LOCK_WORKSPACE, workspace_id)
    return workspace_id
