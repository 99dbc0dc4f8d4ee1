"""Health, with a PostgreSQL that comes and goes."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit, urlunsplit

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from janus_mail.app import create_app
from janus_mail.keys.key import create_key
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from tests.conftest import NewDatabase


class Line:
    """A TCP line to the real PostgreSQL that can be cut and mended."""

    def __init__(self, dsn: str, port: int) -> None:
        parts = urlsplit(dsn)
        self._socket = parse_qs(parts.query).get("host", [None])[0]
        self._to = (parts.hostname or "localhost", parts.port or 5432)
        login = parts.netloc.rpartition("@")[0]
        self.dsn = urlunsplit((parts.scheme, f"{login}@127.0.0.1:{port}", parts.path, "", ""))
        self._port = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = (
            await asyncio.open_unix_connection(f"{self._socket}/.s.PGSQL.{self._to[1]}")
            if self._socket
            else await asyncio.open_connection(*self._to)
        )
        self._writers |= {writer, there[1]}
        await asyncio.gather(self._pump(reader, there[1]), self._pump(there[0], writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65536):
                writer.write(chunk)
        except ConnectionError:
            pass
        writer.close()


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client,
    ):
        yield client


@pytest.fixture
def line(database_url: str, unused_tcp_port: int) -> Line:
    return Line(database_url, unused_tcp_port)


@pytest.fixture
def unused_tcp_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_running_janus_is_alive_and_ready(api: httpx.AsyncClient) -> None:
    assert (await api.get("/healthz")).json() == {"status": "ok"}
    ready = await api.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "database": "ok", "redis": "ok"})
    assert (await api.head("/healthz")).status_code == 200


async def test_a_database_that_comes_late_is_waited_for_with_503(
    settings: Settings, line: Line, database: Database, workspace_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("janus_mail.web.lifespan._START_PATIENCE_S", 0.1)
    monkeypatch.setattr("janus_mail.web.lifespan._RETRY_S", 0.05)
    key = await create_key(database, workspace="default", name="test")
    bearer = {"Authorization": f"Bearer {key}"}
    async with running(settings.model_copy(update={"database_url": SecretStr(line.dsn)})) as client:
        assert (await client.get("/healthz")).status_code == 200
        not_ready = await client.get("/readyz")
        assert (not_ready.status_code, not_ready.json()["database"]) == (503, "unreachable")
        assert "\njanus_database_up 0.0\n" in (await client.get("/metrics")).text
        refused = await client.get("/api/providers", headers=bearer)
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert refused.headers["retry-after"] == "2"
        await line.mend()
        async with asyncio.timeout(10):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.02)
        assert (await client.get("/api/providers", headers=bearer)).status_code == 200
        await line.cut()


async def test_a_database_that_goes_away_is_503_until_it_is_back(
    settings: Settings, line: Line, database: Database, workspace_id: uuid.UUID
) -> None:
    key = await create_key(database, workspace="default", name="test")
    bearer = {"Authorization": f"Bearer {key}"}
    await line.mend()
    async with running(settings.model_copy(update={"database_url": SecretStr(line.dsn)})) as client:
        assert (await client.get("/api/providers", headers=bearer)).status_code == 200
        await line.cut()
        refused = await client.get("/api/providers", headers=bearer)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert (await client.get("/readyz")).json()["database"] == "unreachable"
        await line.mend()
        assert (await client.get("/api/providers", headers=bearer)).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        await line.cut()


async def test_a_database_without_our_tables_is_not_ready(settings: Settings, new_database: NewDatabase) -> None:
    empty = settings.model_copy(update={"database_url": SecretStr(await new_database.empty())})
    async with running(empty) as client:
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["database"]) == (503, "not migrated")


@pytest.mark.parametrize(("url", "said"), [(None, "not configured"), ("redis://127.0.0.1:1", "unreachable")])
async def test_redis_is_reported_and_not_required(settings: Settings, url: str | None, said: str) -> None:
    without = settings.model_copy(update={"redis_url": SecretStr(url) if url else None})
    async with running(without) as client:
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["redis"]) == (200, said)


async def test_health_needs_no_key(app: FastAPI) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://anywhere") as stranger:
        assert (await stranger.get("/healthz")).status_code == 200
        assert (await stranger.get("/readyz")).status_code == 200


async def test_metrics_are_answered_while_the_database_is_away(settings: Settings, line: Line) -> None:
    await line.mend()
    async with running(settings.model_copy(update={"database_url": SecretStr(line.dsn)})) as client:
        assert "\njanus_database_up 1.0\n" in (await client.get("/metrics")).text
        await line.cut()
        async with asyncio.timeout(10):
            while "\njanus_database_up 0.0\n" not in (away := await client.get("/metrics")).text:
                await asyncio.sleep(0.05)
        assert away.status_code == 200
        assert "\nprocess_cpu_seconds_total " in away.text
        assert "\njanus_http_requests_total{" in away.text
