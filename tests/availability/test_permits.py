"""How many messages may be under way: a black hole has half of the permits at most, and the rest goes on."""

import asyncio
import uuid
from contextlib import AsyncExitStack

import pytest

from janus_mail.availability.permits import Closed, Permits

WORKSPACE, OTHER = uuid.uuid4(), uuid.uuid4()
HOLE, GOOD = uuid.uuid4(), uuid.uuid4()


async def hold(permits: Permits, workspace_id: uuid.UUID, provider_id: uuid.UUID, until: asyncio.Event) -> None:
    async with permits.held(workspace_id, provider_id):
        await until.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_provider_leaves_room_for_others_of_its_workspace_and_for_other_workspaces() -> None:
    permits, end = Permits(8), asyncio.Event()
    tasks = [asyncio.create_task(hold(permits, WORKSPACE, HOLE, end)) for _ in range(9)]
    await settle()
    assert permits.taken == 3
    async with permits.held(WORKSPACE, GOOD), permits.held(OTHER, uuid.uuid4()):
        assert permits.taken == 5
    end.set()
    await asyncio.gather(*tasks)
    assert permits.taken == 0


async def test_one_workspace_holds_half_at_most() -> None:
    permits, end = Permits(4), asyncio.Event()
    tasks = [asyncio.create_task(hold(permits, WORKSPACE, uuid.uuid4(), end)) for _ in range(5)]
    await settle()
    assert permits.taken == 2
    async with permits.held(OTHER, GOOD):
        assert permits.taken == 3
    end.set()
    await asyncio.gather(*tasks)


async def test_who_waits_is_served_in_the_order_of_coming() -> None:
    permits, order = Permits(2), []

    async def note(workspace_id: uuid.UUID, provider_id: uuid.UUID, name: str) -> None:
        async with permits.held(workspace_id, provider_id):
            order.append(name)

    async with permits.held(WORKSPACE, HOLE), permits.held(OTHER, GOOD):
        waiting = [
            asyncio.create_task(note(workspace_id, provider_id, name))
            for workspace_id, provider_id, name in (
                (WORKSPACE, HOLE, "a1"), (WORKSPACE, HOLE, "a2"), (OTHER, GOOD, "b1"), (OTHER, GOOD, "b2")
            )
        ]  # fmt: skip
        await settle()
    await asyncio.gather(*waiting)
    assert [name for name in order if name[0] == "a"] == ["a1", "a2"]
    assert [name for name in order if name[0] == "b"] == ["b1", "b2"]


async def test_however_many_black_holes_there_are_there_is_room_for_one_more_workspace() -> None:
    permits, end = Permits(120), asyncio.Event()
    tasks = []
    for _ in range(5):
        workspace_id, hole = uuid.uuid4(), uuid.uuid4()
        tasks += [asyncio.create_task(hold(permits, workspace_id, hole, end)) for _ in range(100)]
        await settle()
    async with asyncio.timeout(1), permits.held(uuid.uuid4(), GOOD):
        assert permits.taken < 120
    end.set()
    await asyncio.gather(*tasks)
    assert permits.taken == 0


async def test_workspaces_that_all_have_much_to_do_come_to_the_same_share() -> None:
    permits, most = Permits(12), dict.fromkeys((WORKSPACE, OTHER), 0)

    async def work(workspace_id: uuid.UUID) -> None:
        for _ in range(20):
            async with permits.held(workspace_id, workspace_id):
                now = permits._of_workspace[workspace_id]
                most[workspace_id] = max(most[workspace_id], now)
                await asyncio.sleep(0)

    await asyncio.gather(*(work(w) for w in (WORKSPACE, OTHER) for _ in range(20)))
    assert min(most.values()) >= 3


async def test_a_cancelled_wait_takes_nothing_with_it() -> None:
    permits = Permits(2)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(permits.held(WORKSPACE, HOLE))
        given_up = asyncio.create_task(hold(permits, WORKSPACE, HOLE, asyncio.Event()))
        await settle()
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
    granted = asyncio.create_task(hold(permits, WORKSPACE, HOLE, asyncio.Event()))
    await settle()
    assert permits.taken == 1
    granted.cancel()
    await asyncio.gather(granted, return_exceptions=True)
    assert permits.taken == 0


async def test_a_permit_that_comes_in_the_moment_of_cancelling_is_given_back() -> None:
    permits, first = Permits(2), asyncio.Event()
    holder = asyncio.create_task(hold(permits, WORKSPACE, HOLE, first))
    await settle()
    waiter = asyncio.create_task(hold(permits, WORKSPACE, HOLE, asyncio.Event()))
    await settle()
    first.set()
    await holder  # hands on to the waiter, which has not run yet
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    assert permits.taken == 0


async def test_closing_turns_away_who_waits_and_who_comes() -> None:
    permits, end = Permits(2), asyncio.Event()
    holder = asyncio.create_task(hold(permits, WORKSPACE, HOLE, end))
    await settle()
    waiter = asyncio.create_task(hold(permits, WORKSPACE, HOLE, end))
    await settle()
    permits.close()
    with pytest.raises(Closed):
        await waiter
    with pytest.raises(Closed):
        async with permits.held(OTHER, GOOD):
            pass
    end.set()
    await holder
    assert permits.taken == 0
