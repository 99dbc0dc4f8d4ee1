"""Who is let in: a key with the scope, or with the anonymous workspace a program or page of this machine."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel

from janus_mail.accounts.access import (
    ReadEvents,
    WriteEvents,
    WriteWorkspace,
    anonymous_caller,
    caller_for_token,
)
from janus_mail.app import create_app
from janus_mail.keys.key import create_key, revoke_key
from janus_mail.models.states import ActorKind
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from janus_mail.web.context import Context, ContextDep
from janus_mail.web.routes import api_router


class Note(BaseModel):
    text: str


router = api_router("/api/notes", tags=["Notes"])
pages = APIRouter()


@router.get("")
async def read_notes(caller: ReadEvents) -> str:
    return caller.label


@router.post("")
async def write_note(caller: WriteEvents, note: Note) -> str:
    return caller.label


@router.post("/plain")
async def write_plain(caller: WriteEvents) -> str:
    return caller.label


@router.delete("")
async def burn_notes(caller: WriteWorkspace) -> str:
    return caller.label


@pages.api_route("/page", methods=["GET", "POST"])
async def page(context: ContextDep, request: Request) -> str:
    caller = await anonymous_caller(context, request)
    return caller.label if caller else "nobody"


@pytest.fixture(scope="module")
def built_apps(settings_here: Settings) -> dict[bool, FastAPI]:
    """Applications of this module's own, with its routes."""
    anonymous = settings_here.model_copy(update={"anonymous_workspace": "default"})
    apps = {False: create_app(settings_here), True: create_app(anonymous)}
    for app in apps.values():
        app.include_router(router)
        app.include_router(pages)
    return apps


