"""Reading a caught mail: its headers, its two forms and its files, as a mail program would show them."""

import asyncio
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from janus_mail.content.files import UNKNOWN_TYPE, InvalidFile, check_content_type, check_filename
from janus_mail.pages.times import size

MOST_SOURCE: Final = 300_000  # characters; nobody reads more, and base64 has millions
_MANY_OCTETS = 2**18  # from here on a thread reads it
_CID = re.compile(r"""\bcid:([^"'\s<>)]+)""", re.IGNORECASE)

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A file of the mail. Its name and type are such as a download may have."""

    filename: str
    content_type: str
    octets: int


@dataclass(frozen=True, slots=True)
class Letter:
    """One parsed mail. `source` is its bytes as text, an odd byte shown as a question mark in a diamond, and cut."""

    headers: Sequence[tuple[str, str]]
    html: str | None
    text: str | None
    source: str
    files: Sequence[Enclosed] = ()

    def header(self, name: str) -> str:
        """The first of this name, decoded; nothing where there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    @property
    def forms(self) -> list[tuple[str, str]]:
        """The tabs that this mail has, as (view, words)."""
        tabs = [("html", "HTML")] if self.html is not None else []
        return [*tabs, ("text", "Text"), ("headers", f"Headers ({len(self.headers)})"), ("source", "Source")]


async def apart(read: Callable[[bytes], Read], content: bytes) -> Read:
    """Read a mail without holding up others: a large one takes a while."""
    return read(content) if len(content) < _MANY_OCTETS else await asyncio.to_thread(read, content)


def read_letter(content: bytes) -> Letter:
    """Never raises: what cannot be decoded is shown with replacement characters."""
    message = _parsed(content)
    return Letter(
        headers=[(name, _readable(name, value)) for name, value in message.raw_items()],
        html=_part(message, "html"),
        text=_part(message, "plain"),
        source=_source(content),
        files=[_enclosed(part, place) for place, part in enumerate(_files(message))],
    )


def read_html(content: bytes) -> str | None:
    """The HTML with its own images in it: a frame that may ask for nothing shows them."""
    message = _parsed(content)
    html = _part(message, "html")
    if html is None or not _CID.search(html):
        return html
    images = {
        str(part["Content-ID"]).strip().strip("<>"): part
        for part in _files(message)
        if part["Content-ID"] and part.get_content_maintype() == "image"
    }

    def data(match: re.Match[str]) -> str:
        part = images.get(match[1]) or images.get(unquote(match[1]))
        if part is None:
            return match[0]
        return f"data:{_type_of(part)};base64,{b64encode(_octets(part)).decode()}"

    return _CID.sub(data, html)


def read_file(content: bytes, place: int) -> tuple[Enclosed, bytes] | None:
    """The file at this place, from 0, with its bytes."""
    for number, part in enumerate(_files(_parsed(content))):
        if number == place:
            return _enclosed(part, place), _octets(part)
    return None


def _parsed(content: bytes) -> EmailMessage:
    return message_from_bytes(content, _class=EmailMessage, policy=policy.default)


def _files(message: EmailMessage) -> Iterator[EmailMessage]:
    """Every part that is none of the two forms."""
    forms = [message.get_body(preferencelist=(kind,)) for kind in ("html", "plain")]
    for part in message.walk():
        if part.is_multipart() or not isinstance(part, EmailMessage) or any(part is form for form in forms):
            continue
        if part is not message or part.get_content_maintype() != "text":
            yield part


def _enclosed(part: EmailMessage, place: int) -> Enclosed:
    try:
        name = check_filename(part.get_filename() or "")
    except Exception:  # the parser of structured headers raises many things on odd input
        name = f"part-{place + 1}"
    return Enclosed(name, _type_of(part), len(_octets(part)))


def _type_of(part: EmailMessage) -> str:
    try:
        return check_content_type(part.get_content_type())
    except InvalidFile:
        return UNKNOWN_TYPE


def _octets(part: EmailMessage) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _source(content: bytes) -> str:
    source = content[:MOST_SOURCE].decode("utf-8", "replace").replace("\r\n", "\n")
    more = len(content) - MOST_SOURCE
    return source if more <= 0 else f"{source}\n\n… and {size(more)} more"


def _readable(name: str, value: Any) -> str:
    """One by one: `EmailMessage.items()` would fail for all where it fails for one."""
    try:
        return str(policy.default.header_fetch_parse(name, value))
    except Exception:  # the parser of structured headers raises many things on odd input
        return str(value).encode("utf-8", "replace").decode()


def _part(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body(preferencelist=(kind,))
    if not isinstance(part, EmailMessage):
        return None
    octets = _octets(part)
    try:
        text = octets.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:  # a charset that nobody knows
        text = octets.decode("utf-8", "replace")
    return text.replace("\r\n", "\n")
