"""Files over the API: taken in, kept once, shown, downloaded, changed; and what is refused."""

import asyncio
import base64
import logging
import os
import threading
import uuid
from hashlib import sha256
from typing import Any

import httpx
import pytest

from janus_mail.events import attachments, queries
from janus_mail.storage.database import Database
from tests.events.conftest import EVENT, Schedule, SetState, stored

MIB = 2**20
HELLO = {"filename": "hello.txt", "content": base64.b64encode(b"Hello, World!\n").decode()}
LOGO = {"filename": "Logo März.png", "content": base64.b64encode(b"\x89PNG\0").decode(), "content_id": "logo"}
SHOWN = {"filename": "hello.txt", "content_type": "text/plain", "size": 14, "content_id": None}


def file(content: bytes, **fields: Any) -> dict[str, Any]:
    return {"filename": "a.bin", "content": base64.b64encode(content).decode(), **fields}


async def kept(database: Database) -> dict[str, bytes]:
    """What is stored, by digest; the digest is right."""
    rows = await database.pool.fetch("SELECT digest, size, content FROM attachments")
    assert all((sha256(row["content"]).digest(), len(row["content"])) == (row["digest"], row["size"]) for row in rows)
    return {row["digest"].hex(): row["content"] for row in rows}


async def test_files_are_stored_shown_and_given_back_byte_for_byte(
    api: httpx.AsyncClient, schedule: Schedule, database: Database
) -> None:
    event = await schedule(email_html="<img src='cid:logo'>", attachments=[HELLO, LOGO])
    logo = {"filename": "Logo März.png", "content_type": "image/png", "size": 5, "content_id": "logo"}
    assert event["attachments"] == [SHOWN, logo]
    assert not any("content_id" in warning for warning in event["warnings"])
    for answer in (await api.get(f"/api/events/{event['id']}"), await api.get("/api/events")):
        read = answer.json()
        assert (read["data"][0] if "data" in read else read)["attachments"] == [SHOWN, logo]
        assert "SGVsbG8" not in answer.text
    first, second = [await api.get(f"/api/events/{event['id']}/attachments/{n}") for n in (0, 1)]
    assert (first.content, second.content) == (b"Hello, World!\n", b"\x89PNG\0")
    assert first.headers["content-type"] == "text/plain"
    assert first.headers["content-disposition"] == 'attachment; filename="hello.txt"'
    assert "filename*=utf-8''Logo%20M%C3%A4rz.png" in second.headers["content-disposition"]
    for answer in (first, second):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert set((await kept(database)).values()) == {b"Hello, World!\n", b"\x89PNG\0"}


@pytest.mark.parametrize("place", ["2", "-1", "x", "4711", "9999999999", "0x0"])
async def test_where_there_is_no_file_there_is_404(api: httpx.AsyncClient, schedule: Schedule, place: str) -> None:
    event = await schedule(attachments=[HELLO, HELLO])
    assert (await api.get(f"/api/events/{event['id']}/attachments/{place}")).status_code == 404
    assert (await api.get(f"/api/events/{uuid.uuid4()}/attachments/0")).status_code == 404


async def test_a_file_is_for_its_own_workspace_alone(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient, schedule: Schedule, database: Database
) -> None:
    event = await schedule(attachments=[HELLO])
    assert (await stranger.get(f"/api/events/{event['id']}/attachments/0")).status_code == 404
    # The same content is stored for each, so that neither learns of the other.
    await stranger.post("/api/events", json=EVENT | {"attachments": [HELLO]})
    assert await database.pool.fetchval("SELECT count(*) FROM attachments") == 2


async def test_a_content_is_stored_once_however_often_it_is_sent(
    api: httpx.AsyncClient, schedule: Schedule, database: Database
) -> None:
    await schedule(attachments=[file(b"x" * 5000), file(b"x" * 5000, filename="again.bin")])
    await database.pool.execute("UPDATE attachments SET used_at = '2020-01-01'")
    many = {"events": [EVENT | {"attachments": [file(b"x" * 5000), file(b"y")]} for _ in range(5)]}
    answer = await api.post("/api/events/batch", json=many)
    assert answer.json()["accepted"] == 5, answer.text
    assert sorted((await kept(database)).values()) == [b"x" * 5000, b"y"]
    assert await database.pool.fetchval("SELECT count(*) FROM attachments WHERE used_at < '2021-01-01'") == 0
    rows = await database.pool.fetch("SELECT attachments FROM events")
    assert {entry["digest"] for row in rows for entry in row["attachments"]} == set(await kept(database))


