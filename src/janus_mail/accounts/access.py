"""Who calls, and what they may do."""

import logging
import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import BackgroundTasks, Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from janus_mail.accounts import queries
from janus_mail.accounts.keys import ALL_SCOPES, ProvenKey, prove_key, touch
from janus_mail.errors import Forbidden, Unauthorized
from janus_mail.settings import is_loopback
from janus_mail.storage.database import CONNECTION_LOST
from janus_mail.telemetry.boot_clock import boot_clock_s
from janus_mail.telemetry.logs import bind
from janus_mail.web.context import Context, ContextDep, context_of
from janus_mail.web.routes import before_body

_log = logging.getLogger(__name__)

BEARER: Final = HTTPBearer(
    auto_error=False,
    scheme_name="ApiKey",
    bearerFormat="janus_<prefix>_<secret>",
    description="`Authorization: Bearer janus_…`. Make a key with `janus keys create --workspace default --name ci`.",
)
_FOUND: Final = "janus.found_caller"
# For so long what was found before the body counts after it; a key may be revoked while a slow body comes.
_FRESH_S: Final = 5.0
# A proxy on this machine would make the whole world look local.
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]*)?")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `label` names them in words: «API key ci», «anonymous»."""

    workspace_id: uuid.UUID
    workspace_name: str
    scopes: frozenset[str]
    label: str
    anonymous: bool = False

    def may(self, scope: str) -> bool:
        """`admin` implies every scope."""
        return scope in self.scopes or "admin" in self.scopes


@dataclass(frozen=True, slots=True)
class _Found:
    """A caller, when they were found, and by which key where it is to be noted that it was used."""

    caller: Caller
    at_s: float
    stale_key: ProvenKey | None = None


def allow(scope: str) -> Callable[..., Awaitable[Caller]]:
    """A dependency: the caller, who has `scope`. Raises `Unauthorized` (401) or `Forbidden` (403), before the body is
    read where it is a route's own."""

    async def admit(request: Request) -> None:
        found = await _authenticate(context_of(request), request, await BEARER(request))
        _require(found.caller, scope)
        request.scope[_FOUND] = found

    @before_body(admit)
    async def caller(
        context: ContextDep,
        request: Request,
        background: BackgroundTasks,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER, scopes=[scope])],
    ) -> Caller:
        found: _Found | None = request.scope.get(_FOUND)
        if found is None or boot_clock_s() - found.at_s > _FRESH_S:
            found = await _authenticate(context, request, credentials)
        _require(found.caller, scope)
        if found.stale_key is not None:
            background.add_task(_touch, context, found.stale_key)
        return found.caller

    return caller


async def caller_for_token(context: Context, token: str) -> Caller | None:
    """The caller whose API key this is, if it is valid."""
    key = await prove_key(context.database, token)
    if key is None:
        return None
    bind(workspace_id=key.workspace_id)
    if key.stale:
        await _touch(context, key)
    return _caller(key)


async def anonymous_caller(context: Context, request: Request) -> Caller | None:
    """The anonymous workspace's caller, if there is one and the request comes from this machine, not by a foreign page.

    Forms are let through: their routes check a CSRF token.
    """
    name = context.settings.anonymous_workspace
    if name is None or not _is_local(request) or not (_is_own(request) or _is_visit(request)):
        return None
    workspace_id = await context.database.pool.fetchval(queries.WORKSPACE_BY_NAME, name)
    if workspace_id is None:
        return None
    bind(workspace_id=workspace_id)
    return Caller(workspace_id, name, frozenset(ALL_SCOPES), "anonymous", anonymous=True)


async def _authenticate(context: Context, request: Request, credentials: HTTPAuthorizationCredentials | None) -> _Found:
    if credentials is not None:
        key = await prove_key(context.database, credentials.credentials)
        if key is None:
            raise Unauthorized("This API key is unknown, expired or revoked.", code="invalid_token")
        return _Found(_caller(key), boot_clock_s(), key if key.stale else None)
    if "authorization" not in request.headers and _is_own(request) and _sends_only_our_types(request):
        anonymous = await anonymous_caller(context, request)
        if anonymous is not None:
            return _Found(anonymous, boot_clock_s())
    raise Unauthorized("Send an API key as `Authorization: Bearer <key>`.")


def _require(caller: Caller, scope: str) -> None:
    bind(workspace_id=caller.workspace_id)
    if not caller.may(scope):
        raise Forbidden(f"This API key lacks the scope {scope}.", code="insufficient_scope")


def _caller(key: ProvenKey) -> Caller:
    return Caller(key.workspace_id, key.workspace_name, key.scopes, f"API key {key.name}")


async def _touch(context: Context, key: ProvenKey) -> None:
    try:
        await touch(context.database, key)
    except CONNECTION_LOST as error:
        _log.warning("last use of a key not noted: %s", type(error).__name__)


def _is_local(request: Request) -> bool:
    """From this machine, to a name of this machine (a rebound DNS name of a foreign page is none), through no proxy."""
    return (
        request.client is not None
        and is_loopback(request.client.host)
        and is_loopback(_host_name(request.headers.get("host", "")))
        and not any(name in request.headers for name in _FORWARDED)
    )


def _is_own(request: Request) -> bool:
    """Sent by a program or by a page of ours: browsers name the origin of every request that could change something."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "").lower()
    if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
        return False
    return request.headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def _is_visit(request: Request) -> bool:
    """Someone followed a link from elsewhere: the page it leads to is theirs to see, not the other page's."""
    headers = request.headers
    return (
        request.method == "GET"
        and "origin" not in headers
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def _sends_only_our_types(request: Request) -> bool:
    """A foreign page cannot send these types without asking first (CORS preflight), which we do not answer."""
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return not has_body or kind in ("application/json", "text/csv")


def _host_name(host: str) -> str:
    """`Host` without its port (RFC 9110 section 7.2); empty where it is malformed."""
    match = _HOST.fullmatch(host)
    return match[1] if match else ""


ReadEvents = Annotated[Caller, Depends(allow("events:read"))]
WriteEvents = Annotated[Caller, Depends(allow("events:write"))]
ReadProviders = Annotated[Caller, Depends(allow("providers:read"))]
WriteProviders = Annotated[Caller, Depends(allow("providers:write"))]
Admin = Annotated[Caller, Depends(allow("admin"))]
