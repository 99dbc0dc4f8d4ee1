"""What every route reaches: the process's connections, opened by the app's lifespan."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from redis.asyncio import Redis

from janus_mail.delivery.bell import Bell
from janus_mail.errors import Unavailable
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from janus_mail.storage.list_cache import ListCache
from janus_mail.storage.secrets import SecretBox
from janus_mail.web.limiter import Limiter


@dataclass(frozen=True, slots=True)
class Context:
    """One per process, at `app.state.context` as soon as PostgreSQL was reached."""

    settings: Settings
    database: Database
    redis: Redis | None
    list_cache: ListCache
    secrets: SecretBox
    bell: Bell
    limiter: Limiter


def context_of(request: Request) -> Context:
    """For what knows the request: a dependency in a dependency costs as much as reading a body. Raises Unavailable."""
    context: Context | None = getattr(request.app.state, "context", None)
    if context is None:
        raise Unavailable("The database cannot be reached yet: try again in 2 seconds.", retry_after_s=2)
    return context


async def _of(request: Request) -> Context:
    return context_of(request)


ContextDep = Annotated[Context, Depends(_of)]
