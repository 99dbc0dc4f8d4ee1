"""A suppressed address gets no mail: whatever was accepted before, whoever claims it, and as long as it is listed."""

import asyncio
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis
from uuid_utils.compat import uuid7

from janus_mail.delivery import control
from janus_mail.delivery.claim import Claimer
from janus_mail.delivery.queries import lease
from janus_mail.worker import WorkerProcess
from tests.delivery.conftest import Workshop, working
from tests.delivery.test_bad_days import smtp
from tests.delivery.test_statements import NONE, ONE, backlog, plan
from tests.suppressions.conftest import Suppress

SINCE = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)


async def claim(shop: Workshop, *, by_lane: bool = False) -> list[str]:
    """Who is to be mailed."""
    claimer = Claimer(shop.database, uuid7(), lease_s=60)
    claimer.backlog = by_lane
    return sorted(hold.recipient for hold in await claimer.claim(100))


@pytest.mark.parametrize("by_lane", [False, True], ids=["by time", "by lane"])
async def test_the_claim_leaves_out_who_is_on_the_list_and_says_why(
    shop: Workshop, listed: Suppress, by_lane: bool
) -> None:
    event_id = await shop.event("Ann@example.org", "bob@example.org", "ann@example.net")
    await listed("ann@example.org", since=SINCE)
    assert await claim(shop, by_lane=by_lane) == ["ann@example.net", "bob@example.org"]
    ann, *others = await shop.messages(event_id)
    assert (ann["state"], ann["attempt_count"]) == ("suppressed", 0)
    assert ann["last_error"] == "suppressed: hard bounce, told by SendGrid on 2026-11-21"
    assert [other["state"] for other in others] == ["leased", "leased"]
    event = await shop.event_row(event_id)
    assert event["counts"] == {"suppressed": 1, "leased": 2}
    assert await claim(shop, by_lane=by_lane) == []


async def test_another_workspace_s_list_is_nothing_to_this_one(shop: Workshop, listed: Suppress) -> None:
    other = uuid7()
    await shop.database.pool.execute("INSERT INTO workspaces (id, handle, name) VALUES ($1, 'other', 'other')", other)
    await listed("ann@example.org", workspace_id=other)
    mine, theirs = await shop.event("ann@example.org"), await shop.event("ann@example.org", workspace_id=other)
    assert await claim(shop) == ["ann@example.org"]
    assert (await shop.message(mine))["state"] == "leased"
    assert (await shop.message(theirs))["state"] == "suppressed"
    assert (await shop.event_row(theirs))["status"] == "suppressed"


async def test_what_was_suppressed_between_accept_and_claim_never_leaves(
    shop: Workshop, listed: Suppress, redis: Redis
) -> None:
    async with smtp() as server:
        await shop.smtp(server.port)
        event_id = await shop.event("ann@example.org", "bob@example.org", due_in_s=0.3)
        await listed("ann@example.org")
        async with working(shop.settings, shop.database, redis):
            ann, bob = await shop.until(event_id, "suppressed", "sent")
        assert (ann["state"], bob["state"]) == ("suppressed", "sent")
        assert [mail.recipients for mail in server.mails] == [["bob@example.org"]]
    event = await shop.event_row(event_id)
    assert (event["status"], event["counts"]) == ("partly_sent", {"suppressed": 1, "sent": 1})
    assert event["error_message"].startswith("suppressed: hard bounce")


async def test_addresses_that_are_listed_while_claims_run_are_mailed_or_suppressed_and_never_both(
    shop: Workshop, listed: Suppress, redis: Redis
) -> None:
    addresses = [f"person{number}@example.org" for number in range(300)]
    async with smtp() as server, working(shop.settings, shop.database, redis) as process:
        await shop.smtp(server.port)
        event_id = await shop.event(*addresses)
        process.engine.wake()
        for start in range(0, 300, 20):
            await listed(*addresses[start : start + 20])
            await asyncio.sleep(0)
        messages = await shop.until(event_id, "suppressed", "sent")
        mailed = {address for mail in server.mails for address in mail.recipients}
    for message in messages:
        assert (message["state"] == "sent") == (message["recipient"] in mailed), message["recipient"]
    assert len(server.mails) == len(mailed)


async def test_a_resend_that_may_have_arrived_is_parked_and_not_called_suppressed(
    shop: Workshop, listed: Suppress
) -> None:
    event_id = await shop.event("ann@example.org")
    await shop.database.pool.execute("UPDATE messages SET resends = 1")
    await listed("ann@example.org", since=SINCE)
    assert await claim(shop) == []
    message = await shop.message(event_id)
    assert message["state"] == "parked"
    assert message["last_error"] == (
        "it may have left; not sent again, as its address is suppressed: hard bounce, told by SendGrid on 2026-11-21"
    )


async def test_what_is_suppressed_and_too_late_at_once_is_suppressed(shop: Workshop, listed: Suppress) -> None:
    event_id = await shop.event("ann@example.org", expires_in_s=-1)
    await listed("ann@example.org")
    assert await claim(shop) == []
    assert (await shop.message(event_id))["state"] == "suppressed"


async def test_a_suppressed_message_is_taken_up_again_and_leaves_once_its_address_is_off_the_list(
    shop: Workshop, listed: Suppress, worker: WorkerProcess
) -> None:
    await shop.provider()
    await listed("ann@example.org")
    event_id = await shop.event("ann@example.org")
    worker.engine.wake()
    await shop.until(event_id, "suppressed")

    async def retry() -> int:
        async with shop.database.transaction() as connection:
            many = await control.retry(connection, shop.workspace_id, event_id)
        worker.engine.wake()
        return many

    fence = (await shop.message(event_id))["fence"]
    assert await retry() == 1
    async with asyncio.timeout(5):
        while (await shop.message(event_id))["fence"] < fence + 2:
            await asyncio.sleep(0.01)
    assert (await shop.message(event_id))["state"] == "suppressed"
    await shop.database.pool.execute("DELETE FROM suppressions")
    assert await retry() == 1
    (message,) = await shop.until(event_id, "sent")
    assert message["last_error"] is None


@pytest.mark.parametrize("long", [False, True], ids=["an empty list", "a long list"])
@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        (lease.CLAIM_BY_TIME, ("100", ONE, "60")),
        (lease.CLAIM_BY_LANE, (NONE, ONE, "60", NONE, NONE)),
        (lease.SUPPRESSED, (NONE, NONE, NONE)),
    ],
    ids=["claim by time", "claim by lane", "groups"],
)
async def test_each_address_is_one_look_into_the_index_of_the_list(
    shop: Workshop, listed: Suppress, statement: str, arguments: tuple[str, ...], long: bool
) -> None:
    await backlog(shop)
    if long:
        await listed(*(f"person{number}@example.org" for number in range(5_000)))
        await shop.database.pool.execute("ANALYZE suppressions")
    found = await plan(shop.database, statement, *arguments)
    assert "uq_suppressions_workspace_id_address" in found
    assert "Seq Scan on suppressions" not in found
    assert "Seq Scan on messages" not in found or statement is lease.CLAIM_BY_LANE


async def test_of_a_large_claim_with_some_suppressed_each_ends_as_it_should(shop: Workshop, listed: Suppress) -> None:
    await shop.event(*(f"person{number}@example.org" for number in range(100)))
    await listed(*(f"person{number}@example.org" for number in range(0, 100, 2)))
    assert len(await claim(shop)) == 50
    counted = await shop.database.pool.fetch("SELECT state, count(*) AS many FROM messages GROUP BY state")
    assert {row["state"]: row["many"] for row in counted} == {"leased": 50, "suppressed": 50}
