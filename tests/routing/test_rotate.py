"""Stored settings get another key while everything runs."""

import asyncio
import uuid

import asyncpg
import httpx
import pytest
from cryptography.fernet import Fernet
from redis.asyncio import Redis

from janus_mail.routing import queries
from janus_mail.routing import rotate as rotation
from janus_mail.routing.create import create_provider
from janus_mail.routing.environment import keep_environment_provider
from janus_mail.routing.rotate import rotate
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox, UnreadableSecret
from tests.conftest import TEST_KEY
from tests.delivery.conftest import Workshop, quick, shop, working
from tests.providers.scripted_smtp import ScriptedSmtp
from tests.routing.conftest import SMTP

__all__ = ["quick", "shop"]

NEW_KEY = Fernet.generate_key().decode()
WITHOUT_PASSWORD = {name: value for name, value in SMTP.items() if name != "password"}
OLD, BOTH, NEW = SecretBox([TEST_KEY]), SecretBox([NEW_KEY, TEST_KEY]), SecretBox([NEW_KEY])


async def provider(database: Database, workspace_id: uuid.UUID, name: str, box: SecretBox = OLD) -> uuid.UUID:
    return await create_provider(database, box, workspace_id, kind="smtp", name=name, config=SMTP)


async def sealed(database: Database) -> dict[str, bytes]:
    return {row["name"]: row["config"] for row in await database.pool.fetch("SELECT name, config FROM providers")}


