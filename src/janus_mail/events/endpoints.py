"""The routes of events and messages: parse, call, answer."""

import re
import uuid
from enum import Enum
from typing import Annotated, Any, Literal

from fastapi import Depends, Header, Path, Query, Response

from janus_mail.accounts.access import ReadEvents, WriteEvents
from janus_mail.errors import InvalidInput
from janus_mail.events import answers, batch, listing, retry, show
from janus_mail.events.accept import accept, accept_once
from janus_mail.events.attachments import MAX_FILES
from janus_mail.events.cancel import cancel
from janus_mail.events.cancel_many import CanceledMany, cancel_matching
from janus_mail.events.change import change
from janus_mail.events.dry_run import dry_run, what_is_against
from janus_mail.events.listing import EventFilters, MessageFilters
from janus_mail.events.requests import EventsCancel, ResolveRequest
from janus_mail.events.schemas import BatchCreate, EventChange, EventCreate
from janus_mail.events.wait import MAX_WAIT_S, preferred_wait_s, wait_until_final
from janus_mail.web.context import ContextDep
from janus_mail.web.download import DOWNLOAD, download
from janus_mail.web.errors import responses
from janus_mail.web.idempotency import REPLAYED, Once
from janus_mail.web.pages_of import Page, PageQuery
from janus_mail.web.routes import api_router

# One router and not one in another: each level costs every request a few percent.
router = api_router("/api", [])
_EVENTS: list[str | Enum] = ["Events"]
_MESSAGES: list[str | Enum] = ["Messages"]

EventId = Annotated[uuid.UUID, Path(description="The event.")]
EventQuery = Annotated[EventFilters, Depends(listing.from_query(EventFilters))]
MessageQuery = Annotated[MessageFilters, Depends(listing.from_query(MessageFilters))]
MessageId = Annotated[uuid.UUID, Path(description="The message.")]

_VERSION = re.compile(r'"?(\d{1,9})"?', re.ASCII)


def _string_header(description: str, example: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}, "example": example}


_CACHED = {"X-Cache": _string_header("Where the list came from: `hit`, `miss` or `bypass`.", "hit")}
_ETAG = {"ETag": _string_header("The event's version, for `If-Match`.", '"1"')}


@router.post(
    "/events",
    tags=_EVENTS,
    status_code=201,
    summary="Schedule an email",
    responses={
        **responses(409),
        201: {
            "description": "Stored for good; it leaves at its time.",
            "headers": {
                "Location": _string_header("The event.", "/api/events/0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a01"),
                "Preference-Applied": _string_header("The waiting that was done.", "wait=2"),
                **REPLAYED,
            },
        },
    },
)
async def post_event(
    context: ContextDep,
    caller: WriteEvents,
    event: EventCreate,
    once: Once,
    response: Response,
    prefer: Annotated[
        list[str] | None,
        Header(
            description=f"`wait=N` holds the answer until all is sent or failed, or N seconds (up to {MAX_WAIT_S}) are "
            "over (RFC 7240).",
            examples=[["wait=2"]],
        ),
    ] = None,
) -> answers.EventAnswer:
    """Accepts an email and a time. 201 means that it is stored and will leave."""
    if once is None:
        shown = await accept(context, caller, event)
    else:
        shown, replayed = await accept_once(context, caller, event, once)
        if replayed:
            response.headers["Idempotent-Replayed"] = "true"
    wait_s = preferred_wait_s(prefer or ())
    if wait_s is not None:
        await wait_until_final(context, caller, shown.id, wait_s)
        shown = await show.read_event_now(context, caller, shown.id)
        response.headers["Preference-Applied"] = f"wait={wait_s}"
    response.headers["Location"] = f"/api/events/{shown.id}"
    return answers.EventAnswer(message="Email scheduled successfully", event=shown)


@router.post(
    "/events/batch",
    tags=_EVENTS,
    status_code=201,
    summary="Schedule many emails",
    responses={**responses(409), 201: {"description": "In the order of the request.", "headers": REPLAYED}},
)
async def post_batch(
    context: ContextDep,
    caller: WriteEvents,
    many: BatchCreate,
    once: Once,
    response: Response,
    mode: Annotated[
        Literal["strict", "permissive"], Query(description="`strict`: all or none; `permissive`: those that are right.")
    ] = "strict",
) -> answers.BatchAnswer:
    """Accepts 1 to 1,000 events in one transaction."""
    answer, replayed = await batch.accept_batch(
        context, caller, many.events, permissive=mode == "permissive", once=once
    )
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return answer


