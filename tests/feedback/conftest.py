"""Posts to hooks, signed as SendGrid signs them, and what works on them."""

import base64
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI

from janus_mail.feedback.services.sendgrid import SIGNATURE, TIMESTAMP
from janus_mail.feedback.work import FeedbackWork
from janus_mail.storage.database import Database
from tests.delivery.conftest import Workshop, quick, shop, worker

__all__ = ["quick", "shop", "worker"]

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC_KEY = base64.b64encode(KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def signed(body: bytes, *, key: ec.EllipticCurvePrivateKey = KEY, at: float | None = None) -> dict[str, str]:
    """The headers of a post that SendGrid made."""
    timestamp = str(int(time.time() if at is None else at))
    signature = key.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))
    return {SIGNATURE: base64.b64encode(signature).decode(), TIMESTAMP: timestamp}


def event(word: str, message_id: uuid.UUID | None = None, **fields: Any) -> dict[str, Any]:
    """One of SendGrid's."""
    made = {
        "event": word, "email": "ann@example.org", "timestamp": int(time.time()), "sg_event_id": uuid.uuid4().hex,
        "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0", **fields,
    }  # fmt: skip
    return made if message_id is None else {**made, "janus_message_id": str(message_id)}


def batch(*events: Mapping[str, Any]) -> bytes:
    """As SendGrid writes it, with CRLF between and at the end."""
    return b"[" + b",\r\n".join(json.dumps(one).encode() for one in events) + b"]\r\n"


class Service:
    """A service that posts to one provider's hook, and our work on what it posted."""

    def __init__(self, client: httpx.AsyncClient, database: Database, provider_id: uuid.UUID, token: str) -> None:
        self.client = client
        self.database = database
        self.provider_id = provider_id
        self.path = f"/hooks/{provider_id}/{token}"
        self.work = FeedbackWork(database, tick_s=60)

    async def post(self, body: bytes, headers: Mapping[str, str] | None = None, *, path: str = "") -> httpx.Response:
        return await self.client.post(
            self.path + path, content=body, headers=signed(body) if headers is None else headers
        )

    async def tell(self, *events: Mapping[str, Any]) -> None:
        """Posted, answered 200, worked on."""
        answer = await self.post(batch(*events))
        assert answer.status_code == 200, answer.text
        await self.done()

    async def bounce(self, mail: bytes) -> None:
        answer = await self.post(mail, {"content-type": "message/rfc822"}, path="/dsn")
        assert answer.status_code == 200, answer.text
        await self.done()

    async def done(self) -> None:
        while await self.work.work():
            pass

    async def stored(self) -> list[dict[str, Any]]:
        """The posts that wait."""
        return [dict(row) for row in await self.database.pool.fetch("SELECT * FROM hook_posts ORDER BY id")]

    async def events(self) -> list[dict[str, Any]]:
        rows = await self.database.pool.fetch("SELECT * FROM feedback_events ORDER BY occurred_at, id")
        return [dict(row) for row in rows]

    async def suppressed(self) -> dict[str, str]:
        rows = await self.database.pool.fetch("SELECT address, reason FROM suppressions ORDER BY address")
        return {row["address"]: row["reason"] for row in rows}


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without a key."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield client


async def service_of(shop: Workshop, client: httpx.AsyncClient, name: str = "SendGrid", **columns: Any) -> Service:
    config = columns.pop("config", {"webhook_public_key": PUBLIC_KEY})
    provider_id = await shop.provider(name, columns.pop("kind", "sendgrid"), config=config, **columns)
    await shop.database.pool.execute("DELETE FROM hook_posts")
    token = await shop.database.pool.fetchval("SELECT hook_token FROM providers WHERE id = $1", provider_id)
    return Service(client, shop.database, provider_id, token)


@pytest.fixture
async def sendgrid(shop: Workshop, client: httpx.AsyncClient) -> Service:
    """A sandbox of the kind, whose hook is set up."""
    return await service_of(shop, client)


async def message_sent(
    shop: Workshop, provider_id: uuid.UUID, recipient: str = "ann@example.org", *, state: str = "sent", **columns: Any
) -> uuid.UUID:
    """A message with one attempt at the provider, that ended as its state says; its id."""
    event_id = await shop.event(recipient, **columns)
    outcome = {"sent": "accepted", "sending": None}.get(state, "uncertain")
    message = await shop.message(event_id)
    await shop.database.pool.execute(
        """WITH m AS (
               UPDATE messages SET state = $2, provider_id = $3, attempt_count = 1, fence = 1,
                      sent_at = CASE WHEN $2 = 'sent' THEN clock_timestamp() END,
                      resends = CASE WHEN $2 IN ('scheduled', 'leased') THEN 1 ELSE 0 END,
                      provider_message_id = CASE WHEN $2 = 'sent' THEN '14c5d75ce93' END
               WHERE id = $1 RETURNING id, workspace_id)
           INSERT INTO attempts (id, workspace_id, message_id, number, round, fence, worker_id, provider_id,
                                 provider_kind, provider_name, started_at, finished_at, outcome, code, response)
           SELECT gen_random_uuid(), workspace_id, id, 1, 1, 1, gen_random_uuid(), $3, 'sendgrid', 'SendGrid',
                  clock_timestamp(), CASE WHEN $4::text IS NOT NULL THEN clock_timestamp() END, $4, 'x', '' FROM m""",
        message["id"], state, provider_id, outcome,
    )  # fmt: skip
    id_: uuid.UUID = message["id"]
    return id_


async def status_of(shop: Workshop, message_id: uuid.UUID) -> tuple[str, str | None]:
    """State and delivery status."""
    row = await shop.database.pool.fetchrow("SELECT state, delivery_status FROM messages WHERE id = $1", message_id)
    assert row is not None
    return row["state"], row["delivery_status"]


def shuffled(things: list[Any], seed: int) -> list[Any]:
    return random.Random(seed).sample(things, len(things))


def long_ago() -> float:
    return datetime(2020, 9, 14, tzinfo=UTC).timestamp()
