"""The cookies of the pages: what each is called and how long it lives, with what protects them all."""

from typing import Final

from fastapi import Request
from starlette.responses import Response

from janus_mail.web.context import context_of

SESSION: Final = "janus_session"
CSRF: Final = "janus_csrf"
FLASH: Final = "janus_done"
THEME: Final = "janus_theme"
HALF_SIGNED_IN: Final = "janus_second_step"  # the password was right; the code is still to come
ZONE: Final = "janus_zone"  # set by janus.js


def read_cookie(request: Request, name: str) -> str | None:
    return request.cookies.get(_full_name(request, name))


def set_cookie(request: Request, response: Response, name: str, value: str, *, max_age_s: int | None = None) -> None:
    """Out of reach for scripts and other sites' forms; without `max_age_s` until the browser is closed."""
    response.set_cookie(
        _full_name(request, name), value, max_age=max_age_s, httponly=True, samesite="lax", secure=_is_secure(request)
    )


def delete_cookie(request: Request, response: Response, name: str) -> None:
    response.delete_cookie(
        _full_name(request, name), httponly=True, samesite="lax", secure=_is_secure(request)
    )  # fmt: skip


def _is_secure(request: Request) -> bool:
    """In production always: a proxy that speaks TLS may not say so."""
    return request.url.scheme == "https" or context_of(request).settings.env == "production"


def _full_name(request: Request, name: str) -> str:
    """`__Host-`: no subdomain and no plain HTTP can set it (RFC 6265bis section 4.1.3.2)."""
    return f"__Host-{name}" if _is_secure(request) else name
