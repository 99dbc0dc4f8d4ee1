"""What PostgreSQL does for the hot statements of delivery: `EXPLAIN (ANALYZE, BUFFERS)`, kept as text.

Each runs in a transaction that is rolled back.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from uuid_utils.compat import uuid7

from janus_mail.delivery.queries import lease, tries
from janus_mail.storage.database import Connection, Database

_LANES = "SELECT DISTINCT priority, workspace_id FROM messages WHERE state = 'scheduled' ORDER BY 1, 2"
_LEASE_S = 60.0


async def read_plans(database: Database, *, most: int) -> dict[str, str]:
    """By statement: claims, the looks for lanes and for what is due next, begin and finish of what was claimed."""
    plans: dict[str, str] = {}
    lanes = await database.pool.fetch(_LANES)
    worker_id, each = uuid7(), max(most // max(len(lanes), 1), 1)
    by_lane = (
        [each] * len(lanes), worker_id, _LEASE_S, [lane["priority"] for lane in lanes],
        [lane["workspace_id"] for lane in lanes],
    )  # fmt: skip
    async with _undone(database) as connection:
        for name, statement, arguments in (
            ("lanes", lease.LANES, (most,)),
            ("next-due", lease.NEXT_DUE, ()),
            ("claim-by-lane", lease.CLAIM_BY_LANE, by_lane),
            ("claim-by-time", lease.CLAIM_BY_TIME, (most, worker_id, _LEASE_S)),
        ):
            plans[name] = await _explain(connection, statement, *arguments)
    async with _undone(database) as connection:
        claimed = await connection.fetch(lease.CLAIM_BY_TIME, most, worker_id, _LEASE_S)
        many, attempts = len(claimed), [uuid7() for _ in claimed]
        tried = [row["id"] for row in claimed], [row["fence"] for row in claimed], [worker_id] * many
        plans["begin"] = await _explain(
            connection, tries.BEGIN, worker_id, _LEASE_S, attempts, *tried, ["smtp"] * many, ["sink"] * many,
            [f"<{row['id']}@example.com>" for row in claimed], [datetime.now(UTC)] * many,
        )  # fmt: skip
        plans["finish"] = await _explain(
            connection, tries.FINISH, worker_id, attempts, *tried, ["250"] * many, ["2.0.0 Ok"] * many, [0] * many,
            [1] * many, ["queued"] * many,
        )  # fmt: skip
    return plans


def keep_plans(plans: Mapping[str, str], folder: Path) -> None:
    """One file a statement."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, plan in plans.items():
        (folder / f"{name}.txt").write_text(plan)


@asynccontextmanager
async def _undone(database: Database) -> AsyncIterator[Connection]:
    async with database.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            yield connection
        finally:
            await transaction.rollback()


async def _explain(connection: Connection, statement: str, *arguments: object) -> str:
    lines = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", *arguments)
    return "\n".join(line[0] for line in lines) + "\n"
