"""Owners hear of an incident: once, through another provider, and on every page."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from email import message_from_bytes
from email.policy import default

import pytest
from redis.asyncio import Redis
from uuid_utils.compat import uuid7

from janus_mail.delivery.bell import Bell
from janus_mail.models.states import Role
from janus_mail.notices.incident_mail import IncidentMail
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from janus_mail.storage.list_cache import ListCache
from janus_mail.storage.secrets import SecretBox
from janus_mail.web.context import Context
from janus_mail.web.limiter import Limiter
from janus_mail.worker import WorkerProcess
from tests.conftest import TEST_KEY
from tests.delivery.conftest import Workshop, quick, shop, worker
from tests.people import add_person

__all__ = ["quick", "shop", "worker"]

pytestmark = pytest.mark.usefixtures("workspace_id")


@pytest.fixture
async def context(settings: Settings, database: Database, redis: Redis) -> AsyncIterator[Context]:
    bell = Bell(redis, horizon_s=settings.horizon_seconds)
    yield Context(
        settings=settings, database=database, redis=redis, list_cache=ListCache(redis, 60), bell=bell,
        secrets=SecretBox([TEST_KEY]), limiter=Limiter(redis),
    )  # fmt: skip
    await bell.close()


async def notices(database: Database) -> list[uuid.UUID | None]:
    return [row["event_id"] for row in await database.pool.fetch("SELECT event_id FROM incident_notices")]


async def told(shop: Workshop) -> uuid.UUID:
    """The event of the one notice, as soon as it is there: a worker that runs may be the one that tells."""
    async with asyncio.timeout(10):
        while not (found := await notices(shop.database)):
            await asyncio.sleep(0.02)
    (event_id,) = found
    assert event_id is not None
    return event_id


async def break_first(shop: Workshop, worker: WorkerProcess) -> uuid.UUID:
    """A provider that fails until its circuit opens, and another that takes the mail; the first one's id."""
    down = await shop.provider("Amazon SES", sandbox_mode="down")
    await shop.provider("SendGrid")
    for n in range(6):
        event_id = await shop.event(f"{n}@example.org")
        worker.engine.wake()
        await shop.until(event_id, "sent")
    return down


async def test_owners_get_one_mail_through_another_provider(
    shop: Workshop, worker: WorkerProcess, context: Context
) -> None:
    for email, role in (
        ("mara@example.org", Role.OWNER),
        ("ned@example.org", Role.OWNER),
        ("ed@example.org", Role.EDITOR),
    ):
        await add_person(shop.database, email, workspace_id=shop.workspace_id, role=role)
    down = await break_first(shop, worker)
    telling = IncidentMail(context)
    await telling.tick()
    await telling.tick()
    event_id = await told(shop)
    sent = await shop.until(event_id, "sent")
    assert sorted(message["recipient"] for message in sent) == ["mara@example.org", "ned@example.org"]
    assert {provider for provider, _ in await shop.story(event_id)} == {"SendGrid"}
    caught = [mail for mail in await shop.captured() if mail["message_id"] == sent[0]["id"]]
    mail = message_from_bytes(caught[0]["content"], policy=default)
    assert mail["Subject"] == "Amazon SES takes no mail"
    assert mail["Auto-Submitted"] == "auto-generated"
    body = mail.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert "5 failures in a row: 421" in " ".join(text.split())
    assert f"/providers/{down}/history" in text


async def test_two_workers_at_once_and_a_crash_in_between_make_one_mail(
    shop: Workshop, worker: WorkerProcess, context: Context
) -> None:
    await add_person(shop.database, "mara@example.org", workspace_id=shop.workspace_id)
    await break_first(shop, worker)
    await IncidentMail(context).tick()
    first = await told(shop)
    # As a worker leaves it that dies between accepting the mail and noting that it did.
    await shop.database.pool.execute("DELETE FROM incident_notices")
    await IncidentMail(context).tick()
    assert await told(shop) == first
    assert await shop.database.pool.fetchval("SELECT count(*) FROM events WHERE 'janus-incident' = ANY(tags)") == 1


