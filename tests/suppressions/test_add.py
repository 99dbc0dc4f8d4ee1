"""Addresses on a workspace's list: what comes first, what comes again, what comes at the same time."""

import asyncio
import random
import uuid
from typing import Any

from janus_mail.models.states import SuppressionReason
from janus_mail.storage.database import Database
from janus_mail.suppressions.add import Found, suppress


async def _suppress(database: Database, *found: Found) -> int:
    async with database.transaction() as connection:
        return await suppress(connection, found)


async def _list(database: Database) -> list[dict[str, Any]]:
    rows = await database.pool.fetch("SELECT * FROM suppressions ORDER BY address")
    return [dict(row) for row in rows]


async def test_an_address_is_kept_in_lower_case_and_in_wire_form(database: Database, workspace_id: uuid.UUID) -> None:
    message_id = uuid.uuid4()
    found = Found(workspace_id, "Ann.Lee@Bücher.Example", SuppressionReason.HARD_BOUNCE, "SendGrid", message_id)
    assert await _suppress(database, found) == 1
    (row,) = await _list(database)
    assert (row["address"], row["reason"]) == ("ann.lee@xn--bcher-kva.example", "hard_bounce")
    assert (row["source"], row["message_id"]) == ("SendGrid", message_id)


async def test_the_same_again_changes_nothing_and_is_not_counted(database: Database, workspace_id: uuid.UUID) -> None:
    first = Found(workspace_id, "ann@example.org", SuppressionReason.COMPLAINT, "Postmark")
    again = Found(workspace_id, "ANN@example.org", SuppressionReason.COMPLAINT, "SendGrid")
    bob = Found(workspace_id, "bob@example.org", SuppressionReason.MANUAL, "API key ci")
    assert await _suppress(database, first) == 1
    before = await _list(database)
    assert await _suppress(database, again, bob) == 1
    assert (await _list(database))[:1] == before


async def test_a_stronger_reason_replaces_a_weaker_one_and_never_the_other_way(
    database: Database, workspace_id: uuid.UUID
) -> None:
    reasons = ["manual", "hard_bounce", "unsubscribe", "complaint"]
    for reason in reasons:
        found = Found(workspace_id, "ann@example.org", SuppressionReason(reason), f"told of a {reason}")
        assert await _suppress(database, found) == (1 if reason == "manual" else 0)
        (row,) = await _list(database)
        assert (row["reason"], row["source"]) == (reason, f"told of a {reason}")
    await _suppress(database, *(Found(workspace_id, "ann@example.org", SuppressionReason(r), "late") for r in reasons))
    (row,) = await _list(database)
    assert (row["reason"], row["source"]) == ("complaint", "told of a complaint")


async def test_of_one_address_given_several_times_the_strongest_reason_is_kept(
    database: Database, workspace_id: uuid.UUID
) -> None:
    found = [
        Found(workspace_id, "ann@example.org", SuppressionReason.HARD_BOUNCE, "first"),
        Found(workspace_id, "Ann@example.org", SuppressionReason.COMPLAINT, "second"),
        Found(workspace_id, "ann@Example.org", SuppressionReason.COMPLAINT, "third"),
    ]
    assert await _suppress(database, *found) == 1
    (row,) = await _list(database)
    assert (row["reason"], row["source"]) == ("complaint", "second")


async def test_what_is_no_address_or_of_no_workspace_is_left_out(database: Database, workspace_id: uuid.UUID) -> None:
    found = [
        Found(workspace_id, "nobody", SuppressionReason.HARD_BOUNCE, "a DSN"),
        Found(workspace_id, "", SuppressionReason.HARD_BOUNCE, "a DSN"),
        Found(workspace_id, "a\x00b@example.org", SuppressionReason.HARD_BOUNCE, "a DSN"),
        Found(uuid.uuid4(), "gone@example.org", SuppressionReason.HARD_BOUNCE, "a workspace that was removed"),
        Found(workspace_id, "ann@example.org", SuppressionReason.HARD_BOUNCE, "a DSN"),
    ]
    assert await _suppress(database, *found) == 1
    assert [row["address"] for row in await _list(database)] == ["ann@example.org"]


async def test_many_at_once_in_any_order_never_wait_for_one_another_in_a_ring(
    database: Database, workspace_id: uuid.UUID
) -> None:
    addresses = [f"person{n}@example.org" for n in range(2_000)]

    async def add() -> int:
        mixed = random.sample(addresses, len(addresses))
        return await _suppress(
            database, *(Found(workspace_id, a, random.choice(list(SuppressionReason)), "SendGrid") for a in mixed)
        )

    added = await asyncio.gather(*(add() for _ in range(8)))
    assert sum(added) == len(await _list(database)) == 2_000
