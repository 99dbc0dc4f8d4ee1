"""`/audit` and `/erasures`: what an owner reads there, and does."""

import ast
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from fastapi import FastAPI
from uuid_utils.compat import uuid7

from janus_mail.audit.actors import SYSTEM, Other
from janus_mail.audit.record import record
from janus_mail.models.states import ActorKind
from janus_mail.oversight.schemas import AuditActor, AuditEntryOut, AuditObject
from janus_mail.pages.audit_page import WHAT, WHAT_ON_THE_SERVER
from janus_mail.pages.audit_words import DID, DID_TO_ONESELF, changes, did
from janus_mail.storage.database import Database
from tests.accounts import audit_cases_account, audit_cases_people
from tests.accounts.audit_cases import CASES
from tests.pages.conftest import Visitor
from tests.pages.gallery import Gallery
from tests.pages.reading import faults_of
from tests.people import add_person, signed_in

SOURCE: Final = Path(__file__).parents[2] / "src" / "janus_mail"
ACTION: Final = re.compile(r"[a-z_]+\.[a-z_]+")
ANN = Other(ActorKind.USER, "ann@example.com", uuid7(), "203.0.113.7")


@pytest.fixture
async def provider_id(database: Database, empty_gallery: Gallery) -> uuid.UUID:
    """Ann has changed it."""
    found: uuid.UUID = await database.pool.fetchval("SELECT id FROM providers WHERE name = 'SendGrid'")
    async with database.transaction() as connection:
        await record(
            connection, ANN, "provider.changed", "provider", found, workspace_id=empty_gallery.workspace_id,
            name="SendGrid", before={"rate_per_second": 10}, after={"rate_per_second": 50},
        )  # fmt: skip
    return found


async def test_an_entry_is_a_sentence_with_what_changed_from_where_and_a_way_to_it(
    visitor: Visitor, provider_id: uuid.UUID
) -> None:
    page = await visitor.get("/audit")
    assert faults_of(page) == []
    (entry,) = page.main.one("ol").all("li")
    assert "ann@example.com changed the provider “SendGrid”: rate_per_second 10 → 50" in entry.text
    assert "from 203.0.113.7" in entry.text
    assert entry.one("a", href=f"/providers/{provider_id}/edit").text == "show it"
    assert [cell.text for cell in entry.one("tbody").all("td")] == ["rate_per_second", "10", "50"]


async def test_what_is_gone_has_no_way_to_it(visitor: Visitor, provider_id: uuid.UUID, database: Database) -> None:
    await database.pool.execute("UPDATE providers SET deleted_at = clock_timestamp()")
    page = await visitor.get("/audit")
    assert page.main.one("ol").all("a") == []


