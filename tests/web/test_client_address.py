"""Who a request comes from: only proxies that we trust are believed."""

import uuid
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from janus_mail.web.client_address import ClientAddress, counted_as
from tests.web.asking import client_of, limited

TRUSTED = ("10.0.0.0/8", "2001:db8:ffff::/48", "127.0.0.1/32")
PROXY = "10.0.0.1"
STRANGER = "198.51.100.9"


async def seen(
    peer: str | None, headers: list[tuple[str, str]], trusted: tuple[str, ...] = TRUSTED
) -> tuple[str | None, str]:
    """The address and scheme that a request has behind the middleware."""
    scope: dict[str, Any] = {
        "type": "http", "client": (peer, 4711) if peer is not None else None, "scheme": "http",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
    }  # fmt: skip

    async def app(scope: Scope, receive: Receive, send: Send) -> None: ...

    networks: list[IPv4Network | IPv6Network] = [ip_network(network) for network in trusted]
    await ClientAddress(app, trusted=networks)(scope, None, None)  # type: ignore[arg-type]
    return (scope["client"][0] if scope["client"] else None), scope["scheme"]


FORGED = {
    "a stranger names another": (STRANGER, "192.0.2.1", STRANGER),
    "a stranger names this machine": (STRANGER, "127.0.0.1", STRANGER),
    "a stranger names a proxy of ours": (STRANGER, "10.0.0.1", STRANGER),
    "a proxy names its client": (PROXY, "192.0.2.1", "192.0.2.1"),
    "the client named somebody else first": (PROXY, "203.0.113.7, 192.0.2.1", "192.0.2.1"),
    "the client named this machine first": (PROXY, "127.0.0.1, 192.0.2.1", "192.0.2.1"),
    "the client named a proxy of ours first": (PROXY, "10.9.9.9, 192.0.2.1", "192.0.2.1"),
    "the client wrote rubbish first": (PROXY, "'; DROP TABLE--, \x01, 192.0.2.1", "192.0.2.1"),
    "the client wrote a lot first": (PROXY, "1.1.1.1," * 5_000 + "192.0.2.1", "192.0.2.1"),
    "two proxies of ours": (PROXY, "203.0.113.7, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
    "only proxies of ours": (PROXY, "10.0.0.3, 10.0.0.2", "10.0.0.3"),
    "more proxies than are looked at": (PROXY, "192.0.2.1, " + ", ".join(["10.0.0.2"] * 30), "10.0.0.2"),
    "rubbish from the proxy": (PROXY, "unknown", PROXY),
    "rubbish behind a proxy of ours": (PROXY, "192.0.2.1, _hidden, 10.0.0.2", "10.0.0.2"),
    "a name": (PROXY, "localhost", PROXY),
    "a number": (PROXY, "3221225985", PROXY),
    "octal": (PROXY, "0300.0.2.1", PROXY),
    "a network": (PROXY, "192.0.2.0/24", PROXY),
    "an empty header": (PROXY, "", PROXY),
    "a comma at its end": (PROXY, "192.0.2.1,", PROXY),
    "an endless address": (PROXY, "1" * 10_000, PROXY),
    "with a port": (PROXY, "192.0.2.1:4711", "192.0.2.1"),
    "with a port that is none": (PROXY, "192.0.2.1:http", PROXY),
    "IPv6": (PROXY, "2001:db8::1", "2001:db8::1"),
    "IPv6 with a port": (PROXY, "[2001:db8::1]:4711", "2001:db8::1"),
    "IPv6 with a zone": (PROXY, "fe80::1%eth0", PROXY),
    "IPv4 in IPv6": (PROXY, "::ffff:192.0.2.1", "192.0.2.1"),
    "a proxy of ours in IPv6": (PROXY, "192.0.2.1, 2001:db8:ffff::5", "192.0.2.1"),
    "a proxy that comes as IPv4 in IPv6": ("::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1"),
    "the proxy is on this machine": ("127.0.0.1", "192.0.2.1", "192.0.2.1"),
}


@pytest.mark.parametrize(("peer", "said", "address"), FORGED.values(), ids=FORGED)
async def test_only_what_trusted_proxies_say_is_believed(peer: str, said: str, address: str) -> None:
    assert (await seen(peer, [("X-Forwarded-For", said)]))[0] == address


async def test_without_trusted_proxies_nobody_is_believed() -> None:
    headers = [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https")]
    for peer in ("127.0.0.1", "::1", STRANGER):
        assert await seen(peer, headers, trusted=()) == (peer, "http")


async def test_a_header_that_comes_twice_is_one_list() -> None:
    headers = [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-For", "192.0.2.1")]
    assert (await seen(PROXY, headers))[0] == "192.0.2.1"


@pytest.mark.parametrize("name", ["Forwarded", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP"])
async def test_other_headers_are_not_read(name: str) -> None:
    value = "for=192.0.2.1" if name == "Forwarded" else "192.0.2.1"
    assert (await seen(PROXY, [(name, value)]))[0] == PROXY


@pytest.mark.parametrize(
    ("peer", "said", "scheme"),
    [
        (PROXY, "https", "https"),
        (PROXY, "HTTPS", "https"),
        (PROXY, "http", "http"),
        (PROXY, "http, https", "https"),
        (PROXY, "https, http", "http"),
        (PROXY, "javascript", "http"),
        (PROXY, "", "http"),
        (STRANGER, "https", "http"),
    ],
)
async def test_the_scheme_is_the_trusted_proxys_to_say(peer: str, said: str, scheme: str) -> None:
    assert (await seen(peer, [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", said)]))[1] == scheme


async def test_what_comes_through_no_tcp_connection_stays_without_an_address() -> None:
    assert await seen(None, [("X-Forwarded-For", "192.0.2.1")]) == (None, "http")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("", "unknown"),
        ("x" * 100, "unknown"),
    ],
)
def test_ipv6_is_limited_by_network(address: str, name: str) -> None:
    assert counted_as(address) == name


async def test_behind_a_trusted_proxy_each_client_has_limits_of_its_own(app: FastAPI, workspace_id: uuid.UUID) -> None:
    limited(app, address=2)
    behind = ClientAddress(app, trusted=[ip_network("10.0.0.0/8")])
    async with client_of(behind, address="10.0.0.1") as client:
        statuses = [
            (
                await client.get("/api/nothing", headers={"X-Forwarded-For": f"203.0.113.{n}, 192.0.2.{n % 2}"})
            ).status_code
            for n in range(6)
        ]
    assert statuses == [404] * 4 + [429] * 2


@pytest.mark.parametrize(
    ("name", "said"),
    [("X-Forwarded-For", address) for address in ("127.0.0.1", "192.0.2.1, 127.0.0.1", "::1", "localhost", "")]
    + [("X-Forwarded-Proto", "https"), ("Forwarded", "for=127.0.0.1"), ("X-Real-IP", "127.0.0.1"), ("Via", "1.1 a")],
)
@pytest.mark.parametrize("trusted", ["127.0.0.0/8", "10.0.0.0/8"], ids=["trusted", "not trusted"])
async def test_who_comes_through_a_proxy_is_never_taken_for_this_machine(
    anonymous_app: FastAPI, trusted: str, name: str, said: str
) -> None:
    behind = ClientAddress(anonymous_app, trusted=[ip_network(trusted)])
    async with client_of(behind, address="127.0.0.1") as client:
        answer = await client.get("/api/events", headers={name: said, "Host": "localhost"})
    assert answer.status_code == 401


async def test_who_spoke_tls_with_a_trusted_proxy_gets_secure_cookies(app: FastAPI, workspace_id: uuid.UUID) -> None:
    headers = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", "Accept": "text/html"}
    for trusted, secure in (("10.0.0.0/8", True), ("172.16.0.0/12", False)):
        behind = ClientAddress(app, trusted=[ip_network(trusted)])
        async with client_of(behind, address="10.0.0.1") as client:
            answer = await client.get("/login", headers=headers)
        assert answer.status_code == 200
        assert ("secure" in answer.headers["set-cookie"].lower()) == secure
