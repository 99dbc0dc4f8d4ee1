"""A provider's circuit in words: how it stands, and what it has been through. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from janus_mail.models.states import CircuitCause, CircuitState
from janus_mail.pages.timeline import Step
from janus_mail.pages.times import Clock
from janus_mail.pages.waiting import capital
from janus_mail.pages.words import Look, by_whom, count, listed, saying
from janus_mail.providers.outcomes import Outcome
from janus_mail.routing.schemas import BlockedSenderDomain, Circuit, Incident, IncidentChange

KEY_REFUSED = "Key refused"
_PLAIN = {
    "the probe failed": "The try failed",
    "the provider refuses us": "It refused us",
    "it asks for a rest": "It asked for a rest",
}


@dataclass(frozen=True, slots=True)
class Rest:
    """Why a provider is not asked, in our words and in its server's, `since` when, and what comes next."""

    look: Look
    reason: str
    said: str
    since: datetime | None
    following: str
    by_hand: bool = False
    key_refused: bool = False  # a new one is what it wants


def rest(circuit: Circuit, clock: Clock, *, broken: bool, stand_in: str | None) -> Rest | None:
    """None while it is asked. `broken`: it refuses us, rather than being away; `stand_in` takes its mail meanwhile."""
    meanwhile = f"{stand_in} takes its mail meanwhile." if stand_in else "No other provider takes its mail: it waits."
    if circuit.by_hand:
        reason = f"Reason: {circuit.reason}" if circuit.reason else ""
        following = f"It stays so until somebody uses it again. {meanwhile}"
        return Rest(Look("Stopped by hand", "parked", "warn"), reason, "", circuit.since, following, by_hand=True)
    ours, said = told(circuit.reason or "", broken=broken)
    tone, icon = ("bad", "key") if broken else ("warn", "open")
    key_refused = broken and refusal(circuit.reason) == KEY_REFUSED
    if circuit.state is CircuitState.OPEN and circuit.until is not None and circuit.until > clock.now:
        until = clock.at(circuit.until)
        word = f"{refusal(circuit.reason)}, left out" if broken else f"Resting until {until}"
        following = f"One mail tries it again {clock.relative(circuit.until)}, at {until}. {meanwhile}"
        return Rest(Look(word, icon, tone), ours, said, circuit.since, following, key_refused=key_refused)
    if circuit.state is not CircuitState.CLOSED:
        following = f"The next mail tries it; when that leaves, it takes mail again. {meanwhile}"
        look = Look("Being tried again", icon, tone)
        return Rest(look, ours, said, circuit.since, following, key_refused=key_refused)
    return None


def refusal(reason: str | None) -> str:
    """How a provider refuses us, for a headline: «Key refused»."""
    said = (reason or "").partition(": ")[2]
    short = saying(Outcome.PROVIDER_BROKEN, " ".join(said.split()[:2]), said).short
    return KEY_REFUSED if short == "refused our key" else capital(short)


def told(reason: str, *, broken: bool = False) -> tuple[str, str]:
    """A circuit's reason as our sentence and the server's own words.

    «the probe failed: 421 4.3.2 Busy» is («The try failed», «421 4.3.2 Busy»); a code of ours becomes words.
    """
    ours, _, said = reason.partition(": ")
    ours = _PLAIN.get(ours, capital(ours))
    if not said or said[0].isdigit():
        return ours, said
    words = saying(Outcome.PROVIDER_BROKEN if broken else Outcome.PROVIDER_DOWN, said).short
    return f"{ours}: {words}", ""


def blocked(domain: BlockedSenderDomain, clock: Clock) -> str:
    """A sender domain for which it is not asked."""
    until = f" until {clock.at(domain.until)}" if domain.until else ""
    why = ": ".join(filter(None, told(domain.reason, broken=True)))
    return f"Not used for senders of {domain.domain}{until}, since {clock.at(domain.since)}. {why}"


def headline(incident: Incident, clock: Clock) -> str:
    """«Down 14:02 to 14:07, 312 mails went through Amazon SES instead»."""
    return f"{what(incident)} {clock.span(incident.opened_at, incident.closed_at)}, {instead(incident)}"


def what(incident: Incident) -> str:
    """«Down», «Key refused, left out for senders of old.example»."""
    words = "Stopped by hand" if incident.cause is CircuitCause.PERSON else "Down"
    if incident.cause is CircuitCause.THROTTLED:
        words = "Asked for a rest"
    if incident.cause is CircuitCause.BROKEN:
        words = f"{refusal(incident.reason)}, left out"
    return words + (f" for senders of {incident.sender_domain}" if incident.sender_domain else "")


def instead(incident: Incident) -> str:
    """«312 mails went through Amazon SES instead»."""
    went = [f"{count(way.messages, 'mail')} went through {way.provider.name}" for way in incident.instead]
    return f"{listed(went)} instead" if went else "no mail went another way"


def cause(incident: Incident) -> tuple[str, str]:
    """Why it began, in our words or a person's, and in the server's."""
    if incident.cause is CircuitCause.PERSON:
        return f"Reason: {incident.reason}", ""
    return told(incident.reason, broken=incident.cause is CircuitCause.BROKEN)


def course(changes: Sequence[IncidentChange], clock: Clock) -> list[Step]:
    """Each change of an incident as a step of its timeline."""
    return [_step(change, clock) for change in changes]


def _step(change: IncidentChange, clock: Clock) -> Step:
    again = ""
    if change.until is not None:
        again = f" Next try {'at' if change.until > clock.now else 'was due at'} {clock.at(change.until)}."
    match change.state, change.cause:
        case CircuitState.OPEN, CircuitCause.PERSON:
            return Step(change.at, "parked", "warn", f"Stopped by {by_whom(change.actor)}", f"Reason: {change.reason}")
        case CircuitState.OPEN, CircuitCause.BROKEN:
            ours, said = told(change.reason, broken=True)
            return Step(change.at, "key", "bad", f"{refusal(change.reason)}, left out", f"{ours}.{again}", said=said)
        case CircuitState.OPEN, CircuitCause.THROTTLED:
            _, said = told(change.reason)
            return Step(change.at, "clock", "warn", "It asked for a rest", f"Left out meanwhile.{again}", said=said)
        case CircuitState.OPEN, CircuitCause.PROBE:
            ours, said = told(change.reason)
            return Step(change.at, "open", "warn", ours, f"Left out again.{again}", said=said)
        case CircuitState.OPEN, _:
            ours, said = told(change.reason)
            return Step(change.at, "open", "warn", "Left out for a while", f"{ours}.{again}", said=said)
        case CircuitState.HALF_OPEN, _:
            return Step(change.at, "sending", "active", "One mail tried it")
        case _, CircuitCause.PERSON:
            return Step(change.at, "closed", "good", f"Used again by {by_whom(change.actor)}")
        case _, CircuitCause.CHANGED:
            return Step(change.at, "closed", "good", "Its settings were changed", "It is used again.")
    return Step(change.at, "closed", "good", "The try passed", "It takes mail again.")
