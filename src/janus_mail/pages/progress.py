"""How far an event is: the parts of its bar, and the same in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from janus_mail.models.states import FINAL, FeedbackType, State
from janus_mail.pages.feedback_words import LOOKS
from janus_mail.pages.times import number, rough
from janus_mail.pages.words import STATES, WAITING, Look

_WIDTH = 1000  # of the bar's viewBox
_SEEN = 5  # what is there is at least so wide
_ENOUGH_DONE = 20  # to reckon when the rest will be

# Each tone of the bar with what it stands for, in the order of the bar.
_TONES: tuple[tuple[str, tuple[State, ...]], ...] = (
    ("good", (State.SENT,)),
    ("bad", (State.FAILED,)),
    ("", (State.SUPPRESSED, State.EXPIRED, State.CANCELED)),
    ("warn", (State.PARKED, State.UNCERTAIN)),
    ("active", (State.SENDING,)),
)
_LEGEND = (
    State.SENT, State.FAILED, State.SUPPRESSED, State.EXPIRED, State.CANCELED, State.PARKED, State.UNCERTAIN,
    State.SENDING,
)  # fmt: skip
# What is known of sent mail, in the order of the legend; the looks of the others are among theirs.
_REPORTED = (
    FeedbackType.DELIVERED, FeedbackType.SENT, FeedbackType.BOUNCED_HARD, FeedbackType.COMPLAINED,
    FeedbackType.REJECTED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """One stretch of the bar; a tone of nothing is grey."""

    tone: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Progress:
    """`words` go on after the percentage."""

    parts: tuple[Part, ...]
    done: int
    total: int
    words: str

    @property
    def percent(self) -> int:
        """Never 100 while something is to go."""
        return self.done * 100 // self.total if self.total else 0


def progress(
    counts: Mapping[State, int],
    first_sent_at: datetime | None,
    now: datetime,
    reported: Mapping[str | None, int] = MappingProxyType({}),
) -> Progress:
    """From an event's messages per state, and its sent ones per delivery status where that is known."""
    total = sum(counts.values())
    done = sum(counts.get(state, 0) for state in FINAL)
    to_go = total - done
    said = [
        f"{number(many)} {STATES[state].word.lower()}" for state in FINAL if (many := counts.get(state, 0))
    ] + [f"{number(to_go)} to go"]  # fmt: skip
    words = ", ".join(said)
    if first_sent_at is not None and done >= _ENOUGH_DONE and to_go and now > first_sent_at:
        left = (now - first_sent_at) / done * to_go
        words += f" · about {rough(max(left, timedelta(seconds=1)))} left"
    return Progress(_parts(counts, total, reported), done, total, words)


def legend(
    counts: Mapping[State, int], reported: Mapping[str | None, int] = MappingProxyType({})
) -> list[tuple[State, Look, str]]:
    """Each state that is there, with «3 sent», and what came back of the sent ones: «2 delivered», «1 bounced»; what
    has not begun stands last, as waiting."""
    looks = {LOOKS[status]: 0 for status in _REPORTED}
    for status, many in reported.items():
        look = LOOKS[status] if status is not None else STATES[State.SENT]
        looks[look] = looks.get(look, 0) + many
    sent = [(State.SENT, look, f"{number(many)} {look.word.lower()}") for look, many in looks.items() if many]
    shown = [
        (state, STATES[state], f"{number(many)} {STATES[state].word.lower()}")
        for state in (_LEGEND[1:] if sent else _LEGEND)
        if (many := counts.get(state, 0))
    ]
    shown = [*sent, *shown]
    waiting = counts.get(State.SCHEDULED, 0) + counts.get(State.LEASED, 0)
    return [*shown, (State.SCHEDULED, WAITING, f"{number(waiting)} waiting")] if waiting else shown


def _parts(counts: Mapping[State, int], total: int, reported: Mapping[str | None, int]) -> tuple[Part, ...]:
    came_back = sum(many for status, many in reported.items() if status is not None and LOOKS[status].tone == "bad")
    moved = {"good": -came_back, "bad": came_back}
    widths = [
        (tone, max(_SEEN, _WIDTH * many / total))
        for tone, states in _TONES
        if (many := sum(counts.get(state, 0) for state in states) + moved.get(tone, 0)) > 0
    ]
    # What was widened to be seen is taken from the others.
    too_wide = max(1.0, sum(width for _, width in widths) / _WIDTH)
    parts: list[Part] = []
    x = 0.0
    for tone, width in widths:
        parts.append(Part(tone, round(x, 1), round(width / too_wide, 1)))
        x += width / too_wide
    return tuple(parts)
