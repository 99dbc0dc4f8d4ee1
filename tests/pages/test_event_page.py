"""`/events/{id}`: one event and each message's way."""

from dataclasses import replace
from zoneinfo import ZoneInfo

from janus_mail.pages.times import Clock
from janus_mail.storage.database import Database
from tests.pages.conftest import Visitor
from tests.pages.gallery import AT_SES, CUT, INVOICE, LATER, Gallery, Mail, Tried
from tests.pages.reading import Element, Page

PARKED = "Card payment did not go through"
PENDING = "Your order 20418 has shipped"


async def opened(visitor: Visitor, gallery: Gallery, subject: str, recipient: str) -> Page:
    """The page with this recipient's message opened, as one opens it."""
    page = await visitor.get(f"/events/{gallery.events[subject]}")
    link = next(a for a in page.main.all("a", class_="title") if a.text == recipient)
    assert link["aria-expanded"] == "false"
    return await visitor.get(link["href"].partition("#")[0])


def steps(page: Page) -> list[Element]:
    return page.main.one("ol", class_="way").all("li")


async def test_how_far_it_is_is_told_by_a_bar_and_in_words(visitor: Visitor, gallery: Gallery) -> None:
    page = await visitor.get(f"/events/{gallery.events[INVOICE]}")
    bar = page.main.one("svg", role="progressbar")
    assert (bar["aria-valuenow"], bar["aria-valuemax"], bar["aria-label"]) == ("6", "8", "6 of 8 done")
    legend = page.main.one("div", class_="legend").text
    assert legend == "6 of 8 done 2 delivered 1 sent 1 bounced 1 failed 1 suppressed 1 uncertain 1 waiting"
    assert "Amazon SES asked us to slow down and SendGrid refused our key, so Mailgun took over." in page.main.text
    assert "The latest mail left 1.9 s after it was due." in page.main.text


async def test_the_timeline_tells_why_it_went_through_the_third_provider(visitor: Visitor, gallery: Gallery) -> None:
    page = await opened(visitor, gallery, INVOICE, "ada.lindqvist@example.com")
    assert [step.one("h3").text for step in steps(page)][1:] == [
        "Amazon SES asked us to slow down after 118 ms",
        "SendGrid refused our key after 94 ms",
        "Mailgun took the mail after 1,611 ms",
        "Delivered",
    ]
    edit = f"/providers/{gallery.providers['SendGrid']}/edit"
    assert [(a.text, a["href"]) for a in steps(page)[2].all("a")] == [("Put in a new key", edit)]
    assert not steps(page)[1].all("a")
    assert steps(page)[0].text.endswith("By API key billing-web, 5 h ahead.")
    assert "This mail went on to SendGrid at once." in steps(page)[1].text
    assert steps(page)[2].one("pre").text == "535 5.7.8 Username and password not accepted"
    assert "It left 1.9 s after it was due." in steps(page)[3].text


async def test_what_came_back_is_a_part_of_the_bar(visitor: Visitor, gallery: Gallery) -> None:
    page = await visitor.get(f"/events/{gallery.events[INVOICE]}")
    parts = page.main.one("svg", role="progressbar").all("rect")
    assert [part.attributes.get("class", "") for part in parts] == ["good", "bad", "", "warn"]
    assert [round(float(part["width"])) for part in parts] == [370, 245, 120, 125]  # of 3, 2, 1, 1 of 8, less a gap


async def test_a_service_that_was_never_asked_is_told_as_passed_over(visitor: Visitor, gallery: Gallery) -> None:
    unfit = Tried("Amazon SES", "policy_rejected", "file_type_refused", "It takes no files such as x.exe.")
    mails = [Mail("a@example.com", "sent", (unfit, replace(AT_SES, provider="Mailgun")))]
    await gallery.event("With a program", mails, due_in_s=-5, status="sent")
    page = await opened(visitor, gallery, "With a program", "a@example.com")
    assert steps(page)[1].one("h3").text == "Passed over: Amazon SES cannot carry this mail"
    assert "It takes no files such as x.exe. This mail went on to Mailgun at once." in steps(page)[1].text
    assert not steps(page)[1].all("pre"), "nobody at the service said it"
    assert page.main.one("tr", class_="open").all("td")[3].text == "1 try"


