"""Whether a provider may be asked now: its circuits, its rest, its rate, its quota, and whether it answers at all."""

import random
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from janus_mail.availability.circuits import Circuits, Scope
from janus_mail.availability.provider_book import ConfiguredProvider
from janus_mail.availability.quotas import Quotas
from janus_mail.availability.rates import Rates
from janus_mail.availability.rests import Rests
from janus_mail.models.states import WaitingFor

_LOOK_AGAIN_S = 60.0  # at what only a person ends; whoever ends it wakes the mail


class Refusal(NamedTuple):
    """Not now: when it is worthwhile to ask again, and why."""

    wait_s: float
    waiting_for: WaitingFor
    why: str
    slot_at: uuid.UUID | None = None  # the provider that keeps a place in its rate for it


class Admission:
    """One per worker process. `stalled` tells of providers that answer nothing though mail waits for them."""

    def __init__(
        self,
        circuits: Circuits,
        rests: Rests,
        rates: Rates,
        quotas: Quotas,
        stalled: Callable[[ConfiguredProvider], float],
    ) -> None:
        self.circuits = circuits
        self.rests = rests
        self._rates = rates
        self._quotas = quotas
        self._stalled = stalled

    def refusal(self, provider: ConfiguredProvider, sender_domain: str) -> Refusal | None:
        """What is known without asking anyone."""
        for scope in _scopes(provider, sender_domain):
            wait_s = self.circuits.of(scope).rest_s
            if wait_s > 0:
                # Whoever comes back first when the rest is over is the probe; when it passes, all are woken.
                return Refusal(_spread(wait_s), WaitingFor.CIRCUIT, f"{provider.name}: its circuit is open")
        if (rest_s := self.rests.rest_s(provider)) > 0:
            return Refusal(rest_s + random.uniform(0, 1), WaitingFor.RATE, f"{provider.name}: it asked for a rest")  # noqa: S311
        if (stall_s := self._stalled(provider)) > 0:
            return Refusal(_spread(stall_s), WaitingFor.CIRCUIT, f"{provider.name}: it does not answer")
        return None

    async def take(self, provider: ConfiguredProvider, sender_domain: str) -> Refusal | None:
        """Null: this mail may try it now, and has been counted."""
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
                self.give_back(provider)
                return Refusal(wait_s, WaitingFor.RATE, f"{provider.name}: its rate is reached", provider.id)
        for scope in _scopes(provider, sender_domain):
            if not await self.circuits.admit(scope):
                self.give_back(provider)
                return self.refusal(provider, sender_domain) or Refusal(
                    1.0, WaitingFor.CIRCUIT, f"{provider.name}: another mail is trying it"
                )
        return None

    def leave_slots(self, refusals: Iterable[Refusal]) -> None:
        """The mail goes another way, or waits for another: others may come in its place."""
        for refusal in refusals:
            if refusal.slot_at is not None:
                self._rates.give_back_slot(refusal.slot_at)

    def give_back(self, provider: ConfiguredProvider) -> None:
        """The try never began: it does not count toward the quota."""
        if provider.daily_quota is not None:
            self._quotas.give_back(provider.id)


def _scopes(provider: ConfiguredProvider, sender_domain: str) -> tuple[Scope, Scope]:
    whole = Scope(provider.workspace_id, provider.id, name=provider.name)
    return whole, replace(whole, sender_domain=sender_domain)


def _spread(wait_s: float) -> float:
    """With jitter, so that what waits does not come back all at once."""
    wait_s = min(wait_s, _LOOK_AGAIN_S * 10)
    return wait_s + random.uniform(0, max(1.0, wait_s / 2))  # noqa: S311
