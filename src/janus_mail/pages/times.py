"""Times and durations in the words that people use, dates and numbers as the workspace's language writes them."""

import re
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo, available_timezones

from babel import Locale
from babel.dates import format_datetime
from babel.numbers import format_decimal

from janus_mail.workspaces.workspace import USUAL_LANGUAGE

# Of the page that is being made. The hours are 24 in every language: that is what logs and columns need.
_language: ContextVar[str] = ContextVar("language", default=USUAL_LANGUAGE)
_UTC_INSTANT = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z")
_HOURS_THAT_COUNT = 12  # longer ago than this and on another day is «yesterday»
# Within two minutes seconds count: a provider rests for half a minute.
_SECONDS_COUNT = timedelta(minutes=2)
_TENTHS_COUNT_S = 9.95


@dataclass(frozen=True, slots=True)
class Clock:
    """What a page knows of time: the instant it is made, and the zone that it shows times in."""

    now: datetime
    zone: ZoneInfo

    def relative(self, instant: datetime) -> str:
        """«30 s ago», «in 6 min», «yesterday»; from about a day on the date."""
        ahead = instant > self.now
        gap = abs(instant - self.now)
        if gap < timedelta(seconds=1):
            return "now"
        days = (self._local(instant).date() - self._local(self.now).date()).days
        if gap < timedelta(hours=24 if ahead else _HOURS_THAT_COUNT) or days == 0:
            return f"in {rough(gap)}" if ahead else f"{rough(gap)} ago"
        if abs(days) == 1:
            return "tomorrow" if ahead else "yesterday"
        return self.on(instant)

    def until(self, instant: datetime) -> str:
        """«in 24 s»; «now» when its time has come."""
        return self.relative(max(instant, self.now))

    def beside(self, instant: datetime) -> str:
        """The clock time that stands beside the relative words: «14:23», «Fri 09:00»."""
        soon = instant > self.now and instant - self.now < timedelta(hours=24)
        pattern = "EEE HH:mm" if soon and not self.is_today(instant) else "HH:mm"
        return self._format(instant, pattern)

    def at(self, instant: datetime) -> str:
        """In a sentence: «14:07», «09:00 tomorrow», «14:07 on 9 Mar»; within two minutes «14:24:18»."""
        if abs(instant - self.now) < _SECONDS_COUNT:
            return self.at_the_second(instant)
        return f"{self.to_the_minute(instant)}{self._of_day(instant)}"

    def at_the_second(self, instant: datetime) -> str:
        """In a sentence: «14:24:18», «01:00:43 tomorrow»."""
        return f"{self.to_the_second(instant)}{self._of_day(instant)}"

    def span(self, start: datetime, end: datetime | None) -> str:
        """«14:02 to 14:07», «since 14:02», «9 Mar, 14:02 to 14:07»; where it is short or just began to the second."""
        short = (end or self.now) - start < _SECONDS_COUNT
        told = self.to_the_second if short else self.to_the_minute
        first = told(start) if self.is_today(start) else f"{self.on(start)}, {told(start)}"
        if end is None:
            return f"since {first}"
        return f"{first} to {told(end) if self.on(start) == self.on(end) else f'{self.on(end)}, {told(end)}'}"

    def retold(self, text: str) -> str:
        """A sentence with its instants in UTC told by this clock."""
        return _UTC_INSTANT.sub(lambda found: self._told(datetime.fromisoformat(found[0])), text)

    def short(self, instant: datetime) -> str:
        """In a narrow column: the clock time today, else «yesterday» or the date."""
        return self._format(instant, "HH:mm") if self.is_today(instant) else self.day(instant)

    def day(self, instant: datetime) -> str:
        """«today», «tomorrow», «yesterday» or the date."""
        days = (self._local(instant).date() - self._local(self.now).date()).days
        return {0: "today", 1: "tomorrow", -1: "yesterday"}.get(days) or self.on(instant)

    def on(self, instant: datetime) -> str:
        """«9 Mar», with the year when it is another."""
        same_year = self._local(instant).year == self._local(self.now).year
        return self._format(instant, _patterns().date if same_year else _patterns().date_with_year)

    def to_the_minute(self, instant: datetime) -> str:
        return self._format(instant, "HH:mm")

    def to_the_second(self, instant: datetime) -> str:
        return self._format(instant, "HH:mm:ss")

    def to_the_tenth(self, instant: datetime) -> str:
        return f"{self.to_the_second(instant)}.{instant.microsecond // 100_000}"

    def in_full(self, instant: datetime) -> str:
        """«12 Mar 2026, 14:23:30 Europe/Berlin»: the title of every time."""
        return f"{self._format(instant, _patterns().date_with_year)}, {self.to_the_second(instant)} {self.zone.key}"

    def spelled_out(self, instant: datetime) -> str:
        """«Friday 13 March, 09:00», with the year when it is another."""
        same_year = self._local(instant).year == self._local(self.now).year
        pattern = _patterns().spelled_out if same_year else _patterns().spelled_out_with_year
        return f"{self._format(instant, pattern)}, {self.to_the_minute(instant)}"

    def in_utc(self, instant: datetime) -> str:
        """«08:00», with the day where that is another than here."""
        utc = Clock(self.now, ZoneInfo("UTC"))
        same_day = instant.astimezone(UTC).date() == self._local(instant).date()
        return utc.to_the_minute(instant) if same_day else f"{utc.on(instant)}, {utc.to_the_minute(instant)}"

    def for_field(self, instant: datetime) -> str:
        """The value of an `<input type="datetime-local">`."""
        return self._local(instant).strftime("%Y-%m-%dT%H:%M")

    def is_today(self, instant: datetime) -> bool:
        return self._local(instant).date() == self._local(self.now).date()

    @property
    def weekday(self) -> int:
        """Monday is 0."""
        return self._local(self.now).weekday()

    def days_on(self, days: int) -> date:
        """The date so many days from today."""
        return self._local(self.now).date() + timedelta(days=days)

    @property
    def midnight(self) -> datetime:
        """When today began."""
        return self._local(self.now).replace(hour=0, minute=0, second=0, microsecond=0)

    @property
    def place(self) -> str:
        """«Berlin time», «UTC»."""
        return f"{city(self.zone.key)} time" if "/" in self.zone.key else self.zone.key

    def seen_from(self, zone: ZoneInfo) -> "Clock":
        return Clock(self.now, zone)

    def _of_day(self, instant: datetime) -> str:
        day = self.day(instant)
        return {"today": "", "tomorrow": " tomorrow", "yesterday": " yesterday"}.get(day, f" on {day}")

    def _told(self, instant: datetime) -> str:
        return f"{self.on(instant)}, {self.to_the_second(instant)} {self.place}"

    def _local(self, instant: datetime) -> datetime:
        return instant.astimezone(self.zone)

    def _format(self, instant: datetime, pattern: str) -> str:
        return format_datetime(instant, pattern, tzinfo=self.zone, locale=_patterns().locale)


