"""The workspaces of a person: making one, seeing one's own, going from one to another, leaving, deleting."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from uuid_utils.compat import uuid7

from janus_mail.accounts.callers import Caller, Person
from janus_mail.audit.record import Actor, record
from janus_mail.delivery import control
from janus_mail.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthorized
from janus_mail.models.states import ActorKind, Role
from janus_mail.storage.database import Connection, Database
from janus_mail.web import idempotency
from janus_mail.web.context import Context
from janus_mail.web.idempotency import OnceOnly
from janus_mail.workspaces import queries
from janus_mail.workspaces.members import hold_workspace, require_an_owner
from janus_mail.workspaces.schemas import Place, WorkspaceCreate

MAX_PLACES: Final = 100  # that one person is in
_UNDELETABLE: Final = "default"
_AT_ONCE: Final = 5_000  # rows of one statement


@dataclass(frozen=True, slots=True)
class Somebody:
    """A person as an actor, outside any workspace."""

    person: Person
    address: str
    kind: ActorKind = ActorKind.USER

    @property
    def actor_id(self) -> uuid.UUID:
        return self.person.user_id

    @property
    def label(self) -> str:
        return self.person.email


def person_of(caller: Caller) -> Person:
    """Raises Forbidden (`person_needed`) for a key, and for who is anonymous."""
    if caller.person is None:
        raise Forbidden("Only a person may do this: sign in.", code="person_needed")
    return caller.person


async def list_places(database: Database, user_id: uuid.UUID, current: uuid.UUID | None) -> list[Place]:
    """By name."""
    rows = await database.pool.fetch(queries.PLACES, user_id)
    return [Place(id=row["id"], name=row["name"], role=row["role"], current=row["id"] == current) for row in rows]


async def places_of(context: Context, caller: Caller) -> Sequence[Place]:
    """What a key, or somebody anonymous, is in is one workspace."""
    if caller.person is not None:
        return await list_places(context.database, caller.person.user_id, caller.workspace_id)
    return [Place(id=caller.workspace_id, name=caller.workspace_name, role=caller.role, current=True)]


async def create_workspace(
    context: Context, actor: Somebody, wanted: WorkspaceCreate, once: OnceOnly | None = None, *,
    within: uuid.UUID | None = None,
) -> tuple[uuid.UUID, bool]:  # fmt: skip
    """A workspace with this owner, without providers; true says that the same request was answered before.

    `within`: the workspace whose caller sends `once`. Raises Conflict (`too_many_workspaces`, and for the key).
    """
    if once:  # what one made is nothing for the others of that workspace
        once = replace(once, route=f"{once.route} {actor.actor_id}")
    async with context.database.transaction() as connection:
        kept = await idempotency.begin(connection, within, once) if once and within else None
        if kept is not None and kept.resource_id is not None:
            return kept.resource_id, True
        workspace_id = await add_workspace(connection, actor, actor.person.user_id, wanted)
        if once and within:
            await idempotency.keep(connection, within, once, resource_id=workspace_id)
    return workspace_id, False


async def add_workspace(
    connection: Connection, actor: Actor, owner_id: uuid.UUID, wanted: WorkspaceCreate
) -> uuid.UUID:
    """The same in a transaction."""
    await hold_person(connection, owner_id)
    workspace_id = uuid7()
    await connection.execute(
        queries.INSERT_WORKSPACE, workspace_id, wanted.name, wanted.timezone, wanted.from_email
    )  # fmt: skip
    await connection.fetchval(queries.INSERT_MEMBER, workspace_id, owner_id, Role.OWNER)
    await record(
        connection, actor, "workspace.created", "workspace", workspace_id, workspace_id=workspace_id, name=wanted.name,
        after=wanted.model_dump(exclude_none=True),
    )  # fmt: skip
    return workspace_id


async def hold_person(connection: Connection, user_id: uuid.UUID) -> None:
    """Who is to come into one more; until the transaction ends they come into no other, and are not erased.

    Raises Unauthorized where they are erased, Conflict (`too_many_workspaces`).
    """
    if not await connection.fetch(queries.LOCK_PERSON, user_id):
        raise Unauthorized("This account is gone.")
    if await connection.fetchval(queries.COUNT_PLACES, user_id) >= MAX_PLACES:
        raise Conflict(f"A person is in up to {MAX_PLACES} workspaces.", code="too_many_workspaces")


async def switch(context: Context, session_id: uuid.UUID, user_id: uuid.UUID, workspace_id: uuid.UUID) -> None:
    """From now on this browser shows that workspace. Raises NotFound where the person is not in it."""
    if await context.database.pool.fetchval(queries.SWITCH, session_id, user_id, workspace_id) is None:
        raise NotFound("There is no such workspace.")


async def leave(context: Context, caller: Caller) -> None:
    """Raises Conflict (`last_owner`), Forbidden for who is no person."""
    user_id = person_of(caller).user_id
    async with context.database.transaction() as connection:
        workspace = await connection.fetchrow(queries.LOCK_WORKSPACE, caller.workspace_id)
        role = await connection.fetchval(queries.ROLE, caller.workspace_id, user_id)
        if workspace is None or role is None:
            raise NotFound("You are not in this workspace.")
        await connection.execute(queries.DELETE_MEMBER, caller.workspace_id, user_id)
        await require_an_owner(connection, caller.workspace_id, Role(role))
        await connection.execute(queries.REVOKE_TOKENS, caller.workspace_id, user_id)
        await record(
            connection, caller, "member.left", "member", user_id, workspace_id=caller.workspace_id, name=caller.label,
            before={"role": role},
        )  # fmt: skip


async def belongs_to_server(database: Database, workspace_id: uuid.UUID) -> bool:
    """Whether it stays, whoever wants to delete it."""
    row = await database.pool.fetchrow(queries.WORKSPACE, workspace_id)
    return row is not None and row["handle"] == _UNDELETABLE


async def delete_workspace(context: Context, caller: Caller, typed_name: str) -> None:
    """With everything of it, for good. What is leaving at this moment leaves.

    Raises InvalidInput where the name was not typed as it is, Conflict for the workspace `default`, Forbidden for who
    is no person, or no owner any more.
    """
    person_of(caller)
    workspace_id = caller.workspace_id
    async with context.database.transaction() as connection:
        row = await hold_workspace(connection, caller)
        if row["handle"] == _UNDELETABLE:
            raise Conflict("The workspace “default” belongs to the server and stays.", code="default_workspace")
        if typed_name.strip() != row["name"]:
            raise InvalidInput(f"Type the workspace’s name as it is: {row['name']}", code="wrong_name")
        await control.pause(connection, workspace_id)
        await _note_deletion(connection, caller, row["name"], workspace_id)
    # Much at once would hold up everybody; what a crash leaves is paused, and can be deleted again.
    for statement in (queries.DELETE_MESSAGES, queries.DELETE_EVENTS):
        while await context.database.pool.fetchval(statement, workspace_id, _AT_ONCE) == _AT_ONCE:
            pass
    async with context.database.transaction() as connection:
        for statement in queries.DELETE_LOOSE:
            await connection.execute(statement, workspace_id)
        await connection.execute(queries.DELETE_WORKSPACE, workspace_id)
        # In the server's log: nobody reads that of the workspace any more.
        await _note_deletion(connection, caller, row["name"], None)
    await context.list_cache.renew(workspace_id)


async def _note_deletion(connection: Connection, caller: Caller, name: str, log: uuid.UUID | None) -> None:
    await record(
        connection, caller, "workspace.deleted", "workspace", caller.workspace_id, workspace_id=log, name=name
    )  # fmt: skip
