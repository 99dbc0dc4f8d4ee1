"""The connections of one adapter over HTTP: shared, kept for a while, closed without cutting anyone off."""

import asyncio
import dataclasses
import weakref

import pytest

from janus_mail.providers.http_client import HttpClient
from janus_mail.providers.network import ANY
from janus_mail.providers.outcomes import DeliveryError, ProviderDown

from .conftest import SHORT_HTTP, Certificate, Hold, ServeSendGrid, TimedHold, ToSendGrid, fields_to, mail_of
from .fake_http import Act, Held


@pytest.mark.usefixtures("trusted")
async def test_over_tls_a_mail_is_taken_and_the_connection_kept(
    certificate: Certificate, serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid(tls=certificate.server_context)
    adapter = sendgrid_to(server)
    for _ in range(3):
        assert (await adapter.send(mail_of(fields_to()), Hold())).code == "202"
    assert [request.connection for request in server.requests] == [1, 1, 1]


async def test_waiting_for_a_free_connection_has_an_end(serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid) -> None:
    free = asyncio.Event()
    server = await serve_sendgrid(Held(free))
    adapter = sendgrid_to(server, timeouts=dataclasses.replace(SHORT_HTTP, pool_s=0.05), max_connections=1)
    busy = asyncio.create_task(adapter.send(mail_of(fields_to()), Hold()))
    await server.until(lambda: len(server.requests) == 1)
    hold = Hold()
    with pytest.raises(DeliveryError) as raised:
        await adapter.send(mail_of(fields_to()), hold)
    assert (type(raised.value), raised.value.code, hold.dispatches) == (ProviderDown, "pool_timeout", 0)
    free.set()
    assert (await busy).code == "202"


async def test_connections_that_were_hung_up_while_idle_are_not_used_again(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid(Act.HANG_UP_AFTER)
    adapter = sendgrid_to(server)
    await adapter.send(mail_of(fields_to()), Hold())
    await server.until(lambda: server.open_now == 0)
    hold = Hold()
    await adapter.send(mail_of(fields_to()), hold)
    assert (hold.dispatches, server.connections, len(server.ledger)) == (1, 2, 2)


async def test_a_kept_connection_and_a_timer_that_was_set_meanwhile_do_not_keep_the_mail(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    adapter = sendgrid_to(server := await serve_sendgrid())
    hold = TimedHold()
    gone = weakref.ref(hold)
    await adapter.send(mail_of(fields_to()), hold)
    del hold
    assert (gone(), server.open_now) == (None, 1)


async def test_many_mails_at_once_share_the_connections(serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid) -> None:
    server = await serve_sendgrid()
    adapter = sendgrid_to(server, max_connections=3)
    holds = [Hold() for _ in range(30)]
    await asyncio.gather(*(adapter.send(mail_of(fields_to(f"r{n}@example.net")), hold) for n, hold in enumerate(holds)))
    assert all((hold.dispatches, hold.last_bytes) == (1, 1) for hold in holds)
    assert sorted(taken.recipients[0] for taken in server.ledger) == sorted(f"r{n}@example.net" for n in range(30))
    assert server.connections <= 3


async def test_closing_waits_for_no_one_and_cuts_no_one_off(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    ready = asyncio.Event()
    server = await serve_sendgrid(Held(ready))
    adapter = sendgrid_to(server)
    sending = asyncio.create_task(adapter.send(mail_of(fields_to()), Hold()))
    await server.until(lambda: len(server.requests) == 1)
    await adapter.close()
    assert server.open_now == 1
    ready.set()
    assert (await sending).code == "202"
    await server.until(lambda: server.open_now == 0)


async def test_closing_ends_idle_connections(serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid) -> None:
    server = await serve_sendgrid()
    adapter = sendgrid_to(server)
    await adapter.close()  # never used: nothing to do
    await adapter.send(mail_of(fields_to()), Hold())
    await server.until(lambda: server.open_now == 0)


async def test_a_canceled_send_takes_its_connection_with_it(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid(Act.HANG)
    sending = asyncio.create_task(sendgrid_to(server).send(mail_of(fields_to()), Hold()))
    await server.until(lambda: len(server.requests) == 1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await server.until(lambda: server.open_now == 0)


async def test_the_environment_names_no_proxy_for_us(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await sendgrid_to(await serve_sendgrid()).send(mail_of(fields_to()), Hold())).code == "202"


async def test_kept_connections_are_used_for_five_seconds_at_most() -> None:
    client = HttpClient("http://127.0.0.1", SHORT_HTTP, ANY, max_connections=1)
    assert client._open_pool()._keepalive_expiry == 5