def speak(language: str | None) -> None:
    """From here on in this task dates and numbers are as this language writes them; null: as usual."""
    _language.set(language or USUAL_LANGUAGE)


def machine(instant: datetime) -> str:
    """The `datetime` attribute: UTC, to the millisecond."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def city(zone_key: str) -> str:
    """«New York» of America/New_York."""
    return zone_key.rpartition("/")[2].replace("_", " ")


def rough(gap: timedelta) -> str:
    """One unit: «93 s», «6 min», «19 h», «3 days»."""
    seconds = gap.total_seconds()
    if gap < _SECONDS_COUNT:
        return f"{int(seconds)} s"
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if minutes < 60:
        return f"{minutes} min"
    return f"{hours} h" if hours < 48 else f"{round(seconds / 86400)} days"


def exact(gap: timedelta) -> str:
    """Two units: «1.9 s», «93 s», «2 min 40 s», «18 h 36 min», «3 days 4 h»."""
    seconds = gap.total_seconds()
    if seconds < _TENTHS_COUNT_S:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    if gap < _SECONDS_COUNT:
        return f"{int(seconds)} s"
    minutes = int(seconds // 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [("day" if days == 1 else "days", days), ("h", hours), ("min", minutes)]
    if not days and not hours:
        parts.append(("s", int(seconds % 60)))
    return " ".join(f"{many} {unit}" for unit, many in [part for part in parts if part[1]][:2])


def milliseconds(value: float) -> str:
    """«118 ms», «1,611 ms», from ten seconds on «12.4 s»."""
    return f"{number(round(value))} ms" if value < 10_000 else exact(timedelta(milliseconds=value))


def number(value: float) -> str:
    """«12,486»."""
    return format_decimal(value, locale=_patterns().locale)


def size(octets: int) -> str:
    """«940 bytes», «4.2 kB», «1.3 MB»."""
    if octets < 1000:
        return "1 byte" if octets == 1 else f"{octets} bytes"
    return f"{octets / 1000:.1f} kB" if octets < 1_000_000 else f"{octets / 1_000_000:.1f} MB"


def zone_named(name: str | None) -> ZoneInfo | None:
    """The zone, or none where the name is not an IANA one."""
    return ZoneInfo(name) if name and name in _known_zones() else None


def zone_choices(now: datetime) -> list[tuple[str, str]]:
    """Every zone with a place of its own, and UTC, as (name, «Europe/Berlin (UTC+1)»)."""
    return [("UTC", "UTC"), *((name, f"{name} ({utc_offset(now, ZoneInfo(name))})") for name in _zones_with_a_place())]


@dataclass(frozen=True, slots=True)
class _Patterns:
    """How a language writes dates, in CLDR's letters."""

    locale: Locale
    date: str
    date_with_year: str
    spelled_out: str
    spelled_out_with_year: str


def _patterns() -> _Patterns:
    return _patterns_of(_language.get())


@lru_cache(maxsize=32)
def _patterns_of(language: str) -> _Patterns:
    locale = Locale.parse(language, sep="-")
    date = str(locale.datetime_skeletons["MMMd"].pattern)
    if date.startswith("M"):
        return _Patterns(locale, "MMM d", "MMM d, y", "EEEE, MMMM d", "EEEE, MMMM d, y")
    return _Patterns(locale, date, f"{date} y", "EEEE d MMMM", "EEEE d MMMM y")


def utc_offset(now: datetime, zone: tzinfo) -> str:
    """«UTC+1», «UTC−3:30»."""
    minutes = int((now.astimezone(zone).utcoffset() or timedelta()).total_seconds() // 60)
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'−' if minutes < 0 else '+'}{hours}" + (f":{rest:02}" if rest else "") if minutes else "UTC"


@lru_cache(maxsize=1)
def _known_zones() -> frozenset[str]:
    return frozenset(available_timezones())


@lru_cache(maxsize=1)
def _zones_with_a_place() -> tuple[str, ...]:
    """The zones of the tz database's table of places: those that people live in, without aliases."""
    table = (resources.files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    return tuple(sorted(line.split("\t")[2] for line in table.splitlines() if line and not line.startswith("#")))