async def test_what_is_suppressed_has_a_time_and_leads_to_the_list(visitor: Visitor, gallery: Gallery) -> None:
    page = await opened(visitor, gallery, INVOICE, "h.tanaka@example.jp")
    last = steps(page)[-1]
    assert last.one("h3").text == "Suppressed"
    assert last.one("time")
    listed = await visitor.get(last.one("a")["href"])
    assert "h.tanaka@example.jp" in listed.main.one("tbody").text


async def test_sending_suppressed_mail_again_warns_of_no_refusal(visitor: Visitor, gallery: Gallery) -> None:
    await gallery.event("To nobody", [Mail("h.tanaka@example.jp", "suppressed")], due_in_s=-5, status="suppressed")
    event = f"/events/{gallery.events['To nobody']}"
    question = (await visitor.get(event)).form(f"{event}/retry").text
    assert question.startswith("Send 1 suppressed email again? An address that is still suppressed gets none.")


async def test_a_waiting_message_says_why_and_until_when(visitor: Visitor, gallery: Gallery) -> None:
    page = await opened(visitor, gallery, INVOICE, "lucia.moreno@example.com")
    row = page.main.one("tr", class_="open").text
    assert "Waiting" in row
    assert "The recipient’s server said “later”; next try in" in row
    assert steps(page)[-1].text.startswith("Waiting The recipient’s server said “later”; next try in")


async def test_a_failed_message_gives_the_reason_in_words_then_the_code(visitor: Visitor, gallery: Gallery) -> None:
    page = await opened(visitor, gallery, INVOICE, "pietr@example.org")
    assert "no such mailbox: 550 5.1.1 User unknown" in page.main.one("tr", class_="open").text
    assert steps(page)[-1].one("h3").text == "Failed"


async def test_an_opened_message_closes_again(visitor: Visitor, gallery: Gallery) -> None:
    page = await opened(visitor, gallery, INVOICE, "pietr@example.org")
    link = next(a for a in page.main.all("a", class_="title") if a.text == "pietr@example.org")
    assert link["aria-expanded"] == "true"
    closed = await visitor.get(link["href"].partition("#")[0])
    assert not closed.main.all("ol", class_="way")


async def test_what_waits_can_be_canceled_and_the_page_says_how_many_were_too_late(
    visitor: Visitor, gallery: Gallery
) -> None:
    event = f"/events/{gallery.events[INVOICE]}"
    page = await visitor.get(event)
    question = page.form(f"{event}/cancel").text
    assert question.startswith(
        "Cancel 1 email that has not left? 6 are done and cannot be called back; 1 is under way."
    )
    after = await visitor.send(page, f"{event}/cancel")
    assert "1 email canceled. For 5 emails it was too late." in after.main.one("p", class_="good").text
    assert "Canceled" in after.main.text
    again = await visitor.get(event)
    assert not again.main.all("p", class_="good"), "it is said once"
    assert not again.root.all("form", action=f"{event}/cancel")


async def test_failed_messages_can_be_sent_again(visitor: Visitor, gallery: Gallery) -> None:
    event = f"/events/{gallery.events[INVOICE]}"
    page = await visitor.get(event)
    assert "Send 1 failed and 1 suppressed emails again?" in page.form(f"{event}/retry").text
    after = await visitor.send(page, f"{event}/retry")
    assert "2 emails go out again." in after.main.text
    assert "3 waiting" in after.main.one("div", class_="legend").text


async def test_a_pending_event_can_be_sent_now(visitor: Visitor, gallery: Gallery, database: Database) -> None:
    event = f"/events/{gallery.events[PENDING]}"
    page = await visitor.get(event)
    assert page.main.one("p", id="due").text.startswith("Pending Due in")
    after = await visitor.send(page, f"{event}/send-now")
    assert "1 email goes out now." in after.main.text
    due = await database.pool.fetchval(
        "SELECT due_at <= clock_timestamp() FROM messages WHERE event_id = $1", gallery.events[PENDING]
    )
    assert due is True


async def test_a_button_that_came_too_late_changes_nothing_and_says_so(
    visitor: Visitor, gallery: Gallery, database: Database
) -> None:
    event = f"/events/{gallery.events[PENDING]}"
    page = await visitor.get(event)
    await database.pool.execute("UPDATE messages SET state = 'sending' WHERE event_id = $1", gallery.events[PENDING])
    after = await visitor.send(page, f"{event}/send-now")
    assert "Nothing was changed" in after.main.text


