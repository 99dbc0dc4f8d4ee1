"""What the tests of accounts share."""

import pytest

from tests.accounts.counting import Counting, counting_from_now


@pytest.fixture
async def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """What is computed of passwords."""
    return await counting_from_now(monkeypatch)
