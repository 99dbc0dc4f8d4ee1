"""`/cancel`: calling back all that a filter of the list shows, after a count of what that means."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.content.addresses import InvalidAddress
from janus_mail.events.cancel_many import CanceledMany, cancel_matching
from janus_mail.events.listing import EventFilters
from janus_mail.models.states import EventStatus
from janus_mail.pages import queries
from janus_mail.pages.events_page import PERIODS, Filters
from janus_mail.pages.flash import Flash
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.times import number
from janus_mail.pages.visit import EditVisit, OurForm, text_of
from janus_mail.pages.words import STATUSES, count

router = APIRouter()

_MOST_NAMED = 5  # of the events that it is about
_FIELDS = ("status", "q", "recipient", "provider", "tag", "expected_after", "expected_before", "created_before")


@router.get("/cancel")
async def ask(visit: EditVisit) -> Response:
    """How much would be canceled. What is scheduled while the question is open stays."""
    filters = Filters.read(visit.request.query_params)
    if filters == Filters():
        return go_to(visit, "/")
    values = _values(filters, visit.clock.now)
    pool, workspace_id = visit.context.database.pool, visit.caller.workspace_id
    counted = CanceledMany(dry_run=True, events=0, messages=0, too_late=0)
    fields: dict[str, str] = {}
    fits: Sequence[asyncpg.Record] = []
    named: Sequence[asyncpg.Record] = []
    if values is not None:
        fields = {n: value.isoformat() if isinstance(value, datetime) else value for n, value in values.items()}
        counted = await cancel_matching(visit.context, visit.caller, _event_filters(fields), dry_run=True)
        fits = await pool.fetch(queries.list_events(values), workspace_id, 1, *values.values())
    if values is not None and counted.messages:
        named = await pool.fetch(queries.events_not_over(values), workspace_id, _MOST_NAMED, *values.values())
    return await show(
        visit,
        "cancel.html",
        nav="events",
        back=filters.link(),
        headline=f"Cancel {count(counted.messages, 'mail')}?" if counted.messages else "Nothing to cancel",
        said=_in_words(filters),
        fields=fields,
        mails=counted.messages,
        named=named,
        more=max(0, counted.events - len(named)),
        sentence=_sentence(counted) if fits else "No event fits.",
    )


@router.post("/cancel")
async def cancel(visit: EditVisit, form: OurForm) -> Response:
    """Raises `InvalidInput` for a form without a filter."""
    fields = {name: value for name in _FIELDS if (value := text_of(form, name).strip())}
    # When the question was asked bounds the answer; it does not say what is meant.
    meant = fields if fields.keys() - {"created_before"} else {}
    done = await cancel_matching(visit.context, visit.caller, _event_filters(meant), dry_run=False)
    back = {name: fields[name] for name in ("q", "recipient", "provider", "tag") if name in fields}
    return go_to(visit, Filters(**back).link(), Flash("canceled", (done.messages, done.too_late)))


def _values(filters: Filters, now: datetime) -> dict[str, Any] | None:
    """The filters with their period as two instants, bounded by now. None where nobody has such an address."""
    try:
        return {**filters.values(now), "created_before": now}
    except InvalidAddress:
        return None


def _event_filters(fields: dict[str, str]) -> EventFilters:
    status = fields.get("status", "")
    others: dict[str, Any] = {name: value for name, value in fields.items() if name != "status"}
    return EventFilters(status=EventStatus(status) if status in STATUSES else None, **others)


def _in_words(filters: Filters) -> list[tuple[str, str]]:
    """Each filter, as (name, value)."""
    return [
        (name, value)
        for name, value in (
            ("Status", STATUSES[filters.status].word if filters.status else ""),
            ("Words in the subject", filters.q),
            ("Recipient", filters.recipient),
            ("Provider", filters.provider),
            ("Going out", PERIODS[filters.period] if filters.period else ""),
            ("Tag", filters.tag),
        )
        if value
    ]


def _sentence(counted: CanceledMany) -> str:
    if not counted.messages:
        return "Nothing of what fits can be called back any more."
    gone = "is leaving or has" if counted.too_late == 1 else "are leaving or have"
    late = f"; {number(counted.too_late)} {gone} left already" if counted.too_late else ""
    return f"This cancels {count(counted.messages, 'mail')} of {count(counted.events, 'event')}{late}."
