"""From a template and its values to an answer, with the headers that every page has."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from janus_mail.pages import csrf, times, words
from janus_mail.pages.assets import address
from janus_mail.pages.flash import COOKIE as FLASH_COOKIE
from janus_mail.pages.flash import Flash
from janus_mail.pages.pulse import read_pulse, up_to_most
from janus_mail.pages.visit import THEMES, Visit, guard

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


async def show(visit: Visit, template: str, *, status: int = 200, nav: str = "", **values: Any) -> HTMLResponse:
    """A whole page."""
    pulse = await read_pulse(visit)
    flash = None if visit.is_update else Flash.read(visit.request.cookies.get(FLASH_COOKIE))
    response = _answer(
        visit,
        template,
        status,
        {
            "nav": nav,
            "pulse": pulse.words,
            "caught": pulse.caught,
            "parked": pulse.parked,
            "waiting": pulse.waiting,
            "paused_at": pulse.paused_at,
            "theme": visit.theme,
            "themes": list(THEMES.items()),
            "here": visit.here if visit.request.method == "GET" else visit.request.url.path,
            # A page that answers a form is not asked for again.
            "zone": visit.clock.zone.key if visit.request.method == "GET" else None,
            "moving": False,
            "flash": flash,
        }
        | values,
    )
    if csrf.COOKIE not in visit.request.cookies:
        response.set_cookie(
            csrf.COOKIE, visit.csrf_seed, httponly=True, samesite="lax", secure=visit.request.url.scheme == "https"
        )
    if flash is not None:
        response.delete_cookie(FLASH_COOKIE, httponly=True, samesite="lax")
    return response


def show_part(visit: Visit, template: str, **values: Any) -> HTMLResponse:
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
        headers=_HEADERS | {"Content-Security-Policy": _FOREIGN_CONTENT_POLICY},
    )


def go_to(visit: Visit, path: str, flash: Flash | None = None) -> RedirectResponse:
    """After a form: the page that shows what it did."""
    response = RedirectResponse(path, 303, _HEADERS)
    if flash is not None:
        response.set_cookie(
            FLASH_COOKIE, flash.written(), max_age=60, httponly=True, samesite="lax",
            secure=visit.request.url.scheme == "https",
        )  # fmt: skip
    return response


def _answer(visit: Visit, template: str, status: int, values: dict[str, Any]) -> HTMLResponse:
    html = (
        environment()
        .get_template(template)
        .render(
            values
            | {
                "clock": visit.clock,
                "caller": visit.caller,
                "csrf_token": guard(visit.context).token(visit.csrf_seed),
            }
        )
    )
    return HTMLResponse(html, status, _HEADERS)