async def test_a_provider_that_comes_and_goes_is_one_mail(
    shop: Workshop, worker: WorkerProcess, context: Context
) -> None:
    await add_person(shop.database, "mara@example.org", workspace_id=shop.workspace_id)
    down = await break_first(shop, worker)
    await IncidentMail(context).tick()
    event_id = await told(shop)
    last = await shop.database.pool.fetchval("SELECT max(number) FROM provider_incidents WHERE provider_id = $1", down)
    for number, state, cause in ((last + 1, "closed", "probe"), (last + 2, "open", "failures")):
        await add_incident(shop, down, number, state, cause)
    await IncidentMail(context).tick()
    assert await told(shop) == event_id


async def add_incident(shop: Workshop, provider_id: uuid.UUID, number: int, state: str, cause: str) -> None:
    await shop.database.pool.execute(
        """INSERT INTO provider_incidents (id, workspace_id, provider_id, sender_domain, number, state, cause, reason)
           VALUES ($1, $2, $3, '', $4, $5, $6, 'again')""",
        uuid7(), shop.workspace_id, provider_id, number, state, cause,
    )  # fmt: skip


@pytest.mark.parametrize("cause", ["person", "throttled"])
async def test_what_a_person_did_and_a_rest_that_was_asked_for_are_no_news(
    shop: Workshop, context: Context, cause: str
) -> None:
    first = await shop.provider("Amazon SES")
    await shop.provider("SendGrid")
    await add_person(shop.database, "mara@example.org", workspace_id=shop.workspace_id)
    await add_incident(shop, first, 1, "open", cause)
    await IncidentMail(context).tick()
    assert await notices(shop.database) == []


async def test_without_another_provider_it_goes_through_the_servers_own(
    shop: Workshop, context: Context, settings: Settings
) -> None:
    only = await shop.provider("Amazon SES")
    await add_person(shop.database, "mara@example.org", workspace_id=shop.workspace_id)
    await add_incident(shop, only, 1, "open", "failures")
    mailing = replace(context, settings=settings.model_copy(update={"system_provider": "Amazon SES"}))
    # Two workers at once, and the provider comes and goes: one mail all the same.
    await asyncio.gather(IncidentMail(mailing).tick(), IncidentMail(mailing).tick())
    for number, state, cause in ((2, "closed", "probe"), (3, "open", "failures")):
        await add_incident(shop, only, number, state, cause)
    await IncidentMail(mailing).tick()
    assert await notices(shop.database) == [None]
    assert await shop.database.pool.fetchval("SELECT count(*) FROM system_mails") == 1


async def test_where_the_workspace_may_not_send_it_the_server_does(
    shop: Workshop, context: Context, settings: Settings
) -> None:
    first = await shop.provider("Amazon SES")
    await shop.provider("SendGrid")
    await shop.database.pool.execute("UPDATE workspaces SET allowed_senders = '{elsewhere.example}'")
    await add_person(shop.database, "mara@example.org", workspace_id=shop.workspace_id)
    await add_incident(shop, first, 1, "open", "failures")
    await IncidentMail(replace(context, settings=settings.model_copy(update={"system_provider": "Amazon SES"}))).tick()
    assert await notices(shop.database) == [None]
    assert await shop.database.pool.fetchval("SELECT count(*) FROM system_mails") == 1


async def test_where_nobody_can_be_mailed_nothing_is_scheduled(shop: Workshop, context: Context) -> None:
    first = await shop.provider("Amazon SES")
    await shop.provider("SendGrid")
    await add_incident(shop, first, 1, "open", "failures")
    await IncidentMail(context).tick()
    assert await shop.database.pool.fetchval("SELECT count(*) FROM events") == 0


async def test_where_all_of_a_route_fails_owners_hear_as_soon_as_one_takes_mail(
    shop: Workshop, context: Context
) -> None:
    first, second = await shop.provider("Amazon SES"), await shop.provider("SendGrid")
    await add_person(shop.database, "mara@example.org", workspace_id=shop.workspace_id)
    await add_incident(shop, first, 1, "open", "failures")
    await shop.database.pool.execute(
        """INSERT INTO circuits (provider_id, sender_domain, workspace_id, state, number, trips, reason, since)
           VALUES ($1, '', $2, 'open', 1, 1, 'down', clock_timestamp())""",
        second, shop.workspace_id,
    )  # fmt: skip
    telling = IncidentMail(context)
    await telling.tick()
    assert await notices(shop.database) == []
    await shop.database.pool.execute("UPDATE circuits SET state = 'closed'")
    await telling.tick()
    assert await told(shop)
