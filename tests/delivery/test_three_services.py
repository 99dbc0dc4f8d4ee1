"""A bad day at two of three services: Amazon SES throttles, SendGrid's key is revoked, Mailgun takes over."""

import asyncio
import importlib
import uuid
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from janus_mail.availability.provider_book import prepare_kinds
from janus_mail.models.states import CircuitState
from janus_mail.routing.incidents import list_incidents
from janus_mail.worker import WorkerProcess
from tests.delivery.conftest import Workshop, working
from tests.providers.bench import Bench
from tests.providers.fake_http import FakeHttp, Reply
from tests.providers.sendgrid_rules import GRANT_INVALID

THROTTLED = Reply(
    429, b'{"message":"Maximum sending rate exceeded."}', {"x-amzn-ErrorType": "TooManyRequestsException"}
)
SERVICES = {"ses": "Amazon SES", "sendgrid": "SendGrid", "mailgun": "Mailgun"}


@pytest.fixture
async def services(shop: Workshop) -> AsyncIterator[dict[str, tuple[FakeHttp, uuid.UUID]]]:
    """By kind: the service on loopback, and the provider that is set up for it, in the order of the route."""
    found: dict[str, tuple[FakeHttp, uuid.UUID]] = {}
    for kind, name in SERVICES.items():
        bench: Bench = importlib.import_module(f"tests.providers.fake_{kind}").BENCH
        fake = await bench.fake().start()
        config = {**bench.config, "endpoint": fake.url}
        provider_id = await shop.provider(name, kind, sandbox=False, config=config, from_email="news@example.com")
        found[kind] = fake, provider_id
    yield found
    for fake, _ in found.values():
        await fake.stop()


@pytest.fixture
async def worker(shop: Workshop, redis: Redis) -> AsyncIterator[WorkerProcess]:
    """Circuits rest as long as they do in production; a lease outlives a busy machine."""
    await prepare_kinds(shop.database)
    settings = shop.settings.model_copy(update={"circuit_open_seconds": 30.0, "lease_seconds": 20.0})
    async with working(settings, shop.database, redis) as process:
        yield process


async def test_the_timeline_tells_why_mailgun_took_it_and_each_incident_is_one(
    shop: Workshop, services: dict[str, tuple[FakeHttp, uuid.UUID]], worker: WorkerProcess
) -> None:
    (ses, ses_id), (sendgrid, sendgrid_id), (mailgun, _) = services.values()
    ses.always = Reply(THROTTLED.status, THROTTLED.body, {**THROTTLED.headers, "Retry-After": "60"})
    sendgrid.always = Reply(*GRANT_INVALID)
    first = await shop.event("ann@example.org")
    worker.engine.wake()
    (message,) = await shop.until(first, "sent")
    assert await shop.story(first) == [
        ("Amazon SES", "throttled"), ("SendGrid", "provider_broken"), ("Mailgun", "accepted"),
    ]  # fmt: skip
    attempts = await shop.attempts(first)
    assert "Maximum sending rate exceeded" in attempts[0]["response"]
    assert attempts[1]["code"].startswith("401")
    assert "invalid, expired, or revoked" in attempts[1]["response"]
    assert message["provider_message_id"] == mailgun.ledger[0].id
    assert (message["round"], message["next_try_at"]) == (1, message["due_at"])  # it was never put off

    many = [await shop.event(f"r{n}@example.org") for n in range(40)]
    worker.engine.wake()
    for event_id in many:
        (message,) = await shop.until(event_id, "sent")
        assert await shop.story(event_id) == [("Mailgun", "accepted")]
        assert (message["round"], message["next_try_at"]) == (1, message["due_at"])
    assert len({taken.janus_message_id for taken in mailgun.ledger}) == len(mailgun.ledger) == 41
    assert (len(ses.requests), len(sendgrid.requests)) == (1, 1)

    for provider_id, cause, words in (
        (ses_id, "throttled", "it asks for a rest: 429 TooManyRequestsException"),
        (sendgrid_id, "broken", "the provider refuses us: 401"),
    ):
        (incident,) = await list_incidents(shop.database, shop.workspace_id, provider_id)
        assert (incident.cause, incident.closed_at) == (cause, None)
        assert incident.reason.startswith(words)
        assert [(way.provider.name, way.messages) for way in incident.instead] == [("Mailgun", 41)]


async def test_each_service_is_asked_again_by_one_mail_when_it_has_rested(
    shop: Workshop, services: dict[str, tuple[FakeHttp, uuid.UUID]], worker: WorkerProcess
) -> None:
    (ses, ses_id), *_ = services.values()
    ses.script(Reply(THROTTLED.status, THROTTLED.body, {**THROTTLED.headers, "Retry-After": "1"}))
    first = await shop.event("ann@example.org")
    worker.engine.wake()
    await shop.until(first, "sent")
    assert await shop.story(first) == [("Amazon SES", "throttled"), ("SendGrid", "accepted")]
    async with asyncio.timeout(10):
        while not ses.ledger:
            event_id = await shop.event("bo@example.org")
            worker.engine.wake()
            await shop.until(event_id, "sent")
    assert await shop.story(event_id) == [("Amazon SES", "accepted")]
    async with asyncio.timeout(5):
        state = None
        while state != CircuitState.CLOSED:
            state = await shop.database.pool.fetchval("SELECT state FROM circuits WHERE provider_id = $1", ses_id)
