"""Coalesced writes: kept until committed, and one bad item fails alone."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from janus_mail.storage.coalesce import Coalescer


class Store:
    """Doubles what it is given; fails as it is told."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.failures: list[Exception] = []

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.calls.append(list(items))
        if self.failures:
            raise self.failures.pop(0)
        if 13 in items:
            raise asyncpg.DataError("13 cannot be stored")
        return [item * 2 for item in items]


async def test_what_comes_together_is_written_together() -> None:
    store = Store()
    write = Coalescer(store, delay_s=0.005)
    assert list(await asyncio.gather(*map(write, range(12)))) == [n * 2 for n in range(12)]
    assert store.calls == [list(range(12))]


async def test_a_full_batch_does_not_wait_for_the_delay() -> None:
    write = Coalescer(Store(), delay_s=60, most=2)
    async with asyncio.timeout(1):
        assert list(await asyncio.gather(write(1), write(2))) == [2, 4]


@pytest.mark.parametrize("failure", [ConnectionResetError(), asyncpg.DeadlockDetectedError(), TimeoutError()])
async def test_a_write_is_repeated_until_it_is_through(failure: Exception) -> None:
    store = Store()
    store.failures = [failure] * 3
    assert await Coalescer(store, delay_s=0)(21) == 42
    assert store.calls == [[21]] * 4


async def test_an_item_that_is_not_worth_it_any_more_gets_the_error() -> None:
    store = Store()
    store.failures = [ConnectionResetError()]
    write = Coalescer(store, delay_s=0.001, keep=lambda item: item != 1)
    gone, kept = await asyncio.gather(write(1), write(2), return_exceptions=True)
    assert isinstance(gone, ConnectionResetError)
    assert kept == 4


async def test_a_refused_item_fails_alone() -> None:
    write = Coalescer(Store(), delay_s=0.001)
    answers = await asyncio.gather(*map(write, range(10, 20)), return_exceptions=True)
    assert isinstance(answers[3], asyncpg.DataError)
    assert [a for n, a in enumerate(answers, 10) if n != 13] == [n * 2 for n in range(10, 20) if n != 13]


async def test_a_mistake_of_ours_is_not_taken_for_an_outage() -> None:
    store = Store()
    store.failures = [asyncpg.InterfaceError("the server expects 3 arguments for this query, 2 were passed")]
    with pytest.raises(asyncpg.InterfaceError):
        await Coalescer(store, delay_s=0)(1)


async def test_a_caller_that_is_cancelled_does_not_take_its_item_back() -> None:
    store = Store()
    write = Coalescer(store, delay_s=0.001)
    caller = asyncio.create_task(write(1))
    await asyncio.sleep(0)
    caller.cancel()
    await write.drain()
    assert store.calls == [[1]]


class Gate(Store):
    """Holds each call until it is let through."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()

    async def __call__(self, items: Sequence[int]) -> list[int]:
        answers = await super().__call__(items)
        await self.open.wait()
        return answers


async def test_with_lanes_what_comes_while_one_is_under_way_goes_together_next() -> None:
    gate = Gate()
    ask = Coalescer(gate, lanes=1, most=3)
    first = asyncio.create_task(ask(1))
    async with asyncio.timeout(5):
        while not gate.calls:
            await asyncio.sleep(0)
    rest = [asyncio.create_task(ask(n)) for n in range(2, 7)]
    await asyncio.sleep(0)
    assert gate.calls == [[1]]
    gate.open.set()
    assert [await task for task in (first, *rest)] == [2, 4, 6, 8, 10, 12]
    assert gate.calls == [[1], [2, 3, 4], [5, 6]]


async def test_with_lanes_nobody_waits_in_a_quiet_moment() -> None:
    ask = Coalescer(Store(), lanes=1)
    async with asyncio.timeout(1):
        assert [await ask(n) for n in (1, 2, 3)] == [2, 4, 6]


async def test_with_a_delay_and_lanes_what_is_gathered_waits_for_the_write_under_way() -> None:
    gate = Gate()
    write = Coalescer(gate, delay_s=0.001, lanes=1)
    first = asyncio.create_task(write(1))
    async with asyncio.timeout(5):
        while not gate.calls:
            await asyncio.sleep(0)
    rest = [asyncio.create_task(write(n)) for n in (2, 3)]
    await asyncio.sleep(0.005)
    rest.append(asyncio.create_task(write(4)))
    await asyncio.sleep(0)
    assert gate.calls == [[1]]
    gate.open.set()
    assert [await task for task in (first, *rest)] == [2, 4, 6, 8]
    assert gate.calls == [[1], [2, 3, 4]]


async def test_a_write_that_is_stuck_keeps_the_others_for_a_moment_only() -> None:
    gate = Gate()
    write = Coalescer(gate, delay_s=0.001, lanes=1, patience_s=0.02)
    tasks = [asyncio.create_task(write(1))]
    async with asyncio.timeout(5):
        for calls in (1, 2, 3):
            while len(gate.calls) < calls:
                await asyncio.sleep(0.001)
            tasks.append(asyncio.create_task(write(calls + 1)))
    assert gate.calls == [[1], [2], [3]]
    gate.open.set()
    assert [await task for task in tasks] == [2, 4, 6, 8]
