"""`janus erase …`: what somebody asks to be forgotten."""

import uuid

import pytest

from janus_mail.models.states import Role
from janus_mail.storage.database import Database
from tests.delivery.conftest import Workshop, quick, shop
from tests.people import add_person, add_workspace
from tests.test_cli import Janus, janus, named

__all__ = ["janus", "named", "quick", "shop"]


async def test_a_recipient_is_erased_and_the_command_says_what_was_done(
    janus: Janus, named: None, shop: Workshop
) -> None:
    event_id = await shop.event("ann@example.com", due_in_s=3_600)
    await shop.database.pool.execute(
        "INSERT INTO suppressions (id, workspace_id, address, reason, source) VALUES ($1, $2, $3, 'manual', 'x')",
        uuid.uuid4(), shop.workspace_id, "ann@example.com",
    )  # fmt: skip

    done = await janus("erase", "recipient", "Ann@example.com", "--yes")

    assert (done.code, done.err) == (0, "")
    pseudonym = (await shop.message(event_id))["recipient"]
    first, *counts, last = done.out.splitlines()
    assert first == f"Erased; 1 message canceled before. {pseudonym} stands there instead."
    assert counts == ["  events: 1", "  messages: 1"]
    assert last.startswith("The address stays on the suppressions")
    row = await shop.database.pool.fetchrow("SELECT * FROM audit_log WHERE action = 'recipient.erased'")
    assert row is not None
    assert (row["actor_kind"], row["object"]) == ("command", pseudonym)

    again = await janus("erase", "recipient", "ann@example.com", "--yes", "--unsuppress")
    assert (again.code, len(again.out.splitlines())) == (0, 1)
    assert await shop.database.pool.fetchval("SELECT count(*) FROM suppressions WHERE source = 'x'") == 0


async def test_a_recipient_of_a_workspace_that_only_has_an_id_is_erased(
    janus: Janus, named: None, shop: Workshop
) -> None:
    team = await shop.database.pool.fetchval(
        "INSERT INTO workspaces (id, name) VALUES ($1, 'team') RETURNING id", uuid.uuid4()
    )
    theirs, ours = await shop.event("ann@example.com", workspace_id=team), await shop.event("ann@example.com")
    done = await janus("erase", "recipient", "ann@example.com", "--workspace", str(team), "--yes")
    assert (done.code, done.err) == (0, "")
    assert (await shop.message(theirs))["recipient"].startswith("erased-")
    assert (await shop.message(ours))["recipient"] == "ann@example.com"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("recipient", "ann", "--yes"), "Invalid emails: ann"),
        (("recipient", "a", "--yes"), "Type the whole address."),
        (("recipient", "ann@example.com", "--workspace", "elsewhere", "--yes"), "There is no workspace elsewhere."),
        (("person", "ann@example.com", "--yes"), "There is no account ann@example.com."),
    ],
)
async def test_what_cannot_be_erased_is_said_in_one_line(
    janus: Janus, named: None, workspace_id: uuid.UUID, arguments: tuple[str, ...], said: str
) -> None:
    done = await janus("erase", *arguments)
    assert (done.code, done.out) == (1, "")
    assert said in done.err
    assert done.err.count("\n") == 1


async def test_without_a_yes_nobody_is_erased(janus: Janus, named: None, shop: Workshop) -> None:
    event_id = await shop.event("ann@example.com")
    done = await janus("erase", "recipient", "ann@example.com", typed="n\n")
    assert done.code == 1
    assert (await shop.message(event_id))["recipient"] == "ann@example.com"


async def test_a_person_is_erased_unless_a_workspace_would_lose_its_last_owner(
    janus: Janus, named: None, database: Database, workspace_id: uuid.UUID
) -> None:
    team = await add_workspace(database, "team")
    await database.pool.execute("UPDATE workspaces SET handle = NULL WHERE id = $1", team)
    user_id = await add_person(database, "ann@example.com", workspace_id=team)
    bob = await add_person(database, "bob@example.com", workspace_id=team, role=Role.EDITOR)

    refused = await janus("erase", "person", "ANN@example.com", "--yes")
    assert (refused.code, refused.out) == (1, "")
    assert "The last owner of team" in refused.err

    await database.pool.execute("UPDATE memberships SET role = 'owner' WHERE user_id = $1", bob)
    done = await janus("erase", "person", "ANN@example.com", "--yes")
    assert (done.code, done.err) == (0, "")
    user = await database.pool.fetchrow("SELECT email, erased_at FROM users WHERE id = $1", user_id)
    assert user is not None
    assert user["erased_at"] is not None
    assert done.out == f"Erased: {user['email']} stands there instead.\n"
    row = await database.pool.fetchrow("SELECT actor_kind FROM audit_log WHERE action = 'person.erased'")
    assert row is not None
    assert row["actor_kind"] == "command"
