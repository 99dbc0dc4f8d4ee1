"""Providers that asked us to slow down rest for a while. Known to this process only."""

import uuid

from janus_mail.delivery.hold import boot_clock_s

_UNSAID_S = 5.0  # where the provider does not say how long


class Rests:
    """Who rests, and for how long still."""

    def __init__(self) -> None:
        self._until_s: dict[uuid.UUID, float] = {}

    def rest(self, provider_id: uuid.UUID, seconds: float | None) -> None:
        until_s = boot_clock_s() + (_UNSAID_S if seconds is None else seconds)
        self._until_s[provider_id] = max(until_s, self._until_s.get(provider_id, 0.0))

    def now(self) -> dict[uuid.UUID, float]:
        """Seconds of rest left, by provider."""
        now_s = boot_clock_s()
        self._until_s = {provider_id: until_s for provider_id, until_s in self._until_s.items() if until_s > now_s}
        return {provider_id: until_s - now_s for provider_id, until_s in self._until_s.items()}
