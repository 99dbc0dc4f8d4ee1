"""Sealing all stored settings anew with the first of `JANUS_SECRET_KEYS`, while everything runs."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import asyncpg

from janus_mail.audit.actors import COMMAND
from janus_mail.audit.record import record
from janus_mail.routing import queries
from janus_mail.storage.database import Connection, Database
from janus_mail.storage.secrets import SecretBox, UnreadableSecret

_BATCH = 50  # their rows are held for milliseconds
_TIMES_TRIED = 5


@dataclass(slots=True)
class Rotated:
    """`lost`: what opens with none of the keys, as (workspace, provider, its id); it stays as it is."""

    renewed: int = 0
    already: int = 0
    lost: list[tuple[str, str, uuid.UUID]] = field(default_factory=list)

    @property
    def looked_at(self) -> int:
        return self.renewed + self.already + len(self.lost)


async def how_many(database: Database) -> int:
    many: int = await database.pool.fetchval(queries.HOW_MANY_SEALED)
    return many


async def rotate(
    database: Database, secrets: SecretBox, *, dry_run: bool = False, tell: Callable[[int], None] = lambda _: None
) -> Rotated:
    """A batch a transaction, so that it may be broken off and run again. `tell` hears after each how many were seen."""
    done = Rotated()
    after = uuid.UUID(int=0)
    while rows := await _batch(database, secrets, after, done, dry_run=dry_run):
        after = rows[-1]["id"]
        tell(done.looked_at)
    if done.renewed and not dry_run:
        async with database.transaction() as connection:
            await record(
                connection, COMMAND, "secrets.rotated", "secrets", workspace_id=None,
                after={"renewed": done.renewed, "lost": len(done.lost)},
            )  # fmt: skip
    return done


async def _batch(
    database: Database, secrets: SecretBox, after: uuid.UUID, done: Rotated, *, dry_run: bool
) -> Sequence[asyncpg.Record]:
    """The rows that were looked at. Who puts a route in order may meet us the other way round: then once more."""
    for left in reversed(range(_TIMES_TRIED)):
        try:
            async with database.transaction() as connection:
                rows = await connection.fetch(queries.SEALED, after, _BATCH)
                found = await _reseal(connection, secrets, rows, dry_run=dry_run)
            break
        except asyncpg.DeadlockDetectedError:
            if not left:
                raise
    done.renewed += found.renewed
    done.already += found.already
    done.lost += found.lost
    return rows


async def _reseal(
    connection: Connection, secrets: SecretBox, rows: Sequence[asyncpg.Record], *, dry_run: bool
) -> Rotated:
    found = Rotated()
    renewed: list[tuple[uuid.UUID, bytes, bytes]] = []
    for row in rows:
        try:
            sealed = secrets.resealed(row["config"])
        except UnreadableSecret:
            found.lost.append((row["workspace"], row["name"], row["id"]))
            continue
        if sealed is None:
            found.already += 1
        else:
            renewed.append((row["id"], row["config"], sealed))
    found.renewed = len(renewed)
    if renewed and not dry_run:
        await connection.execute(queries.RESEAL, *(list(column) for column in zip(*renewed, strict=True)))
    return found
