"""Who calls, as they may see it themselves."""

import uuid
from typing import Literal

from pydantic import BaseModel, Field

from janus_mail.accounts import queries_account as queries
from janus_mail.accounts.callers import Caller
from janus_mail.accounts.permissions import ALL_SCOPES, RULES
from janus_mail.models.states import ActorKind, Role
from janus_mail.web.context import Context


class OwnWorkspace(BaseModel):
    """A workspace of a person, and what they are there."""

    id: uuid.UUID
    name: str = Field(title="Name", examples=["Northwind"])
    role: Role = Field(title="What one may there", examples=["editor"])


class OwnPerson(BaseModel):
    """Somebody with an account."""

    id: uuid.UUID
    name: str = Field(title="What others read", examples=["Mara Lind"])
    email: str = Field(title="What one signs in with", examples=["mara@example.com"])
    administrator: bool = Field(title="Of the server")
    workspaces: list[OwnWorkspace] = Field(title="The first one joined comes first")


class OwnKey(BaseModel):
    """The API key of the request."""

    id: uuid.UUID
    name: str = Field(title="What it is called", examples=["ci"])


class CallersWorkspace(BaseModel):
    """The workspace that the credentials open."""

    id: uuid.UUID
    name: str = Field(title="Name", examples=["Northwind"])


class MeAnswer(BaseModel):
    """Who calls: a person, an API key, or whoever sits at this machine."""

    kind: Literal["user", "api_key", "anonymous"] = Field(title="What the credentials are", examples=["user"])
    workspace: CallersWorkspace
    role: Role | None = Field(title="In this workspace; null of an API key", examples=["editor"])
    scopes: list[str] = Field(title="What may be done with them here", examples=[["events:read"]])
    person: OwnPerson | None = Field(title="Null of an API key and on this machine")
    api_key: OwnKey | None = Field(title="Null of a person")


async def read_me(context: Context, caller: Caller) -> MeAnswer:
    kind: Literal["user", "api_key", "anonymous"] = "anonymous"
    person = key = None
    if caller.person is not None:
        kind = "user"
        rows = await context.database.pool.fetch(queries.OWN_WORKSPACES, caller.person.user_id)
        person = OwnPerson(
            id=caller.person.user_id, name=caller.person.name, email=caller.person.email,
            administrator=caller.person.administrator, workspaces=[OwnWorkspace(**row) for row in rows],
        )  # fmt: skip
    elif caller.kind is ActorKind.API_KEY and caller.key_id is not None:
        kind = "api_key"
        key = OwnKey(id=caller.key_id, name=caller.label.removeprefix("API key "))
    scopes = scopes_of(caller.role) if caller.role is not None else [s for s in ALL_SCOPES if s in caller.scopes]
    return MeAnswer(
        kind=kind, workspace=CallersWorkspace(id=caller.workspace_id, name=caller.workspace_name), role=caller.role,
        scopes=list(scopes), person=person, api_key=key,
    )  # fmt: skip


def scopes_of(role: Role) -> list[str]:
    """What a key would need to do as much: the scopes of which the role may do all."""
    return [scope for scope in ALL_SCOPES if all(role in rule.roles for rule in RULES.values() if rule.scope == scope)]
