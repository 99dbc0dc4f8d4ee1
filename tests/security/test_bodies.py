"""Bodies that no client of ours sends: refused, and nothing breaks or stands still over them."""

import gzip
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest
from fastapi import FastAPI

from janus_mail.pages import csrf
from janus_mail.storage.database import Database
from janus_mail.web.body_limit import MIB
from tests.pages.conftest import Visitor
from tests.pages.gallery import Gallery
from tests.security.asking import Answer, Headers, ask
from tests.security.stored import places
from tests.security.surfaces import Field, Operation, Surface, surfaces

_DEEP: Final = 100_000
_TURNS: Final = 8  # each address gets so much less of them than there are, and each of them so much less addresses
JSON: Final[Mapping[str, bytes]] = {
    "nothing": b"",
    "blanks": b"  \n ",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"x"',
    "a number": b"1",
    "deep lists": b"[" * _DEEP + b"]" * _DEEP,
    "deep lists without end": b'{"email_subject":' + b"[" * _DEEP,
    "deep objects": b'{"a":' * _DEEP + b"1" + b"}" * _DEEP,
    "a huge number": b'{"version":' + b"9" * 50_000 + b"}",
    "beyond all numbers": b'{"version":1e999999,"order":[-1e999999]}',
    "not a number": b'{"version":NaN,"a":Infinity}',
    "the same key twice": b'{"email_subject":"a","email_subject":"b","addresses":[],"addresses":1}',
    "a thousand keys": b"{" + b",".join(b'"k%d":1' % n for n in range(1_000)) + b"}",
    "no UTF-8": b'{"email_subject":"\xff\xfe"}',
    "overlong UTF-8": b'{"email_subject":"\xc0\xaf"}',
    "UTF-16": '{"email_subject":"x"}'.encode("utf-16"),
    "a mark before it": b"\xef\xbb\xbf{}",
    "half a surrogate pair": b'{"email_subject":"\\ud800"}',
    "NUL": b'{"email_subject":"a\\u0000b","tags":["\\u0000"],"\\u0000":1}',
    "a raw NUL": b'{"email_subject":"a\0b"}',
    "more behind it": b'{"version":1}{"version":1}',
    "cut off": b'{"email_subject":"x',
    "prototypes": b'{"__proto__":{"a":1},"constructor":1,"__class__":"x","__init__":{}}',
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.",
}  # fmt: skip
_PART: Final = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
# Beside the token that makes it one of ours.
MULTIPART: Final[Mapping[str, bytes]] = {
    "nothing": b"",
    "no end": _PART % (b"a", b"b"),
    "no parts": b"--x--\r\n",
    "a thousand parts": b"".join(_PART % (b"f%d" % n, b"1") for n in range(1_200)) + b"--x--\r\n",
    "hundreds of files": b"".join(
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="%d"\r\n\r\n1\r\n' % n for n in range(800)
    ) + b"--x--\r\n",
    "a header without end": b"--x\r\nX-Long: " + b"a" * 60_000,
    "headers without end": b"--x\r\n" + b"X-Any: a\r\n" * 6_000,
    "no name": b"--x\r\nContent-Disposition: form-data\r\n\r\nb\r\n--x--\r\n",
    "no disposition": b"--x\r\nContent-Type: text/plain\r\n\r\nb\r\n--x--\r\n",
    "bare line ends": b"--x\nContent-Disposition: form-data; name=a\n\nb\n--x--\n",
    "no UTF-8": _PART % (b"\xff\xfe", b"\xff\xfe\0") + b"--x--\r\n",
    "an unheard-of charset": b'--x\r\nContent-Disposition: form-data; name="a"\r\n'
    b"Content-Type: text/plain; charset=none\r\n\r\nb\r\n--x--\r\n",
    "a form within": _PART % (b"a", b"--y\r\n\r\n--y--") + b"--x--\r\n",
    "a long field": _PART % (b"a", b"b" * 60_000) + b"--x--\r\n",
    "no form": b"\0" * 1_000,
}  # fmt: skip
URLENCODED: Final[Mapping[str, bytes]] = {
    "nothing": b"",
    "thousands of fields": b"&".join(b"f%d=1" % n for n in range(8_000)),
    "one thousands of times": b"email_subject=a&" * 3_500,
    "separators": b"&=;" * 20_000,
    "broken escapes": b"a=%&b=%z&c=%ff%fe&%00=%00&email_subject=%0d%0a",
    "no UTF-8": b"a=\xff\xfe&\xff=1",
    "one long name": b"a" * 60_000,
    "numbers": b"page=" + b"9" * 5_000 + b"&version=1e999&position=-1&place=NaN",
}
KINDS: Final[Mapping[str, Mapping[str, bytes]]] = {
    "application/json": JSON,
    "multipart/form-data; boundary=x": MULTIPART,
    "application/x-www-form-urlencoded": URLENCODED,
}
# Content types that say nothing or too much, each with a body that goes with all.
ODD_KINDS: Final = (
    "", "application/json; charset=utf-16", "application/json; charset=none", "multipart/form-data", "text/csv",
    "multipart/form-data; boundary=", f"multipart/form-data; boundary={'x' * 5_000}", "multipart/mixed; boundary=x",
    "application/x-www-form-urlencoded; charset=utf-7", "application/x-www-form-urlencoded; charset=none",
    "application/xml", "text/plain", "*/*", "application/json\x80", "/", "application/json, text/plain",
)  # fmt: skip
WRONG: Final[tuple[Any, ...]] = ({"a": {"b": []}}, 10**400, None, True, -1, [[None]], "", "x" * 20_000)


