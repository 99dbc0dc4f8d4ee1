"""A provider's day in 24 bars."""

from collections.abc import Mapping
from dataclasses import dataclass

_HEIGHT = 32
_STEP = 6  # from bar to bar
_HOURS = 24


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle; `tone` is a class of the stylesheet."""

    tone: str
    x: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Spark:
    """The bars with their frame's width, and the same in a sentence."""

    bars: tuple[Bar, ...]
    width: int
    words: str


def spark(good: Mapping[int, int], bad: Mapping[int, int], verb: str) -> Spark:
    """`good` and `bad`: how many in each hour of the day. Its own scale; what went wrong stands at the foot."""
    hours = max([_HOURS, *(hour + 1 for hour in (*good, *bad))])  # a day may have 25
    totals = {hour: good.get(hour, 0) + bad.get(hour, 0) for hour in range(hours)}
    most = max(totals.values())
    if not most:
        return Spark(tuple(_nothing(hour) for hour in range(hours)), hours * _STEP, "Nothing today")
    bars: list[Bar] = []
    for hour, total in totals.items():
        if not total:
            bars.append(_nothing(hour))
            continue
        height, foot = _HEIGHT * total / most, _HEIGHT * bad.get(hour, 0) / most
        if height > foot:
            bars.append(Bar("", hour * _STEP, round(_HEIGHT - height, 1), round(height - foot, 1)))
        if foot:
            bars.append(Bar("bad", hour * _STEP, round(_HEIGHT - foot, 1), round(foot, 1)))
    busiest = max(totals, key=lambda hour: totals[hour])
    return Spark(tuple(bars), hours * _STEP, f"{verb} by hour today, most at {busiest} o’clock")


def _nothing(hour: int) -> Bar:
    return Bar("none", hour * _STEP, _HEIGHT - 1, 1)
