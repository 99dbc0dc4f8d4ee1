"""The overview as Prometheus gauges, read when someone asks and kept for a second."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import asyncpg
from prometheus_client.core import GaugeMetricFamily, Metric

from janus_mail.models.states import CircuitState
from janus_mail.storage.database import CONNECTION_LOST, Database
from janus_mail.telemetry.boot_clock import boot_clock_s
from janus_mail.watch.overview import PUT_OFF, Overview, read

_FRESH_S: Final = 1.0
_AWAY: Final[tuple[type[BaseException], ...]] = (*CONNECTION_LOST, asyncpg.PostgresError)
_PATIENCE_S: Final = 2.0
_CIRCUIT_NUMBER: Final = {CircuitState.CLOSED: 0, CircuitState.HALF_OPEN: 1, CircuitState.OPEN: 2}
_NOTHING_ELSE: Final = "worker"  # what is due waits for a worker to take it up
_COUNTED: Final = ("due", "leased", "sending", "uncertain", "parked")

_log = logging.getLogger(__name__)


class Gauges:
    """One per process and database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._reading = asyncio.Lock()
        self._families: Sequence[Metric] = ()
        self._read_at_s = float("-inf")

    async def read(self) -> Sequence[Metric]:
        """Answers within 2 s. While the database is away, `janus_database_up` 0 alone."""
        async with self._reading:
            if boot_clock_s() - self._read_at_s >= _FRESH_S:
                self._families = await self._ask()
                self._read_at_s = boot_clock_s()
            return self._families

    async def _ask(self) -> Sequence[Metric]:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return families(await read(self.database))
        except _AWAY as error:
            _log.debug("metrics: the database is away (%s)", type(error).__name__)
            return families(None)


def families(overview: Overview | None) -> Sequence[Metric]:
    """The gauges of an overview; null: the database could not be asked."""
    up = GaugeMetricFamily("janus_database_up", "Whether the database answered (1) or not (0) when it was asked.")
    up.add_metric([], 0 if overview is None else 1)
    if overview is None:
        return [up]
    workers = GaugeMetricFamily("janus_workers", "Worker processes seen alive in the last 30 seconds.")
    workers.add_metric([], overview.workers)
    paused = GaugeMetricFamily("janus_paused_workspaces", "Workspaces that are paused: nothing of theirs is sent.")
    paused.add_metric([], overview.paused_workspaces)
    return [up, workers, paused, *_of_messages(overview), *_of_circuits(overview), *_of_feedback(overview)]


def _of_messages(overview: Overview) -> Sequence[Metric]:
    messages = GaugeMetricFamily(
        "janus_messages",
        "Messages by state and priority; due: scheduled, its time has come, in no paused workspace."
        " Counts stop at 10,000.",
        labels=["state", "priority"],
    )
    waiting = GaugeMetricFamily(
        "janus_waiting_messages",
        "Messages that were due and have been put off, by what they wait for. Counts stop at 10,000.",
        labels=["waiting_for", "priority"],
    )
    oldest = GaugeMetricFamily(
        "janus_oldest_due_seconds",
        "For how long the message that has been due longest has been due without being in a worker's hands, by what it"
        " waits for; worker: for nothing else. 0: there is none.",
        labels=["waiting_for", "priority"],
    )
    for priority, load in overview.loads.items():
        name = priority.name.lower()
        for state in _COUNTED:
            messages.add_metric([state, name], getattr(load, state))
        oldest.add_metric([_NOTHING_ELSE, name], load.oldest_due_s)
        for reason in PUT_OFF:
            waiting.add_metric([reason, name], load.waiting[reason])
            oldest.add_metric([reason, name], load.oldest_waiting_s[reason])
    return [messages, waiting, oldest]


def _of_circuits(overview: Overview) -> Sequence[Metric]:
    circuits = GaugeMetricFamily(
        "janus_circuit_state",
        "A provider's circuit: 0 closed (it is asked), 1 half open (one mail tries it), 2 open (it is not asked).",
        labels=["provider", "kind"],
    )
    senders = GaugeMetricFamily(
        "janus_blocked_sender_domains",
        "Sender domains whose own circuit at this provider is not closed.",
        labels=["provider", "kind"],
    )
    whole = {(str(c.provider_id), c.kind): 0 for c in overview.circuits}
    blocked = dict(whole)
    for circuit in overview.circuits:
        scope = (str(circuit.provider_id), circuit.kind)
        if not circuit.sender_domain:
            whole[scope] = _CIRCUIT_NUMBER[circuit.state]
        elif circuit.state is not CircuitState.CLOSED:
            blocked[scope] += 1
    for scope, number in whole.items():
        circuits.add_metric(scope, number)
        senders.add_metric(scope, blocked[scope])
    return [circuits, senders]


def _of_feedback(overview: Overview) -> Sequence[Metric]:
    waiting = GaugeMetricFamily(
        "janus_feedback_posts_waiting",
        "Posts of services that nobody has worked on yet, with those that are tried again later."
        " Counts stop at 10,000.",
    )
    waiting.add_metric([], overview.posts_waiting)
    oldest = GaugeMetricFamily(
        "janus_feedback_oldest_post_seconds", "For how long the first of these posts has waited. 0: there is none."
    )
    oldest.add_metric([], overview.oldest_post_s)
    return [waiting, oldest]
