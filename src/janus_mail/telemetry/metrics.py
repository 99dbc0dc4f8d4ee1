"""Every counter and histogram of a process, each defined once: Prometheus's names, base units, bounded labels.

Children are looked up once and kept: a mail costs some five microseconds in all. With `PROMETHEUS_MULTIPROC_DIR` set
the values live in files of that folder, and whichever process is asked answers for all of them.
"""

import os
from collections.abc import Callable, Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Final

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    Summary,
    disable_created_metrics,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

# prometheus-client reads this variable itself, when it is imported, so it is no setting of ours.
_SHARED: Final = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
if _SHARED:
    Path(_SHARED).mkdir(parents=True, exist_ok=True)

# Else each has a series more, which says when this process began to count.
disable_created_metrics()  # type: ignore[no-untyped-call]

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# -- the worker
MESSAGES: Final = Counter(
    "janus_messages_total",
    "Messages that this worker moved on: sent, failed, expired, parked and canceled ended there;"
    " uncertain and waiting go on later.",
    ["outcome"],
)
ATTEMPTS: Final = Counter(
    "janus_attempts_total", "Finished tries, by the provider's kind and what came of it.", ["kind", "outcome"]
)
ATTEMPT_DURATION: Final = Histogram(
    "janus_attempt_duration_seconds",
    "How long a try took, from asking the provider to its answer.",
    ["kind"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
)
LATENESS: Final = Histogram(
    "janus_delivery_lateness_seconds",
    "How long after its due time a message was sent, by the database's clock.",
    ["priority"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600),
)
CLAIMED: Final = Counter("janus_claimed_messages_total", "Messages that this worker leased.")
PERMITS_IN_USE: Final = Gauge(
    "janus_permits_in_use",
    "Messages that hold one of the worker's permits (JANUS_WORKER_CONCURRENCY) now.",
    multiprocess_mode="livesum",
)
COALESCED: Final = Summary(
    "janus_coalesced_items", "Records written together by one statement: its calls, and the records in all.", ["write"]
)
CIRCUIT_CHANGES: Final = Counter(
    "janus_circuit_changes_total", "Changes of circuits that this process made, by the state they led to.", ["state"]
)
DATABASE_AWAY: Final = Counter("janus_database_away_total", "How often the engine found the database away.")

# -- the API
REQUESTS: Final = Counter(
    "janus_http_requests_total",
    "Answered requests by route template and status; status 0: the client left before an answer.",
    ["method", "route", "status"],
)
REQUEST_DURATION: Final = Histogram(
    "janus_http_request_duration_seconds",
    "How long a request took, by route template.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
EVENTS_ACCEPTED: Final = Counter("janus_events_accepted_total", "Events that were stored.")
MESSAGES_ACCEPTED: Final = Counter("janus_messages_accepted_total", "Messages of the events that were stored.")


# What only the one of them counts is not told by the other, where it would be 0 for ever.
WORKERS_OWN: Final = (
    MESSAGES, ATTEMPTS, ATTEMPT_DURATION, LATENESS, CLAIMED, PERMITS_IN_USE, COALESCED, DATABASE_AWAY,
)  # fmt: skip
APIS_OWN: Final = (REQUESTS, REQUEST_DURATION, EVENTS_ACCEPTED, MESSAGES_ACCEPTED)


def message_moved(state: str, many: int = 1) -> None:
    """After its change is committed. Scheduled counts as waiting; leased, for the next provider, not at all."""
    if state != "leased":
        _message("waiting" if state == "scheduled" else state).inc(many)


def message_sent(priority: str, lateness_s: float) -> None:
    """After its finish is committed. `priority` in words, `lateness_s` sent_at - due_at by the database's clock."""
    _message("sent").inc()
    _lateness(priority).observe(max(lateness_s, 0.0))


def attempt_finished(kind: str, outcome: str, seconds: float) -> None:
    """After its finish is committed."""
    attempts, duration = _attempt(kind, outcome)
    attempts.inc()
    duration.observe(seconds)


def written_together(write: str, many: int) -> None:
    """One statement wrote `many` records; `write` is the coalescer's name."""
    _coalesced(write).observe(many)


def circuit_changed(state: str) -> None:
    """To closed, open or half_open."""
    CIRCUIT_CHANGES.labels(state).inc()


def accepted(events: int, messages: int) -> None:
    """After the commit."""
    EVENTS_ACCEPTED.inc(events)
    MESSAGES_ACCEPTED.inc(messages)


def request_answered(method: str, route: str, status: int, seconds: float) -> None:
    """`route` is a template, never an address; a method that nobody knows is «other»."""
    requests, duration = _request(method if method in _METHODS else "other", route, status)
    requests.inc()
    duration.observe(seconds)


@cache
def _message(outcome: str) -> Counter:
    return MESSAGES.labels(outcome)


@cache
def _lateness(priority: str) -> Histogram:
    return LATENESS.labels(priority)


@cache
def _attempt(kind: str, outcome: str) -> tuple[Counter, Histogram]:
    return ATTEMPTS.labels(kind, outcome), ATTEMPT_DURATION.labels(kind)


@cache
def _coalesced(write: str) -> Summary:
    return COALESCED.labels(write)


@cache
def _request(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, str(status)), REQUEST_DURATION.labels(route)


def registry_with(others: Callable[[], Iterable[Metric]], *, without: Iterable[Collector] = ()) -> CollectorRegistry:
    """This process's metrics but for those `without`, then what `others` answers, asked anew each time."""
    registry = CollectorRegistry()
    registry.register(_Gathered(others, {family.name for metric in without for family in metric.collect()}))
    return registry


class _Gathered(Collector):
    def __init__(self, others: Callable[[], Iterable[Metric]], left_out: Collection[str]) -> None:
        self._others = others
        self._left_out = left_out

    def collect(self) -> Iterable[Metric]:
        yield from (metric for metric in _of_processes() if metric.name not in self._left_out)
        yield from self._others()


def _of_processes() -> Iterable[Metric]:
    """This process's metrics, or in multi-process mode those of every process that shares the folder."""
    if not _SHARED:
        return REGISTRY.collect()
    for file in Path(_SHARED).glob("gauge_live*.db"):
        pid = file.stem.rpartition("_")[2]
        if not _is_alive(int(pid)):
            mark_process_dead(pid, _SHARED)  # type: ignore[no-untyped-call]
    metrics: Iterable[Metric] = MultiProcessCollector(None, _SHARED).collect()  # type: ignore[no-untyped-call]
    return metrics


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
