"""How often one may ask: what each request is charged to, and what its answer says of it.

The middleware stops who is known to have asked too much before anything is looked up; who calls is charged by
`charge_caller` as soon as that is known, together with their address, in one round trip to Redis. What never comes to
that, a wrong path or wrong credentials, is charged when it is answered.
"""

import uuid
from enum import Enum
from hashlib import sha256
from typing import Final, Protocol

from cachetools import LRUCache
from fastapi import Request
from starlette.datastructures import State
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from janus_mail.settings import Settings, is_loopback
from janus_mail.web.client_address import counted_as, through_proxy
from janus_mail.web.context import Context
from janus_mail.web.errors import answer
from janus_mail.web.limiter import Bucket, Limiter, Standing, Verdict, too_many

_SCOPE: Final = "janus.rate_limits"
_UNAUTHORIZED: Final = 401
_READS: Final = frozenset({"GET", "HEAD"})
_SENDS: Final = frozenset({"/api/events", "/api/events/batch", "/send_email", "/send_email/"})
_FORMS: Final = frozenset({"/send_email", "/send_email/", "/view_sent_emails", "/view_sent_emails/"})
_FREE: Final = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds by whatever watches us
_STATIC: Final = "/static/"
_MOST_PROVEN: Final = 10_000  # credentials

# Digests of credentials that were right when this process last looked.
Proven = LRUCache[bytes, bool]


class Asking(Protocol):
    """Who calls, as far as limits are about them."""

    @property
    def workspace_id(self) -> uuid.UUID: ...
    @property
    def key_id(self) -> uuid.UUID | None: ...
    @property
    def actor_id(self) -> uuid.UUID | None: ...
    @property
    def rate_limit(self) -> int | None: ...
    @property
    def anonymous(self) -> bool: ...


class _Surface(Enum):
    API = "api"
    HOOKS = "hooks"
    PAGES = "pages"


