"""Who calls, and what they may do."""

import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import BackgroundTasks, Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from janus_mail.accounts import queries
from janus_mail.accounts.callers import Caller
from janus_mail.accounts.permissions import RULES, Action
from janus_mail.errors import Unauthorized
from janus_mail.keys.key import ProvenKey, prove_key, touch
from janus_mail.models.states import ActorKind, Role
from janus_mail.settings import is_loopback
from janus_mail.storage.database import CONNECTION_LOST
from janus_mail.telemetry.boot_clock import boot_clock_s
from janus_mail.telemetry.logs import bind
from janus_mail.tokens.access_tokens import looks_like_one, prove_access_token
from janus_mail.web.client_address import through_proxy
from janus_mail.web.context import Context, ContextDep, context_of
from janus_mail.web.rate_limits import charge_caller, charge_refused
from janus_mail.web.routes import before_body

_log = logging.getLogger(__name__)

BEARER: Final = HTTPBearer(
    auto_error=False,
    scheme_name="ApiKey",
    bearerFormat="janus_<prefix>_<secret>",
    description="`Authorization: Bearer janus_…`, a key of a workspace, or an access token of `POST /api/auth/token`.",
)
_FOUND: Final = "janus.found_caller"
# For so long what was found before the body counts after it; a key may be revoked while a slow body comes.
_FRESH_S: Final = 5.0
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]*)?")


@dataclass(frozen=True, slots=True)
class _Found:
    """A caller, when they were found, and by which key where it is to be noted that it was used."""

    caller: Caller
    at_s: float
    stale_key: ProvenKey | None = None


def allow(action: Action | None) -> Callable[..., Awaitable[Caller]]:
    """A dependency: the caller, who may do `action`; null: whoever it is, for what is only about them.

    Raises `Unauthorized` (401) or `Forbidden` (403), before the body is read where it is a route's own.
    """
    scopes = [RULES[action].scope] if action is not None else []

    async def admit(request: Request) -> None:
        found = await _authenticate(context_of(request), request, await BEARER(request))
        await charge_caller(request, found.caller)
        _require(found.caller, action)
        request.scope[_FOUND] = found

    @before_body(admit)
    async def caller(
        context: ContextDep,
        request: Request,
        background: BackgroundTasks,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER, scopes=scopes)],
    ) -> Caller:
        found: _Found | None = request.scope.get(_FOUND)
        if found is None or boot_clock_s() - found.at_s > _FRESH_S:
            found = await _authenticate(context, request, credentials)
            await charge_caller(request, found.caller)
        _require(found.caller, action)
        if found.stale_key is not None:
            background.add_task(_touch, context, found.stale_key)
        return found.caller

    return caller


async def caller_for_token(context: Context, request: Request, token: str) -> Caller | None:
    """The caller whose API key this is, if it is valid. Raises `TooManyRequests`."""
    key = await prove_key(context.database, token)
    if key is None:
        await charge_refused(request)
        return None
    bind(workspace_id=key.workspace_id)
    caller = _by_key(key, request)
    await charge_caller(request, caller)
    if key.stale:
        await _touch(context, key)
    return caller


async def anonymous_caller(context: Context, request: Request) -> Caller | None:
    """The anonymous workspace's caller, if there is one and the request comes from this machine, not by a foreign page.

    Forms are let through: their routes check a CSRF token.
    """
    name = context.settings.anonymous_workspace
    if name is None or not _is_local(request) or not (_is_own(request) or _is_visit(request)):
        return None
    row = await context.database.pool.fetchrow(queries.WORKSPACE_CALLED, name)
    if row is None:
        return None
    bind(workspace_id=row["id"])
    return Caller(
        workspace_id=row["id"], workspace_name=row["name"], kind=ActorKind.ANONYMOUS, label="anonymous",
        address=address_of(request), role=Role.OWNER,
    )  # fmt: skip


def address_of(request: Request) -> str:
    """Where the request comes from."""
    return request.client.host if request.client is not None else ""


async def _authenticate(context: Context, request: Request, credentials: HTTPAuthorizationCredentials | None) -> _Found:
    if credentials is not None:
        token = credentials.credentials
        if looks_like_one(token):
            person = await prove_access_token(context, token, address=address_of(request))
            if person is None:
                raise Unauthorized("This access token is not valid, or no longer.", code="invalid_token")
            return _Found(person, boot_clock_s())
        key = await prove_key(context.database, token)
        if key is None:
            raise Unauthorized("This API key is unknown, expired or revoked.", code="invalid_token")
        return _Found(_by_key(key, request), boot_clock_s(), key if key.stale else None)
    if "authorization" not in request.headers and _is_own(request) and _sends_only_our_types(request):
        anonymous = await anonymous_caller(context, request)
        if anonymous is not None:
            return _Found(anonymous, boot_clock_s())
    raise Unauthorized("Send an API key as `Authorization: Bearer <key>`.")


def _require(caller: Caller, action: Action | None) -> None:
    bind(workspace_id=caller.workspace_id)
    if action is not None:
        caller.require(action)


def _by_key(key: ProvenKey, request: Request) -> Caller:
    return Caller(
        workspace_id=key.workspace_id, workspace_name=key.workspace_name, kind=ActorKind.API_KEY,
        label=f"API key {key.name}", address=address_of(request), scopes=key.scopes, key_id=key.id,
        rate_limit=key.rate_limit,
    )  # fmt: skip


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
        and not through_proxy(request.scope)  # one on this machine would make the whole world look local
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


AnyCaller = Annotated[Caller, Depends(allow(None))]
ReadEvents = Annotated[Caller, Depends(allow("events:read"))]
WriteEvents = Annotated[Caller, Depends(allow("events:write"))]
ReadProviders = Annotated[Caller, Depends(allow("providers:read"))]
WriteProviders = Annotated[Caller, Depends(allow("providers:write"))]
WriteWorkspace = Annotated[Caller, Depends(allow("workspace:write"))]
ReadMembers = Annotated[Caller, Depends(allow("members:read"))]
WriteMembers = Annotated[Caller, Depends(allow("members:write"))]
ReadKeys = Annotated[Caller, Depends(allow("keys:read"))]
WriteKeys = Annotated[Caller, Depends(allow("keys:write"))]
ReadAudit = Annotated[Caller, Depends(allow("audit:read"))]
Erase = Annotated[Caller, Depends(allow("data:erase"))]
