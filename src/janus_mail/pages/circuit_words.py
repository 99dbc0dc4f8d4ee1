"""A provider's circuit in words: how it stands, and what it has been through. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from janus_mail.models.states import CircuitCause, CircuitState
from janus_mail.pages.timeline import Step
from janus_mail.pages.times import Clock
from janus_mail.pages.words import Look, by_whom, count, listed
from janus_mail.routing.schemas import BlockedSenderDomain, Circuit, Incident, IncidentChange


@dataclass(frozen=True, slots=True)
class Rest:
    """Why a provider is not asked: `reason` with what the server said, `since`, and what comes next."""

    look: Look
    reason: str
    since: datetime | None
    following: str
    by_hand: bool = False


def rest(circuit: Circuit, clock: Clock, *, broken: bool) -> Rest | None:
    """None while it is asked. `broken`: it refuses us, rather than being away."""
    reason = circuit.reason or ""
    tone = "bad" if broken else "warn"
    if circuit.by_hand:
        return Rest(
            Look("Stopped by hand", "parked", "warn"), reason, circuit.since,
            "It stays so until somebody uses it again.", by_hand=True,
        )  # fmt: skip
    if circuit.state is CircuitState.OPEN and circuit.until is not None:
        following = "Then one mail tries it; the next provider takes its mail meanwhile."
        return Rest(Look(f"Resting until {clock.at(circuit.until)}", "open", tone), reason, circuit.since, following)
    if circuit.state is not CircuitState.CLOSED:
        following = "One mail tries it; when that leaves, it takes mail again."
        return Rest(Look("Being tried again", "open", tone), reason, circuit.since, following)
    return None


def blocked(domain: BlockedSenderDomain, clock: Clock) -> str:
    """A sender domain for which it is not asked."""
    until = f" until {clock.at(domain.until)}" if domain.until else ""
    return f"Not used for senders of {domain.domain}{until}, since {clock.at(domain.since)}: {domain.reason}"


def headline(incident: Incident, clock: Clock) -> str:
    """«Down 14:02 to 14:07, 312 mails went through Amazon SES instead»."""
    what = "Stopped by hand" if incident.cause is CircuitCause.PERSON else "Down"
    scope = f" for senders of {incident.sender_domain}" if incident.sender_domain else ""
    went = [f"{count(way.messages, 'mail')} went through {way.provider.name}" for way in incident.instead]
    instead = f"{listed(went)} instead" if went else "no mail went another way"
    return f"{what}{scope} {_span(incident, clock)}, {instead}"


def course(changes: Sequence[IncidentChange], clock: Clock) -> list[Step]:
    """Each change of an incident as a step of its timeline."""
    return [_step(change, clock) for change in changes]


def _span(incident: Incident, clock: Clock) -> str:
    opened, closed = incident.opened_at, incident.closed_at
    start = (
        clock.to_the_minute(opened) if clock.is_today(opened) else f"{clock.on(opened)}, {clock.to_the_minute(opened)}"
    )
    if closed is None:
        return f"since {start}"
    same_day = clock.on(opened) == clock.on(closed)
    end = clock.to_the_minute(closed) if same_day else f"{clock.on(closed)}, {clock.to_the_minute(closed)}"
    return f"{start} to {end}"


def _step(change: IncidentChange, clock: Clock) -> Step:
    until = ""
    if change.until is not None:
        until = f"It {'rests' if change.until > clock.now else 'rested'} until {clock.at(change.until)}."
    match change.state, change.cause:
        case CircuitState.OPEN, CircuitCause.PERSON:
            happened = f"Stopped by {by_whom(change.actor)}"
            return Step(change.at, "parked", "warn", happened, said=change.reason)
        case CircuitState.OPEN, CircuitCause.BROKEN:
            return Step(change.at, "key", "bad", "It refused us", until, said=change.reason)
        case CircuitState.OPEN, CircuitCause.PROBE:
            return Step(change.at, "open", "warn", "The try failed", until, said=change.reason)
        case CircuitState.OPEN, _:
            return Step(change.at, "open", "warn", "Left to rest", until, said=change.reason)
        case CircuitState.HALF_OPEN, _:
            return Step(change.at, "sending", "active", "One mail tried it")
        case _, CircuitCause.PERSON:
            return Step(change.at, "closed", "good", f"Used again by {by_whom(change.actor)}")
        case _, CircuitCause.CHANGED:
            return Step(change.at, "closed", "good", "Its settings were changed", "It is asked anew.")
    return Step(change.at, "closed", "good", "The try passed", "It takes mail again.")
