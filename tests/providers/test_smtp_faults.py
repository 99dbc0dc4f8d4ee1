"""Where the wire breaks decides what is known: nothing left, or nobody knows."""

import asyncio
import dataclasses
import socket

import pytest

from janus_mail.providers.network import ANY
from janus_mail.providers.outcomes import ProviderDown, Uncertain
from janus_mail.providers.smtp_config import SmtpConfig
from janus_mail.providers.smtp_letter import letter_from
from janus_mail.providers.smtp_opening import open_wire
from janus_mail.providers.smtp_session import SmtpSession

from .conftest import SHORT, Connect, Hold, Serve, mail_to
from .scripted_smtp import Act, Answer, Goodbye, reset

BIG = b"Subject: big\r\n\r\n" + (b"x" * 998 + b"\r\n") * 20_000  # more than loopback's buffers hold
AND_NONSENSE = b"250 Ok: queued as LAST\r\n\xff\xfe\r\n250-"
BEFORE_THE_BODY = ["BANNER", "EHLO", "MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize("offers", [["PIPELINING"], []], ids=["pipelined", "lockstep"])
@pytest.mark.parametrize("cut", [Act.CLOSE, Act.RESET], ids=["closed", "reset"])
@pytest.mark.parametrize("verb", BEFORE_THE_BODY)
async def test_a_cut_before_the_body_means_that_the_provider_is_down(
    verb: str, cut: Act, offers: list[str], serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(offers=offers, always={verb: cut})
    hold = Hold()
    with pytest.raises(ProviderDown) as raised:
        await adapter_to(server).send(mail_to(), hold)
    assert raised.value.code in {"disconnected", "reset"}
    assert hold.dispatches == 0
    assert len(server.conversations) == 1  # a fresh connection is not replaced


@pytest.mark.parametrize("cut", [Act.CLOSE, Act.RESET, Act.HALF_CLOSE], ids=["closed", "reset", "half closed and deaf"])
async def test_a_cut_within_the_body_means_that_the_provider_is_down(
    cut: Act, serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(always={"BODY": cut})
    hold = Hold()
    with pytest.raises(ProviderDown) as raised:
        await adapter_to(server).send(mail_to(content=BIG), hold)
    assert raised.value.code in {"disconnected", "reset"}
    assert (hold.dispatches, hold.last_bytes) == (1, 0)


async def test_a_body_that_could_not_be_written_is_followed_by_no_dot(serve: Serve, adapter_to: Connect) -> None:
    server = await serve()

    class ResetMeanwhile(Hold):
        """The kernel knows of the RST before the event loop does, so that the write itself fails."""

        async def before_dispatch(self) -> None:
            await super().before_dispatch()
            reset(server.conversations[0].writer)
            await asyncio.sleep(0)

    hold = ResetMeanwhile()
    with pytest.raises(ProviderDown):
        await adapter_to(server).send(mail_to(), hold)
    assert (hold.dispatches, hold.last_bytes) == (1, 0)


async def test_no_dot_is_written_while_the_kernel_has_not_taken_the_whole_body(serve: Serve) -> None:
    server = await serve(always={"BODY": Act.DEAFNESS}, receive_buffer=2048)
    config = SmtpConfig(host="127.0.0.1", port=server.port, security="none")
    timeouts = dataclasses.replace(SHORT, block_s=0.1, dot_s=0.1)
    wire, offers = await open_wire(config, timeouts, lambda: pytest.fail("no TLS here"), ANY)
    wire._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
    hold = Hold()
    body = b"Subject: one block\r\n\r\n" + (b"x" * 998 + b"\r\n") * 60
    with pytest.raises(ProviderDown):
        await SmtpSession(wire, offers, timeouts).deliver(letter_from(mail_to(content=body)), hold)
    assert (hold.dispatches, hold.last_bytes) == (1, 0)


@pytest.mark.parametrize("cut", [Act.CLOSE, Act.RESET], ids=["closed", "reset"])
async def test_a_cut_after_the_dot_leaves_us_uncertain(cut: Act, serve: Serve, adapter_to: Connect) -> None:
    server = await serve(always={"DOT": cut})
    hold = Hold()
    with pytest.raises(Uncertain) as raised:
        await adapter_to(server).send(mail_to(), hold)
    assert raised.value.code in {"disconnected", "reset"}
    assert (hold.dispatches, hold.last_bytes) == (1, 1)


@pytest.mark.parametrize(
    "then", [Goodbye("250 Ok: queued as LAST"), b"250 Ok: queued as LAST\r\n421 4.3.2 Closing\r\n", AND_NONSENSE],
    ids=["closed", "421", "nonsense"],
)  # fmt: skip
async def test_what_comes_after_the_250_changes_nothing(then: Answer, serve: Serve, adapter_to: Connect) -> None:
    server = await serve(answers={"DOT": [then]})
    adapter = adapter_to(server)
    assert (await adapter.send(mail_to(), Hold())).provider_message_id == "LAST"
    await adapter.send(mail_to(), Hold())
    assert len(server.conversations) == 2


@pytest.mark.parametrize(
    ("verb", "timeouts"),
    [
        ("BANNER", {"greeting_s": 0.05}),
        ("EHLO", {"greeting_s": 0.05}),
        ("MAIL", {"mail_s": 0.05}),
        ("RCPT", {"rcpt_s": 0.05}),
        ("DATA", {"data_s": 0.05}),
    ],
)
async def test_silence_before_the_body_ends_with_the_time_of_that_step(
    verb: str, timeouts: dict[str, float], serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(always={verb: Act.SILENCE})
    adapter = adapter_to(server, timeouts=dataclasses.replace(SHORT, **timeouts))
    with pytest.raises(ProviderDown) as raised:
        await adapter.send(mail_to(), Hold())
    assert raised.value.code == "timeout"
    await server.until(lambda: server.open_now == 0)


async def test_a_block_that_is_not_taken_in_time_means_that_the_provider_is_down(
    serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(always={"BODY": Act.DEAFNESS})
    hold = Hold()
    adapter = adapter_to(server, timeouts=dataclasses.replace(SHORT, block_s=0.1))
    with pytest.raises(ProviderDown) as raised:
        await adapter.send(mail_to(content=BIG), hold)
    assert raised.value.code == "timeout"
    assert (hold.dispatches, hold.last_bytes) == (1, 0)


async def test_silence_after_the_dot_leaves_us_uncertain(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(always={"DOT": Act.SILENCE})
    adapter = adapter_to(server, timeouts=dataclasses.replace(SHORT, dot_s=0.05))
    with pytest.raises(Uncertain) as raised:
        await adapter.send(mail_to(), Hold())
    assert raised.value.code == "timeout"
    await server.until(lambda: server.open_now == 0)


async def test_a_server_that_refuses_connections_is_down(adapter_to: Connect) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ProviderDown) as raised:
            await adapter_to(unused.getsockname()[1]).send(mail_to(), Hold())
    assert raised.value.code == "connection_refused"


async def test_a_connection_that_is_never_made_is_given_up_in_time(adapter_to: Connect) -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for client in (first, second):  # fills the backlog, so that the next one gets no answer at all
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        adapter = adapter_to(full.getsockname()[1], timeouts=dataclasses.replace(SHORT, connect_s=0.05))
        with pytest.raises(ProviderDown) as raised:
            await adapter.send(mail_to(), Hold())
    assert raised.value.code == "timeout"


async def test_a_name_that_does_not_exist_means_that_the_provider_is_down(adapter_to: Connect) -> None:
    with pytest.raises(ProviderDown) as raised:
        await adapter_to(25, host="nothing.invalid").send(mail_to(), Hold())
    assert raised.value.code == "host_not_found"


@pytest.mark.parametrize("verb", ["BANNER", "MAIL", "BODY", "DOT"])
async def test_a_canceled_send_closes_its_connection(verb: str, serve: Serve, adapter_to: Connect) -> None:
    server = await serve(answers={verb: [Act.SILENCE]})
    adapter = adapter_to(server, max_connections=1)
    sending = asyncio.create_task(adapter.send(mail_to(), Hold()))
    await server.until(lambda: [talk.step for talk in server.conversations] == [verb])
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await server.until(lambda: server.open_now == 0)
    await adapter.send(mail_to(), Hold())  # its place is free again
    assert len(server.conversations) == 2