async def test_a_parked_message_asks_for_a_decision_and_takes_it(
    visitor: Visitor, gallery: Gallery, database: Database
) -> None:
    page = await opened(visitor, gallery, PARKED, "samir@example.org")
    form = next(f for f in page.main.all("form") if f["action"].endswith("/resolve"))
    assert [button.text for button in form.all("button")] == ["It arrived", "Send again", "Give up"]
    after = await visitor.send(page, form["action"], outcome="sent")
    assert "Noted: it arrived." in after.main.text
    state = await database.pool.fetchval("SELECT state FROM messages WHERE event_id = $1", gallery.events[PARKED])
    assert state == "sent"
    assert after.main.one("p", id="due").text.startswith("Sent")
    late = await visitor.send(page, form["action"], outcome="failed")
    assert "Nothing was changed" in late.main.text


async def test_a_message_is_found_by_a_part_of_its_address(visitor: Visitor, gallery: Gallery) -> None:
    page = await visitor.get(f"/events/{gallery.events[INVOICE]}?recipient=EXAMPLE.NET")
    assert [link.text for link in page.main.all("a", class_="title")] == ["felix.brandt@example.net"]
    nothing = await visitor.get(f"/events/{gallery.events[INVOICE]}?recipient=%25")
    assert "No message fits." in nothing.main.text


async def test_many_messages_come_in_pages_both_ways_and_by_state(visitor: Visitor, gallery: Gallery) -> None:
    event = f"/events/{gallery.events['Spring catalogue: 40 new hand planes']}"
    first = await visitor.get(event)
    assert "25 of 200 messages" in first.main.text
    second = await visitor.get(_page(first, "next"))
    third = await visitor.get(_page(second, "next"))
    assert _recipients(third)[0] == "customer50@example.com"
    assert _recipients(await visitor.get(_page(third, "prev"))) == _recipients(second)
    failed = next(a for a in first.main.one("div", class_="legend").all("a") if "failed" in a.text)
    page = await visitor.get(failed["href"].partition("#")[0])
    assert _recipients(page) == ["customer123@example.com"]


async def test_a_link_to_a_message_shows_it_wherever_it_stands(
    visitor: Visitor, gallery: Gallery, database: Database
) -> None:
    message_id = await database.pool.fetchval("SELECT id FROM messages WHERE recipient = 'customer150@example.com'")
    event = f"/events/{gallery.events['Spring catalogue: 40 new hand planes']}"
    page = await visitor.get(f"{event}?message={message_id}")
    assert _recipients(page)[0] == "customer150@example.com"
    assert page.main.one("ol", class_="way")
    assert _page(page, "prev")


async def test_the_content_is_shown_as_its_recipient_gets_it(visitor: Visitor, gallery: Gallery) -> None:
    page = await opened(visitor, gallery, INVOICE, "ada.lindqvist@example.com")
    frame = page.main.one("iframe")
    assert frame["sandbox"] == ""
    html = await visitor.client.get(frame["src"])
    assert html.headers["content-type"] == "text/html; charset=utf-8"
    assert "Dear Ada," in html.text
    assert html.headers["content-security-policy"].startswith("sandbox; default-src 'none'; style-src 'unsafe-inline';")
    text = await visitor.client.get(frame["src"].replace("view=html", "view=text"))
    assert text.headers["content-type"] == "text/html; charset=utf-8"
    assert "Dear Ada,\n\nyour invoice" in text.text
    source = await visitor.client.get(frame["src"].replace("view=html", "view=source"))
    assert "From: Northwind Tools &lt;billing@northwind.example&gt;" in source.text
    assert "To: Ada &lt;ada.lindqvist@example.com&gt;" in source.text


async def test_a_caught_mail_is_one_step_away(visitor: Visitor, gallery: Gallery, database: Database) -> None:
    message_id = await database.pool.fetchval("SELECT id FROM messages WHERE recipient = 'wei.zhang@example.net'")
    await database.pool.execute(
        "UPDATE captured_mails SET message_id = $1 WHERE subject = 'Reset your password'", message_id
    )
    page = await opened(visitor, gallery, "Reset your password", "wei.zhang@example.net")
    link = steps(page)[-1].one("a")
    assert link.text == "See it in the mailbox"
    assert (await visitor.get(link["href"])).root.one("h2", id="opened").text == "Reset your password"


