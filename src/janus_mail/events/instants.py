"""Reading a time as callers write it: ISO 8601, `now`, or plain English.

An ISO time without an offset is a wall clock's in a zone. One that a clock change skips moves forward by the gap, one
that happens twice means the first (PEP 495's `fold=0` does both).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

_LONGEST = 100
_ISO = re.compile(r"(?:\d{4}-\d\d-\d\d|\d{8}|\d{4}-?W\d\d(?:-?\d)?)(?P<time>[T ].+)?", re.ASCII)
# No English begins like this: what looks like ISO and is not must never reach a reader that guesses.
_ISO_LIKE = re.compile(r"[+-]?\d{4}", re.ASCII)


class InvalidInstant(ValueError):
    """The text names no instant, or none that is certain; the message is one sentence for a person."""


class UnknownZone(ValueError):
    """Not an IANA time zone."""


@dataclass(frozen=True, slots=True)
class Instant:
    """`at` is in UTC; `note` says how it was chosen where the text leaves a doubt."""

    at: datetime
    note: str | None = None


def zone_named(name: str) -> ZoneInfo:
    """Raises UnknownZone."""
    if name not in _zone_names():
        raise UnknownZone(f"{name} is not an IANA time zone such as Europe/Berlin.")
    return ZoneInfo(name)


def read_instant(text: str, zone: ZoneInfo, now: datetime) -> Instant:
    """`text` as an instant, seen from `now` and from the wall clocks of `zone`. Raises InvalidInstant."""
    text = text.strip()
    if len(text) > _LONGEST:
        raise InvalidInstant("It is too long for a time.")
    if _ISO_LIKE.match(text):
        return read_iso(text, zone)
    if text.lower() == "now":
        return Instant(now.astimezone(UTC))
    # Its library is slow to load and rarely needed.
    from janus_mail.events.plain_english import UnclearPhrase, read_english

    try:
        read = read_english(text, now.astimezone(zone))
    except UnclearPhrase as error:
        raise InvalidInstant(str(error)) from None
    instant = on_wall_clock(read, zone) if read.tzinfo is None else Instant(read.astimezone(UTC))
    return Instant(instant.at, instant.note or f"“{text}” was read as {describe(instant.at, zone)}.")


@lru_cache(maxsize=1024)  # the events of a batch share their times
def read_iso(text: str, zone: ZoneInfo) -> Instant:
    """ISO 8601 with or without an offset; a date alone means its first minute. Raises InvalidInstant."""
    text = text.upper()
    form = _ISO.fullmatch(text)
    if form is None:
        raise InvalidInstant("A time looks like 2026-07-15T10:00:00 or 2026-07-15T10:00:00+02:00.")
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return Instant(moment.astimezone(UTC))
    except ValueError as error:
        raise InvalidInstant(f"It is not ISO 8601: {error}.") from None
    except OverflowError:
        raise InvalidInstant("It is outside the years 1 to 9999.") from None
    instant = on_wall_clock(moment, zone)
    if form["time"] is None and instant.note is None:
        return Instant(instant.at, f"No time of day was given: {describe(instant.at, zone)} was taken.")
    return instant


def on_wall_clock(local: datetime, zone: ZoneInfo) -> Instant:
    """When the clocks of `zone` show `local`, which is naive. Raises InvalidInstant."""
    try:
        at = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
        again = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
        shown = at.astimezone(zone).replace(tzinfo=None, fold=0)
    except OverflowError:
        raise InvalidInstant("It is outside the years 1 to 9999.") from None
    if shown != local:
        chosen = describe(at, zone)
        return Instant(at, f"{_clock(local)} is skipped by a clock change in {zone.key}: {chosen} was taken.")
    if again != at:
        chosen = f"the first was taken ({rfc3339(at)})"
        return Instant(at, f"{_clock(local)} happens twice in {zone.key} because of a clock change: {chosen}.")
    return Instant(at)


def describe(at: datetime, zone: ZoneInfo) -> str:
    """`2026-07-15 09:00 in Europe/Berlin (2026-07-15T07:00:00Z)`."""
    return f"{_clock(at.astimezone(zone))} in {zone.key} ({rfc3339(at)})"


def rfc3339(at: datetime) -> str:
    """In UTC, with `Z`."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


@lru_cache(maxsize=16)
def years_after(now: datetime, years: int) -> datetime:
    """The same day that many years later; 29 February becomes 1 March."""
    try:
        return now.replace(year=now.year + years)
    except ValueError:
        return now.replace(year=now.year + years, month=3, day=1)


def _clock(local: datetime) -> str:
    """Date and time without offset, and without seconds where there are none."""
    return local.replace(tzinfo=None).isoformat(" ").removesuffix(":00")


@cache
def _zone_names() -> frozenset[str]:
    # «localtime» and «Factory» are files of the machine, not zones of the world.
    return frozenset(available_timezones()) - {"localtime", "Factory"}
