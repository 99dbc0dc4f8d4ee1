"""The words, times and pictures that pages are made of."""

from datetime import UTC, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from janus_mail.models.states import EventStatus, State, WaitingFor
from janus_mail.pages import times, waiting, words
from janus_mail.pages.event_summary import summary
from janus_mail.pages.flash import Flash
from janus_mail.pages.progress import progress
from janus_mail.pages.pulse import pulse_words
from janus_mail.pages.spark import spark
from janus_mail.pages.times import Clock, exact, milliseconds, rough, size, utc_offset, zone_choices
from janus_mail.pages.workspace_page import LANGUAGES
from janus_mail.providers import brevo, mailgun, mailtrap, mandrill, resend, sendgrid, ses
from janus_mail.providers.outcomes import Outcome, ProviderBroken
from janus_mail.providers.sandbox import SandboxMode
from janus_mail.workspaces.schemas import Language

NOW = datetime(2026, 3, 12, 13, 24, tzinfo=UTC)  # a Thursday, 14:24 in Berlin
BERLIN = Clock(NOW, ZoneInfo("Europe/Berlin"))


def test_every_state_status_wait_and_dial_has_its_words() -> None:
    assert set(words.STATES) == set(State)
    assert set(words.STATUSES) == set(EventStatus)
    assert set(words.DIAL) == set(SandboxMode)
    assert set(words.SAYINGS) == set(Outcome)


def test_no_two_states_look_alike_but_for_colour() -> None:
    icons = [look.icon for look in words.STATES.values()]
    assert len(icons) == len(set(icons))


@pytest.mark.parametrize(
    ("outcome", "code", "happened"),
    [
        (Outcome.PROVIDER_DOWN, "connection_refused", "{provider} could not be reached"),
        (Outcome.PROVIDER_DOWN, "421 4.3.2", "{provider} could not take it"),
        (Outcome.PROVIDER_DOWN, "timeout", "{provider} did not answer in time"),
        (Outcome.PROVIDER_BROKEN, "535 5.7.8", "{provider} refused our key"),
        (Outcome.PROVIDER_BROKEN, "535", "{provider} refused our key"),
        (Outcome.PROVIDER_BROKEN, "553 5.1.8", "{provider} has not verified this sender"),
        (Outcome.PROVIDER_BROKEN, "550 5.4.5", "Our quota at {provider} is used up"),
        (Outcome.PROVIDER_BROKEN, "521", "{provider} took none of our mail"),
        (Outcome.THROTTLED, "450 4.7.1", "{provider} asked us to slow down"),
        (Outcome.RECIPIENT_REJECTED, "550 5.1.1", "There is no such mailbox"),
        (Outcome.RECIPIENT_REJECTED, "550 5.1.10", "The recipient’s domain takes no mail"),
        (Outcome.RECIPIENT_DEFERRED, "452 4.2.2", "The recipient’s mailbox was full"),
        (Outcome.UNCERTAIN, "lease_expired", "Our worker stopped while {provider} had the mail"),
        (Outcome.UNCERTAIN, "nobody foresaw this", "Nobody knows whether {provider} has the mail"),
        (Outcome.POLICY_REJECTED, None, "{provider} refused it by its rules"),
        (None, None, "{provider} is taking the mail"),
    ],
)
def test_each_way_a_try_can_end_is_said_plainly(outcome: str | None, code: str | None, happened: str) -> None:
    assert words.saying(outcome, code).happened == happened


_UNVERIFIED = "Email address is not verified. The following identities failed the check in region EU-WEST-1: a@b.c"