async def test_a_content_that_was_used_within_the_hour_is_shared_by_its_users_and_kept_from_who_removes(
    database: Database, workspace_id: uuid.UUID
) -> None:
    given = (workspace_id, sha256(b"x").digest(), 1, b"x")
    remove = "SELECT FROM attachments FOR UPDATE SKIP LOCKED"  # as `delivery/queries/files.py` looks at what it removes
    used_at = "SELECT used_at FROM attachments"
    await database.pool.execute(queries.KEEP_FILE, *given)
    first = await database.pool.fetchval(used_at)
    async with database.transaction() as one, database.transaction() as another, asyncio.timeout(5):
        await one.execute(queries.KEEP_FILE, *given)
        await another.execute(queries.KEEP_FILE, *given)  # and does not wait for the other's end
        assert await database.pool.fetch(remove) == []
    assert await database.pool.fetchval(used_at) == first
    await database.pool.execute("UPDATE attachments SET used_at = used_at - interval '61 minutes'")
    async with database.transaction() as one:
        await one.execute(queries.KEEP_FILE, *given)
        assert await database.pool.fetch(remove) == []
    assert await database.pool.fetchval(used_at) > first


async def test_who_finds_a_content_old_that_another_has_just_used_keeps_it_from_who_removes(
    database: Database, workspace_id: uuid.UUID
) -> None:
    given = (workspace_id, sha256(b"x").digest(), 1, b"x")
    await database.pool.execute(queries.KEEP_FILE, *given)
    await database.pool.execute("UPDATE attachments SET used_at = '2020-01-01'")
    async with database.transaction() as second:
        async with database.transaction() as first:
            await first.execute(queries.KEEP_FILE, *given)
            waiting = asyncio.create_task(second.execute(queries.KEEP_FILE, *given))
            done, _ = await asyncio.wait({waiting}, timeout=0.1)
            assert not done
        assert await waiting == "INSERT 0 0"  # it was young by then
        assert await database.pool.fetch("SELECT FROM attachments FOR UPDATE SKIP LOCKED") == []


async def test_many_at_once_with_the_same_files_do_not_stand_in_each_others_way(
    api: httpx.AsyncClient, database: Database
) -> None:
    files = [file(bytes([n]) * 300) for n in range(6)]
    bodies = [EVENT | {"attachments": files[n % 6 :] + files[: n % 6]} for n in range(24)]
    answers = await asyncio.gather(*(api.post("/api/events", json=body) for body in bodies))
    assert {answer.status_code for answer in answers} == {201}
    assert len(await kept(database)) == 6