@dataclass(frozen=True, slots=True)
class Target:
    """An address that takes a body, with what opens it: headers, and the token that forms of ours carry."""

    surface: Surface
    address: str
    headers: Headers
    token: bytes

    @property
    def takes_anything(self) -> bool:
        """A page reads its form, and a bounce may be any mail."""
        return self.surface.is_page or self.surface.path.endswith("/dsn")

    async def take(self, app: FastAPI, kind: str, body: bytes, *more: tuple[bytes, bytes]) -> Answer:
        given = (*self.headers, (b"content-type", kind.encode("latin-1")), *more)
        return await ask(app, self.surface.method, self.address, headers=given, body=self.ours(kind, body))

    def ours(self, kind: str, body: bytes) -> bytes:
        """With the token before it, where it is a form."""
        if not self.token or "json" in kind:
            return body
        if kind.startswith("multipart"):
            return _PART % (csrf.FIELD.encode(), self.token) + body
        return csrf.FIELD.encode() + b"=" + self.token + b"&" + body


@pytest.fixture
async def targets(owner: Visitor, gallery_of_few: Gallery, anonymous_app: FastAPI, api_key: str) -> list[Target]:
    token = (await owner.get("/add")).form("/add").values()[csrf.FIELD].encode()
    ids = await places(gallery_of_few.database.pool)
    key = (b"authorization", b"Bearer " + api_key.encode())
    cookies = "; ".join(f"{name}={value}" for name, value in owner.client.cookies.items())
    page = ((b"cookie", cookies.encode()), (b"accept", b"text/html"))
    found = [surface for surface in surfaces(anonymous_app) if surface.method in ("POST", "PUT", "PATCH")]
    return [Target(one, one.at(ids), *((page, token) if one.is_page else ((key,), b""))) for one in found]


@pytest.fixture
def nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No line of the log is about an error."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname == "ERROR"] == []


@pytest.mark.usefixtures("nothing_unexpected")
async def test_no_body_breaks_anything(anonymous_app: FastAPI, targets: list[Target]) -> None:
    assert len(targets) > 30
    for number, target in enumerate(targets):
        for kind, bodies in KINDS.items():
            # What an address does not read at all it refuses whatever it says.
            read = ("json" in kind) != target.surface.is_page
            for name in list(bodies)[number % _TURNS :: _TURNS] if read else list(bodies)[:1]:
                body = bodies[name]
                answer = await target.take(anonymous_app, kind, body)
                assert answer.status < 500, (str(target.surface), kind, name)
                if kind == "application/json" and not target.takes_anything and body.strip():
                    assert answer.status >= 400, (str(target.surface), name)


