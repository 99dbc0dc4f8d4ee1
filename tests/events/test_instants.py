"""Times: which instant a text means, in any zone, and which texts mean none."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from janus_mail.events.instants import (
    InvalidInstant,
    UnknownZone,
    on_wall_clock,
    read_instant,
    rfc3339,
    years_after,
    zone_named,
)

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 21, 13, 30, 7, 123456, tzinfo=UTC)  # a Saturday, 14:30 in Berlin

# Zones with gaps and folds of an hour and of half an hour, a skipped day, changes at midnight and none at all.
ZONES = st.sampled_from(
    [
        "America/New_York", "America/Sao_Paulo", "America/St_Johns", "Africa/Casablanca", "Asia/Kathmandu",
        "Asia/Tehran", "Australia/Lord_Howe", "Europe/Berlin", "Europe/Dublin", "Pacific/Apia", "Pacific/Chatham",
    ]
).map(ZoneInfo)  # fmt: skip
LOCAL_TIMES = st.datetimes(datetime(1990, 1, 1), datetime(2045, 1, 1))  # noqa: DTZ001


def read(text: str, zone: ZoneInfo = BERLIN) -> str:
    return rfc3339(read_instant(text, zone, NOW).at)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-07-15T10:00:00", "2026-07-15T08:00:00Z"),
        ("2026-07-15T10:00:00Z", "2026-07-15T10:00:00Z"),
        ("2026-07-15t10:00:00z", "2026-07-15T10:00:00Z"),
        ("2026-07-15T10:00:00-03:30", "2026-07-15T13:30:00Z"),
        ("2026-07-15 10:00", "2026-07-15T08:00:00Z"),
        ("  2026-07-15T10:00  ", "2026-07-15T08:00:00Z"),
        ("2026-07-15T10:00:00.7", "2026-07-15T08:00:00.700000Z"),
        ("20260715T100000", "2026-07-15T08:00:00Z"),
        ("2026-W29-3T10:00", "2026-07-15T08:00:00Z"),
        ("2026-07-15", "2026-07-14T22:00:00Z"),
        ("now", "2026-11-21T13:30:07.123456Z"),
        ("NOW", "2026-11-21T13:30:07.123456Z"),
        ("in 2 hours", "2026-11-21T15:30:07Z"),
        ("in an hour and 5 minutes", "2026-11-21T14:35:07Z"),
        ("in 90 minutes", "2026-11-21T15:00:07Z"),
        ("in 3 days", "2026-11-24T13:30:07Z"),
        ("in two weeks at 9am", "2026-12-05T08:00:00Z"),
        ("tomorrow at 9am", "2026-11-22T08:00:00Z"),
        ("Tomorrow at 9:15 PM", "2026-11-22T20:15:00Z"),
        ("9am tomorrow", "2026-11-22T08:00:00Z"),
        ("the day after tomorrow at noon", "2026-11-23T11:00:00Z"),
        ("next monday 9:00", "2026-11-23T08:00:00Z"),
        ("friday at 17:00", "2026-11-27T16:00:00Z"),
        ("today at 18:00", "2026-11-21T17:00:00Z"),
        ("today at 9am", "2026-11-21T08:00:00Z"),
        ("5pm", "2026-11-21T16:00:00Z"),
        ("at 9am", "2026-11-22T08:00:00Z"),
        ("15 July 2027 at 10:00", "2027-07-15T08:00:00Z"),
        ("July 15th 10:00", "2027-07-15T08:00:00Z"),
        ("29 february at 10:00", "2028-02-29T09:00:00Z"),
    ],
)
def test_what_people_write_means_this_instant_in_berlin(text: str, instant: str) -> None:
    assert read(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "soon", "2024-13-45", "2024-02-30", "2024-13-45 at 9am", "2024-07-15x10:00", "2024/07/15", "2024",
        "07/08/2024", "3/4 9am", "24:00", "tomorrow at 25:00", "2026-07-15T10:00:00+25:00", "2026-07-15T10:00:61",
        "1721037600", "in -2 hours", "in 2", "at 9", "tomorrow", "tomorrow 9", "tonight at 8", "monday", "may",
        "next week",
        "yesterday at 9am", "2 hours ago", "31 february at 10:00", "midnight", "saturday at 18:00", "0001-01-01T00:00",
        "9999-12-31T23:59:59-05:00", "in 99999 years", "now or never", "２０２６-07-15T10:00", "x" * 10_000,
    ],
)  # fmt: skip
def test_what_is_no_certain_instant_is_refused(text: str) -> None:
    with pytest.raises(InvalidInstant):
        read(text)


def test_what_looks_like_iso_never_reaches_the_reader_that_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    def guess(*_: object) -> None:
        raise AssertionError("guessed")

    monkeypatch.setattr("janus_mail.events.plain_english.read_english", guess)
    with pytest.raises(InvalidInstant):
        read("2024-13-45")
    with pytest.raises(AssertionError, match="guessed"):
        read("tomorrow at 9am")


def test_a_skipped_time_moves_forward_by_the_gap_and_the_note_says_so() -> None:
    instant = read_instant("2026-03-29T02:30", BERLIN, NOW)
    assert rfc3339(instant.at) == "2026-03-29T01:30:00Z"
    assert instant.note == (
        "2026-03-29 02:30 is skipped by a clock change in Europe/Berlin: "
        "2026-03-29 03:30 in Europe/Berlin (2026-03-29T01:30:00Z) was taken."
    )


def test_a_time_that_happens_twice_means_the_first_and_the_note_says_so() -> None:
    instant = read_instant("2026-10-25T02:30", BERLIN, NOW)
    assert rfc3339(instant.at) == "2026-10-25T00:30:00Z"
    assert instant.note is not None
    assert "happens twice" in instant.note


def test_english_notes_say_which_instant_was_chosen_and_plain_iso_needs_none() -> None:
    assert read_instant("tomorrow at 9am", BERLIN, NOW).note == (
        "“tomorrow at 9am” was read as 2026-11-22 09:00 in Europe/Berlin (2026-11-22T08:00:00Z)."
    )
    assert read_instant("2026-07-15T10:00:00", BERLIN, NOW).note is None
    assert "00:00" in (read_instant("2026-07-15", BERLIN, NOW).note or "")


def test_hours_are_elapsed_time_and_days_are_calendar_days_across_a_clock_change() -> None:
    evening_before = datetime(2026, 10, 24, 23, 0, tzinfo=UTC)  # 01:00 in Berlin, two hours before clocks go back
    assert read_instant("in 3 hours", BERLIN, evening_before).at - evening_before == timedelta(hours=3)
    assert read_instant("in 1 day", BERLIN, evening_before).at - evening_before == timedelta(hours=25)


@given(LOCAL_TIMES, ZONES)
def test_a_local_time_is_the_first_instant_at_which_the_zones_clocks_show_it(local: datetime, zone: ZoneInfo) -> None:
    instant = on_wall_clock(local, zone)
    showing = [
        at
        for days in (-1, 1)
        for offset in [(local.replace(tzinfo=UTC) + timedelta(days=days)).astimezone(zone).utcoffset()]
        if offset is not None
        for at in [local.replace(tzinfo=UTC) - offset]
        if at.astimezone(zone).replace(tzinfo=None, fold=0) == local
    ]
    if showing:
        assert instant.at == min(showing)
        assert (instant.note is not None) == (len(set(showing)) == 2)
    else:
        before = local.replace(tzinfo=zone).utcoffset()
        gap = (instant.at.astimezone(zone).utcoffset() or timedelta()) - (before or timedelta())
        assert instant.at.astimezone(zone).replace(tzinfo=None) == local + gap
        assert gap > timedelta(0)
        assert instant.note is not None


@given(LOCAL_TIMES, ZONES, st.integers(-14 * 60, 14 * 60))
def test_an_offset_settles_the_instant_whatever_the_zone(local: datetime, zone: ZoneInfo, minutes: int) -> None:
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    instant = read_instant(f"{local.isoformat()}{sign}{hours:02}:{rest:02}", zone, NOW)
    assert instant.at == local.replace(tzinfo=UTC) - timedelta(minutes=minutes)
    assert instant.note is None


@settings(max_examples=50)
@given(
    st.sampled_from(["monday", "Tue", "next wednesday", "on thursday", "fri", "sunday"]),
    st.integers(0, 23), st.integers(0, 59), ZONES,
)  # fmt: skip
def test_a_weekday_is_the_next_one_that_comes(day: str, hour: int, minute: int, zone: ZoneInfo) -> None:
    local_now = NOW.astimezone(zone)
    assume(not local_now.strftime("%A").lower().startswith(day.lower().split()[-1][:3]))
    local = read_instant(f"{day} at {hour}:{minute:02}", zone, NOW).at.astimezone(zone)
    assert local.strftime("%A").lower().startswith(day.lower().split()[-1][:3])
    assert 1 <= (local.date() - local_now.date()).days <= 6
    assert (local.hour, local.minute) == (hour, minute)


@settings(max_examples=200)
@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_and_never_breaks(text: str) -> None:
    try:
        instant = read_instant(text, BERLIN, NOW)
    except InvalidInstant:
        return
    assert instant.at.tzinfo is UTC


def test_only_iana_names_are_zones() -> None:
    assert zone_named("Europe/Berlin").key == "Europe/Berlin"
    for name in ("", "Mars/Olympus", "europe/berlin", "../etc/passwd", "Europe", "+02:00"):
        with pytest.raises(UnknownZone):
            zone_named(name)


def test_five_years_after_a_leap_day_is_the_first_of_march() -> None:
    assert years_after(datetime(2028, 2, 29, tzinfo=UTC), 5) == datetime(2033, 3, 1, tzinfo=UTC)