@pytest.mark.parametrize(
    ("code", "response", "short"),
    [
        ("403 UnrecognizedClientException", "The security token is invalid.", "refused our key"),
        ("403 InvalidSignatureException", "", "refused our key"),
        ("403 InvalidClientTokenId", "", "refused our key"),
        ("403 SignatureDoesNotMatch", "", "refused our key"),
        ("403 ExpiredTokenException", "", "refused our key"),
        ("400 AccountSuspendedException", "", "has suspended our account"),
        ("400 SendingPausedException", "", "has suspended our account"),
        ("429 TooManyRequestsException", "Daily message quota exceeded.", "our quota there is used up"),
        ("400 MailFromDomainNotVerifiedException", "", "sender not verified"),
        ("400 MessageRejected", _UNVERIFIED, "sender not verified"),
        ("500 Invalid_Key", "Invalid API key", "refused our key"),
        ("500 PaymentRequired", "", "our quota there is used up"),
        ("500 PoorReputation", "", "has suspended our account"),
        ("200 unsigned", "", "sender not verified"),
        ("403 invalid_api_key", "API key is invalid", "refused our key"),
        ("400 validation_error", "API key is invalid", "refused our key"),
        ("403 validation_error", "The x.example domain is not verified.", "sender not verified"),
        ("403 validation_error", "You can only send testing emails to your own", "account only for tests"),
        ("429 daily_quota_exceeded", "", "our quota there is used up"),
        ("451 security_error", "", "has suspended our account"),
        ("401 10", "No Account or Server API tokens were supplied", "refused our key"),
        ("422 10", "", "refused our key"),
        ("422 401", "Sender signature not confirmed", "sender not verified"),
        ("422 400", "", "sender not verified"),
        ("422 405", "Not allowed to send", "our quota there is used up"),
        ("422 412", "", "account only for tests"),
        ("422 413", "", "has suspended our account"),
        ("401 unauthorized", "Key not found", "refused our key"),
        ("402 not_enough_credits", "", "our quota there is used up"),
        ("400 account_under_validation", "", "has suspended our account"),
        ("401", "Maximum credits exceeded", "our quota there is used up"),
        ("401", "The provided authorization grant is invalid, expired, or revoked", "refused our key"),
        ("403", "The from address does not match a verified Sender Identity.", "sender not verified"),
        ("403", "Domain x is not allowed to send: please activate your account", "has suspended our account"),
        ("429", "Your plan limit was reached: monthly limit", "our quota there is used up"),
        ("405", "Method Not Allowed", "took none of our mail"),
    ],
)
def test_a_refusal_of_a_service_has_its_words(code: str, response: str, short: str) -> None:
    assert words.saying(Outcome.PROVIDER_BROKEN, code, response).short == short


def test_every_row_of_the_services_that_names_a_refusal_is_told() -> None:
    """No code with which a service refuses us is told as no more than that it took nothing."""
    vague = {"Unknown_Subaccount", "Unknown_Pool", "Unknown_Template", "MessageRejected", "ValidationError"}
    tables = (brevo.ROWS, mailgun.ROWS, mailtrap.ROWS, mandrill.ROWS, resend.ROWS, sendgrid.ROWS, ses.ROWS)
    for row in (row for rows in tables for row in rows if row.code and row.code not in vague):
        error = row.error("", "")
        if isinstance(error, ProviderBroken):
            said = words.saying(Outcome.PROVIDER_BROKEN, f"403 {row.code}")
            assert said.short != "took none of our mail", row.code


def test_a_check_of_credentials_speaks_of_no_mail() -> None:
    for outcome in Outcome:
        for code in ("", "timeout", "disconnected", "pool_timeout", "405"):
            said = words.saying_when_asked(outcome, code)
            if outcome not in (Outcome.ACCEPTED, Outcome.THROTTLED):
                assert "mail" not in f"{said.happened} {said.short}".lower().replace("our other mail", ""), said
                assert "mail was not complete" not in said.matters
    assert words.saying_when_asked(Outcome.PROVIDER_BROKEN, "403").happened == "{provider} refused us"


@pytest.mark.parametrize(
    ("error", "explained"),
    [
        (None, ("", "")),
        ("recipient_rejected: 550 5.1.1 5.1.1 User unknown", ("no such mailbox", "550 5.1.1 User unknown")),
        ("provider_down: timeout", ("did not answer in time", "timeout")),
        ("gave up after 24 hours", ("gave up after 24 hours", "")),
    ],
)
def test_a_stored_error_is_explained(error: str | None, explained: tuple[str, str]) -> None:
    assert words.explain(error) == explained