@pytest.mark.parametrize(
    ("attachment", "sentence", "field"),
    [
        ({"content": "data:text/plain;base64,SGVsbG8="}, "Give the base64 alone, without the data:", "content"),
        ({"content": "SGVs\r\nbG8="}, "The base64 must be in one line", "content"),
        ({"content": "SGVsbG8"}, "The base64 is cut off, or lacks its padding", "content"),
        ({"content": "SGVsb-8_"}, "Use the standard alphabet of base64", "content"),
        ({"content": "SG=sbG8="}, "This is not base64.", "content"),
        ({"content": "SGVsbG8=SGVsbG8="}, "This is not base64.", "content"),
        ({"content": "===="}, "This is not base64.", "content"),
        ({"content": "Grüß"}, "This is not base64.", "content"),
        ({"content": "A" * 300_000 + "=AAA"}, "This is not base64.", "content"),
        ({"content": "AAA=" + "A" * 300_000}, "This is not base64.", "content"),
        ({"content": "A" * 262_140 + "AAA=" + "AAAA"}, "This is not base64.", "content"),
        ({"content": ""}, "This must have at least 4 characters", "content"),
        ({"content": 4711}, "", "content"),
        ({"filename": "../etc/passwd"}, "Give the file's name alone, without a path.", "filename"),
        ({"filename": "C:\\a.txt"}, "Give the file's name alone, without a path.", "filename"),
        ({"filename": "a\r\nBcc: x@example.com"}, "A file name has no line breaks", "filename"),
        ({"filename": ""}, "A file name has 1 to 255 characters.", "filename"),
        ({"filename": "x" * 256}, "A file name has 1 to 255 characters.", "filename"),
        ({"content_type": "pdf"}, "A content type is type/subtype without parameters", "content_type"),
        ({"content_type": "text/plain\r\nX: y"}, "A content type is type/subtype", "content_type"),
        ({"content_type": "message/rfc822"}, "message/rfc822 cannot be sent as a file", "content_type"),
        ({"content_type": "multipart/mixed"}, "multipart/mixed cannot be sent as a file", "content_type"),
        ({"content_id": "<logo>"}, "A content_id is 1 to 255 printable", "content_id"),
        ({"content_id": "a b"}, "A content_id is 1 to 255 printable", "content_id"),
        ({"name": "x"}, "There is no such field.", "name"),
    ],
)
async def test_what_is_no_file_is_refused_in_words_that_show_nothing_of_it(
    api: httpx.AsyncClient, database: Database, attachment: dict[str, Any], sentence: str, field: str
) -> None:
    answer = await api.post("/api/events", json=EVENT | {"attachments": [HELLO, HELLO | attachment]})
    assert answer.status_code == 400, answer.text
    [detail] = answer.json()["details"]
    assert detail["field"] == f"attachments[1].{field}"
    assert detail["message"].startswith(sentence)
    assert len(answer.text) < 800
    assert await stored(database) == (0, 0)
    assert await kept(database) == {}


@pytest.mark.parametrize(
    ("attachments", "code", "sentence"),
    [
        ([HELLO] * 101, "invalid_input", "attachments:"),
        ([HELLO | {"content_id": "a"}] * 2, "invalid_input", "attachments: A content_id is given twice."),
        ("hello", "invalid_input", "attachments:"),
        ([file(bytes(25 * MIB - 13)), HELLO], "attachments_too_large", "The attachments of an event may have up to"),
    ],
)
async def test_too_many_or_too_much_is_refused(
    api: httpx.AsyncClient, database: Database, attachments: Any, code: str, sentence: str
) -> None:
    answer = await api.post("/api/events", json=EVENT | {"attachments": attachments})
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.json()["error"].startswith(sentence)
    assert await kept(database) == {}


