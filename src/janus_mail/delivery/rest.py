"""Providers that asked us to slow down rest for a while. Known to this process only."""

import uuid
from collections.abc import Sequence

from janus_mail.availability.provider_book import ConfiguredProvider
from janus_mail.telemetry.boot_clock import boot_clock_s

_UNSAID_S = 5.0  # where the provider does not say how long


class Rests:
    """Who rests, and for how long still. A provider whose settings were changed starts afresh."""

    def __init__(self) -> None:
        self._until_s: dict[ConfiguredProvider, float] = {}

    def rest(self, provider: ConfiguredProvider, seconds: float | None) -> None:
        until_s = boot_clock_s() + (_UNSAID_S if seconds is None else seconds)
        self._until_s[provider] = max(until_s, self._until_s.get(provider, 0.0))

    def now(self, providers: Sequence[ConfiguredProvider]) -> dict[uuid.UUID, float]:
        """Seconds of rest left, by the id of those of `providers` that rest."""
        now_s = boot_clock_s()
        self._until_s = {provider: until_s for provider, until_s in self._until_s.items() if until_s > now_s}
        return {p.id: self._until_s[p] - now_s for p in providers if p in self._until_s}
