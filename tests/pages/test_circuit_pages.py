"""Circuits on the pages: how a provider stands, its limits, its history, and what is said when all are closed."""

import uuid
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from janus_mail.pages.all_closed import closed_words
from janus_mail.pages.times import Clock
from tests.pages.conftest import Visitor
from tests.pages.gallery import GROUP, HOUR, Gallery, Mail, Tried, trouble
from tests.pages.reading import Element, Page

NAMES = ("Amazon SES", "Google SMTP", "SendGrid")
DOWN = "5 failures in a row: 421 4.3.2 Service not available"


def place(page: Page, name: str) -> Element:
    return next(li for li in page.main.all("li", class_="provider") if li.one("h2").text == name)


async def press(visitor: Visitor, page: Page, button: str, **fields: str) -> Page:
    """Send the form that has this button."""
    form = next(form for form in page.main.all("form") if any(b.text == button for b in form.all("button")))
    pressed = form.one("button")
    values = {**form.values(), pressed["name"]: pressed["value"]} if "name" in pressed.attributes else form.values()
    answer = await visitor.client.post(form["action"], data={**values, **fields})
    assert answer.status_code == 200, answer.text[-2000:]
    return Page(answer.text)


async def last_incident(gallery: Gallery, name: str) -> tuple[str, str, str | None]:
    row = await gallery.database.pool.fetchrow(
        "SELECT state, reason, actor FROM provider_incidents WHERE provider_id = $1 ORDER BY number DESC LIMIT 1",
        gallery.providers[name],
    )
    assert row is not None
    return row["state"], row["reason"], row["actor"]


async def rest(gallery: Gallery, name: str, *, for_s: float | None = 600) -> None:
    await gallery.incident(name, "open", "failures", DOWN, ago_s=60, for_s=for_s)


async def test_a_resting_provider_says_until_when_since_when_and_why(visitor: Visitor, empty_gallery: Gallery) -> None:
    await rest(empty_gallery, "Amazon SES")
    page = await visitor.get("/providers")
    clock = Clock(empty_gallery.now, ZoneInfo("UTC"))
    until = await empty_gallery.database.pool.fetchval("SELECT until FROM circuits")
    said = place(page, "Amazon SES").text
    assert said.count(f"Resting until {clock.at(until)}") == 1
    assert "5 failures in a row: 421 4.3.2 Service not available" in said
    assert "Google SMTP takes its mail meanwhile." in said
    assert "Sandbox: nothing leaves" in said
    assert "Since" in said
    assert "Resting" not in place(page, "Google SMTP").text


async def test_a_provider_is_used_again_by_hand_and_what_waited_goes(visitor: Visitor, empty_gallery: Gallery) -> None:
    await rest(empty_gallery, "Amazon SES")
    waits = [Mail("a@example.com", "scheduled", waiting_for="circuit")]
    await empty_gallery.event("Waits", waits, due_in_s=-60, status="sending")
    page = await press(visitor, await visitor.get("/providers"), "Use it again : Amazon SES")
    assert page.main.one("p", class_="good").text == "It is used again, from the next mail on."
    assert "Resting" not in place(page, "Amazon SES").text
    assert (await last_incident(empty_gallery, "Amazon SES"))[0] == "closed"
    assert await empty_gallery.database.pool.fetchval("SELECT waiting_for FROM messages") is None


