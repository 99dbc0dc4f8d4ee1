"""`/add`: scheduling an email by hand."""

import asyncio
import uuid
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.content.addresses import Mailbox
from janus_mail.errors import Conflict
from janus_mail.events.accept import accept, accept_once
from janus_mail.events.answers import EventOut
from janus_mail.events.dry_run import explain_route
from janus_mail.events.intake import read_facts
from janus_mail.events.rows import NewFile
from janus_mail.events.schemas import MAX_RECIPIENTS, EventCreate
from janus_mail.events.show import read_event
from janus_mail.events.suppressed import warn_of_suppressed
from janus_mail.events.understand import Facts
from janus_mail.pages import queries
from janus_mail.pages.add_check import ReadRecipients, Understood, check, read_recipients
from janus_mail.pages.add_files import FIELD as FILES
from janus_mail.pages.add_files import (
    MOST_SENT,
    NO_FILES,
    Uploads,
    choose_again,
    described_uploads,
    read_uploads,
    shown_by,
)
from janus_mail.pages.add_form import WHENS, AddForm, Problem
from janus_mail.pages.add_outlook import outlook, wish_of
from janus_mail.pages.flash import Flash
from janus_mail.pages.rendering import go_to, show, show_part
from janus_mail.pages.route import providers_of
from janus_mail.pages.times import zone_choices
from janus_mail.pages.visit import EditVisit, OurForm, Visit, read_form, text_of
from janus_mail.pages.ways import Ways, ways
from janus_mail.pages.words import ON_UNCERTAIN, count
from janus_mail.web.idempotency import once_only

router = APIRouter()

_PRIORITIES = (("normal", "Normal"), ("high", "High"), ("bulk", "Bulk"))
_STILL_RUNNING_S = 0.1
_TIMES_ASKED = 30
_OLD_FORM = Problem("", "This page had grown old. Please look at it once more and send it again.")


@router.get("/add")
async def add_page(visit: EditVisit, again: uuid.UUID | None = None) -> Response:
    """An empty form, or with `again` one that holds an earlier event's content."""
    if again is None:
        return await _show(visit, AddForm.blank(visit.clock))
    event = await read_event(visit.context, visit.caller, again)
    form = AddForm.again(event, await _recipients_of(visit, event), visit.clock)
    if form["on_uncertain"] == (await _facts(visit)).on_uncertain:  # that choice stands for the workspace's own way
        form.values["on_uncertain"] = ""
    return await _show(visit, form)


@router.post("/add")
async def add(visit: EditVisit) -> Response:
    sent, ours = await read_form(visit, max_files=MOST_SENT)
    form = AddForm.sent(sent, visit.clock)
    uploads = shown_by(await read_uploads(sent), form["email_html"])
    if not ours:  # what was typed is worth more than a page that says no
        form.problems = [_OLD_FORM, *_files_again(uploads)]
        return await _show(visit, form, status=403)
    if text_of(sent, "check"):  # without JavaScript: what will happen, and nothing is scheduled
        form.problems, form.about_files = list(uploads.problems), choose_again(uploads.names)
        return await _show(visit, form, uploads)
    understood = check(form, await _facts(visit), visit, uploads)
    if understood.event is None:
        form.problems = [*understood.problems, *_files_again(uploads)]
        return await _show(visit, form, status=400)
    event = await _accept_once(visit, form, understood.event, uploads.files)
    return go_to(visit, f"/events/{event.id}", Flash("scheduled"))


@router.post("/add/first")
async def add_first(visit: EditVisit, _form: OurForm) -> Response:
    """A mail to see how it goes, into the sandbox."""
    event = await accept(
        visit.context,
        visit.caller,
        EventCreate(
            email_subject="Hello from Janus",
            email_content="This mail was scheduled on the first page and left at once.\n\nIt works.\n",
            expected_sent_at="now",
            recipients="you@example.com",
        ),
    )
    return go_to(visit, f"/events/{event.id}", Flash("scheduled"))


@router.post("/add/recipients")
async def recipients_part(visit: EditVisit, sent: OurForm) -> Response:
    """How the recipients were read, while they are typed."""
    read = read_recipients(AddForm.sent(sent, visit.clock)["recipients"])
    return show_part(visit, "parts/recipients_update.html", **_read_words(read))


