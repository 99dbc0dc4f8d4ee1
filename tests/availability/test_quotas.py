"""The quota of a day is never exceeded, whoever takes from it, and hardly anything of it is lost."""

import asyncio
import uuid
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from janus_mail.availability.quotas import Quotas
from janus_mail.storage.database import Database
from tests.availability.conftest import Clock


async def taken(quotas: Quotas, provider_id: uuid.UUID, workspace_id: uuid.UUID, times: int, quota: int) -> int:
    """How many of so many got one."""
    waits = await asyncio.gather(*(quotas.take(provider_id, workspace_id, quota) for _ in range(times)))
    return waits.count(0.0)


async def used(database: Database, provider_id: uuid.UUID) -> dict[date, int]:
    rows = await database.pool.fetch("SELECT day, used FROM provider_usage WHERE provider_id = $1", provider_id)
    return {row["day"]: row["used"] for row in rows}


async def use(database: Database, provider_id: uuid.UUID, count: int) -> None:
    """As another worker would."""
    await database.pool.execute("UPDATE provider_usage SET used = used + $2 WHERE provider_id = $1", provider_id, count)


def until_midnight_s(clock: Clock) -> float:
    now = datetime.now(UTC) + timedelta(seconds=clock.ahead_s)
    return ((now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0) - now).total_seconds()


async def test_workers_together_take_exactly_the_quota(
    database: Database, workspace_id: uuid.UUID, provider_id: uuid.UUID
) -> None:
    one, two = Quotas(database), Quotas(database)
    counts = await asyncio.gather(*(taken(quotas, provider_id, workspace_id, 250, 120) for quotas in (one, two)))
    assert sum(counts) == 120
    assert min(counts) > 0
    assert list((await used(database, provider_id)).values()) == [120]


async def test_workers_that_take_in_blocks_use_the_last_piece_too(
    database: Database, workspace_id: uuid.UUID, provider_id: uuid.UUID
) -> None:
    one, two = Quotas(database), Quotas(database)  # blocks of 2
    counts = await asyncio.gather(*(taken(quotas, provider_id, workspace_id, 250, 201) for quotas in (one, two)))
    assert sum(counts) == 201
    assert list((await used(database, provider_id)).values()) == [201]


async def test_a_block_is_taken_once_for_all_that_wait_for_it(
    database: Database, workspace_id: uuid.UUID, provider_id: uuid.UUID
) -> None:
    assert await taken(Quotas(database), provider_id, workspace_id, 60, 1_000_000) == 60
    assert list((await used(database, provider_id)).values()) == [100]


async def test_with_a_block_in_hand_the_database_is_not_asked(
    database: Database, workspace_id: uuid.UUID, provider_id: uuid.UUID
) -> None:
    quotas = Quotas(database)
    await quotas.take(provider_id, workspace_id, 10_000)
    await database.pool.execute("DELETE FROM provider_usage")
    assert await taken(quotas, provider_id, workspace_id, 99, 10_000) == 99
    assert await used(database, provider_id) == {}


async def test_what_is_not_used_is_returned_at_the_end(
    database: Database, workspace_id: uuid.UUID, provider_id: uuid.UUID
) -> None:
    quotas = Quotas(database)
    await taken(quotas, provider_id, workspace_id, 30, 10_000)
    await quotas.close()
    assert list((await used(database, provider_id)).values()) == [30]
    await quotas.close()
    assert list((await used(database, provider_id)).values()) == [30]


async def test_a_try_that_never_began_gives_its_place_to_the_next(
    database: Database, workspace_id: uuid.UUID, provider_id: uuid.UUID, clock: Clock
) -> None:
    quotas = Quotas(database)
    assert await taken(quotas, provider_id, workspace_id, 5, 3) == 3
    if until_midnight_s(clock) > 43_200:
        clock.ahead_s += 3600  # well after the last midnight
    quotas.give_back(provider_id)
    assert await taken(quotas, provider_id, workspace_id, 5, 3) == 1


async def test_the_exhausted_wait_for_midnight_utc_and_not_all_for_the_same_instant(
    database: Database, workspace_id: uuid.UUID, provider_id: uuid.UUID, clock: Clock
) -> None:
    quotas = Quotas(database)
    await quotas.take(provider_id, workspace_id, 1)
    waits = [await quotas.take(provider_id, workspace_id, 1) for _ in range(20)]
    midnight_s = until_midnight_s(clock)
    assert all(midnight_s - 5 < wait < midnight_s + 65 for wait in waits)
    assert max(waits) - min(waits) > 5


