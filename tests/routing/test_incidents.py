"""The history of a provider: what was down, from when to when, and who took its mail."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from uuid_utils.compat import uuid7

from janus_mail.routing.create import create_provider
from janus_mail.routing.seed import seed_workspace
from janus_mail.web.context import Context
from tests.routing.conftest import a_message

NOON = datetime(2025, 1, 6, 12, 0, tzinfo=UTC)


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def shown(minute: float) -> str:
    return at(minute).strftime("%Y-%m-%dT%H:%M:%SZ")


class History:
    """Writes what workers and people did to one provider's circuit, as changes at minutes after noon."""

    def __init__(self, context: Context, workspace_id: uuid.UUID, provider_id: str) -> None:
        self.context, self.workspace_id, self.provider_id = context, workspace_id, uuid.UUID(provider_id)
        self.numbers: dict[str, int] = {}

    async def note(
        self, minute: float, state: str, cause: str, *, domain: str = "", actor: str | None = None, reason: str = "why"
    ) -> None:
        self.numbers[domain] = self.numbers.get(domain, 0) + 1
        until = None if state == "closed" or cause == "person" else at(minute + 1)
        await self.context.database.pool.execute(
            """INSERT INTO provider_incidents
                   (id, workspace_id, provider_id, sender_domain, number, state, cause, reason, actor, at, until)
               VALUES (gen_random_uuid(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10)""",
            self.workspace_id, self.provider_id, domain, self.numbers[domain], state, cause, reason, actor, at(minute),
            until,
        )  # fmt: skip

    async def outage(self, start: float, end: float, *, domain: str = "") -> None:
        await self.note(start, "open", "failures", domain=domain)
        await self.note(end - 0.1, "half_open", "probe", domain=domain)
        await self.note(end, "closed", "probe", domain=domain)

    async def sent(self, through: str, minute: float, *, outcome: str = "accepted", **event: Any) -> None:
        """A message with one attempt at the provider `through`; `event` are columns of its event."""
        message_id = await a_message(self.context, self.workspace_id, waiting_for=None, **event)
        await self.context.database.pool.execute(
            """INSERT INTO attempts (id, workspace_id, message_id, number, round, fence, worker_id, provider_id,
                                     provider_kind, provider_name, started_at, finished_at, outcome)
               VALUES ($1, $2, $3, 1, 1, 1, $1, $4, 'ses', 'then', $5, $5, $6)""",
            uuid7(), self.workspace_id, message_id, uuid.UUID(through), at(minute), outcome,
        )  # fmt: skip


@pytest.fixture
def history(context: Context, workspace_id: uuid.UUID, sandboxes: list[str]) -> History:
    """Of Google SMTP, second of three."""
    return History(context, workspace_id, sandboxes[1])


async def incidents(api: httpx.AsyncClient, history: History, **params: Any) -> dict[str, Any]:
    answer = await api.get(f"/api/providers/{history.provider_id}/incidents", params=params)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def test_a_provider_without_trouble_has_no_incidents(api: httpx.AsyncClient, history: History) -> None:
    assert await incidents(api, history) == {"data": [], "has_more": False, "next_cursor": None}


async def test_an_incident_reaches_from_the_first_opening_to_the_closing(
    api: httpx.AsyncClient, history: History
) -> None:
    await history.note(0, "open", "failures", reason="5 failures in a row: 421 down")
    await history.note(1, "half_open", "probe", reason="5 failures in a row: 421 down")
    await history.note(2, "open", "probe", reason="the probe failed: 421 down")
    await history.note(4, "half_open", "probe")
    await history.note(5, "closed", "probe", reason="the probe passed")

    [incident] = (await incidents(api, history))["data"]

    assert (incident["opened_at"], incident["closed_at"], incident["probes"]) == (shown(0), shown(5), 1)
    assert (incident["cause"], incident["reason"], incident["actor"], incident["sender_domain"]) == (
        "failures", "5 failures in a row: 421 down", None, None
    )  # fmt: skip
    assert [(change["state"], change["cause"], change["at"]) for change in incident["changes"]] == [
        ("open", "failures", shown(0)),
        ("half_open", "probe", shown(1)),
        ("open", "probe", shown(2)),
        ("half_open", "probe", shown(4)),
        ("closed", "probe", shown(5)),
    ]
    assert incident["changes"][2] == {
        "state": "open", "cause": "probe", "reason": "the probe failed: 421 down", "actor": None, "at": shown(2),
        "until": shown(3),
    }  # fmt: skip


async def test_what_people_do_is_in_the_history_with_their_names(api: httpx.AsyncClient, history: History) -> None:
    one = f"/api/providers/{history.provider_id}/circuit"
    for body in ({"state": "open", "reason": "The account is being moved."}, {"state": "closed"}, {"state": "open"}):
        assert (await api.post(one, json=body)).status_code == 200

    second, first = (await incidents(api, history))["data"]

    assert (first["cause"], first["reason"], first["actor"]) == (
        "person", "The account is being moved.", "API key test"
    )  # fmt: skip
    assert [(change["state"], change["actor"], change["until"]) for change in first["changes"]] == [
        ("open", "API key test", None),
        ("closed", "API key test", None),
    ]
    assert first["opened_at"] < first["closed_at"] < second["opened_at"]
    assert (second["closed_at"], second["probes"], len(second["changes"])) == (None, 0, 1)


