"""All of the pages, put into the application."""

from collections.abc import Mapping
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import RedirectResponse, Response

from janus_mail.pages import (
    account_page,
    add_page,
    administration_page,
    audit_page,
    cancel_page,
    cookies,
    erasures_page,
    event_actions,
    event_page,
    events_page,
    invitation_page,
    keys_page,
    login_page,
    mailbox_page,
    members_page,
    parked_page,
    pause_actions,
    provider_add_page,
    provider_edit_page,
    provider_history,
    provider_test_page,
    providers_page,
    register_page,
    reset_page,
    second_factor_page,
    set_up_page,
    suppressions_page,
    workspace_page,
)
from janus_mail.pages.assets import MOUNTED_AT, Assets
from janus_mail.pages.cookies import delete_cookie, set_cookie
from janus_mail.pages.pulse import read_pulse
from janus_mail.pages.rendering import go_to, show_apart, show_part
from janus_mail.pages.visit import (
    NO_WORKSPACE,
    SIGN_IN_NEEDED,
    THEMES,
    ArrivalDep,
    OurForm,
    VisitDep,
    our_path,
    text_of,
)
from janus_mail.web import errors
from janus_mail.web.errors import ErrorBody

_A_YEAR_S = 31_536_000
# Status → headline, and advice where there is some.
_HEADLINES: Mapping[int, tuple[str, str]] = {
    400: ("This cannot be read", ""),
    403: ("Not open to you", ""),
    404: ("Nothing is here", "It may have been deleted, or the address has a typing error."),
    405: ("Nothing is here", ""),
    409: ("It is no longer so", "Go back and load the page anew."),
    429: ("Too much at once", "Wait a moment, then load this page again."),
    413: ("That is too much", "Go back and send less."),
    503: ("Not now", "Mail that was accepted still leaves on time. Load this page again in a moment."),
}
# The code of an error that is none to who is shown the way.
_WAYS_IN: Mapping[str, str] = {SIGN_IN_NEEDED: "/login", NO_WORKSPACE: "/workspaces/new"}

_router = APIRouter()


def install(app: FastAPI) -> None:
    """Adds the routes and the static files, and shows errors as pages to browsers."""
    pages = (
        events_page,
        event_page,
        event_actions,
        cancel_page,
        pause_actions,
        parked_page,
        add_page,
        mailbox_page,
        providers_page,
        provider_add_page,
        provider_edit_page,
        provider_test_page,
        provider_history,
        suppressions_page,
        members_page,
        keys_page,
        workspace_page,
        invitation_page,
        audit_page,
        erasures_page,
        login_page,
        register_page,
        reset_page,
        set_up_page,
        account_page,
        second_factor_page,
        administration_page,
    )
    for router in (*(page.router for page in pages), _router):
        app.include_router(router, include_in_schema=False)
    app.mount(MOUNTED_AT, Assets(), name="static")
    errors.install(app, page=error_page)


@_router.get("/pulse")
async def pulse_part(visit: VisitDep) -> Response:
    pulse = await read_pulse(visit)
    return show_part(visit, "parts/pulse.html", pulse=pulse.words)


@_router.post("/theme")
async def choose_theme(arrival: ArrivalDep, form: OurForm) -> Response:
    """Light, dark, or as the system: kept by the browser."""
    theme = text_of(form, "theme")
    response = go_to(arrival, our_path(text_of(form, "back")))
    if theme in THEMES and theme:
        set_cookie(arrival.request, response, cookies.THEME, theme, max_age_s=_A_YEAR_S)
    else:
        delete_cookie(arrival.request, response, cookies.THEME)
    return response


def error_page(request: Request, status: int, error: ErrorBody) -> Response:
    """An error as a page: what happened, and the way on."""
    if error.code in _WAYS_IN:
        return _lead(request, _WAYS_IN[error.code])
    headline, advice = _HEADLINES.get(status, ("Something went wrong", ""))
    return show_apart(
        "error.html",
        status,
        headline=headline,
        sentence=error.error,
        advice=advice,
        way_on=None if status >= 500 else ("/", "All events"),
        request_id=error.request_id if status >= 500 else None,
    )


def _lead(request: Request, way_in: str) -> Response:
    """To where one signs in, and from there back to the page that was asked for."""
    here = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    known = request.method == "GET" and "hx-request" not in request.headers
    target = f"{way_in}?{urlencode({'next': here})}" if known and here != "/" else way_in
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": target})
    return RedirectResponse(target, 303)
