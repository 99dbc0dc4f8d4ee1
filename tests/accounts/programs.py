"""A program of a person: signs in with their password and keeps the newest pair of tokens."""

import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from janus_mail.gate import passwords
from janus_mail.models.states import Role
from janus_mail.storage.database import Database
from tests.people import add_person

PASSWORD = "four words in a row"
QUICK = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
MARA = "mara@example.com"


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "hasher", QUICK)


class Program:
    """`tokens` is the newest answer that had any."""

    def __init__(self, client: httpx.AsyncClient, user_id: uuid.UUID) -> None:
        self.client, self.user_id = client, user_id
        self.tokens: dict[str, Any] = {}

    async def sign_in(
        self,
        fields: Mapping[str, str] | None = None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **more: str,
    ) -> Any:
        form = {"grant_type": "password", "username": MARA, "password": PASSWORD, **(fields or {}), **more}
        return self._kept(await self.client.post("/api/auth/token", data=form, headers=headers), status)

    async def refresh(self, token: str | None = None, *, status: int = 200, **fields: str) -> Any:
        given = {"refresh_token": token or self.tokens["refresh_token"], **fields}
        return self._kept(await self.client.post("/api/auth/refresh", json=given), status)

    async def revoke(self, token: str | None = None) -> httpx.Response:
        given = {"refresh_token": token or self.tokens["refresh_token"]}
        return await self.client.post("/api/auth/revoke", json=given)

    async def me(self, token: str | None = None) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {token or self.tokens['access_token']}"}
        return await self.client.get("/api/me", headers=bearer)

    def _kept(self, answer: httpx.Response, status: int) -> Any:
        assert answer.status_code == status, answer.text
        if status == 200:
            assert answer.headers["cache-control"] == "no-store"
            self.tokens = answer.json()
        return answer.json()


@pytest.fixture
async def mara(database: Database, workspace_id: uuid.UUID) -> uuid.UUID:
    """An editor of the workspace `default`, with a password."""
    digest = QUICK.hash(PASSWORD)
    return await add_person(database, MARA, workspace_id=workspace_id, role=Role.EDITOR, password_digest=digest)


@pytest.fixture
async def program(app: FastAPI, mara: uuid.UUID) -> AsyncIterator[Program]:
    """Not signed in yet."""
    transport = httpx.ASGITransport(app)
    agent = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver", headers=agent) as client:
        yield Program(client, mara)
