"""Sealing second factors and unsent mail of our own anew with the first of `JANUS_SECRET_KEYS`, as all goes on."""

import uuid
from typing import Final

import asyncpg

from janus_mail.accounts import queries_account as queries
from janus_mail.routing.rotate import Rotated
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox, UnreadableSecret

_BATCH: Final = 50  # their rows are held for milliseconds
_SEALED: Final = (
    (queries.SEALED_SECOND_FACTORS, queries.RESEAL_SECOND_FACTOR),
    (queries.SEALED_MAILS, queries.RESEAL_MAIL),
)


async def rotate_accounts(database: Database, secrets: SecretBox, done: Rotated, *, dry_run: bool = False) -> None:
    """Adds to `done` what was found; a batch a transaction, so that it may be broken off and run again.

    Who lost their second factor signs in with a recovery code.
    """
    for read, reseal in _SEALED:
        after = uuid.UUID(int=0)
        while True:
            async with database.transaction() as connection:
                rows = await connection.fetch(read, after, _BATCH)
                for row in rows:
                    sealed = _resealed(secrets, row, done)
                    if sealed is not None and not dry_run:
                        await connection.execute(reseal, row["id"], sealed)
            if not rows:
                break
            after = rows[-1]["id"]


def _resealed(secrets: SecretBox, row: asyncpg.Record, done: Rotated) -> bytes | None:
    try:
        sealed = secrets.resealed(row["sealed"])
    except UnreadableSecret:
        done.lost.append(("the accounts", row["name"], row["id"]))
        return None
    if sealed is None:
        done.already += 1
    else:
        done.renewed += 1
    return sealed
