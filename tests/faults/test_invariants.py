"""The judge is judged: what breaks an invariant is found, and the message that broke it is named."""

import dataclasses
import uuid

import pytest

from tests.faults.invariants import Expectations, check
from tests.faults.ledger import Entry
from tests.faults.smtp_proxy import SmtpProxy
from tests.faults.workspace import Workspace


@pytest.fixture
async def entries(workspace: Workspace, line: SmtpProxy) -> list[Entry]:
    """Three mails that are sent, as it should be."""
    await workspace.stand.worker()
    await workspace.accept(3)
    await workspace.settled()
    return list(workspace.entries())


async def verdict(workspace: Workspace, entries: list[Entry], expected: Expectations | None = None) -> list[str]:
    report = await check(
        workspace.stand.database, [workspace.id], entries, expected or Expectations(workspace.accepted)
    )
    return [line.split(": ")[0] + ": " + line.split(": ")[1].partition(" (")[0] for line in report.broken]


async def test_what_the_ledgers_say_is_held_against_the_database(workspace: Workspace, entries: list[Entry]) -> None:
    first, second, third = entries
    assert await verdict(workspace, entries) == []
    assert await verdict(workspace, [first, second]) == ["2: sent, but no server has it"]
    assert await verdict(workspace, [*entries, first]) == ["3: 2 copies"]
    early = dataclasses.replace(first, at=first.at - 60)
    assert (await verdict(workspace, [early, second, third]))[0].startswith("4: it left 59")
    older = dataclasses.replace(first, subject="As it was before")
    assert await verdict(workspace, [older, second, third]) == [
        "4: it left as 'As it was before', which is not its last form"
    ]
    stranger = dataclasses.replace(first, recipient=f"nobody@{workspace.domain}")
    assert await verdict(workspace, [*entries, stranger]) == [
        f"2: nobody@{workspace.domain} was never accepted and has left"
    ]


async def test_what_was_accepted_must_be_there(workspace: Workspace, entries: list[Entry]) -> None:
    missing = f"gone@{workspace.domain}"
    expected = Expectations(workspace.accepted | {missing: uuid.uuid4()})
    assert await verdict(workspace, entries, expected) == [f"1: {missing} was accepted and is not in the database"]


@pytest.mark.parametrize(
    ("policy", "copies", "found"),
    [("resend", 2, []), ("resend", 3, ["3: 3 copies"]), ("park", 2, ["3: 2 copies"])],
)
async def test_a_fault_in_the_dispatch_window_excuses_one_copy_and_only_under_resend(
    workspace: Workspace, entries: list[Entry], policy: str, copies: int, found: list[str]
) -> None:
    await workspace.stand.database.pool.execute(
        "UPDATE events SET on_uncertain = $2 WHERE workspace_id = $1", workspace.id, policy
    )
    struck = Expectations(workspace.accepted, struck=[entries[0].recipient])
    assert await verdict(workspace, entries + [entries[0]] * (copies - 1), struck) == found


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE messages SET state = 'sending' WHERE id = $1", "1: not final"),
        ("UPDATE messages SET state = 'failed' WHERE id = $1", "1: failed though nobody refused it"),
        ("UPDATE messages SET state = 'parked' WHERE id = $1", "1: parked without the doubt for it"),
        ("UPDATE messages SET state = 'canceled' WHERE id = $1", "4: canceled, and yet it left"),
        ("UPDATE messages SET fence = 0 WHERE id = $1", "5: its fence fell from 1 to 0"),
        ("UPDATE attempts SET response = '' WHERE message_id = $1", "5: its closed attempt 1 was rewritten"),
        ("DELETE FROM attempts WHERE message_id = $1", "5: its attempt 1 was deleted"),
        ("UPDATE attempts SET finished_at = NULL WHERE message_id = $1", "5: an attempt is still open"),
        ("UPDATE attempts SET number = 2 WHERE message_id = $1", "5: attempts are missing or numbered twice"),
        (
            """INSERT INTO attempts SELECT (jsonb_populate_record(t, jsonb_build_object(
                   'id', gen_random_uuid(), 'number', 0, 'outcome', 'uncertain', 'provider_id', gen_random_uuid()))).*
               FROM attempts t WHERE message_id = $1""",
            "6: another provider after doubt",
        ),
        (
            """INSERT INTO attempts SELECT (jsonb_populate_record(t, jsonb_build_object(
                   'id', gen_random_uuid(), 'number', 0, 'outcome', 'message_rejected'))).*
               FROM attempts t WHERE message_id = $1""",
            "6: tried again after message_rejected",
        ),
        (
            "UPDATE events SET counts = '{\"sent\": 2}' FROM messages m WHERE m.event_id = events.id AND m.id = $1",
            "7: event counts otherwise than its messages",
        ),
    ],
)
async def test_what_the_database_says_is_held_against_itself(
    workspace: Workspace, entries: list[Entry], statement: str, found: str
) -> None:
    message_id = await workspace.stand.ask("SELECT id FROM messages WHERE recipient = $1", entries[0].recipient)
    await workspace.stand.database.pool.execute(statement, message_id)
    said = [" ".join(line.split(" ")) for line in await verdict(workspace, entries)]
    assert any(found in line.replace(f"event {workspace.accepted[entries[0].recipient]}", "event") for line in said)


async def test_more_doubt_by_one_kill_than_the_worker_had_permits_is_found(
    workspace: Workspace, entries: list[Entry]
) -> None:
    pool = workspace.stand.database.pool
    await pool.execute(
        "UPDATE attempts SET outcome = 'uncertain', code = 'lease_expired' WHERE workspace_id = $1",
        workspace.id,
    )
    worker_id = await workspace.stand.ask(
        "SELECT worker_id FROM attempts WHERE workspace_id = $1 LIMIT 1", workspace.id
    )
    found = await verdict(workspace, entries, Expectations(workspace.accepted, lost_workers={worker_id: 2}))
    assert f"3: 3 became uncertain by the end of worker {worker_id}, which had a concurrency of 2" in found
