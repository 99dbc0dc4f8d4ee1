"""The server's own AWS credentials: no workspace sends with them unless whoever runs Janus has said so."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from janus_mail.availability.allowances import LENDS_NOTHING, Allowances
from janus_mail.availability.provider_book import ProviderBook
from janus_mail.errors import InvalidInput
from janus_mail.providers.ses import SesAdapter
from janus_mail.providers.timeouts import Timeouts
from janus_mail.routing.config import refuse_borrowing
from janus_mail.web.context import Context
from janus_mail.worker import WorkerProcess

ROLE = {"region": "eu-west-1", "use_default_credentials": True}
KEYS = {"region": "eu-west-1", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI"}
SES = {"kind": "ses", "name": "SES"}
FIELD = "config.use_default_credentials"


@pytest.fixture
def lent(app: FastAPI, context: Context) -> Iterator[None]:
    settings = context.settings.model_copy(update={"aws_default_credentials": True})
    app.state.context = replace(context, settings=settings)
    yield
    app.state.context = context


async def add(api: httpx.AsyncClient, config: dict[str, Any], **more: Any) -> httpx.Response:
    return await api.post("/api/providers", params={"verify": "false"}, json={**SES, "config": config, **more})


async def test_a_provider_that_would_use_them_is_refused_and_not_stored(api: httpx.AsyncClient) -> None:
    answer = await add(api, ROLE)
    assert (answer.status_code, answer.json()["code"]) == (400, "not_lent")
    (detail,) = answer.json()["details"]
    assert (detail["field"], detail["message"]) == (FIELD, f"{LENDS_NOTHING}.")
    assert (await api.get("/api/providers")).json()["data"] == []


async def test_one_with_keys_cannot_be_changed_to_them(api: httpx.AsyncClient) -> None:
    made = (await add(api, KEYS)).json()
    own = {**ROLE, "access_key_id": None, "secret_access_key": None}
    answer = await api.patch(f"/api/providers/{made['id']}", params={"verify": "false"}, json={"config": own})
    assert (answer.status_code, answer.json()["code"]) == (400, "not_lent")
    assert (await api.get(f"/api/providers/{made['id']}")).json()["config"] == made["config"]


async def test_a_sandbox_sends_nothing_and_may_be_set_up_so(api: httpx.AsyncClient) -> None:
    answer = await add(api, ROLE, sandbox=True)
    assert answer.status_code == 201
    assert answer.json()["sandbox"]


@pytest.mark.usefixtures("lent")
async def test_where_they_are_lent_it_is_set_up_and_can_be_used(
    app: FastAPI, api: httpx.AsyncClient, workspace_id: uuid.UUID
) -> None:
    assert (await add(api, ROLE)).status_code == 201
    book = _book(app.state.context, lends=True)
    (provider,) = await book.of(workspace_id)
    assert isinstance(provider.adapter, SesAdapter)
    await book.close()


async def test_one_that_was_set_up_while_they_were_lent_is_left_out_with_the_reason(
    app: FastAPI, context: Context, api: httpx.AsyncClient, workspace_id: uuid.UUID, lent: None
) -> None:
    provider_id = (await add(api, ROLE, from_email="news@example.com")).json()["id"]
    app.state.context = context  # the setting is off again
    for book in (_book(context, lends=False), _workers_book(context)):
        (provider,) = await book.of(workspace_id)
        assert (provider.adapter, provider.unusable) == (None, LENDS_NOTHING)
    mail = {
        "email_subject": "Hi",
        "email_content": "Hi",
        "recipients": "a@example.org",
        "expected_sent_at": "in 2 days",
    }
    dry = (await api.post("/api/events/dry-run", json=mail)).json()
    assert [one["reason"] for one in dry["route"]["left_out"]] == [LENDS_NOTHING]
    verified = (await api.post(f"/api/providers/{provider_id}/verify")).json()["verification"]
    assert (verified["ok"], verified["code"]) == (False, "not_lent")
    tried = await api.post(f"/api/providers/{provider_id}/test", json={"to": "a@example.org"})
    assert (tried.status_code, tried.json()["code"]) == (409, "provider_unusable")
    assert LENDS_NOTHING in tried.json()["error"]


def test_keys_of_the_workspaces_own_and_other_kinds_are_nobodys_business() -> None:
    refuse_borrowing("ses", KEYS, sandbox=False, lends=False)
    refuse_borrowing("ses", {**KEYS, "use_default_credentials": False}, sandbox=False, lends=False)
    refuse_borrowing("smtp", {"host": "mx"}, sandbox=False, lends=False)
    refuse_borrowing("ses", ROLE, sandbox=False, lends=True)
    with pytest.raises(InvalidInput):
        refuse_borrowing("ses", ROLE, sandbox=False, lends=False)


def _book(context: Context, *, lends: bool) -> ProviderBook:
    return ProviderBook(context.database, context.secrets, Timeouts(), allowed=Allowances(own_credentials=lends))


def _workers_book(context: Context) -> ProviderBook:
    return WorkerProcess(context.settings, context.database, None, uuid.uuid4())._book
