"""Limits in force for a test, who asks from where, and what they are told of it."""

import dataclasses

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp

from janus_mail.web.context import Context
from janus_mail.web.limiter import Limiter

HEADERS = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")

NONE = {f"rate_limit_{name}": 0 for name in ("read", "write", "send", "workspace", "address", "refused", "pages")}


def limited(app: FastAPI, **limits: int) -> Context:
    """From now on these limits are in force, those not named are not, and no window ends."""
    context: Context = app.state.context
    settings = context.settings.model_copy(update=NONE | {f"rate_limit_{name}": many for name, many in limits.items()})
    limiter = Limiter(context.redis, clock=lambda: 1_800_000_000.0)
    context = app.state.context = dataclasses.replace(context, settings=settings, limiter=limiter)
    return context


def client_of(app: ASGIApp, key: str | None = None, *, address: str = "198.51.100.9") -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    transport = httpx.ASGITransport(app, client=(address, 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://testserver", headers=headers)


def told(answer: httpx.Response) -> tuple[int, int]:
    """Limit and remaining; the third is a time."""
    assert 0 < int(answer.headers["ratelimit-reset"]) <= 60
    return int(answer.headers["ratelimit-limit"]), int(answer.headers["ratelimit-remaining"])


def check_refusal(answer: httpx.Response) -> None:
    assert answer.status_code == 429
    assert answer.json()["code"] == "too_many_requests"
    assert answer.headers["retry-after"] == answer.headers["ratelimit-reset"]
    assert f"Try again in {answer.headers['retry-after']} second" in answer.json()["error"]
    assert told(answer)[1] == 0
