"""The hosts that a provider's config names: public ones, reached without showing the key to everyone on the way."""

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from janus_mail.availability.allowances import Allowances
from janus_mail.errors import Detail, InvalidInput
from janus_mail.providers.network import SAVING, ConnectedTo, all_public, look_up, not_public
from janus_mail.providers.registry import UnknownKind, fields_connected_to, kind_named
from janus_mail.routing.config import in_force

LOOK_UP_S: Final = 2.0
_READABLE: Final = (
    "http:// shows the key to everyone on the way: use https://. Only to a host within the server's own network may it "
    "be http://, where JANUS_ALLOW_PRIVATE_HOSTS is on."
)


async def against_hosts(
    kind: str, config: Mapping[str, object], *, sandbox: bool, allowed: Allowances
) -> InvalidInput | None:
    """Why a config must not be stored: it leads to what is not public, or to a service in plain HTTP.

    Names are looked up for `LOOK_UP_S` at most: no transaction may be open meanwhile. One that nobody knows now is
    taken, for it is looked at again whenever it is connected to. A sandbox provider connects nowhere.
    """
    if sandbox:
        return None
    for field, (scheme, host) in _named(kind, config).items():
        readable = scheme == "http"
        if allowed.private_hosts and not readable:
            continue
        public = await _is_public(host)
        if public is False and not allowed.private_hosts:
            sentence = f"{not_public(host)}."
            return InvalidInput(sentence, code="private_address", details=[Detail(f"config.{field}", sentence)])
        if readable and public is not False:
            return InvalidInput(
                "The key would be readable on the way.", code="insecure_address",
                details=[Detail(f"config.{field}", _READABLE)],
            )  # fmt: skip
    return None


def _named(kind: str, config: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    """By field the scheme, of a URL, and the host; also what a preset fills in."""
    try:
        known, fields = kind_named(kind), fields_connected_to(kind)
    except UnknownKind:  # there is more against it
        return {}
    values = in_force(kind, {name: value for name, value in config.items() if name in known.destination})
    said = {}
    for name, mark in fields.items():
        value = values.get(name)
        scheme, host = _parts(value) if mark is ConnectedTo.URL else ("", value)
        if isinstance(host, str) and host:
            said[name] = scheme, host
    return said


def _parts(url: object) -> tuple[str, str]:
    """Empty where it is none: it is refused as such."""
    try:
        parts = urlsplit(str(url or ""))
    except ValueError:
        return "", ""
    return parts.scheme, parts.hostname or ""


async def _is_public(host: str) -> bool | None:
    """None where nobody can tell."""
    try:
        async with asyncio.timeout(LOOK_UP_S):
            return all_public(await look_up(host, 0, SAVING))
    except (OSError, UnicodeError):  # TimeoutError is one
        return None
