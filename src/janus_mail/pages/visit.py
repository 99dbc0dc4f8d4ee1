"""Who looks at a page, from where, and with what cookies."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from fastapi import Depends, Request
from starlette.datastructures import FormData

from janus_mail.accounts.access import Caller, anonymous_caller
from janus_mail.errors import Forbidden, InvalidInput
from janus_mail.events.queries import ZONE
from janus_mail.pages import csrf
from janus_mail.pages.times import Clock, zone_named
from janus_mail.web.context import Context, ContextDep

ZONE_COOKIE = "janus_zone"  # set by janus.js
THEME_COOKIE = "janus_theme"
THEMES = {"": "As the system", "light": "Light", "dark": "Dark"}

_MOST_FIELDS = 50
_MOST_OCTETS_A_FIELD = 2 * 1024 * 1024  # the API's own limits decide what is too long


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for a page, by someone who may see it."""

    request: Request
    context: Context
    caller: Caller
    clock: Clock
    csrf_seed: str

    @property
    def here(self) -> str:
        """The path and query of this page."""
        url = self.request.url
        return f"{url.path}?{url.query}" if url.query else url.path

    @property
    def theme(self) -> str:
        theme = self.request.cookies.get(THEME_COOKIE, "")
        return theme if theme in THEMES else ""

    @property
    def is_update(self) -> bool:
        """Whether htmx asks for a part, and not a person for the page."""
        return "hx-request" in self.request.headers


async def _visit(request: Request, context: ContextDep) -> Visit:
    """Raises `Forbidden`: until there are accounts the pages are open to the anonymous workspace alone."""
    if "\0" in unquote(request.url.path + request.url.query):
        raise InvalidInput("The character U+0000 is not allowed in an address.")  # nor does PostgreSQL take it
    caller = await anonymous_caller(context, request)
    if caller is None:
        raise Forbidden("Pages are only shown on the machine that Janus runs on.", code="pages_closed")
    zone = zone_named(unquote(request.cookies.get(ZONE_COOKIE, ""))) or await _home_zone(context, caller)
    seed = request.cookies.get(csrf.COOKIE) or secrets.token_urlsafe(24)
    return Visit(request, context, caller, Clock(datetime.now(UTC), zone), seed)


async def _home_zone(context: Context, caller: Caller) -> ZoneInfo:
    name = await context.database.pool.fetchval(ZONE, caller.workspace_id)
    return zone_named(name) or ZoneInfo(context.settings.tz)


def guard(context: Context) -> csrf.CsrfGuard:
    return csrf.CsrfGuard(context.settings.require_secret_keys())


async def read_form(visit: Visit, *, max_files: int = 0) -> tuple[FormData, bool]:
    """What a form sent, and whether it was one of ours."""
    form = await visit.request.form(max_files=max_files, max_fields=_MOST_FIELDS, max_part_size=_MOST_OCTETS_A_FIELD)
    return form, guard(visit.context).fits(visit.request.cookies.get(csrf.COOKIE), form.get(csrf.FIELD))


async def _ours(visit: Visit, max_files: int = 0) -> FormData:
    """Raises `Forbidden` for a form that no page of ours made for this browser."""
    form, ours = await read_form(visit, max_files=max_files)
    if not ours:
        raise Forbidden("This form has grown old. Go back, load the page anew and send it again.", code="form_too_old")
    return form


async def _our_form(visit: Annotated[Visit, Depends(_visit)]) -> FormData:
    return await _ours(visit)


async def _our_form_with_file(visit: Annotated[Visit, Depends(_visit)]) -> FormData:
    return await _ours(visit, max_files=1)


VisitDep = Annotated[Visit, Depends(_visit)]
OurForm = Annotated[FormData, Depends(_our_form)]
OurFormWithFile = Annotated[FormData, Depends(_our_form_with_file)]  # the limit of its path says how large


def our_path(text: str) -> str:
    """A path of ours with its query, to go back to; the list for anything else: «//elsewhere.example» is a host."""
    back = urlsplit(text)
    if back.scheme or back.netloc or not back.path.startswith("/") or back.path.startswith("//") or "\\" in text:
        return "/"
    return f"{back.path}?{back.query}" if back.query else back.path


def text_of(form: FormData, name: str) -> str:
    """A field's text; line ends as people mean them (HTML forms send CRLF)."""
    value = form.get(name, "")
    return value.replace("\r\n", "\n") if isinstance(value, str) else ""
