"""The circuits: whether a provider, or one sender domain at it, is asked at all.

They stand in PostgreSQL and are changed by compare-and-set on a number, so that of several workers one opens a circuit
and one sends its probe, with Redis or without. Every change leaves a row in `provider_incidents`.
"""

import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

import asyncpg
from uuid_utils.compat import uuid7

from janus_mail.availability import queries
from janus_mail.availability.streak import FAILS, PUT_OFF, Streak
from janus_mail.models.states import CircuitCause, CircuitState
from janus_mail.providers.outcomes import DeliveryError, Outcome, ProviderBroken, ProviderDown, Throttled
from janus_mail.storage.database import Connection, Database
from janus_mail.telemetry import metrics
from janus_mail.telemetry.boot_clock import boot_clock_s

WHOLE = ""  # the scope of a circuit that is about no sender domain in particular
_REASON_MOST = 300
_ASKS = "it asks for a rest"
# How long a provider rests that asks for it and does not say, doubled each time, and the most that is believed of one
# that does: afterwards one mail tries it.
_UNSAID_S, _UNSAID_MOST_S, _SAID_MOST_S = 5.0, 60.0, 3600.0
# The server's own words stay out of the log: they like to name recipients. They are in the incident.
_SAID = {
    CircuitCause.FAILURES: "too many tries failed",
    CircuitCause.BROKEN: "it refuses us: look at its credentials, its quota, its verified senders",
    CircuitCause.PROBE: "the mail that tried it failed again",
    CircuitCause.THROTTLED: _ASKS,
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scope:
    """What a circuit is about."""

    workspace_id: uuid.UUID
    provider_id: uuid.UUID
    sender_domain: str = WHOLE
    name: str = field(default="", compare=False)  # of the provider, for the log

    @cached_property
    def whole(self) -> "Scope":
        return replace(self, sender_domain=WHOLE) if self.sender_domain else self


@dataclass(frozen=True, slots=True)
class Circuit:
    """A circuit as it was last seen. `until_s` by the boot clock; null: until a person closes it."""

    state: CircuitState = CircuitState.CLOSED
    number: int = 0
    trips: int = 0
    reason: str = ""
    until_s: float | None = None
    seen_s: float = float("-inf")  # since when it is known to be so

    @property
    def rest_s(self) -> float:
        """Seconds until it is worthwhile to ask again; zero or less: now."""
        if self.state is CircuitState.CLOSED:
            return 0.0
        return float("inf") if self.until_s is None else self.until_s - boot_clock_s()

    @property
    def throttled(self) -> bool:
        """Whether it rests because the provider asked for it, and not because it failed."""
        return self.state is not CircuitState.CLOSED and self.reason.startswith(_ASKS)


_CLOSED = Circuit()


class PutOffAll(ProviderDown):
    """The provider puts off whoever the recipient is."""


@dataclass(frozen=True, slots=True)
class CircuitTimes:
    """How long a circuit stays open: `open_s`, doubled with each probe that fails, up to `cap_s`."""

    open_s: float
    cap_s: float

    def rest_s(self, trips: int) -> float:
        return min(self.cap_s, self.open_s * 2.0 ** min(trips - 1, 30))


class Circuits:
    """One per worker process. `on_closed` is told the workspace whose provider takes mail again."""

    def __init__(
        self, database: Database, times: CircuitTimes, on_closed: Callable[[uuid.UUID], Awaitable[None]]
    ) -> None:
        self._database = database
        self._times = times
        self._on_closed = on_closed
        self._seen: dict[Scope, Circuit] = {}
        self._streaks: dict[Scope, Streak] = {}
        self._probing: set[Scope] = set()  # a mail of this process is trying it

    def learn(self, rows: Iterable[asyncpg.Record]) -> None:
        """Take in what stands in the database; read with the workspace's providers once a second."""
        for row in rows:
            scope = Scope(row["workspace_id"], row["provider_id"], row["sender_domain"])
            if row["number"] >= self.of(scope).number:
                self._see(scope, row)

    def of(self, scope: Scope) -> Circuit:
        return self._seen.get(scope, _CLOSED) if self._seen else _CLOSED  # an empty one is not worth a hash

    async def admit(self, scope: Scope) -> bool:
        """Whether this mail may try the provider. Of an open circuit whose rest is over the first becomes the probe."""
        circuit = self.of(scope)
        if circuit.state is CircuitState.CLOSED:
            return True
        if circuit.rest_s > 0:
            return False
        admitted = await self._move(
            scope, CircuitState.HALF_OPEN, CircuitCause.PROBE, circuit.reason, trips=circuit.trips,
            for_s=2 * self._times.open_s,
        )  # fmt: skip
        if admitted:
            self._probing.add(scope)
        return admitted

    async def release(self, scope: Scope) -> None:
        """The probe was not made after all: the next mail may be it."""
        if scope in self._probing:
            self._probing.discard(scope)
            circuit = self.of(scope)
            if circuit.state is CircuitState.HALF_OPEN:
                await self._move(scope, CircuitState.OPEN, CircuitCause.PROBE, circuit.reason, trips=circuit.trips,
                                 for_s=0.0)  # fmt: skip

    def judge(self, scope: Scope, recipient: str, error: DeliveryError) -> DeliveryError:
        """The error as it counts: a deferral that is one of many says nothing of its recipient, and all of its
        provider (DELIVERY.md: five in a row over different domains are «provider down»)."""
        if error.outcome is not Outcome.RECIPIENT_DEFERRED:
            return error
        whole = scope.whole
        circuit, streak = self.of(whole), self._streaks.get(whole)
        if circuit.state is CircuitState.CLOSED:
            many = streak is not None and streak.puts_off_all_with(recipient)
        else:
            many = circuit.reason.startswith(PUT_OFF)
        if not many:
            return error
        judged = PutOffAll(error.code, error.response, retry_after_s=error.retry_after_s)
        judged.refused = error.refused
        return judged

    async def hear(
        self, scope: Scope, message_id: uuid.UUID, recipient: str, error: DeliveryError | None, *, began_s: float
    ) -> None:
        """Take in how a try, begun at `began_s` (boot clock), ended at the provider of `scope`, which names the
        sender's domain."""
        whole = scope.whole
        outcome = error.outcome if error is not None else Outcome.ACCEPTED
        if error is not None and not error.counts:
            await self.release(whole)  # that shows neither that it works nor that it fails
            await self.release(scope)
            return
        if isinstance(error, Throttled):
            if scope != whole:
                await self.release(scope)
            await self._rest(whole, error, began_s=began_s)
            return
        self._probing -= {whole, scope}
        if isinstance(error, ProviderBroken):
            broken = scope if error.scope == "sender" else whole
            if self.of(broken).state is not CircuitState.OPEN:
                await self._open(broken, CircuitCause.BROKEN, _words("the provider refuses us", error))
            if broken == scope:
                await self._close_if_probed(whole)
        elif began_s < self.of(whole).seen_s:
            return  # news from before the circuit last changed
        elif outcome in FAILS:
            why = PUT_OFF if isinstance(error, PutOffAll) else "the probe failed"
            if self.of(whole).state is CircuitState.HALF_OPEN:
                await self._open(whole, CircuitCause.PROBE, _words(why, error))
            elif isinstance(error, PutOffAll) and self.of(whole).state is CircuitState.CLOSED:
                await self._open(whole, CircuitCause.FAILURES, _words(why, error))
            else:
                await self._count(whole, message_id, recipient, error)
        else:
            await self._close_if_probed(whole)
            await self._close_if_probed(scope)
            if error is not None or (self._streaks and whole in self._streaks):
                await self._count(whole, message_id, recipient, error)

    async def _count(self, whole: Scope, message_id: uuid.UUID, recipient: str, error: DeliveryError | None) -> None:
        """In a closed circuit only: what ends after it opened was begun before."""
        if self.of(whole).state is CircuitState.CLOSED:
            streak = self._streaks.setdefault(whole, Streak())
            why = streak.hear(message_id, recipient, error.outcome if error is not None else Outcome.ACCEPTED)
            if why is not None:
                await self._open(whole, CircuitCause.FAILURES, _words(why, error))

    async def _close_if_probed(self, scope: Scope) -> None:
        if self.of(scope).state is CircuitState.HALF_OPEN:
            await self._close(scope)

    async def _rest(self, whole: Scope, error: Throttled, *, began_s: float) -> None:
        """Nobody asks it until then, in no worker."""
        circuit = self.of(whole)
        self._probing.discard(whole)
        if circuit.state is CircuitState.OPEN or began_s < circuit.seen_s:
            return  # it rests, or has rested since
        trips = circuit.trips + 1 if circuit.throttled else 1
        rest_s = min(_SAID_MOST_S, error.retry_after_s or 0.0)
        if error.retry_after_s is None:
            rest_s = min(_UNSAID_MOST_S, _UNSAID_S * 2.0 ** min(trips - 1, 10))
        cause = CircuitCause.THROTTLED
        if await self._move(whole, CircuitState.OPEN, cause, _words(_ASKS, error), trips=trips, for_s=rest_s):
            _log.warning("%s rests for %.0f s: %s", _about(whole), rest_s, _SAID[cause])

    async def _open(self, scope: Scope, cause: CircuitCause, reason: str) -> None:
        trips = 1 if self.of(scope).throttled else self.of(scope).trips + 1
        rest_s = self._times.rest_s(trips)
        if await self._move(scope, CircuitState.OPEN, cause, reason, trips=trips, for_s=rest_s):
            _log.warning("%s rests for %.0f s: %s", _about(scope), rest_s, _SAID[cause])

    async def _close(self, scope: Scope) -> None:
        if await self._move(scope, CircuitState.CLOSED, CircuitCause.PROBE, "the probe passed", trips=0, for_s=None):
            _log.info("%s takes mail again", _about(scope))
            await self._on_closed(scope.workspace_id)

    async def _move(
        self, scope: Scope, state: CircuitState, cause: CircuitCause, reason: str, *, trips: int, for_s: float | None
    ) -> bool:
        """Whether it was this process that changed it; else another has, and we learn what it made of it."""
        row = await self._database.pool.fetchrow(
            queries.MOVE_CIRCUIT, scope.provider_id, scope.sender_domain, scope.workspace_id, state,
            self.of(scope).number, trips, for_s, reason, cause, None, uuid7(),
        )  # fmt: skip
        moved = row is not None
        if moved:
            metrics.circuit_changed(state.value)
        if row is None:
            row = await self._database.pool.fetchrow(queries.CIRCUIT, scope.provider_id, scope.sender_domain)
        if row is not None:
            self._see(scope, row)
        return moved

    def _see(self, scope: Scope, row: asyncpg.Record) -> None:
        if row["number"] != self.of(scope).number:
            self._streaks.pop(scope, None)  # what was counted led here, or is over
        until_s = None if row["rest_s"] is None else boot_clock_s() + row["rest_s"]
        state = CircuitState(row["state"])
        known = self.of(scope)
        seen_s = known.seen_s if known.number == row["number"] else boot_clock_s()
        self._seen[scope] = Circuit(state, row["number"], row["trips"], row["reason"], until_s, seen_s)


async def open_by_hand(
    connection: Connection, workspace_id: uuid.UUID, provider_id: uuid.UUID, *, actor: str, reason: str | None
) -> None:
    """The provider is left alone until a person closes its circuit again."""
    await connection.fetchrow(
        queries.MOVE_CIRCUIT, provider_id, WHOLE, workspace_id, CircuitState.OPEN, None, 1, None,
        reason or "opened by hand", CircuitCause.PERSON, actor, uuid7(),
    )  # fmt: skip


async def close_by_hand(connection: Connection, workspace_id: uuid.UUID, provider_id: uuid.UUID, *, actor: str) -> None:
    """The provider is asked again, for every sender domain."""
    for row in await connection.fetch(queries.NOT_CLOSED, workspace_id, provider_id):
        await _close_now(
            connection, workspace_id, provider_id, row["sender_domain"], "closed by hand", CircuitCause.PERSON, actor
        )


async def settings_changed(connection: Connection, workspace_id: uuid.UUID, provider_id: uuid.UUID) -> None:
    """With other settings it is another provider: what failures opened is closed, what a person opened stays."""
    for row in await connection.fetch(queries.NOT_CLOSED, workspace_id, provider_id):
        if not row["by_hand"]:
            await _close_now(
                connection, workspace_id, provider_id, row["sender_domain"], "its settings were changed",
                CircuitCause.CHANGED, None,
            )  # fmt: skip


async def _close_now(
    connection: Connection,
    workspace_id: uuid.UUID,
    provider_id: uuid.UUID,
    sender_domain: str,
    reason: str,
    cause: CircuitCause,
    actor: str | None,
) -> None:
    await connection.fetchrow(
        queries.MOVE_CIRCUIT, provider_id, sender_domain, workspace_id, CircuitState.CLOSED, None, 0, None, reason,
        cause, actor, uuid7(),
    )  # fmt: skip


def _words(why: str, error: DeliveryError | None) -> str:
    if error is None:
        return why
    said = " ".join(error.response.removeprefix(error.code.partition(" ")[2]).split())
    text = f"{why}: {error.code} {said}".rstrip()
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:_REASON_MOST]


def _about(scope: Scope) -> str:
    provider = f"provider {scope.name or scope.provider_id} of workspace {scope.workspace_id}"
    return f"{provider} for mail from {scope.sender_domain}" if scope.sender_domain else provider
