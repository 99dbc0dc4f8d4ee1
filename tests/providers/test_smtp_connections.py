"""Kept connections: reused, bounded, replaced when they have died, and closed when nobody needs them."""

import asyncio
import dataclasses

import pytest

from janus_mail.providers.network import ANY
from janus_mail.providers.outcomes import ProviderDown, RecipientDeferred, Uncertain
from janus_mail.providers.smtp_config import SmtpConfig
from janus_mail.providers.smtp_letter import letter_from
from janus_mail.providers.smtp_opening import open_wire
from janus_mail.providers.smtp_session import SmtpSession

from .conftest import SHORT, Connect, Hold, Serve, mail_to
from .scripted_smtp import Act, Answer, Goodbye, Held


async def test_one_connection_serves_mail_after_mail(serve: Serve, adapter_to: Connect) -> None:
    server = await serve()
    adapter = adapter_to(server)
    for _ in range(3):
        await adapter.send(mail_to(), Hold())
    [talk] = server.conversations
    assert talk.verbs == ["EHLO", *["MAIL", "RCPT", "DATA"] * 3]
    assert len(server.mails) == 3


async def test_after_so_many_mails_a_connection_is_replaced_with_a_goodbye(serve: Serve, adapter_to: Connect) -> None:
    server = await serve()
    adapter = adapter_to(server, max_mails_per_connection=2)
    for _ in range(5):
        await adapter.send(mail_to(), Hold())
    assert [talk.verbs.count("MAIL") for talk in server.conversations] == [2, 2, 1]
    await server.until(lambda: server.open_now == 1)
    assert [talk.verbs[-1] for talk in server.conversations[:2]] == ["QUIT", "QUIT"]


async def test_an_idle_connection_is_closed_after_its_time(serve: Serve, adapter_to: Connect) -> None:
    server = await serve()
    adapter = adapter_to(server, idle_timeout_s=0.02)
    await asyncio.gather(*(adapter.send(mail_to(), Hold()) for _ in range(3)))
    assert server.most_open == 3
    await server.until(lambda: server.open_now == 0)
    assert {talk.verbs[-1] for talk in server.conversations} == {"QUIT"}


async def test_each_idle_connection_has_its_own_time(serve: Serve, adapter_to: Connect) -> None:
    go_on = asyncio.Event()
    server = await serve(answers={"DOT": ["250 Ok", Held(go_on, "250 Ok")]})
    adapter = adapter_to(server, idle_timeout_s=0.1)
    both = [asyncio.create_task(adapter.send(mail_to(), Hold())) for _ in range(2)]
    _, [other] = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0.05)
    go_on.set()
    await other
    await server.until(lambda: server.open_now == 1)
    await server.until(lambda: server.open_now == 0)


async def test_closing_the_adapter_closes_what_is_idle_and_later_what_is_busy(
    serve: Serve, adapter_to: Connect
) -> None:
    both_there, go_on = asyncio.Event(), asyncio.Event()
    server = await serve(answers={"DOT": [Held(both_there, "250 Ok"), Held(go_on, "250 Ok")]})
    adapter = adapter_to(server)
    both = [asyncio.create_task(adapter.send(mail_to(), Hold())) for _ in range(2)]
    await server.until(lambda: [talk.step for talk in server.conversations] == ["DOT", "DOT"])
    both_there.set()
    _, [other] = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    await adapter.close()
    assert server.open_now == 1
    assert sum(talk.verbs[-1] == "QUIT" for talk in server.conversations) == 1
    go_on.set()
    await other
    await server.until(lambda: server.open_now == 0)
    assert len(server.mails) == 2


# What may have happened to a kept connection


@pytest.mark.parametrize("offers", [["PIPELINING"], []], ids=["pipelined", "lockstep"])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    "end",
    [Act.CLOSE, Act.RESET, Act.SILENCE, Goodbye("421 4.4.2 Idle for too long"), "421 4.7.0 Enough mails"],
    ids=["closed", "reset", "silent", "421 and closed", "421"],
)
async def test_a_reused_connection_that_was_closed_is_replaced_without_an_attempt(
    end: Answer, verb: str, offers: list[str], serve: Serve, adapter_to: Connect
) -> None:
    usual = "354 Go" if verb == "DATA" else "250 Ok"
    server = await serve(offers=offers, answers={verb: [usual, end]})
    quick = {"MAIL": "mail_s", "RCPT": "rcpt_s", "DATA": "data_s"}[verb]
    timeouts = dataclasses.replace(SHORT, **{quick: 0.2}) if end is Act.SILENCE else SHORT
    adapter = adapter_to(server, timeouts=timeouts)
    await adapter.send(mail_to(), Hold())
    hold = Hold()
    await adapter.send(mail_to(), hold)
    assert hold.dispatches == 1
    assert len(server.conversations) == 2
    assert len(server.mails) == 2


