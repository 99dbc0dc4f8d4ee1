"""People who call the API with an access token, each in a workspace."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import httpx
import pytest
from fastapi import FastAPI
from uuid_utils.compat import uuid7

from janus_mail.models.states import Role
from janus_mail.storage.database import Database
from janus_mail.tokens.access_tokens import issue_access_token
from tests.conftest import TEST_KEY
from tests.people import add_person

# Address and role → a client that is signed in as this person, made where there is none.
Person = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
async def person(app: FastAPI, database: Database, workspace_id: uuid.UUID) -> AsyncIterator[Person]:
    async with AsyncExitStack() as stack:

        async def signed_in(
            email: str, role: Role = Role.OWNER, *, within: uuid.UUID | None = None
        ) -> httpx.AsyncClient:  # fmt: skip
            place = within or workspace_id
            user_id = await database.pool.fetchval("SELECT id FROM users WHERE email = $1", email)
            if user_id is None:
                user_id = await add_person(database, email, workspace_id=place, role=role, name=email.split("@")[0])
            family_id = uuid7()
            await database.pool.execute(
                """INSERT INTO refresh_tokens (id, family_id, user_id, workspace_id, digest, expires_at, address,
                                               user_agent)
                   VALUES ($1, $1, $2, $3, $4, clock_timestamp() + interval '1 day', '127.0.0.1', 'test')""",
                family_id, user_id, place, family_id.bytes,
            )  # fmt: skip
            token = issue_access_token(
                [TEST_KEY], user_id=user_id, workspace_id=place, family_id=family_id, lasts_s=600
            )  # fmt: skip
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://testserver",
                headers={"Authorization": f"Bearer {token}"},
            )  # fmt: skip
            return await stack.enter_async_context(client)

        yield signed_in


async def id_of(database: Database, email: str) -> uuid.UUID:
    found: uuid.UUID = await database.pool.fetchval("SELECT id FROM users WHERE email = $1", email)
    return found


async def noted(database: Database, prefix: str) -> list[str]:
    """What the audit log has of actions that begin so."""
    rows = await database.pool.fetch("SELECT action FROM audit_log WHERE action LIKE $1 || '%' ORDER BY id", prefix)
    return [row["action"] for row in rows]
