"""TLS and AUTH: what must be encrypted is, what a stranger injects is not believed, no secret is repeated."""

import asyncio
import base64
import ssl
import traceback

import pytest

from janus_mail.providers.outcomes import ProviderBroken, ProviderDown
from janus_mail.providers.smtp_wire import Cut, Wire

from .conftest import Certificate, Connect, Hold, Serve, mail_to
from .scripted_smtp import Act

PASSWORD = "correct horse battery"
LOGIN = {"username": "me@example.com", "password": PASSWORD}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.usefixtures("trusted")
async def test_starttls_encrypts_everything_after_it_and_asks_again_what_is_offered(
    certificate: Certificate, serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(offers=["STARTTLS", "PIPELINING", "AUTH PLAIN"], tls=certificate.server_context)
    await adapter_to(server, security="starttls", **LOGIN).send(mail_to(), Hold())
    [talk] = server.conversations
    assert talk.verbs == ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"]
    assert len(server.mails) == 1


@pytest.mark.usefixtures("trusted")
async def test_tls_from_the_first_byte(certificate: Certificate, serve: Serve, adapter_to: Connect) -> None:
    server = await serve(tls=certificate.server_context, implicit_tls=True)
    adapter = adapter_to(server, security="tls")
    big = b"Subject: big\r\n\r\n" + (b"." * 70 + b"\r\n") * 20_000
    await adapter.send(mail_to(content=big), Hold())
    await adapter.send(mail_to(), Hold())
    assert server.mails[0].content == big
    assert len(server.conversations) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_is_refused_before_any_password(
    security: str, certificate: Certificate, serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(
        offers=["STARTTLS", "AUTH PLAIN"], tls=certificate.server_context, implicit_tls=security == "tls"
    )
    with pytest.raises(ProviderDown) as raised:
        await adapter_to(server, security=security, **LOGIN).send(mail_to(), Hold())
    assert raised.value.code == "tls_failed"
    assert "self-signed" in raised.value.response
    await server.until(lambda: server.open_now == 0)
    assert not any("AUTH" in talk.verbs for talk in server.conversations)


@pytest.mark.usefixtures("trusted")
async def test_a_certificate_for_another_name_is_refused(
    certificate: Certificate, serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(tls=certificate.server_context, implicit_tls=True)
    with pytest.raises(ProviderDown) as raised:
        await adapter_to(server, security="tls", host="localhost").send(mail_to(), Hold())
    assert raised.value.code == "tls_failed"
    assert "localhost" in raised.value.response


async def test_the_check_of_the_certificate_can_be_switched_off(
    certificate: Certificate, serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(tls=certificate.server_context, implicit_tls=True)
    await adapter_to(server, security="tls", verify_certificate=False).send(mail_to(), Hold())
    assert len(server.mails) == 1


async def test_starttls_that_is_demanded_and_not_offered_is_never_plain(serve: Serve, adapter_to: Connect) -> None:
    for script in ({"offers": ["AUTH PLAIN"]}, {"always": {"EHLO": "502 What?"}}):
        server = await serve(**script)
        with pytest.raises(ProviderBroken) as raised:
            await adapter_to(server, security="starttls", **LOGIN).send(mail_to(), Hold())
        assert (raised.value.code, raised.value.scope) == ("starttls_not_offered", "provider")
        assert not {"AUTH", "MAIL"} & set(server.conversations[0].verbs)


@pytest.mark.parametrize(
    "injected",
    [b"250 2.0.0 Forged\r\n", b"250-scripted.test\r\n250 AUTH PLAIN\r\n", b"2"],
    ids=["reply", "ehlo", "bit"],
)
async def test_what_is_injected_before_tls_is_not_believed(injected: bytes, serve: Serve, adapter_to: Connect) -> None:
    server = await serve(offers=["STARTTLS"], always={"STARTTLS": b"220 Ready\r\n" + injected})
    with pytest.raises(ProviderDown):
        await adapter_to(server, security="starttls", **LOGIN).send(mail_to(), Hold())
    await server.until(lambda: server.open_now == 0)
    assert server.conversations[0].verbs == ["EHLO", "STARTTLS"]


@pytest.mark.parametrize("early", [b"220 Forged\r\n", b"220-Forged\r\n", b"220"], ids=["banner", "line", "bit"])
async def test_bytes_that_came_before_the_handshake_end_it(early: bytes, serve: Serve) -> None:
    server = await serve(always={"BANNER": Act.SILENCE})
    _, wire = await asyncio.get_running_loop().create_connection(Wire, "127.0.0.1", server.port)
    wire.data_received(early)  # as the event loop would, had they come in time
    with pytest.raises(Cut) as raised:
        await wire.start_tls(ssl.create_default_context(), "127.0.0.1", 3)
    assert (raised.value.code, raised.value.response) == ("tls_failed", "bytes arrived before the handshake")
    assert wire.broken


async def test_a_plain_server_behind_a_tls_port_is_not_spoken_to(serve: Serve, adapter_to: Connect) -> None:
    server = await serve()
    with pytest.raises(ProviderDown) as raised:
        await adapter_to(server, security="tls", verify_certificate=False, **LOGIN).send(mail_to(), Hold())
    assert raised.value.code == "tls_failed"


@pytest.mark.parametrize(
    ("offered", "script", "expected"),
    [
        ("AUTH PLAIN LOGIN", ["235 Ok"], [f"AUTH PLAIN {encoded(chr(0) + 'me@example.com' + chr(0) + PASSWORD)}"]),
        ("AUTH=PLAIN", ["235 Ok"], [f"AUTH PLAIN {encoded(chr(0) + 'me@example.com' + chr(0) + PASSWORD)}"]),
        (
            "AUTH LOGIN XOAUTH2",
            ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 Ok"],
            ["AUTH LOGIN", encoded("me@example.com"), encoded(PASSWORD)],
        ),
    ],
    ids=["plain", "old spelling", "login"],
)
async def test_the_first_mechanism_that_both_sides_know_is_used(
    offered: str, script: list[str], expected: list[str], serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(offers=[offered], answers={"AUTH": script})
    await adapter_to(server, **LOGIN).send(mail_to(), Hold())
    assert server.conversations[0].commands[1 : 1 + len(expected)] == expected
    assert len(server.mails) == 1


async def test_without_tls_a_challenge_is_preferred_to_the_password_itself(serve: Serve, adapter_to: Connect) -> None:
    challenge = "334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+"  # RFC 2195 section 2
    server = await serve(offers=["AUTH PLAIN CRAM-MD5"], answers={"AUTH": [challenge, "235 Ok"]})
    await adapter_to(server, username="tim", password="tanstaaftanstaaf").send(mail_to(), Hold())
    assert server.conversations[0].commands[1:3] == [
        "AUTH CRAM-MD5",
        "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw",
    ]


async def test_a_challenge_that_is_none_ends_the_opening(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(offers=["AUTH CRAM-MD5"], answers={"AUTH": ["334 é"]})
    with pytest.raises(ProviderDown):
        await adapter_to(server, **LOGIN).send(mail_to(), Hold())


async def test_a_server_that_repeats_the_password_does_not_get_it_into_our_errors(
    serve: Serve, adapter_to: Connect
) -> None:
    plain = encoded(f"\0me@example.com\0{PASSWORD}")
    reply = f"535 5.7.8 AUTH PLAIN {plain} is wrong, and so are {encoded(PASSWORD)} and {PASSWORD}"
    server = await serve(offers=["AUTH PLAIN"], always={"AUTH": reply})
    with pytest.raises(ProviderBroken) as raised:
        await adapter_to(server, **LOGIN).send(mail_to(), Hold())
    assert raised.value.response == "5.7.8 AUTH PLAIN •••• is wrong, and so are •••• and ••••"
    shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    for secret in (PASSWORD, encoded(PASSWORD), plain):
        assert secret not in shown
