"""Where a request comes from: the peer, or whom a proxy that we trust names.

Only `X-Forwarded-For` and `X-Forwarded-Proto` are read, and only from `JANUS_TRUSTED_PROXIES`; `Forwarded` (RFC 7239)
is not. Anybody can send these headers: what stands left of the first address that is no proxy of ours is what a
stranger wrote, and is never looked at.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

Network = IPv4Network | IPv6Network

_FOR: Final = b"x-forwarded-for"
_PROTO: Final = b"x-forwarded-proto"
# Whoever sends one of these says that it stands between us and the client.
_FORWARDED: Final = frozenset({_FOR, _PROTO, b"forwarded", b"x-forwarded-host", b"x-real-ip", b"via"})
_MOST_HOPS: Final = 20  # of a chain, the nearest
_LONGEST: Final = 64  # characters of one address with its port
_SCHEMES: Final = frozenset({"http", "https"})
_PREFIX_OF_ONE: Final = 64  # what one IPv6 customer has at least, each address of which is theirs to use


class ClientAddress:
    """The outermost middleware: puts the client's address, and the scheme it used, where everybody looks for them."""

    def __init__(self, app: ASGIApp, *, trusted: Sequence[Network]) -> None:
        self.app = app
        self._trusted = tuple(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._trusted and scope["type"] == "http" and scope.get("client"):
            self._believe(scope)
        await self.app(scope, receive, send)

    def _believe(self, scope: Scope) -> None:
        peer, port = scope["client"]
        address = read_address(peer)
        if address is None or not self._is_trusted(address):
            return
        client = client_behind(address, _values(scope, _FOR), self._trusted)
        scope["client"] = (str(client), port if client == address else 0)
        said = ",".join(_values(scope, _PROTO)).rpartition(",")[2].strip().lower()
        if said in _SCHEMES:
            scope["scheme"] = said

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def client_behind(
    peer: IPv4Address | IPv6Address, forwarded_for: Iterable[str], trusted: Sequence[Network]
) -> IPv4Address | IPv6Address:
    """From the peer, which is trusted, back along `X-Forwarded-For` to the first that is not.

    Where the chain cannot be read on, or ends, its last address that could be read.
    """
    client = peer
    for said in reversed(",".join(forwarded_for).rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]):
        address = read_address(said.strip())
        if address is None:
            return client
        client = address
        if not any(client in network for network in trusted):
            return client
    return client


def read_address(said: str) -> IPv4Address | IPv6Address | None:
    """`192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`; IPv4 in IPv6 is IPv4."""
    if len(said) > _LONGEST:
        return None
    if said.startswith("["):
        said, _, port = said[1:].partition("]")
        if port and not _is_port(port):
            return None
    elif said.count(":") == 1:
        said, _, port = said.partition(":")
        if not _is_port(f":{port}"):
            return None
    try:
        address = ip_address(said)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


@lru_cache(maxsize=4096)
def counted_as(address: str) -> str:
    """The name under which an address is limited: an IPv6 network of 64 bits is one caller."""
    read = read_address(address)
    if isinstance(read, IPv6Address):
        return str(ip_network((read, _PREFIX_OF_ONE), strict=False))
    return str(read) if read is not None else "unknown"


def through_proxy(scope: Scope) -> bool:
    """Whether a request says that somebody passed it on, trusted or not."""
    return any(name in _FORWARDED for name, _ in scope["headers"])


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for header, value in scope["headers"] if header == name]


def _is_port(said: str) -> bool:
    return said[:1] == ":" and said[1:].isascii() and said[1:].isdigit() and len(said) <= len(":65535")
