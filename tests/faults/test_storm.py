"""All at once for a few seconds; `python -m tests.faults.storm` does it for longer."""

import random

from tests.faults.stand import Stand
from tests.faults.storm import storm


async def test_nothing_is_lost_when_everything_breaks_at_once(stand: Stand) -> None:
    stand.stop_workers()
    outcome = await storm(stand, mails=1000, seconds=6, workers=2, dice=random.Random(1))
    stand.stop_workers()
    outcome.report.demand()
    assert outcome.report.accepted == 1000
    assert min(outcome.fired.values()) >= 1
    assert len(outcome.fired) == 4
