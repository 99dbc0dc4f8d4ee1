"""The provider routes alone, on a real PostgreSQL and Redis, and a key of the workspace `default`."""

import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from janus_mail.accounts.keys import create_key
from janus_mail.delivery.bell import Bell
from janus_mail.routing import endpoints
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from janus_mail.storage.list_cache import ListCache
from janus_mail.storage.secrets import SecretBox
from janus_mail.web import errors
from janus_mail.web.context import Context


@pytest.fixture
def secrets(settings: Settings) -> SecretBox:
    return SecretBox(settings.require_secret_keys())


@pytest.fixture
def context(settings: Settings, database: Database, redis: Redis, secrets: SecretBox) -> Context:
    return Context(settings, database, redis, ListCache(redis, 3600), secrets, Bell(redis, horizon_s=900))


@pytest.fixture
def app(context: Context) -> FastAPI:
    app = FastAPI()
    errors.install(app)
    app.include_router(endpoints.router)
    app.state.context = context
    return app


@pytest.fixture
async def client(app: FastAPI, context: Context, workspace_id: uuid.UUID) -> AsyncIterator[httpx.AsyncClient]:
    key = await create_key(context.database, workspace="default", name="test")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://testserver", headers={"Authorization": f"Bearer {key}"}
    ) as client:
        yield client
