"""Files of addresses: read by line, refused by line, and our own export back as it was."""

import asyncio
import csv
import io
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from janus_mail.errors import InvalidInput
from janus_mail.models.states import SuppressionReason
from janus_mail.storage.database import Database
from janus_mail.suppressions import import_csv
from janus_mail.suppressions.read_csv import BadLine, CsvFile, Line
from janus_mail.web.csv_cells import guarded, unguarded
from tests.suppressions.conftest import Suppress, rows

IMPORT, EXPORT = "/api/suppressions/import", "/api/suppressions/export"
CSV = {"Content-Type": "text/csv"}


def read(text: str | bytes) -> list[Line | BadLine]:
    return CsvFile(text if isinstance(text, bytes) else text.encode()).take(1_000_000)


async def send(api: httpx.AsyncClient, text: str, mode: str = "strict") -> dict[str, Any]:
    answer = await api.post(IMPORT, content=text.encode(), headers=CSV, params={"mode": mode})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


@pytest.mark.parametrize(
    "text",
    [
        "Ann@Example.org\nbob@example.org\n",
        "\ufeffaddress\r\n\r\nAnn@example.org\r\nbob@example.org",
        "E-Mail;Reason\n Ann@example.org ;\nbob@example.org;manual\n",
        "created\temail\treason\n1\tAnn@example.org\t\n2\tbob@example.org\t\n",
        '"Ann@example.org"\n"Bob <bob@example.org>"\n',
    ],
    ids=["a bare column", "with a header", "semicolons", "tabs and other columns", "quoted"],
)
def test_a_list_is_read_whatever_program_wrote_it(text: str) -> None:
    lines = read(text)
    assert all(isinstance(line, Line) for line in lines), lines
    assert [line.address for line in lines if isinstance(line, Line)] == ["Ann@example.org", "bob@example.org"]
    assert {line.reason for line in lines if isinstance(line, Line)} == {"manual"}


def test_every_column_is_read_in_any_order() -> None:
    message_id = uuid.uuid4()
    named = f"since,source,address,message_id,reason\n2026-11-21,The old system,a@b.example,{message_id},Spam\n"
    since = datetime(2026, 11, 21, tzinfo=UTC)
    complaint = SuppressionReason.COMPLAINT
    assert read(named) == [Line(2, "a@b.example", complaint, since, "The old system", message_id)]
    in_order = "a@b.example,Hard Bounce,2026-11-21T02:00:00+02:00, kept \n"
    assert read(in_order) == [Line(1, "a@b.example", SuppressionReason.HARD_BOUNCE, since, " kept ", None)]


def test_what_is_wrong_is_told_by_the_line_that_a_text_editor_shows() -> None:
    lines = read(
        'address,reason,since,source\n"a@b.example",,,"two\nlines"\n\nnobody,,,\nc@d.example,because,,\n'
        'e@f.example,,yesterday,\n,,,\n,manual,,\ng@h.example,,1066-10-14,\ni@j.example,,,\n'
    )  # fmt: skip
    assert [line.number for line in lines] == [2, 5, 6, 7, 9, 10, 11]
    assert [type(line) for line in lines] == [*[BadLine] * 6, Line]
    told = " | ".join(line.error for line in lines if isinstance(line, BadLine))
    for part in ("control character", "@-sign", "because is no reason", "yesterday is no time", "no address", "1066"):
        assert part in told