@router.post("/add/check")
async def happens_part(visit: EditVisit, sent: OurForm) -> Response:
    """What will happen, while the form is filled in."""
    form = AddForm.sent(sent, visit.clock)
    facts = await _facts(visit)
    understood = check(form, facts, visit, shown_by(described_uploads(sent), form["email_html"]))
    await _warn(visit, facts, understood)
    read = read_recipients(form["recipients"])
    will = outlook(understood, read, await providers_of(visit), visit.clock, form["timezone"])
    return show_part(visit, "parts/happens_update.html", will=will, ways=await _ways(visit, understood))


async def _show(visit: Visit, form: AddForm, uploads: Uploads = NO_FILES, *, status: int = 200) -> Response:
    facts = await _facts(visit)
    read = read_recipients(form["recipients"])
    understood: Understood = check(form, facts, visit, uploads)
    await _warn(visit, facts, understood)
    providers = await providers_of(visit)
    default = next((p.from_email for p in facts.providers if p.enabled and p.from_email), facts.from_email)
    return await show(
        visit,
        "add.html",
        status=status,
        nav="events",
        form=form,
        will=outlook(understood, read, providers, visit.clock, form["timezone"]),
        ways=await _ways(visit, understood),
        most_recipients=MAX_RECIPIENTS,
        whens=list(WHENS.items()),
        zones=_zones(visit, form),
        default_sender=default or "",
        providers=[("", "As the route says"), *((p.name, p.name) for p in facts.providers)],
        priorities=_PRIORITIES,
        uncertain=_uncertain(facts),
        **_read_words(read),
    )


async def _warn(visit: Visit, facts: Facts, understood: Understood) -> None:
    """Of recipients that get no mail, where all else is right."""
    if facts.suppresses and understood.new is not None and not understood.wrong:
        await warn_of_suppressed(visit.context.database.pool, [understood.new])


async def _ways(visit: Visit, understood: Understood) -> Ways:
    return ways(await explain_route(visit.context, visit.caller.workspace_id, wish_of(understood)), visit.clock)


def _uncertain(facts: Facts) -> list[tuple[str, str]]:
    """The workspace's own way first, as what is meant by nothing."""
    usual = str(facts.on_uncertain)
    return [("", ON_UNCERTAIN[usual]), *((way, words) for way, words in ON_UNCERTAIN.items() if way != usual)]


def _zones(visit: Visit, form: AddForm) -> list[tuple[str, str]]:
    """Every zone; the chosen one too where it has an unusual name."""
    zones = zone_choices(visit.clock.now)
    return zones if form["timezone"] in dict(zones) else [(form["timezone"], form["timezone"]), *zones]


def _read_words(read: ReadRecipients) -> dict[str, Any]:
    people = count(len(read.good), "person", "people")
    doubles = f", {count(read.doubles, 'double')} left out" if read.doubles else ""
    return {
        "read": read,
        "read_words": f"Read as {people}{doubles}:",
        "go": f"Schedule for {people}" if len(read.good) > 1 else "Schedule",
    }


async def _facts(visit: Visit) -> Facts:
    async with visit.context.database.pool.acquire() as connection:
        return await read_facts(visit.context, connection, visit.caller.workspace_id)


async def _recipients_of(visit: Visit, event: EventOut) -> list[Mailbox]:
    if event.send_as == "group":
        return [Mailbox(to.email, to.name) for to in event.recipients]
    rows = await visit.context.database.pool.fetch(queries.RECIPIENTS, visit.caller.workspace_id, event.id)
    return [Mailbox(row["recipient"], row["recipient_name"]) for row in rows]


def _files_again(uploads: Uploads) -> list[Problem]:
    return [Problem(FILES, choose_again(uploads.names))] if uploads.names else []


async def _accept_once(visit: Visit, form: AddForm, event: EventCreate, files: Sequence[NewFile]) -> EventOut:
    """A form that is sent twice as it is, by a second click or a reload, makes one event."""
    body = orjson.dumps([form.values, [file.column for file in files]])
    key = f"{form.ticket}.{sha256(body).hexdigest()}"
    keep_s = visit.context.settings.idempotency_seconds
    once = once_only(key, method="POST", path="/add", query="", body=body, keep_s=keep_s)
    for _ in range(_TIMES_ASKED):
        try:
            return (await accept_once(visit.context, visit.caller, event, once, files=files))[0]
        except Conflict:  # the first click's request is still running
            await asyncio.sleep(_STILL_RUNNING_S)
    return (await accept_once(visit.context, visit.caller, event, once, files=files))[0]