async def test_a_group_is_one_message_to_many(visitor: Visitor, empty_gallery: Gallery) -> None:
    form = await visitor.get("/add")
    page = await visitor.send(
        form, "/add", email_subject="All", email_content="x", recipients="a@example.com, b@example.com",
        cc="c@example.com", send_as="group",
    )  # fmt: skip
    assert "a@example.com and 2 more, in one mail" in page.main.one("tbody").text
    assert "1 message to 3 recipients" in page.main.text
    assert [summary.text for summary in page.main.all("summary")] == ["Send now…", "Cancel…"]
    assert "Copies c@example.com" in page.main.all("dl", class_="facts")[0].text


async def test_settings_name_the_route_the_sender_and_what_was_asked_for(visitor: Visitor, gallery: Gallery) -> None:
    page = await visitor.get(f"/events/{gallery.events[INVOICE]}")
    facts = page.main.one("dl", class_="facts")
    said = dict(zip([t.text for t in facts.all("dt")], [d.text for d in facts.all("dd")], strict=True))
    assert said["From"] == "Northwind Tools <billing@northwind.example>"
    assert said["Reply to"] == "accounts@northwind.example"
    assert said["Route"] == "Amazon SES, SendGrid, Mailgun"
    assert said["If uncertain"] == "Send once more"
    assert said["Metadata"] == "batch = inv-2026-03"
    assert said["Expires"].startswith("tomorrow")


async def test_the_page_stops_asking_when_all_is_over_and_says_it_to_who_listens(
    visitor: Visitor, gallery: Gallery, database: Database
) -> None:
    event = f"/events/{gallery.events[INVOICE]}"
    live = (await visitor.get(event)).root.one("div", id="live")
    assert live["hx-trigger"] == "every 2s"
    await database.pool.execute(
        "UPDATE events SET status = 'sent', counts = '{\"sent\": 8}' WHERE id = $1", gallery.events[INVOICE]
    )
    update = Page((await visitor.update(live["hx-get"])).text)
    assert "hx-get" not in update.root.one("div", id="live").attributes
    assert update.root.one("p", id="said").text == "All 8 emails sent."
    assert (await visitor.get(event)).root.one("p", id="said").text == ""


async def test_the_page_of_what_waits_long_does_not_ask_often(visitor: Visitor, gallery: Gallery) -> None:
    page = await visitor.get(f"/events/{gallery.events[PENDING]}")
    assert page.root.one("div", id="live")["hx-trigger"] == "every 10s"
    assert not page.root.all("noscript")


async def test_an_uncertain_message_says_what_is_being_done(visitor: Visitor, gallery: Gallery) -> None:
    page = await opened(visitor, gallery, INVOICE, "samir@example.org")
    assert "The line to Mailgun was cut after the mail had left" in steps(page)[-2].text
    assert steps(page)[-1].one("h3").text == "Nobody knows whether it arrived"
    assert steps(page)[-1].one("time")
    here = f"/events/{gallery.events[INVOICE]}?message={page.main.one('tr', class_='open')['id'][2:]}"
    await gallery.database.pool.execute(
        "UPDATE messages SET next_try_at = clock_timestamp() + interval '1 hour' WHERE state = 'uncertain'"
    )
    page = await visitor.get(here)
    at = await gallery.database.pool.fetchval("SELECT next_try_at FROM messages WHERE state = 'uncertain'")
    plan = steps(page)[-1].one("p").text
    assert plan.startswith(f"At {Clock(gallery.now, ZoneInfo('UTC')).to_the_second(at)}")
    assert plan.endswith("it is sent once more, with the same Message-ID, unless the answer still comes.")
    await gallery.database.pool.execute("UPDATE events SET on_uncertain = 'park'")
    again = await visitor.get(here)
    assert "it is parked, and you are asked, unless" in steps(again)[-1].text


