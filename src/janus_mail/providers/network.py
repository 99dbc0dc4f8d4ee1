"""What adapters connect through: a name is looked up once, and what is connected to is what was looked at.

Who names a server for their mail must not have this machine knock at doors that only it can reach: its own services,
those around it, what a cloud tells its machines.
"""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from aiohappyeyeballs import AddrInfoType, start_connection

from janus_mail.providers.outcomes import ProviderBroken

NEXT_AFTER_S: Final = 0.25  # of several addresses the next is tried beside the first (RFC 8305)
MOST_TRIED: Final = 4  # of a family of them; a name may have hundreds, and each that is tried is a socket of ours

# A name server that answers nothing keeps a thread for half a minute. The event loop's own threads are few, and what
# they look up is our database too.
CONNECTING: Final = ThreadPoolExecutor(64, thread_name_prefix="connecting")
SAVING: Final = ThreadPoolExecutor(8, thread_name_prefix="saving")

# What IANA's registries of special-purpose addresses hold, whatever this Python's `ipaddress` knows of them:
# https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry
_NOT_PUBLIC: Final = (
    ip_network("0.0.0.0/8"),  # this machine
    ip_network("10.0.0.0/8"),  # private
    ip_network("100.64.0.0/10"),  # behind a provider's NAT, and within some clouds
    ip_network("127.0.0.0/8"),  # loopback
    ip_network("168.63.129.16/32"),  # looks public, and is what each machine in Azure asks about itself
    ip_network("169.254.0.0/16"),  # link-local; what most clouds tell their machines
    ip_network("172.16.0.0/12"),  # private
    ip_network("192.0.0.0/24"),  # of protocols
    ip_network("192.0.2.0/24"),  # documentation
    ip_network("192.88.99.0/24"),  # 6to4's relays
    ip_network("192.168.0.0/16"),  # private
    ip_network("198.18.0.0/15"),  # measurements
    ip_network("198.51.100.0/24"),  # documentation
    ip_network("203.0.113.0/24"),  # documentation
    ip_network("224.0.0.0/4"),  # multicast
    ip_network("240.0.0.0/4"),  # reserved; broadcast
    ip_network("2001::/23"),  # of protocols; Teredo, in which any IPv4 address may hide
    ip_network("2001:db8::/32"),  # documentation
    ip_network("2002::/16"),  # 6to4, in which any IPv4 address may hide
    ip_network("3fff::/20"),  # documentation
)
_UNICAST: Final = ip_network("2000::/3")  # the public ones of IPv6 are in it
_NAT64: Final = ip_network("64:ff9b::/96")  # where a network without IPv4 sees all that of the others


def is_public(address: str) -> bool:
    """Whether an IP address, as a look-up answers it, is one that everyone reaches alike."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inside = found.ipv4_mapped or (IPv4Address(found.packed[-4:]) if found in _NAT64 else None)
        if inside is None and found not in _UNICAST:
            return False
        found = inside or found
    return not any(found in block for block in _NOT_PUBLIC)


async def look_up(host: str, port: int, threads: ThreadPoolExecutor = CONNECTING) -> Sequence[AddrInfoType]:
    """All its addresses, as the system knows them. Raises OSError, and UnicodeError for what can be no name."""
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    return await asyncio.get_running_loop().run_in_executor(threads, ask)


def all_public(found: Sequence[AddrInfoType]) -> bool:
    """One that is not is enough to refuse a name: which of them is connected to, the network decides."""
    return all(is_public(str(address[0])) for *_, address in found)


def _few(found: Sequence[AddrInfoType]) -> Sequence[AddrInfoType]:
    """The first of each family, so that one which leads nowhere does not stand in the other's way."""
    families = dict.fromkeys(family for family, *_ in found)
    return [one for family in families for one in [one for one in found if one[0] == family][:MOST_TRIED]]


@dataclass(frozen=True, slots=True)
class Network:
    """What may be reached: public addresses alone, or (`private`) any."""

    private: bool = False

    async def connect(self, host: str, port: int) -> socket.socket:
        """A connection to the first of the host's addresses that answers.

        Raises `ProviderBroken` where the host is not to be reached, and what `look_up` does.
        """
        found = await look_up(host, port)
        if not (self.private or all_public(found)):
            raise ProviderBroken("private_address", f"{not_public(host)}.")
        try:
            connected = await start_connection(_few(found), happy_eyeballs_delay=NEXT_AFTER_S)
        except RuntimeError as error:  # uvloop's
            raise OSError(str(error)) from error
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected


class ConnectedTo(Enum):
    """Marks a setting that says which host is connected to."""

    HOST = auto()  # it is its name or address
    URL = auto()  # which holds it


PUBLIC: Final = Network()
ANY: Final = Network(private=True)


def not_public(host: str) -> str:
    """Why it is not connected to; which addresses it has is nobody's business."""
    return f"{host} leads to an address that is not public, and JANUS_ALLOW_PRIVATE_HOSTS is off"
