"""Providers that asked us to slow down rest for a while. Known to this process only: each worker is told by itself."""

from janus_mail.availability.provider_book import ConfiguredProvider
from janus_mail.telemetry.boot_clock import boot_clock_s

_UNSAID_S = 5.0  # where the provider does not say how long


class Rests:
    """Who rests, and for how long still. A provider whose settings were changed starts afresh."""

    def __init__(self) -> None:
        self._until_s: dict[ConfiguredProvider, float] = {}

    def rest(self, provider: ConfiguredProvider, seconds: float | None) -> None:
        now_s = boot_clock_s()
        self._until_s = {provider: until_s for provider, until_s in self._until_s.items() if until_s > now_s}
        until_s = now_s + (_UNSAID_S if seconds is None else seconds)
        self._until_s[provider] = max(until_s, self._until_s.get(provider, 0.0))

    def rest_s(self, provider: ConfiguredProvider) -> float:
        """Seconds of rest left; zero or less: none."""
        until_s = self._until_s.get(provider)
        return 0.0 if until_s is None else until_s - boot_clock_s()
