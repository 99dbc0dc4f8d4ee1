"""Bad input: each a clear refusal, and nothing stored."""

import uuid
from typing import Any

import httpx
import pytest

from janus_mail.storage.database import Database
from tests.events.conftest import EVENT, stored

INVALID_TIME = "Invalid datetime format. Use ISO 8601 format."
MIB = 1024 * 1024

# What is changed of a good event, the code, how the sentence begins, the first field that is named.
CASES: list[tuple[dict[str, Any], str, str, str | None]] = [
    ({"email_subject": ...}, "missing_fields", "Missing required fields.", "email_subject"),
    ({"email_subject": ""}, "missing_fields", "Missing required fields.", "email_subject"),
    ({"email_subject": None}, "missing_fields", "Missing required fields.", "email_subject"),
    ({"email_content": ...}, "missing_fields", "Missing required fields.", "email_content"),
    ({"email_content": "", "email_html": ""}, "missing_fields", "Missing required fields.", "email_content"),
    ({"expected_sent_at": ...}, "missing_fields", "Missing required fields.", "expected_sent_at"),
    ({"expected_sent_at": ""}, "missing_fields", "Missing required fields.", "expected_sent_at"),
    ({"recipients": ...}, "missing_fields", "Missing required fields.", "recipients"),
    ({"recipients": None}, "missing_fields", "Missing required fields.", "recipients"),
    ({"recipients": ""}, "recipients_required", "Recipients are required.", "recipients"),
    ({"recipients": " , "}, "recipients_required", "Recipients are required.", "recipients"),
    ({"recipients": []}, "recipients_required", "Recipients are required.", "recipients"),
    (
        {"recipients": "a@example.com, not-an-address, me@"},
        "invalid_recipients", "Invalid emails: not-an-address, me@", "recipients[1]",
    ),
    (
        {"recipients": "a@b, not-an-address"},
        "invalid_recipients", "Invalid emails: a@b, not-an-address", "recipients[0]",
    ),
    ({"recipients": ["a@example.com", "no"]}, "invalid_recipients", "Invalid emails: no", "recipients[1]"),
    ({"recipients": [{"email": "no"}]}, "invalid_recipients", "Invalid emails: no", "recipients[0]"),
    ({"recipients": [{"name": "Ann"}]}, "missing_fields", "Missing required fields.", "recipients[0].email"),
    (
        {"recipients": [{"email": "a@example.com", "mail": 1}]},
        "invalid_input", "recipients[0].mail:", "recipients[0].mail",
    ),
    ({"recipients": [5]}, "invalid_input", "recipients[0]:", "recipients[0]"),
    ({"recipients": 5}, "invalid_recipients", "Give addresses as text with commas, or as a list.", "recipients"),
    (
        {"recipients": "Eve <e@example.com>\r\nBcc: all@example.com"},
        "invalid_recipients", "Invalid emails: Bcc: all@example.com", "recipients[1]",
    ),
    (
        {"recipients": [{"email": "e@example.com", "name": "Eve\r\nBcc: all@example.com"}]},
        "invalid_recipients", "Invalid emails: e@example.com", "recipients[0]",
    ),
    (
        {"recipients": [f"r{n}@example.com" for n in range(10_001)]},
        "too_many_recipients", "An event may have up to 10,000 recipients; these are 10,001.", "recipients",
    ),
    (
        {"recipients": [{"email": "e@example.com", "variables": {"1x": "a"}}]},
        "invalid_input", "recipients[0].variables: A variable's name", "recipients[0].variables",
    ),
    (
        {"recipients": [{"email": "e@example.com", "variables": {"x": 1}}]},
        "invalid_input", "recipients[0].variables.x:", "recipients[0].variables.x",
    ),
    (
        {"email_content": "Hi {{first}}"},
        "invalid_variables", "test@example.com has no value for {{first}}.", "recipients",
    ),
    (
        {"email_html": "<b>{{ plan }}</b>"},
        "invalid_variables", "test@example.com has no value for {{plan}}.", "recipients",
    ),
    (
        {"email_subject": "{{x}}", "recipients": [{"email": "e@example.com", "variables": {"x": "a\nb"}}]},
        "invalid_variables", "e@example.com: Variable x:", "recipients",
    ),
    (
        {"email_subject": "a\nBcc: all@example.com"},
        "invalid_input", "email_subject: It has a line break", "email_subject",
    ),
    ({"email_subject": "x" * 999}, "invalid_input", "email_subject:", "email_subject"),
    (
        {"email_content": "ö" * (MIB // 2 + 1)},
        "invalid_input", "email_content: It may have up to 1 MiB", "email_content",
    ),
    ({"expected_sent_at": "2024-13-45"}, "invalid_datetime", INVALID_TIME, "expected_sent_at"),
    ({"expected_sent_at": "tomorrow"}, "invalid_datetime", INVALID_TIME, "expected_sent_at"),
    ({"expected_sent_at": 1721037600}, "invalid_input", "expected_sent_at:", "expected_sent_at"),
    (
        {"expected_sent_at": "in 6 years"},
        "too_far_ahead", "expected_sent_at is more than 5 years ahead", "expected_sent_at",
    ),
    ({"timezone": "Mars/Olympus"}, "unknown_timezone", "Mars/Olympus is not an IANA time zone", "timezone"),
    ({"expires_at": "2024-13-45"}, "invalid_datetime", INVALID_TIME, "expires_at"),
    (
        {"expected_sent_at": "in 2 days", "expires_at": "in 1 day"},
        "expires_too_early", "expires_at (", "expires_at",
    ),
    (
        {"expires_at": "2024-07-15T11:00:00"},
        "expires_too_early", "expires_at (2024-07-15T11:00:00Z) must", "expires_at",
    ),
    ({"send_as": "all"}, "invalid_input", "send_as:", "send_as"),
    ({"cc": "c@example.com"}, "not_a_group", "cc needs `send_as: group`", "cc"),
    ({"bcc": "c@example.com"}, "not_a_group", "bcc needs `send_as: group`", "bcc"),
    ({"send_as": "group", "cc": "nobody"}, "invalid_recipients", "Invalid emails: nobody", "cc[0]"),
    ({"reply_to": "nobody"}, "invalid_recipients", "Invalid emails: nobody", "reply_to[0]"),
    ({"from_email": "nobody"}, "invalid_sender", "from_email is not an address:", "from_email"),
    ({"from_name": "Ann\nBcc: x"}, "invalid_input", "from_name: It has a line break", "from_name"),
    ({"provider": "Nowhere Mail"}, "unknown_provider", "There is no provider Nowhere Mail.", "provider"),
    ({"failover": "yes"}, "invalid_input", "failover:", "failover"),
    ({"priority": "urgent"}, "invalid_input", "priority:", "priority"),
    ({"on_uncertain": "hope"}, "invalid_input", "on_uncertain:", "on_uncertain"),
    ({"headers": {"From": "x"}}, "invalid_input", "headers: Header From: Janus writes this header itself.", "headers"),
    ({"headers": {"X-A": "a\r\nBcc: x"}}, "invalid_input", "headers: Header X-A: It has a line break", "headers"),
    ({"headers": {"X-A": "a", "x-a": "b"}}, "invalid_input", "headers: A header is given twice.", "headers"),
    ({"tags": ["x"] * 11}, "invalid_input", "tags:", "tags"),
    ({"tags": [""]}, "invalid_input", "tags[0]:", "tags[0]"),
    ({"metadata": {f"k{n}": "v" for n in range(21)}}, "invalid_input", "metadata:", "metadata"),
    ({"metadata": {"k": 1}}, "invalid_input", "metadata.k:", "metadata.k"),
    ({"subject": "x"}, "invalid_input", "subject: There is no such field.", "subject"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "code", "sentence", "field"), CASES)
async def test_bad_input_is_refused_in_words_and_nothing_is_stored(
    api: httpx.AsyncClient, database: Database, change: dict[str, Any], code: str, sentence: str, field: str | None
) -> None:
    body = {name: value for name, value in (EVENT | change).items() if value is not ...}
    answer = await api.post("/api/events", json=body)
    assert answer.status_code == 400, answer.text
    error = answer.json()
    assert (error["code"], error["error"][: len(sentence)]) == (code, sentence)
    assert [detail["field"] for detail in error["details"]][:1] == [field]
    assert await stored(database) == (0, 0)


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"", "application/json", 400, "missing_fields"),
        (b'{"email_subject": "\xff"}', "application/json", 400, "invalid_json"),
        (b'{"email_subject": "a\\u0000b"}', "application/json", 400, "invalid_json"),
        (b'{"email_subject": "a\\ud800b"}', "application/json", 400, "invalid_json"),
        (b"[1]", "application/json", 400, "invalid_input"),
        (b"email_subject=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b'"' + b"x" * (3 * MIB) + b'"', "application/json", 413, "too_large"),
    ],
)
async def test_what_is_no_json_or_too_large_is_refused(
    api: httpx.AsyncClient, database: Database, content: bytes, content_type: str, status: int, code: str
) -> None:
    answer = await api.post("/api/events", content=content, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await stored(database) == (0, 0)


async def test_everything_that_is_missing_is_named_at_once(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/events", json={})
    assert answer.json()["error"] == "Missing required fields."
    assert [detail["field"] for detail in answer.json()["details"]] == [
        "email_subject", "email_content", "expected_sent_at", "recipients",
    ]  # fmt: skip


async def test_an_event_without_any_sender_is_refused(api: httpx.AsyncClient, database: Database) -> None:
    await database.pool.execute("UPDATE workspaces SET from_email = NULL")
    answer = await api.post("/api/events", json=EVENT)
    assert (answer.status_code, answer.json()["code"]) == (400, "sender_required")
    assert "from_email" in answer.json()["error"]
    assert await stored(database) == (0, 0)


async def test_a_sender_that_the_workspace_may_not_use_is_refused(api: httpx.AsyncClient, database: Database) -> None:
    await database.pool.execute("UPDATE workspaces SET allowed_senders = '{example.com}'")
    answer = await api.post("/api/events", json=EVENT | {"from_email": "ann@example.org"})
    assert (answer.status_code, answer.json()["code"]) == (400, "sender_not_allowed")
    assert (await api.post("/api/events", json=EVENT | {"from_email": "ann@example.com"})).status_code == 201


async def test_nobody_schedules_without_the_scope(api: httpx.AsyncClient, database: Database) -> None:
    await database.pool.execute("UPDATE api_keys SET scopes = '{events:read}'")
    answer = await api.post("/api/events", json=EVENT)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    del api.headers["Authorization"]
    assert (await api.post("/api/events", json=EVENT)).status_code == 401
    assert await stored(database) == (0, 0)


@pytest.mark.parametrize("path", ["/api/events", "/api/events/cancel", "/api/events/batch", "/api/providers/order"])
@pytest.mark.parametrize("body", [[], "x", 1])
async def test_a_body_that_is_no_object_is_told_so(api: httpx.AsyncClient, path: str, body: Any) -> None:
    answer = await api.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "The body must be a JSON object.")
    assert answer.json()["details"] == [{"field": "body", "message": "The body must be a JSON object."}]


async def test_a_patch_or_a_field_that_is_no_object_is_told_so_too(api: httpx.AsyncClient) -> None:
    patched = await api.patch(f"/api/providers/{uuid.uuid4()}", json=[])
    assert patched.json()["error"] == "The body must be a JSON object."
    field = await api.post("/api/events", json=EVENT | {"metadata": []})
    assert field.json()["error"] == "metadata: This must be a JSON object."