@pytest.mark.parametrize(
    ("seconds", "relative", "beside"),
    [
        (0, "now", "14:24"),
        (-30, "30 s ago", "14:23"),
        (-59.9, "59 s ago", "14:23"),
        (-26 * 60, "26 min ago", "13:58"),
        (-3590, "1 h ago", "13:24"),
        (-4 * 3600, "4 h ago", "10:24"),
        (-20.4 * 3600, "yesterday", "18:00"),
        (-3 * 86_400, "9 Mar", "14:24"),
        (-90 * 86_400, "12 Dec 2025", "14:24"),
        (6 * 60, "in 6 min", "14:30"),
        (18.6 * 3600, "in 19 h", "Fri 09:00"),
        (30 * 3600, "tomorrow", "20:24"),
        (40 * 86_400, "21 Apr", "15:24"),
    ],
)
def test_relative_times(seconds: float, relative: str, beside: str) -> None:
    instant = NOW + timedelta(seconds=seconds)
    assert (BERLIN.relative(instant), BERLIN.beside(instant)) == (relative, beside)


def test_a_little_before_midnight_is_not_yesterday_a_little_after_it() -> None:
    clock = Clock(datetime(2026, 3, 12, 0, 10, tzinfo=UTC), ZoneInfo("UTC"))
    assert clock.relative(clock.now - timedelta(minutes=20)) == "20 min ago"


def test_full_times_name_their_zone() -> None:
    assert BERLIN.in_full(NOW) == "12 Mar 2026, 14:24:00 Europe/Berlin"
    assert BERLIN.place == "Berlin time"
    assert Clock(NOW, ZoneInfo("UTC")).place == "UTC"
    assert BERLIN.to_the_tenth(NOW + timedelta(milliseconds=1999)) == "14:24:01.9"
    assert BERLIN.in_utc(NOW) == "13:24"
    assert BERLIN.in_utc(NOW + timedelta(hours=10)) == "12 Mar, 23:24"


def test_today_begins_at_the_visitors_midnight() -> None:
    assert BERLIN.midnight == datetime(2026, 3, 11, 23, tzinfo=UTC)


def test_durations_and_sizes() -> None:
    assert [rough(timedelta(seconds=s)) for s in (0.4, 59, 90, 3570, 47.4 * 3600, 4 * 86_400)] == [
        "0 s", "59 s", "90 s", "1 h", "47 h", "4 days",
    ]  # fmt: skip
    assert [exact(timedelta(seconds=s)) for s in (1.9, 30.2, 93.4, 160, 66_960, 90_000, 86_400)] == [
        "1.9 s", "30 s", "93 s", "2 min 40 s", "18 h 36 min", "1 day 1 h", "1 day",
    ]  # fmt: skip
    assert [milliseconds(ms) for ms in (118, 1611, 12_400)] == ["118 ms", "1,611 ms", "12 s"]
    assert [size(n) for n in (940, 4200, 1_300_000)] == ["940 bytes", "4.2 kB", "1.3 MB"]


def test_zones_are_offered_with_their_offset_of_today() -> None:
    zones = dict(zone_choices(NOW))
    assert zones["Europe/Berlin"] == "Europe/Berlin (UTC+1)"
    assert zones["America/St_Johns"] == "America/St_Johns (UTC−2:30)"
    assert utc_offset(NOW, ZoneInfo("Africa/Abidjan")) == "UTC"
    assert len(zones) > 350


def test_the_bar_shows_even_the_smallest_part_and_never_overflows() -> None:
    shown = progress({State.SENT: 9985, State.FAILED: 1, State.SENDING: 1, State.SCHEDULED: 13}, None, NOW)
    assert [part.tone for part in shown.parts] == ["good", "bad", "active"]
    assert min(part.width for part in shown.parts) >= 4.9
    assert shown.parts[-1].x + shown.parts[-1].width <= 1000.5
    assert (shown.done, shown.total, shown.percent) == (9986, 10_000, 99)
    assert shown.words == "9,985 sent, 1 failed, 14 to go"


def test_the_rest_is_reckoned_from_the_pace_so_far() -> None:
    shown = progress({State.SENT: 500, State.SCHEDULED: 500}, NOW - timedelta(minutes=5), NOW)
    assert shown.words == "500 sent, 500 to go · about 5 min left"


def test_an_event_without_messages_has_an_empty_bar() -> None:
    assert progress({}, None, NOW).percent == 0


def test_a_day_in_bars_has_its_own_scale_and_a_sentence() -> None:
    day = spark({9: 10, 14: 40}, {14: 10}, "Sent")
    assert day.words == "Sent by hour today, most at 14 o’clock"
    tall = [bar for bar in day.bars if bar.x == 14 * 6]
    assert [(bar.tone, bar.y, bar.height) for bar in tall] == [("", 0.0, 25.6), ("bad", 25.6, 6.4)]
    assert spark({}, {}, "Sent").words == "Nothing today"
    assert spark({24: 1}, {}, "Sent").width == 150, "a day on which the clock is put back has 25 hours"


