"""Showing providers, with their credentials masked."""

import uuid

import asyncpg

from janus_mail.errors import NotFound
from janus_mail.providers.registry import mask_config
from janus_mail.routing import queries
from janus_mail.routing.schemas import Circuit, Provider, Quota
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox, UnreadableSecret


async def list_providers(
    database: Database,
    secrets: SecretBox,
    workspace_id: uuid.UUID,
    *,
    after: uuid.UUID | None = None,
    limit: int | None = None,
    public_url: str | None = None,
) -> list[Provider]:
    """The route: providers in the order in which they are tried, those behind `after` where given."""
    rows = await database.pool.fetch(queries.ROUTE, workspace_id, after, limit)
    return [shown(row, secrets, public_url) for row in rows]


async def read_provider(
    database: Database,
    secrets: SecretBox,
    workspace_id: uuid.UUID,
    provider_id: uuid.UUID,
    *,
    public_url: str | None = None,
) -> Provider:
    """Raises `NotFound`."""
    row = await database.pool.fetchrow(queries.PROVIDER, workspace_id, provider_id)
    if row is None:
        raise no_such_provider()
    return shown(row, secrets, public_url)


def shown(row: asyncpg.Record, secrets: SecretBox, public_url: str | None = None) -> Provider:
    """A row as callers see it. With `public_url`, where Janus is reached, it has the address of its hook: for those
    alone who may change it."""
    try:
        config = mask_config(row["kind"], secrets.open(row["config"]))
    except UnreadableSecret:
        config = None
    circuit = Circuit()
    if row["circuit_state"] is not None:
        circuit = Circuit(
            state=row["circuit_state"], since=row["circuit_since"], reason=row["circuit_reason"],
            until=row["circuit_until"], by_hand=row["circuit_by_hand"],
        )  # fmt: skip
    quota = None
    if row["daily_quota"] is not None:
        quota = Quota(used_today=row["used_today"], resets_at=row["resets_at"])
    hook_url = f"{public_url.rstrip('/')}/hooks/{row['id']}/{row['hook_token']}" if public_url else None
    given = {**row, "config": config, "circuit": circuit, "quota": quota, "hook_url": hook_url}
    return Provider.model_validate(given)


def no_such_provider() -> NotFound:
    return NotFound("There is no such provider.")
