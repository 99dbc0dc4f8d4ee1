"""What whoever runs the server sees and decides of its workspaces, by commands and on the administration's page."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg
from pydantic import TypeAdapter, ValidationError

from janus_mail.audit.actors import COMMAND
from janus_mail.audit.record import Actor, record
from janus_mail.errors import Conflict, Detail, InvalidInput, NotFound
from janus_mail.storage.database import Connection, Database
from janus_mail.workspaces import queries
from janus_mail.workspaces.places import add_workspace
from janus_mail.workspaces.schemas import WorkspaceCreate
from janus_mail.workspaces.usage import count_month

MOST: Final = 2_147_483_647  # PostgreSQL's integer
_CREATE: Final[TypeAdapter[WorkspaceCreate]] = TypeAdapter(WorkspaceCreate)


@dataclass(frozen=True, slots=True)
class Supervised:
    """A workspace as the server's administrator sees it. Of quotas null is the server's, 0 any number."""

    id: uuid.UUID
    name: str
    members: int
    minute_quota: int | None
    monthly_quota: int | None
    paused_at: datetime | None
    created_at: datetime


def read_quota(option: str, text: str) -> int | None:
    """As a command names one: «usual» is null. Raises InvalidInput."""
    if text.strip().lower() == "usual":
        return None
    if not re.fullmatch("[0-9]{1,10}", text) or int(text) > MOST:
        raise InvalidInput(f"{option} is a whole number up to {MOST:,}, or `usual`.")
    return int(text)


async def list_all(database: Database) -> Sequence[Supervised]:
    """Oldest first."""
    return [_supervised(row) for row in await database.pool.fetch(queries.ALL_WORKSPACES)]


async def create_for(database: Database, *, name: str, owner: str) -> uuid.UUID:
    """A workspace for somebody who has an account; its id. Raises NotFound, InvalidInput, Conflict."""
    try:
        wanted = _CREATE.validate_python({"name": name})
    except ValidationError:
        raise InvalidInput("A workspace's name is 1 to 100 printable characters.") from None
    async with database.transaction() as connection:
        owner_id = await connection.fetchval(queries.USER_CALLED, owner.strip())
        if owner_id is None:
            raise NotFound(f"Nobody has an account with the address {owner}.")
        return await add_workspace(connection, COMMAND, owner_id, wanted)


async def set_quotas(
    database: Database, name_or_id: str, changes: Mapping[str, int | None], *, actor: Actor = COMMAND
) -> Supervised:
    """Change those that are given. Raises NotFound, InvalidInput, Conflict where several have the name."""
    for field, quota in changes.items():
        if quota is not None and not 0 <= quota <= MOST:
            sentence = f"A quota is 0 to {MOST:,}."
            raise InvalidInput(sentence, details=[Detail(field, sentence)])
    async with database.transaction() as connection:
        before = await _called(connection, name_or_id)
        after = {
            "minute_quota": changes.get("minute_quota", before.minute_quota),
            "monthly_quota": changes.get("monthly_quota", before.monthly_quota),
        }
        was = {"minute_quota": before.minute_quota, "monthly_quota": before.monthly_quota}
        if after != was:
            await connection.execute(queries.SET_QUOTAS, before.id, after["minute_quota"], after["monthly_quota"])
            if after["monthly_quota"]:
                await count_month(connection, before.id)
            await record(
                connection, actor, "workspace.changed", "workspace", before.id, workspace_id=before.id,
                name=before.name, before=was, after=after,
            )  # fmt: skip
        return await _called(connection, str(before.id))


async def _called(connection: Connection, name_or_id: str) -> Supervised:
    rows = await connection.fetch(queries.WORKSPACES_CALLED, name_or_id)
    if not rows:
        raise NotFound(f"There is no workspace {name_or_id!r}.")
    if len(rows) > 1:
        raise Conflict(f"Several workspaces are called {name_or_id!r}: use the id, which `list` shows.")
    return _supervised(rows[0])


def _supervised(row: asyncpg.Record) -> Supervised:
    return Supervised(
        row["id"], row["name"], row["members"], row["minute_quota"], row["monthly_quota"], row["paused_at"],
        row["created_at"],
    )  # fmt: skip
