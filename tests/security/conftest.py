"""What every test of this folder stands on: the surfaces of the application, and values that fit its fields."""

import uuid
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from fastapi import FastAPI

from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox
from tests.compat.conftest import sandboxes, worker
from tests.conftest import TEST_KEY
from tests.pages.conftest import Visitor, empty_gallery, gallery, visitor
from tests.pages.gallery import Gallery, fill, trouble
from tests.people import signed_in
from tests.security.stored import people
from tests.security.surfaces import LEFT_OUT, Operation, Surface, operations, surfaces

__all__ = ["empty_gallery", "gallery", "sandboxes", "visitor", "worker"]

# By the field's name: what the document has no example of, or one that only fits on another day.
EXAMPLES: Final[dict[str, Any]] = {
    "/api/erasures email": "gone@example.net",
    "TOKEN": "",
    "addresses": ["gone@example.net"],
    "allowed_senders": ["example.com"],
    "attachments": [
        {"filename": "logo.gif", "content_type": "image/gif", "content": "SGVsbG8h", "content_id": "logo"},
        {"filename": "hello.txt", "content_type": "text/plain", "content": "SGVsbG8h", "content_id": None},
    ],
    "bcc": [{"email": "cai@example.net", "name": "Cai"}],
    "cc": [{"email": "bob@example.net", "name": "Bob"}],
    "config": {"host": "smtp.example.com"},
    "daily_quota": None,
    "email": "ann@example.net",
    "email_html": '<p>Hello <img src="cid:logo" alt=""></p>',
    "email_subject": "Hello",
    "enabled": True,
    "expected_sent_at": "now",
    "expires_in_days": LEFT_OUT,  # or `expires_at`
    "expires_at": "2029-01-01T00:00:00Z",
    "from_email": "mara@example.com",
    "from_name": "Mara",
    "kind": "smtp",
    "name": "Ann",
    "on_uncertain": "resend",
    "order": ["0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a01"],
    "position": None,
    "provider": None,
    "rate_per_second": None,
    "reply_to": [{"email": "help@example.net", "name": "Help"}],
    "sandbox": True,
    "sandbox_failure_rate": 0,
    "sandbox_mode": "ok",
    "sender_domains": ["example.com"],
    "state": "closed",
    "status": "pending",
    "timezone": "Europe/Berlin",
    "version": LEFT_OUT,
}


@pytest.fixture
def every_surface(app: FastAPI) -> list[Surface]:
    return surfaces(app)


@pytest.fixture
def every_operation(app: FastAPI) -> list[Operation]:
    return operations(app.openapi(), EXAMPLES)


@pytest.fixture
async def gallery_of_few(database: Database, workspace_id: uuid.UUID) -> Gallery:
    """The workspace `default` with one of everything, and few of each."""
    gallery = Gallery(database, SecretBox([TEST_KEY]), workspace_id)
    await fill(gallery, many=20)
    await trouble(gallery)
    return gallery


@pytest.fixture
async def owner(anonymous_app: FastAPI, gallery_of_few: Gallery) -> AsyncIterator[Visitor]:
    """Somebody who is signed in, and may see and do everything."""
    database = gallery_of_few.database
    user_id = await people(database, gallery_of_few.workspace_id)
    async with signed_in(anonymous_app, database, user_id, base_url="http://localhost") as client:
        client.follow_redirects = True
        yield Visitor(client)
