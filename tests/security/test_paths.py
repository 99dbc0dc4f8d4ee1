"""Strange addresses and strange file names: nothing comes from outside, and nothing breaks."""

import re
from collections.abc import Iterator
from email.message import Message
from itertools import islice
from typing import Final
from urllib.parse import quote

import pytest
from fastapi import FastAPI

from tests.pages.conftest import Visitor
from tests.pages.gallery import Gallery
from tests.security.asking import Answer, ask
from tests.security.stored import caught, places
from tests.security.surfaces import Surface, folders, surfaces

_TURNS: Final = 3  # each address gets a third of them, and each of them a third of the addresses
_ID: Final = "0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a01"
# In place of a part of a path, as they go over the wire.
SEGMENTS: Final = (
    "..", "..%2f..%2fapp.py", "%2e%2e%2fapp.py", "%252e%252e%252fapp.py", "..%5capp.py", "%5c", "", "/", ".;",
    "%c0%ae%c0%ae%c0%af", "%e0%80%af", "%ff", "%ed%a0%80", "%00", "x%00.css", "%0d%0aSet-Cookie:%20a=b", "%u002e", "%",
    "%zz", "x" * 5_000, "%20", "*", "null", "-1", "1e9", "9" * 400, "{event_id}", f"%7b{_ID}%7d", f"urn:uuid:{_ID}",
    f"%20{_ID}%20", _ID.upper(), _ID.replace("-", ""), f"{_ID}/", f"{_ID};a=b", f"{_ID}.eml.eml", "%e2%80%ae", "０",
    "٣",
)  # fmt: skip
# As a whole, behind where files are.
TRICKS: Final = (
    "..%2f..%2fapp.py", "%2e%2e/%2e%2e/app.py", "../../app.py", "..%5c..%5capp.py", "//etc/passwd", "/.;/app.py",
    "%2fetc%2fpasswd", "/%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd", "x/..%2f..%2f..%2fsettings.py",
    "%c0%ae%c0%ae%c0%afapp.py", "....//....//app.py", "janus.css%00.py",
    "x/janus.css%2f..%2f..%2fsite.py",
    "file:%2f%2f%2fetc%2fpasswd", "C:%5cwindows%5cwin.ini", "", ".", "%2e", "~root", "x" * 5_000, "%0d%0aX:%20y",
)  # fmt: skip
NAMES: Final = (
    "../../etc/passwd", "..\\..\\x.exe", 'a"b.txt', 'a";filename="b.exe', "a\\", "x%0d%0aSet-Cookie: a=b", "a%22.txt",
    "=?utf-8?q?x=0D=0ASet-Cookie:_a=3Db?=", "UTF-8''%2e%2e%2fx", "x;filename*=utf-8''b.exe", "a\u202etxt.exe", "ｘ／ｙ",
    "C:\\x", "/etc/passwd", ".", "..", "con", " .htaccess", "a\tb", "ü" * 200, "x" * 5_000,
)  # fmt: skip


async def test_a_strange_part_of_a_path_is_of_nothing(
    anonymous_app: FastAPI, gallery_of_few: Gallery, caplog: pytest.LogCaptureFixture
) -> None:
    ids = await places(gallery_of_few.database.pool)
    for number, surface in enumerate(surfaces(anonymous_app)):
        for target in islice(_with_segments(surface, ids), number % _TURNS, None, _TURNS):
            answer = await ask(anonymous_app, surface.method, target)
            assert answer.status < 500, (surface, target[:200])
            assert not _is_of_ours(answer), (surface, target[:200])
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def _with_segments(surface: Surface, ids: dict[str, str]) -> Iterator[str]:
    for name in surface.parameters:
        others = surface.path
        for other in surface.parameters:
            if other != name:
                others = others.replace(f"{{{other}}}", quote(ids[other]))
        for segment in SEGMENTS:
            yield others.replace(f"{{{name}}}", quote(segment, safe="%/;*{}:"))


async def test_no_folder_gives_what_lies_outside_it(anonymous_app: FastAPI) -> None:
    found = folders(anonymous_app)
    assert len(found) > 2
    for folder in found:
        for trick in TRICKS:
            for target in (f"{folder}/{trick}", f"{folder}/x/{trick}", f"{folder}{trick}"):
                answer = await ask(anonymous_app, "GET", target)
                assert answer.status in (307, 400, 404, 405), (target[:200], answer.status)
                assert answer.header("location") in ("", f"http://localhost{folder}/"), target[:200]
                assert not _is_of_ours(answer), target[:200]


@pytest.mark.parametrize(
    "target", ["//evil.example/%2e%2e", "/\\evil.example", "//evil.example", "/%5cevil.example/.."]
)
async def test_no_address_leads_elsewhere(anonymous_app: FastAPI, target: str) -> None:
    for path in (target, f"{target}/add/", f"/add/{target}/"):
        answer = await ask(anonymous_app, "GET", path)
        assert answer.status < 500
        assert re.match(r"(http://localhost)?/(?![/\\])|$", answer.header("location"), re.ASCII), path


async def test_a_file_is_saved_under_its_name_alone(visitor: Visitor, gallery_of_few: Gallery) -> None:
    """However a mail that was caught calls it, and whatever the API takes."""
    answered = 0
    for name in NAMES:
        file = {"filename": name, "content_type": "text/html", "content": "PGI+"}
        event = {
            "email_subject": "Hello", "email_content": "Hello", "expected_sent_at": "2029-01-01T00:00:00Z",
            "recipients": "ann@example.net", "attachments": [file],
        }  # fmt: skip
        answer = await visitor.client.post("/api/events", json=event)
        assert answer.status_code in (201, 400), name
        paths = []
        if answer.status_code == 201:
            at = f"/events/{answer.json()['event']['id']}/attachments/0"
            paths = [f"/api{at}", at]
        await gallery_of_few.database.pool.execute("DELETE FROM captured_mails")
        await caught(gallery_of_few, name)
        mail_id = (await places(gallery_of_few.database.pool))["mail_id"]
        for path in (*paths, f"/mailbox/{mail_id}/attachments/0", f"/mailbox/{mail_id}.eml"):
            shown = await visitor.client.get(path)
            assert shown.status_code == 200, (path, name)
            said = shown.headers["content-disposition"]
            assert said.startswith("attachment; "), path
            saved = _saved_as(said)
            assert saved, said
            assert re.search(r'[/\\\x00-\x1f"\u202e]', saved) is None, said
            assert said.isascii(), said
            assert "default-src 'none'" in shown.headers["content-security-policy"], path
            assert "set-cookie" not in shown.headers
            answered += 1
    assert answered > 40


def _saved_as(disposition: str) -> str:
    """As the standard library reads it: one name, and its other writing."""
    message = Message()
    message["Content-Disposition"] = disposition
    return message.get_filename() or ""


def _is_of_ours(answer: Answer) -> bool:
    """A source file of ours, or a file of the machine's."""
    return b"from janus_mail" in answer.body or b"root:" in answer.body
