"""Stored settings get another key while everything runs."""

import asyncio
import uuid

import asyncpg
import pytest
from cryptography.fernet import Fernet
from redis.asyncio import Redis

from janus_mail.routing import rotate as rotation
from janus_mail.routing.create import create_provider
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
OLD, BOTH, NEW = SecretBox([TEST_KEY]), SecretBox([NEW_KEY, TEST_KEY]), SecretBox([NEW_KEY])


async def provider(database: Database, workspace_id: uuid.UUID, name: str, box: SecretBox = OLD) -> uuid.UUID:
    return await create_provider(database, box, workspace_id, kind="smtp", name=name, config=SMTP)


async def sealed(database: Database) -> dict[str, bytes]:
    return {row["name"]: row["config"] for row in await database.pool.fetch("SELECT name, config FROM providers")}


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
        while not await database.pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
    assert (await rotating).renewed == 1
    assert NEW.open((await sealed(database))["Relay"]) == later


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
