"""All of the pages, put into the application."""

from collections.abc import Mapping

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response

from janus_mail.pages import (
    add_page,
    cancel_page,
    event_actions,
    event_page,
    events_page,
    mailbox_page,
    parked_page,
    pause_actions,
    provider_add_page,
    provider_edit_page,
    provider_history,
    provider_test_page,
    providers_page,
    suppressions_page,
)
from janus_mail.pages.assets import MOUNTED_AT, Assets
from janus_mail.pages.pulse import read_pulse
from janus_mail.pages.rendering import go_to, show_apart, show_part
from janus_mail.pages.visit import THEME_COOKIE, THEMES, OurForm, VisitDep, our_path, text_of
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
    413: ("That is too much", "Go back and send less."),
    503: ("Not now", "Mail that was accepted still leaves on time. Load this page again in a moment."),
}
_CLOSED = (
    "Start Janus with `make run` and open it on the same machine, by the name localhost. Everywhere else the pages "
    "stay closed until there are accounts; programs use the API with a key."
)

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
async def choose_theme(visit: VisitDep, form: OurForm) -> Response:
    """Light, dark, or as the system: kept by the browser."""
    theme = text_of(form, "theme")
    response = go_to(visit, our_path(text_of(form, "back")))
    if theme in THEMES and theme:
        secure = visit.request.url.scheme == "https"
        response.set_cookie(THEME_COOKIE, theme, max_age=_A_YEAR_S, httponly=True, samesite="lax", secure=secure)
    else:
        response.delete_cookie(THEME_COOKIE, httponly=True, samesite="lax")
    return response


def error_page(request: Request, status: int, error: ErrorBody) -> Response:
    """An error as a page: what happened, and the way on."""
    headline, advice = _HEADLINES.get(status, ("Something went wrong", ""))
    closed = error.code == "pages_closed"
    return show_apart(
        "error.html",
        status,
        headline=headline,
        sentence=error.error,
        advice=_CLOSED if closed else advice,
        way_on=None if closed or status >= 500 else ("/", "All events"),
        request_id=error.request_id if status >= 500 else None,
    )
