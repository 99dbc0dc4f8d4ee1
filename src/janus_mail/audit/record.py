"""Writing down who did what, in the transaction that does it: either both are there, or neither."""

import uuid
from collections.abc import Mapping
from typing import Any, Final, Protocol

import structlog
from uuid_utils.compat import uuid7

from janus_mail.models.states import ActorKind
from janus_mail.storage.database import Connection

# $1 id, $2 workspace, $3 actor_kind, $4 actor_id, $5 actor, $6 address, $7 request_id, $8 action, $9 object_kind,
# $10 object_id, $11 object, $12 before, $13 after.
_INSERT: Final = """
    INSERT INTO audit_log (id, workspace_id, actor_kind, actor_id, actor, address, request_id, action, object_kind,
                           object_id, object, before, after)
    VALUES ($1, $2, $3, $4, $5, nullif($6, ''), $7, $8, $9, $10, $11, $12, $13)
"""


class Actor(Protocol):
    """Who does it: a `Caller`, or what stands for one."""

    @property
    def kind(self) -> ActorKind: ...
    @property
    def actor_id(self) -> uuid.UUID | None: ...
    @property
    def label(self) -> str: ...
    @property
    def address(self) -> str: ...


async def record(
    connection: Connection,
    actor: Actor,
    action: str,
    object_kind: str,
    object_id: uuid.UUID | None = None,
    *,
    workspace_id: uuid.UUID | None,
    name: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Note that `actor` did `action` («provider.changed») to an object.

    `before` and `after` hold what changed, as JSON; whoever calls masks secrets. `workspace_id` is null for what is
    about an account or the server.
    """
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    await connection.execute(
        _INSERT, uuid7(), workspace_id, actor.kind, actor.actor_id, actor.label, actor.address, request_id, action,
        object_kind, object_id, name, None if before is None else dict(before), None if after is None else dict(after),
    )  # fmt: skip
