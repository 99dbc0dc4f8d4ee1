"""The application with a worker beside it, and the three sandbox providers."""

import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from janus_mail.routing.seed import seed_development
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox
from janus_mail.worker import WorkerProcess
from tests.delivery.conftest import working


@pytest.fixture
async def sandboxes(database: Database, settings: Settings, workspace_id: uuid.UUID) -> dict[str, uuid.UUID]:
    """The ids of the providers of kinds ses, smtp and sendgrid, by kind."""
    await seed_development(database, SecretBox(settings.require_secret_keys()))
    return {row["kind"]: row["id"] for row in await database.pool.fetch("SELECT kind, id FROM providers")}


@pytest.fixture
async def worker(settings: Settings, database: Database, redis: Redis) -> AsyncIterator[WorkerProcess]:
    async with working(settings, database, redis) as process:
        yield process


@pytest.fixture
async def form(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key in its headers, as the old scripts are."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client:
        yield client
