"""Pieces of requests that several services want alike."""

import base64
from collections.abc import Iterable
from email.header import Header
from email.utils import quote

from janus_mail.providers.contract import Address


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


def base64_of(content: bytes) -> str:
    """Standard alphabet, padded, in one line (RFC 4648 section 4)."""
    return base64.b64encode(content).decode("ascii")
