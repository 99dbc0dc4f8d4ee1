"""The history of a provider's circuits: what was down, from when to when, and who took its mail meanwhile."""

import uuid

from janus_mail.routing import queries
from janus_mail.routing.read import no_such_provider
from janus_mail.routing.schemas import Incident, IncidentProvider
from janus_mail.storage.database import Database

MOST_CHANGES = 100  # of one incident; a provider that is down for days is tried every ten minutes


async def list_incidents(
    database: Database,
    workspace_id: uuid.UUID,
    provider_id: uuid.UUID,
    *,
    after: uuid.UUID | None = None,
    limit: int = 10,
) -> list[Incident]:
    """Newest first, those behind `after` where given. Raises `NotFound`."""
    if not await database.pool.fetchval(queries.IS_IN_ROUTE, workspace_id, provider_id):
        raise no_such_provider()
    rows = await database.pool.fetch(queries.INCIDENTS, workspace_id, provider_id, after, limit, MOST_CHANGES)
    return [Incident.model_validate({**row}) for row in rows]


class LatestIncident(Incident):
    """One of any provider of the route."""

    provider: IncidentProvider


async def latest_incidents(database: Database, workspace_id: uuid.UUID, *, limit: int) -> list[LatestIncident]:
    """Over all providers of the route: those that go on first, then the newest."""
    rows = await database.pool.fetch(queries.LATEST_INCIDENTS, workspace_id, limit, MOST_CHANGES)
    found = [LatestIncident.model_validate({**row}) for row in rows]
    return sorted(found, key=lambda incident: incident.closed_at is not None)