@pytest.fixture
async def stranger(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `app` without a key."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client:
        yield client


async def test_without_a_key_the_answer_is_401_with_its_scheme(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/api/notes")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("sent", ["Bearer", "Bearer wrong", "Bearer janus_aaaaaaaaaa_x", "Basic amFudXM6eA==", "janus"])
async def test_wrong_credentials_are_401(stranger: httpx.AsyncClient, sent: str) -> None:
    assert (await stranger.get("/api/notes", headers={"Authorization": sent})).status_code == 401


async def test_a_key_may_do_what_its_scopes_say(stranger: httpx.AsyncClient, database: Database) -> None:
    key = await create_key(database, workspace="default", name="reader", scopes=["events:read"])
    bearer = {"Authorization": f"Bearer {key}"}
    assert (await stranger.get("/api/notes", headers=bearer)).json() == "API key reader"
    refused = await stranger.post("/api/notes", json={"text": "x"}, headers=bearer)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert "events:write" in refused.json()["error"]


async def test_admin_implies_every_scope(stranger: httpx.AsyncClient, database: Database) -> None:
    key = await create_key(database, workspace="default", name="root", scopes=["admin"])
    bearer = {"Authorization": f"Bearer {key}"}
    assert (await stranger.post("/api/notes", json={"text": "x"}, headers=bearer)).status_code == 200
    assert (await stranger.delete("/api/notes", headers=bearer)).status_code == 200


async def test_every_scope_but_admin_is_not_admin(stranger: httpx.AsyncClient, database: Database) -> None:
    scopes = ["events:read", "events:write", "providers:read", "providers:write"]
    key = await create_key(database, workspace="default", name="most", scopes=scopes)
    assert (await stranger.delete("/api/notes", headers={"Authorization": f"Bearer {key}"})).status_code == 403


async def test_a_token_of_a_form_finds_its_caller(app: FastAPI, database: Database, workspace_id: uuid.UUID) -> None:
    context: Context = app.state.context
    key = await create_key(database, workspace="default", name="form", scopes=["events:write"])
    request = Request({"type": "http", "headers": [], "client": ("198.51.100.7", 50_000)})
    caller = await caller_for_token(context, request, key)
    assert caller is not None
    assert (caller.workspace_id, caller.label) == (workspace_id, "API key form")
    assert caller.scopes == {"events:write"}
    assert (caller.kind, caller.address) == (ActorKind.API_KEY, "198.51.100.7")
    await revoke_key(database, workspace="default", prefix=key.split("_")[1])
    assert await caller_for_token(context, request, key) is None


async def test_without_an_anonymous_workspace_nobody_is_let_in_for_being_near(app: FastAPI) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as near:
        assert (await near.get("/api/notes")).status_code == 401
        assert (await near.get("/page")).json() == "nobody"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost", "LOCALHOST:8000", "[::1]:8000", "[::1]"])
async def test_a_program_on_this_machine_needs_no_key(anonymous_api: httpx.AsyncClient, host: str) -> None:
    answer = await anonymous_api.post("/api/notes", json={"text": "x"}, headers={"Host": host})
    assert (answer.status_code, answer.json()) == (200, "anonymous")


OWN = {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}
FOREIGN: list[dict[str, str]] = [
    {"Host": "evil.example"},  # a name that was rebound to 127.0.0.1
    {"Host": "evil.example:8000"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "evil@127.0.0.1"},
    {"Host": "[::1"},
    {"Host": ""},
    {"Host": "0.0.0.0"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Origin": "http://127.0.0.1:3000"},  # another program's page
    {"Origin": "http://localhost"},  # another name is another origin
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"X-Forwarded-For": "203.0.113.5"},
    {"X-Real-IP": "203.0.113.5"},
    {"Forwarded": "for=203.0.113.5"},
    {"Authorization": "Bearer wrong"},  # who shows credentials means to be them
    {"Authorization": "Basic eDp5"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_a_foreign_page_or_name_cannot_use_the_anonymous_workspace(
    anonymous_api: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert (await anonymous_api.get("/api/notes", headers=headers)).status_code == 401
    assert (await anonymous_api.post("/api/notes", json={"text": "x"}, headers=headers)).status_code == 401


async def test_a_page_of_ours_may(anonymous_api: httpx.AsyncClient) -> None:
    assert (await anonymous_api.post("/api/notes", json={"text": "x"}, headers=OWN)).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_what_a_foreign_form_could_send_is_refused(anonymous_api: httpx.AsyncClient, kind: str) -> None:
    sent: dict[str, Any] = {"content": b'{"text": "x"}', "headers": {"Content-Type": kind}}
    assert (await anonymous_api.post("/api/notes", **sent)).status_code == 415
    # Nor where the route reads nothing, and an object without fields passes for that.
    assert (await anonymous_api.post("/api/notes/plain", **sent | {"content": b"{}"})).status_code == 401


async def test_a_client_that_is_not_on_this_machine_is_refused(anonymous_app: FastAPI) -> None:
    for address in (("192.0.2.7", 4711), ("10.0.0.1", 1)):
        transport = httpx.ASGITransport(anonymous_app, client=address)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as far:
            assert (await far.get("/api/notes")).status_code == 401
            assert (await far.get("/page")).json() == "nobody"


async def test_pages_take_forms_of_their_own_and_no_foreign_ones(anonymous_api: httpx.AsyncClient) -> None:
    form = {"subject": "x"}
    assert (await anonymous_api.post("/page", data=form, headers=OWN)).json() == "anonymous"
    for headers in FOREIGN[:-2]:
        assert (await anonymous_api.post("/page", data=form, headers=headers)).json() == "nobody", headers


async def test_a_link_from_elsewhere_leads_to_a_page_but_not_into_the_api(anonymous_api: httpx.AsyncClient) -> None:
    click = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert (await anonymous_api.get("/page", headers=click)).json() == "anonymous"
    assert (await anonymous_api.post("/page", headers=click)).json() == "nobody"
    assert (await anonymous_api.get("/page", headers={**click, "Sec-Fetch-Dest": "iframe"})).json() == "nobody"
    assert (await anonymous_api.get("/api/notes", headers=click)).status_code == 401


async def test_an_anonymous_workspace_that_is_not_there_lets_nobody_in(
    anonymous_api: httpx.AsyncClient, database: Database
) -> None:
    await database.pool.execute("UPDATE workspaces SET handle = 'renamed'")
    assert (await anonymous_api.get("/api/notes")).status_code == 401