async def test_an_outage_that_a_person_takes_over_is_one_incident(api: httpx.AsyncClient, history: History) -> None:
    await history.note(0, "open", "failures")
    await history.note(1, "open", "person", actor="API key ops")
    await history.note(9, "closed", "person", actor="API key ops")

    [incident] = (await incidents(api, history))["data"]

    assert (incident["cause"], incident["actor"], incident["probes"]) == ("failures", None, 0)
    assert (incident["opened_at"], incident["closed_at"]) == (shown(0), shown(9))


async def test_sender_domains_have_incidents_of_their_own(api: httpx.AsyncClient, history: History) -> None:
    await history.note(0, "open", "failures")
    await history.note(1, "open", "broken", domain="a.example")
    await history.note(2, "closed", "probe")
    await history.note(3, "closed", "changed", domain="a.example")

    found = (await incidents(api, history))["data"]

    assert [(one["sender_domain"], one["opened_at"], one["closed_at"], len(one["changes"])) for one in found] == [
        ("a.example", shown(1), shown(3), 2),
        (None, shown(0), shown(2), 2),
    ]


async def test_the_history_is_paged_newest_first(api: httpx.AsyncClient, history: History) -> None:
    for start in range(0, 50, 10):
        await history.outage(start, start + 5)
    pages = [await incidents(api, history, limit=2)]
    await history.outage(60, 65)
    while pages[-1]["has_more"]:
        pages.append(await incidents(api, history, limit=2, cursor=pages[-1]["next_cursor"]))

    opened = [one["opened_at"] for page in pages for one in page["data"]]
    assert opened == [shown(start) for start in (40, 30, 20, 10, 0)]


async def test_another_workspaces_history_stays_its_own(
    api: httpx.AsyncClient, context: Context, history: History
) -> None:
    other = await seed_workspace(context.database, "other")
    theirs = await create_provider(context.database, context.secrets, other, kind="ses", name="SES", sandbox=True)
    their_history = History(context, other, str(theirs))
    await their_history.outage(0, 5)

    assert (await api.get(f"/api/providers/{theirs}/incidents")).status_code == 404
    assert (await incidents(api, history))["data"] == []


async def test_an_incident_counts_what_went_through_the_providers_behind_it(
    api: httpx.AsyncClient, context: Context, workspace_id: uuid.UUID, sandboxes: list[str], history: History
) -> None:
    ses, smtp, sendgrid = sandboxes
    last = str(await create_provider(
        context.database, context.secrets, workspace_id, kind="ses", name="Spare", sandbox=True
    ))  # fmt: skip
    real = str(await create_provider(
        context.database, context.secrets, workspace_id, kind="smtp", name="Real", config={"host": "mx.example.com"}
    ))  # fmt: skip
    await history.outage(0, 5)
    for minute in (-0.1, 0, 2, 4.9, 5):  # three of them while it was down
        await history.sent(sendgrid, minute)
    await history.sent(last, 1)
    await history.sent(sendgrid, 2, outcome="provider_down")
    await history.sent(sendgrid, 2, provider="SendGrid", provider_id=uuid.UUID(sendgrid))  # asked for it by name
    for elsewhere in (ses, smtp, real):
        await history.sent(elsewhere, 2)

    [incident] = (await incidents(api, history))["data"]

    assert incident["instead"] == [
        {"provider": {"id": sendgrid, "kind": "sendgrid", "name": "SendGrid"}, "messages": 3},
        {"provider": {"id": last, "kind": "ses", "name": "Spare"}, "messages": 1},
    ]


async def test_an_incident_that_is_not_over_counts_up_to_now(
    api: httpx.AsyncClient, sandboxes: list[str], history: History
) -> None:
    await history.note(0, "open", "failures")
    await history.sent(sandboxes[2], 30)

    [incident] = (await incidents(api, history))["data"]

    assert (incident["closed_at"], [one["messages"] for one in incident["instead"]]) == (None, [1])


async def test_a_blocked_sender_domain_counts_only_its_own_mail(
    api: httpx.AsyncClient, sandboxes: list[str], history: History
) -> None:
    await history.outage(0, 5, domain="a.example")
    for sender in ("ann@a.example", "Ann@A.example", "ann@b.example", None):
        await history.sent(sandboxes[2], 2, from_email=sender)
    await history.outage(10, 15, domain="example.com")  # the workspace's own
    await history.sent(sandboxes[2], 12, from_email=None)

    found = (await incidents(api, history))["data"]

    assert [(one["sender_domain"], [i["messages"] for i in one["instead"]]) for one in found] == [
        ("example.com", [1]),
        ("a.example", [2]),
    ]


async def test_mail_that_a_provider_may_not_send_does_not_count_as_its_own(
    api: httpx.AsyncClient, sandboxes: list[str], history: History
) -> None:
    await api.patch(f"/api/providers/{sandboxes[1]}", json={"sender_domains": ["a.example"]})
    await history.outage(0, 5)
    await history.sent(sandboxes[2], 2, from_email="ann@a.example")
    await history.sent(sandboxes[2], 2, from_email="ann@b.example")

    [incident] = (await incidents(api, history))["data"]

    assert [one["messages"] for one in incident["instead"]] == [1]


async def test_of_a_long_incident_the_last_hundred_changes_are_shown(api: httpx.AsyncClient, history: History) -> None:
    await history.note(0, "open", "failures")
    for minute in range(1, 140, 2):
        await history.note(minute, "half_open", "probe")
        await history.note(minute + 1, "open", "probe")

    [incident] = (await incidents(api, history))["data"]

    assert (incident["opened_at"], incident["probes"], len(incident["changes"])) == (shown(0), 70, 100)
    assert incident["changes"][-1]["at"] == shown(140)