class RequestLimits:
    """What one request is charged to."""

    __slots__ = ("_address", "_charged", "_exempt", "_hook", "_limiter", "_pending", "_proven", "_scope", "_settings",
                 "holder", "standing", "surface")  # fmt: skip

    def __init__(self, context: Context, scope: Scope, proven: Proven) -> None:
        client, path = scope.get("client"), scope["path"]
        self._limiter: Limiter = context.limiter
        self._settings: Settings = context.settings
        self._scope, self._proven = scope, proven
        self._address = counted_as(client[0] if client else "")
        self.surface = _surface_of(path)
        self._hook = _provider_in(path) if self.surface is _Surface.HOOKS else ""
        # What comes to `make run` from its own machine.
        self._exempt = (
            self._settings.anonymous_workspace is not None
            and client is not None
            and is_loopback(client[0])
            and not through_proxy(scope)
        )
        self._pending: tuple[Bucket, ...] = () if self._exempt else (self._of_address(),)
        self._charged = False
        self.standing: Standing | None = None
        self.holder = f"address:{self._address}"  # who counts for what is shared: see body_limit.py

    def known_full(self) -> Standing | None:
        """What stops the request before anything is looked up."""
        if self._exempt:
            return None
        if self.surface is _Surface.PAGES:
            # Who is signed in is one of many behind their address; a cookie that says so is looked at.
            strangers = () if self._header(b"cookie") else (self._of_strangers(),)
            return self._limiter.full((*self._pending, *strangers))
        full = self._limiter.full((*self._pending, self._of_refused()))
        if full is not None and full.bucket == self._of_refused() and self._credential() in self._proven:
            return None  # a key that works is not stopped by one beside it that does not
        return full

    async def charge_caller(self, method: str, path: str, caller: Asking) -> None:
        """Raises `TooManyRequests`."""
        if caller.anonymous:
            self._pending, self._charged, self.holder = (), True, "anonymous"
            return
        if self._charged:
            return
        credential = self._credential()
        if credential:
            self._proven[credential] = True
        name = f"{'key' if caller.key_id is not None else 'person'}:{caller.actor_id}"
        self.holder = name
        workspace = Bucket(f"workspace:{caller.workspace_id}", self._settings.rate_limit_workspace, "of this workspace")
        await self._charge_known(self._of_caller(name, method, path, caller), workspace)

    async def charge_person(self, user_id: uuid.UUID) -> None:
        """For a page. Raises `TooManyRequests`."""
        self.holder = f"person:{user_id}"
        await self._charge_known(Bucket(f"pages:{user_id}", self._settings.rate_limit_pages, "for pages"))

    async def charge_stranger(self) -> None:
        """For a page that is asked for by nobody who is signed in. Raises `TooManyRequests`."""
        if not self._exempt:
            await self._charge_known(self._of_strangers())

    async def charge_hook(self, provider_id: uuid.UUID) -> None:
        """For a post to a hook whose address is right. Raises `TooManyRequests`."""
        self.holder = f"hook:{provider_id}"
        await self._charge_known(Bucket(f"hook:{provider_id}", self._settings.rate_limit_hooks, "to this hook"))

    async def settle(self, status: int) -> None:
        """Charges what nobody was charged for."""
        own: tuple[Bucket, ...] = ()
        if self._exempt:
            return
        if self.surface is _Surface.PAGES:
            own = () if self._charged else (self._of_strangers(),)
        elif status == _UNAUTHORIZED:
            own = (self._of_refused(),)
            self._proven.pop(self._credential(), None)
        if own or self._pending:
            verdict = await self._charge(*own)
            if verdict is not None and self.standing is None:
                self.standing = verdict.tightest

    async def charge_refused(self) -> None:
        """For wrong credentials that are not answered 401."""
        if not self._exempt:
            await self._limiter.charge([self._of_refused()])

    async def _charge_known(self, *own: Bucket) -> None:
        self._charged = True
        verdict = await self._charge(*own)
        if verdict is None:
            return
        self.standing = verdict.tightest
        if not verdict.fits:
            raise too_many(verdict.tightest)

    async def _charge(self, *own: Bucket) -> Verdict | None:
        """The address too, once; also for what is refused, for it was looked up."""
        pending, self._pending = self._pending, ()
        verdict = await self._limiter.charge((*pending, *own))
        if verdict is not None and not verdict.fits and own:
            await self._limiter.charge(pending)
        return verdict

    def _header(self, name: bytes) -> bytes:
        return next((value for header, value in self._scope["headers"] if header == name), b"")

    def _credential(self) -> bytes:
        """The digest of the one that the request shows; empty where that is nothing, or is not what is looked at."""
        looked_at = self.surface is _Surface.API and self._scope["path"] not in _FORMS
        shown = self._header(b"authorization") if looked_at else b""
        return sha256(shown).digest() if shown else b""

    def _of_caller(self, name: str, method: str, path: str, caller: Asking) -> Bucket:
        if caller.rate_limit is not None:
            return Bucket(name, caller.rate_limit, "of this API key")
        whose = "of this API key" if caller.key_id is not None else "of yours"
        if method in _READS:
            return Bucket(f"{name}:read", self._settings.rate_limit_read, f"that read {whose}")
        if path in _SENDS:
            return Bucket(f"{name}:send", self._settings.rate_limit_send, f"that schedule mail {whose}")
        return Bucket(f"{name}:write", self._settings.rate_limit_write, f"that change something {whose}")

    def _of_address(self) -> Bucket:
        if self.surface is _Surface.HOOKS:
            return Bucket(f"hooks-address:{self._address}", self._settings.rate_limit_hooks, "from this address")
        return Bucket(f"address:{self._address}", self._settings.rate_limit_address, "from this address")

    def _of_refused(self) -> Bucket:
        """Services post for many from one address: who set up one hook wrongly must not close the others."""
        whose, limit = "with wrong credentials from this address", self._settings.rate_limit_refused
        if self.surface is _Surface.HOOKS:
            return Bucket(f"refused:{self._address}:{self._hook}", limit, whose)
        return Bucket(f"refused:{self._address}", limit, whose)

    def _of_strangers(self) -> Bucket:
        limit = self._settings.rate_limit_pages
        return Bucket(f"pages-address:{self._address}", limit, "for pages from this address")


