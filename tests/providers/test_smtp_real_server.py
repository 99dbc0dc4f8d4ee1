"""Against aiosmtpd, a server that is not ours; and on uvloop, the loop of production."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from janus_mail.providers.network import ANY
from janus_mail.providers.outcomes import DeliveryError, ProviderBroken, Uncertain
from janus_mail.providers.smtp import SmtpAdapter
from janus_mail.providers.smtp_config import SmtpConfig

from .conftest import SHORT, Certificate, Connect, Hold, mail_to
from .scripted_smtp import Act, ScriptedSmtp

CONTENT = b"From: a@example.com\r\nSubject: Hello\r\n\r\n.dots\r\n..\r\n" + b"long " * 190 + b"\r\n"


class Inbox:
    def __init__(self) -> None:
        self.mails: list[Envelope] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.mails.append(envelope)
        return "250 2.0.0 Ok: queued as AB12"


def _knows(server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: Any) -> AuthResult:
    right = isinstance(login, LoginPassword) and (login.login, login.password) == (b"me", b"s3cret!")
    return AuthResult(success=right, handled=False)


Run = Callable[..., Awaitable[tuple[Inbox, int]]]


@pytest.fixture
async def aiosmtpd() -> AsyncIterator[Run]:
    servers: list[asyncio.Server] = []

    async def run(*, implicit_tls: ssl.SSLContext | None = None, **options: Any) -> tuple[Inbox, int]:
        inbox = Inbox()
        loop = asyncio.get_running_loop()
        servers.append(
            await loop.create_server(lambda: SMTP(inbox, loop=loop, **options), "127.0.0.1", 0, ssl=implicit_tls)
        )
        return inbox, servers[-1].sockets[0].getsockname()[1]

    yield run
    for server in servers:
        server.close()


async def test_plain(aiosmtpd: Run, adapter_to: Connect) -> None:
    inbox, port = await aiosmtpd()
    accepted = await adapter_to(port).send(mail_to("b@example.net", "c@example.net", content=CONTENT), Hold())
    assert (accepted.code, accepted.provider_message_id) == ("250 2.0.0", "AB12")
    [mail] = inbox.mails
    assert mail.mail_from == "a@example.com"
    assert mail.rcpt_tos == ["b@example.net", "c@example.net"]
    assert mail.original_content == CONTENT


@pytest.mark.usefixtures("trusted")
async def test_starttls_and_auth(certificate: Certificate, aiosmtpd: Run, adapter_to: Connect) -> None:
    inbox, port = await aiosmtpd(
        tls_context=certificate.server_context, require_starttls=True, auth_required=True, authenticator=_knows
    )
    adapter = adapter_to(port, security="starttls", username="me", password="s3cret!")
    await adapter.send(mail_to(content=CONTENT), Hold())
    assert inbox.mails[0].original_content == CONTENT
    with pytest.raises(ProviderBroken) as raised:
        await adapter_to(port, security="starttls", username="me", password="wrong").send(mail_to(), Hold())
    assert raised.value.code == "535 5.7.8"


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # aiosmtpd does not see implicit TLS
@pytest.mark.usefixtures("trusted")
async def test_tls_and_auth_by_login(certificate: Certificate, aiosmtpd: Run, adapter_to: Connect) -> None:
    inbox, port = await aiosmtpd(
        implicit_tls=certificate.server_context,
        auth_required=True,
        auth_require_tls=False,
        authenticator=_knows,
        auth_exclude_mechanism=["PLAIN"],
    )
    adapter = adapter_to(port, security="tls", username="me", password="s3cret!")
    for _ in range(3):
        await adapter.send(mail_to(content=CONTENT), Hold())
    assert [mail.original_content for mail in inbox.mails] == [CONTENT] * 3


async def test_smtputf8(aiosmtpd: Run, adapter_to: Connect) -> None:
    inbox, port = await aiosmtpd(enable_SMTPUTF8=True)
    content = "From: a@example.com\r\nTo: jürgen@example.net\r\n\r\nGrüße\r\n".encode()
    await adapter_to(port).send(mail_to("jürgen@example.net", content=content, smtputf8=True), Hold())
    [mail] = inbox.mails
    assert mail.rcpt_tos == ["jürgen@example.net"]
    assert mail.original_content == content


def test_the_same_on_uvloop(certificate: Certificate) -> None:
    """In a thread, for the loop of the other tests must stay what it is."""
    outcomes: list[object] = []

    async def scenario() -> None:
        script: dict[str, Any] = {"offers": ["STARTTLS", "PIPELINING"], "tls": certificate.server_context}
        for security, implicit in (("none", False), ("starttls", False), ("tls", True)):
            server = await ScriptedSmtp(**script, implicit_tls=implicit).start()
            config = SmtpConfig(host="127.0.0.1", port=server.port, security=security, verify_certificate=False)
            adapter = SmtpAdapter(config, timeouts=SHORT, network=ANY)
            big = b"Subject: big\r\n\r\n" + (b"." * 998 + b"\r\n") * 20_000
            await adapter.send(mail_to(content=big), Hold())
            server.script({"MAIL": [Act.RESET]})  # on reuse
            await adapter.send(mail_to(), Hold())
            server.script({"DOT": [Act.CLOSE], "BODY": [Act.CLOSE]})
            for content in (big, mail_to().content()):
                try:
                    await adapter.send(mail_to(content=content), Hold())
                except DeliveryError as error:
                    outcomes.append(type(error).__name__)
            outcomes.append(server.mails[0].content == big)
            outcomes.append(len(server.mails))
            await adapter.close()
            await server.stop()

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(scenario())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert outcomes == ["ProviderDown", Uncertain.__name__, True, 2] * 3
