"""No expression and no parser takes more than its share of time for a long text that somebody made up."""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import pytest
from fastapi import FastAPI
from pydantic import StringConstraints, TypeAdapter

from janus_mail.compat.form_fields import InvalidForm, read_form
from janus_mail.content.addresses import Mailbox, parse_mailbox, parse_recipients
from janus_mail.content.body import encode_text
from janus_mail.content.files import check_content_id, check_content_type, check_filename, disposition, guessed_type
from janus_mail.content.headers import encode_mailboxes, encode_unstructured
from janus_mail.content.inline_images import shown_in
from janus_mail.content.text_from_html import text_from_html
from janus_mail.content.variables import Template, placeholders
from janus_mail.errors import ApiError
from janus_mail.events.instants import read_instant
from janus_mail.events.wait import preferred_wait_s
from janus_mail.feedback.multipart import multipart_fields
from janus_mail.feedback.reader import Post, Unreadable
from janus_mail.feedback.services.dsn import READER as DSN
from janus_mail.pages.letter import read_html, read_letter
from janus_mail.pages.visit import our_path
from janus_mail.suppressions.read_csv import CsvFile
from janus_mail.telemetry.logs import exception_text
from janus_mail.web.csv_cells import guarded, unguarded
from janus_mail.web.pages_of import decode_cursor
from tests.security import patterns

_SIZES: Final = (1_000, 4_000, 16_000)  # characters
# Below it a clock tells more of the machine than of the expression; what is quadratic is far above it in the end.
_CLEAR_S: Final = 0.01
_STEEP: Final = 8.0  # of four times the text: linear takes four times as long, quadratic sixteen times
# Repeated, they are what parsers stumble over.
_UNITS: Final = (
    "a", " ", "\t", "\n", "\r\n", ",", ";", "<", ">", "(", ")", '"', "\\", "@", "a@", "a@b.cd,", ".", "-", "=", "=?",
    "=?utf-8?q?a?=", "&", "&#", "&amp;", "<a ", "</", "<!--", "<!", "<b>", "<b", "<![", "{{", "{{a", "{{a}}", "}}", "%",
    "'", "[", "[::", "0", "1e", "in ", "at 9 ", "1 day ", "+", "/", "../", ": ", "\n\n", "--x\r\n", "x: y\r\n", "é",
    "\x00",
)  # fmt: skip
_NOW: Final = datetime(2026, 11, 21, tzinfo=UTC)
_REFUSALS: Final = (ValueError, ApiError, InvalidForm, Unreadable)


def _read_csv(text: str) -> None:
    CsvFile(f"address\n{text}".encode("utf-8", "replace")).take(100_000)


def _told(text: str) -> None:
    try:
        raise RuntimeError(text)
    except RuntimeError as error:
        exception_text((RuntimeError, error, error.__traceback__))


def _report(text: str) -> list[Any]:
    mail = (
        f"Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\nContent-Type: message/delivery-status\r\n\r\n{text}"
    )
    return DSN.read(Post({}, mail.encode(), "", _NOW))


def _form(text: str) -> list[tuple[str, str]]:
    return multipart_fields(
        f'--x\r\nContent-Disposition: form-data; name="a{text}\r\n\r\n{text}'.encode(), b"x", most=1000
    )


# What reads what strangers write. A new one is a new line.
PARSERS: Final[Mapping[str, Callable[[str], object]]] = {
    "recipients": parse_recipients,
    "mailbox": parse_mailbox,
    "placeholders": placeholders,
    "template": lambda text: Template(text).fill({}),
    "text from HTML": text_from_html,
    "inline images": lambda text: shown_in(f"{text} cid:"),
    "body": lambda text: encode_text(text, "plain"),
    "subject": lambda text: encode_unstructured("Subject", text),
    "names": lambda text: encode_mailboxes("To", [Mailbox("a@example.com", text)]),
    "file name": check_filename,
    "disposition": lambda text: disposition("attachment", text),
    "type": check_content_type,
    "guessed type": guessed_type,
    "content id": check_content_id,
    "time": lambda text: read_instant(text[:200], ZoneInfo("UTC"), _NOW),  # longer ones are refused unread
    "prefer": lambda text: preferred_wait_s([text]),
    "cursor": decode_cursor,
    "way back": our_path,
    "CSV file": _read_csv,
    "CSV cell": lambda text: unguarded(guarded(text)),
    "form API": lambda text: read_form(dict.fromkeys(("to_email", "from_email", "subject", "body_text"), text)),
    "caught mail": lambda text: read_letter(f"Subject: {text[:998]}\r\n\r\n{text}".encode()),
    "caught HTML": lambda text: read_html(f"Content-Type: text/html\r\n\r\n{text}".encode()),
    "bounce": lambda text: DSN.read(Post({}, text.encode(), "", _NOW)),
    "report in a bounce": _report,
    "posted form": _form,
    "logged exception": _told,
}


def fault(run: Callable[[str], object], begin: str, unit: str, end: str) -> str:
    """Where four times the text takes far more than four times as long: how much. Measured twice before it is believed,
    as time of the processor; caches that others on this machine empty make a difference all the same."""
    for size in _SIZES:
        if _seconds(run, begin, unit, end, size) > _CLEAR_S:
            steep = min(_growth(run, begin, unit, end, size) for _ in range(2))
            if steep > _STEEP:
                return f"{begin[:20]!r} {unit!r} × {size // len(unit)} {end!r}: {steep:.1f} times as long"
    return ""


def _growth(run: Callable[[str], object], begin: str, unit: str, end: str, size: int) -> float:
    part, whole = (min(_seconds(run, begin, unit, end, n) for _ in range(5)) for n in (size // 4, size))
    return whole / part


def _seconds(run: Callable[[str], object], begin: str, unit: str, end: str, size: int) -> float:
    text = begin + unit * (size // len(unit)) + end
    began = time.thread_time()
    try:
        run(text)
    except _REFUSALS:
        pass
    return time.thread_time() - began


def test_the_expressions_of_the_package_are_found() -> None:
    found = patterns.patterns()
    assert len(found) > 80


@pytest.mark.timeout(60)
def test_no_expression_takes_far_longer_than_its_text_is_longer() -> None:
    faults = []
    for where, pattern in patterns.patterns().items():
        as_bytes = isinstance(pattern.pattern, bytes)
        source = pattern.pattern.decode("latin-1") if as_bytes else pattern.pattern
        for method in patterns.methods(pattern):
            run = partial(_call, getattr(pattern, method), as_bytes)
            found = (fault(run, *text) for text in patterns.slow_texts(source))
            faults += [f"{where}, {method}: {one}" for one in [next(filter(None, found), "")] if one]
    assert "\n".join(faults) == ""


@pytest.mark.timeout(60)
def test_no_expression_of_a_schema_does(built_apps: dict[bool, FastAPI]) -> None:
    """pydantic's own engine runs them, which never goes back; this holds for who lets another one do so."""
    sources = set(_patterns_in(built_apps[False].openapi()))
    assert len(sources) > 2
    for pattern in sources:
        field = TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])
        for text in patterns.slow_texts(pattern):
            assert fault(field.validate_python, *text) == "", pattern


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", PARSERS)
def test_no_parser_does(name: str) -> None:
    found = (fault(PARSERS[name], "", unit, end) for unit in _UNITS for end in ("\x01",))
    assert next(filter(None, found), "") == ""


def _patterns_in(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for value in schema.values():
            yield from _patterns_in(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _patterns_in(value)


def _call(method: Callable[[Any], object], as_bytes: bool, text: str) -> None:
    method(text.encode("latin-1", "replace") if as_bytes else text)