async def test_a_quota_of_nothing_lets_nothing_leave(
    database: Database, workspace_id: uuid.UUID, provider_id: uuid.UUID
) -> None:
    assert await Quotas(database).take(provider_id, workspace_id, 0) > 0
    assert await used(database, provider_id) == {}


async def test_an_exhausted_quota_is_asked_for_again_only_every_few_seconds(
    database: Database, workspace_id: uuid.UUID, provider_id: uuid.UUID, clock: Clock
) -> None:
    quotas = Quotas(database)
    assert await taken(quotas, provider_id, workspace_id, 5, 3) == 3
    await use(database, provider_id, -2)  # another worker returned two
    assert await taken(quotas, provider_id, workspace_id, 5, 3) == 0
    clock.ahead_s += 6
    assert await taken(quotas, provider_id, workspace_id, 5, 3) == 2


async def test_a_raised_quota_counts_at_once(
    database: Database, workspace_id: uuid.UUID, provider_id: uuid.UUID
) -> None:
    quotas = Quotas(database)
    assert await taken(quotas, provider_id, workspace_id, 5, 3) == 3
    assert await taken(quotas, provider_id, workspace_id, 5, 4) == 1


async def test_of_a_lowered_quota_the_block_in_hand_is_not_used(
    database: Database, workspace_id: uuid.UUID, provider_id: uuid.UUID
) -> None:
    quotas = Quotas(database)
    assert await taken(quotas, provider_id, workspace_id, 50, 10_000) == 50
    assert await taken(quotas, provider_id, workspace_id, 50, 60) == 10
    assert list((await used(database, provider_id)).values()) == [60]


async def test_at_midnight_the_block_of_yesterday_is_worthless(
    database: Database, workspace_id: uuid.UUID, provider_id: uuid.UUID, clock: Clock
) -> None:
    quotas = Quotas(database)
    await quotas.take(provider_id, workspace_id, 10_000)
    await database.pool.execute("UPDATE provider_usage SET day = day - 1")
    (block,) = quotas._blocks.values()
    block.day -= timedelta(days=1)
    clock.ahead_s += until_midnight_s(clock) + 1
    assert await taken(quotas, provider_id, workspace_id, 101, 10_000) == 101
    assert sorted((await used(database, provider_id)).values()) == [100, 200]


async def test_what_comes_back_just_after_midnight_may_be_yesterdays_and_is_forgotten(
    database: Database, workspace_id: uuid.UUID, provider_id: uuid.UUID, clock: Clock
) -> None:
    quotas = Quotas(database)
    assert await taken(quotas, provider_id, workspace_id, 2, 1) == 1
    (block,) = quotas._blocks.values()
    block.ends_s = clock() + 86_400 - 60  # a minute after midnight
    quotas.give_back(provider_id)
    assert await taken(quotas, provider_id, workspace_id, 2, 1) == 0


async def test_an_exhausted_quota_is_there_again_after_midnight(
    database: Database, workspace_id: uuid.UUID, provider_id: uuid.UUID, clock: Clock
) -> None:
    quotas = Quotas(database)
    assert await taken(quotas, provider_id, workspace_id, 2, 1) == 1
    await database.pool.execute("UPDATE provider_usage SET day = day - 1")
    clock.ahead_s += until_midnight_s(clock) + 1
    assert await taken(quotas, provider_id, workspace_id, 2, 1) == 1


async def test_without_postgresql_nothing_is_taken_and_closing_is_quiet(
    database_url: str, database: Database, workspace_id: uuid.UUID, provider_id: uuid.UUID
) -> None:
    own = await Database.open(database_url, pool_size=1)
    quotas = Quotas(own)
    await quotas.take(provider_id, workspace_id, 10_000)
    await own.close()
    assert await taken(quotas, provider_id, workspace_id, 50, 10_000) == 50  # of the block in hand
    await quotas.close()
    with pytest.raises(asyncpg.InterfaceError):
        await quotas.take(provider_id, workspace_id, 10_000)
