"""What is fetched from Amazon SNS, over real TLS: certificates, and the address that confirms a subscription."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from janus_mail.feedback import sns
from janus_mail.feedback.confirm import NotConfirmed, confirm
from janus_mail.feedback.services.ses import SesReader

from .hook_posts import post_of
from .sns_signing import CERTIFICATE_URL, SUBSCRIBE_URL, Config, certificate, key, notification, sign

HOST = "sns.eu-west-1.amazonaws.com"


class Towards(httpcore.AnyIOBackend):
    """Every host lives at one port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.hosts: list[str] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.hosts.append(f"{host}:{port}")
        return await super().connect_tcp("127.0.0.1", self._port, timeout)


class Sns:
    """Answers as it is told, over TLS, and knows what it was asked."""

    def __init__(self, answer: bytes, port: int, tls: ssl.SSLContext) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.network = Towards(port)
        self.fetch = partial(sns.fetch, network=self.network, tls=tls)


@pytest.fixture(scope="module")
def vouched_for(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key of the host, in one file."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key("tls").public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key("tls"), hashes.SHA256())
    )
    pem = key("tls").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = tmp_path_factory.mktemp("sns") / "host.pem"
    file.write_bytes(made.public_bytes(Encoding.PEM) + pem)
    return file


@asynccontextmanager
async def serving(vouched_for: Path, answer: bytes) -> AsyncIterator[Sns]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(vouched_for)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            service.requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(service.answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    service = Sns(answer, server.sockets[0].getsockname()[1], ssl.create_default_context(cafile=vouched_for))
    async with server:
        yield service


def answer(body: bytes, status: str = "200 OK", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_a_certificate_is_fetched_and_proves_the_post(vouched_for: Path) -> None:
    async with serving(vouched_for, answer(certificate())) as service:
        await SesReader(service.fetch).verify(Config(), post_of(sign(notification("Successfully validated"))))
    (request,) = service.requests
    assert request.startswith(b"GET /SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem HTTP/1.1\r\n")
    assert f"host: {HOST}\r\n".encode() in request.lower()
    assert service.network.hosts == [f"{HOST}:443"]


async def test_a_subscription_is_confirmed_by_fetching_its_address(vouched_for: Path) -> None:
    async with serving(vouched_for, answer(b"<ConfirmSubscriptionResponse/>")) as service:
        await confirm(SUBSCRIBE_URL, service.fetch)
    assert service.requests[0].startswith(
        b"GET /?Action=ConfirmSubscription&TopicArn=arn&Token=2336412f37 HTTP/1.1\r\n"
    )


@pytest.mark.parametrize(
    ("said", "sentence", "status"),
    [
        (answer(b"", "301 Moved Permanently", f"Location: https://{HOST}/other.pem"), "SNS answered 301.", 301),
        (answer(b"", "302 Found", "Location: http://169.254.169.254/"), "SNS answered 302.", 302),
        (answer(b"<Error/>", "403 Forbidden"), "SNS answered 403.", 403),
        (answer(b"", "503 Service Unavailable"), "SNS answered 503.", 503),
        (answer(b"x" * (sns.MAX_ANSWER_BYTES + 1)), "SNS's answer is too long.", 200),
        (answer(b"cut off")[:-1], None, None),
        (b"SSH-2.0-OpenSSH\r\n", None, None),
        (b"", None, None),
    ],
    ids=["moved", "elsewhere", "forbidden", "down", "long", "cut", "nonsense", "silent"],
)
async def test_an_answer_that_is_none_is_said_and_followed_nowhere(
    vouched_for: Path, said: bytes, sentence: str | None, status: int | None
) -> None:
    async with serving(vouched_for, said) as service:
        with pytest.raises(sns.Unreachable) as refused:
            await service.fetch(CERTIFICATE_URL)
        with pytest.raises(NotConfirmed):
            await confirm(SUBSCRIBE_URL, service.fetch)
    assert refused.value.status == status
    assert str(refused.value) == sentence or sentence is None
    assert len(service.requests) == 2


async def test_a_host_that_nobody_vouches_for_is_not_believed(vouched_for: Path) -> None:
    async with serving(vouched_for, answer(certificate())) as service:
        for tls, url in (
            (None, CERTIFICATE_URL),
            (ssl.create_default_context(cafile=vouched_for), "https://sns.xx-1.amazonaws.com/a.pem"),
        ):
            with pytest.raises(sns.Unreachable, match="cannot be reached"):
                await sns.fetch(url, network=service.network, tls=tls)
    assert service.requests == []


async def test_a_port_where_nobody_listens_cannot_be_reached() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(sns.Unreachable, match="cannot be reached"):
            await sns.fetch(CERTIFICATE_URL, network=Towards(taken.getsockname()[1]))


async def test_who_never_answers_is_not_waited_for(vouched_for: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sns, "TIMEOUT_S", 0.05)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(sns.Unreachable, match="did not answer within"):
            await sns.fetch(CERTIFICATE_URL, network=Towards(mute.getsockname()[1]))


@pytest.mark.parametrize(
    "url", ["http://sns.eu-west-1.amazonaws.com/?Action=x", "https://example.com/", "file:///etc/passwd", ""]
)
async def test_nothing_is_confirmed_anywhere_but_at_sns(url: str) -> None:
    async def never(_: str) -> bytes:
        raise AssertionError("it was fetched")

    with pytest.raises(NotConfirmed):
        await confirm(url, never)
