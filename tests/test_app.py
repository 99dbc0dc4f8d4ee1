"""The application as a whole: what it needs to start, what every answer carries, that it lets go of what it opened."""

import logging

import httpx
import pytest
from pydantic import SecretStr

from janus_mail.app import create_app
from janus_mail.settings import Settings, SettingsError
from janus_mail.storage.database import Database


@pytest.mark.parametrize(("missing", "named"), [("database_url", "DATABASE_URL"), ("secret_keys", "JANUS_SECRET_KEYS")])
def test_a_missing_setting_stops_the_start_and_is_named(settings: Settings, missing: str, named: str) -> None:
    without = settings.model_copy(update={missing: () if missing == "secret_keys" else None})
    with pytest.raises(SettingsError, match=named):
        create_app(without)


async def test_a_database_address_that_cannot_be_read_stops_the_start(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"database_url": SecretStr("postgresql://h/d?sslmode=nonsense")}))
    with pytest.raises(ValueError, match="sslmode"):
        async with app.router.lifespan_context(app):
            pass


@pytest.mark.parametrize(
    "path", ["/api/providers", "/healthz", "/nothing", "/docs", "/openapi.json", "/docs/static/docs.css"]
)
async def test_every_answer_makes_browsers_careful(api: httpx.AsyncClient, path: str) -> None:
    headers = (await api.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "default-src 'none'" in headers["content-security-policy"]


async def test_answers_of_the_api_are_not_kept_by_caches(api: httpx.AsyncClient) -> None:
    assert (await api.get("/api/providers")).headers["cache-control"] == "no-store"


async def test_when_it_ends_no_connection_stays_open(settings: Settings, database: Database) -> None:
    counted = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'janus' AND datname = current_database()"
    app = create_app(settings)
    before = await database.pool.fetchval(counted)
    async with app.router.lifespan_context(app):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client:
            assert (await client.get("/readyz")).status_code == 200
        assert await database.pool.fetchval(counted) > before
    for _ in range(50):
        if await database.pool.fetchval(counted) == before:
            return
    pytest.fail("connections are left")


def test_starting_twice_logs_once(settings: Settings) -> None:
    create_app(settings)
    handlers = len(logging.getLogger().handlers)
    create_app(settings)
    assert len(logging.getLogger().handlers) == handlers
