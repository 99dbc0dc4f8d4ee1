"""A test mail: at once, through one provider, its try in full; recorded as every mail is."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.policy import default
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from janus_mail.delivery import one_off
from janus_mail.delivery.queries import lease, repair
from janus_mail.storage.database import Database
from janus_mail.web.context import Context
from tests.pages.reading import Page
from tests.people import add_person, program_of, signed_in
from tests.providers.scripted_smtp import Act, Held, ScriptedSmtp
from tests.routing.conftest import SMTP, circuit_row


@pytest.fixture
async def server() -> AsyncIterator[ScriptedSmtp]:
    started = await ScriptedSmtp(offers=("AUTH PLAIN",)).start()
    yield started
    await started.stop()


@pytest.fixture
async def relay(api: httpx.AsyncClient, server: ScriptedSmtp) -> str:
    config = {**SMTP, "host": "127.0.0.1", "port": server.port, "security": "none"}
    body = {"kind": "smtp", "name": "Relay {{x}}", "config": config}
    made = await api.post("/api/providers?verify=false", json=body)
    return f"/api/providers/{made.json()['id']}"


async def message_of(context: Context, answer: httpx.Response) -> dict[str, Any]:
    row = await context.database.pool.fetchrow(
        "SELECT * FROM messages WHERE id = $1", uuid.UUID(answer.json()["message_id"])
    )
    assert row is not None
    return dict(row)


async def test_it_answers_with_the_try_in_full(api: httpx.AsyncClient, relay: str, server: ScriptedSmtp) -> None:
    answer = await api.post(f"{relay}/test", json={"to": "ann@example.org"})

    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["outcome"], said["code"], said["response"]) == ("accepted", "250 2.0.0", "2.0.0 Ok: queued as 4XyZ12")
    assert (said["to"], said["from_email"], said["state"]) == ("ann@example.org", "janus@example.com", "sent")
    assert said["provider_message_id"] == "4XyZ12"
    assert said["provider"] == {"id": relay.rpartition("/")[2], "kind": "smtp", "name": "Relay {{x}}"}
    assert said["started_at"] <= said["dispatched_at"] <= said["finished_at"]
    [mail] = server.mails
    assert (mail.sender, mail.recipients) == ("janus@example.com", ["ann@example.org"])
    parsed = message_from_bytes(mail.content, policy=default)
    assert parsed["Message-ID"] == said["message_id_header"]
    assert parsed["Subject"] == "Test mail through Relay { {x}}"
    assert parsed["From"] == "Janus <janus@example.com>"
    assert parsed.get_content_type() == "multipart/alternative"
    assert "to see whether it works" in mail.content.decode()


async def test_a_person_gets_it_at_their_own_address(
    app: FastAPI, api: httpx.AsyncClient, relay: str, database: Database, workspace_id: uuid.UUID
) -> None:
    mara = await add_person(database, "mara@example.org", workspace_id=workspace_id)
    own = relay.removeprefix("/api") + "/test"
    async with signed_in(app, database, mara) as browser:
        form = Page((await browser.get(own)).text).form(own)
    assert form.values()["to"] == "mara@example.org"
    token = await program_of(database, mara, workspace_id)
    said = await api.post(f"{relay}/test", headers={"Authorization": f"Bearer {token}"})
    assert said.json()["to"] == "mara@example.org"


async def test_it_is_an_event_like_every_other(api: httpx.AsyncClient, relay: str) -> None:
    said = (await api.post(f"{relay}/test")).json()
    assert said["to"] == "janus@example.com"
    event = (await api.get(f"/api/events/{said['event_id']}")).json()
    assert (event["status"], event["counts"]["sent"], event["failover"]) == ("sent", 1, False)
    message = (await api.get(f"/api/messages/{said['message_id']}")).json()
    assert [attempt["outcome"] for attempt in message["attempts"]] == ["accepted"]


async def test_a_sandbox_keeps_it_in_the_mailbox(
    api: httpx.AsyncClient, context: Context, sandboxes: list[str]
) -> None:
    said = (await api.post(f"/api/providers/{sandboxes[0]}/test", json={"to": "ann@example.org"})).json()
    assert said["outcome"] == "accepted"
    caught = await context.database.pool.fetchrow("SELECT * FROM captured_mails")
    assert caught is not None
    assert (str(caught["message_id"]), caught["subject"]) == (said["message_id"], "Test mail through Amazon SES")


@pytest.mark.parametrize(
    ("verb", "reply", "outcome", "state"),
    [
        ("AUTH", "535 5.7.8 a-long-password is wrong", "provider_broken", "failed"),
        ("RCPT", "550 5.1.1 Nobody of that name", "recipient_rejected", "failed"),
        ("RCPT", "451 4.7.1 Greylisted", "recipient_deferred", "failed"),
        ("DOT", "554 5.6.0 Nonsense", "message_rejected", "failed"),
        ("DOT", Act.CLOSE, "uncertain", "uncertain"),
        ("BANNER", Act.CLOSE, "provider_down", "failed"),
    ],
)
async def test_a_refusal_is_an_answer_too_and_nothing_is_tried_again(
    api: httpx.AsyncClient, context: Context, relay: str, server: ScriptedSmtp, verb: str, reply: Any,
    outcome: str, state: str,
) -> None:  # fmt: skip
    server.always[verb] = reply
    answer = await api.post(f"{relay}/test", json={"to": "ann@example.org"})
    assert (answer.status_code, answer.json()["outcome"], answer.json()["state"]) == (200, outcome, state)
    assert "a-long-password" not in answer.text
    assert (await message_of(context, answer))["attempt_count"] == 1


async def test_neither_circuit_nor_switch_nor_quota_stand_in_its_way(
    api: httpx.AsyncClient, context: Context, relay: str, server: ScriptedSmtp
) -> None:
    await circuit_row(context, relay.rpartition("/")[2], until_in_s=None)
    await api.patch(relay, json={"enabled": False, "daily_quota": 1})
    for _ in range(2):
        assert (await api.post(f"{relay}/test", json={"to": "ann@example.org"})).json()["outcome"] == "accepted"
    assert len(server.mails) == 2


async def test_one_at_a_time(api: httpx.AsyncClient, relay: str, server: ScriptedSmtp) -> None:
    server.script({"DOT": [Act.SILENCE]})
    first = asyncio.create_task(api.post(f"{relay}/test", json={"to": "ann@example.org"}))
    await server.until(lambda: any(talk.step == "DOT" for talk in server.conversations))

    second = await api.post(f"{relay}/test", json={"to": "ann@example.org"})

    assert (second.status_code, second.json()["code"]) == (409, "test_in_progress")
    server.conversations[0].writer.transport.abort()
    assert (await first).json()["outcome"] == "uncertain"
    assert (await api.post(f"{relay}/test", json={"to": "ann@example.org"})).json()["outcome"] == "accepted"


async def test_two_at_the_same_time_are_one(api: httpx.AsyncClient, relay: str, server: ScriptedSmtp) -> None:
    asked = [api.post(f"{relay}/test", json={"to": "ann@example.org"}) for _ in range(6)]
    statuses = [answer.status_code for answer in await asyncio.gather(*asked)]
    assert set(statuses) <= {200, 409}
    assert statuses.count(200) == len(server.mails)
    assert server.most_open == 1


async def test_one_that_gets_no_answer_is_uncertain_and_then_a_persons(
    api: httpx.AsyncClient, context: Context, relay: str, server: ScriptedSmtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_off, "MOST_S", 0.3)
    server.script({"DOT": [Act.SILENCE]})
    answer = await api.post(f"{relay}/test", json={"to": "ann@example.org"})
    assert (answer.json()["outcome"], answer.json()["code"]) == ("uncertain", "timeout")
    await context.database.pool.execute("UPDATE messages SET next_try_at = clock_timestamp()")
    await context.database.pool.fetch(repair.RESOLVE, 10)
    assert (await message_of(context, answer))["state"] == "parked"


async def test_what_a_crash_leaves_before_the_mail_began_never_leaves_later(
    api: httpx.AsyncClient, context: Context, relay: str, server: ScriptedSmtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(one_off, "_through", crash)
    with pytest.raises(asyncio.CancelledError):
        await api.post(f"{relay}/test", json={"to": "ann@example.org"})
    pool = context.database.pool
    assert await pool.fetchval("SELECT state FROM messages") == "leased"
    assert await pool.fetch(lease.CLAIM_BY_TIME, 10, uuid.uuid4(), 60.0) == []

    await pool.execute("UPDATE messages SET lease_expires_at = lease_expires_at - interval '1 hour', "
                       "expires_at = expires_at - interval '1 hour'")  # fmt: skip
    await pool.fetch(repair.REAP, 10, 0.0, 0.0)
    assert await pool.fetch(lease.CLAIM_BY_TIME, 10, uuid.uuid4(), 60.0) == []
    assert await pool.fetchval("SELECT state FROM messages") == "expired"
    assert server.mails == []


async def test_what_a_crash_leaves_while_it_may_have_left_is_a_persons_to_decide(
    api: httpx.AsyncClient, context: Context, relay: str, server: ScriptedSmtp
) -> None:
    server.script({"DOT": [Act.SILENCE]})
    asked = asyncio.create_task(api.post(f"{relay}/test", json={"to": "ann@example.org"}))
    await server.until(lambda: any(talk.step == "DOT" for talk in server.conversations))
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    pool = context.database.pool
    assert await pool.fetchval("SELECT state FROM messages") == "sending"
    attempt = await pool.fetchrow("SELECT finished_at, outcome FROM attempts")
    assert attempt is not None
    assert tuple(attempt) == (None, None)

    await pool.execute("UPDATE messages SET lease_expires_at = clock_timestamp() - interval '1 second'")
    await pool.fetch(repair.REAP, 10, 0.0, 0.0)
    assert await pool.fetchval("SELECT outcome FROM attempts") == "uncertain"
    await pool.fetch(repair.RESOLVE, 10)
    assert await pool.fetchval("SELECT state FROM messages") == "parked"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"to": "nobody"}, "to"),
        ({"to": "Ann <ann@example.org>"}, "to"),
        ({"to": "ann@example.org", "from_email": "x"}, "from_email"),
        ({"to": "ann@example.org", "from_email": "ann@elsewhere.example"}, "from_email"),
        ({"subject": "Hello"}, "subject"),
    ],
)
async def test_what_cannot_be_sent_is_refused_by_field(
    api: httpx.AsyncClient, relay: str, server: ScriptedSmtp, body: dict[str, str], field: str
) -> None:
    await api.patch(relay, json={"sender_domains": ["example.com"]})
    answer = await api.post(f"{relay}/test", json=body)
    assert answer.status_code == 400
    assert [detail["field"] for detail in answer.json()["details"]] == [field]
    assert server.conversations == []


async def test_a_workspaces_rules_hold_for_it(
    api: httpx.AsyncClient, context: Context, relay: str, workspace_id: uuid.UUID, server: ScriptedSmtp
) -> None:
    async def refused(body: dict[str, str]) -> tuple[int, str]:
        answer = await api.post(f"{relay}/test", json=body)
        return answer.status_code, answer.json()["code"]

    pool, to_ann = context.database.pool, {"to": "Ann@example.org"}
    await pool.execute("UPDATE workspaces SET allowed_senders = '{example.com}'")
    assert await refused({**to_ann, "from_email": "a@elsewhere.example"}) == (400, "sender_not_allowed")
    await pool.execute(
        "INSERT INTO suppressions (id, workspace_id, address, reason, source, since) "
        "VALUES (gen_random_uuid(), $1, 'ann@example.org', 'manual', 'test', clock_timestamp())",
        workspace_id,
    )
    assert await refused(to_ann) == (409, "suppressed")
    await pool.execute("UPDATE workspaces SET paused_at = clock_timestamp()")
    assert await refused({"to": "bob@example.org"}) == (409, "paused")
    await pool.execute("UPDATE workspaces SET from_email = NULL, paused_at = NULL")
    assert await refused({}) == (400, "invalid_input")
    assert server.conversations == []


async def test_a_pause_that_comes_in_between_calls_it_back(
    api: httpx.AsyncClient, context: Context, relay: str, server: ScriptedSmtp
) -> None:
    release = asyncio.Event()
    server.script({"BANNER": [Held(release, "220 scripted.test ESMTP")]})
    asked = asyncio.create_task(api.post(f"{relay}/test", json={"to": "ann@example.org"}))
    await server.until(lambda: bool(server.conversations))
    await context.database.pool.execute("UPDATE workspaces SET paused_at = clock_timestamp()")
    release.set()
    assert ((answer := await asked).status_code, answer.json()["code"]) == (409, "canceled")
    assert await context.database.pool.fetchval("SELECT state FROM messages") == "canceled"
    assert server.mails == []


@pytest.mark.parametrize("claimed", [False, True])
async def test_a_pause_that_is_over_by_then_lets_it_leave_no_later(
    api: httpx.AsyncClient, context: Context, relay: str, server: ScriptedSmtp, claimed: bool
) -> None:
    """The pause gave it back to the queue, where a worker may have taken it up before we knew."""
    release, pool = asyncio.Event(), context.database.pool
    server.script({"BANNER": [Held(release, "220 scripted.test ESMTP")]})
    asked = asyncio.create_task(api.post(f"{relay}/test", json={"to": "ann@example.org"}))
    await server.until(lambda: bool(server.conversations))
    assert (await api.post("/api/workspace/pause")).status_code == 200
    assert (await api.post("/api/workspace/resume")).status_code == 200
    if claimed:
        assert len(await pool.fetch(lease.CLAIM_BY_TIME, 10, uuid.uuid4(), 60.0)) == 1
    release.set()
    assert ((answer := await asked).status_code, answer.json()["code"]) == (409, "canceled")
    assert await pool.fetchval("SELECT state FROM messages") == "canceled"
    assert await pool.fetch(lease.CLAIM_BY_TIME, 10, uuid.uuid4(), 60.0) == []
    assert server.mails == []


async def test_one_that_a_worker_is_sending_by_then_is_not_said_to_be_called_back(
    api: httpx.AsyncClient, context: Context, relay: str, server: ScriptedSmtp
) -> None:
    release, pool = asyncio.Event(), context.database.pool
    server.script({"BANNER": [Held(release, "220 scripted.test ESMTP")]})
    asked = asyncio.create_task(api.post(f"{relay}/test", json={"to": "ann@example.org"}))
    await server.until(lambda: bool(server.conversations))
    await pool.execute("UPDATE messages SET state = 'sending', fence = fence + 1, leased_by = gen_random_uuid()")
    release.set()
    assert ((answer := await asked).status_code, answer.json()["code"]) == (409, "taken_over")
    assert str(await pool.fetchval("SELECT event_id FROM messages")) in answer.json()["error"]
    assert await pool.fetchval("SELECT state FROM messages") == "sending"
    assert server.mails == []


async def test_it_needs_the_right_to_change_providers(reader: httpx.AsyncClient, relay: str) -> None:
    assert (await reader.post(f"{relay}/test")).status_code == 403
    assert (await reader.post(f"{relay}/verify")).status_code == 403
