"""Plain English times: «in 2 hours», «tomorrow at 9am», «next monday 9:00».

dateparser would answer nearly anything («at 9» is September to it, «tonight at 8» is now), so it is asked only about
the phrases below, which mean one instant to everybody. A day without a time of day is not one of them.
"""

import re
from datetime import UTC, datetime

import dateparser

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip


class UnclearPhrase(ValueError):
    """Not a phrase that means one instant to everybody; the message is one sentence for a person."""


def _word(names: tuple[str, ...]) -> str:
    return "(?:" + "|".join(f"{name[:3]}(?:{name[3:]})?" for name in names) + ")"


_AMOUNT = r"(?:an?|one|two|three|four|five|six|seven|eight|nine|ten|\d{1,5})"
_CLOCK_UNIT = r"(?:hours?|hrs?|minutes?|mins?|seconds?|secs?)"
_DAY_UNIT = r"(?:days?|weeks?|months?|years?)"
_ORDINAL = r"(?:[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_DATE = rf"(?:{_ORDINAL} (?:of )?{_word(_MONTHS)}|{_word(_MONTHS)} {_ORDINAL})(?:,? \d{{4}})?"
_DAY = rf"(?:today|tomorrow|(?:the )?day after tomorrow|(?:on |next )?(?P<weekday>{_word(_WEEKDAYS)})|(?:on )?{_DATE})"
_TIME = r"(?:noon|(?:1[0-2]|[1-9])(?::[0-5]\d)? ?[ap]m|(?:2[0-3]|[01]?\d):[0-5]\d(?::[0-5]\d)?)"

# Hours are counted by elapsed time, days by the calendar: across a clock change the two differ.
_ELAPSED = re.compile(rf"in {_AMOUNT} {_CLOCK_UNIT}(?:,? (?:and )?{_AMOUNT} {_CLOCK_UNIT})*", re.ASCII)
_ON_CALENDAR = re.compile(
    rf"in {_AMOUNT} {_DAY_UNIT}(?: at {_TIME})?|(?:at )?{_TIME}|{_DAY},? (?:at )?{_TIME}", re.ASCII
)
_AT_TIME_DAY = re.compile(rf"(?:at )?(?P<time>{_TIME}),? (?P<day>{_DAY})", re.ASCII)


def read_english(text: str, local_now: datetime) -> datetime:
    """An aware instant where the text counts hours, else naive wall-clock time in the zone of `local_now`.

    Raises UnclearPhrase.
    """
    phrase = " ".join(text.lower().split())
    local_now = local_now.replace(microsecond=0)
    if _ELAPSED.fullmatch(phrase):
        return _parse(phrase, local_now.astimezone(UTC)).replace(tzinfo=UTC)
    turned = _AT_TIME_DAY.fullmatch(phrase)
    if turned is not None:
        phrase = f"{turned['day']} at {turned['time']}"
    form = _ON_CALENDAR.fullmatch(phrase)
    if form is None:
        raise UnclearPhrase("Give a date and a time of day, as in 2026-07-15T10:00:00 or “tomorrow at 9am”.")
    if form["weekday"] and form["weekday"][:3] == _WEEKDAYS[local_now.weekday()][:3]:
        raise UnclearPhrase("Today is such a day: say “today” or give the date.")
    return _parse(phrase, local_now)


def _parse(phrase: str, now: datetime) -> datetime:
    read = dateparser.parse(
        phrase,
        languages=["en"],
        settings={
            "RELATIVE_BASE": now.replace(tzinfo=None),
            "PREFER_DATES_FROM": "future",
            "TIMEZONE": "UTC",
            "RETURN_AS_TIMEZONE_AWARE": False,
        },
    )
    if read is None:
        raise UnclearPhrase("There is no such day.")
    return read.replace(tzinfo=None)
