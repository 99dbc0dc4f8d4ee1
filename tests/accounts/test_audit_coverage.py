"""Whatever changes something is in the audit log: the test finds by itself which requests there are."""

import json
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from janus_mail.storage.database import Database
from tests.accounts import audit_cases_account, audit_cases_people
from tests.accounts.audit_cases import CASES, EXCEPTIONS, OWNER, PASSWORD, Stage
from tests.accounts.programs import quick_passwords
from tests.delivery.conftest import Workshop, quick, shop
from tests.people import HTML, add_person, signed_in
from tests.security.surfaces import surfaces

__all__ = ["audit_cases_account", "audit_cases_people", "quick", "quick_passwords", "shop"]

_READING = {"GET", "HEAD"}


def test_every_request_that_changes_something_is_in_the_audit_log_or_an_exception(
    built_apps: dict[bool, FastAPI],
) -> None:
    found = {str(surface) for surface in surfaces(built_apps[True]) if surface.method not in _READING}
    forgotten = sorted(found - CASES.keys() - EXCEPTIONS.keys())
    assert not forgotten, (
        f"Nothing says what the audit log has of {', '.join(forgotten)}. Call `record` in the transaction of the "
        "change (src/janus_mail/audit/record.py), and name the route in CASES of tests/accounts/audit_cases*.py with "
        "its actions and a request that succeeds. Only what changes nothing, or is told elsewhere, goes into "
        "EXCEPTIONS, with the reason."
    )
    gone = sorted((CASES.keys() | EXCEPTIONS.keys()) - found)
    assert not gone, f"These routes are there no more: {', '.join(gone)}"
    assert not CASES.keys() & EXCEPTIONS.keys()


@pytest.fixture
async def stage(app: FastAPI, database: Database, shop: Workshop, api: httpx.AsyncClient) -> AsyncIterator[Stage]:
    owner_id = await add_person(database, OWNER, workspace_id=shop.workspace_id)
    transport = httpx.ASGITransport(app)
    before = app.state.context
    async with (
        signed_in(app, database, owner_id) as browser,
        httpx.AsyncClient(transport=transport, base_url="http://testserver", headers=HTML) as stranger,
    ):
        yield Stage(app, database, shop, api, browser, owner_id, stranger)
    app.state.context = before


@pytest.mark.parametrize("surface", sorted(CASES))
async def test_who_changes_something_is_named_with_what_they_did(stage: Stage, surface: str) -> None:
    actions, run = CASES[surface]
    answer = await run(stage)
    assert answer.status_code < 400, answer.text.rpartition("<main")[2][:600]
    request_id = answer.headers["x-request-id"]
    rows = await stage.database.pool.fetch("SELECT * FROM audit_log WHERE request_id = $1 ORDER BY id", request_id)
    assert {row["action"] for row in rows} == actions
    for row in rows:
        assert (row["actor"], row["address"]) != ("", None)
        assert row["actor_kind"] in ("user", "api_key")
        of_server = surface.startswith("POST /administration") and row["action"] != "workspace.changed"
        about_people = row["object_kind"] in ("user", "session") and not row["action"].startswith("member.")
        if row["action"] != "workspace.deleted":  # that is in both logs
            assert (row["workspace_id"] is None) is (about_people or of_server), row["action"]
    assert PASSWORD not in json.dumps([dict(row) for row in rows], default=str)
    assert len({row["id"] for row in rows}) == len(rows) <= max(3, len(actions))
    assert all(isinstance(row["id"], uuid.UUID) for row in rows)