@router.post("/events/dry-run", tags=_EVENTS, summary="Try an event without storing it")
async def try_event(context: ContextDep, caller: WriteEvents, event: EventCreate) -> answers.DryRunAnswer:
    """How the event is understood and where its mail would go now: whom it is tried with, and why each other is not.

    Refused with what accepting it would be refused with; nothing is stored, not even an `Idempotency-Key`.
    """
    return await dry_run(context, caller, event)


@router.post("/events/cancel", tags=_EVENTS, summary="Cancel many events")
async def cancel_events(context: ContextDep, caller: WriteEvents, which: EventsCancel) -> answers.CancelManyAnswer:
    """Stops all that is not yet leaving of the events that fit every filter given; one filter at least is required.

    With `dry_run`, which is how it is unless you say `false`, it counts and changes nothing. Events are canceled a few
    hundred at a time: a request that is cut off has canceled some of them, and may be sent again for the others.
    """
    filters = EventFilters(**which.model_dump(exclude={"dry_run"}))
    done = await cancel_matching(context, caller, filters, dry_run=which.dry_run)
    return answers.CancelManyAnswer(
        message=_what_was_canceled(done), dry_run=done.dry_run, events=done.events, messages=done.messages,
        too_late=done.too_late,
    )  # fmt: skip


@router.get(
    "/events",
    tags=_EVENTS,
    summary="List events",
    dependencies=[Depends(listing.refuse_unknown_filters(EventFilters))],
    responses={200: {"model": Page[answers.EventOut], "headers": _CACHED}},
)
async def get_events(context: ContextDep, caller: ReadEvents, filters: EventQuery, page: PageQuery) -> Response:
    """Newest first. Kept for up to an hour, and never stale to who changes something."""

    async def make() -> bytes:
        return (await listing.list_events(context, caller, filters, page)).model_dump_json().encode()

    body, use = await context.list_cache.serve(caller.workspace_id, f"GET /api/events {filters} {page}", make)
    return Response(body, media_type="application/json", headers={"X-Cache": use})


@router.get("/events/{event_id}", tags=_EVENTS, summary="Read an event", responses={200: {"headers": _ETAG}})
async def get_event(context: ContextDep, caller: ReadEvents, event_id: EventId, response: Response) -> answers.EventOut:
    """The event with its status and counts, at most a second old; of a group, how many recipients have it."""
    shown = await show.read_event(context, caller, event_id)
    response.headers["ETag"] = f'"{shown.version}"'
    return shown


@router.get(
    "/events/{event_id}/messages",
    tags=_EVENTS,
    summary="List an event's messages",
    dependencies=[Depends(listing.refuse_unknown_filters())],
)
async def get_event_messages(
    context: ContextDep, caller: ReadEvents, event_id: EventId, page: PageQuery
) -> Page[answers.MessageOut]:
    """One email a recipient, or one for all of a group; newest first."""
    return await listing.list_event_messages(context, caller, event_id, page)


@router.get(
    "/events/{event_id}/attachments/{place}",
    tags=_EVENTS,
    summary="Download an attachment",
    responses={200: DOWNLOAD},
    response_class=Response,
)
async def get_attachment(
    context: ContextDep,
    caller: ReadEvents,
    event_id: EventId,
    place: Annotated[int, Path(description="Its place in the event's `attachments`, from 0.", ge=0, le=MAX_FILES)],
) -> Response:
    """The file as it was sent in, byte for byte."""
    file = await show.read_file(context, caller, event_id, place)
    return download(file["filename"], file["content_type"], file["content"])


@router.patch(
    "/events/{event_id}", tags=_EVENTS, summary="Change an event", responses={**responses(409), 200: {"headers": _ETAG}}
)
async def patch_event(
    context: ContextDep,
    caller: WriteEvents,
    event_id: EventId,
    wanted: EventChange,
    response: Response,
    if_match: Annotated[
        str | None, Header(description="The version that is to be changed, as `ETag` gave it.", examples=['"1"'])
    ] = None,
) -> answers.EventAnswer:
    """Content, time and priority, as long as nothing of it is leaving or has left."""
    await change(context, caller, event_id, wanted, _version(if_match, wanted.version))
    shown = await show.read_event_now(context, caller, event_id)
    response.headers["ETag"] = f'"{shown.version}"'
    return answers.EventAnswer(message="Event changed.", event=shown)


