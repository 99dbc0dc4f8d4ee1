"""Which of some addresses are on a workspace's list."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias
from uuid import UUID

import asyncpg

from janus_mail.models.states import SuppressionReason
from janus_mail.storage.database import Connection
from janus_mail.suppressions import queries

Reader: TypeAlias = "Connection | asyncpg.Pool[asyncpg.Record]"


async def listed_among(reader: Reader, workspace_id: UUID, addresses: Sequence[str]) -> Mapping[str, SuppressionReason]:
    """Those that must not be mailed, as they were given, with why."""
    rows = await reader.fetch(queries.LISTED_AMONG, workspace_id, addresses)
    return {row["address"]: SuppressionReason(row["reason"]) for row in rows}
