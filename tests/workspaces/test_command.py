"""`janus workspaces …` and `janus keys …`, as whoever runs the server types them."""

import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from uuid_utils.compat import uuid7

from janus_mail.keys.key import create_key, list_keys, prove_key
from janus_mail.storage.database import Database
from tests.people import add_person
from tests.test_cli import Janus, janus, named

__all__ = ["janus", "named"]

pytestmark = pytest.mark.usefixtures("workspace_id", "named")


async def test_a_workspace_is_made_for_somebody_who_has_an_account(janus: Janus, database: Database) -> None:
    mara = await add_person(database, "mara@example.com")
    done = await janus("workspaces", "create", "Northwind", "--owner", "MARA@example.com")
    assert (done.code, done.err) == (0, "")
    made = uuid.UUID(done.out.strip())
    row = await database.pool.fetchrow("SELECT * FROM memberships")
    assert row is not None
    assert (row["workspace_id"], row["user_id"], row["role"]) == (made, mara, "owner")
    listed = (await janus("workspaces", "list")).out.splitlines()
    assert re.fullmatch(rf"{made}  Northwind  1 member  usual a minute  usual a month", listed[1])
    assert "default  0 members" in listed[0]


async def test_quotas_are_the_servers_to_set(janus: Janus, database: Database) -> None:
    done = await janus("workspaces", "quota", "default", "--per-minute", "60", "--monthly", "0")
    assert (done.code, done.out) == (0, "default: 60 a minute, any number a month\n")
    done = await janus("workspaces", "quota", "default", "--per-minute", "usual")
    assert done.out == "default: usual a minute, any number a month\n"
    row = await database.pool.fetchrow("SELECT minute_quota, monthly_quota FROM workspaces")
    assert row is not None
    assert list(row) == [None, 0]
    rows = await database.pool.fetch("SELECT after FROM audit_log WHERE action = 'workspace.changed' ORDER BY id")
    assert [row["after"]["minute_quota"] for row in rows] == [60, None]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("create", "x", "--owner", "nobody@example.com"), "Nobody has an account with the address nobody@example.com"),
        (("create", " ", "--owner", "mara@example.com"), "1 to 100 printable characters"),
        (("quota", "nowhere", "--monthly", "1"), "no workspace 'nowhere'"),
        (("quota", "twice", "--monthly", "1"), "Several workspaces are called 'twice'"),
        (("quota", "default", "--monthly", "many"), "--monthly is a whole number"),
        (("quota", "default", "--monthly", "99999999999"), "--monthly is a whole number"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
async def test_what_cannot_be_done_is_said_in_a_line(
    janus: Janus, database: Database, arguments: tuple[str, ...], says: str
) -> None:
    for _ in range(2):
        await database.pool.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'twice')", uuid.uuid4())
    done = await janus("workspaces", *arguments)
    assert (done.code, done.out) == (1, "")
    assert says in done.err
    assert done.err.count("\n") == 1


async def test_a_key_is_made_with_an_end_and_a_limit_and_rotated(janus: Janus, database: Database) -> None:
    made = await janus("keys", "create", "--name", "ci", "--expires-in-days", "30", "--rate-limit", "60")
    proven = await prove_key(database, made.out.strip())
    assert proven is not None
    assert proven.rate_limit == 60
    assert re.search(r"ends \d{4}-\d\d-\d\d", (await janus("keys", "list")).out)
    prefix = made.out.split("_")[1]
    new = await janus("keys", "rotate", prefix, "--overlap-hours", "2")
    assert await prove_key(database, new.out.strip()) is not None
    old = next(key for key in await list_keys(database, workspace="default") if key.prefix == prefix)
    assert old.expires_at is not None
    assert old.expires_at - datetime.now(UTC) <= timedelta(hours=2)
    again = await janus("keys", "rotate", prefix)
    assert (again.code, "has a successor" in again.err) == (1, True)


async def test_the_keys_of_a_workspace_without_a_handle_are_reached_by_its_id(janus: Janus, database: Database) -> None:
    other = uuid.uuid4()
    await database.pool.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'other')", other)
    await create_key(database, workspace="default", name="not this")
    await janus("keys", "create", "--name", "theirs", "--workspace", str(other))
    listed = (await janus("keys", "list", "--workspace", str(other))).out
    assert "theirs" in listed
    assert "not this" not in listed


async def test_no_name_that_a_team_gives_itself_hides_another_workspace(janus: Janus, database: Database) -> None:
    team = await database.pool.fetchval("INSERT INTO workspaces (id, name) VALUES ($1, 'team') RETURNING id", uuid7())
    for name in (str(team), "default"):
        await database.pool.execute("INSERT INTO workspaces (id, name) VALUES ($1, $2)", uuid7(), name)
    for called, is_it in ((str(team), "team"), ("default", "default")):
        done = await janus("workspaces", "quota", called, "--monthly", "5")
        assert (done.code, done.out) == (0, f"{is_it}: usual a minute, 5 a month\n")
    limited = await database.pool.fetch("SELECT handle, name FROM workspaces WHERE monthly_quota = 5 ORDER BY name")
    assert [tuple(row) for row in limited] == [("default", "default"), (None, "team")]
