"""Taking an address off a workspace's list: it gets mail again."""

from uuid import UUID

from janus_mail.errors import NotFound
from janus_mail.storage.database import Database
from janus_mail.suppressions import queries
from janus_mail.suppressions.read import read_suppression
from janus_mail.suppressions.schemas import Suppression


async def remove_suppression(database: Database, workspace_id: UUID, named: str) -> Suppression:
    """By id or by address; as it was. What was suppressed stays so until it is tried again. Raises NotFound."""
    suppression = await read_suppression(database, workspace_id, named)
    if await database.pool.execute(queries.REMOVE, workspace_id, suppression.id) == "DELETE 0":
        raise NotFound("This address is not on the list any more.")
    return suppression
