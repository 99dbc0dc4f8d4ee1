"""Pieces of requests that several services want alike."""

import base64
import re
from collections.abc import Iterable, Sequence
from email.header import Header
from email.utils import quote

from janus_mail.providers.contract import Address, Attachment, Fields

# Names and values of tags at Amazon SES and at Resend, which sends through it. There metadata goes as it is, and what
# Janus calls tags, which have no names, as `numbered`: no name stands twice.
TAG_WORD = re.compile(r"[A-Za-z0-9_-]{1,256}")
TAG_NAME = re.compile(r"(?!tag_[0-9]+\Z)[A-Za-z0-9_-]{1,256}")

_STEP_BYTES = 3 * 256 * 1024  # whole groups of three, so that the steps join without padding


def without_doubles(*groups: Iterable[Address]) -> list[list[Address]]:
    """The groups, each address only where it comes first; case does not make two of one."""
    seen: set[str] = set()
    kept: list[list[Address]] = []
    for group in groups:
        kept.append([])
        for address in group:
            known_as = address.email.lower()
            if known_as not in seen:
                seen.add(known_as)
                kept[-1].append(address)
    return kept


def header_value(value: str) -> str:
    """In ASCII, encoded where it is not (RFC 2047)."""
    return value if value.isascii() else Header(value, "utf-8").encode(linesep="")


def address_line(address: Address) -> str:
    """`"Ann, Jr." <ann@example.com>` (RFC 5322 3.4), the name in quotes and beyond ASCII as it is."""
    return f'"{quote(address.name)}" <{address.email}>' if address.name else address.email


def address_object(address: Address) -> dict[str, str]:
    """`{"email", "name"}`, without a name where there is none."""
    return {"email": address.email, "name": address.name} if address.name else {"email": address.email}


def file_object(file: Attachment) -> dict[str, str]:
    """`{"content", "filename", "type", "disposition", "content_id"}`"""
    part = {"content": base64_of(file.content), "filename": file.filename, "type": file.content_type}
    if file.content_id:
        return part | {"disposition": "inline", "content_id": file.content_id}
    return part | {"disposition": "attachment"}


def bodies(fields: Fields, *, text: str, html: str) -> dict[str, str]:
    """The text and the HTML under these names; one that is empty is left out, and of two of them the HTML."""
    return {name: said for name, said in ((text, fields.text), (html, fields.html)) if said} or {text: "\n"}


def numbered(tags: Sequence[str]) -> dict[str, str]:
    """`tag_1`, `tag_2`, …"""
    return {f"tag_{number}": tag for number, tag in enumerate(tags, start=1)}


def base64_of(content: bytes) -> str:
    """Standard alphabet, padded, in one line (RFC 4648 section 4). Made in steps, between which other threads run."""
    steps = range(0, len(content), _STEP_BYTES)
    return b"".join(base64.b64encode(content[start : start + _STEP_BYTES]) for start in steps).decode("ascii")
