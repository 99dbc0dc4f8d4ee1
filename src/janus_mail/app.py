"""The API process: the FastAPI application, its middleware and its routers."""

import re
from typing import Final

from fastapi import FastAPI
from starlette.middleware import Middleware

from janus_mail import pages
from janus_mail.compat import form_api
from janus_mail.delivery import crash_points
from janus_mail.erasure import endpoints as erasure
from janus_mail.events import endpoints as events
from janus_mail.feedback import endpoints as feedback
from janus_mail.gate.set_up import say_set_up
from janus_mail.keys import endpoints as keys
from janus_mail.oversight import endpoints as oversight
from janus_mail.routing import endpoints as routing
from janus_mail.routing.environment import keep_environment_provider
from janus_mail.settings import Settings, load_settings
from janus_mail.suppressions import endpoints as suppressions
from janus_mail.telemetry import logs
from janus_mail.tokens import endpoints as tokens
from janus_mail.web import docs, health
from janus_mail.web.body_limit import KIB, MIB, BodyLimit, Limit
from janus_mail.web.client_address import ClientAddress
from janus_mail.web.context import Context
from janus_mail.web.errors import UnexpectedErrors
from janus_mail.web.lifespan import lifespan
from janus_mail.web.openapi import DocumentedApp
from janus_mail.web.rate_limits import RateLimits
from janus_mail.web.request_id import RequestId
from janus_mail.web.request_log import RequestLog
from janus_mail.web.security_headers import SecurityHeaders
from janus_mail.workspaces import endpoints as workspaces
from janus_mail.workspaces import member_endpoints as members

_BODY_DEFAULT: Final = 64 * KIB
_BODY_LIMITS: Final = (
    Limit(re.compile(r"/api/events/batch"), 32 * MIB),
    Limit(re.compile(r"/api/events(/[^/]+)?"), 40 * MIB, without_files=3 * MIB),
    # Forms: an octet beyond ASCII travels as three. Room for more files than may be, for then what was typed is kept.
    Limit(re.compile(r"/add"), 64 * MIB),
    Limit(re.compile(r"/add/[a-z]+"), 8 * MIB),
    Limit(re.compile(r"/(api/suppressions|suppressions/add)"), 512 * KIB),
    Limit(re.compile(r"(/api)?/suppressions/import"), 32 * MIB),
    Limit(re.compile(r"/send_email/?"), 128 * KIB),
    # Services post many events at once, Mandrill a thousand; a bounce may bring back the mail.
    Limit(re.compile(r"/hooks/[^/]+/[^/]+"), 10 * MIB),
    Limit(re.compile(r"/hooks/[^/]+/[^/]+/dsn"), 128 * MIB),  # read to its end, of which only the beginning is kept
)


async def _prepare(context: Context) -> None:
    await keep_environment_provider(context.database, context.secrets, context.settings)
    await say_set_up(context)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. Raises `SettingsError` where a setting is missing; PostgreSQL may come later."""
    settings = settings or load_settings()
    crash_points.arm(settings.crash_at)
    logs.configure(settings.effective_log_format, settings.log_level)
    app = DocumentedApp(
        public_url=settings.public_url,
        port=settings.port,
        lifespan=lifespan(settings, _prepare),
        # The outermost first.
        middleware=[
            Middleware(ClientAddress, trusted=settings.trusted_proxies),
            Middleware(RequestId),
            Middleware(RequestLog),
            Middleware(SecurityHeaders, production=settings.env == "production"),
            Middleware(RateLimits),
            Middleware(UnexpectedErrors),
            Middleware(BodyLimit, default=_BODY_DEFAULT, limits=_BODY_LIMITS),
        ],
    )
    routed = (events, routing, suppressions, oversight, erasure, workspaces, members, keys, tokens, form_api, health)
    for router in (module.router for module in routed):
        app.include_router(router)
    feedback.install(app)
    docs.install(app)
    pages.install(app)  # and with them the handlers of errors, so that browsers see a page
    return app
