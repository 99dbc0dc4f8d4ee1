"""Which way a mail would go now, provider by provider, as the API's dry run tells it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from janus_mail.events.answers import RouteOut
from janus_mail.pages.times import Clock
from janus_mail.pages.words import Look

_TAKES_MAIL = Look("Taking mail", "closed", "good")
_SANDBOX = Look("Sandbox", "mailbox")
_NOBODY = "No provider"  # so begins the note that nobody takes mail: of a copy it says nothing


@dataclass(frozen=True, slots=True)
class Way:
    """A provider that may be tried, at its place from 1."""

    place: int
    name: str
    look: Look
    note: str


@dataclass(frozen=True, slots=True)
class Ways:
    """`left_out`: every other provider, as (name, why); `notes`: what else keeps the mail back."""

    order: Sequence[Way]
    left_out: Sequence[tuple[str, str]]
    notes: Sequence[str]
    copies: Sequence[str] = ()  # sentences about second copies

    @property
    def in_short(self) -> str:
        """«Amazon SES, then Mailgun»; empty where there is none."""
        return ", then ".join(way.name for way in self.order)


def ways(explained: RouteOut, clock: Clock) -> Ways:
    left_out = [
        (out.provider.name, _sentence(out.reason + (f", until {clock.at(out.until)}" if out.until else "")))
        for out in explained.left_out
    ]
    order = [
        Way(place, step.provider.name, _SANDBOX if step.sandbox else _TAKES_MAIL, step.note or "")
        for place, step in enumerate(explained.providers, 1)
    ]
    return Ways(order, left_out, explained.notes)


def second_copies(explained: RouteOut, through: Sequence[tuple[uuid.UUID, str]], clock: Clock, *, alone: bool) -> Ways:
    """With second copies' own way: `through` the providers that may have the first. `alone`: nothing else goes."""
    copies = [_second_copy(explained, provider_id, name, clock) for provider_id, name in through]
    if not alone:
        return replace(ways(explained, clock), copies=copies)
    return Ways([], [], [note for note in explained.notes if not note.startswith(_NOBODY)], copies)


def _second_copy(explained: RouteOut, provider_id: uuid.UUID, name: str, clock: Clock) -> str:
    """«A second copy goes only through Amazon SES, which may have the first; it rests until 08:31:05.»"""
    said = f"A second copy goes only through {name}, which may have the first"
    if any(step.provider.id == provider_id for step in explained.providers):
        return f"{said}."
    out = next((out for out in explained.left_out if out.provider.id == provider_id), None)
    reason = out.reason.partition(":")[0] if out is not None else "not in use any more"
    if reason.startswith("its circuit is open"):
        reason = "it rests"
    if out is not None and out.until is not None:
        return f"{said}; {reason} until {clock.at(out.until)}."
    if reason == "it rests":
        return f"{said}; that was stopped by hand, and the copy waits until somebody uses it again."
    return f"{said}, and cannot be used: {reason}. So it is parked, and you are asked."


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
