"""From a template and its values to an answer, with the headers that every page has."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from janus_mail.pages import cookies, times, words
from janus_mail.pages.assets import address
from janus_mail.pages.cookies import delete_cookie, read_cookie, set_cookie
from janus_mail.pages.flash import Flash
from janus_mail.pages.incident_band import read_troubles
from janus_mail.pages.menu import read_menu
from janus_mail.pages.pulse import read_pulse, up_to_most
from janus_mail.pages.visit import THEMES, Arrival, Visit

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# What a mail brings along: no script, nothing from outside, an origin of its own.
_FOREIGN_CONTENT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "private, no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# Of what somebody saw nothing stays in the browser, for whoever comes after they have signed out.
_NOT_KEPT = {"Cache-Control": "private, no-store"}


@cache
def environment() -> Environment:
    """Jinja's, with everything escaped and nothing undefined."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.globals |= {"static": address, "words": words, "rough": times.rough, "exact": times.exact}
    made.filters |= {
        "machine": times.machine,
        "number": times.number,
        "size": times.size,
        "milliseconds": times.milliseconds,
        "city": times.city,
        "emails": lambda many: words.count(many, "email"),
        "shortened": words.shortened,
        "up_to_most": up_to_most,
        "hashed": lambda name: f"#{name}",
    }
    return made


async def show(arrival: Arrival, template: str, *, status: int = 200, nav: str = "", **values: Any) -> HTMLResponse:
    """A whole page. Who is in a workspace has its navigation around it; `{% extends frame %}` fits both."""
    request = arrival.request
    inside = _inside(arrival)
    flash = None if arrival.is_update else Flash.read(read_cookie(request, cookies.FLASH))
    frame: dict[str, Any] = {"frame": "gate.html"}
    if inside is not None:
        pulse = await read_pulse(inside)
        frame = {
            "frame": "page.html", "nav": nav, "pulse": pulse.words, "caught": pulse.caught, "parked": pulse.parked,
            "waiting": pulse.waiting, "paused_at": pulse.paused_at, "menu": await read_menu(inside),
            "troubles": [] if nav == "providers" else await read_troubles(inside),
        }  # fmt: skip
    response = _answer(
        arrival,
        template,
        status,
        frame
        | {
            "theme": arrival.theme,
            "themes": list(THEMES.items()),
            "here": arrival.here if request.method == "GET" else request.url.path,
            # A page that answers a form is not asked for again.
            "zone": arrival.clock.zone.key if request.method == "GET" else None,
            "moving": False,
            "flash": flash,
        }
        | values,
    )
    if read_cookie(request, cookies.CSRF) is None:
        set_cookie(request, response, cookies.CSRF, arrival.csrf_seed)
    if flash is not None:
        delete_cookie(request, response, cookies.FLASH)
    return response


def show_part(visit: Arrival, template: str, **values: Any) -> HTMLResponse:
    """A piece that htmx puts into a page."""
    return _answer(visit, template, 200, values)


def show_apart(template: str, status: int, **values: Any) -> HTMLResponse:
    """A page that belongs to nobody: an error."""
    html = environment().get_template(template).render(values | {"theme": "", "zone": None, "moving": False})
    return HTMLResponse(html, status, _HEADERS)


def show_foreign(content: str, *, html: bool) -> Response:
    """What a mail holds, for a frame: it can do nothing there. Text is on white, as mail programs show it."""
    if not html:
        content = environment().get_template("plain.html").render(text=content)
    return Response(
        content.encode("utf-8", "replace"),
        media_type="text/html",
        headers=_HEADERS | _NOT_KEPT | {"Content-Security-Policy": _FOREIGN_CONTENT_POLICY},
    )


def go_to(arrival: Arrival, path: str, flash: Flash | None = None) -> RedirectResponse:
    """After a form: the page that shows what it did."""
    response = RedirectResponse(path, 303, _HEADERS)
    if flash is not None:
        set_cookie(arrival.request, response, cookies.FLASH, flash.written(), max_age_s=60)
    return response


def _inside(arrival: Arrival) -> Visit | None:
    """The same as a visit of the workspace that whoever is signed in sees."""
    if isinstance(arrival, Visit):
        return arrival
    if arrival.session is None or arrival.session.caller is None:
        return None
    return Visit(
        request=arrival.request, context=arrival.context, session=arrival.session, clock=arrival.clock,
        csrf_seed=arrival.csrf_seed, caller=arrival.session.caller,
    )  # fmt: skip


def _answer(arrival: Arrival, template: str, status: int, values: dict[str, Any]) -> HTMLResponse:
    inside = _inside(arrival)
    always = {
        "clock": arrival.clock,
        "caller": inside.caller if inside is not None else None,
        "person": arrival.session.person if arrival.session is not None else None,
        "csrf_token": arrival.csrf_token,
    }
    headers = _HEADERS if arrival.session is None else _HEADERS | _NOT_KEPT
    return HTMLResponse(environment().get_template(template).render(values | always), status, headers)
