"""Who looks at a page, from where, and with what cookies."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from fastapi import BackgroundTasks, Depends, Request
from starlette.datastructures import FormData

from janus_mail.accounts.access import address_of, anonymous_caller
from janus_mail.accounts.callers import Caller, Person
from janus_mail.accounts.permissions import Action
from janus_mail.accounts.sessions import ProvenSession, prove_session, touch_session
from janus_mail.errors import Forbidden, InvalidInput, Unauthorized
from janus_mail.pages import cookies, csrf
from janus_mail.pages.cookies import read_cookie
from janus_mail.pages.queries import HOME
from janus_mail.pages.times import Clock, speak, zone_named
from janus_mail.telemetry.logs import bind
from janus_mail.web.context import Context, ContextDep
from janus_mail.web.forms import read_utf8_form
from janus_mail.web.rate_limits import charge_person, charge_stranger

THEMES = {"": "As the system", "light": "Light", "dark": "Dark"}
SIGN_IN_NEEDED = "sign_in_needed"
NO_WORKSPACE = "no_workspace"

_WORKSPACE = "janus.workspace"  # what a request that came to a workspace's page is about
_MOST_FIELDS = 50
_MOST_OCTETS_A_FIELD = 2 * 1024 * 1024  # the API's own limits decide what is too long


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request for a page, by whomever: signed in, on this machine, or a stranger at the door."""

    request: Request
    context: Context
    session: ProvenSession | None
    clock: Clock
    csrf_seed: str

    @property
    def here(self) -> str:
        """The path and query of this page."""
        url = self.request.url
        return f"{url.path}?{url.query}" if url.query else url.path

    @property
    def theme(self) -> str:
        theme = read_cookie(self.request, cookies.THEME) or ""
        return theme if theme in THEMES else ""

    @property
    def is_update(self) -> bool:
        """Whether htmx asks for a part, and not a person for the page."""
        return "hx-request" in self.request.headers

    @property
    def csrf_token(self) -> str:
        """For the forms of the page."""
        return guard(self.context).token(self.csrf_seed, session_name(self.session), self._workspace)

    @property
    def _workspace(self) -> str:
        """The id of the one that the page shows, if any."""
        caller = self.session.caller if self.session is not None else None
        return str(caller.workspace_id) if caller is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit(Arrival):
    """By someone who is in a workspace, or on this machine."""

    caller: Caller

    @property
    def _workspace(self) -> str:
        return str(self.caller.workspace_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalVisit(Arrival):
    """By someone who is signed in, in a workspace or in none: for what is theirs and no workspace's."""

    session: ProvenSession

    @property
    def person(self) -> Person:
        return self.session.person


async def _arrival(request: Request, context: ContextDep, background: BackgroundTasks) -> Arrival:
    if "\0" in unquote(request.url.path + request.url.query):
        raise InvalidInput("The character U+0000 is not allowed in an address.")  # nor does PostgreSQL take it
    speak(None)
    session = await _session(request, context)
    if session is not None and session.stale and "hx-request" not in request.headers:  # a page left open is no use
        background.add_task(touch_session, context.database, session.id)
    zone = zone_named(unquote(request.cookies.get(cookies.ZONE, ""))) or ZoneInfo(context.settings.tz)
    seed = read_cookie(request, cookies.CSRF) or secrets.token_urlsafe(24)
    return Arrival(
        request=request, context=context, session=session, clock=Clock(datetime.now(UTC), zone), csrf_seed=seed
    )  # fmt: skip


async def _session(request: Request, context: Context) -> ProvenSession | None:
    token = read_cookie(request, cookies.SESSION)
    session = await prove_session(context.database, token, address=address_of(request)) if token else None
    if session is not None:
        await charge_person(request, session.person.user_id)
    else:
        await charge_stranger(request)
    return session


async def _visit(arrival: Annotated[Arrival, Depends(_arrival)]) -> Visit:
    """Raises `Unauthorized` (`sign_in_needed`), and `Forbidden` (`no_workspace`) to who is in none."""
    session, context = arrival.session, arrival.context
    caller = session.caller if session is not None else await anonymous_caller(context, arrival.request)
    if caller is None:
        if session is not None:
            raise Forbidden("You are in no workspace yet.", code=NO_WORKSPACE)
        raise Unauthorized("Sign in to see this page.", code=SIGN_IN_NEEDED)
    bind(workspace_id=caller.workspace_id)
    arrival.request.scope[_WORKSPACE] = str(caller.workspace_id)
    clock, home = arrival.clock, await context.database.pool.fetchrow(HOME, caller.workspace_id)
    speak(home["language"] if home else None)
    if not zone_named(unquote(arrival.request.cookies.get(cookies.ZONE, ""))):
        clock = Clock(clock.now, zone_named(home["timezone"] if home else None) or ZoneInfo(context.settings.tz))
    return Visit(
        request=arrival.request, context=context, session=session, clock=clock, csrf_seed=arrival.csrf_seed,
        caller=caller,
    )  # fmt: skip


async def _personal_visit(arrival: Annotated[Arrival, Depends(_arrival)]) -> PersonalVisit:
    """Raises `Unauthorized` (`sign_in_needed`)."""
    if arrival.session is None:
        raise Unauthorized("Sign in to see this page.", code=SIGN_IN_NEEDED)
    return PersonalVisit(
        request=arrival.request, context=arrival.context, session=arrival.session, clock=arrival.clock,
        csrf_seed=arrival.csrf_seed,
    )  # fmt: skip


def visit_to(action: Action) -> Callable[..., Awaitable[Visit]]:
    """A dependency: the visit of someone who may do `action`. Raises `Forbidden`."""

    async def permitted(visit: Annotated[Visit, Depends(_visit)]) -> Visit:
        visit.caller.require(action)
        return visit

    return permitted


def guard(context: Context) -> csrf.CsrfGuard:
    return csrf.CsrfGuard(context.settings.require_secret_keys())


def session_name(session: ProvenSession | None) -> str:
    """What a form's token is bound to."""
    return str(session.id) if session is not None else ""


async def read_form(arrival: Arrival, *, max_files: int = 0) -> tuple[FormData, bool]:
    """What a form sent, and whether it was one of ours."""
    form = await read_utf8_form(
        arrival.request, max_files=max_files, max_fields=_MOST_FIELDS, max_part_size=_MOST_OCTETS_A_FIELD
    )
    seed, workspace = read_cookie(arrival.request, cookies.CSRF), arrival.request.scope.get(_WORKSPACE)
    return form, guard(arrival.context).fits(seed, form.get(csrf.FIELD), session_name(arrival.session), workspace)


async def _ours(arrival: Arrival, max_files: int = 0) -> FormData:
    """Raises `Forbidden` for a form that no page of ours made for this browser."""
    form, ours = await read_form(arrival, max_files=max_files)
    if not ours:
        raise Forbidden("This form has grown old. Go back, load the page anew and send it again.", code="form_too_old")
    return form


async def _our_form(arrival: Annotated[Arrival, Depends(_arrival)]) -> FormData:
    return await _ours(arrival)


async def _our_form_with_file(arrival: Annotated[Arrival, Depends(_arrival)]) -> FormData:
    return await _ours(arrival, max_files=1)


# Named before the form in a route's signature, so that who may not send it is told that, and nothing is read.
ArrivalDep = Annotated[Arrival, Depends(_arrival)]
PersonalVisitDep = Annotated[PersonalVisit, Depends(_personal_visit)]
VisitDep = Annotated[Visit, Depends(visit_to("events:read"))]
EditVisit = Annotated[Visit, Depends(visit_to("events:write"))]
ProvidersVisit = Annotated[Visit, Depends(visit_to("providers:read"))]
EditProvidersVisit = Annotated[Visit, Depends(visit_to("providers:write"))]
EditWorkspaceVisit = Annotated[Visit, Depends(visit_to("workspace:write"))]
MembersVisit = Annotated[Visit, Depends(visit_to("members:read"))]
EditMembersVisit = Annotated[Visit, Depends(visit_to("members:write"))]
KeysVisit = Annotated[Visit, Depends(visit_to("keys:read"))]
EditKeysVisit = Annotated[Visit, Depends(visit_to("keys:write"))]
AuditVisit = Annotated[Visit, Depends(visit_to("audit:read"))]
EraseVisit = Annotated[Visit, Depends(visit_to("data:erase"))]
OurForm = Annotated[FormData, Depends(_our_form)]
OurFormWithFile = Annotated[FormData, Depends(_our_form_with_file)]  # the limit of its path says how large


def our_path(text: str) -> str:
    """A path of ours with its query, to go back to; the list for anything else: «//elsewhere.example» is a host."""
    try:
        back = urlsplit(text)
    except ValueError:  # «//[» names no host
        return "/"
    if back.scheme or back.netloc or not back.path.startswith("/") or back.path.startswith("//") or "\\" in text:
        return "/"
    return f"{back.path}?{back.query}" if back.query else back.path


def text_of(form: FormData, name: str) -> str:
    """A field's text; line ends as people mean them (HTML forms send CRLF)."""
    value = form.get(name, "")
    return value.replace("\r\n", "\n") if isinstance(value, str) else ""
