"""When a provider has failed too often: five times in a row, or in half of the last twenty tries. Pure."""

import uuid
from collections import deque

from janus_mail.providers.outcomes import Outcome

IN_A_ROW = 5
WINDOW = 20
PUT_OFF = "recipients of 5 domains put off in a row"
FAILS = frozenset({Outcome.PROVIDER_DOWN, Outcome.UNCERTAIN})
# The service did its work, whatever it said of this mail.
_WORKS = frozenset({Outcome.ACCEPTED, Outcome.RECIPIENT_REJECTED, Outcome.MESSAGE_REJECTED, Outcome.POLICY_REJECTED})


class Streak:
    """What one worker heard from one provider since it last was trusted. A message counts once."""

    def __init__(self) -> None:
        self._failed: set[uuid.UUID] = set()  # in a row
        self._deferring: set[str] = set()  # recipients' domains for which it said «later», in a row
        self._lately: deque[tuple[uuid.UUID, bool]] = deque(maxlen=WINDOW)

    def puts_off_all_with(self, recipient: str) -> bool:
        """Whether putting off this one too is putting off too many."""
        return len(self._deferring | {recipient.rpartition("@")[2]}) >= IN_A_ROW

    def hear(self, message_id: uuid.UUID, recipient: str, outcome: Outcome) -> str | None:
        """Take in how a try ended. Answers why the provider should rest, or null."""
        if outcome in _WORKS:
            self._failed.clear()
            self._deferring.clear()
            self._lately.append((message_id, False))
        elif outcome is Outcome.RECIPIENT_DEFERRED:
            # One domain's greylisting says nothing about the provider; that of many does.
            self._deferring.add(recipient.rpartition("@")[2])
            if len(self._deferring) >= IN_A_ROW:
                return PUT_OFF
        elif outcome in FAILS:
            if (message_id, True) not in self._lately:
                self._lately.append((message_id, True))
            self._failed.add(message_id)
            if len(self._failed) >= IN_A_ROW:
                return f"{IN_A_ROW} failures in a row"
            failures = sum(failed for _, failed in self._lately)
            if len(self._lately) == WINDOW and failures >= WINDOW // 2:
                return f"{failures} of the last {WINDOW} tries failed"
        return None
