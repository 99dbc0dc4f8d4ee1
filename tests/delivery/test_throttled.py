"""A provider that asks for a rest gets it from every worker, and its owner sees one incident."""

import asyncio
import uuid

import pytest
from uuid_utils.compat import uuid7

from janus_mail.availability.circuits import Circuits, CircuitTimes, Scope
from janus_mail.models.states import CircuitState
from janus_mail.providers.outcomes import ProviderDown, Throttled
from janus_mail.telemetry.boot_clock import boot_clock_s
from janus_mail.worker import WorkerProcess
from tests.delivery.conftest import Workshop, working

TIMES = CircuitTimes(open_s=30, cap_s=600)


async def nobody(_: uuid.UUID) -> None:
    """Nothing waits."""


async def ask_for_a_rest(circuits: Circuits, scope: Scope, retry_after_s: float | None = None) -> None:
    error = Throttled("429", "Maximum sending rate exceeded", retry_after_s=retry_after_s)
    await circuits.hear(scope, uuid7(), "ann@example.org", error, began_s=boot_clock_s())


async def written(shop: Workshop, provider_id: uuid.UUID) -> list[tuple[str, str]]:
    rows = await shop.database.pool.fetch(
        "SELECT state, cause FROM provider_incidents WHERE provider_id = $1 ORDER BY number", provider_id
    )
    return [(row["state"], row["cause"]) for row in rows]


async def end_the_rest(shop: Workshop, circuits: Circuits, scope: Scope) -> None:
    """As if its time were over."""
    await shop.database.pool.execute(
        "UPDATE circuits SET until = clock_timestamp(), number = number WHERE provider_id = $1", scope.provider_id
    )
    circuits.learn(
        await shop.database.pool.fetch(
            "SELECT *, extract(epoch FROM until - clock_timestamp())::float8 AS rest_s FROM circuits"
            " WHERE workspace_id = $1",
            scope.workspace_id,
        )
    )


async def test_it_rests_as_long_as_it_asks_and_its_words_are_kept(shop: Workshop) -> None:
    scope = Scope(shop.workspace_id, await shop.provider("first"))
    circuits = Circuits(shop.database, TIMES, nobody)
    await ask_for_a_rest(circuits, scope, 17)
    circuit = circuits.of(scope)
    assert circuit.rest_s == pytest.approx(17, abs=1)
    assert (circuit.throttled, circuit.reason) == (True, "it asks for a rest: 429 Maximum sending rate exceeded")
    assert await written(shop, scope.provider_id) == [("open", "throttled")]


async def test_where_it_does_not_say_how_long_its_rests_grow(shop: Workshop) -> None:
    scope = Scope(shop.workspace_id, await shop.provider("first"))
    circuits = Circuits(shop.database, TIMES, nobody)
    rests = []
    for _ in range(6):
        await ask_for_a_rest(circuits, scope)
        rests.append(round(circuits.of(scope).rest_s))
        await end_the_rest(shop, circuits, scope)
        assert await circuits.admit(scope)
    assert rests == [5, 10, 20, 40, 60, 60]


async def test_at_the_edge_of_its_rate_it_makes_one_incident_and_not_one_a_rest(shop: Workshop) -> None:
    scope = Scope(shop.workspace_id, await shop.provider("first"))
    circuits = Circuits(shop.database, TIMES, nobody)
    for _ in range(3):
        await ask_for_a_rest(circuits, scope, 1)
        await end_the_rest(shop, circuits, scope)
        assert await circuits.admit(scope)
        await circuits.hear(scope, uuid7(), "ann@example.org", None, began_s=boot_clock_s())
        assert circuits.of(scope).state is CircuitState.CLOSED
    assert await written(shop, scope.provider_id) == [
        ("open", "throttled"), ("half_open", "probe"), ("closed", "probe"),
    ]  # fmt: skip


async def test_a_breakdown_after_unwritten_rests_is_an_incident_of_its_own(shop: Workshop) -> None:
    scope = Scope(shop.workspace_id, await shop.provider("first"))
    circuits = Circuits(shop.database, TIMES, nobody)
    for _ in range(2):
        await ask_for_a_rest(circuits, scope, 1)
        await end_the_rest(shop, circuits, scope)
        assert await circuits.admit(scope)
        await circuits.hear(scope, uuid7(), "ann@example.org", None, began_s=boot_clock_s())
    await ask_for_a_rest(circuits, scope, 1)
    await end_the_rest(shop, circuits, scope)
    assert await circuits.admit(scope)
    await circuits.hear(scope, uuid7(), "ann@example.org", ProviderDown("timeout"), began_s=boot_clock_s())
    assert (await written(shop, scope.provider_id))[3:] == [("open", "probe")]
    assert circuits.of(scope).rest_s == pytest.approx(30, abs=1)


async def test_what_one_worker_is_told_the_others_keep_to(shop: Workshop, worker: WorkerProcess) -> None:
    await shop.provider("first", sandbox_mode="throttled")
    await shop.provider("second")
    worker.engine.wake()
    await shop.until(await shop.event(), "sent")
    async with working(shop.settings, shop.database, None) as another:
        await worker.engine.stop()
        async with asyncio.timeout(10):
            event_id = await shop.event()
            another.engine.wake()
            await shop.until(event_id, "sent")
    assert await shop.story(event_id) == [("second", "accepted")]
