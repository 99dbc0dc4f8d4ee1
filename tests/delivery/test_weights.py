"""Big mails wait for one another's memory; nobody waits for ever, and no workspace takes all of it."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from janus_mail.delivery.weights import Weight, Weights

ONE, OTHER, THIRD = (uuid.UUID(int=number) for number in (1, 2, 3))


class Crowd:
    """Mails that hold their weight until they are told to leave."""

    def __init__(self, most_bytes: int = 100) -> None:
        self.weights = Weights(most_bytes)
        self.inside: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, workspace_id: uuid.UUID, own: int, shared: int = 0, key: str = "") -> None:
        self.tasks[name] = asyncio.create_task(self._stay(name, Weight(workspace_id, key or name, own, shared)))
        await self.settle()

    async def leave(self, name: str) -> None:
        self.inside[name].set()
        await self.tasks[name]
        await self.settle()

    async def _stay(self, name: str, weight: Weight) -> None:
        async with self.weights.held(weight):
            self.inside[name] = asyncio.Event()
            try:
                await self.inside[name].wait()
            finally:
                del self.inside[name]

    async def settle(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    @property
    def names(self) -> str:
        return "".join(sorted(self.inside))


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    async with gone_at_last(Crowd()) as crowd:
        yield crowd


@asynccontextmanager
async def gone_at_last(crowd: Crowd) -> AsyncIterator[Crowd]:
    yield crowd
    for task in crowd.tasks.values():
        task.cancel()
    await asyncio.gather(*crowd.tasks.values(), return_exceptions=True)
    assert crowd.weights.held_bytes == 0
    assert not crowd.weights._waiting
    assert not crowd.weights._mails
    assert not crowd.weights._of_workspace


async def test_a_workspace_has_half_and_the_others_the_rest(crowd: Crowd) -> None:
    for name in "abc":
        await crowd.come(name, ONE, 25)
    await crowd.come("d", OTHER, 25)
    assert crowd.names == "abd"
    await crowd.leave("d")
    assert crowd.names == "ab"  # c waits for its own
    await crowd.leave("a")
    assert crowd.names == "bc"


async def test_one_mail_of_a_workspace_is_let_in_however_big(crowd: Crowd) -> None:
    await crowd.come("a", ONE, 95)
    await crowd.come("b", ONE, 1)
    assert crowd.names == "a"
    await crowd.leave("a")
    assert crowd.names == "b"
    await crowd.come("c", OTHER, 1000)
    assert crowd.names == "b"
    await crowd.leave("b")
    assert crowd.names == "c"


async def test_a_big_one_is_not_overtaken_until_it_starves(crowd: Crowd) -> None:
    await crowd.come("a", ONE, 45)
    await crowd.come("b", OTHER, 50)
    await crowd.come("c", THIRD, 50)
    await crowd.come("d", THIRD, 1)
    assert crowd.names == "ab"
    await crowd.leave("a")
    assert crowd.names == "bc"
    await crowd.leave("b")
    await crowd.leave("c")
    assert crowd.names == "d"


async def test_what_mails_share_weighs_once(crowd: Crowd) -> None:
    for name in "abcd":
        await crowd.come(name, ONE, 10, shared=20, key="event")
    assert (crowd.names, crowd.weights.held_bytes) == ("abc", 50)
    await crowd.leave("a")
    assert (crowd.names, crowd.weights.held_bytes) == ("bcd", 50)
    for name in "bcd":
        await crowd.leave(name)
    assert crowd.weights.held_bytes == 0


async def test_who_is_cancelled_while_waiting_or_just_let_in_leaves_nothing_behind(crowd: Crowd) -> None:
    await crowd.come("a", ONE, 50)
    await crowd.come("b", ONE, 50)
    await crowd.come("c", ONE, 50)
    crowd.tasks["b"].cancel()
    crowd.inside["a"].set()
    await crowd.settle()
    await crowd.settle()
    assert crowd.names == "c"
    await crowd.come("d", ONE, 50)
    crowd.inside["c"].set()
    await crowd.tasks["c"]  # d has its place by now, and does not know
    crowd.tasks["d"].cancel()
    await crowd.settle()
    assert crowd.weights.held_bytes == 0


async def test_a_crowd_with_cancellations_comes_through_within_its_bounds() -> None:
    dice = random.Random(5)
    weights, most = Weights(100), 0

    async def mail(number: int) -> None:
        nonlocal most
        key = dice.randrange(8)
        weight = Weight(uuid.UUID(int=key % 4), key, dice.randrange(1, 20), shared=key * 3)
        async with weights.held(weight):
            most = max(most, weights.held_bytes)
            for _ in range(dice.randrange(5)):
                await asyncio.sleep(0)

    tasks = [asyncio.create_task(mail(number)) for number in range(500)]
    while not all(task.done() for task in tasks):
        if dice.random() < 0.3:
            dice.choice(tasks).cancel()
        await asyncio.sleep(0)
    assert 50 < most <= 100
    assert weights.held_bytes == 0
    assert sum(not task.cancelled() for task in tasks) > 100
