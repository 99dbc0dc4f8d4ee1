"""Addresses that only this machine reaches: nobody who names a server for their mail has it knock there."""

import asyncio
import re
import socket
import ssl
from collections.abc import Sequence
from typing import Any, get_args

import pytest
from aiohappyeyeballs import AddrInfoType

from janus_mail.feedback import sns
from janus_mail.providers import network
from janus_mail.providers.contract import Adapter
from janus_mail.providers.network import ANY, PUBLIC, is_public
from janus_mail.providers.outcomes import DeliveryError, ProviderBroken, ProviderDown
from janus_mail.providers.registry import KINDS, adapter_for, fields_connected_to
from janus_mail.providers.timeouts import Timeouts

from .bench import Bench
from .benches import BENCHES, ServeHttp, each, refused
from .conftest import SHORT, SHORT_HTTP, Certificate, Hold, Serve, ServeSendGrid, fields_to, mail_of, mail_to
from .fake_sendgrid import FakeSendGrid
from .scripted_smtp import ScriptedSmtp
from .sendgrid_rules import KEY

OPEN_TO_ALL = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.17
    169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255
    198.20.0.0 223.255.255.255 2606:4700:4700::1111 2001:4860:4860::8888 2a00:1450:4001:80b::200e
    ::ffff:8.8.8.8 64:ff9b::8.8.8.8
"""
OURS_ALONE = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.255 168.63.129.16
    169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1
    198.51.100.7 203.0.113.7 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1
    64:ff9b::169.254.169.254 64:ff9b:1::10.0.0.1 100::1 2001::1 2001:0:7f00:1:: 2001:db8::1 2002:7f00:1::
    2002:808:808::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fd20:ce::254 fe80::1 fe80::1%lo fec0::1 ff02::1 ff0e::1
"""
# As `getaddrinfo` reads them: hexadecimal, octal, without dots, with too few.
SPELLINGS = """
    localhost localhost. LOCALHOST 127.0.0.1 127.1 0x7f.1 0x7f000001 2130706433 017700000001 0177.0.0.1 0 0.0.0.0 ::1
    0:0:0:0:0:0:0:1 ::ffff:127.0.0.1 169.254.169.254 2852039166 0xA9FEA9FE 10.0.0.1 \uff11\uff12\uff17.0.0.1
"""
# What looks like the name of a host and is only said, signed or written into a mail.
NOT_CONNECTED_TO = {
    ("smtp", "local_hostname"), ("mailgun", "domain"), ("mandrill", "return_path_domain"), ("mandrill", "webhook_url"),
    ("brevo", "sender_ip"),
}  # fmt: skip


def infos(*addresses: str, port: int = 0) -> Sequence[AddrInfoType]:
    return [info for address in addresses for info in socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)]