async def somebody_waits(database: Database) -> None:
    """Until one of its connections waits for a row that another one holds."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while not await database.pool.fetchval(waiting):
            await asyncio.sleep(0.01)


async def test_everything_opens_with_the_new_key_alone_and_says_what_it_said(
    database: Database, workspace_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "_BATCH", 2)
    for number in range(5):
        await provider(database, workspace_id, f"p{number}")
    await database.pool.execute("UPDATE providers SET deleted_at = clock_timestamp() WHERE name = 'p1'")
    before = await database.pool.fetch("SELECT id, name, version, updated_at FROM providers ORDER BY id")
    heard: list[int] = []

    done = await rotate(database, BOTH, tell=heard.append)

    assert (done.renewed, done.already, done.lost) == (5, 0, [])
    assert heard == [2, 4, 5]
    for config in (await sealed(database)).values():
        assert NEW.open(config) == SMTP
        with pytest.raises(UnreadableSecret):
            OLD.open(config)
    assert before == await database.pool.fetch("SELECT id, name, version, updated_at FROM providers ORDER BY id")


async def test_running_it_again_writes_nothing(database: Database, workspace_id: uuid.UUID) -> None:
    await provider(database, workspace_id, "Relay")
    await rotate(database, BOTH)
    before = await sealed(database)
    done = await rotate(database, BOTH)
    assert (done.renewed, done.already) == (0, 1)
    assert await sealed(database) == before


async def test_a_dry_run_counts_and_changes_nothing(database: Database, workspace_id: uuid.UUID) -> None:
    await provider(database, workspace_id, "Relay")
    before = await sealed(database)
    assert (await rotate(database, BOTH, dry_run=True)).renewed == 1
    assert await sealed(database) == before


async def test_what_no_key_opens_is_named_and_stays(database: Database, workspace_id: uuid.UUID) -> None:
    await provider(database, workspace_id, "Relay")
    lost = await provider(database, workspace_id, "Lost", SecretBox([Fernet.generate_key().decode()]))
    before = await sealed(database)
    done = await rotate(database, BOTH)
    assert (done.renewed, done.lost) == (1, [("default", "Lost", lost)])
    assert (await sealed(database))["Lost"] == before["Lost"]


async def test_settings_that_are_changed_meanwhile_are_waited_for_and_win(
    database: Database, workspace_id: uuid.UUID
) -> None:
    await provider(database, workspace_id, "Relay")
    later = {**SMTP, "password": "told-anew-meanwhile"}
    async with database.transaction() as connection:
        await connection.execute("UPDATE providers SET config = $1", OLD.seal(later))
        rotating = asyncio.create_task(rotate(database, BOTH))
        await somebody_waits(database)
    assert (await rotating).renewed == 1
    assert NEW.open((await sealed(database))["Relay"]) == later


@pytest.mark.parametrize("patch", [{"enabled": False}, {"config": {**WITHOUT_PASSWORD, "max_connections": 3}}])
async def test_a_change_made_meanwhile_keeps_what_was_sealed_anew(
    api: httpx.AsyncClient, database: Database, workspace_id: uuid.UUID, patch: dict[str, object]
) -> None:
    """The application knows the key alone to which the settings are turned over."""
    provider_id = await provider(database, workspace_id, "Relay", NEW)
    async with database.transaction() as connection:
        rows = await connection.fetch(queries.SEALED, uuid.UUID(int=0), 50)
        changing = asyncio.create_task(api.patch(f"/api/providers/{provider_id}?verify=false", json=patch))
        await somebody_waits(database)
        done = await rotation._reseal(connection, SecretBox([TEST_KEY, NEW_KEY]), rows, dry_run=False)
    assert done.renewed == 1
    assert (answer := await changing).status_code == 200, answer.text
    assert OLD.open((await sealed(database))["Relay"]).items() >= SMTP.items()


async def test_another_sender_in_the_environment_keeps_what_was_sealed_anew(
    database: Database, settings: Settings, workspace_id: uuid.UUID
) -> None:
    """By a process that still seals with the old key."""

    def says(sender: str) -> Settings:
        given = {**settings.model_dump(exclude_unset=True), "mail_server": "mail.example.com"}
        return Settings.model_validate({**given, "mail_default_sender": sender})

    await keep_environment_provider(database, OLD, says("ann@example.com"))
    await database.pool.execute("UPDATE providers SET verification = '{\"ok\": true}'")
    async with database.transaction() as connection:
        rows = await connection.fetch(queries.SEALED, uuid.UUID(int=0), 50)
        both = SecretBox([TEST_KEY, NEW_KEY])
        keeping = asyncio.create_task(keep_environment_provider(database, both, says("ben@example.com")))
        await somebody_waits(database)
        await rotation._reseal(connection, BOTH, rows, dry_run=False)
    await keeping
    row = await database.pool.fetchrow("SELECT config, from_email, verification FROM providers")
    assert row is not None
    assert NEW.open(row["config"])["host"] == "mail.example.com"
    assert (row["from_email"], row["verification"]) == ("ben@example.com", {"ok": True})


async def test_one_that_meets_another_change_in_a_ring_is_tried_again(
    database: Database, workspace_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    await provider(database, workspace_id, "Relay")
    reseal, times = rotation._reseal, iter(range(9))

    async def collide_once(*given: object, **named: object) -> object:
        if next(times) == 0:
            raise asyncpg.DeadlockDetectedError
        return await reseal(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(rotation, "_reseal", collide_once)
    assert (await rotate(database, BOTH)).renewed == 1


async def test_mail_leaves_all_the_while(shop: Workshop, quick: Settings, redis: Redis) -> None:
    """The keys are turned over three times while a worker that knows them all sends; each mail leaves once."""
    keys = [TEST_KEY, *(Fernet.generate_key().decode() for _ in range(3))]
    settings = Settings.model_validate({**quick.model_dump(exclude_unset=True), "secret_keys": ",".join(keys)})
    server = await ScriptedSmtp().start()
    config = {"host": "127.0.0.1", "port": server.port, "security": "none"}
    await create_provider(shop.database, OLD, shop.workspace_id, kind="smtp", name="Relay", config=config)
    async with working(settings, shop.database, redis) as process:
        events = []
        for turn in range(1, 4):
            events.append(await shop.event(*(f"r{turn}-{n}@example.com" for n in range(60))))
            process.engine.wake()
            await server.until(lambda turn=turn: len(server.mails) > 60 * (turn - 1) + 5)  # type: ignore[misc]
            done = await rotate(shop.database, SecretBox([keys[turn], *keys[:turn]]))
            assert done.renewed == 1
        for event in events:
            await shop.until(event, "sent")
    await server.stop()
    received = [mail.recipients[0] for mail in server.mails]
    assert len(received) == len(set(received)) == 180
    assert SecretBox([keys[3]]).open((await sealed(shop.database))["Relay"]) == config