@pytest.mark.parametrize("greeting", [Act.CLOSE, "421 4.3.2 Shutting down"], ids=["closed", "421"])
async def test_when_the_fresh_connection_fails_too_the_provider_is_down(
    greeting: Answer, serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(answers={"BANNER": ["220 Hello", greeting], "MAIL": ["250 Ok", Act.CLOSE]})
    adapter = adapter_to(server)
    await adapter.send(mail_to(), Hold())
    with pytest.raises(ProviderDown):
        await adapter.send(mail_to(), Hold())
    assert len(server.conversations) == 2


async def test_a_refusal_on_a_reused_connection_is_not_asked_for_twice(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(answers={"RCPT": ["250 Ok", Goodbye("450 4.2.1 Later")]})
    adapter = adapter_to(server)
    await adapter.send(mail_to(), Hold())
    with pytest.raises(RecipientDeferred):
        await adapter.send(mail_to(), Hold())
    assert len(server.conversations) == 1


@pytest.mark.parametrize(("verb", "error"), [("BODY", ProviderDown), ("DOT", Uncertain)])
async def test_once_dispatched_a_reused_connection_is_not_replaced(
    verb: str, error: type[Exception], serve: Serve, adapter_to: Connect
) -> None:
    server = await serve()
    adapter = adapter_to(server)
    await adapter.send(mail_to(), Hold())
    server.script({verb: [Act.CLOSE]})
    big = b"Subject: big\r\n\r\n" + (b"x" * 998 + b"\r\n") * 20_000
    hold = Hold()
    with pytest.raises(error):
        await adapter.send(mail_to(content=big), hold)
    assert hold.dispatches == 1
    assert len(server.conversations) == 1


@pytest.mark.parametrize("farewell", [b"", b"421 4.4.2 Idle for too long\r\n", b"4"], ids=["silent", "421", "a bit"])
async def test_a_connection_that_the_server_leaves_while_idle_is_known_to_be_dead(
    farewell: bytes, serve: Serve
) -> None:
    server = await serve()
    config = SmtpConfig(host="127.0.0.1", port=server.port, security="none")
    wire, offers = await open_wire(config, SHORT, lambda: pytest.fail("no TLS here"), ANY)
    session = SmtpSession(wire, offers, SHORT)
    await session.deliver(letter_from(mail_to()), Hold())
    assert session.usable
    server.conversations[0].writer.write(farewell)
    if not farewell:
        server.conversations[0].writer.close()
    async with asyncio.timeout(2):
        await asyncio.shield(wire._closed)
    assert not session.usable


# How many


async def test_there_are_never_more_connections_than_allowed_and_all_mail_gets_through(
    serve: Serve, adapter_to: Connect
) -> None:
    go_on = asyncio.Event()
    server = await serve(always={"DOT": Held(go_on, "250 Ok")})
    adapter = adapter_to(server, max_connections=3)
    sending = asyncio.gather(*(adapter.send(mail_to(f"b{n}@example.net"), Hold()) for n in range(20)))
    await server.until(lambda: [talk.step for talk in server.conversations] == ["DOT"] * 3)
    go_on.set()
    await sending
    assert server.most_open == len(server.conversations) == 3
    assert {mail.recipients[0] for mail in server.mails} == {f"b{n}@example.net" for n in range(20)}


async def test_who_waits_longest_for_a_connection_is_served_first(serve: Serve, adapter_to: Connect) -> None:
    server = await serve()
    adapter = adapter_to(server, max_connections=1)
    await asyncio.gather(*(adapter.send(mail_to(f"b{n}@example.net"), Hold()) for n in range(10)))
    assert [mail.recipients[0] for mail in server.mails] == [f"b{n}@example.net" for n in range(10)]


async def test_nobody_waits_for_a_connection_without_end(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(answers={"MAIL": [Act.SILENCE]})
    adapter = adapter_to(server, max_connections=1, timeouts=dataclasses.replace(SHORT, pool_s=0.05))
    hung = asyncio.create_task(adapter.send(mail_to(), Hold()))
    await server.until(lambda: [talk.step for talk in server.conversations] == ["MAIL"])
    with pytest.raises(ProviderDown) as raised:
        await adapter.send(mail_to(), Hold())
    assert raised.value.code == "pool_timeout"
    hung.cancel()
    await asyncio.wait([hung])
    await adapter.send(mail_to(), Hold())


async def test_while_every_connection_hangs_those_who_wait_are_told_so_together(
    serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(always={"MAIL": Act.SILENCE})
    adapter = adapter_to(server, timeouts=dataclasses.replace(SHORT, mail_s=60, pool_s=0.2))
    hung = [asyncio.create_task(adapter.send(mail_to(), Hold())) for _ in range(20)]
    await server.until(lambda: [talk.step for talk in server.conversations] == ["MAIL"] * 20)
    waiting = [asyncio.create_task(adapter.send(mail_to(), Hold())) for _ in range(100)]
    done, _ = await asyncio.wait(waiting, timeout=5)  # one after the other they would need 20 s
    assert done == set(waiting)
    assert {str(task.exception()) for task in done} == {"provider_down: pool_timeout"}
    assert len(server.conversations) == 20
    for task in hung:
        task.cancel()
    await asyncio.wait(hung)


async def test_a_failed_opening_gives_its_place_back(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(answers={"BANNER": [Act.CLOSE, Act.RESET, "554 No"]})
    adapter = adapter_to(server, max_connections=1)
    for _ in range(3):
        with pytest.raises(Exception):  # noqa: B017, PT011 - which one is tested elsewhere
            await adapter.send(mail_to(), Hold())
    await adapter.send(mail_to(), Hold())


async def test_who_gives_up_waiting_takes_no_connection_from_the_others(serve: Serve, adapter_to: Connect) -> None:
    go_on = asyncio.Event()
    server = await serve(answers={"DOT": [Held(go_on, "250 Ok")]})
    adapter = adapter_to(server, max_connections=1)
    first = asyncio.create_task(adapter.send(mail_to("first@example.net"), Hold()))
    await server.until(lambda: [talk.step for talk in server.conversations] == ["DOT"])
    impatient = asyncio.create_task(adapter.send(mail_to("impatient@example.net"), Hold()))
    last = asyncio.create_task(adapter.send(mail_to("last@example.net"), Hold()))
    await asyncio.sleep(0)
    impatient.cancel()
    go_on.set()
    await asyncio.gather(first, last)
    assert [mail.recipients for mail in server.mails] == [["first@example.net"], ["last@example.net"]]


async def test_while_connections_are_freed_quickly_those_who_wait_begin_ahead(
    serve: Serve, adapter_to: Connect
) -> None:
    server = await serve()
    adapter = adapter_to(server, max_connections=1)
    first = [Hold() for _ in range(40)]
    await asyncio.gather(*(adapter.send(mail_to(), hold) for hold in first))
    then = [Hold() for _ in range(5)]
    await asyncio.gather(*(adapter.send(mail_to(), hold) for hold in then))
    assert [hold.begun_ahead for hold in then] == [0, 1, 1, 1, 1]  # the first had its connection at once
    assert {hold.dispatches for hold in (*first, *then)} == {1}
    assert len(server.mails) == 45


async def test_while_connections_are_slow_nobody_begins_ahead(serve: Serve, adapter_to: Connect) -> None:
    go_on = asyncio.Event()
    server = await serve(answers={"DOT": [Held(go_on, "250 Ok")]})
    adapter = adapter_to(server, max_connections=1)
    holds = [Hold() for _ in range(3)]
    sends = [asyncio.create_task(adapter.send(mail_to(), hold)) for hold in holds]
    await server.until(lambda: server.open_now == 1)
    assert [hold.begun_ahead for hold in holds] == [0, 0, 0]
    go_on.set()
    await asyncio.gather(*sends)


async def test_when_fast_connections_hang_nobody_begins_ahead_any_more(serve: Serve, adapter_to: Connect) -> None:
    go_on = asyncio.Event()
    server = await serve(answers={"DOT": [*["250 Ok"] * 40, Held(go_on, "250 Ok")]})
    adapter = adapter_to(server, max_connections=1, max_mails_per_connection=1000)
    await asyncio.gather(*(adapter.send(mail_to(), Hold()) for _ in range(40)))
    hangs, late = asyncio.create_task(adapter.send(mail_to(), Hold())), Hold()
    await asyncio.sleep(0.3)
    waits = asyncio.create_task(adapter.send(mail_to(), late))
    await asyncio.sleep(0.05)
    assert late.begun_ahead == 0
    go_on.set()
    await asyncio.gather(hangs, waits)


async def test_who_cannot_begin_ahead_takes_no_connection_from_the_others(serve: Serve, adapter_to: Connect) -> None:
    class Gone(Hold):
        async def begin_ahead(self) -> None:
            await super().begin_ahead()
            await asyncio.sleep(0.01)  # meanwhile a connection may have become its own
            raise KeyError("the lease is lost")

    server = await serve()
    adapter = adapter_to(server, max_connections=1)
    await asyncio.gather(*(adapter.send(mail_to(), Hold()) for _ in range(40)))
    gone = [Gone() for _ in range(5)]
    answers = await asyncio.gather(*(adapter.send(mail_to(), hold) for hold in gone), return_exceptions=True)
    assert [type(answer) for answer in answers[1:]] == [KeyError] * 4
    async with asyncio.timeout(1):
        await asyncio.gather(*(adapter.send(mail_to(), Hold()) for _ in range(3)))