async def test_the_second_copy_goes_only_where_the_first_may_be(visitor: Visitor, gallery: Gallery) -> None:
    mails = [Mail("a@example.com", "scheduled", (CUT,), waiting_for="circuit")]
    await gallery.event("Doubt", mails, due_in_s=-60, status="sending")
    await gallery.database.pool.execute("UPDATE messages SET resends = 1 WHERE event_id = $1", gallery.events["Doubt"])
    await gallery.incident("Mailgun", "open", "failures", "5 failures in a row: timeout", ago_s=20, for_s=600)
    until = await gallery.database.pool.fetchval("SELECT until FROM circuits")
    page = await opened(visitor, gallery, "Doubt", "a@example.com")
    panel = page.main.one("section", id="way-now")
    at = Clock(gallery.now, ZoneInfo("UTC")).at(until)
    assert f"A second copy goes only through Mailgun, which may have the first; it rests until {at}." in panel.text
    assert not panel.all("li"), "no other provider is promised"
    row = page.main.one("tr", class_="open").text
    assert "A second copy goes only through Mailgun, which takes no mail now; next try in" in row
    assert "no provider takes mail" not in page.main.text.lower()
    listed = next(row for row in (await visitor.get("/")).main.one("tbody").all("tr") if "Doubt" in row.text)
    assert "Mailgun takes no mail now; next try in" in listed.text


async def test_of_what_is_in_doubt_no_other_provider_is_promised(visitor: Visitor, gallery: Gallery) -> None:
    await gallery.event("Doubt", [Mail("a@example.com", "uncertain", (CUT,))], due_in_s=-60, status="sending")
    panel = (await visitor.get(f"/events/{gallery.events['Doubt']}")).main.one("section", id="way-now")
    assert "A second copy goes only through Mailgun, which may have the first." in panel.text
    assert not panel.all("li")


async def test_a_group_of_whom_some_were_refused_does_not_look_wholly_fine(visitor: Visitor, gallery: Gallery) -> None:
    members = {"to": [{"email": f"m{n}@example.com", "name": None} for n in range(4)], "cc": [], "bcc": []}
    await gallery.event(
        "Minutes", [Mail("m0@example.com", "sent", (CUT,))], due_in_s=-60, status="sent", send_as="group",
        group_recipients=members, recipients_count=4,
    )  # fmt: skip
    for n in range(3):
        await gallery.answered("Minutes", f"m{n}@example.com", "to", "sent", "250", "ok")
    await gallery.answered("Minutes", "m3@example.com", "to", "failed", "550 5.1.1", "no")
    row = next(row for row in (await visitor.get("/")).main.one("tbody").all("tr") if "Minutes" in row.text)
    assert row.one("span", class_="warn").text == "Sent"
    assert "3 of 4 have it" in row.text
    page = await visitor.get(f"/events/{gallery.events['Minutes']}")
    assert page.main.one("p", id="due").text.startswith("Sent: 3 of 4 have it")
    assert [rect["class"] for rect in page.main.one("svg", role="progressbar").all("rect")] == ["good", "bad"]
    assert "3 sent 1 failed" in page.main.one("div", class_="legend").text


async def test_a_second_try_after_a_wait_is_told_as_one(visitor: Visitor, gallery: Gallery) -> None:
    again = Tried("Mailgun", "accepted", "250 2.0.0", "2.0.0 Ok", after_s=31.0)
    await gallery.event("Later", [Mail("a@example.com", "sent", (LATER, again))], due_in_s=-60, status="sent")
    page = await opened(visitor, gallery, "Later", "a@example.com")
    assert "It was tried again 30 s later." in steps(page)[1].text


async def test_a_resend_after_doubt_is_told_as_one(visitor: Visitor, gallery: Gallery) -> None:
    again = Tried("Mailgun", "accepted", "250 2.0.0", "2.0.0 Ok", after_s=92.4)
    await gallery.event("Doubt", [Mail("a@example.com", "sent", (CUT, again))], due_in_s=-600, status="sent")
    page = await opened(visitor, gallery, "Doubt", "a@example.com")
    assert "It was sent once more 90 s later." in steps(page)[1].text


def _page(page: Page, rel: str) -> str:
    return page.main.one("nav", aria_label="Pages of messages").one("a", rel=rel)["href"].partition("#")[0]


def _recipients(page: Page) -> list[str]:
    return [link.text for link in page.main.all("a", class_="title")]
