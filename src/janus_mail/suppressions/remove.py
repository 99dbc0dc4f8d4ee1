"""Taking an address off a workspace's list: it gets mail again."""

from janus_mail.accounts.callers import Caller
from janus_mail.audit.record import record
from janus_mail.errors import NotFound
from janus_mail.suppressions import queries
from janus_mail.suppressions.read import read_suppression
from janus_mail.suppressions.schemas import Suppression
from janus_mail.web.context import Context


async def remove_suppression(context: Context, caller: Caller, named: str) -> Suppression:
    """By id or by address; as it was. What was suppressed stays so until it is tried again. Raises NotFound."""
    suppression = await read_suppression(context.database, caller.workspace_id, named)
    async with context.database.transaction() as connection:
        if await connection.execute(queries.REMOVE, caller.workspace_id, suppression.id) == "DELETE 0":
            raise NotFound("This address is not on the list any more.")
        await record(
            connection, caller, "suppression.removed", "suppression", suppression.id, workspace_id=caller.workspace_id,
            name=suppression.address,
            before={"reason": suppression.reason, "source": suppression.source, "since": suppression.since},
        )  # fmt: skip
    return suppression
