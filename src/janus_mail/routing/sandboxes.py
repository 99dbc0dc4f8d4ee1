"""A first try without any account: the three sandbox providers that `make run` begins with."""

from datetime import UTC, datetime

from janus_mail.accounts.callers import Caller
from janus_mail.errors import Conflict
from janus_mail.routing import queries
from janus_mail.routing.create import add_provider
from janus_mail.routing.seed import FROM_EMAIL, FROM_NAME, SANDBOX
from janus_mail.web.context import Context


async def add_sandboxes(context: Context, caller: Caller) -> None:
    """For a workspace without providers. Where mail has no usual sender yet, it gets one, so that it can be sent.

    Raises Conflict (`has_providers`).
    """
    async with context.database.transaction() as connection:
        await connection.execute(queries.LOCK_WORKSPACE, caller.workspace_id)
        if await connection.fetch(queries.IN_ROUTE, caller.workspace_id):
            raise Conflict("This workspace has providers already.", code="has_providers")
        await connection.execute(queries.SET_MISSING_SENDER, caller.workspace_id, FROM_EMAIL, FROM_NAME)
        for provider in SANDBOX:
            await add_provider(connection, context.secrets, caller.workspace_id, actor=caller, **provider)
    await context.list_cache.renew(caller.workspace_id)
    context.bell.ring([datetime.now(UTC)])
