"""API keys: only a digest is stored, and only a valid key opens."""

import re
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from janus_mail.accounts.keys import create_key, list_keys, prove_key, revoke_key
from janus_mail.accounts.permissions import ALL_SCOPES
from janus_mail.errors import InvalidInput, NotFound
from janus_mail.storage.database import Database

pytestmark = pytest.mark.usefixtures("workspace_id")


async def test_a_key_opens_its_workspace_with_its_scopes(database: Database, workspace_id: uuid.UUID) -> None:
    key = await create_key(database, workspace="default", name="ci", scopes=["events:read"])
    assert re.fullmatch(r"janus_[A-Za-z0-9]{10}_[A-Za-z0-9]{43}", key)
    proven = await prove_key(database, key)
    assert proven is not None
    assert (proven.workspace_id, proven.workspace_name, proven.name) == (workspace_id, "default", "ci")
    assert proven.scopes == {"events:read"}


async def test_neither_the_key_nor_its_secret_is_stored(database: Database) -> None:
    key = await create_key(database, workspace="default", name="ci")
    row = await database.pool.fetchrow("SELECT api_keys::text AS shown FROM api_keys")
    assert row is not None
    prefix, secret = key.split("_")[1:]
    assert prefix in row["shown"]
    assert secret not in row["shown"]


@pytest.mark.parametrize("wrong", ["", "janus", "janus__", "nonsense", "janus_{p}_", "janus_{p}_{s}x", "JANUS_{p}_{s}"])
async def test_what_is_not_the_whole_key_opens_nothing(database: Database, wrong: str) -> None:
    prefix, secret = (await create_key(database, workspace="default", name="ci")).split("_")[1:]
    assert await prove_key(database, wrong.format(p=prefix, s=secret)) is None


async def test_another_secret_behind_a_known_prefix_opens_nothing(database: Database) -> None:
    key = await create_key(database, workspace="default", name="ci")
    changed = key[:-1] + ("a" if key[-1] != "a" else "b")
    assert await prove_key(database, changed) is None


async def test_a_revoked_key_opens_nothing_from_then_on(database: Database) -> None:
    key = await create_key(database, workspace="default", name="ci")
    await revoke_key(database, workspace="default", prefix=key.split("_")[1])
    assert await prove_key(database, key) is None
    [info] = await list_keys(database, workspace="default")
    first = info.revoked_at
    assert first is not None
    await revoke_key(database, workspace="default", prefix=info.prefix)
    assert (await list_keys(database, workspace="default"))[0].revoked_at == first


async def test_an_expired_key_opens_nothing(database: Database) -> None:
    now = datetime.now(UTC)
    over = await create_key(database, workspace="default", name="old", expires_at=now - timedelta(seconds=5))
    good = await create_key(database, workspace="default", name="new", expires_at=now + timedelta(hours=1))
    assert await prove_key(database, over) is None
    assert await prove_key(database, good) is not None


async def test_keys_are_listed_newest_first_and_only_the_workspaces(database: Database) -> None:
    await database.pool.execute("INSERT INTO workspaces (id, handle, name) VALUES ($1, 'other', 'other')", uuid.uuid4())
    for workspace, name in [("default", "first"), ("default", "second"), ("other", "theirs")]:
        await create_key(database, workspace=workspace, name=name)
    listed = await list_keys(database, workspace="default")
    assert [info.name for info in listed] == ["second", "first"]
    assert listed[0].scopes == ALL_SCOPES


async def test_a_key_of_another_workspace_cannot_be_revoked(database: Database) -> None:
    await database.pool.execute("INSERT INTO workspaces (id, handle, name) VALUES ($1, 'other', 'other')", uuid.uuid4())
    theirs = await create_key(database, workspace="other", name="theirs")
    with pytest.raises(NotFound):
        await revoke_key(database, workspace="default", prefix=theirs.split("_")[1])
    assert await prove_key(database, theirs) is not None


async def test_a_key_for_no_workspace_or_with_unknown_scopes_or_without_a_name_is_not_made(database: Database) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        await create_key(database, workspace="nowhere", name="ci")
    with pytest.raises(InvalidInput, match="events:burn"):
        await create_key(database, workspace="default", name="ci", scopes=["events:read", "events:burn"])
    with pytest.raises(InvalidInput):
        await create_key(database, workspace="default", name="ci", scopes=[])
    for name in ("", " ", "two\nlines", "x" * 101):
        with pytest.raises(InvalidInput, match="name"):
            await create_key(database, workspace="default", name=name)
    assert await list_keys(database, workspace="default") == []


async def test_the_last_use_is_noted_at_most_once_a_minute(api: httpx.AsyncClient, database: Database) -> None:
    async def used() -> datetime | None:
        return (await list_keys(database, workspace="default"))[0].last_used_at

    assert await used() is None
    await api.get("/api/providers")
    first = await used()
    assert first is not None
    await api.get("/api/providers")
    assert await used() == first
    await database.pool.execute("UPDATE api_keys SET last_used_at = last_used_at - interval '61 seconds'")
    await api.get("/api/providers")
    again = await used()
    assert again is not None
    assert again > first
