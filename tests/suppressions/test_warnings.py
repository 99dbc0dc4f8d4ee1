"""Accepting says who of the recipients gets no mail, and accepts all the same."""

from typing import Any

import asyncpg
import httpx
import pytest

from janus_mail.events import queries
from janus_mail.suppressions import queries as suppressions
from tests.events.conftest import EVENT, Schedule
from tests.suppressions.conftest import Suppress

LATER = EVENT | {"expected_sent_at": "in 2 days"}


def said(warnings: list[str]) -> list[str]:
    return [warning for warning in warnings if "suppressed" in warning]


async def test_one_suppressed_recipient_is_named_with_the_reason(schedule: Schedule, listed: Suppress) -> None:
    await listed("ann@example.org")
    event = await schedule(recipients="Ann@Example.org, bob@example.org")
    assert said(event["warnings"]) == ["1 recipient is suppressed and gets no mail: Ann@example.org (hard bounce)."]
    assert (event["status"], event["recipients_count"]) == ("pending", 2)


async def test_of_many_the_first_five_are_named(schedule: Schedule, listed: Suppress) -> None:
    people = [f"person{number}@example.org" for number in range(8)]
    await listed(*people[1:], reason="complaint")
    event = await schedule(recipients=people)
    named = ", ".join(f"{address} (complaint)" for address in people[1:6])
    assert said(event["warnings"]) == [f"7 recipients are suppressed and get no mail: {named} and 2 more."]


async def test_the_members_of_a_group_are_looked_up_each(schedule: Schedule, listed: Suppress) -> None:
    await listed("cy@example.org", "di@example.org", reason="unsubscribe")
    event = await schedule(
        recipients="ann@example.org", cc="cy@example.org", bcc="di@example.org", send_as="group"
    )  # fmt: skip
    assert said(event["warnings"]) == [
        "2 recipients are suppressed and get no mail: cy@example.org (unsubscribe), di@example.org (unsubscribe)."
    ]


async def test_who_is_on_no_list_is_not_warned_about(schedule: Schedule, listed: Suppress) -> None:
    assert said((await schedule(recipients="ann@example.org"))["warnings"]) == []
    await listed("bob@example.org")
    assert said((await schedule(recipients="ann@example.org"))["warnings"]) == []


async def test_a_dry_run_a_batch_and_a_repeated_request_say_the_same(api: httpx.AsyncClient, listed: Suppress) -> None:
    await listed("test@example.com")
    expected = ["1 recipient is suppressed and gets no mail: test@example.com (hard bounce)."]
    tried = (await api.post("/api/events/dry-run", json=LATER)).json()
    assert said(tried["event"]["warnings"]) == expected
    for _ in range(2):
        once = await api.post("/api/events", json=LATER, headers={"Idempotency-Key": "once"})
        assert said(once.json()["event"]["warnings"]) == expected
    for number in (1, 300):  # by a statement, by COPY
        others = [LATER | {"recipients": f"person{n}@example.org"} for n in range(number)]
        batch = await api.post("/api/events/batch", json={"events": [*others, LATER]})
        ids = [item["id"] for item in batch.json()["data"]]
        warned = [said((await api.get(f"/api/events/{id_}")).json()["warnings"]) for id_ in (ids[0], ids[-1])]
        assert warned == [[], expected]


async def test_ten_thousand_recipients_are_one_question(schedule: Schedule, listed: Suppress, asked: list[str]) -> None:
    people = [f"person{number}@example.org" for number in range(10_000)]
    await listed(*people[::100])
    event = await schedule(recipients=people)
    assert said(event["warnings"])[0].startswith("100 recipients are suppressed and get no mail: person0@example.org")
    assert asked.count(suppressions.LISTED_AMONG) == 1


async def test_a_workspace_without_a_list_asks_nothing_more(schedule: Schedule, asked: list[str]) -> None:
    await schedule()
    assert queries.FACTS in asked
    assert suppressions.LISTED_AMONG not in asked


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that are read with."""
    statements: list[str] = []
    original = asyncpg.Connection.fetch

    async def fetch(self: Any, query: str, *values: Any, **options: Any) -> Any:
        statements.append(query)
        return await original(self, query, *values, **options)

    monkeypatch.setattr(asyncpg.Connection, "fetch", fetch)
    return statements
