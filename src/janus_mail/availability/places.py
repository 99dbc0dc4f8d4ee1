"""Mail that is put off comes back one by one: a hundred thousand at the same instant would only be put off again."""

from collections.abc import Hashable

from janus_mail.telemetry.boot_clock import boot_clock_s

_EVERY_S = 0.005  # so that coming back to be told «not yet» costs little beside the mail that moves
_MOST_S = 600.0  # nobody is sent away for longer than this because of the others


class Places:
    """Per process and by reason: another key is another queue."""

    def __init__(self) -> None:
        self._next_s: dict[Hashable, float] = {}

    def wait_s(self, key: Hashable, not_before_s: float) -> float:
        """For how long to stay away, which is at least `not_before_s`."""
        now_s = boot_clock_s()
        if len(self._next_s) > 1000:
            self._next_s = {key: at_s for key, at_s in self._next_s.items() if at_s > now_s}
        at_s = max(self._next_s.get(key, 0.0), now_s + not_before_s)
        self._next_s[key] = at_s + _EVERY_S
        return min(at_s - now_s, not_before_s + _MOST_S)
