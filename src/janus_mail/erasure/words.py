"""Putting a pseudonym in place of an address, in any text and anything made of texts. Pure."""

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import orjson

from janus_mail.content.addresses import unicode_domain

# RFC 2606: an address that nobody can have, so that a mail to it goes nowhere.
_DOMAIN: Final = "erased.invalid"
ERASED: Final = "erased"

# Not a part of a longer address: neither joann@… nor ann@example.com.au. A percent sign and two digits are a character.
_BEFORE: Final = r"(?:(?<![\w.+-])|(?<=%[0-9a-f]{2}))"
_BEHIND: Final = r"(?![\w-]|\.\w)"


def new_pseudonym() -> str:
    return f"erased-{secrets.token_hex(4)}@{_DOMAIN}"


class Eraser:
    """Of one address."""

    def __init__(self, address: str, pseudonym: str) -> None:
        self.address, self.pseudonym = address, pseudonym
        local, _, domain = address.rpartition("@")
        written = f"{local}@{unicode_domain(domain)}"  # as people do; the address is in wire form
        forms = dict.fromkeys(form for one in (address, written) for form in (one, quote(one, safe="")))
        pattern = f"{_BEFORE}(?:{'|'.join(map(re.escape, forms))}){_BEHIND}"
        self._pattern = re.compile(pattern, re.IGNORECASE)
        self._octets = re.compile(pattern.encode(), re.IGNORECASE)
        # As JSON in a database writes it too.
        self.forms: Sequence[str] = list(
            dict.fromkeys([*forms, *(orjson.dumps(form).decode()[1:-1] for form in forms)])
        )

    def text(self, text: str) -> str:
        return self._pattern.sub(self.pseudonym, text)

    def octets(self, octets: bytes) -> bytes:
        return self._octets.sub(self.pseudonym.encode(), octets)

    def value(self, value: Any) -> Any:
        """Of what JSON can say. The name beside the address goes with it: `{email, name}`."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            erased = {self.text(name): self.value(inner) for name, inner in value.items()}
            return {**erased, "name": None} if self._names_them(value) else erased
        if isinstance(value, list | tuple):
            return [self.value(inner) for inner in value]
        return value

    def _names_them(self, value: Mapping[str, Any]) -> bool:
        email = value.get("email")
        return "name" in value and isinstance(email, str) and email.lower() == self.address.lower()
