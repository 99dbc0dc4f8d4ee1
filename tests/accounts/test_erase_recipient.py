"""Erasing a recipient: after a lively time no word of the database names them."""

import json
import uuid
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from uuid_utils.compat import uuid7

from janus_mail.erasure.everywhere import SET_UP, places
from janus_mail.erasure.words import Eraser, new_pseudonym
from janus_mail.feedback.work import FeedbackWork
from janus_mail.models.states import Role
from janus_mail.routing.create import create_provider
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox
from janus_mail.worker import WorkerProcess
from tests.conftest import TEST_KEY
from tests.delivery.conftest import Workshop, quick, shop, worker
from tests.feedback.conftest import PUBLIC_KEY, batch, event, signed
from tests.people import add_person, add_workspace, signed_in

__all__ = ["quick", "shop", "worker"]

ANN = "Ann.Smith@example.org"
OTHERS = ("joann.smith@example.org", "Bob@example.net")


async def words(database: Database, *, but: frozenset[tuple[str, str]] = frozenset()) -> list[tuple[str, str, str]]:
    """Every cell of text or JSON, as (table, column, words)."""
    columns = await database.pool.fetch("""
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name <> 'alembic_version'
          AND (data_type IN ('text', 'jsonb', 'json', 'character varying', 'ARRAY', 'bytea'))
        ORDER BY 1, 2""")
    found: list[tuple[str, str, str]] = []
    for table, column in columns:
        if (table, column) in but:
            continue
        rows = await database.pool.fetch(f'SELECT "{column}" AS cell FROM "{table}" WHERE "{column}" IS NOT NULL')
        for row in rows:
            cell = row["cell"]
            text = cell.decode("latin-1") if isinstance(cell, bytes) else json.dumps(cell, default=str)
            found.append((table, column, text))
    return found


async def naming(database: Database, name: str, *, but: frozenset[tuple[str, str]] = frozenset()) -> list[Any]:
    found = await words(database, but=but)
    forms = (name.lower(), name.lower().replace("@", "%40"))
    hits = [one for one in found if any(form in one[2].lower() for form in forms)]
    longer = [other.lower() for other in OTHERS]
    return [
        (table, column, text) for table, column, text in hits
        if any(form in _without(text.lower(), longer) for form in forms)
    ]  # fmt: skip


def _without(text: str, longer: list[str]) -> str:
    for other in longer:
        text = text.replace(other, "")
    return text


