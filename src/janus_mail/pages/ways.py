"""Which way a mail would go now, provider by provider, as the API's dry run tells it."""

from collections.abc import Sequence
from dataclasses import dataclass

from janus_mail.events.answers import RouteOut
from janus_mail.pages.times import Clock
from janus_mail.pages.words import Look

_TAKES_MAIL = Look("Taking mail", "closed", "good")
_SANDBOX = Look("Sandbox", "mailbox")


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


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
