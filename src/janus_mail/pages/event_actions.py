"""What the buttons of an event's page do: the same as the API's calls."""

import uuid
from typing import Literal

from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.errors import Conflict, InvalidInput
from janus_mail.events.cancel import cancel
from janus_mail.events.retry import resolve, retry, send_now
from janus_mail.events.show import read_message
from janus_mail.pages.flash import Flash
from janus_mail.pages.rendering import go_to
from janus_mail.pages.visit import EditVisit, OurForm, text_of

router = APIRouter()

_NOTHING = Flash("nothing_changed")


@router.post("/events/{event_id}/cancel")
async def cancel_event(visit: EditVisit, event_id: uuid.UUID, _form: OurForm) -> Response:
    done = await cancel(visit.context, visit.caller, event_id)
    return go_to(visit, f"/events/{event_id}", Flash("canceled", (done.canceled, done.too_late)))


@router.post("/events/{event_id}/retry")
async def retry_event(visit: EditVisit, event_id: uuid.UUID, _form: OurForm) -> Response:
    try:
        done = Flash("retried", (await retry(visit.context, visit.caller, event_id),))
    except Conflict:
        done = _NOTHING
    return go_to(visit, f"/events/{event_id}", done)


@router.post("/events/{event_id}/send-now")
async def send_event_now(visit: EditVisit, event_id: uuid.UUID, _form: OurForm) -> Response:
    try:
        done = Flash("sent_now", (await send_now(visit.context, visit.caller, event_id),))
    except Conflict:
        done = _NOTHING
    return go_to(visit, f"/events/{event_id}", done)


@router.post("/messages/{message_id}/resolve")
async def resolve_message(visit: EditVisit, message_id: uuid.UUID, form: OurForm) -> Response:
    outcome = _outcome(text_of(form, "outcome"))
    message = await read_message(visit.context, visit.caller, message_id)
    try:
        await resolve(visit.context, visit.caller, message_id, outcome)
        done = Flash(f"resolved_{outcome}")
    except Conflict:
        done = _NOTHING
    back = "/parked" if text_of(form, "back") == "/parked" else f"/events/{message.event_id}?message={message_id}"
    return go_to(visit, back, done)


def _outcome(text: str) -> Literal["sent", "resend", "failed"]:
    match text:
        case "sent" | "resend" | "failed" as outcome:
            return outcome
    raise InvalidInput("This form cannot be read.")