@pytest.mark.parametrize(
    ("cookie", "sentence"),
    [
        ("canceled.1.0", "1 email canceled."),
        ("canceled.2.1", "2 emails canceled. For 1 email it was too late."),
        ("canceled.0.3", "Nothing was canceled: it was too late."),
        ("scheduled", "Scheduled. You can cancel it until it begins to leave."),
        ("mailbox_emptied.6", "6 caught mails deleted."),
        ("resumed.0", "Sending goes on."),
        ("resumed.12", "Sending goes on: 12 mails are due now."),
    ],
)
def test_what_was_done_is_said(cookie: str, sentence: str) -> None:
    flash = Flash.read(cookie)
    assert flash is not None
    assert flash.sentence == sentence
    assert Flash.read(flash.written()) == flash


@pytest.mark.parametrize(
    ("cookie", "tone", "icon"),
    [
        ("provider_works", "good", "sent"),
        ("provider_fails", "bad", "alert"),
        ("provider_unasked", "warn", "alert"),
        ("nothing_changed", "warn", "alert"),
    ],
)
def test_what_went_wrong_is_not_told_as_a_success(cookie: str, tone: str, icon: str) -> None:
    flash = Flash.read(cookie)
    assert flash is not None
    assert (flash.tone, flash.icon) == (tone, icon)


@pytest.mark.parametrize(
    "cookie", [None, "", "unknown", "canceled", "canceled.1", "canceled.x.1", "<b>", "scheduled.1"]
)
def test_a_cookie_that_says_nothing_we_know_says_nothing(cookie: str | None) -> None:
    assert Flash.read(cookie) is None


@pytest.mark.parametrize(
    ("alive", "seen_s", "overdue", "any_events", "headline", "detail"),
    [
        (2, 3.2, 0, True, "Everything is on time", "2 workers, the last seen 3 s ago. Nothing overdue."),
        (1, 2.0, 0, False, "Ready", "1 worker, the last seen 2 s ago. Nothing overdue."),
        (1, 2.0, 1000, True, "1,000+ overdue", "1 worker, the last seen 2 s ago. Mail leaves as fast as the providers "
         "take it."),
        (0, None, 0, False, "No worker is running", "Nothing leaves without one."),
        (0, 90.0, 3, True, "No worker is running", "The last one was seen 90 s ago. 3 overdue."),
    ],
)  # fmt: skip
def test_the_pulse(
    alive: int, seen_s: float | None, overdue: int, any_events: bool, headline: str, detail: str
) -> None:
    shown = pulse_words(alive, seen_s, overdue, any_events, held={}, paused=False)
    assert (shown.headline, shown.detail) == (headline, detail)


def test_the_pulse_tells_of_mail_that_waits_for_a_provider_and_of_a_pause() -> None:
    waits = pulse_words(1, 2.0, 0, True, held={"circuit": 12, "rate": 0}, paused=False)
    assert (waits.headline, waits.tone) == ("12 wait for a provider", "warn")
    assert pulse_words(1, 2.0, 0, True, held={"circuit": 1000}, paused=False).headline == "1,000+ wait for a provider"
    turn = pulse_words(1, 2.0, 4, True, held={"circuit": 0, "rate": 28}, paused=False)
    assert turn.headline == "28 wait for a turn"
    assert turn.detail.endswith("4 overdue. They leave as fast as a provider’s rate lets them.")
    both = pulse_words(1, 2.0, 0, True, held={"quota": 2, "retry": 1}, paused=False)
    assert both.headline == "3 wait past their time"
    assert both.detail.endswith("2 for a new day and 1 for the next try.")
    paused = pulse_words(1, 2.0, 3, True, held={"circuit": 12}, paused=True)
    assert (paused.headline, paused.detail) == ("Sending is paused", "3 mails are due and held back.")
    assert pulse_words(1, 2.0, 0, True, held={}, paused=True).detail == "Nothing is due."


@pytest.mark.parametrize(
    ("hours", "said"),
    [(0.01, "14:24:36"), (0.04, "14:26"), (10, "00:24 tomorrow"), (-15, "23:24 yesterday"), (48, "14:24 on 14 Mar")],
)
def test_an_instant_in_a_sentence(hours: float, said: str) -> None:
    assert BERLIN.at(NOW + timedelta(hours=hours)) == said