class Names:
    """A resolver that answers in turn what it is given, the last again and again; nothing: there is no such name."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int, *_threads: object) -> Sequence[AddrInfoType]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not answer:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return infos(*answer, port=port)


@pytest.fixture
def nothing_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    async def start_connection(*_: object, **__: object) -> socket.socket:
        pytest.fail("a connection was opened")

    monkeypatch.setattr(network, "start_connection", start_connection)


@pytest.mark.parametrize("address", OPEN_TO_ALL.split())
def test_what_everyone_reaches_alike_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", OURS_ALONE.split())
def test_what_only_we_reach_or_hides_such_an_address_is_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.usefixtures("nothing_leaves")
@pytest.mark.parametrize("host", SPELLINGS.split())
async def test_however_it_is_spelled_it_is_not_connected_to(host: str) -> None:
    with pytest.raises((ProviderBroken, socket.gaierror)) as raised:  # some systems do not read every spelling
        await PUBLIC.connect(host, 25)
    if isinstance(raised.value, ProviderBroken):
        assert raised.value.code == "private_address"
    else:
        assert host not in ("localhost", "127.0.0.1", "::1", "169.254.169.254")


@pytest.mark.usefixtures("nothing_leaves")
@pytest.mark.parametrize("addresses", [("8.8.8.8", "10.0.0.1"), ("::1", "8.8.8.8"), ("2606:4700::1", "::ffff:7f00:1")])
async def test_one_address_that_is_not_public_is_enough(
    addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "look_up", Names(addresses))
    with pytest.raises(ProviderBroken) as raised:
        await PUBLIC.connect("mail.corp.example", 587)
    assert raised.value.response == (
        "mail.corp.example leads to an address that is not public, and JANUS_ALLOW_PRIVATE_HOSTS is off."
    )
    assert (raised.value.scope, raised.value.counts) == ("provider", True)


async def test_a_public_address_is_connected_to_and_no_name_is_looked_up_for_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names, tried = Names(("8.8.8.8", "2606:4700:4700::1111"), ("127.0.0.1",)), []

    async def start_connection(found: Sequence[AddrInfoType], **_: object) -> socket.socket:
        tried.append([info[4][0] for info in found])
        raise ConnectionRefusedError

    monkeypatch.setattr(network, "look_up", names)
    monkeypatch.setattr(network, "start_connection", start_connection)
    with pytest.raises(ConnectionRefusedError):
        await PUBLIC.connect("mail.example.com", 587)
    assert (tried, names.asked) == ([["8.8.8.8", "2606:4700:4700::1111"]], ["mail.example.com"])


async def test_of_a_name_with_hundreds_of_addresses_few_are_tried_and_all_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many, tried = [f"{start}{n}" for start in ("2606:4700::", "8.8.8.") for n in range(1, 200)], []

    async def start_connection(found: Sequence[AddrInfoType], **_: object) -> socket.socket:
        tried.append([info[4][0] for info in found])
        raise ConnectionRefusedError

    monkeypatch.setattr(network, "look_up", Names(many, [*many, "10.0.0.1"]))
    monkeypatch.setattr(network, "start_connection", start_connection)
    with pytest.raises(ConnectionRefusedError):
        await PUBLIC.connect("mail.example.com", 587)
    with pytest.raises(ProviderBroken):
        await PUBLIC.connect("mail.example.com", 587)
    assert tried == [[*many[:4], *many[199:203]]]


async def test_a_name_that_was_public_when_it_was_looked_at_and_is_not_when_it_is_connected_to_is_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve()
    monkeypatch.setattr(network, "look_up", Names(("8.8.8.8",), ("127.0.0.1",)))
    assert network.all_public(await network.look_up("rebind.example", server.port))
    adapter = adapter_for("smtp", {"host": "rebind.example", "port": server.port, "security": "none"})
    hold = Hold()
    with pytest.raises(ProviderBroken):
        await adapter.send(mail_to(), hold)
    assert (hold.dispatches, server.conversations) == (0, [])


async def test_smtp_is_spoken_with_the_address_that_was_looked_at_and_tls_checks_the_name_that_was_given(
    serve: Serve, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[str | None] = []
    context = certificate.server_context
    context.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    server = await serve(tls=context, implicit_tls=True)
    names = Names(("127.0.0.1",), ("192.0.2.1",))
    monkeypatch.setattr(network, "look_up", names)
    config = {"host": "mail.example.com", "port": server.port, "security": "tls"}
    adapter = adapter_for("smtp", config, timeouts=Timeouts(smtp=SHORT), network=ANY)
    try:
        with pytest.raises(ProviderDown) as raised:
            await adapter.verify()
    finally:
        context.sni_callback = None
    assert (raised.value.code, asked_for, names.asked) == ("tls_failed", ["mail.example.com"], ["mail.example.com"])


async def test_http_goes_to_the_address_that_was_looked_at_and_names_the_host_that_was_given(
    serve_sendgrid: ServeSendGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: FakeSendGrid = await serve_sendgrid()
    names = Names(("127.0.0.1",), ("192.0.2.1",))
    monkeypatch.setattr(network, "look_up", names)
    port = server.url.rpartition(":")[2]
    config = {"api_key": KEY, "endpoint": f"http://gateway.example:{port}"}
    adapter = adapter_for("sendgrid", config, timeouts=Timeouts(http=SHORT_HTTP), network=ANY)
    await adapter.send(mail_of(fields_to()), Hold())
    await adapter.close()
    assert (server.requests[0].headers["host"], names.asked) == (f"gateway.example:{port}", ["gateway.example"])


async def test_of_several_addresses_the_one_that_answers_is_taken(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: ScriptedSmtp = await serve()
    monkeypatch.setattr(network, "look_up", Names(("::1", "127.0.0.1")))  # nobody listens at the first
    config = {"host": "mail.example.com", "port": server.port, "security": "none"}
    adapter = adapter_for("smtp", config, timeouts=Timeouts(smtp=SHORT), network=ANY)
    assert (await adapter.send(mail_to(), Hold())).code == "250 2.0.0"
    await adapter.close()


@each
async def test_no_service_over_http_is_asked_anything_at_such_an_address(bench: Bench, serve_http: ServeHttp) -> None:
    server = await serve_http(bench)
    adapter = adapter_for(bench.kind, {**bench.config, "endpoint": server.url}, timeouts=Timeouts(http=SHORT_HTTP))
    hold = Hold()
    error = await refused(adapter, hold=hold)
    assert (type(error), error.code, hold.dispatches) == (ProviderBroken, "private_address", 0)
    assert (await _verified(adapter)).code == "private_address"
    assert (server.connections, server.requests) == (0, [])


async def test_no_smtp_server_is_spoken_with_at_such_an_address(serve: Serve) -> None:
    server = await serve()
    adapter = adapter_for("smtp", {"host": "127.0.0.1", "port": server.port, "security": "none"})
    hold = Hold()
    with pytest.raises(ProviderBroken) as raised:
        await adapter.send(mail_to(), hold)
    assert (raised.value.code, hold.dispatches) == ("private_address", 0)
    assert (await _verified(adapter)).code == "private_address"
    assert server.conversations == []


@pytest.mark.usefixtures("nothing_leaves")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_check_of_credentials_asks_nothing_where_a_cloud_tells_its_machines_secrets(kind: str) -> None:
    given: dict[str, Any] = dict.fromkeys(fields_connected_to(kind), "http://169.254.169.254/latest")
    if kind == "smtp":
        given = {"host": "169.254.169.254", "port": 80, "security": "none"}
    config = _complete(kind) | given
    error = await _verified(adapter_for(kind, config, timeouts=Timeouts(smtp=SHORT, http=SHORT_HTTP)))
    assert (type(error), error.code) == (ProviderBroken, "private_address")


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "xn--.example", ".", "a..example", "no-such-host.invalid"])
async def test_what_can_be_no_name_is_a_host_that_is_not_found(host: str) -> None:
    timeouts = Timeouts(smtp=SHORT, http=SHORT_HTTP)
    for kind, config in (("smtp", {"host": host}), ("sendgrid", {"api_key": KEY, "endpoint": f"https://{host}"})):
        try:
            adapter = adapter_for(kind, config, timeouts=timeouts)
        except ValueError:
            continue  # not even taken
        error = await _verified(adapter)
        assert isinstance(error, ProviderDown | ProviderBroken)
        assert error.code in ("host_not_found", "timeout", "private_address"), error


async def test_sns_is_not_looked_for_in_our_own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()
    server = await asyncio.start_server(lambda *_: asked.set(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def look_up(_host: str, _port: int) -> Sequence[AddrInfoType]:
        return infos("127.0.0.1", port=port)

    monkeypatch.setattr(network, "look_up", look_up)
    url = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a.pem"
    async with server:
        with pytest.raises(sns.Unreachable, match="leads to an address that is not public"):
            await sns.fetch(url, tls=ssl.create_default_context())
    assert not asked.is_set()


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_that_looks_like_a_host_is_marked_as_one_or_known_not_to_be(kind: str) -> None:
    fields = KINDS[kind].config_model.model_fields
    like_hosts = {
        name
        for name, field in fields.items()
        if str in (field.annotation, *get_args(field.annotation))
        and (
            re.search(r"host|url|uri|endpoint|server|domain|address|gateway|proxy|(^|_)ip$", name)
            or any(re.fullmatch(r"(https?://.*|[a-z0-9-]+(\.[a-z0-9-]+)+)", str(e)) for e in field.examples or ())
        )
    }
    marked = set(fields_connected_to(kind))
    assert marked
    assert like_hosts - marked == {name for of, name in NOT_CONNECTED_TO if of == kind}
    assert marked <= KINDS[kind].destination  # and so a secret does not follow to another host


async def _verified(adapter: Adapter) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        await adapter.verify()
    await adapter.close()
    return raised.value


def _complete(kind: str) -> dict[str, Any]:
    """A config that works but for where it leads."""
    return next((dict(bench.config) for bench in BENCHES if bench.kind == kind), {})
