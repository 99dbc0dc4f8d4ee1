"""Whether a provider may be asked now: its circuits, its rate, its quota."""

import uuid
from collections.abc import Hashable, Iterable
from functools import lru_cache
from typing import NamedTuple

from janus_mail.availability.circuits import Circuits, Scope
from janus_mail.availability.places import Places
from janus_mail.availability.provider_book import ConfiguredProvider
from janus_mail.availability.quotas import Quotas
from janus_mail.availability.rates import Rates
from janus_mail.models.states import WaitingFor

_LOOK_AGAIN_S = 60.0  # at what only a person ends; whoever ends it wakes the mail


class Refusal(NamedTuple):
    """Not now: how soon it may be worthwhile to ask again, and why."""

    wait_s: float
    waiting_for: WaitingFor
    why: str
    queue: Hashable = None  # of those who come back one by one
    slot_at: uuid.UUID | None = None  # the provider that keeps a place in its rate for it


class Admission:
    """One per worker process."""

    def __init__(self, circuits: Circuits, rates: Rates, quotas: Quotas) -> None:
        self.circuits = circuits
        self._rates = rates
        self._quotas = quotas
        self._places = Places()

    def refusal(self, provider: ConfiguredProvider, sender_domain: str) -> Refusal | None:
        """What is known without asking anyone."""
        for scope in _scopes(provider, sender_domain):
            circuit = self.circuits.of(scope)
            if circuit.rest_s > 0:
                # Whoever comes back first when the rest is over is the probe; when it passes, all are woken.
                wait_s = circuit.rest_s if circuit.until_s is not None else _LOOK_AGAIN_S
                why = f"{provider.name}: {'it asked for a rest' if circuit.throttled else 'its circuit is open'}"
                waiting_for = WaitingFor.RATE if circuit.throttled else WaitingFor.CIRCUIT
                return Refusal(wait_s, waiting_for, why, queue=(scope, circuit.number))
        return None

    def wait_s(self, refusal: Refusal) -> float:
        """For how long to put off what waits for this and for nothing that comes sooner."""
        return refusal.wait_s if refusal.queue is None else self._places.wait_s(refusal.queue, refusal.wait_s)

    async def take(self, provider: ConfiguredProvider, sender_domain: str) -> Refusal | None:
        """Null: this mail may try it now, and has been counted. What is not tried then is to be given back."""
        refusal = self.refusal(provider, sender_domain)
        if refusal is not None:
            return refusal
        if provider.daily_quota is not None:
            wait_s = await self._quotas.take(provider.id, provider.workspace_id, provider.daily_quota)
            if wait_s > 0:
                return Refusal(wait_s, WaitingFor.QUOTA, f"{provider.name}: its daily quota is used up")
        if provider.rate_per_second is not None:
            wait_s = await self._rates.take(provider.id, provider.rate_per_second)
            if wait_s > 0:
                self._give_back(provider)
                return Refusal(wait_s, WaitingFor.RATE, f"{provider.name}: its rate is reached", slot_at=provider.id)
        for scope in _scopes(provider, sender_domain):
            if not await self.circuits.admit(scope):
                await self.not_tried(provider, sender_domain)
                return self.refusal(provider, sender_domain) or Refusal(
                    1.0, WaitingFor.CIRCUIT, f"{provider.name}: another mail is trying it"
                )
        return None

    async def not_tried(self, provider: ConfiguredProvider, sender_domain: str, *, dispatched: bool = False) -> None:
        """Nothing was learned of the provider, so another mail may be the probe. What was not dispatched counts for
        nothing either; what was may have reached the service."""
        if not dispatched:
            self._give_back(provider)
        for scope in _scopes(provider, sender_domain):
            await self.circuits.release(scope)

    def leave_slots(self, refusals: Iterable[Refusal]) -> None:
        """The mail goes another way, or waits for another: others may come in its place."""
        for refusal in refusals:
            if refusal.slot_at is not None:
                self._rates.give_back_slot(refusal.slot_at)

    def _give_back(self, provider: ConfiguredProvider) -> None:
        if provider.daily_quota is not None:
            self._quotas.give_back(provider.id)


def scope_of(provider: ConfiguredProvider, sender_domain: str) -> Scope:
    """What a try of this provider for this sender is about."""
    return _scope(provider.workspace_id, provider.id, sender_domain, provider.name)


def _scopes(provider: ConfiguredProvider, sender_domain: str) -> tuple[Scope, Scope]:
    scope = scope_of(provider, sender_domain)
    return scope.whole, scope


_scope = lru_cache(maxsize=4096)(Scope)  # asked several times a mail
