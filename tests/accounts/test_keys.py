"""API keys: only a digest is stored, and only a valid key opens."""

import re
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from janus_mail.accounts.permissions import ALL_SCOPES
from janus_mail.errors import Conflict, InvalidInput, NotFound
from janus_mail.keys.key import create_key, list_keys, prove_key, revoke_key, rotate_key
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


async def test_a_key_that_is_rotated_goes_on_for_the_overlap_and_its_successor_may_the_same(database: Database) -> None:
    ends = datetime.now(UTC) + timedelta(days=90)
    old = await create_key(
        database, workspace="default", name="ci", scopes=["events:read"], expires_at=ends, rate_limit=30
    )
    new = await rotate_key(database, workspace="default", prefix=old.split("_")[1], overlap_hours=24)
    first, second = await prove_key(database, old), await prove_key(database, new)
    assert first is not None
    assert second is not None
    assert (first.name, first.scopes, first.rate_limit) == (second.name, second.scopes, second.rate_limit)
    successor, rotated = await list_keys(database, workspace="default")
    assert rotated.successor_id == successor.id
    assert rotated.expires_at is not None
    assert timedelta(hours=23.9) < rotated.expires_at - datetime.now(UTC) <= timedelta(hours=24)
    assert successor.expires_at is not None
    assert abs(successor.expires_at - ends) < timedelta(minutes=1)
    with pytest.raises(Conflict, match="successor"):
        await rotate_key(database, workspace="default", prefix=rotated.prefix, overlap_hours=0)
    await rotate_key(database, workspace="default", prefix=successor.prefix, overlap_hours=0)
    assert await prove_key(database, new) is None
    with pytest.raises(Conflict, match="over"):
        await rotate_key(database, workspace="default", prefix=successor.prefix, overlap_hours=0)


async def test_an_overlap_does_not_make_a_key_last_longer_than_it_was_to(database: Database) -> None:
    ends = datetime.now(UTC) + timedelta(hours=1)
    old = await create_key(database, workspace="default", name="ci", expires_at=ends)
    await rotate_key(database, workspace="default", prefix=old.split("_")[1], overlap_hours=720)
    assert (await list_keys(database, workspace="default"))[1].expires_at == ends


async def test_what_is_over_is_listed_for_some_days_more(database: Database) -> None:
    for name, column in (("revoked", "revoked_at"), ("expired", "expires_at"), ("gone", "revoked_at")):
        await create_key(database, workspace="default", name=name)
        age = 31 if name == "gone" else 29
        await database.pool.execute(
            f"UPDATE api_keys SET {column} = clock_timestamp() - $2 * interval '1 day' WHERE name = $1", name, age
        )
    listed = await list_keys(database, workspace="default")
    assert [(key.name, key.status) for key in listed] == [("expired", "expired"), ("revoked", "revoked")]


async def test_a_command_that_makes_a_key_is_written_down_and_the_key_is_not(database: Database) -> None:
    key = await create_key(database, workspace="default", name="ci")
    await rotate_key(database, workspace="default", prefix=key.split("_")[1], overlap_hours=1)
    await revoke_key(database, workspace="default", prefix=key.split("_")[1])
    rows = await database.pool.fetch("SELECT action, actor, a::text AS said FROM audit_log a ORDER BY id")
    assert [row["action"] for row in rows] == ["key.created", "key.created", "key.rotated", "key.revoked"]
    assert {row["actor"] for row in rows} == {"a command on the server"}
    assert all(key.split("_")[2] not in row["said"] for row in rows)
