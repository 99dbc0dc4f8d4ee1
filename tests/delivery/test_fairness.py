"""How a batch is shared out, and that the claim follows it."""

from collections import Counter

from uuid_utils.compat import uuid7

from janus_mail.delivery.claim import Claimer, Lane, shares
from tests.delivery.conftest import Workshop

ONE, TWO, THREE = uuid7(), uuid7(), uuid7()


def taken(*lanes: Lane, most: int = 100) -> dict[tuple[int, object], int]:
    return {(lane.priority, lane.workspace_id): many for lane, many in shares(lanes, most)}


def test_high_goes_first_with_floors_for_the_others() -> None:
    assert taken(Lane(0, ONE, 100), Lane(1, ONE, 100), Lane(2, ONE, 100)) == {(0, ONE): 65, (1, ONE): 25, (2, ONE): 10}


def test_what_one_priority_leaves_goes_to_the_others() -> None:
    assert taken(Lane(0, ONE, 5), Lane(2, ONE, 100)) == {(0, ONE): 5, (2, ONE): 95}
    assert taken(Lane(1, ONE, 100)) == {(1, ONE): 100}


def test_workspaces_share_evenly_and_what_one_leaves_goes_to_the_others() -> None:
    assert taken(Lane(1, ONE, 100), Lane(1, TWO, 100), Lane(1, THREE, 4)) == {
        (1, ONE): 48, (1, TWO): 48, (1, THREE): 4,
    }  # fmt: skip


def test_never_more_than_asked_for() -> None:
    lanes = [Lane(priority, uuid7(), 7) for priority in (0, 1, 2) for _ in range(50)]
    for most in (1, 2, 3, 10, 99):
        assert sum(many for _, many in shares(lanes, most)) == most


async def test_with_a_backlog_another_workspaces_mail_does_not_wait_behind_it(shop: Workshop) -> None:
    other = uuid7()
    await shop.database.pool.execute("INSERT INTO workspaces (id, handle, name) VALUES ($1, 'other', 'other')", other)
    await shop.event(*(f"r{n}@example.org" for n in range(300)), due_in_s=-60)
    await shop.event("single@example.org", workspace_id=other)
    claimer = Claimer(shop.database, uuid7(), lease_s=60)
    first = await claimer.claim(50)  # by time: the backlog shows itself
    second = await claimer.claim(50)
    assert (len(first), len(second)) == (50, 50)
    assert Counter(hold.workspace_id for hold in second)[other] == 1


async def test_priorities_order_a_backlog(shop: Workshop) -> None:
    await shop.event(*(f"b{n}@example.org" for n in range(100)), due_in_s=-60, priority=2)
    await shop.event(*(f"h{n}@example.org" for n in range(100)), priority=0)
    claimer = Claimer(shop.database, uuid7(), lease_s=60)
    await claimer.claim(40)
    second = await claimer.claim(40)
    assert Counter(hold.priority for hold in second) == {0: 36, 2: 4}
    assert [hold.priority for hold in second] == sorted(hold.priority for hold in second)


async def test_when_the_backlog_is_over_nothing_is_left_behind(shop: Workshop) -> None:
    event_id = await shop.event(*(f"r{n}@example.org" for n in range(120)))
    claimer = Claimer(shop.database, uuid7(), lease_s=60)
    claimed = 0
    while holds := await claimer.claim(50):
        claimed += len(holds)
    assert claimed == 120
    assert {message["state"] for message in await shop.messages(event_id)} == {"leased"}