async def test_25_mib_are_taken_in_a_thread_and_nothing_of_them_is_logged(
    api: httpx.AsyncClient, database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(25 * MIB)
    body = httpx.Request("POST", "http://x", json=EVENT | {"attachments": [file(content)]}).content
    headers = {"Content-Type": "application/json", "Idempotency-Key": "big"}
    caplog.set_level(logging.DEBUG)
    threads = []

    def watched(octets: bytes) -> Any:
        threads.append(threading.current_thread())
        return sha256(octets)

    monkeypatch.setattr(attachments, "sha256", watched)
    answer = await api.post("/api/events", content=body, headers=headers)
    assert answer.status_code == 201, answer.text
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
    event = answer.json()["event"]
    assert event["attachments"][0]["size"] == len(content)
    assert (await api.get(f"/api/events/{event['id']}/attachments/0")).content == content
    assert base64.b64encode(content[:30]).decode() not in caplog.text
    again = await api.post("/api/events", content=body, headers=headers)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["event"]["attachments"] == event["attachments"]
    assert await stored(database) == (1, 1)


async def test_the_body_beside_the_files_may_have_3_mib_and_with_them_40(api: httpx.AsyncClient) -> None:
    fat = EVENT | {"metadata": {"k": "x" * (3 * MIB)}}
    for body in (fat, fat | {"attachments": [HELLO]}, fat | {"attachments": "x"}, fat | {"attachments": [1, {}]}):
        answer = await api.post("/api/events", json=body)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert "3 MiB" in answer.json()["error"]
    for method, path in (("POST", "/api/events/dry-run"), ("PATCH", f"/api/events/{uuid.uuid4()}")):
        assert (await api.request(method, path, json=fat)).status_code == 413
    answer = await api.post("/api/events", json=EVENT | {"attachments": [file(bytes(5 * MIB))]})
    assert answer.status_code == 201
    answer = await api.post("/api/events", json=EVENT | {"attachments": [file(bytes(30 * MIB + 1))]})
    assert answer.status_code == 413
    assert "40 MiB" in answer.json()["error"]


async def test_in_a_batch_each_file_is_told_of_at_its_event(api: httpx.AsyncClient, database: Database) -> None:
    events = [EVENT | {"attachments": [HELLO]}, EVENT | {"attachments": [HELLO, HELLO | {"content": "SGVsbG8"}]}]
    strict = await api.post("/api/events/batch", json={"events": events})
    assert strict.status_code == 400
    assert strict.json()["details"][0]["field"] == "events[1].attachments[1].content"
    assert await kept(database) == {}
    answer = (await api.post("/api/events/batch?mode=permissive", json={"events": events})).json()
    assert (answer["accepted"], answer["data"][1]["code"]) == (1, "invalid_attachment")
    assert list((await kept(database)).values()) == [b"Hello, World!\n"]


async def test_a_batch_that_is_copied_keeps_its_files(api: httpx.AsyncClient, database: Database) -> None:
    to_many = [f"r{number}@example.com" for number in range(150)]
    events = [EVENT | {"recipients": to_many, "attachments": [HELLO]}, EVENT | {"recipients": to_many}]
    answer = (await api.post("/api/events/batch", json={"events": events})).json()
    shown = [(await api.get(f"/api/events/{item['id']}")).json()["attachments"] for item in answer["data"]]
    assert shown == [[SHOWN], []]


async def test_a_dry_run_tells_of_files_and_stores_none(api: httpx.AsyncClient, database: Database) -> None:
    answer = await api.post("/api/events/dry-run", json=EVENT | {"attachments": [HELLO]})
    assert answer.json()["event"]["attachments"] == [SHOWN]
    answer = await api.post("/api/events/dry-run", json=EVENT | {"attachments": [HELLO | {"content": "SGVsbG8"}]})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_attachment")
    assert await kept(database) == {}


async def test_a_change_replaces_all_files_or_leaves_them(api: httpx.AsyncClient, schedule: Schedule) -> None:
    event = await schedule(attachments=[HELLO, LOGO])

    async def changed(version: int, **fields: Any) -> dict[str, Any]:
        answer = await api.patch(f"/api/events/{event['id']}", json={"version": version, **fields})
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()["event"]
        return shown

    same = await changed(1, email_subject="Another")
    assert same["attachments"] == event["attachments"]
    assert "no HTML to show images in" in " ".join(same["warnings"])
    other = await changed(2, attachments=[file(b"other", filename="other.pdf")])
    assert [entry["filename"] for entry in other["attachments"]] == ["other.pdf"]
    assert other["warnings"] == []
    assert (await api.get(f"/api/events/{event['id']}/attachments/0")).content == b"other"
    assert (await changed(3, attachments=None))["attachments"] == []
    assert (await changed(4, attachments=[HELLO]))["attachments"] == [SHOWN]
    assert (await changed(5, attachments=[]))["attachments"] == []
    wrong = await api.patch(f"/api/events/{event['id']}", json={"version": 6, "attachments": [{"filename": "x"}]})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "missing_fields")


async def test_what_has_left_keeps_its_files(
    api: httpx.AsyncClient, schedule: Schedule, set_state: SetState, database: Database
) -> None:
    event = await schedule(attachments=[HELLO])
    await set_state(event["id"], "sending")
    answer = await api.patch(f"/api/events/{event['id']}", json={"version": 1, "attachments": [file(b"new")]})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_late")
    assert list((await kept(database)).values()) == [b"Hello, World!\n"]


async def test_an_image_without_html_is_warned_of(schedule: Schedule) -> None:
    event = await schedule(attachments=[LOGO])
    [warning] = [warning for warning in event["warnings"] if "content_id" in warning]
    assert warning == "There is no HTML to show images in: files with a content_id are sent as attachments."


async def test_an_event_without_files_costs_no_statement_for_them(
    api: httpx.AsyncClient, schedule: Schedule, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "KEEP_FILE", "nonsense")
    monkeypatch.setattr(queries, "INSERT_EVENTS_WITH_FILES", "nonsense")
    await schedule()
    assert await stored(database) == (1, 1)
