"""The measurements work, at sizes that say nothing about speed."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmarks import (
    accept,
    batch,
    growth,
    hooks,
    lateness,
    lateness_busy,
    listing,
    redis_memory,
    retention,
    worker_memory,
)
from benchmarks.http_load import Loaded
from benchmarks.plot import Line, Plot, svg
from benchmarks.rows import Fill, fill, workspace_named
from benchmarks.stand import Stand, stand
from benchmarks.table import Row


def _whats(rows: Sequence[Row]) -> list[str]:
    assert all(value > 0 for row in rows for value in row.values)
    assert all(row.values for row in rows)
    return [row.what for row in rows]


@pytest.fixture(scope="module")
async def one_stand() -> AsyncIterator[Stand]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.stand._FIRST_LOOK_S", 0.1)
        async with stand() as bench:
            yield bench


@pytest.fixture
async def bench(one_stand: Stand) -> Stand:
    """Nothing is stored in it."""
    await one_stand.clear()
    return one_stand


async def test_accepting_is_measured_beside_the_bare_insert(bench: Stand) -> None:
    rows = await accept.compared(bench, rounds=1, seconds=0.2, connections=4)
    assert _whats(rows)[0] == "POST /api/events, one API process, 4 connections"
    assert rows[0].ratio is not None


async def test_accepting_in_batches_is_measured(bench: Stand) -> None:
    rows = await batch.accepted(bench, events=20, rounds=1, seconds=0.2)
    assert _whats(rows) == ["POST /api/events/batch, 20 events a request"]


async def test_a_load_that_stores_less_than_it_promises_is_an_error(bench: Stand) -> None:
    with pytest.raises(RuntimeError, match="but 0 are stored"):
        await accept.load_and_count(bench, accept.load_of(bench, connections=1, seconds=0.1), "SELECT 0")


async def test_feedback_is_measured_in_batches_and_beside_the_bare_insert(bench: Stand) -> None:
    path = await hooks.hook(bench)
    rows = await hooks.batches(bench, path, rounds=1, seconds=1, per_second=400)
    assert [what.rpartition(": ")[2] for what in _whats(rows)] == [
        "p50", "p99", "kept", "worked on after the last was answered",
    ]  # fmt: skip
    rows = await hooks.singles(bench, path, rounds=1, seconds=0.2, connections=4, different=50)
    assert rows[0].ratio is not None
    await bench.database.pool.execute("TRUNCATE hook_posts")


async def test_lists_are_measured(bench: Stand) -> None:
    await listing.fill_events(bench, 300)
    rows = await listing.pages(bench, rounds=1, seconds=0.2, deep_page=20)
    assert [what.rpartition(": ")[2] for what in _whats(rows)] == [
        "first page, p50", "first page, p99", "first page from the cache, p50", "first page from the cache, p99",
        "page 20, p50", "page 20, p99",
    ]  # fmt: skip


async def test_claims_are_measured_among_ever_more_messages_and_their_plans_kept(bench: Stand, tmp_path: Path) -> None:
    rows = await growth.claims(bench, (1_500, 2_000), 500, rounds=1, pictures=tmp_path, plans=tmp_path)
    assert "claim by lane of 100, 2,000 pending and 500 sent" in _whats(rows)
    assert any(row.ratio is not None for row in rows)
    plan = (tmp_path / "2000-pending-500-sent" / "claim-by-lane.txt").read_text()
    assert "Execution Time" in plan
    assert "Buffers" in plan
    assert "claim by lane" in (tmp_path / "growth-delivery.svg").read_text()


async def test_lateness_is_measured_while_bulk_mail_is_queued(bench: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_WARM_S", "_AHEAD_S"):
        monkeypatch.setattr(lateness_busy, name, 0.3)
    start = bench.ledger.count()
    late_s = await lateness_busy.steady(bench, seconds=1, per_second=20, queued=10, bulk_per_second=8_000)
    assert len(late_s) == 20
    assert lateness.percentile(late_s, 0.5) > 0
    assert bench.ledger.count() - start > 20


async def test_a_drain_is_measured_while_old_mail_is_removed(bench: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "WORKERS", 1)
    monkeypatch.setitem(bench.environment, "JANUS_RETENTION_DAYS", "")
    drained, removed = await retention.compared(bench, 40, 6_000, rounds=1)
    assert drained.ratio is not None
    assert 0 < removed.values[0] < 6_000


async def test_a_worker_is_watched_while_it_drains(bench: Stand) -> None:
    highest, last = await worker_memory.drained(bench, 60)
    assert highest.values[0] >= last.values[0] > 0


async def test_redis_grows_by_the_wake_ups_that_are_near(bench: Stand) -> None:
    assert await redis_memory.grown(bench, 50, timedelta(minutes=10)) < 5


async def test_filled_rows_are_what_was_asked_for(bench: Stand) -> None:
    workspace_id = await workspace_named(bench.database)
    await fill(bench.database, [workspace_id], Fill(messages=30, recipients=10, priority=2))
    await fill(bench.database, [workspace_id], Fill(messages=20, state="sent", due_from=-timedelta(days=1)))
    stored = await bench.database.pool.fetch(
        """SELECT m.state, count(*) AS messages, count(DISTINCT m.event_id) AS events,
                  count(DISTINCT m.recipient) AS recipients, count(a.id) AS attempts
           FROM messages m JOIN events e ON e.id = m.event_id LEFT JOIN attempts a ON a.message_id = m.id
           GROUP BY m.state ORDER BY m.state"""
    )
    assert [tuple(row) for row in stored] == [("scheduled", 30, 3, 30, 0), ("sent", 20, 20, 20, 20)]


def test_a_refusal_does_not_count_as_an_answer() -> None:
    done = Loaded(requests=2, seconds=1.0, latencies_ms=[1.0, 2.0], statuses={"201": 1, "429": 1}, last_answer="")
    with pytest.raises(RuntimeError, match="429"):
        done.expect(201)


def test_a_plot_tells_its_figures_to_who_cannot_see_it() -> None:
    root = ElementTree.fromstring(svg(Plot("Claims", "ms", ["10", "100"], [Line("by <time>", [1.0, 2.5])])))
    words = [text.strip() for text in root.itertext() if text.strip()]
    assert words[:2] == ["Claims", "ms, at 10, 100; by <time>: 1, 2.5"]
    assert len(root.findall(".//{*}circle")) == 2
