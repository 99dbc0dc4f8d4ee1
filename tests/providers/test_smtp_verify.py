"""Asking an SMTP server, or the sandbox, whether it knows us: no mail leaves, and a no is what a mail would meet."""

import asyncio
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from janus_mail.providers.outcomes import DeliveryError, ProviderBroken, ProviderDown
from janus_mail.providers.sandbox import SandboxAdapter, SandboxMode

from .conftest import SHORT, Certificate, Connect, Hold, Serve, mail_to
from .scripted_smtp import Act

LOGIN = {"username": "ann", "password": "a-long-password"}
AUTH = ("PIPELINING", "AUTH PLAIN LOGIN")


async def test_it_signs_in_and_takes_its_leave_and_sends_nothing(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(offers=AUTH)
    verified = await adapter_to(server, **LOGIN).verify()
    assert (verified.code, verified.response) == ("235 2.7.0", "2.7.0 Authenticated")
    [talk] = server.conversations
    await server.until(lambda: talk.closed)
    assert talk.verbs == ["EHLO", "AUTH", "QUIT"]


async def test_without_an_account_the_greeting_is_the_answer(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(offers=())
    assert (await adapter_to(server).verify()).code == "250"


@pytest.mark.usefixtures("trusted")
async def test_a_real_server_knows_us_or_not(certificate: Certificate, adapter_to: Connect) -> None:
    def knows(server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: Any) -> AuthResult:
        right = isinstance(login, LoginPassword) and (login.login, login.password) == (b"ann", b"a-long-password")
        return AuthResult(success=right, handled=False)

    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {
        "tls_context": certificate.server_context, "require_starttls": True, "auth_required": True,
        "authenticator": knows,
    }  # fmt: skip
    server = await loop.create_server(lambda: SMTP(object(), loop=loop, **options), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        assert (await adapter_to(port, security="starttls", **LOGIN).verify()).code == "235 2.7.0"
        with pytest.raises(ProviderBroken, match=r"535 5\.7\.8"):
            await adapter_to(port, security="starttls", username="ann", password="wrong").verify()
    finally:
        server.close()


@pytest.mark.parametrize(
    ("script", "error", "code"),
    [
        ({"answers": {"AUTH": ["535 5.7.8 No such account"]}}, ProviderBroken, "535 5.7.8"),
        ({"answers": {"AUTH": ["454 4.7.0 Later"]}}, ProviderDown, "454 4.7.0"),
        ({"answers": {"BANNER": ["421 4.3.2 Busy"]}}, ProviderDown, "421 4.3.2"),
        ({"answers": {"BANNER": ["554 5.7.1 Not you"]}}, ProviderBroken, "554 5.7.1"),
        ({"answers": {"AUTH": [Act.CLOSE]}}, ProviderDown, "disconnected"),
    ],
)
async def test_a_refusal_is_classified_as_a_mails_would_be(
    serve: Serve, adapter_to: Connect, script: dict[str, Any], error: type[DeliveryError], code: str
) -> None:
    server = await serve(offers=AUTH, **script)
    with pytest.raises(error) as raised:
        await adapter_to(server, **LOGIN).verify()
    assert raised.value.code == code
    await server.until(lambda: server.open_now == 0)


async def test_what_a_server_repeats_of_the_password_is_not_told(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(offers=AUTH, answers={"AUTH": ["535 5.7.8 a-long-password is wrong"]})
    with pytest.raises(ProviderBroken) as raised:
        await adapter_to(server, **LOGIN).verify()
    assert raised.value.response == "5.7.8 •••• is wrong"


async def test_nobody_there_is_told_at_once(adapter_to: Connect) -> None:
    with pytest.raises(ProviderDown, match="connection_refused"):
        await adapter_to(1).verify()


async def test_it_does_not_wait_for_a_connection_that_mail_uses(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(offers=AUTH, answers={"DOT": [Act.SILENCE]})
    adapter = adapter_to(server, max_connections=1, **LOGIN)
    sending = asyncio.create_task(adapter.send(mail_to(), Hold()))
    await server.until(lambda: any(talk.step == "DOT" for talk in server.conversations))
    assert (await adapter.verify()).code == "235 2.7.0"
    sending.cancel()


async def test_one_that_is_given_up_leaves_no_connection_behind(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(offers=AUTH, answers={"AUTH": [Act.SILENCE]})
    asking = asyncio.create_task(adapter_to(server, timeouts=SHORT, **LOGIN).verify())
    await server.until(lambda: any(talk.step == "AUTH" for talk in server.conversations))
    asking.cancel()
    await server.until(lambda: server.open_now == 0)


@pytest.mark.parametrize(
    ("mode", "error"),
    [(SandboxMode.DOWN, ProviderDown), (SandboxMode.BROKEN_CREDENTIALS, ProviderBroken), (SandboxMode.OK, None),
     (SandboxMode.SLOW, None), (SandboxMode.THROTTLED, None), (SandboxMode.CUT_OFF, None)],
)  # fmt: skip
async def test_the_sandbox_answers_by_its_dial(mode: SandboxMode, error: type[DeliveryError] | None) -> None:
    adapter = SandboxAdapter("ses", mode, 1.0, slow_s=0.0)
    if error is None:
        assert (await adapter.verify()).code == "235 2.7.0"
    else:
        with pytest.raises(error):
            await adapter.verify()
