"""Named places at which a fault test kills the process. Unarmed, which is always but in such tests, they do nothing."""

import os
import signal
from typing import Final

PLACES: Final = frozenset({
    "after_claim",  # leased, nothing begun
    "after_begin",  # begun and committed, nothing has left
    "before_last_byte",  # the body has left but for its last byte
    "after_accepted",  # the provider has said yes, finish is not written
    "after_finish",  # finish has committed
    "after_accept",  # the API has committed an event and has not rung
    "in_patrol",  # the patrol's duty is held
    "in_feedback",  # posts to hooks are held and nothing of what they lead to has committed
})  # fmt: skip

_armed: dict[str, int] = {}


def arm(place: str | None) -> None:
    """`place`, or `place:n` for the n-th time it is reached. Raises `ValueError` for a place that does not exist."""
    _armed.clear()
    if place is not None:
        name, _, nth = place.partition(":")
        if name not in PLACES:
            raise ValueError(f"JANUS_CRASH_AT: there is no place {name!r}; there are {', '.join(sorted(PLACES))}")
        _armed[name] = int(nth or 1)


def reached(place: str) -> None:
    """Kills this process if it is armed for here."""
    if _armed and place in _armed:
        _armed[place] -= 1
        if _armed[place] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
