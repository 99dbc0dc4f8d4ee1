"""People in a test: accounts with a place in a workspace, signed in or not."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from uuid_utils.compat import uuid7

from janus_mail.accounts.sessions import open_session
from janus_mail.models.states import Role
from janus_mail.pages.cookies import SESSION
from janus_mail.storage.database import Database
from janus_mail.tokens.access_tokens import issue_access_token
from tests.conftest import TEST_KEY

HTML = {"Accept": "text/html,application/xhtml+xml"}


async def add_person(
    database: Database,
    email: str,
    *,
    workspace_id: uuid.UUID | None = None,
    role: Role = Role.OWNER,
    name: str = "Mara",
    administrator: bool = False,
    password_digest: str | None = None,
) -> uuid.UUID:
    """A confirmed account, in the workspace that is named; without a digest it has no password."""
    user_id = uuid7()
    await database.pool.execute(
        """INSERT INTO users (id, email, name, confirmed_at, administrator, password_digest)
           VALUES ($1, $2, $3, clock_timestamp(), $4, $5)""",
        user_id, email, name, administrator, password_digest,
    )  # fmt: skip
    if workspace_id is not None:
        await database.pool.execute(
            "INSERT INTO memberships (workspace_id, user_id, role) VALUES ($1, $2, $3)", workspace_id, user_id, role
        )
    return user_id


async def add_workspace(database: Database, name: str) -> uuid.UUID:
    """One with a sender and nothing else; its handle is its name."""
    workspace_id = uuid7()
    await database.pool.execute(
        "INSERT INTO workspaces (id, handle, name, from_email) VALUES ($1, $2, $2, 'janus@example.com')",
        workspace_id, name,
    )  # fmt: skip
    return workspace_id


@asynccontextmanager
async def signed_in(
    app: FastAPI, database: Database, user_id: uuid.UUID, *, base_url: str = "http://testserver"
) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without JavaScript in which this person is signed in; it follows no redirect by itself."""
    async with database.transaction() as connection:
        token = await open_session(connection, user_id, address="127.0.0.1", user_agent="test", lasts_s=3600)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url=base_url, headers=HTML, cookies={SESSION: token}
    ) as client:
        yield client


async def program_of(database: Database, user_id: uuid.UUID, workspace_id: uuid.UUID) -> str:
    """An access token of this person for this workspace, as a program gets it that signs in."""
    family = uuid7()
    await database.pool.execute(
        """INSERT INTO refresh_tokens (id, family_id, user_id, workspace_id, digest, expires_at, address, user_agent)
           VALUES ($1, $1, $2, $3, $4, clock_timestamp() + interval '1 day', '', '')""",
        family, user_id, workspace_id, family.bytes,
    )  # fmt: skip
    return issue_access_token([TEST_KEY], user_id=user_id, workspace_id=workspace_id, family_id=family, lasts_s=600)