async def test_a_provider_is_stopped_by_hand_with_a_reason(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await press(visitor, await visitor.get("/providers"), "Stop using it : SendGrid", reason="being moved")
    assert "Stopped by hand" in place(page, "SendGrid").one("span", class_="row").text
    assert "Reason: being moved" in place(page, "SendGrid").one("div", class_="notice").text
    assert await last_incident(empty_gallery, "SendGrid") == ("open", "being moved", "anonymous")
    history = await visitor.get(f"/providers/{empty_gallery.providers['SendGrid']}/history")
    assert history.main.one("h2").text.startswith("Stopped by hand since")
    step = history.main.one("details").one("li")
    assert step.one("h3").text == "Stopped by somebody on this machine"
    assert step.one("p").text == "Reason: being moved"
    assert not step.all("pre"), "that block is for servers' words"
    page = await press(visitor, page, "Use it again : SendGrid")
    assert "Stopped" not in place(page, "SendGrid").one("span", class_="row").text


async def test_a_provider_that_still_rests_has_an_incident_that_goes_on(
    visitor: Visitor, empty_gallery: Gallery
) -> None:
    await rest(empty_gallery, "Amazon SES")
    page = await visitor.get(f"/providers/{empty_gallery.providers['Amazon SES']}/history")
    assert page.main.one("h2").text.startswith("Down since")
    assert "Going on" in page.main.text
    assert "Next try at" in page.main.one("details").text


async def test_a_blocked_sender_domain_is_named(visitor: Visitor, gallery: Gallery) -> None:
    await trouble(gallery)
    said = place(await visitor.get("/providers"), "Amazon SES").text
    assert "Not used for senders of old.example until" in said
    assert "550 5.1.8 Sender domain not verified" in said


async def test_limits_are_shown_saved_and_taken_away(visitor: Visitor, empty_gallery: Gallery) -> None:
    action = f"/providers/{empty_gallery.providers['Amazon SES']}/limits"
    page = await visitor.get("/providers")
    page = await visitor.send(page, action, rate_per_second="2.5", daily_quota="200")
    await empty_gallery.used("Amazon SES", 50)
    page = await visitor.get("/providers")
    quota = place(page, "Amazon SES").one("div", class_="quota")
    assert quota.text == "Quota: 50 of 200 tries, day in UTC · 2.5 a second"
    assert quota.one("rect")["width"] == "25.0"
    assert page.form(action).values() | {"csrf_token": ""} == {
        "csrf_token": "", "rate_per_second": "2.5", "daily_quota": "200",
    }  # fmt: skip
    await empty_gallery.database.pool.execute("UPDATE provider_usage SET used = 200")
    assert "Today’s quota is used up" in place(await visitor.get("/providers"), "Amazon SES").text
    page = await visitor.send(page, action, rate_per_second="", daily_quota="")
    assert place(page, "Amazon SES").one("div", class_="quota").text == ""


@pytest.mark.parametrize(
    "fields",
    [{"rate_per_second": "0"}, {"rate_per_second": "nan"}, {"daily_quota": "0"}, {"daily_quota": "1.5"},
     {"daily_quota": "99999999999"}, {"rate_per_second": "many"}],
)  # fmt: skip
async def test_a_limit_that_is_none_changes_nothing(
    visitor: Visitor, empty_gallery: Gallery, fields: dict[str, str]
) -> None:
    action = f"/providers/{empty_gallery.providers['Amazon SES']}/limits"
    await visitor.send(await visitor.get("/providers"), action, fields, status=400)
    assert not await empty_gallery.database.pool.fetchval(
        "SELECT count(*) FROM providers WHERE rate_per_second IS NOT NULL OR daily_quota IS NOT NULL"
    )


@pytest.mark.parametrize(("action", "fields"), [("circuit", {"state": "open"}), ("limits", {"daily_quota": "1"})])
async def test_another_workspaces_provider_can_be_neither_stopped_nor_limited(
    visitor: Visitor, empty_gallery: Gallery, another: Gallery, action: str, fields: dict[str, str]
) -> None:
    token = (await visitor.get("/providers")).form("/theme").values()["csrf_token"]
    path = f"/providers/{another.providers['Amazon SES']}/{action}"
    answer = await visitor.client.post(path, data={"csrf_token": token, **fields})
    assert answer.status_code == 404
    assert await another.database.pool.fetchval("SELECT count(*) FROM circuits") == 0
    assert await another.database.pool.fetchval("SELECT count(daily_quota) FROM providers") == 0


async def test_the_history_is_a_sentence_for_each_incident(visitor: Visitor, empty_gallery: Gallery) -> None:
    took_over = Tried("Google SMTP", "accepted", "250", "", 0.1, 100)
    mails = [Mail(f"a{number}@example.com", "sent", (took_over,)) for number in range(3)]
    await empty_gallery.event("Meanwhile", mails, due_in_s=-HOUR + 20, status="sent")
    await empty_gallery.incident("Amazon SES", "open", "failures", DOWN, ago_s=HOUR, for_s=30)
    await empty_gallery.incident("Amazon SES", "half_open", "probe", DOWN, ago_s=HOUR - 31)
    await empty_gallery.incident("Amazon SES", "closed", "probe", "the probe passed", ago_s=HOUR - 32)
    page = await visitor.get("/providers")
    link = next(a for a in place(page, "Amazon SES").all("a") if a.text.startswith("History"))
    page = await visitor.get(link["href"])
    clock = Clock(empty_gallery.now, ZoneInfo("UTC"))
    (sentence,) = [h2.text for h2 in page.main.all("h2")]
    assert sentence.endswith(", 3 mails went through Google SMTP instead")
    assert sentence.startswith("Down ")
    assert clock.to_the_minute(
        await empty_gallery.database.pool.fetchval("SELECT min(at) FROM provider_incidents")
    ) in (sentence)
    assert "Going on" not in page.main.text
    steps = [step.one("h3").text for step in page.main.one("details").all("li")]
    assert steps == ["Left out for a while", "One mail tried it", "The try passed"]
    assert page.main.one("details").one("pre").text == "421 4.3.2 Service not available"
    assert page.main.one("details").all("p")[0].text.startswith("5 failures in a row. Next try was due at")
    assert "open" not in page.main.one("details").attributes


async def test_a_provider_without_an_incident_says_so(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await visitor.get(f"/providers/{empty_gallery.providers['Amazon SES']}/history")
    assert "No incident so far." in page.main.text


async def test_a_long_history_comes_in_pages(visitor: Visitor, empty_gallery: Gallery) -> None:
    for number in range(25):
        ago_s = HOUR - number * 60
        await empty_gallery.incident("Amazon SES", "open", "failures", f"no. {number}", ago_s=ago_s, for_s=30)
        await empty_gallery.incident("Amazon SES", "closed", "probe", "the probe passed", ago_s=ago_s - 30)
    first = await visitor.get(f"/providers/{empty_gallery.providers['Amazon SES']}/history")
    second = await visitor.get(first.main.one("a", rel="next")["href"])
    reasons = [p.text for page in (first, second) for li in page.main.all("ol", class_="incidents")
               for p in li.all("p", class_="soft") if p.text.startswith("No. ")]  # fmt: skip
    assert reasons == [f"No. {number}" for number in range(24, -1, -1)]


async def test_another_workspaces_history_is_not_there(
    visitor: Visitor, empty_gallery: Gallery, another: Gallery
) -> None:
    await visitor.get(f"/providers/{another.providers['Amazon SES']}/history", status=404)
    await visitor.get(f"/providers/{uuid.uuid4()}/history", status=404)


async def waiting(gallery: Gallery) -> None:
    mails = [Mail(f"w{number}@example.com", "scheduled", waiting_for="circuit") for number in range(3)]
    await gallery.event("Waits", mails, due_in_s=-60, status="sending")


async def test_when_no_provider_takes_mail_it_is_said_once_with_what_comes_next(
    visitor: Visitor, empty_gallery: Gallery
) -> None:
    await waiting(empty_gallery)
    for name, for_s in zip(NAMES, (600, 300, 900), strict=True):
        await rest(empty_gallery, name, for_s=for_s)
    clock = Clock(empty_gallery.now, ZoneInfo("UTC"))
    soonest = await empty_gallery.database.pool.fetchval("SELECT min(until) FROM circuits")
    for path in ("/", "/providers"):
        notice = (await visitor.get(path)).main.one("div", id="notices").text
        assert notice.startswith("No provider takes mail now, since")
        assert "3 mails wait past their time; none is lost." in notice
        assert f"At {clock.at(soonest)} the next mail tries Google SMTP." in notice
    pulse = (await visitor.update("/pulse")).text
    assert "3 wait for a provider" in pulse


async def test_with_every_circuit_open_no_card_and_no_dial_promises_another(
    visitor: Visitor, empty_gallery: Gallery
) -> None:
    await empty_gallery.database.pool.execute("UPDATE providers SET sandbox_mode = 'down'")
    for name in NAMES:
        await rest(empty_gallery, name)
    page = await visitor.get("/providers")
    assert "Every provider is a sandbox." in page.main.one("div", id="notices").text
    for name in NAMES:
        said = place(page, name).text
        assert "No other provider takes its mail: it waits." in said
        assert "meanwhile" not in said
        assert "Now: each mail is answered “service not available”, and waits: no other provider takes it." in said


async def test_a_refused_key_is_told_as_one(visitor: Visitor, empty_gallery: Gallery) -> None:
    refused = "the provider refuses us: 535 5.7.8 Username and password not accepted"
    await empty_gallery.incident("SendGrid", "open", "broken", refused, ago_s=5, for_s=30)
    said = place(await visitor.get("/providers"), "SendGrid").text
    assert "Key refused, left out" in said
    assert "One mail tries it again in 2" in said
    assert "It refused us: 535 5.7.8 Username and password not accepted" in said
    await empty_gallery.incident("SendGrid", "closed", "probe", "the probe passed", ago_s=0)
    page = await visitor.get(f"/providers/{empty_gallery.providers['SendGrid']}/history")
    clock = Clock(empty_gallery.now, ZoneInfo("UTC"))
    row = await empty_gallery.database.pool.fetchrow("SELECT min(at) AS at, max(at) AS until FROM provider_incidents")
    assert row is not None
    span = f"{clock.to_the_second(row['at'])} to {clock.to_the_second(row['until'])}"
    assert page.main.one("h2").text == f"Key refused, left out {span}, no mail went another way"


@pytest.mark.parametrize(
    ("waiting_for", "said"),
    [("rate", "3 wait for a turn"), ("retry", "3 wait for the next try"), ("quota", "3 wait for a new day")],
)
async def test_the_sidebar_says_what_overdue_mail_waits_for(
    visitor: Visitor, empty_gallery: Gallery, waiting_for: str, said: str
) -> None:
    mails = [Mail(f"w{number}@example.com", "scheduled", waiting_for=waiting_for) for number in range(3)]
    await empty_gallery.event("Waits", mails, due_in_s=-60, status="sending")
    assert said in (await visitor.update("/pulse")).text


async def test_as_long_as_one_provider_takes_mail_nothing_is_said(visitor: Visitor, empty_gallery: Gallery) -> None:
    await waiting(empty_gallery)
    await rest(empty_gallery, "Amazon SES")
    await rest(empty_gallery, "Google SMTP")
    assert (await visitor.get("/")).main.one("div", id="notices").text == ""


async def test_with_every_provider_off_the_list_of_events_says_so(visitor: Visitor, empty_gallery: Gallery) -> None:
    await waiting(empty_gallery)
    page = await visitor.get("/providers")
    for name in NAMES:
        page = await visitor.send(page, f"/providers/{empty_gallery.providers[name]}/switch", enabled="off")
    assert "No provider is on and fit to send." in (await visitor.get("/")).main.one("div", id="notices").text


NOON = datetime(2026, 3, 12, 12, 0, tzinfo=UTC)
SINCE = datetime(2026, 3, 12, 11, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rows", "since", "following"),
    [
        (
            [{"name": "SES", "state": "open", "since": SINCE, "until": None, "used_up": False}],
            SINCE,
            "SES was stopped by hand: mail waits until somebody uses it again.",
        ),
        (
            [{"name": "SES", "state": None, "since": None, "until": None, "used_up": True}],
            None,
            "At 01:00 tomorrow SES has its daily quota again.",
        ),
        (
            [{"name": "SES", "state": "half_open", "since": SINCE, "until": SINCE, "used_up": False}],
            SINCE,
            "The next mail tries SES.",
        ),
    ],
)
def test_what_comes_next(rows: list[dict[str, object]], since: datetime | None, following: str) -> None:
    closed = closed_words(rows, Clock(NOON, ZoneInfo("Europe/Berlin")))
    assert (closed.headline, closed.since, closed.following) == ("SES takes no mail now", since, following)


async def test_a_groups_recipients_are_shown_with_what_became_of_each(visitor: Visitor, gallery: Gallery) -> None:
    await trouble(gallery)
    page = await visitor.get(f"/events/{gallery.events[GROUP]}")
    members = [li.text for li in page.main.one("section", id="group").all("li")]
    assert members == [
        "ann@example.com Sent",
        "ben@example.org 451 4.7.1 try again later Deferred",
        "gone@example.net copy 550 5.1.1 User unknown Failed",
    ]
    words = page.main.one("section", id="group").one("p").text
    assert "1 of 3 recipients has it." in words
    assert "It is tried again for the one that is left alone: who has it gets it once." in words


async def test_an_event_shows_the_route_of_what_has_not_left(visitor: Visitor, gallery: Gallery) -> None:
    await trouble(gallery)
    page = await visitor.get(f"/events/{gallery.events[GROUP]}")
    lines = [line.text for line in page.main.one("section", id="way-now").all("li")]
    assert lines[0].startswith("1 · Amazon SES Sandbox")
    assert lines[2] == "– · Mailgun Left out Its circuit is open: the account is being moved"
    page = await visitor.get(f"/events/{gallery.events['Reset your password']}")
    assert not page.main.all("section", id="way-now")


def test_no_provider_takes_mail_since_the_last_one_stopped() -> None:
    rows = [
        {"name": name, "state": "open", "since": since, "until": NOON, "used_up": False}
        for name, since in (("SES", SINCE), ("Mailgun", NOON), ("Relay", SINCE))
    ]
    closed = closed_words(rows, Clock(NOON, ZoneInfo("UTC")))
    assert (closed.headline, closed.since) == ("No provider takes mail now", NOON)