async def erase(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/api/erasures", json={"email": ANN} | fields)
    assert answer.status_code == 200, answer.text
    done: dict[str, Any] = answer.json()
    return done


async def schedule(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    given = {
        "email_subject": "Hello {{name}}", "email_content": "For {{name}}.", "expected_sent_at": "in 2 days",
        "recipients": [{"email": ANN, "name": "Ann Smith", "variables": {"name": "Ann"}}],
    }  # fmt: skip
    answer = await api.post("/api/events", json=given | fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["event"]
    return made


@pytest.fixture
async def provider_id(shop: Workshop) -> uuid.UUID:
    """A sandbox of SendGrid's kind, whose posts are signed."""
    return await create_provider(
        shop.database, SecretBox([TEST_KEY]), shop.workspace_id, kind="sendgrid", name="SendGrid", sandbox=True,
        config={"webhook_public_key": PUBLIC_KEY},
    )  # fmt: skip


@pytest.fixture
async def lively(
    api: httpx.AsyncClient, shop: Workshop, provider_id: uuid.UUID, worker: WorkerProcess
) -> dict[str, dict[str, Any]]:
    """Mail to Ann in every way, delivered and refused, scheduled and told of, and everything that names her."""
    now = {"expected_sent_at": "now"}
    several = [{"email": to, "name": to[:3], "variables": {"name": to[:3]}} for to in (*OTHERS, ANN)]
    events = {
        "alone": await schedule(
            api, **now, metadata={"customer": ANN}, headers={"X-For": ANN}, tags=["ann"], email_html="<p>{{name}}</p>",
            attachments=[{"filename": "ann.txt", "content_type": "text/plain", "content": "QW5u"}],
        ),
        "several": await schedule(api, **now, recipients=several, email_content=f"Ask {ANN} or {OTHERS[0]}"),
        "group": await schedule(
            api, **now, send_as="group", recipients=list(OTHERS), cc=[f"Ann <{ANN}>"], email_subject="All",
            email_content=f"https://example.com/?who={ANN.replace('@', '%40')}", reply_to=f"Ann <{ANN}>",
        ),
        "waiting": await schedule(api),
        "waiting_several": await schedule(api, recipients=several),
        "waiting_group": await schedule(
            api, send_as="group", recipients=[ANN, OTHERS[1]], cc=[OTHERS[0]], email_subject="All", email_content="All"
        ),
    }  # fmt: skip
    for name in ("alone", "several", "group"):
        await shop.until(uuid.UUID(events[name]["id"]), "sent")
    await _tell(api, shop, provider_id, uuid.UUID(events["alone"]["id"]))
    refused = await api.post(
        "/api/suppressions", json={"addresses": [ANN.upper()], "note": f"{ANN} asked"}, headers={"Idempotency-Key": ANN}
    )
    assert refused.status_code == 201
    for state in ("open", "closed"):
        await api.post(f"/api/providers/{provider_id}/circuit", json={"state": state, "reason": f"for {ANN}"})
    return events


async def _tell(api: httpx.AsyncClient, shop: Workshop, provider_id: uuid.UUID, event_id: uuid.UUID) -> None:
    """The service delivers, once worked on, once not yet; it deferred a try in words that name her."""
    token = await shop.database.pool.fetchval("SELECT hook_token FROM providers WHERE id = $1", provider_id)
    message = await shop.message(event_id)
    told = batch(event("open", message["id"], email=ANN, ip="203.0.113.9", useragent=f"Mail of {ANN}"))
    path = f"/hooks/{provider_id}/{token}"
    assert (await api.post(path, content=told, headers=signed(told))).status_code == 200
    while await FeedbackWork(shop.database, tick_s=60).work():
        pass
    later = batch(event("click", message["id"], email=ANN, url=f"https://example.com/{ANN.replace('@', '%40')}"))
    await shop.database.pool.execute(
        """INSERT INTO hook_posts (id, workspace_id, provider_id, kind, body, next_try_at, tries)
           VALUES ($1, $2, $3, 'sendgrid', $4, clock_timestamp() + interval '1 hour', 1)""",
        uuid7(), shop.workspace_id, provider_id, later,
    )  # fmt: skip
    await shop.database.pool.execute(
        "UPDATE attempts SET response = $1 WHERE message_id = $2", f"250 <{ANN}> queued", message["id"]
    )
    await shop.database.pool.execute(
        "UPDATE messages SET last_error = $1 WHERE id = $2", f"450 <{ANN}> is busy", message["id"]
    )


async def test_after_an_erasure_no_word_of_any_table_names_the_recipient(
    api: httpx.AsyncClient, lively: dict[str, dict[str, Any]], database: Database
) -> None:
    named = {(table, column) for table, column, _ in await naming(database, ANN)}
    assert len(named) >= 15, named  # the scenario is lively
    done = await erase(api, unsuppress=True)
    assert await naming(database, ANN) == []
    assert await naming(database, "Ann Smith") == []
    assert done["pseudonym"].startswith("erased-")
    assert done["suppression"] == "removed"
    assert done["counts"].keys() >= {
        "events", "messages", "attempts", "feedback_events", "captured_mails", "hook_posts", "audit_log",
        "idempotency_keys", "message_recipients", "provider_incidents", "suppressions",
    }  # fmt: skip
    assert ANN.lower() not in json.dumps(done).lower()


async def test_what_was_for_them_alone_loses_its_content_and_what_was_for_others_too_keeps_it(
    api: httpx.AsyncClient, lively: dict[str, dict[str, Any]]
) -> None:
    done = await erase(api)
    alone = (await api.get(f"/api/events/{lively['alone']['id']}")).json()
    assert (alone["email_subject"], alone["email_content"], alone["email_html"]) == ("erased", "erased", None)
    assert (alone["attachments"], alone["metadata"], alone["tags"]) == ([], {}, [])
    assert alone["recipients"] == [{"email": done["pseudonym"], "name": None}]
    several = (await api.get(f"/api/events/{lively['several']['id']}")).json()
    assert several["email_subject"] == "Hello {{name}}"
    assert several["email_content"] == f"Ask {done['pseudonym']} or {OTHERS[0]}"
    assert [to["email"] for to in several["recipients"]] == [*OTHERS, done["pseudonym"]]
    assert [to["name"] for to in several["recipients"]] == ["joa", "Bob", None]


async def test_what_waits_for_them_is_canceled_and_the_others_get_theirs(
    api: httpx.AsyncClient, lively: dict[str, dict[str, Any]], shop: Workshop, worker: WorkerProcess
) -> None:
    done = await erase(api)
    assert done["canceled"] == 2
    assert (await api.get(f"/api/events/{lively['waiting']['id']}")).json()["status"] == "canceled"
    messages = await shop.messages(uuid.UUID(lively["waiting_several"]["id"]))
    assert [message["state"] for message in messages] == ["scheduled", "scheduled", "canceled"]
    group = lively["waiting_group"]["id"]
    await api.post(f"/api/events/{group}/send-now")
    await shop.until(uuid.UUID(group), "sent")
    (caught,) = [mail for mail in await shop.captured() if str(mail["message_id"]) == await _message(api, group)]
    assert sorted(caught["recipients"]) == sorted([OTHERS[0], "Bob@example.net"])


async def _message(api: httpx.AsyncClient, event_id: str) -> str:
    (message,) = (await api.get(f"/api/events/{event_id}/messages")).json()["data"]
    found: str = message["id"]
    return found


async def test_an_address_on_the_suppressions_stays_there_unless_it_is_to_go(
    api: httpx.AsyncClient, lively: dict[str, dict[str, Any]], database: Database
) -> None:
    done = await erase(api)
    assert done["suppression"] == "kept"
    assert {(table, column) for table, column, _ in await naming(database, ANN)} == {("suppressions", "address")}
    assert (await api.get(f"/api/suppressions/{ANN}")).status_code == 200
    assert (await erase(api, unsuppress=True))["suppression"] == "removed"
    assert (await api.get(f"/api/suppressions/{ANN}")).status_code == 404


async def test_erasing_twice_changes_nothing_the_second_time(
    api: httpx.AsyncClient, lively: dict[str, dict[str, Any]], database: Database
) -> None:
    await erase(api, unsuppress=True)
    before = await words(database, but=frozenset({("audit_log", "object"), ("audit_log", "after")}))
    again = await erase(api, unsuppress=True)
    assert (again["counts"], again["canceled"], again["suppression"]) == ({}, 0, "none")
    after = await words(database, but=frozenset({("audit_log", "object"), ("audit_log", "after")}))
    added = len(after) - len(before)
    assert added <= 8  # the one entry that says so


async def test_the_erasure_is_in_the_audit_log_with_counts_and_pseudonym(
    api: httpx.AsyncClient, lively: dict[str, dict[str, Any]], database: Database
) -> None:
    done = await erase(api)
    row = await database.pool.fetchrow("SELECT * FROM audit_log WHERE action = 'recipient.erased'")
    assert row is not None
    assert (row["actor"], row["object"], row["object_id"]) == ("API key test", done["pseudonym"], None)
    assert row["after"] == {"canceled": 2, "suppression": "kept", "rows": done["counts"]}


@pytest.mark.parametrize("state", ["sending", "uncertain"])
async def test_mail_in_flight_refuses_the_erasure_and_what_waits_stays_canceled(
    api: httpx.AsyncClient, shop: Workshop, state: str
) -> None:
    leaving, waiting = await shop.event(ANN), await shop.event(ANN, due_in_s=3600)
    await shop.database.pool.execute("UPDATE messages SET state = $2 WHERE event_id = $1", leaving, state)
    answer = await api.post("/api/erasures", json={"email": ANN})
    assert (answer.status_code, answer.json()["code"]) == (409, "mail_in_flight")
    assert "retry-after" in answer.headers
    assert (await shop.message(waiting))["state"] == "canceled"
    assert (await shop.message(leaving))["recipient"] == ANN
    await shop.database.pool.execute("UPDATE messages SET state = 'sent' WHERE event_id = $1", leaving)
    await erase(api)
    assert await naming(shop.database, ANN) == []


async def test_a_group_that_a_worker_holds_is_taken_back_and_leaves_without_them(
    api: httpx.AsyncClient, shop: Workshop
) -> None:
    made = await schedule(api, send_as="group", recipients=[ANN, OTHERS[1]], email_subject="All", email_content="All")
    event_id = uuid.UUID(made["id"])
    await shop.database.pool.execute("UPDATE messages SET state = 'leased' WHERE event_id = $1", event_id)
    fence = (await shop.message(event_id))["fence"]
    await erase(api)
    message = await shop.message(event_id)
    assert (message["state"], message["fence"]) == ("scheduled", fence + 1)


async def test_another_workspace_keeps_what_it_has(api: httpx.AsyncClient, shop: Workshop, database: Database) -> None:
    other = await add_workspace(database, "other")
    theirs = await shop.event(ANN, workspace_id=other)
    await erase(api)
    assert (await shop.message(theirs))["recipient"] == ANN


@pytest.mark.parametrize(
    ("text", "erased"),
    [
        ("ann@example.com", "P"),
        ("ANN@Example.COM, ann@example.com.", "P, P."),
        ("<mailto:ann@example.com>", "<mailto:P>"),
        ("?to=ann%40example.com&x", "?to=P&x"),
        ("a%3Dann%40example.com", "a%3DP"),
        ("\nann@example.com\n", "\nP\n"),
        ("joann@example.com", "joann@example.com"),
        ("ann@example.com.au", "ann@example.com.au"),
        ("x.ann@example.com", "x.ann@example.com"),
        ("ann@example.company", "ann@example.company"),
    ],
)
def test_an_address_is_found_in_words_and_no_longer_one_with_it(text: str, erased: str) -> None:
    assert Eraser("ann@example.com", "P").text(text) == erased
    assert Eraser("ann@example.com", "P").octets(text.encode()) == erased.encode()


def test_a_domain_of_any_script_is_found_in_both_its_forms() -> None:
    eraser = Eraser("ann@xn--bcher-kva.example", "P")
    text = "ann@xn--bcher-kva.example, Ann@Bücher.example, joann@bücher.example"
    assert eraser.text(text) == "P, P, joann@bücher.example"
    assert eraser.octets(text.encode()).decode() == "P, P, joann@bücher.example"
    assert "ann@bücher.example" in eraser.forms


def test_the_name_beside_an_address_goes_with_it_at_any_depth() -> None:
    eraser = Eraser("ann@example.com", "P")
    given = {"to": [{"email": "ANN@example.com", "name": "Ann"}, {"email": "bob@example.com", "name": "Bob"}]}
    assert eraser.value(given) == {"to": [{"email": "P", "name": None}, {"email": "bob@example.com", "name": "Bob"}]}


def test_a_pseudonym_is_another_one_each_time() -> None:
    assert len({new_pseudonym() for _ in range(50)}) == 50


async def test_every_column_of_words_of_a_workspace_is_looked_through_or_left_with_a_reason(database: Database) -> None:
    rows = await database.pool.fetch("""
        SELECT c.table_name, c.column_name FROM information_schema.columns c
        WHERE c.table_schema = 'public' AND (c.data_type IN ('text', 'jsonb', 'json') OR c.udt_name = '_text')
          AND EXISTS (SELECT FROM information_schema.columns w
                      WHERE w.table_name = c.table_name AND w.column_name = 'workspace_id')""")
    looked_through = {(place.table, column) for place in places() for column in place.columns}
    left = {(table, column) for table, column in rows if (table, column) not in looked_through and table not in SET_UP}
    assert left == {
        ("audit_log", "actor_kind"), ("audit_log", "action"), ("audit_log", "object_kind"), ("audit_log", "request_id"),
        ("suppressions", "address"), ("suppressions", "reason"),
    }  # fmt: skip


async def test_only_owners_erase(app: FastAPI, database: Database, workspace_id: uuid.UUID) -> None:
    for role, status in ((Role.OWNER, 200), (Role.EDITOR, 403), (Role.VIEWER, 403)):
        user_id = await add_person(database, f"{role}@example.com", workspace_id=workspace_id, role=role)
        async with signed_in(app, database, user_id) as browser:
            assert (await browser.get("/erasures")).status_code == status
            assert (await browser.post("/erasures", data={"email": ANN})).status_code == 403  # no form of ours