@pytest.mark.parametrize(
    ("data", "code", "part"),
    [
        (b"a@b.example\nb\xfccher@b.example\n", "not_utf8", "line 2"),
        ("a@b.example\nbücher@b.example\n".encode("latin-1"), "not_utf8", "save it as “CSV UTF-8”"),
        ("a@b.example".encode("utf-16"), "not_utf8", "line 1"),
        (b"reason,since\nmanual,2026-01-01\n", "no_address_column", "address"),
    ],
)
def test_a_file_that_is_no_such_list_is_refused_as_a_whole(data: bytes, code: str, part: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        read(data)
    assert raised.value.code == code
    assert part in raised.value.message


def test_more_columns_than_there_are_need_names_and_a_quote_without_end_is_one_bad_line() -> None:
    (wide,) = read("a@b.example,,,,,more\n")
    assert isinstance(wide, BadLine)
    assert "more than 5 columns" in wide.error
    endless = read('a@b.example\n"' + "x" * 200_000 + "\nc@d.example\n")
    assert isinstance(endless[1], BadLine)
    assert isinstance(read("a\0b@example.org")[0], BadLine)


@given(st.text(max_size=20))
def test_no_cell_begins_a_formula_and_each_comes_back_as_it_was(text: str) -> None:
    assert not guarded(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unguarded(guarded(text)) == text


async def test_an_import_says_how_many_are_new_and_keeps_what_is_there(
    api: httpx.AsyncClient, listed: Suppress, database: Database
) -> None:
    await listed("ann@example.org", reason="complaint")
    said = await send(api, "Ann@example.org\nbob@example.org,hard_bounce,2020-02-02,old\nBOB@example.org,complaint\n")
    assert (said["added"], said["known"], said["rejected"], said["errors"]) == (1, 2, 0, [])
    assert said["message"] == "1 address is new to the list."
    ann, bob = await rows(database)
    assert (ann["reason"], ann["source"]) == ("complaint", "SendGrid")
    assert (bob["address"], bob["reason"], bob["source"]) == ("bob@example.org", "complaint", "API key test: import")


async def test_a_strict_import_takes_all_or_none_and_a_permissive_one_what_is_right(
    api: httpx.AsyncClient, database: Database
) -> None:
    text = "ann@example.org\nnobody\nbob@example.org\n"
    refused = await api.post(IMPORT, content=text, headers=CSV)
    assert refused.status_code == 400
    assert (refused.json()["code"], refused.json()["error"]) == (
        "invalid_import", "1 line is wrong: nothing was imported.",
    )  # fmt: skip
    assert [detail["field"] for detail in refused.json()["details"]] == ["line 2"]
    assert await rows(database) == []
    said = await send(api, text, "permissive")
    assert (said["added"], said["rejected"], [error["line"] for error in said["errors"]]) == (2, 1, [2])
    assert said["message"] == "2 addresses are new to the list. 1 line was left out."


async def test_a_file_comes_as_a_form_too_and_as_nothing_else(api: httpx.AsyncClient) -> None:
    form = await api.post(IMPORT, files={"file": ("list.csv", b"ann@example.org\n", "text/csv")})
    assert (form.status_code, form.json()["added"]) == (200, 1)
    once = {"Idempotency-Key": "once"}
    form = await api.post(IMPORT, files={"file": ("list.csv", b"bob@example.org\n", "text/csv")}, headers=once)
    assert (form.status_code, form.json()["added"]) == (200, 1)
    assert (await api.post(IMPORT, files={"list": ("list.csv", b"x", "text/csv")})).status_code == 400
    assert (await api.post(IMPORT, data={"file": "ann@example.org"})).status_code == 415
    assert (await api.post(IMPORT, json={"addresses": []})).status_code == 415
    assert (await api.post(IMPORT, content=b"ann@example.org")).status_code == 415
    empty = await api.post(IMPORT, content=b"\n", headers=CSV)
    assert (empty.status_code, empty.json()["code"]) == (400, "empty_import")
    large = await api.post(IMPORT, content=b"x" * (32 * 2**20 + 1), headers=CSV)
    assert large.status_code == 413


async def test_a_program_on_this_machine_imports_without_a_key_and_a_foreign_page_cannot(
    anonymous_api: httpx.AsyncClient, database: Database
) -> None:
    assert (await anonymous_api.post(IMPORT, content=b"ann@example.org", headers=CSV)).status_code == 200
    assert (await rows(database))[0]["source"] == "somebody on this machine: import"
    foreign = {**CSV, "Origin": "https://evil.example"}
    assert (await anonymous_api.post(IMPORT, content=b"bob@example.org", headers=foreign)).status_code == 401
    form = {"file": ("list.csv", b"bob@example.org", "text/csv")}
    assert (await anonymous_api.post(IMPORT, files=form)).status_code == 401


async def test_the_same_key_imports_once(api: httpx.AsyncClient, database: Database) -> None:
    headers = {**CSV, "Idempotency-Key": "once"}
    first = await api.post(IMPORT, content=b"ann@example.org", headers=headers)
    await database.pool.execute("DELETE FROM suppressions")
    again = await api.post(IMPORT, content=b"ann@example.org", headers=headers)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")
    assert await rows(database) == []


async def test_an_export_guards_against_formulas_and_is_imported_again_without_loss(
    api: httpx.AsyncClient, listed: Suppress, database: Database
) -> None:
    since = datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=UTC)
    await listed("=cmd|' /c calc'!a0@example.org", "+ann@example.org", "'ann@example.org", "-ann@example.org")
    await listed('"a,b"@example.org', "ünï@example.org", source="@SUM(1;2), \"said\" 'so'", since=since)
    await listed("bob@example.org", reason="unsubscribe", message_id=uuid.uuid4(), source="'=x")
    before = [{**row, "id": None} for row in await rows(database)]
    assert len(before) >= 6
    answer = await api.get(EXPORT)
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="suppressions.csv"'
    cells = [cell for line in csv.reader(io.StringIO(answer.text, newline="")) for cell in line]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    await database.pool.execute("DELETE FROM suppressions")
    assert (await send(api, answer.text))["added"] == len(before)
    assert [{**row, "id": None} for row in await rows(database)] == before


async def test_an_export_holds_what_fits_its_filters_and_all_of_it(api: httpx.AsyncClient, listed: Suppress) -> None:
    await listed(*(f"person{number}@example.org" for number in range(4_500)))
    await listed("bob@example.net", reason="complaint")
    assert len((await api.get(EXPORT)).text.splitlines()) == 4_502
    few = (await api.get(EXPORT, params={"reason": "complaint", "q": ".net"})).text.splitlines()
    assert [line.split(",")[0] for line in few] == ["address", "bob@example.net"]
    assert (await api.get(EXPORT, params={"raeson": "complaint"})).status_code == 400


async def test_a_hundred_thousand_addresses_are_imported_in_seconds_while_others_are_answered(
    api: httpx.AsyncClient, database: Database
) -> None:
    text = "address,reason,since,source\n" + "".join(
        f"person{number}@example{number % 97}.org,hard_bounce,2026-11-21T12:00:00Z,SendGrid\n"
        for number in range(100_000)
    )
    begun = time.monotonic()
    importing = asyncio.create_task(send(api, text))
    worst = 0.0
    while not importing.done():
        asked = time.monotonic()
        assert (await api.get("/healthz")).status_code == 200
        worst = max(worst, time.monotonic() - asked)
        await asyncio.sleep(0.01)
    assert (await importing)["added"] == 100_000
    assert time.monotonic() - begun < 30  # three on a quiet machine
    assert worst < 1
    assert await database.pool.fetchval("SELECT count(*) FROM suppressions") == 100_000


def test_nobody_is_on_a_list_since_a_day_to_come() -> None:
    (ahead, now) = read(f"a@b.example,,2996-01-01,,\nb@b.example,,{datetime.now(UTC).isoformat()},,\n")
    assert isinstance(ahead, BadLine)
    assert ahead.error == "2996-01-01 is in the future."
    assert isinstance(now, Line)


async def test_an_import_commits_part_by_part_and_another_has_to_wait(
    api: httpx.AsyncClient, database: Database, workspace_id: uuid.UUID
) -> None:
    text = "".join(f"person{number}@example.org\n" for number in range(5_000))
    async with database.transaction() as connection, asyncio.timeout(20):
        await connection.execute(  # which the import meets in its second part
            "INSERT INTO suppressions (id, workspace_id, address, reason, source) VALUES ($1, $2, $3, 'manual', 'x')",
            uuid.uuid4(), workspace_id, "person3000@example.org",
        )  # fmt: skip
        importing = asyncio.create_task(send(api, text))
        while await database.pool.fetchval("SELECT count(*) FROM suppressions") == 0:
            await asyncio.sleep(0.02)
        refused = await api.post(IMPORT, content=b"ann@example.org", headers=CSV)
        assert (refused.status_code, refused.json()["code"]) == (503, "import_running")
        assert refused.headers["retry-after"] == "10"
        assert not importing.done()
    said = await importing
    assert (said["added"], said["known"]) == (4_999, 1)
    assert (await send(api, "ann@example.org"))["added"] == 1


async def test_an_import_that_was_cut_off_is_sent_again_and_adds_the_rest(
    api: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(f"person{number}@example.org\n" for number in range(5_000))
    add_part, parts = import_csv._add_part, 0

    async def cut(*given: Any) -> int:
        nonlocal parts
        parts += 1
        if parts == 2:
            raise asyncpg.PostgresConnectionError("cut in the middle")
        return await add_part(*given)

    headers = {**CSV, "Idempotency-Key": "once"}
    with monkeypatch.context() as patched:
        patched.setattr(import_csv, "_add_part", cut)
        assert (await api.post(IMPORT, content=text, headers=headers)).status_code == 503
    assert await database.pool.fetchval("SELECT count(*) FROM suppressions") == 2_000
    again = await api.post(IMPORT, content=text, headers=headers)
    assert (again.status_code, again.json()["added"], again.json()["known"]) == (200, 3_000, 2_000)
    assert await database.pool.fetchval("SELECT count(*) FROM suppressions") == 5_000


async def test_a_line_that_is_wrong_far_down_keeps_all_others_out(api: httpx.AsyncClient, database: Database) -> None:
    text = "".join(f"person{number}@example.org\n" for number in range(5_000)) + "nobody\n"
    assert (await api.post(IMPORT, content=text, headers=CSV)).status_code == 400
    assert await rows(database) == []
