"""What the application holds, for tests that call the services of routing themselves."""

import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from uuid_utils.compat import uuid7

from janus_mail.keys.key import create_key
from janus_mail.routing.create import create_provider
from janus_mail.routing.seed import seed_development
from janus_mail.settings import Settings
from janus_mail.storage.secrets import SecretBox
from janus_mail.web.context import Context

SMTP = {"host": "smtp.example.com", "username": "ann", "password": "a-long-password"}


@pytest.fixture
def secrets(settings: Settings) -> SecretBox:
    return SecretBox(settings.require_secret_keys())


@pytest.fixture
def context(app: FastAPI) -> Context:
    context: Context = app.state.context
    return context


@pytest.fixture
async def sandboxes(context: Context, workspace_id: uuid.UUID) -> list[str]:
    """The ids of Amazon SES, Google SMTP and SendGrid."""
    await seed_development(context.database, context.secrets)
    rows = await context.database.pool.fetch("SELECT id FROM providers ORDER BY position")
    return [str(row["id"]) for row in rows]


@pytest.fixture
async def real(context: Context, workspace_id: uuid.UUID) -> str:
    return str(await create_provider(context.database, context.secrets, workspace_id, kind="smtp", name="Real",
                                     config=SMTP))  # fmt: skip


async def a_message(
    context: Context,
    workspace_id: uuid.UUID,
    *,
    waiting_for: str | None,
    from_email: str | None = None,
    provider: str | None = None,
    provider_id: uuid.UUID | None = None,
) -> uuid.UUID:
    """Of an event that was due long ago and is to be tried in an hour."""
    event_id, message_id = uuid7(), uuid7()
    await context.database.pool.execute(
        """INSERT INTO events (id, workspace_id, subject, text, expected_sent_at, priority, first_recipients,
                               recipients_count, failover, on_uncertain, counts, from_email, provider, provider_id)
           VALUES ($1, $2, 'Hello', 'Hello', clock_timestamp(), 1, '[]', 1, true, 'resend', '{"scheduled": 1}', $3, $4,
                   $5)""",
        event_id,
        workspace_id,
        from_email,
        provider,
        provider_id,
    )
    await context.database.pool.execute(
        """INSERT INTO messages (id, workspace_id, event_id, recipient, due_at, next_try_at, waiting_for, priority,
                                 give_up_at)
           VALUES ($1, $2, $3, 'a@example.com', clock_timestamp(), clock_timestamp() + interval '1 hour', $4, 1,
                   clock_timestamp() + interval '1 day')""",
        message_id,
        workspace_id,
        event_id,
        waiting_for,
    )
    return message_id


async def is_due(context: Context, message_id: uuid.UUID) -> bool:
    due: bool = await context.database.pool.fetchval(
        "SELECT next_try_at <= clock_timestamp() FROM messages WHERE id = $1", message_id
    )
    return due


async def circuit_row(
    context: Context, provider_id: str, domain: str = "", *, state: str = "open", until_in_s: float | None
) -> None:
    """A circuit as workers leave it."""
    await context.database.pool.execute(
        """INSERT INTO circuits (provider_id, sender_domain, workspace_id, state, number, trips, reason, since, until)
           SELECT id, $2, workspace_id, $3, 1, 1, '5 failures in a row', clock_timestamp() - interval '5 seconds',
                  clock_timestamp() + $4::float8 * interval '1 second'
           FROM providers WHERE id = $1""",
        uuid.UUID(provider_id),
        domain,
        state,
        until_in_s,
    )


@pytest.fixture
async def reader(app: FastAPI, context: Context, workspace_id: uuid.UUID) -> AsyncIterator[httpx.AsyncClient]:
    """A client that may look at providers and change none."""
    key = await create_key(context.database, workspace="default", name="reader", scopes=["providers:read"])
    transport, headers = httpx.ASGITransport(app), {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver", headers=headers) as client:
        yield client