@router.delete("/events/{event_id}", tags=_EVENTS, summary="Cancel an event")
async def delete_event(context: ContextDep, caller: WriteEvents, event_id: EventId) -> answers.CancelAnswer:
    """Stops all that is not yet leaving, and says how many were too late."""
    done = await cancel(context, caller, event_id)
    message = f"{_messages(done.canceled)} canceled; {done.too_late} too late."
    return answers.CancelAnswer(
        message=message, canceled=done.canceled, too_late=done.too_late,
        event=await show.read_event_now(context, caller, event_id),
    )  # fmt: skip


@router.post("/events/{event_id}/retry", tags=_EVENTS, summary="Try again", responses=responses(409))
async def retry_event(context: ContextDep, caller: WriteEvents, event_id: EventId) -> answers.MovedAnswer:
    """Takes failed, parked and suppressed messages up once more. What is suppressed still is suppressed again."""
    many = await retry.retry(context, caller, event_id)
    return answers.MovedAnswer(
        message=f"{_messages(many)} will be tried again.", messages=many,
        warnings=await what_is_against(context, caller, event_id),
        event=await show.read_event_now(context, caller, event_id),
    )  # fmt: skip


@router.post("/events/{event_id}/send-now", tags=_EVENTS, summary="Send now", responses=responses(409))
async def send_event_now(context: ContextDep, caller: WriteEvents, event_id: EventId) -> answers.MovedAnswer:
    """Makes what waits due at once. What no provider can take now waits on: `warnings` name what is against each."""
    many = await retry.send_now(context, caller, event_id)
    warnings = await what_is_against(context, caller, event_id)
    return answers.MovedAnswer(
        message=" ".join([f"{_messages(many)} due now.", *warnings[:1]]), messages=many, warnings=warnings,
        event=await show.read_event_now(context, caller, event_id),
    )  # fmt: skip


@router.get(
    "/messages",
    tags=_MESSAGES,
    summary="List messages",
    dependencies=[Depends(listing.refuse_unknown_filters(MessageFilters))],
)
async def get_messages(
    context: ContextDep, caller: ReadEvents, filters: MessageQuery, page: PageQuery
) -> Page[answers.MessageOut]:
    """Of all events, newest first."""
    return await listing.list_messages(context, caller, filters, page)


@router.get("/messages/{message_id}", tags=_MESSAGES, summary="Read a message")
async def get_message(context: ContextDep, caller: ReadEvents, message_id: MessageId) -> answers.MessageDetail:
    """The message with each try to send it."""
    return await show.read_message(context, caller, message_id)


@router.post(
    "/messages/{message_id}/resolve", tags=_MESSAGES, summary="Settle a parked message", responses=responses(409)
)
async def resolve_message(
    context: ContextDep, caller: WriteEvents, message_id: MessageId, said: ResolveRequest
) -> answers.MessageDetail:
    """Says what became of a message of which nobody knows whether it left."""
    await retry.resolve(context, caller, message_id, said.outcome)
    return await show.read_message(context, caller, message_id)


def _version(if_match: str | None, version: int | None) -> int:
    """Raises InvalidInput (`version_required`, `invalid_version`)."""
    if if_match is None and version is None:
        message = "Say which version is to be changed: the header If-Match or the field version."
        raise InvalidInput(message, code="version_required")
    header = _VERSION.fullmatch(if_match.strip()) if if_match is not None else None
    if if_match is not None and header is None:
        raise InvalidInput('If-Match must be one version, as in "3".', code="invalid_version")
    versions = {int(header[1])} if header is not None else set()
    versions |= {version} if version is not None else set()
    if len(versions) > 1:
        raise InvalidInput("If-Match and version differ.", code="invalid_version")
    return versions.pop()


def _messages(many: int) -> str:
    return "1 message" if many == 1 else f"{many:,} messages"


def _what_was_canceled(done: CanceledMany) -> str:
    events = "1 event" if done.events == 1 else f"{done.events:,} events"
    verb = "would be canceled" if done.dry_run else "canceled"
    too_late = f"; {done.too_late:,} too late" if done.too_late else ""
    how = " Send dry_run: false to do it." if done.dry_run and done.messages else ""
    return f"{_messages(done.messages)} of {events} {verb}{too_late}.{how}"
