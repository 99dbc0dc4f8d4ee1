"""Servers, certificates and adapters for the provider tests. Nothing here needs PostgreSQL or Redis."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from janus_mail.providers import sendgrid
from janus_mail.providers.contract import Adapter, Address, Fields, Mail
from janus_mail.providers.http_service import HttpAdapter
from janus_mail.providers.network import ANY
from janus_mail.providers.registry import adapter_for
from janus_mail.providers.smtp import SmtpAdapter
from janus_mail.providers.smtp_config import SmtpConfig
from janus_mail.providers.smtp_opening import SmtpTimeouts
from janus_mail.providers.timeouts import HttpTimeouts, Timeouts

from .bench import Bench
from .composed import composed
from .fake_http import FakeHttp, Step
from .fake_sendgrid import FakeSendGrid
from .scripted_smtp import ScriptedSmtp
from .sendgrid_rules import KEY

SHORT = SmtpTimeouts(
    connect_s=3, greeting_s=3, mail_s=3, rcpt_s=3, data_s=3, block_s=3, dot_s=3, pool_s=3
)  # far above what loopback needs, far below a test's patience
SHORT_HTTP = HttpTimeouts(connect_s=3, write_s=3, read_s=3, pool_s=3, again_after_s=(0.01, 0.02))

CONTENT = b"From: a@example.com\r\nTo: b@example.net\r\nSubject: Hello\r\n\r\nHello.\r\n"


class Hold:
    """The engine's side of a dispatch: counts, and refuses where a test wants it to."""

    def __init__(self, *, refuse_dispatch: Exception | None = None, refuse_last_byte: Exception | None = None) -> None:
        self.dispatches = 0
        self.begun_ahead = 0
        self.under_way_calls = 0
        self.last_bytes = 0
        self._refuse_dispatch = refuse_dispatch
        self._refuse_last_byte = refuse_last_byte

    def under_way(self) -> None:
        self.under_way_calls += 1

    async def begin_ahead(self) -> None:
        self.begun_ahead += 1

    async def before_dispatch(self) -> None:
        self.dispatches += 1
        if self._refuse_dispatch is not None:
            raise self._refuse_dispatch

    def before_last_byte(self) -> None:
        self.last_bytes += 1
        if self._refuse_last_byte is not None:
            raise self._refuse_last_byte


class TimedHold(Hold):
    """Asks a database meanwhile, whose driver sets a timer of minutes: that keeps the context of who set it."""

    async def before_dispatch(self) -> None:
        await super().before_dispatch()
        asyncio.get_running_loop().call_later(300, int)


def mail_to(*recipients: str, content: bytes = CONTENT, **changes: Any) -> Mail:
    fields: dict[str, Any] = {
        "sender": "a@example.com",
        "recipients": recipients or ("b@example.net",),
        "content": lambda: content,
        "size": len(content),
        "smtputf8": False,
        "message_id": "<1@example.com>",
        "idempotency_key": "key-1",
        "fields": lambda: Fields(sender=Address("a@example.com"), subject="Hello", text="Hi", html=None, to=()),
    }
    return Mail(**(fields | changes))


class Certificate(NamedTuple):
    path: Path
    server_context: ssl.SSLContext


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Self-signed, for 127.0.0.1 and no other name."""
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scripted.test")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path, key_path = folder / "cert.pem", folder / "key.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key_path)
    return Certificate(path, context)


@pytest.fixture
def trusted(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The self-signed certificate counts as an authority, as an administrator can arrange it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))


Serve = Callable[..., Awaitable[ScriptedSmtp]]
Connect = Callable[..., SmtpAdapter]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[ScriptedSmtp] = []

    async def start(**script: Any) -> ScriptedSmtp:
        servers.append(await ScriptedSmtp(**script).start())
        return servers[-1]

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def adapter_to() -> AsyncIterator[Connect]:
    adapters: list[SmtpAdapter] = []

    def connect(server: ScriptedSmtp | int, *, timeouts: SmtpTimeouts = SHORT, **config: Any) -> SmtpAdapter:
        port = server if isinstance(server, int) else server.port
        fields = {"host": "127.0.0.1", "port": port, "security": "none", "local_hostname": "janus.test"} | config
        adapters.append(SmtpAdapter(SmtpConfig(**fields), timeouts=timeouts, network=ANY))
        return adapters[-1]

    yield connect
    for adapter in adapters:
        await adapter.close()


ServeSendGrid = Callable[..., Awaitable[FakeSendGrid]]
SendGridAdapter = HttpAdapter[sendgrid.SendGridConfig]
ToSendGrid = Callable[..., SendGridAdapter]


@pytest.fixture
async def serve_sendgrid() -> AsyncIterator[ServeSendGrid]:
    servers: list[FakeSendGrid] = []

    async def start(*steps: Any, **script: Any) -> FakeSendGrid:
        servers.append(await FakeSendGrid(*steps, **script).start())
        return servers[-1]

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def sendgrid_to() -> AsyncIterator[ToSendGrid]:
    adapters: list[SendGridAdapter] = []

    def connect(server: FakeSendGrid | str, *, timeouts: HttpTimeouts = SHORT_HTTP, **config: Any) -> SendGridAdapter:
        endpoint = server if isinstance(server, str) else server.url
        fields = {"api_key": KEY, "endpoint": endpoint} | config
        config_model = sendgrid.SendGridConfig(**fields)
        adapters.append(HttpAdapter(sendgrid.SERVICE, config_model, timeouts=timeouts, network=ANY))
        return adapters[-1]

    yield connect
    for adapter in adapters:
        await adapter.close()


@pytest.fixture
async def serve_http() -> AsyncIterator[Callable[..., Awaitable[FakeHttp]]]:
    """Starts the service of a `Bench`, which does these steps first."""
    servers: list[FakeHttp] = []

    async def start(bench: Bench, *steps: Step) -> FakeHttp:
        server = bench.fake()
        server.script(*steps)
        servers.append(await server.start())
        return server

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def connect_http() -> AsyncIterator[Callable[..., Adapter]]:
    """Makes the adapter of a `Bench` to such a service."""
    adapters: list[Adapter] = []

    def to(bench: Bench, server: FakeHttp | str, *, read_s: float = 3.0, **config: object) -> Adapter:
        url = server if isinstance(server, str) else server.url
        http = replace(SHORT_HTTP, read_s=read_s)
        given = {**bench.config, "endpoint": url, **config}
        adapters.append(adapter_for(bench.kind, given, timeouts=Timeouts(http=http), network=ANY))
        return adapters[-1]

    yield to
    for adapter in adapters:
        await adapter.close()


def mail_of(fields: Fields, **changes: Any) -> Mail:
    """A mail to everyone whom the fields name, composed as Janus does."""
    everyone = dict.fromkeys(address.email for address in (*fields.to, *fields.cc, *fields.bcc))
    given: dict[str, Any] = {"sender": fields.sender.email, "recipients": tuple(everyone), "fields": lambda: fields}
    return mail_to(content=composed(fields), **(given | changes))


def fields_to(*to: str | Address, **changes: Any) -> Fields:
    recipients = tuple(Address(a) if isinstance(a, str) else a for a in to or ("b@example.net",))
    given: dict[str, Any] = {
        "sender": Address("a@example.com", "Ann"), "subject": "Hello", "text": "Hi there.", "html": None,
        "to": recipients, "message_uuid": "0190b0a1-0000-7000-8000-000000000001", **changes,
    }  # fmt: skip
    return Fields(**given)
