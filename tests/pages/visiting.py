"""Visitors who are signed in, each in a role."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from janus_mail.models.states import Role
from janus_mail.storage.database import Database
from tests.pages.conftest import Visitor
from tests.people import add_person, signed_in


@asynccontextmanager
async def visiting(
    app: FastAPI, database: Database, email: str, role: Role | None = Role.OWNER, workspace_id: uuid.UUID | None = None
) -> AsyncIterator[Visitor]:
    """A person with this address, made where there is none; without a role in no workspace."""
    user_id = await database.pool.fetchval("SELECT id FROM users WHERE email = $1", email)
    if user_id is None:
        place = workspace_id or await database.pool.fetchval("SELECT id FROM workspaces WHERE handle = 'default'")
        name = email.partition("@")[0].capitalize()
        user_id = await add_person(
            database, email, workspace_id=place if role else None, role=role or Role.OWNER, name=name
        )
    async with signed_in(app, database, user_id) as client:
        client.follow_redirects = True
        yield Visitor(client)
