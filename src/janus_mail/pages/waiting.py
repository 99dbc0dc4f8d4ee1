"""Why a message waits past its time, and until when, in words. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from janus_mail.models.states import WaitingFor
from janus_mail.pages.times import Clock


@dataclass(frozen=True, slots=True)
class Wait:
    """`route`: the names of the providers that it may take, first first; a second copy goes through one alone."""

    waiting_for: str | None
    next_try_at: datetime
    route: Sequence[str]
    second_copy: bool = False


def why(wait: Wait) -> str:
    """«SendGrid’s quota is used up»; empty where it waits for nothing but its time."""
    only = wait.route[0] if len(wait.route) == 1 else None
    match wait.waiting_for:
        case WaitingFor.QUOTA:
            return f"the quota of {only} is used up" if only else "the providers’ quotas are used up"
        case WaitingFor.RATE:
            return f"it waits for its turn at {only}" if only else "it waits for its turn at a provider"
        case WaitingFor.CIRCUIT if wait.second_copy and only:
            return f"a second copy goes only through {only}, which takes no mail now"
        case WaitingFor.CIRCUIT:
            return f"{only} takes no mail now" if only else "no provider takes mail now"
    return ""


def in_short(wait: Wait, clock: Clock) -> str:
    """Why and until when, for a second line beside the provider's name."""
    only = len(wait.route) == 1
    match wait.waiting_for:
        case WaitingFor.QUOTA:
            return f"{'quota' if only else 'quotas'} used up until {clock.at(wait.next_try_at)}"
        case WaitingFor.RATE:
            return f"waits for its turn; {next_try(wait, clock)}"
        case WaitingFor.CIRCUIT:
            return f"{'takes no mail now' if only else 'no provider takes mail now'}; {next_try(wait, clock)}"
    return next_try(wait, clock)


def in_full(wait: Wait, clock: Clock, met: str = "") -> str:
    """«No provider takes mail now; next try in 18 s». `met`: what the last try met with, where it says why."""
    return capital("; ".join(filter(None, (why(wait) or met, next_try(wait, clock)))))


def next_try(wait: Wait, clock: Clock) -> str:
    return f"next try {clock.until(wait.next_try_at)}"


def capital(words: str) -> str:
    return words[:1].upper() + words[1:]
