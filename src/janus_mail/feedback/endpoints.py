"""`/hooks/{provider_id}/{token}`: what services post to us. Checked, stored, answered; worked on later (`work.py`).

Plain Starlette routes, for FastAPI's resolving of dependencies would cost as much as all the rest.
"""

import asyncio
import uuid
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from janus_mail.errors import InvalidInput, Unauthorized, Unavailable
from janus_mail.feedback.hooks import Hook, Hooks
from janus_mail.feedback.reader import Forged, NotNow, Post, Reader
from janus_mail.feedback.readers import DSN, READERS
from janus_mail.feedback.services.dsn import MOST_OCTETS as MOST_OF_MAIL
from janus_mail.feedback.shelf import Kept, Place, shelf_of
from janus_mail.settings import Settings
from janus_mail.storage.coalesce import PerDatabase
from janus_mail.web.context import Context, context_of
from janus_mail.web.rate_limits import charge_hook

_PATIENCE_S: Final = 5.0  # with the database; a service that waits longer has given up
_MAIL_S: Final = 60.0  # for a mail to come in
_LARGE_OCTETS: Final = 128 * 1024  # checked in a thread: others are answered meanwhile
_DONE: Final = b'{"status":"success"}'
_NO_READER: Final = {
    "smtp": "SMTP servers post no feedback. Have mail that bounces posted to this address with /dsn at its end.",
}

_hooks: Final[PerDatabase[Hooks]] = PerDatabase(Hooks)


class _NamedRoute(Route):
    """Known to the log and the metrics by its template."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is not Match.NONE:
            child["route"] = self
        return match, child


def install(app: FastAPI) -> None:
    """Add the routes."""
    methods = ["POST", "HEAD"]  # Mandrill looks with HEAD whether somebody is there
    app.router.routes.append(_NamedRoute("/hooks/{provider_id}/{token}", _take_post, methods=methods))
    app.router.routes.append(_NamedRoute("/hooks/{provider_id}/{token}/dsn", _take_bounce, methods=methods))


async def _take_post(request: Request) -> Response:
    return await _take(request, None)


async def _take_bounce(request: Request) -> Response:
    return await _take(request, DSN)


async def _take(request: Request, kind: str | None) -> Response:
    """200 once it is stored, and not before. `kind` null: the provider's."""
    context = context_of(request)
    async with asyncio.timeout(_PATIENCE_S):
        hook = await _hook_of(request, context)
    await charge_hook(request, hook.provider_id)
    if request.method == "HEAD":
        return Response()
    kind = kind or hook.kind
    reader = READERS.get(kind)
    if reader is None:
        sentence = _NO_READER.get(kind, f"Feedback of the kind {kind} is not read yet.")
        raise Unauthorized(sentence, code="hook_not_set_up")
    shelf = shelf_of(context.database)
    with shelf.place() as place:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"]}
        body = await (_mail(request, place) if kind == DSN else _body(request, place))
        post = Post(headers, body, _url(request.scope, context.settings), datetime.now(UTC))
        await _verify(reader, hook, context, post)
        kept = {name: headers[name] for name in reader.keeps if name in headers}
        async with asyncio.timeout(_PATIENCE_S):
            await shelf.put(Kept(place, hook.workspace_id, hook.provider_id, kind, kept, body))
    context.bell.ring_for_feedback()
    return Response(_DONE, media_type="application/json")


async def _hook_of(request: Request, context: Context) -> Hook:
    """Raises `Unauthorized`, with the same words whatever is wrong with the address."""
    named: Mapping[str, Any] = request.path_params
    try:
        provider_id = uuid.UUID(named["provider_id"])
    except ValueError:
        provider_id = None
    hook = await _hooks(context.database).find(provider_id, named["token"])
    if hook is None:
        raise Unauthorized("There is no such hook: copy its whole address from the provider's page.")
    return hook


async def _body(request: Request, place: Place) -> bytes:
    """Raises `Unavailable` when it does not fit in, `InvalidInput` when its sender goes away."""
    chunks = []
    try:
        async for chunk in request.stream():
            place.grow(len(chunk))
            chunks.append(chunk)
    except ClientDisconnect:
        raise InvalidInput("The body ended before its time.") from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _mail(request: Request, place: Place) -> bytes:
    """Its beginning: servers return the whole mail, and what tells of it comes first. Raises as `_body` does, and
    TimeoutError when not even that comes."""
    mail = bytearray()
    try:
        async with asyncio.timeout(_MAIL_S):
            async for chunk in request.stream():
                begun = chunk[: MOST_OF_MAIL - len(mail)]
                place.grow(len(begun))
                mail += begun
    except ClientDisconnect:
        raise InvalidInput("The body ended before its time.") from None
    except TimeoutError:
        if len(mail) < MOST_OF_MAIL:
            raise
    return bytes(mail)


async def _verify(reader: Reader, hook: Hook, context: Context, post: Post) -> None:
    """Raises `Unauthorized` and `Unavailable`."""
    config = hook.config(context.secrets)
    if config is None:
        raise Unavailable("The provider's settings cannot be read: post it again later.", retry_after_s=60)
    try:
        if len(post.body) > _LARGE_OCTETS and not reader.fetches:
            await asyncio.to_thread(_run, reader.verify(config, post))
        else:
            await reader.verify(config, post)
    except Forged as error:
        raise Unauthorized(str(error), code=error.code) from None
    except NotNow as error:
        raise Unavailable(str(error), retry_after_s=30) from None


def _run(check: Coroutine[Any, Any, None]) -> None:
    """One that waits for nothing."""
    try:
        check.send(None)
    except StopIteration:
        return
    check.close()
    raise RuntimeError("A check that waits cannot be run in a thread: its reader is to say `fetches`.")


def _url(scope: Scope, settings: Settings) -> str:
    """As the service was told it."""
    base = settings.public_url or f"http://localhost:{settings.port}"
    query = scope["query_string"].decode("latin-1")
    return f"{base.rstrip('/')}{scope['path']}" + (f"?{query}" if query else "")