async def test_without_an_entry_the_page_says_what_will_be_here(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await visitor.get("/audit")
    assert faults_of(page) == []
    assert "Nothing was changed so far" in page.main.text
    assert page.main.all("a", href="/audit/export") == []


async def test_filters_show_what_fits_and_stay_in_the_form_and_in_the_file(
    visitor: Visitor, provider_id: uuid.UUID
) -> None:
    page = await visitor.get("/audit?action=provider.*&q=sendgrid&actor=ann&period=week")
    assert len(page.main.one("ol").all("li")) == 1
    values = page.form("/audit").values()
    assert values == {"q": "sendgrid", "actor": "ann", "action": "provider.*", "period": "week"}
    link = next(a["href"] for a in page.main.all("a") if a["href"].startswith("/audit/export"))
    file = await visitor.client.get(link)
    assert file.headers["content-type"].startswith("text/csv")
    assert file.text.count("provider.changed") == 1
    nothing = await visitor.get("/audit?q=carrier+pigeon")
    assert faults_of(nothing) == []
    assert "No entry fits." in nothing.main.text


def test_each_action_is_found_by_what_can_be_chosen_in_one_of_the_two_logs() -> None:
    begins = {way.removesuffix("*") for way in (*WHAT, *WHAT_ON_THE_SERVER)}
    assert [action for action in DID if not action.startswith(tuple(begins))] == []


@pytest.mark.parametrize("query", ["object_id=x", "period=never", "scope=all", "q=%25", "action=" + "x" * 400])
async def test_a_strange_address_is_no_error(visitor: Visitor, provider_id: uuid.UUID, query: str) -> None:
    await visitor.get(f"/audit?{query}")


async def test_pages_lead_to_one_another(visitor: Visitor, empty_gallery: Gallery, database: Database) -> None:
    async with database.transaction() as connection:
        for number in range(60):
            await record(
                connection, SYSTEM, "provider.removed", "provider", workspace_id=empty_gallery.workspace_id,
                name=f"P{number}",
            )  # fmt: skip
    seen: list[str] = []
    page = await visitor.get("/audit")
    for _ in range(3):
        seen += [entry.text for entry in page.main.one("ol").all("li")]
        older = page.root.all("a", rel="next")
        page = await visitor.get(older[0]["href"]) if older else page
    assert len(set(seen)) == 60
    newer = page.root.one("a", rel="prev")
    assert len((await visitor.get(newer["href"])).main.one("ol").all("li")) == 25


async def test_words_of_others_are_only_words(visitor: Visitor, empty_gallery: Gallery, database: Database) -> None:
    script = "<script>alert(1)</script>"
    async with database.transaction() as connection:
        await record(
            connection, Other(ActorKind.API_KEY, script), "provider.changed", "provider",
            workspace_id=empty_gallery.workspace_id, name=script, before={script: script}, after={script: [script]},
        )  # fmt: skip
    page = await visitor.get("/audit")
    assert script not in page.html
    assert page.html.count("&lt;script&gt;alert(1)") >= 4


def test_every_action_that_is_recorded_has_a_sentence_of_its_own_and_no_other_is_there() -> None:
    """Those of requests, which `tests/accounts/test_audit_coverage.py` knows, and those of commands and workers: what
    is given to `record`, or to a function that hands it on."""
    assert audit_cases_account
    assert audit_cases_people
    by_requests = {action for actions, _ in CASES.values() for action in actions}
    in_the_code = {action for file in SOURCE.rglob("*.py") for action in _recorded(ast.parse(file.read_text("utf-8")))}
    assert len(in_the_code) > 50
    assert (by_requests | in_the_code) - DID.keys() == set()
    assert DID.keys() - (by_requests | in_the_code) == set()
    assert DID_TO_ONESELF.keys() <= DID.keys()


def _recorded(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func).lstrip("_").startswith(("record", "note")):
            for word in ast.walk(node):
                if isinstance(word, ast.Constant) and isinstance(word.value, str) and ACTION.fullmatch(word.value):
                    yield word.value


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


ANN_IN_THE_LOG: Final = AuditActor(kind=ActorKind.USER, id=ANN.actor_id, label=ANN.label)


def entry(action: str, name: str | None = None, **more: object) -> AuditEntryOut:
    return AuditEntryOut.model_validate(
        {
            "id": uuid7(), "at": "2026-11-21T12:00:00Z", "address": None, "request_id": None, "action": action,
            "actor": AuditActor(kind=ActorKind.SYSTEM, id=None, label="Janus"), "before": None, "after": None,
            "object": AuditObject(kind="thing", id=None, name=name), **more,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (entry("key.revoked", "ci"), "revoked the API key “ci”"),
        (entry("workspace.paused"), "paused all sending"),
        (entry("second_factor.switched_off", "bob@example.com"), "switched the second factor of “bob@example.com” off"),
        (
            entry("second_factor.switched_off", "ann@example.com", actor=ANN_IN_THE_LOG),
            "switched the second factor off",
        ),
        (entry("account.made", "ann@example.com", actor=ANN_IN_THE_LOG), "made their account"),
        (entry("account.made", "bob@example.com", actor=ANN_IN_THE_LOG), "made the account “bob@example.com”"),
        (
            entry(
                "email.changed", "new@example.com", actor=ANN_IN_THE_LOG,
                object=AuditObject(kind="user", id=ANN.actor_id, name="new@example.com"),
                before={"email": "ann@example.com"}, after={"email": "new@example.com"},
            ),
            "changed their address: email ann@example.com → new@example.com",
        ),
        (entry("carrier_pigeon.let_out", "Gus"), "carrier pigeon “Gus”: let out"),
        (
            entry("member.role_changed", "bob@example.com", before={"role": "viewer"}, after={"role": "owner"}),
            "changed the role of “bob@example.com”: role viewer → owner",
        ),
        (
            entry("provider.changed", "A", before={"rate": 1, "quota": 2}, after={"rate": 3, "quota": 4}),
            "changed the provider “A”",
        ),
        (
            entry("provider.changed", "A", before={"from_name": None}, after={"from_name": "x" * 200}),
            "changed the provider “A”",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_an_entry_in_words(given: AuditEntryOut, said: str) -> None:
    assert did(given) == said


def test_values_are_said_as_people_say_them() -> None:
    given = entry("x.y", before={"a": True, "b": ["p", "q"], "c": None}, after={"a": False, "b": [], "d": {"k": 1}})
    assert [(field.name, field.before, field.after) for field in changes(given)] == [
        ("a", "yes", "no"), ("b", "p, q", "none"), ("c", "none", "none"), ("d", "none", "k 1"),
    ]  # fmt: skip


@pytest.fixture
async def owner(app: FastAPI, database: Database, workspace_id: uuid.UUID) -> AsyncIterator[httpx.AsyncClient]:
    user_id = await add_person(database, "owner@example.com", workspace_id=workspace_id)
    async with signed_in(app, database, user_id) as browser:
        browser.follow_redirects = True
        yield browser


async def test_a_recipient_is_erased_from_the_page_and_stands_there_as_a_pseudonym(
    owner: httpx.AsyncClient, database: Database
) -> None:
    visitor = Visitor(owner)
    page = await visitor.get("/erasures")
    assert faults_of(page) == []
    assert "Nobody." in page.main.text
    after = await visitor.send(page, "/erasures", email="ann@example.com", sure="on")
    assert faults_of(after) == []
    assert "Erased: 0 rows changed or removed." in after.main.text
    pseudonym = await database.pool.fetchval("SELECT object FROM audit_log WHERE action = 'recipient.erased'")
    assert pseudonym in after.main.text
    assert "owner@example.com" in after.main.text


@pytest.mark.parametrize("email", ["", "ann", "ann@", "two@example.com, three@example.com"])
async def test_what_is_no_address_is_put_right_and_stays_typed(owner: httpx.AsyncClient, email: str) -> None:
    visitor = Visitor(owner)
    page = await visitor.send(
        await visitor.get("/erasures"), "/erasures", status=400, email=email, unsuppress="on", sure="on"
    )
    assert faults_of(page) == []
    assert "Nobody was erased" in page.main.text
    assert page.form("/erasures").values() | {"csrf_token": ""} == {
        "email": email,
        "unsuppress": "on",
        "csrf_token": "",
    }


async def test_nobody_is_erased_by_the_way(owner: httpx.AsyncClient, database: Database) -> None:
    visitor = Visitor(owner)
    page = await visitor.send(await visitor.get("/erasures"), "/erasures", status=400, email="ann@example.com")
    assert faults_of(page) == []
    assert "Say that you mean it." in page.main.text
    assert await database.pool.fetchval("SELECT count(*) FROM audit_log WHERE object_kind = 'recipient'") == 0
