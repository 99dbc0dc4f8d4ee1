import asyncio
import email
import email.policy
import uuid
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from janus_mail.compat import form_api
from janus_mail.keys.key import create_key
from janus_mail.routing.create import create_provider
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox
from janus_mail.worker import WorkerProcess

FIELDS = {
    "to_email": "test@example.com",
    "from_email": "ann@example.com",
    "subject": "Hello World",
    "body_text": "This is a test email.",
    "sent_via": "1",
    "status": "0",
}


@pytest.fixture
def fields(api_key: str) -> dict[str, str]:
    return {**FIELDS, "TOKEN": api_key}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what never comes to an end in these tests."""
    monkeypatch.setattr(form_api, "WAIT_S", 0.2)


async def the_mail(database: Database) -> EmailMessage:
    (row,) = await database.pool.fetch("SELECT content FROM captured_mails")
    mail = email.message_from_bytes(row["content"], policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


async def story(database: Database) -> list[tuple[str, str]]:
    rows = await database.pool.fetch("SELECT provider_kind, outcome FROM attempts ORDER BY started_at")
    return [(row["provider_kind"], row["outcome"]) for row in rows]


@pytest.mark.parametrize("encoding", ["urlencoded", "multipart"])
@pytest.mark.parametrize("path", ["/send_email/", "/send_email"])
async def test_a_form_is_sent_and_answered_when_it_has_left(
    form: httpx.AsyncClient,
    database: Database,
    fields: dict[str, str],
    sandboxes: Mapping[str, uuid.UUID],
    worker: WorkerProcess,
    path: str,
    encoding: str,
) -> None:
    if encoding == "urlencoded":
        answer = await form.post(path, data=fields)
    else:
        answer = await form.post(path, files={name: (None, value) for name, value in fields.items()})

    assert (answer.status_code, answer.json()) == (200, {"message": "Email sent successfully", "status": 200})
    mail = await the_mail(database)
    assert (mail["To"], mail["From"], mail["Subject"]) == ("test@example.com", "ann@example.com", "Hello World")
    assert mail.get_content().rstrip() == "This is a test email."


@pytest.mark.parametrize(("sent_via", "kind"), [("1", "ses"), ("2", "smtp"), ("3", "sendgrid"), ("", "ses")])
async def test_sent_via_names_the_provider_to_try_first(
    form: httpx.AsyncClient,
    database: Database,
    fields: dict[str, str],
    sandboxes: Mapping[str, uuid.UUID],
    worker: WorkerProcess,
    sent_via: str,
    kind: str,
) -> None:
    assert (await form.post("/send_email/", data={**fields, "sent_via": sent_via})).status_code == 200
    assert await story(database) == [(kind, "accepted")]


async def test_the_other_providers_are_failover(
    form: httpx.AsyncClient,
    database: Database,
    fields: dict[str, str],
    sandboxes: Mapping[str, uuid.UUID],
    worker: WorkerProcess,
) -> None:
    await database.pool.execute("UPDATE providers SET sandbox_mode = 'down' WHERE kind = 'sendgrid'")

    assert (await form.post("/send_email/", data={**fields, "sent_via": "3"})).status_code == 200
    assert await story(database) == [("sendgrid", "provider_down"), ("ses", "accepted")]


async def test_a_kind_that_the_workspace_lacks_or_has_switched_off_is_no_obstacle(
    form: httpx.AsyncClient,
    database: Database,
    fields: dict[str, str],
    sandboxes: Mapping[str, uuid.UUID],
    worker: WorkerProcess,
) -> None:
    await database.pool.execute("UPDATE providers SET enabled = false WHERE kind = 'ses'")
    await database.pool.execute("UPDATE providers SET deleted_at = now() WHERE kind = 'sendgrid'")

    for sent_via in ("1", "3"):
        assert (await form.post("/send_email/", data={**fields, "sent_via": sent_via})).status_code == 200
    assert await story(database) == [("smtp", "accepted"), ("smtp", "accepted")]


async def test_sent_via_never_leads_mail_for_the_world_into_a_sandbox(
    form: httpx.AsyncClient,
    database: Database,
    settings: Settings,
    workspace_id: uuid.UUID,
    fields: dict[str, str],
    sandboxes: Mapping[str, uuid.UUID],
    impatient: None,
) -> None:
    secrets = SecretBox(settings.require_secret_keys())
    real = await create_provider(
        database, secrets, workspace_id, kind="smtp", name="Real", config={"host": "smtp.example.com"}
    )

    for sent_via, wished in (("1", None), ("2", str(real)), ("3", None)):
        assert (await form.post("/send_email/", data={**fields, "sent_via": sent_via})).status_code == 202
        assert await database.pool.fetchval("SELECT provider FROM events ORDER BY id DESC LIMIT 1") == wished


async def test_what_is_still_under_way_is_accepted_with_its_id(
    form: httpx.AsyncClient,
    database: Database,
    fields: dict[str, str],
    sandboxes: Mapping[str, uuid.UUID],
    impatient: None,
) -> None:
    answer = await form.post("/send_email/", data=fields)

    message_id = await database.pool.fetchval("SELECT id FROM messages")
    assert answer.status_code == 202
    assert answer.json() == {"message": "Email accepted", "status": 202, "id": str(message_id)}
    (row,) = (await form.get("/view_sent_emails/", params={"TOKEN": fields["TOKEN"]})).json()["results"]
    assert row["id"] == str(message_id)


@pytest.mark.parametrize(
    ("to_email", "field", "reason"),
    [
        ("bounced@example.com", "to_email", "No such mailbox here"),
        ("rejected@example.com", "__all__", "Message content refused"),
    ],
)
async def test_a_mail_that_fails_is_answered_with_the_reason(
    form: httpx.AsyncClient,
    fields: dict[str, str],
    sandboxes: Mapping[str, uuid.UUID],
    worker: WorkerProcess,
    to_email: str,
    field: str,
    reason: str,
) -> None:
    answer = await form.post("/send_email/", data={**fields, "to_email": to_email})

    assert answer.status_code == 400
    body = answer.json()
    assert body["status"] == 400
    assert list(body["errors"]) == [field]
    assert reason in body["errors"][field][0]


@pytest.mark.parametrize(
    ("state", "status", "answered"),
    [
        ("parked", 202, "Email accepted"),  # it may have left: «failed» would have it sent again
        ("canceled", 400, "The mail is canceled."),
        ("expired", 400, "The mail is expired."),
    ],
)
async def test_other_ends_are_told_as_they_are(
    form: httpx.AsyncClient, database: Database, fields: dict[str, str], state: str, status: int, answered: str
) -> None:
    sending = asyncio.create_task(form.post("/send_email/", data=fields))
    async with asyncio.timeout(5):
        while await database.pool.execute("UPDATE messages SET state = $1", state) == "UPDATE 0":
            await asyncio.sleep(0.01)

    answer = await sending

    assert answer.status_code == status
    assert answered in answer.text


REQUIRED = ["This field is required."]
NO_ADDRESS = ["Enter a valid email address."]


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        (dict.fromkeys(FIELDS, ""), dict.fromkeys(["to_email", "from_email", "subject", "body_text"], REQUIRED)),
        ({"subject": "   ", "body_text": "\r\n"}, {"subject": REQUIRED, "body_text": REQUIRED}),
        ({"to_email": "not-an-address"}, {"to_email": NO_ADDRESS}),
        ({"to_email": "a@example.com, b@example.com"}, {"to_email": NO_ADDRESS}),
        ({"from_email": "a@example.com\r\nBcc: b@example.com"}, {"from_email": NO_ADDRESS}),
        (
            {"body_text": "x" * 5001},
            {"body_text": ["Ensure this value has at most 5000 characters (it has 5001)."]},
        ),
        ({"subject": "x" * 999}, {"subject": ["Ensure this value has at most 998 characters (it has 999)."]}),
        ({"sent_via": "9"}, {"sent_via": ["Select a valid choice. 9 is not one of the available choices."]}),
        ({"body_text": "a\0b"}, {"body_text": ["Null characters are not allowed."]}),
        ({"subject": "a\r\nBcc: b@example.com"}, {"subject": ["It has a line break or a control character."]}),
    ],
)
async def test_wrong_fields_are_named_in_the_old_words_and_nothing_is_stored(
    form: httpx.AsyncClient,
    database: Database,
    fields: dict[str, str],
    changes: dict[str, str],
    errors: dict[str, list[str]],
) -> None:
    answer = await form.post("/send_email/", data={**fields, **changes})

    assert (answer.status_code, answer.json()) == (400, {"errors": errors, "status": 400})
    assert await database.pool.fetchval("SELECT count(*) FROM events") == 0


async def test_a_body_of_5000_characters_of_any_script_is_taken(
    form: httpx.AsyncClient, database: Database, fields: dict[str, str], sandboxes: Mapping[str, uuid.UUID],
    worker: WorkerProcess,
) -> None:  # fmt: skip
    text = "🙂 ü\n" * 1000

    assert (await form.post("/send_email/", data={**fields, "body_text": text})).status_code == 200
    assert (await the_mail(database)).get_content().replace("\r\n", "\n") == text


async def test_a_sender_that_the_workspace_may_not_use_is_refused(
    form: httpx.AsyncClient, database: Database, fields: dict[str, str]
) -> None:
    await database.pool.execute("UPDATE workspaces SET allowed_senders = '{corp.example}'")

    answer = await form.post("/send_email/", data=fields)

    assert answer.status_code == 400
    assert answer.json()["errors"] == {"from_email": ["This workspace may not send from this address."]}
    assert await database.pool.fetchval("SELECT count(*) FROM events") == 0


async def test_braces_stay_as_they_are_because_the_form_knows_no_placeholders(
    form: httpx.AsyncClient, database: Database, fields: dict[str, str], sandboxes: Mapping[str, uuid.UUID],
    worker: WorkerProcess,
) -> None:  # fmt: skip
    texts = {"subject": "{{name}} and {{ email }}", "body_text": "{{{{a}} {{{b}}} {{email}} {{braces}} {% x %}"}

    assert (await form.post("/send_email/", data={**fields, **texts})).status_code == 200

    mail = await the_mail(database)
    assert mail["Subject"] == texts["subject"]
    assert mail.get_content().rstrip() == texts["body_text"]
    (row,) = (await form.get("/view_sent_emails/", params={"TOKEN": fields["TOKEN"]})).json()["results"]
    assert (row["subject"], row["body_text"]) == (texts["subject"], texts["body_text"])


async def test_names_before_addresses_are_kept(
    form: httpx.AsyncClient, database: Database, fields: dict[str, str], sandboxes: Mapping[str, uuid.UUID],
    worker: WorkerProcess,
) -> None:  # fmt: skip
    named = {"to_email": "Bob <bob@example.com>", "from_email": "Ann <ann@example.com>"}

    assert (await form.post("/send_email/", data={**fields, **named})).status_code == 200
    mail = await the_mail(database)
    assert (mail["To"], mail["From"]) == (named["to_email"], named["from_email"])


@pytest.mark.parametrize(
    ("content_type", "content", "status"),
    [
        ("application/json", b"{}", 403),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=b", b"--b\r\n: broken\r\n\r\n", 400),
        ("application/x-www-form-urlencoded", b"%ff&=&&subject", 403),
        ("application/x-www-form-urlencoded", b"TOKEN=" + b"x" * 200_000, 413),
    ],
)
async def test_what_is_no_form_is_refused(
    form: httpx.AsyncClient, content_type: str, content: bytes, status: int
) -> None:
    answer = await form.post("/send_email/", content=content, headers={"Content-Type": content_type})

    assert answer.status_code == status


async def test_a_charset_that_makes_half_characters_does_no_harm(form: httpx.AsyncClient, api_key: str) -> None:
    body = f'--b\r\nContent-Disposition: form-data; name="TOKEN"\r\n\r\n{api_key}\r\n'
    body += '--b\r\nContent-Disposition: form-data; name="sent_via"\r\n\r\n+2AA-\r\n--b--\r\n'

    answer = await form.post(
        "/send_email/", content=body, headers={"Content-Type": "multipart/form-data; boundary=b; charset=utf-7"}
    )

    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {"to_email", "from_email", "subject", "body_text", "sent_via"}


async def test_a_file_in_place_of_a_field_is_no_field(form: httpx.AsyncClient, fields: dict[str, str]) -> None:
    files: Any = {name: (None, value) for name, value in fields.items()}

    answer = await form.post("/send_email/", files={**files, "subject": ("subject.txt", b"Hello")})

    assert (answer.status_code, answer.json()["errors"]) == (400, {"subject": REQUIRED})


async def test_both_addresses_need_a_token_that_lets_in(
    form: httpx.AsyncClient, database: Database, workspace_id: uuid.UUID
) -> None:
    reader = await create_key(database, workspace="default", name="r", scopes=["events:read"])
    writer = await create_key(database, workspace="default", name="w", scopes=["events:write"])
    missing, wrong = {"message": "Token is missing !!"}, {"message": "invalid token !!"}

    for token, words in (("", missing), ("nonsense", wrong), ("janus_aaaaaaaaaa_" + "b" * 43, wrong)):
        for answer in (
            await form.post("/send_email/", data={**FIELDS, "TOKEN": token}),
            await form.get("/view_sent_emails/", params={"TOKEN": token}),
        ):
            assert (answer.status_code, answer.json()) == (403, words)
    for answer in (await form.post("/send_email/", data=FIELDS), await form.get("/view_sent_emails/")):
        assert (answer.status_code, answer.json()) == (403, missing)
    assert (await form.post("/send_email/", data={**FIELDS, "TOKEN": reader})).status_code == 403
    assert (await form.get("/view_sent_emails/", params={"TOKEN": writer})).status_code == 403
    assert (await form.get("/view_sent_emails/", params={"TOKEN": reader})).status_code == 200
    assert await database.pool.fetchval("SELECT count(*) FROM events") == 0


async def test_the_token_may_come_in_the_address(
    form: httpx.AsyncClient, sandboxes: Mapping[str, uuid.UUID], worker: WorkerProcess, api_key: str
) -> None:
    assert (await form.post("/send_email/", params={"TOKEN": api_key}, data=FIELDS)).status_code == 200


async def test_the_anonymous_workspace_does_not_open_the_form_api(anonymous_api: httpx.AsyncClient) -> None:
    for answer in (
        await anonymous_api.post("/send_email/", data=FIELDS),
        await anonymous_api.get("/view_sent_emails/"),
    ):
        assert (answer.status_code, answer.json()) == (403, {"message": "Token is missing !!"})


async def test_the_token_shows_in_no_log(
    form: httpx.AsyncClient, api_key: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG", "janus_mail")
    await form.get("/view_sent_emails/", params={"TOKEN": api_key})
    await form.get("/view_sent_emails/", params={"TOKEN": api_key, "page": "x"})
    await form.post("/send_email/", params={"TOKEN": api_key}, data={})
    await form.post("/send_email/", data={"TOKEN": api_key})

    logged = caplog.text + "".join(capfd.readouterr())
    assert "view_sent_emails" in logged
    assert api_key not in logged


async def test_the_openapi_document_has_both_operations(app: FastAPI) -> None:
    paths = app.openapi()["paths"]

    assert {"/send_email/", "/view_sent_emails/"} <= paths.keys()
    assert not {"/send_email", "/view_sent_emails"} & paths.keys()
    send, view = paths["/send_email/"]["post"], paths["/view_sent_emails/"]["get"]
    assert {"200", "202", "400", "403", "413", "503"} <= send["responses"].keys()
    assert {"200", "403", "404", "503"} <= view["responses"].keys()
    assert set(send["requestBody"]["content"]) == {"application/x-www-form-urlencoded", "multipart/form-data"}
