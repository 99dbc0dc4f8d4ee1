"""The pages on a real database: someone who visits them, and a workspace with one of everything."""

import uuid
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
from fastapi import FastAPI
from uuid_utils.compat import uuid7

from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox
from tests.conftest import TEST_KEY
from tests.pages.gallery import Gallery, fill
from tests.pages.reading import Page

HTML = {"Accept": "text/html,application/xhtml+xml"}


class Visitor:
    """A browser without JavaScript: keeps cookies, follows redirects, fills in forms."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.address = ""  # where the last form led

    async def get(self, path: str, *, status: int = 200, **headers: str) -> Page:
        answer = await self.client.get(path, headers=headers)
        assert answer.status_code == status, answer.text[-2000:]
        return Page(answer.text)

    async def update(self, path: str) -> httpx.Response:
        """What htmx asks for by itself."""
        return await self.client.get(path, headers={"HX-Request": "true"})

    async def send(
        self, page: Page, action: str, fields: Mapping[str, str] | None = None, *, status: int = 200, **more: str
    ) -> Page:
        """Send the page's form of this address, with some of its fields filled in, and read what follows."""
        answer = await self.client.post(action, data={**page.form(action).values(), **(fields or {}), **more})
        assert answer.status_code == status, answer.text[-2000:]
        self.address = str(answer.url)
        return Page(answer.text)


@pytest.fixture
async def visitor(anonymous_app: FastAPI) -> AsyncIterator[Visitor]:
    transport = httpx.ASGITransport(anonymous_app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers=HTML, follow_redirects=True
    ) as client:
        yield Visitor(client)


@pytest.fixture
async def empty_gallery(database: Database, workspace_id: uuid.UUID) -> Gallery:
    """The workspace `default` with three sandbox providers and a worker that was just seen."""
    gallery = Gallery(database, SecretBox([TEST_KEY]), workspace_id)
    for name, kind in (("Amazon SES", "ses"), ("Google SMTP", "smtp"), ("SendGrid", "sendgrid")):
        await gallery.provider(name, kind)
    await gallery.worker()
    return gallery


@pytest.fixture
async def gallery(database: Database, workspace_id: uuid.UUID) -> Gallery:
    """The workspace `default` with one of everything."""
    gallery = Gallery(database, SecretBox([TEST_KEY]), workspace_id)
    await fill(gallery, many=200)
    return gallery


@pytest.fixture
async def another(database: Database) -> Gallery:
    """A workspace that the visitor has no part in, with a provider."""
    gallery = Gallery(database, SecretBox([TEST_KEY]), uuid7())
    await database.pool.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'another')", gallery.workspace_id)
    await gallery.provider("Amazon SES", "ses")
    return gallery