class RateLimits:
    """The middleware. Its headers are on every answer of the API, whoever gives it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._proven: Proven = LRUCache(_MOST_PROVEN)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limits = _begin(scope, self._proven)
        if limits is None:
            await self.app(scope, receive, send)
            return
        scope[_SCOPE] = limits
        full = limits.known_full()
        if full is not None:
            limits.standing = full

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                if full is None:
                    await limits.settle(message["status"])
                if limits.standing is not None and limits.surface is _Surface.API:
                    message["headers"] = [*message["headers"], *_headers(limits.standing)]
            await send(message)

        if full is not None:
            await answer(Request(scope), too_many(full))(scope, receive, with_headers)
        else:
            await self.app(scope, receive, with_headers)


def limits_of(scope: Scope) -> RequestLimits | None:
    """Those of a request; null where it has none."""
    limits: RequestLimits | None = scope.get(_SCOPE)
    return limits


async def charge_caller(request: Request, caller: Asking) -> None:
    """As soon as it is known who calls the API, and before the body is read. Raises `TooManyRequests`."""
    limits = limits_of(request.scope)
    if limits is not None:
        await limits.charge_caller(request.scope["method"], request.scope["path"], caller)


async def charge_person(request: Request, user_id: uuid.UUID) -> None:
    """As soon as it is known who looks at a page. Raises `TooManyRequests`."""
    limits = limits_of(request.scope)
    if limits is not None:
        await limits.charge_person(user_id)


async def charge_stranger(request: Request) -> None:
    """As soon as it is known that who looks at a page is not signed in. Raises `TooManyRequests`."""
    limits = limits_of(request.scope)
    if limits is not None:
        await limits.charge_stranger()


async def charge_hook(request: Request, provider_id: uuid.UUID) -> None:
    """As soon as a hook's address was found right. Raises `TooManyRequests`."""
    limits = limits_of(request.scope)
    if limits is not None:
        await limits.charge_hook(provider_id)


async def charge_refused(request: Request) -> None:
    """Where wrong credentials are answered otherwise than with 401."""
    limits = limits_of(request.scope)
    if limits is not None:
        await limits.charge_refused()


async def charge(context: Context, bucket: str, limit: int, per_s: int, cost: int = 1) -> None:
    """For what has a limit of its own; 0: none. Raises `TooManyRequests`."""
    verdict = await context.limiter.charge([Bucket(bucket, limit, per_s=per_s)], cost)
    if verdict is not None and not verdict.fits:
        raise too_many(verdict.tightest)


def _begin(scope: Scope, proven: Proven) -> RequestLimits | None:
    if scope["type"] != "http" or scope["path"] in _FREE or scope["path"].startswith(_STATIC):
        return None
    state: State = scope["app"].state
    context: Context | None = getattr(state, "context", None)
    return RequestLimits(context, scope, proven) if context is not None else None


def _surface_of(path: str) -> _Surface:
    if path.startswith("/api/") or path == "/api" or path in _FORMS:
        return _Surface.API
    return _Surface.HOOKS if path.startswith("/hooks/") else _Surface.PAGES


def _provider_in(path: str) -> str:
    """The provider that a hook's address names; what is no id is one."""
    try:
        return str(uuid.UUID(path.split("/", 3)[2]))
    except ValueError:
        return "none"


def _headers(standing: Standing) -> list[tuple[bytes, bytes]]:
    return [
        (b"ratelimit-limit", b"%d" % standing.bucket.limit),
        (b"ratelimit-remaining", b"%d" % standing.remaining),
        (b"ratelimit-reset", b"%d" % standing.reset_s),
    ]