@pytest.mark.usefixtures("nothing_unexpected")
async def test_no_content_type_and_no_encoding_breaks_anything(anonymous_app: FastAPI, targets: list[Target]) -> None:
    packed = gzip.compress(b'{"email_subject":"' + b"x" * 1_000_000 + b'"}')
    for number, target in enumerate(targets):
        for kind in ODD_KINDS[number % _TURNS :: _TURNS]:
            answer = await target.take(anonymous_app, kind, b"a=1")
            assert answer.status < 500, (str(target.surface), kind)
        for encoding in (b"gzip", b"deflate, gzip"):
            answer = await target.take(anonymous_app, "application/json", packed, (b"content-encoding", encoding))
            assert answer.status < 500, (str(target.surface), encoding)
            assert target.takes_anything or answer.status >= 400, (str(target.surface), encoding)


async def test_no_field_of_another_type_breaks_anything(
    api: httpx.AsyncClient, every_operation: list[Operation], database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    ids = await places(database.pool)
    tried: set[tuple[str | int, ...]] = set()
    for operation in every_operation:
        if not operation.is_json:
            continue
        for number, field in enumerate(_all_fields(operation.body)):
            for value in WRONG[number % 4 :: 4] if field.steps[-2:] in tried else WRONG[number % 2 :: 2]:
                body = json.dumps(field.put(operation.body, value))
                address = operation.surface.at(ids)
                headers = {"Content-Type": "application/json"}
                answer = await api.request(operation.surface.method, address, content=body, headers=headers)
                assert answer.status_code < 500, (operation.surface, field, value)
            tried.add(field.steps[-2:])
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.usefixtures("nothing_unexpected")
async def test_what_is_too_large_is_refused_announced_or_not(anonymous_app: FastAPI, targets: list[Target]) -> None:
    for target in targets:
        for length in (b"1000000000000", b"9" * 30):
            headers = (*target.headers, (b"content-length", length), (b"content-type", b"application/json"))
            answer = await ask(anonymous_app, target.surface.method, target.address, headers=headers, body=())
            assert answer.status == 413, (str(target.surface), length)
        chunk = b" " * MIB
        for kind in (b"application/json", b"application/x-www-form-urlencoded", b"text/csv"):
            headers = (*target.headers, (b"content-type", kind))
            answer = await ask(
                anonymous_app, target.surface.method, target.address, headers=headers, body=itertools.repeat(chunk, 130)
            )
            assert 400 <= answer.status < 500, (str(target.surface), kind)


@pytest.mark.usefixtures("nothing_unexpected")
async def test_a_client_that_goes_away_amid_its_body_is_no_error(anonymous_app: FastAPI, targets: list[Target]) -> None:
    for target in targets:
        for kind, body in (
            ("application/json", b'{"email_subject":'),
            ("multipart/form-data; boundary=x", _PART % (b"a", b"b")),
            ("application/x-www-form-urlencoded", b"a=1"),
        ):
            headers = (*target.headers, (b"content-type", kind.encode()))
            for pieces in (0, 1):
                answer = await ask(
                    anonymous_app, target.surface.method, target.address, headers=headers,
                    body=[target.ours(kind, body), b""], leaves_after=pieces,
                )  # fmt: skip
                assert answer.status < 500, (str(target.surface), kind)


def _all_fields(body: Any, steps: tuple[str | int, ...] = ()) -> Iterator[Field]:
    """Every place in it, whatever stands there."""
    inner = body.items() if isinstance(body, dict) else enumerate(body[:1]) if isinstance(body, list) else ()
    for step, value in inner:
        yield Field((*steps, step))
        yield from _all_fields(value, (*steps, step))
