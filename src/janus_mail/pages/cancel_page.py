"""`/cancel`: calling back all that a filter of the list shows, after a count of what that means."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.content.addresses import InvalidAddress
from janus_mail.events.cancel_many import CanceledMany, cancel_matching
from janus_mail.events.listing import EventFilters
from janus_mail.models.states import EventStatus
from janus_mail.pages.events_page import PERIODS, Filters
from janus_mail.pages.flash import Flash
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.times import number
from janus_mail.pages.visit import OurForm, VisitDep, text_of
from janus_mail.pages.words import STATUSES, count

router = APIRouter()

_FIELDS = ("status", "q", "recipient", "provider", "tag", "expected_after", "expected_before", "created_before")


@router.get("/cancel")
async def ask(visit: VisitDep) -> Response:
    """How much would be canceled. What is scheduled while the question is open stays."""
    filters = Filters.read(visit.request.query_params)
    if filters == Filters():
        return go_to(visit, "/")
    fields = _fields(filters, visit.clock.now)
    counted = CanceledMany(dry_run=True, events=0, messages=0, too_late=0)
    if fields is not None:
        counted = await cancel_matching(visit.context, visit.caller, _event_filters(fields), dry_run=True)
    return await show(
        visit,
        "cancel.html",
        nav="events",
        back=filters.link(),
        said=_in_words(filters),
        fields=fields or {},
        mails=counted.messages,
        sentence=_sentence(counted),
    )


@router.post("/cancel")
async def cancel(visit: VisitDep, form: OurForm) -> Response:
    """Raises `InvalidInput` for a form without a filter."""
    fields = {name: value for name in _FIELDS if (value := text_of(form, name).strip())}
    # When the question was asked bounds the answer; it does not say what is meant.
    meant = fields if fields.keys() - {"created_before"} else {}
    done = await cancel_matching(visit.context, visit.caller, _event_filters(meant), dry_run=False)
    back = {name: fields[name] for name in ("q", "recipient", "provider", "tag") if name in fields}
    return go_to(visit, Filters(**back).link(), Flash("canceled", (done.messages, done.too_late)))


def _fields(filters: Filters, now: datetime) -> dict[str, str] | None:
    """The filters as the form keeps them, their period as two instants. None where nobody has such an address."""
    try:
        values: dict[str, Any] = filters.values(now)
    except InvalidAddress:
        return None
    values["created_before"] = now
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


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
