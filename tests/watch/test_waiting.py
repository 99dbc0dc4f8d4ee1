"""Mail that is due and has been put off is seen: how much, why, for how long, and which provider's quota is used up."""

import json
import uuid
from typing import Any

import pytest

from janus_mail.watch import queries
from janus_mail.watch.gauges import Gauges
from janus_mail.watch.overview import PUT_OFF
from janus_mail.watch.top import show
from tests.delivery.conftest import Workshop, quick, shop
from tests.telemetry.test_metrics import break_circuit, nodes, samples, value

__all__ = ["quick", "shop"]


async def put_off(shop: Workshop, reason: str, *, many: int = 1, priority: int = 1, due_for_s: float = 60) -> uuid.UUID:
    """An event whose messages were due and are tried again in an hour."""
    event_id = await shop.event(*(f"r{n}@example.org" for n in range(many)), due_in_s=-due_for_s, priority=priority)
    await shop.database.pool.execute(
        "UPDATE messages SET waiting_for = $2, next_try_at = now() + interval '1 hour' WHERE event_id = $1",
        event_id, reason,
    )  # fmt: skip
    return event_id


async def use_up(shop: Workshop, provider_id: uuid.UUID, used: int) -> None:
    await shop.database.pool.execute(
        """INSERT INTO provider_usage (provider_id, day, workspace_id, used)
           VALUES ($1, (clock_timestamp() AT TIME ZONE 'UTC')::date, $2, $3)""",
        provider_id, shop.workspace_id, used,
    )  # fmt: skip


async def top(capsys: pytest.CaptureFixture[str]) -> str:
    shown = capsys.readouterr().out
    return " ".join(shown.replace("│", " ").split())


async def test_mail_that_waits_is_counted_by_reason_and_its_age_runs_from_its_due_time(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    await put_off(shop, "circuit", many=3, due_for_s=7200)
    await put_off(shop, "quota", many=2, priority=0)
    await put_off(shop, "retry")
    shown = samples(await Gauges(shop.database).read())
    counted = {
        (reason, priority): value(shown, "janus_waiting_messages", waiting_for=reason, priority=priority)
        for reason in PUT_OFF
        for priority in ("high", "normal", "bulk")
    }
    assert {key: many for key, many in counted.items() if many} == {
        ("circuit", "normal"): 3, ("quota", "high"): 2, ("retry", "normal"): 1,
    }  # fmt: skip
    ages = {reason: value(shown, "janus_oldest_due_seconds", waiting_for=reason, priority="normal")
            for reason in (*PUT_OFF, "worker")}  # fmt: skip
    assert 7200 <= ages["circuit"] < 7800
    assert 60 <= ages["retry"] < 600
    assert (ages["quota"], ages["rate"], ages["worker"]) == (0, 0, 0)
    assert value(shown, "janus_messages", state="due", priority="normal") == 0

    await show(shop.database, once=True, as_json=True)
    told = json.loads(capsys.readouterr().out)["priorities"]
    assert told["normal"]["waiting"] == {"retry": 1, "rate": 0, "circuit": 3, "quota": 0}
    assert 7200 <= told["normal"]["oldest_due_seconds"] < 7800
    await show(shop.database, once=True, as_json=False)
    words = await top(capsys)
    assert "normal 0 4 2:0" in words
    assert "Put off: 3 for a provider to take mail again, 2 for a new day's quota, 1 for their next round" in words


async def test_mail_that_is_taken_up_again_keeps_the_age_it_had(shop: Workshop) -> None:
    woken = await put_off(shop, "circuit", due_for_s=7200)
    await put_off(shop, "rate", priority=0)
    await shop.database.pool.execute(
        "UPDATE messages SET next_try_at = now(), waiting_for = NULL WHERE event_id = $1", woken
    )
    await shop.database.pool.execute("UPDATE messages SET next_try_at = now() WHERE waiting_for IS NOT NULL")
    shown = samples(await Gauges(shop.database).read())
    assert value(shown, "janus_oldest_due_seconds", waiting_for="worker", priority="normal") >= 7200
    assert value(shown, "janus_messages", state="due", priority="high") == 1
    assert value(shown, "janus_waiting_messages", waiting_for="rate", priority="high") == 0


async def test_neither_what_a_paused_workspace_has_nor_what_is_uncertain_is_put_off(shop: Workshop) -> None:
    event_id = await put_off(shop, "evidence")
    await shop.database.pool.execute("UPDATE messages SET state = 'uncertain' WHERE event_id = $1", event_id)
    await put_off(shop, "quota")
    await shop.database.pool.execute("UPDATE workspaces SET paused_at = now() WHERE id = $1", shop.workspace_id)
    shown = samples(await Gauges(shop.database).read())
    assert {many for (name, _), many in shown.items() if name == "janus_waiting_messages"} == {0}
    assert {age for (name, _), age in shown.items() if name == "janus_oldest_due_seconds"} == {0}


async def test_top_names_the_providers_whose_quota_is_used_up(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    full = await shop.provider("Full [day]", daily_quota=50)
    await use_up(shop, full, 50)
    await use_up(shop, await shop.provider("Half", daily_quota=50), 49)
    await use_up(shop, await shop.provider("Off", daily_quota=50, enabled=False), 50)
    await use_up(shop, await shop.provider("Free"), 50)
    await show(shop.database, once=True, as_json=True)
    (told,) = json.loads(capsys.readouterr().out)["quotas_used_up"]
    assert (told["provider"], told["daily_quota"]) == ({"id": str(full), "kind": "ses", "name": "Full [day]"}, 50)
    assert told["until"].endswith("T00:00:00+00:00")
    await show(shop.database, once=True, as_json=False)
    words = await top(capsys)
    assert "Full [day] (ses) all quota used up in " in words
    assert "50 mails a day" in words


async def test_top_keeps_to_the_width_that_it_is_told(
    shop: Workshop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    await break_circuit(shop, await shop.provider("A provider with a long name"), rests_for=None)
    await put_off(shop, "circuit")
    await show(shop.database, once=True, as_json=False)
    shown = capsys.readouterr().out
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert shown.count("…") == 0


async def test_waiting_mail_is_counted_by_its_index_however_much_waits(shop: Workshop) -> None:
    event_id = await shop.event()
    await shop.database.pool.execute(
        """INSERT INTO messages (id, workspace_id, event_id, recipient, due_at, next_try_at, priority, give_up_at,
                                 waiting_for)
           SELECT gen_random_uuid(), $1, $2, 'ann@example.org', at, at, 1, at,
                  CASE WHEN g % 2 = 0 THEN (ARRAY['retry', 'rate', 'circuit', 'quota'])[1 + (g / 2) % 4] END
           FROM generate_series(1, 100000) g, LATERAL (SELECT now() + g * interval '1 second' AS at) d""",
        shop.workspace_id, event_id,
    )  # fmt: skip
    await shop.database.pool.execute("ANALYZE messages")
    plan = await shop.database.pool.fetchval(
        f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {queries.WAITING}", 1_000, 5_000
    )
    read: list[dict[str, Any]] = [node for node in nodes(plan[0]["Plan"]) if node.get("Relation Name") == "messages"]
    assert {node.get("Index Name") for node in read} == {"ix_messages_waiting"}
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in read) <= 4 * 1_000 + 10
