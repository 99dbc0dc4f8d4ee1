"""Where an HTTP request breaks decides what is known: nothing left, or nobody knows."""

import asyncio
import dataclasses
import socket
import time
from typing import Any

import pytest

from janus_mail.providers.http_client import HttpClient, Request
from janus_mail.providers.network import ANY
from janus_mail.providers.outcomes import DeliveryError, MessageRejected, ProviderDown, Uncertain

from .conftest import SHORT_HTTP, Certificate, Hold, ServeSendGrid, ToSendGrid, fields_to, mail_of
from .fake_http import Act, Early, Held, Raw, Reply
from .fake_sendgrid import FakeSendGrid
from .sendgrid_rules import TOO_LARGE, UNAVAILABLE

BIG = "x" * 20_000_000  # more than loopback's buffers hold


class LeaseLost(Exception):
    """As the worker's."""


async def refused(adapter: Any, hold: Hold, **changes: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        await adapter.send(mail_of(fields_to(**changes)), hold)
    return raised.value


async def test_a_closed_port_means_that_the_provider_is_down_and_nothing_was_begun(sendgrid_to: ToSendGrid) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        hold = Hold()
        error = await refused(sendgrid_to(f"http://127.0.0.1:{taken.getsockname()[1]}"), hold)
    assert (type(error), error.code, hold.dispatches) == (ProviderDown, "connection_refused", 0)


async def test_a_host_that_does_not_exist_means_that_the_provider_is_down(sendgrid_to: ToSendGrid) -> None:
    hold = Hold()
    error = await refused(sendgrid_to("http://sendgrid.invalid"), hold)
    assert (type(error), error.code, hold.dispatches) == (ProviderDown, "host_not_found", 0)


async def test_a_certificate_that_nobody_vouches_for_is_not_talked_to(
    certificate: Certificate, serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid(tls=certificate.server_context)
    hold = Hold()
    error = await refused(sendgrid_to(server), hold)
    assert (type(error), error.code, hold.dispatches) == (ProviderDown, "tls_failed", 0)
    assert "self-signed certificate" in error.response
    assert not server.requests


async def test_a_server_that_takes_no_connection_is_given_up_in_time(sendgrid_to: ToSendGrid) -> None:
    with socket.socket() as listening:  # its queue is full, so that the kernel answers no one
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        hold = Hold()
        timeouts = dataclasses.replace(SHORT_HTTP, connect_s=0.1)
        error = await refused(sendgrid_to(f"http://127.0.0.1:{port}", timeouts=timeouts), hold)
        for one in crowd:
            one.close()
    assert (type(error), error.code, hold.dispatches) == (ProviderDown, "timeout", 0)


@pytest.mark.parametrize(
    ("act", "changes"),
    [
        (Act.CUT_BEFORE_BODY, {}),
        (Act.CUT_BEFORE_BODY, {"text": BIG}),
        (Act.CUT_IN_BODY, {"text": BIG}),
        (Act.CUT_UNTAKEN, {}),
        (Act.CUT_TAKEN, {}),
        (Act.RESET_TAKEN, {}),
        (Act.CUT_IN_ANSWER, {}),
    ],
    ids=["before the body", "before a big body", "in the body", "after the body", "taken", "reset", "in the answer"],
)
async def test_a_cut_after_the_request_began_leaves_us_uncertain(
    act: Act, changes: dict[str, Any], serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid(always=act)
    hold = Hold()
    error = await refused(sendgrid_to(server), hold, **changes)
    assert type(error) is Uncertain
    assert error.code in {"disconnected", "reset", "bad_reply"}
    assert hold.dispatches == 1
    assert len(server.requests) == 1  # nothing was tried again
    assert len(server.ledger) == (act in {Act.CUT_TAKEN, Act.RESET_TAKEN, Act.CUT_IN_ANSWER})


async def test_silence_after_the_request_leaves_us_uncertain(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid(Act.HANG)
    error = await refused(sendgrid_to(server, timeouts=dataclasses.replace(SHORT_HTTP, read_s=0.1)), Hold())
    assert (type(error), error.code) == (Uncertain, "timeout")
    await server.until(lambda: server.open_now == 0)


async def test_an_answer_that_trickles_in_has_no_more_time_than_another(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid(Act.TRICKLE)
    started = time.monotonic()
    error = await refused(sendgrid_to(server, timeouts=dataclasses.replace(SHORT_HTTP, read_s=0.2)), Hold())
    assert (type(error), error.code) == (Uncertain, "timeout")
    assert time.monotonic() - started < 2


async def test_a_body_that_is_not_read_leaves_us_uncertain_but_incomplete(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid(Act.DEAF, receive_buffer=4096)
    hold = Hold()
    timeouts = dataclasses.replace(SHORT_HTTP, write_s=0.1)
    error = await refused(sendgrid_to(server, timeouts=timeouts), hold, text=BIG)
    assert (type(error), error.code) == (Uncertain, "timeout")
    assert (hold.dispatches, hold.last_bytes) == (1, 0)


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"220 mail.example.com ESMTP\r\n\r\n", b"\0\1\2\3" * 99, b"HTTP/1.1 abc\r\n\r\n"],
    ids=["ssh", "smtp", "noise", "status"],
)
async def test_an_answer_that_is_not_http_leaves_us_uncertain(
    answer: bytes, serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid(Raw(answer))
    error = await refused(sendgrid_to(server), Hold())
    assert (type(error), error.code) == (Uncertain, "bad_reply")


async def test_a_refusal_counts_though_its_body_breaks_off(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid(Raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 500\r\n\r\n{"))
    assert type(await refused(sendgrid_to(server), Hold())) is MessageRejected


async def test_a_breakdown_whose_body_breaks_off_leaves_us_uncertain(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    half = UNAVAILABLE.body[:20]
    server = await serve_sendgrid(Raw(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 500\r\n\r\n" + half))
    assert type(await refused(sendgrid_to(server), Hold())) is Uncertain


async def test_taken_is_taken_though_the_rest_of_the_answer_breaks_off(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid(Raw(b"HTTP/1.1 202 Accepted\r\nX-Message-Id: abc\r\nContent-Length: 5\r\n\r\n"))
    assert (await sendgrid_to(server).send(mail_of(fields_to()), Hold())).provider_message_id == "abc"


async def test_an_endless_answer_is_read_to_its_bound_only(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid(Reply(400, b"y" * 10_000_000))
    error = await refused(sendgrid_to(server), Hold())
    assert (type(error), len(error.response)) == (MessageRejected, 64 * 1024)
    await server.until(lambda: server.open_now == 0)


async def test_a_refusal_before_the_body_is_read_is_understood(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid(Early(TOO_LARGE))
    error = await refused(sendgrid_to(server), Hold())
    assert (type(error), error.code) == (MessageRejected, "413")


async def test_a_slow_answer_is_waited_for(serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid) -> None:
    ready = asyncio.Event()
    server = await serve_sendgrid(Held(ready))
    sending = asyncio.create_task(sendgrid_to(server).send(mail_of(fields_to()), Hold()))
    await server.until(lambda: len(server.requests) == 1)
    ready.set()
    assert (await sending).provider_message_id == server.ledger[0].id


async def test_a_lease_that_is_lost_before_the_request_lets_nothing_leave(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid()
    adapter = sendgrid_to(server)
    hold = Hold(refuse_dispatch=LeaseLost())
    with pytest.raises(LeaseLost):
        await adapter.send(mail_of(fields_to()), hold)
    await server.until(lambda: server.connections == 1 and server.open_now == 0)
    assert (server.requests, hold.last_bytes) == ([], 0)
    assert (await adapter.send(mail_of(fields_to()), Hold())).code == "202"


@pytest.mark.parametrize("text", ["short", BIG], ids=["short", "big"])
async def test_a_lease_that_is_lost_before_the_last_byte_cuts_the_request_short(
    text: str, serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid()
    adapter = sendgrid_to(server)
    hold = Hold(refuse_last_byte=LeaseLost())
    with pytest.raises(LeaseLost):
        await adapter.send(mail_of(fields_to(text=text)), hold)
    await server.until(lambda: server.open_now == 0)
    assert (hold.dispatches, hold.last_bytes) == (1, 1)
    assert not server.ledger
    (request,) = server.requests
    assert len(request.body) < int(request.headers["content-length"])
    assert (await adapter.send(mail_of(fields_to()), Hold())).code == "202"


async def test_the_connection_is_ready_before_the_try_is_opened(
    certificate: Certificate, trusted: None, serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid(tls=certificate.server_context)
    seen = []

    class Watch(Hold):
        async def before_dispatch(self) -> None:
            await server.until(lambda: server.connections == 1)  # it, too, is through with the handshake
            seen.append((server.connections, len(server.requests)))

        def before_last_byte(self) -> None:
            seen.append((server.connections, len(server.requests)))

    await sendgrid_to(server).send(mail_of(fields_to()), Watch())
    assert seen == [(1, 0), (1, 0)]


class MeanwhileHangUp(Hold):
    """The server closes its connections while the try is being opened."""

    def __init__(self, server: FakeSendGrid, *, reset_too: bool) -> None:
        super().__init__()
        self._server, self._reset_too = server, reset_too

    async def before_dispatch(self) -> None:
        await super().before_dispatch()
        await self._server.hang_up(reset_too=self._reset_too)


@pytest.mark.parametrize("reset_too", [False, True], ids=["closed", "reset"])
async def test_a_kept_connection_that_dies_as_we_begin_costs_nothing(
    reset_too: bool, serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid()
    adapter = sendgrid_to(server)
    await adapter.send(mail_of(fields_to()), Hold())
    hold = MeanwhileHangUp(server, reset_too=reset_too)
    assert (await adapter.send(mail_of(fields_to()), hold)).code == "202"
    assert (hold.dispatches, hold.last_bytes) == (1, 1)
    assert [request.connection for request in server.requests] == [1, 2]
    assert len(server.ledger) == 2


async def test_a_kept_connection_that_dies_before_the_last_byte_costs_nothing(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid()
    adapter = sendgrid_to(server)
    await adapter.send(mail_of(fields_to()), Hold())

    class ShutMeanwhile(Hold):
        def before_last_byte(self) -> None:
            super().before_last_byte()
            if self.last_bytes == 1:
                server.shut_down_sockets()

    hold = ShutMeanwhile()
    assert (await adapter.send(mail_of(fields_to()), hold)).code == "202"
    assert (hold.dispatches, hold.last_bytes) == (1, 2)
    assert (server.connections, len(server.ledger)) == (2, 2)


async def test_a_kept_connection_that_dies_within_the_body_costs_nothing(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid(Reply(400), Act.CUT_IN_BODY)
    adapter = sendgrid_to(server)
    await refused(adapter, Hold())
    hold = Hold()
    assert (await adapter.send(mail_of(fields_to(text=BIG)), hold)).code == "202"
    assert (hold.dispatches, hold.last_bytes) == (1, 1)
    assert len(server.ledger) == 1


async def test_a_kept_connection_that_dies_after_the_last_byte_leaves_us_uncertain(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid(Reply(400), Act.CUT_TAKEN)
    adapter = sendgrid_to(server)
    await refused(adapter, Hold())
    assert type(await refused(adapter, Hold())) is Uncertain
    assert (len(server.requests), len(server.ledger)) == (2, 1)


async def test_a_fresh_connection_is_not_replaced_when_it_dies_as_we_begin(
    serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid
) -> None:
    server = await serve_sendgrid()
    hold = MeanwhileHangUp(server, reset_too=True)
    assert type(await refused(sendgrid_to(server), hold)) is Uncertain
    assert (server.connections, len(server.ledger)) == (1, 0)


async def test_a_body_of_one_byte_is_held_back_too(serve_sendgrid: ServeSendGrid) -> None:
    server = await serve_sendgrid()
    client = HttpClient(server.url, SHORT_HTTP, ANY, max_connections=1)
    with pytest.raises(LeaseLost):
        await client.ask(Request("/x", {}, b"1"), Hold(refuse_last_byte=LeaseLost()))
    await server.until(lambda: server.open_now == 0)
    assert [request.body for request in server.requests] == [b""]
    await client.close()
