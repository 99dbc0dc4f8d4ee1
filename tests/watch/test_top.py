"""`janus top`: what is due, under way and stuck, for a person and for a script."""

import json

import pytest

from janus_mail.storage.database import Database
from janus_mail.watch.top import show
from tests.delivery.conftest import Workshop, quick, shop
from tests.telemetry.test_metrics import break_circuit
from tests.test_cli import Janus, janus, named

__all__ = ["janus", "named", "quick", "shop"]


@pytest.mark.usefixtures("named")
async def test_top_once_shows_what_is_due_and_which_provider_takes_no_mail(
    janus: Janus, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    provider_id = await shop.provider("Main [post]", "ses")
    await shop.event("a@example.org", "b@example.org", due_in_s=-90, priority=0)
    await break_circuit(shop, provider_id, rests_for="30 seconds")
    await break_circuit(shop, provider_id, rests_for=None, sender_domain="example.com")
    done = await janus("top", "--once")
    assert (done.code, done.err) == (0, "")
    (high,) = [line for line in done.out.splitlines() if "high" in line]
    assert high.replace("│", " ").split()[:4] == ["high", "2", "0", "0:01:30"]
    for words in ("0 workers alive", "Main [post]", "example.com", "5 tries failed in a row", "someone closes it"):
        assert words in " ".join(done.out.replace("│", " ").split()), words


@pytest.mark.usefixtures("named")
async def test_top_as_json_is_one_object_with_numbers_and_no_open_circuit_left_out(
    janus: Janus, shop: Workshop
) -> None:
    first, _ = await shop.provider("first"), await shop.provider("second")
    await shop.event(due_in_s=-60, priority=2)
    await break_circuit(shop, first, rests_for="-1 second")
    done = await janus("top", "--json")
    assert done.code == 0
    shown = json.loads(done.out)
    bulk = shown["priorities"]["bulk"]
    assert (bulk["due"], bulk["sending"], bulk["sent_per_second"]) == (1, 0, 0.0)
    assert 60 <= bulk["oldest_due_seconds"] < 600
    (circuit,) = shown["circuits"]
    assert (circuit["provider"]["name"], circuit["state"], circuit["sender_domain"]) == ("first", "half_open", None)


async def test_the_rate_is_what_providers_accepted_in_the_last_seconds(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    provider_id = await shop.provider()
    event_id = await shop.event(*(f"r{n}@example.org" for n in range(9)))
    await shop.database.pool.execute(
        """INSERT INTO attempts (id, workspace_id, message_id, number, round, fence, worker_id, provider_id,
                                 provider_kind, provider_name, started_at, finished_at, outcome)
           SELECT gen_random_uuid(), workspace_id, id, 1, 1, 1, gen_random_uuid(), $2, 'ses', 'x', ended.at, ended.at,
                  CASE WHEN number > 6 THEN 'provider_down' ELSE 'accepted' END
           FROM (SELECT *, row_number() OVER () AS number FROM messages WHERE event_id = $1) m,
                LATERAL (SELECT clock_timestamp() - CASE WHEN number > 3 THEN interval '0' ELSE interval '1 minute' END
                         AS at) ended""",
        event_id, provider_id,
    )  # fmt: skip
    await show(shop.database, once=True, as_json=True)
    assert json.loads(capsys.readouterr().out)["priorities"]["normal"]["sent_per_second"] == 1.0


@pytest.mark.usefixtures("database")
async def test_where_no_terminal_shows_it_top_prints_once(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await show(database, once=False, as_json=False)
    assert "Every provider's circuit is closed." in capsys.readouterr().out
