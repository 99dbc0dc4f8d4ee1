"""The older form API, kept for scripts written against it: its URLs, fields, statuses and words."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from janus_mail.accounts.access import caller_for_token
from janus_mail.accounts.callers import Caller
from janus_mail.accounts.permissions import RULES, Action
from janus_mail.compat import queries
from janus_mail.compat.form_fields import KINDS, MAX_BODY_TEXT, MAX_SUBJECT, InvalidForm, read_form
from janus_mail.compat.schemas import InvalidPage, NotSent, Refused, Sent, TooMany, UnderWay
from janus_mail.compat.sent_emails import NoSuchPage, SentEmails, page_number, page_of
from janus_mail.errors import InvalidInput, TooManyRequests
from janus_mail.events.accept import accept
from janus_mail.events.wait import wait_until_final
from janus_mail.models.states import State
from janus_mail.providers.outcomes import Outcome
from janus_mail.routing.queries import FIRST_OF_KIND
from janus_mail.web.context import Context, ContextDep
from janus_mail.web.errors import RATE_LIMITS, REQUEST_ID_HEADER, RETRY_AFTER, responses
from janus_mail.web.validation import invalid_input

WAIT_S: Final = 10.0

_NOT_KNOWN_YET = (State.SCHEDULED, State.LEASED, State.SENDING, State.UNCERTAIN, State.PARKED)
_FIELDS: Final[dict[str, Any]] = {
    "to_email": {"type": "string", "format": "email"},
    "from_email": {"type": "string", "format": "email"},
    "subject": {"type": "string", "maxLength": MAX_SUBJECT},
    "body_text": {"type": "string", "maxLength": MAX_BODY_TEXT},
    "sent_via": {
        "type": "string",
        "enum": list(KINDS),
        "description": "1 Amazon SES, 2 Google SMTP, 3 SendGrid: tried first, the others are failover.",
    },
    "status": {"type": "string", "description": "Ignored."},
    "TOKEN": {"type": "string", "description": "An API key with the scope `events:write`."},
}
_FORM: Final = {
    "schema": {
        "type": "object",
        "properties": _FIELDS,
        "required": ["to_email", "from_email", "subject", "body_text", "TOKEN"],
    },
    "example": {
        "to_email": "test@example.com",
        "from_email": "ann@example.com",
        "subject": "Hello World",
        "body_text": "This is a test email.",
        "sent_via": "1",
        "TOKEN": "janus_…",
    },
}
_FORM_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {"application/x-www-form-urlencoded": _FORM, "multipart/form-data": _FORM},
    }
}

router = APIRouter(tags=["Form API"])


def _answers(model: type[BaseModel], meaning: str, **headers: dict[str, Any]) -> dict[str, Any]:
    return {"model": model, "description": meaning, "headers": REQUEST_ID_HEADER | headers}


@router.post("/send_email", include_in_schema=False)
@router.post(
    "/send_email/",
    summary="Send a mail now",
    openapi_extra=_FORM_BODY,
    responses={
        200: _answers(Sent, "It was sent."),
        202: _answers(UnderWay, "It is still under way after 10 seconds."),
        **responses(405, 413, 503),
        400: _answers(NotSent, "A field is not valid, or the mail was refused, and why."),
        403: _answers(Refused, "The TOKEN is missing, wrong, or lacks the scope."),
        429: _answers(TooMany, "More than a limit or a quota of mails allows now.", **RETRY_AFTER, **RATE_LIMITS),
    },
)
async def send_email(request: Request, context: ContextDep) -> Response:
    """Takes a form and waits up to 10 seconds for what becomes of the mail."""
    try:
        form = await _read(request)
        caller = await _caller(context, request, form.get("TOKEN") or request.query_params.get("TOKEN"), "events:write")
        if isinstance(caller, Refused):
            return _json(caller, 403)
        return await _send(context, caller, form)
    except InvalidForm as error:
        return _json(NotSent(errors=dict(error.errors)), 400)
    except TooManyRequests as error:
        response = _json(TooMany(errors={"__all__": [error.message]}), 429)
        if error.retry_after_s is not None:
            response.headers["Retry-After"] = str(error.retry_after_s)
        return response


@router.get("/view_sent_emails", include_in_schema=False)
@router.get(
    "/view_sent_emails/",
    summary="List the mails",
    responses={
        200: _answers(
            SentEmails,
            "A page of 10.",
            **{"X-Cache": {"description": "Whether Redis had it.", "schema": {"enum": ["hit", "miss", "bypass"]}}},
        ),
        **responses(405, 429, 503),
        403: _answers(Refused, "The TOKEN is missing, wrong, or lacks the scope."),
        404: _answers(InvalidPage, "There is no such page."),
    },
)
async def view_sent_emails(
    request: Request,
    context: ContextDep,
    token: Annotated[str | None, Query(alias="TOKEN", description="An API key with the scope `events:read`.")] = None,
    page: Annotated[str, Query(description="From 1 on.")] = "1",
) -> Response:
    """Every mail of the workspace, newest first, also what was scheduled through `/api/events`."""
    caller = await _caller(context, request, token, "events:read")
    if isinstance(caller, Refused):
        return _json(caller, 403)
    origin = (context.settings.public_url or str(request.base_url)).rstrip("/")
    try:
        body, use = await page_of(
            context, caller.workspace_id, page_number(page), address=f"{origin}/view_sent_emails/", token=token or ""
        )
    except NoSuchPage:
        return _json(InvalidPage(), 404)
    return Response(body, media_type="application/json", headers={"X-Cache": use, "Cache-Control": "no-store"})


async def _send(context: Context, caller: Caller, form: dict[str, str]) -> Response:
    """Raises `InvalidForm`."""
    given = read_form(form)
    provider = None
    if given.kind is not None:
        provider = await context.database.pool.fetchval(FIRST_OF_KIND, caller.workspace_id, given.kind)
    try:
        event = await accept(context, caller, given.event(provider and str(provider)))
    except InvalidInput as error:
        raise InvalidForm.of(error) from None
    except ValidationError as error:
        raise InvalidForm.of(invalid_input(error.errors(include_url=False, include_context=False))) from None
    await wait_until_final(context, caller, event.id, WAIT_S)
    message = await context.database.pool.fetchrow(queries.OUTCOME, caller.workspace_id, event.id)
    if message is None or message["state"] in _NOT_KNOWN_YET:
        return _json(UnderWay(id=message["id"] if message else event.id), 202)
    if message["state"] == State.SENT:
        return _json(Sent(), 200)
    field = "to_email" if message["outcome"] == Outcome.RECIPIENT_REJECTED else "__all__"
    raise InvalidForm({field: [message["last_error"] or f"The mail is {message['state']}."]})


async def _caller(context: Context, request: Request, token: str | None, action: Action) -> Caller | Refused:
    if not token:
        return Refused(message="Token is missing !!")
    caller = await caller_for_token(context, request, token)
    if caller is None:
        return Refused(message="invalid token !!")
    return caller if caller.may(action) else Refused(message=f"This token lacks the scope {RULES[action].scope}.")


async def _read(request: Request) -> dict[str, str]:
    """The text fields; of one given twice, the last. Raises `InvalidForm` for what is no form."""
    try:
        async with request.form() as form:
            # The form's charset is the sender's to name, and some let halves of surrogate pairs through.
            return {
                name: value.encode(errors="replace").decode() for name, value in form.items() if isinstance(value, str)
            }
    except UnicodeError:
        raise InvalidForm({"__all__": ["Send the form in UTF-8."]}) from None
    except HTTPException as error:
        if error.status_code != 400:
            raise
        raise InvalidForm({"__all__": [str(error.detail)]}) from None


def _json(body: BaseModel, status: int) -> Response:
    return Response(
        body.model_dump_json(), status, media_type="application/json", headers={"Cache-Control": "no-store"}
    )
