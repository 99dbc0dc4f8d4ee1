"""A killed worker leaves no more in doubt than it had permits; `python -m tests.faults.kills` measures more of them."""

import random

from tests.faults.kills import kills
from tests.faults.stand import Stand


async def test_a_killed_worker_leaves_at_most_its_concurrency_in_doubt(stand: Stand) -> None:
    stand.stop_workers()
    async for kill in kills(stand, 2, random.Random(7), concurrency=10, at_once=4):
        kill.report.demand()
        assert 0 < kill.in_flight <= 10
        assert kill.uncertain <= kill.in_flight + kill.scheduled_again
        assert kill.extra_copies <= kill.uncertain <= 10
