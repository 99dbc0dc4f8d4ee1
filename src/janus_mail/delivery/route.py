"""Which provider a message tries next, and why each other one is left out. Pure: no I/O."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from janus_mail.availability.provider_book import ConfiguredProvider
from janus_mail.delivery.hold import Try
from janus_mail.providers.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class Wish:
    """What the event says about its route."""

    provider_id: uuid.UUID | None  # tried first
    failover: bool
    from_email: str | None


@dataclass(frozen=True, slots=True)
class Route:
    """`order` is what may be tried, first first; `left_out` tells in words why each other provider is not."""

    order: tuple[ConfiguredProvider, ...]
    left_out: tuple[tuple[ConfiguredProvider, str], ...]


def route(wish: Wish, providers: Sequence[ConfiguredProvider]) -> Route:
    """The route by configuration alone: order, preference, sender rules, and all real or all sandbox."""
    wished = next((p for p in providers if p.id == wish.provider_id), None)
    real = [p for p in providers if not p.sandbox and not p.removed]
    # Mail meant for the world never ends silently in the mailbox, so a real provider counts even while it is disabled.
    sandbox = wished.sandbox if wished is not None else not real
    order: list[ConfiguredProvider] = []
    left_out: list[tuple[ConfiguredProvider, str]] = []
    for provider in sorted(providers, key=lambda p: p is not wished):
        reason = _reason_against(provider, wish, sandbox=sandbox)
        if reason is None and not wish.failover and (order or wish.provider_id not in (None, provider.id)):
            reason = "failover is off"
        if reason is None:
            order.append(provider)
        else:
            left_out.append((provider, reason))
    return Route(tuple(order), tuple(left_out))


class Routes:
    """Kept as long as the providers are: most mails of a workspace wish the same."""

    def __init__(self) -> None:
        self._known: dict[uuid.UUID, tuple[Sequence[ConfiguredProvider], dict[Wish, Route]]] = {}

    def of(self, workspace_id: uuid.UUID, wish: Wish, providers: Sequence[ConfiguredProvider]) -> Route:
        """As `route`. `providers` are those of the workspace, the same object while they have not been read again."""
        known, routes = self._known.get(workspace_id, ((), {}))
        if known is not providers:
            routes = {}
            self._known[workspace_id] = (providers, routes)
        if wish not in routes:
            routes[wish] = route(wish, providers)
        return routes[wish]


def remaining(chosen: Route, history: Sequence[Try], round_: int, *, resend: bool) -> list[ConfiguredProvider]:
    """What is left of the route in this round: not tried yet in it, not set against the mail's content.

    A resend goes through the provider that may have it already, and through no other.
    """
    if not history and not resend:
        return list(chosen.order)
    history = [t for t in history if not t.stale or t.outcome == Outcome.UNCERTAIN]
    if resend:
        doubtful = next((t.provider_id for t in reversed(history) if t.outcome == Outcome.UNCERTAIN), None)
        candidates = [p for p in chosen.order if p.id == doubtful]
    else:
        against = {t.provider_id for t in history if t.outcome == Outcome.POLICY_REJECTED}
        candidates = [p for p in chosen.order if p.id not in against]
    # An uncertain try is not a refusal: its provider is asked again in the same round.
    tried = {t.provider_id for t in history if t.round == round_ and t.outcome != Outcome.UNCERTAIN}
    return [p for p in candidates if p.id not in tried]


class Nameable(Protocol):
    """A provider as far as a caller can name it."""

    @property
    def id(self) -> uuid.UUID: ...
    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def enabled(self) -> bool: ...
    @property
    def sandbox(self) -> bool: ...


P = TypeVar("P", bound=Nameable)


def named(words: str, providers: Sequence[P]) -> P | None:
    """By id, else by name, else by kind; a real one before a sandbox one."""
    words = words.casefold()
    for fits in (
        [p for p in providers if str(p.id) == words],
        [p for p in providers if p.name.casefold() == words],
        [p for p in providers if p.kind == words],
    ):
        if fits:
            return min(fits, key=lambda p: (p.sandbox, not p.enabled))
    return None


def _reason_against(provider: ConfiguredProvider, wish: Wish, *, sandbox: bool) -> str | None:
    sender = wish.from_email or provider.from_email
    if provider.removed:
        return "removed"
    if not provider.enabled:
        return "switched off"
    if provider.sandbox and not sandbox:
        return "a sandbox, and this mail is meant to leave"
    if sandbox and not provider.sandbox:
        return "this mail is for the sandbox"
    if provider.adapter is None:
        return provider.unusable or "cannot be used"
    if sender is None:
        return "there is no sender: neither the event nor this provider nor the workspace names one"
    if provider.sender_domains is not None and sender.rpartition("@")[2].casefold() not in provider.sender_domains:
        return "not for this sender"
    return None
