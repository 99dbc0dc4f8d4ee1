"""Files that a mail carries: what they may be called, and the MIME part of each (RFC 2045, 2183, 2231, 2392)."""

import mimetypes
import re
from binascii import b2a_base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from janus_mail.content.characters import TURNS_TEXT, UNFIT_IN_NAME

MAX_FILENAME: Final = 255
MAX_CONTENT_ID: Final = 255
UNKNOWN_TYPE: Final = "application/octet-stream"

_LINE = 76
_LINES_AT_ONCE = 4096  # some 300 kB: a millisecond, after which other threads have their turn
_FOLD_AT = 78  # RFC 5322 2.1.1

_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}", re.ASCII)  # RFC 6838 4.2
_CONTENT_ID = re.compile(r"[!-;=?-~]+", re.ASCII)
# What stands in a quoted-string as it is, and is read by everyone as it stands.
_PLAIN_NAME = re.compile(r"[ !#-\[\]-~]+", re.ASCII)
_ATTRIBUTE_CHARACTERS = "!#$&+-.^_`|~"  # RFC 5987 3.2.1, beside letters and digits

# Python's own table alone, so that a name means the same on every machine; and what it does not know yet.
_KNOWN = mimetypes.MimeTypes()
for _ending, _type in {
    ".7z": "application/x-7z-compressed",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".gz": "application/gzip",
    ".heic": "image/heic",
    ".ics": "text/calendar",
    ".md": "text/markdown",
    ".odp": "application/vnd.oasis.opendocument.presentation",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".rtf": "application/rtf",
    ".vcf": "text/vcard",
    ".webp": "image/webp",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".yaml": "application/yaml",
}.items():
    _KNOWN.add_type(_type, _ending)


class InvalidFile(ValueError):
    """A file's name, type or Content-ID that no mail can carry, or not safely."""


@dataclass(slots=True, eq=False)
class File:
    """One file. With a `content_id` (without angle brackets) the HTML shows it as `cid:…`.

    Its base64 is made once, whoever shares it.
    """

    filename: str
    content_type: str  # `type/subtype` in lower case
    content: bytes = field(repr=False)
    content_id: str | None = None
    _encoded: tuple[bytes, ...] | None = field(default=None, init=False, repr=False)

    def part(self, *, inline: bool) -> tuple[bytes, ...]:
        """The MIME part, in pieces: its headers, an empty line, the content in lines of 76. Ends in CRLF."""
        return (_head(self, inline=inline), *self.encoded())

    def encoded(self) -> tuple[bytes, ...]:
        """The content in base64 (RFC 2045 6.8), in pieces. Of a large one it takes a while: a thread is the place."""
        if self._encoded is None:
            self._encoded = tuple(_base64_lines(self.content))
        return self._encoded


def check_filename(name: str) -> str:
    """The name without blanks around it, which readers take away. Raises InvalidFile."""
    if UNFIT_IN_NAME.search(name):
        raise InvalidFile("A file name has no line breaks and no control characters.")
    if TURNS_TEXT.search(name):
        raise InvalidFile("A file name has no characters that turn the direction of its text: its ending must be seen.")
    name = name.strip()
    if not 1 <= len(name) <= MAX_FILENAME:
        raise InvalidFile(f"A file name has 1 to {MAX_FILENAME} characters.")
    if "/" in name or "\\" in name or name in (".", ".."):
        raise InvalidFile("Give the file's name alone, without a path.")
    return name


def check_content_type(text: str) -> str:
    """The type in lower case. Raises InvalidFile."""
    kind = text.lower()
    if _TYPE.fullmatch(kind) is None:
        raise InvalidFile("A content type is type/subtype without parameters, as in application/pdf.")
    if kind.startswith(("multipart/", "message/")):
        raise InvalidFile(f"{kind} cannot be sent as a file: send it as {UNKNOWN_TYPE}.")
    return kind


def check_content_id(text: str) -> str:
    """The Content-ID. Raises InvalidFile."""
    if not 1 <= len(text) <= MAX_CONTENT_ID or _CONTENT_ID.fullmatch(text) is None:
        raise InvalidFile(
            f"A content_id is 1 to {MAX_CONTENT_ID} printable ASCII characters without blanks and angle brackets: "
            "logo, which the HTML shows as cid:logo."
        )
    return text


def guessed_type(filename: str) -> str:
    """The type that the name's ending stands for, where that is known and can be sent."""
    kind, compressed = _KNOWN.guess_type(f"x{filename}")  # a name that begins with a dot has an ending too
    if compressed is not None:
        return "application/gzip" if compressed == "gzip" else UNKNOWN_TYPE
    try:
        return check_content_type(kind or "")
    except InvalidFile:
        return UNKNOWN_TYPE


def disposition(kind: str, filename: str) -> str:
    """The value of Content-Disposition as HTTP has it (RFC 6266): in one line, with a plain name for old programs."""
    if _stays_plain(filename):
        return f'{kind}; filename="{filename}"'
    plain = "".join(sign if _PLAIN_NAME.fullmatch(sign) and sign != "%" else "_" for sign in filename)
    return f"{kind}; filename=\"{plain}\"; filename*=utf-8''{quote(filename, safe=_ATTRIBUTE_CHARACTERS)}"


def encoded_size(octets: int) -> int:
    """How many octets so many become in base64 with its line ends."""
    size = -(-octets // 3) * 4
    return size + -(-size // _LINE) * 2


def _head(file: File, *, inline: bool) -> bytes:
    lines = [f"Content-Type: {file.content_type}", "Content-Transfer-Encoding: base64"]
    lines += _disposition_lines("inline" if inline else "attachment", file.filename)
    if inline:
        lines.append(f"Content-ID: <{file.content_id}>")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _disposition_lines(kind: str, filename: str) -> list[str]:
    """Folded where it is long; a name beyond ASCII as RFC 2231 has it, in sections that each hold whole characters."""
    sections = [f'filename="{filename}"'] if _stays_plain(filename) else list(_sections(filename))
    head = f"Content-Disposition: {kind};"
    if len(sections) == 1 and len(head) + 1 + len(sections[0]) <= _FOLD_AT:
        return [f"{head} {sections[0]}"]
    last = len(sections) - 1
    return [head, *(f" {section}{'' if place == last else ';'}" for place, section in enumerate(sections))]


def _sections(filename: str) -> Iterator[str]:
    encoded = [quote(character, safe=_ATTRIBUTE_CHARACTERS) for character in filename]
    whole = f"filename*=utf-8''{''.join(encoded)}"
    if len(whole) + 1 <= _FOLD_AT:
        yield whole
        return
    number, section = 0, "filename*0*=utf-8''"
    for character in encoded:
        if len(section) + len(character) + 2 > _FOLD_AT:
            yield section
            number += 1
            section = f"filename*{number}*="
        section += character
    yield section


def _stays_plain(filename: str) -> bool:
    # Some programs decode what looks like an encoded-word or a percent sign wherever it stands.
    return _PLAIN_NAME.fullmatch(filename) is not None and "=?" not in filename and "%" not in filename


def _base64_lines(content: bytes) -> Iterator[bytes]:
    view, step = memoryview(content), _LINE // 4 * 3 * _LINES_AT_ONCE
    for start in range(0, len(content), step):
        encoded = b2a_base64(view[start : start + step], newline=False)
        lines = [encoded[place : place + _LINE] for place in range(0, len(encoded), _LINE)]
        lines.append(b"")
        yield b"\r\n".join(lines)