def test_instants_in_a_warning_are_told_in_the_zone_of_who_looks() -> None:
    warning = "2026-03-12T13:00:00Z is past: the mail leaves at once."
    assert BERLIN.retold(warning) == "12 Mar, 14:00:00 Berlin time is past: the mail leaves at once."
    assert BERLIN.retold("“tomorrow” was read as Friday.") == "“tomorrow” was read as Friday."


@pytest.mark.parametrize(
    ("start_s", "end_s", "said"),
    [
        (-3600, -3570, "13:24:00 to 13:24:30"),
        (-3600, -3000, "13:24 to 13:34"),
        (-30, None, "since 14:23:30"),
        (-86_400, -86_000, "11 Mar, 14:24 to 14:30"),
    ],
)
def test_a_span_is_told_as_exactly_as_it_is_short(start_s: int, end_s: int | None, said: str) -> None:
    end = None if end_s is None else NOW + timedelta(seconds=end_s)
    assert BERLIN.span(NOW + timedelta(seconds=start_s), end) == said


TOMORROW = datetime(2026, 3, 13, 0, 0, 43, tzinfo=UTC)


@pytest.mark.parametrize(
    ("waiting_for", "route", "second_copy", "in_full", "in_short"),
    [
        (WaitingFor.QUOTA, ["SES"], False, "The quota of SES is used up", "quota used up until 01:00 tomorrow"),
        (WaitingFor.QUOTA, ["SES", "Relay"], False, "The providers’ quotas are used up",
         "quotas used up until 01:00 tomorrow"),
        (WaitingFor.RATE, ["SES"], False, "It waits for its turn at SES", "waits for its turn; next try in 11 h"),
        (WaitingFor.CIRCUIT, ["SES", "Relay"], False, "No provider takes mail now",
         "no provider takes mail now; next try in 11 h"),
        (WaitingFor.CIRCUIT, ["SES"], True, "A second copy goes only through SES, which takes no mail now",
         "takes no mail now; next try in 11 h"),
        (WaitingFor.RETRY, ["SES"], False, "SES could not take it", "next try in 11 h"),
    ],
)  # fmt: skip
def test_why_a_mail_waits_is_said_once_and_with_a_subject(
    waiting_for: WaitingFor, route: list[str], second_copy: bool, in_full: str, in_short: str
) -> None:
    wait = waiting.Wait(waiting_for, TOMORROW, route, second_copy=second_copy)
    assert waiting.in_full(wait, BERLIN, "SES could not take it") == f"{in_full}; next try in 11 h"
    assert waiting.in_short(wait, BERLIN) == in_short


def test_a_summary_of_nothing_is_nothing() -> None:
    assert summary([], None, all_sent=True) == ""
    assert summary([], 0.4, all_sent=True) == "Every mail left within a second of its time."


@pytest.mark.parametrize(
    ("language", "date", "with_year", "spelled", "many"),
    [
        (None, "9 Mar", "9 Mar 2025", "Friday 13 March, 09:00", "1,234,567"),
        ("en-US", "Mar 9", "Mar 9, 2025", "Friday, March 13, 09:00", "1,234,567"),
        ("en-IN", "9 Mar", "9 Mar 2025", "Friday 13 March, 09:00", "12,34,567"),
    ],
)
def test_dates_and_numbers_are_as_the_language_writes_them(
    language: str | None, date: str, with_year: str, spelled: str, many: str
) -> None:
    clock = Clock(datetime(2026, 3, 12, 8, tzinfo=UTC), ZoneInfo("UTC"))
    times.speak(language)
    try:
        assert clock.on(datetime(2026, 3, 9, 8, tzinfo=UTC)) == date
        assert clock.on(datetime(2025, 3, 9, 8, tzinfo=UTC)) == with_year
        assert clock.spelled_out(datetime(2026, 3, 13, 9, tzinfo=UTC)) == spelled
        assert times.number(1_234_567) == many
    finally:
        times.speak(None)


@pytest.mark.parametrize("language", get_args(Language))
def test_babel_knows_every_language_that_a_workspace_may_choose(language: str) -> None:
    times.speak(language)
    try:
        assert times.number(1.5)
        assert language in LANGUAGES
    finally:
        times.speak(None)
