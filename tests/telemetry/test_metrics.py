"""What Prometheus is told: names, labels and units, by the API and by a worker."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from uuid_utils.compat import uuid7

from janus_mail.storage.database import Database
from janus_mail.telemetry import metrics
from janus_mail.telemetry.metrics_server import serve_metrics
from janus_mail.watch import queries
from janus_mail.watch.gauges import Gauges
from tests.delivery.conftest import Workshop, quick, shop, working

__all__ = ["quick", "shop"]

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def values_of(text: str) -> Values:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(values: Values, name: str, **labels: str) -> float:
    """Zero where there is none."""
    return values.get((name, frozenset(labels.items())), 0.0)


async def scraped(client: httpx.AsyncClient) -> Values:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return values_of(answer.text)


async def test_requests_are_counted_by_route_template_and_never_by_address(anonymous_api: httpx.AsyncClient) -> None:
    secret = str(uuid7())
    labels = {"method": "GET", "route": "/api/events/{event_id}", "status": "404"}
    before = await scraped(anonymous_api)
    await anonymous_api.get(f"/api/events/{secret}")
    await anonymous_api.get(f"/{secret}")
    await anonymous_api.request("BREW", "/healthz")
    text = (await anonymous_api.get("/metrics")).text
    after = values_of(text)
    total = "janus_http_requests_total"
    assert value(after, total, **labels) - value(before, total, **labels) == 1
    assert value(after, "janus_http_request_duration_seconds_count", route="/api/events/{event_id}") >= 1
    assert any(dict(names).get("method") == "other" for name, names in after if name == total)
    assert secret not in text
    assert "BREW" not in text


async def test_what_waits_is_shown_by_state_and_priority(anonymous_api: httpx.AsyncClient, shop: Workshop) -> None:
    provider_id = str(await shop.provider(kind="ses"))
    await shop.event("a@example.org", "b@example.org", due_in_s=-60, priority=0)
    await shop.event(due_in_s=3600, priority=0)
    await shop.database.pool.execute("INSERT INTO workers (id, host, pid) VALUES ($1, 'here', 1)", uuid7())
    for state in ("leased", "sending", "uncertain", "parked", "failed", "sent"):
        event_id = await shop.event(due_in_s=-60, priority=2)
        await shop.database.pool.execute("UPDATE messages SET state = $2 WHERE event_id = $1", event_id, state)
    shown = await scraped(anonymous_api)
    assert value(shown, "janus_messages", state="due", priority="high") == 2
    assert value(shown, "janus_messages", state="due", priority="bulk") == 0
    assert 60 <= value(shown, "janus_oldest_due_seconds", waiting_for="worker", priority="high") < 3600
    for state in ("leased", "sending", "uncertain", "parked"):
        assert value(shown, "janus_messages", state=state, priority="bulk") == 1, state
    assert value(shown, "janus_workers") == 1
    assert value(shown, "janus_database_up") == 1
    assert ("janus_circuit_state", frozenset({("provider", provider_id), ("kind", "ses")})) in shown


async def test_what_a_paused_workspace_has_is_not_due(shop: Workshop) -> None:
    await shop.event(due_in_s=-60)
    await shop.database.pool.execute("UPDATE workspaces SET paused_at = now() WHERE id = $1", shop.workspace_id)
    shown = samples(await Gauges(shop.database).read())
    assert value(shown, "janus_messages", state="due", priority="normal") == 0
    assert value(shown, "janus_oldest_due_seconds", waiting_for="worker", priority="normal") == 0
    assert value(shown, "janus_paused_workspaces") == 1


@pytest.mark.parametrize(
    ("state", "rests_for", "number"),
    [
        ("open", "1 hour", 2),
        ("open", None, 2),
        ("open", "-1 second", 1),
        ("half_open", "1 hour", 1),
        ("closed", None, 0),
    ],
)
async def test_a_circuit_is_shown_as_the_next_mail_finds_it(
    shop: Workshop, state: str, rests_for: str | None, number: int
) -> None:
    provider_id = await shop.provider()
    await break_circuit(shop, provider_id, state=state, rests_for=rests_for)
    await break_circuit(shop, provider_id, sender_domain="example.com", rests_for="1 hour")
    shown = samples(await Gauges(shop.database).read())
    scope = {"provider": str(provider_id), "kind": "ses"}
    assert value(shown, "janus_circuit_state", **scope) == number
    assert value(shown, "janus_blocked_sender_domains", **scope) == 1


async def test_metrics_are_read_from_the_database_once_a_second_at_most(shop: Workshop) -> None:
    gauges = Gauges(shop.database)
    await gauges.read()
    await shop.event(due_in_s=-60)
    shown = samples(await gauges.read())
    assert value(shown, "janus_messages", state="due", priority="normal") == 0


async def test_metrics_need_no_key_but_are_not_for_the_world_behind_a_proxy(app: FastAPI) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://10.0.0.7") as stranger:
        assert (await stranger.get("/metrics")).status_code == 200
        refused = await stranger.get("/metrics", headers={"X-Forwarded-For": "203.0.113.5"})
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


async def test_the_api_tells_nothing_that_only_workers_count_and_no_series_of_when_counting_began(
    anonymous_api: httpx.AsyncClient,
) -> None:
    metrics.message_sent("high", 0.5)
    metrics.accepted(events=1, messages=1)
    text = (await anonymous_api.get("/metrics")).text
    families = {family.name for family in text_string_to_metric_families(text)}
    assert {"janus_events_accepted", "janus_circuit_changes", "janus_database_up"} <= families
    for name in ("janus_permits_in_use", "janus_claimed_messages", "janus_database_away", "janus_delivery_lateness"):
        assert name not in text, name
    assert "_created" not in text


async def test_counting_what_a_worker_does_names_kind_outcome_and_priority() -> None:
    before = exposed()
    metrics.attempt_finished("ses", "accepted", 0.02)
    metrics.message_sent("high", -0.001)
    metrics.message_moved("uncertain", 3)
    metrics.message_moved("scheduled")
    metrics.message_moved("leased")
    metrics.circuit_changed("open")
    metrics.written_together("finish", 20)
    metrics.accepted(events=1, messages=5)
    after = exposed()

    def grew(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert grew("janus_attempts_total", kind="ses", outcome="accepted") == 1
    assert grew("janus_attempt_duration_seconds_sum", kind="ses") == pytest.approx(0.02)
    assert grew("janus_messages_total", outcome="sent") == 1
    assert grew("janus_delivery_lateness_seconds_bucket", priority="high", le="0.05") == 1
    assert grew("janus_messages_total", outcome="uncertain") == 3
    assert grew("janus_messages_total", outcome="waiting") == 1
    assert grew("janus_messages_total", outcome="leased") == 0
    assert grew("janus_circuit_changes_total", state="open") == 1
    assert (grew("janus_coalesced_items_count", write="finish"), grew("janus_coalesced_items_sum", write="finish")) == (
        1, 20,
    )  # fmt: skip
    assert (grew("janus_events_accepted_total"), grew("janus_messages_accepted_total")) == (1, 5)


async def test_a_mail_is_counted_from_its_acceptance_to_its_being_sent(
    anonymous_api: httpx.AsyncClient, shop: Workshop, redis: Redis
) -> None:
    await shop.provider(kind="ses")
    before = exposed()
    async with working(shop.settings, shop.database, redis):
        body = {"email_subject": "Hello", "email_content": "Hi.", "expected_sent_at": "now", "priority": "high"}
        created = await anonymous_api.post("/api/events", json=body | {"recipients": "a@example.org, b@example.org"})
        await shop.until(uuid.UUID(created.json()["event"]["id"]), "sent")
    after = exposed()  # the worker is of this process
    for name, labels, many in (
        ("janus_events_accepted_total", {}, 1),
        ("janus_messages_accepted_total", {}, 2),
        ("janus_claimed_messages_total", {}, 2),
        ("janus_attempts_total", {"kind": "ses", "outcome": "accepted"}, 2),
        ("janus_attempt_duration_seconds_count", {"kind": "ses"}, 2),
        ("janus_messages_total", {"outcome": "sent"}, 2),
        ("janus_delivery_lateness_seconds_count", {"priority": "high"}, 2),
        ("janus_coalesced_items_sum", {"write": "finish"}, 2),
        ("janus_http_requests_total", {"method": "POST", "route": "/api/events", "status": "201"}, 1),
    ):
        assert value(after, name, **labels) - value(before, name, **labels) == many, name
    assert value(after, "janus_permits_in_use") == 0


async def test_a_worker_answers_on_its_port_with_the_databases_gauges(database: Database) -> None:
    async with served(Gauges(database).read) as url, httpx.AsyncClient() as client:
        shown = values_of((await client.get(url)).text)
        assert value(shown, "janus_database_up") == 1
        assert ("janus_permits_in_use", frozenset()) in shown
        assert not [name for name, _ in shown if name.startswith(("janus_http", "janus_events", "janus_messages_acc"))]
        assert ("process_start_time_seconds", frozenset()) in shown


async def test_a_port_that_is_taken_is_one_warning_and_is_used_when_it_is_free(
    database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("janus_mail.telemetry.metrics_server._RETRY_S", 0.01)
    with socket.socket() as taken, caplog.at_level(logging.WARNING):
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        serving = asyncio.create_task(serve_metrics("127.0.0.1", port, Gauges(database).read))
        await asyncio.sleep(0.1)
        assert not serving.done()
    try:
        await answered(f"http://127.0.0.1:{port}/metrics")
    finally:
        await ended(serving)
    warned = [record.getMessage() for record in caplog.records if "JANUS_METRICS_PORT" in record.getMessage()]
    assert len(warned) == 1
    assert f"JANUS_METRICS_PORT: {port} cannot be used (Address already in use)" in warned[0]


@pytest.mark.timeout(30)
def test_processes_that_share_a_folder_are_counted_together_and_a_dead_one_holds_no_permit(tmp_path: Path) -> None:
    script = """if True:
        import os, sys
        from prometheus_client import generate_latest
        from janus_mail.telemetry import metrics
        metrics.message_moved("sent", 2)
        metrics.PERMITS_IN_USE.set(7)
        sys.stdout.write(generate_latest(metrics.registry_with(lambda: (), without=metrics.APIS_OWN)).decode())
    """
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "made" / "here")}
    for number in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        shown = values_of(done.stdout)
        assert value(shown, "janus_messages_total", outcome="sent") == 2 * number
        assert value(shown, "janus_permits_in_use") == 7
        assert not [name for name, _ in shown if name.startswith("janus_events_accepted")]


async def test_the_overview_reads_no_table_of_messages_whole(shop: Workshop) -> None:
    await fill(shop, many=200_000)
    # A table without rows is read whole, whatever its indexes.
    await shop.database.pool.execute(
        """INSERT INTO attempts (id, workspace_id, message_id, number, round, fence, worker_id, provider_id,
                                 provider_kind, provider_name, started_at, finished_at, outcome)
           SELECT gen_random_uuid(), workspace_id, id, 1, 1, 1, id, id, 'ses', 'SES', due_at, due_at, 'accepted'
           FROM messages WHERE state = 'sent' LIMIT 20000"""
    )
    await shop.database.pool.execute("ANALYZE attempts")
    for statement, arguments in (
        (queries.LOAD, (10_000, 5_000)),
        (queries.RATE, (3.0, 5.0, 100_000)),
    ):
        plan = await shop.database.pool.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
        scans = [node for node in nodes(plan[0]["Plan"]) if node.get("Relation Name") in ("messages", "attempts")]
        assert scans
        assert {node["Node Type"] for node in scans} <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}
        used = {node["Index Name"] for node in nodes(plan[0]["Plan"]) if "Index Name" in node}
        assert used & {"ix_messages_event", "ix_messages_list", "ix_messages_recipient"} == set()


async def fill(shop: Workshop, many: int) -> None:
    """A third is scheduled, a few are in each other state, the rest is sent."""
    event_id = await shop.event()
    await shop.database.pool.execute(
        """INSERT INTO messages
               (id, workspace_id, event_id, recipient, due_at, next_try_at, priority, give_up_at, state)
           SELECT gen_random_uuid(), $1, $2, 'ann@example.org', at, at, g % 3, at,
                  CASE WHEN g % 3 = 0 THEN 'scheduled' WHEN g % 1000 = 1 THEN 'parked' WHEN g % 1000 = 2 THEN 'failed'
                       WHEN g % 5000 = 4 THEN 'uncertain' WHEN g % 5000 = 5 THEN 'sending' ELSE 'sent' END
           FROM generate_series(1, $3::int) g, LATERAL (SELECT now() + (g - 100000) * interval '1 second' AS at) d""",
        shop.workspace_id, event_id, many,
    )  # fmt: skip
    await shop.database.pool.execute("ANALYZE messages")


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


async def break_circuit(
    shop: Workshop, provider_id: uuid.UUID, *, state: str = "open", rests_for: str | None, sender_domain: str = ""
) -> None:
    await shop.database.pool.execute(
        """INSERT INTO circuits (provider_id, sender_domain, workspace_id, state, number, trips, reason, since, until)
           VALUES ($1, $2, $3, $4, 1, 1, '5 tries failed in a row', clock_timestamp(),
                   clock_timestamp() + $5::text::interval)""",
        provider_id, sender_domain, shop.workspace_id, state, rests_for,
    )  # fmt: skip


def samples(families: Sequence[Metric]) -> Values:
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def exposed() -> Values:
    return samples(list(metrics.registry_with(lambda: ()).collect()))


@asynccontextmanager
async def served(read: Any) -> AsyncIterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serving = asyncio.create_task(serve_metrics("127.0.0.1", port, read))
    url = f"http://127.0.0.1:{port}/metrics"
    try:
        await answered(url)
        yield url
    finally:
        await ended(serving)


async def answered(url: str) -> None:
    async with asyncio.timeout(10), httpx.AsyncClient() as client:
        while True:
            try:
                assert (await client.get(url)).status_code == 200
                return
            except httpx.ConnectError:
                await asyncio.sleep(0.01)


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


async def test_the_posts_of_services_that_nobody_has_worked_on_are_counted(shop: Workshop) -> None:
    async def shown() -> tuple[float, float]:
        names = samples(await Gauges(shop.database).read())
        return value(names, "janus_feedback_posts_waiting"), value(names, "janus_feedback_oldest_post_seconds")

    assert await shown() == (0, 0)
    provider_id = await shop.provider()
    for age_s in (90, 5):
        await shop.database.pool.execute(
            """INSERT INTO hook_posts (id, workspace_id, provider_id, kind, body, received_at)
               VALUES ($1, $2, $3, 'sendgrid', '', now() - $4::float8 * interval '1 second')""",
            uuid7(), shop.workspace_id, provider_id, float(age_s),
        )  # fmt: skip
    many, oldest_s = await shown()
    assert (many, 90 <= oldest_s < 100) == (2, True)
