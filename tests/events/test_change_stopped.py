"""A change that reaches messages which do not leave by themselves says so."""

from typing import Any

import httpx
import pytest

from tests.events.conftest import Schedule, SetState


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ({"a@example.com": "suppressed"}, "Its message was suppressed before"),
        ({"a@example.com": "failed"}, "Its message was failed before"),
        ({"a@example.com": "suppressed", "b@example.com": "failed"}, "All 2 messages were suppressed or failed before"),
        ({"a@example.com": "suppressed", "b@example.com": "scheduled"}, "1 of 2 messages was suppressed before"),
        ({"a@example.com": "scheduled"}, None),
        ({"a@example.com": "leased", "b@example.com": "canceled"}, None),
    ],
)
async def test_a_change_warns_of_messages_that_leave_only_after_a_retry(
    api: httpx.AsyncClient, schedule: Schedule, set_state: SetState, states: dict[str, str], said: str | None
) -> None:
    event = await schedule(recipients=list(states))
    for recipient, state in states.items():
        await set_state(event["id"], state, recipient=recipient)

    async def changed(version: int) -> list[str]:
        answer = await api.patch(f"/api/events/{event['id']}", json={"version": version, "email_subject": "New"})
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()["event"]
        warnings: list[str] = shown["warnings"]
        return warnings

    warnings = await changed(1)
    if said is None:
        assert warnings == []
        return
    [warning] = warnings
    assert warning.startswith(said)
    assert warning.endswith(f"only after POST /api/events/{event['id']}/retry.")
    assert (await api.post(f"/api/events/{event['id']}/retry")).status_code == 200
    assert await changed(2) == []
