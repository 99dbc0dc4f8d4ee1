"""What goes over the wire: the commands, the body byte for byte, and what a hostile or odd server cannot do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janus_mail.providers.contract import Mail
from janus_mail.providers.outcomes import (
    MessageRejected,
    PolicyRejected,
    ProviderBroken,
    ProviderDown,
    RecipientDeferred,
    RecipientRejected,
    Uncertain,
)
from janus_mail.providers.smtp_letter import letter_from

from .conftest import CONTENT, Connect, Hold, Serve, mail_to
from .scripted_smtp import Act, Goodbye

PIPELINED = ["PIPELINING", "SIZE 50000000", "8BITMIME"]
LOCKSTEP = ["SIZE 50000000", "8BITMIME"]


# The commands


async def test_where_pipelining_is_offered_the_envelope_leaves_in_one_packet(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(offers=PIPELINED)
    await adapter_to(server).send(mail_to("b@example.net", "c@example.net"), Hold())
    envelope = (
        b"MAIL FROM:<a@example.com> SIZE=%d\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<c@example.net>\r\nDATA\r\n"
        % len(CONTENT)
    )
    assert envelope in server.conversations[0].packets


async def test_without_pipelining_each_command_waits_for_its_reply(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(offers=LOCKSTEP)
    await adapter_to(server).send(mail_to("b@example.net", "c@example.net"), Hold())
    [talk] = server.conversations
    assert [packet.partition(b" ")[0].strip() for packet in talk.packets[:5]] == [
        b"EHLO",
        b"MAIL",
        b"RCPT",
        b"RCPT",
        b"DATA",
    ]
    assert server.mails[0].recipients == ["b@example.net", "c@example.net"]


async def test_a_server_that_knows_no_ehlo_is_greeted_with_helo(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(always={"EHLO": "502 5.5.1 What?"})
    await adapter_to(server).send(mail_to(), Hold())
    assert server.conversations[0].commands == [
        "EHLO janus.test",
        "HELO janus.test",
        "MAIL FROM:<a@example.com>",
        "RCPT TO:<b@example.net>",
        "DATA",
    ]
    assert server.mails[0].content == CONTENT


async def test_smtputf8_is_asked_for_only_where_the_mail_needs_it(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(offers=[*PIPELINED, "SMTPUTF8"])
    adapter = adapter_to(server)
    await adapter.send(mail_to(), Hold())
    await adapter.send(mail_to("jürgen@example.net"), Hold())
    await adapter.send(mail_to(smtputf8=True, content="Subject: Grüße\r\n\r\n".encode()), Hold())
    asked = [line for line in server.conversations[0].commands if line.startswith("MAIL")]
    assert ["SMTPUTF8" in line for line in asked] == [False, True, True]
    assert "BODY=8BITMIME" in asked[2]
    assert server.mails[1].recipients == ["jürgen@example.net"]


@pytest.mark.parametrize(
    ("mail", "code"),
    [
        (mail_to("jürgen@example.net"), "smtputf8_not_offered"),
        (mail_to(smtputf8=True), "smtputf8_not_offered"),
        (mail_to(content="Hello\r\n\r\nGrüße\r\n".encode()), "8bitmime_not_offered"),
        (mail_to(content=b"x" * 1001 + b"\r\n"), "too_large"),
    ],
    ids=["address", "header", "8bit", "size"],
)
async def test_what_the_server_cannot_take_is_refused_without_asking_it(
    mail: Mail, code: str, serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(offers=["SIZE 1000"])
    adapter, hold = adapter_to(server), Hold()
    with pytest.raises(PolicyRejected) as raised:
        await adapter.send(mail, hold)
    assert raised.value.code == code
    assert hold.dispatches == 0
    await adapter.send(mail_to(), Hold())  # on the same connection, which has heard nothing of the other mail
    assert server.conversations[0].verbs == ["EHLO", "MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("250 2.0.0 Ok: queued as 4XyZ12", "4XyZ12"),
        ("250 Ok 0102018f-9d4c-4c7e-b7b4-0a1b2c3d4e5f-000000", "0102018f-9d4c-4c7e-b7b4-0a1b2c3d4e5f-000000"),
        ("250 OK id=1tCq2B-000000001Zt-3Kxy", "1tCq2B-000000001Zt-3Kxy"),
        ("250 2.0.0 4ALBxyz1012345 Message accepted for delivery", "4ALBxyz1012345"),
        ("250 OK", None),
        ("250 Ok thanks", None),
    ],
)
async def test_the_servers_own_id_is_read_from_the_final_reply(
    reply: str, found: str | None, serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(always={"DOT": reply})
    accepted = await adapter_to(server).send(mail_to(), Hold())
    assert accepted.provider_message_id == found
    assert accepted.response == reply[4:]


# The body


@pytest.mark.parametrize(
    "content",
    [
        b".\r\n",
        b"..\r\n.\r\n",
        b"Subject: dots\r\n\r\n.a\r\n.\r\n..\r\na.\r\n",
        b"Subject: long\r\n\r\n" + b"x" * 998 + b"\r\n",
        b"Subject: octets\r\n\r\n" + bytes(n for n in range(256) if n not in b"\r\n") + b"\r\n",
        b"Subject: big\r\n\r\n" + (b"." * 70 + b"\r\n") * 20_000,
    ],
    ids=["dot", "dots", "dots inside", "998", "octets", "1.4 MB"],
)
async def test_the_content_arrives_byte_for_byte(content: bytes, serve: Serve, adapter_to: Connect) -> None:
    server = await serve()
    await adapter_to(server).send(mail_to(content=content), Hold())
    assert server.mails[0].content == content


async def test_content_without_a_last_line_end_gets_one(serve: Serve, adapter_to: Connect) -> None:
    server = await serve()
    await adapter_to(server).send(mail_to(content=b"Subject: x\r\n\r\nend"), Hold())
    assert server.mails[0].content == b"Subject: x\r\n\r\nend\r\n"


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\r\n")), min_size=1))
def test_dot_stuffing_is_undone_by_taking_one_dot_from_each_line(lines: list[str]) -> None:
    content = "".join(f"{line}\r\n" for line in lines).encode()
    body = letter_from(mail_to(content=content)).body
    stuffed = body.removesuffix(b"\r\n").split(b"\r\n")
    assert b"." not in stuffed
    assert b"".join(line.removeprefix(b".") + b"\r\n" for line in stuffed) == content


@pytest.mark.parametrize("content", [b"a\nb\r\n", b"a\rb\r\n", b"a\r\n.\n\r\n", b"a\n\r\r\n"])
def test_a_lone_line_end_is_refused_for_servers_disagree_where_a_mail_ends(content: bytes) -> None:
    with pytest.raises(MessageRejected, match="bare_line_end"):
        letter_from(mail_to(content=content))


@pytest.mark.parametrize(
    "address",
    ["b@example.net>\r\nRCPT TO:<evil@example.org", "b@example.net> SIZE=1 <", "b c@example.net", "b@exam\x00ple.net"],
)
def test_an_address_cannot_break_out_of_its_command(address: str) -> None:
    with pytest.raises(MessageRejected, match="bad_address"):
        letter_from(mail_to(address))
    with pytest.raises(MessageRejected, match="bad_address"):
        letter_from(mail_to(sender=address))


def test_a_quoted_local_part_and_the_null_sender_are_addresses() -> None:
    letter = letter_from(mail_to('"b > c"@example.net', sender=""))
    assert (letter.sender, letter.recipients) == (b"", (b'"b > c"@example.net',))


def test_a_mail_to_nobody_is_refused() -> None:
    with pytest.raises(MessageRejected, match="no_recipient"):
        letter_from(mail_to(recipients=()))


# Refusals before the body


@pytest.mark.parametrize("dot", ["250 2.0.0 Ok", "554 5.5.1 No valid recipients", "451 4.3.0 Hm"])
async def test_a_354_for_nobody_gets_a_lone_dot_whose_answer_means_nothing(
    dot: str, serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(offers=PIPELINED, answers={"RCPT": ["550 5.1.1 No such user"], "DOT": [dot]})
    adapter = adapter_to(server)
    with pytest.raises(RecipientRejected):
        await adapter.send(mail_to(), Hold())
    await adapter.send(mail_to(), Hold())
    [talk] = server.conversations  # still the same
    assert talk.packets[2] == b".\r\n"
    assert talk.verbs == ["EHLO", "MAIL", "RCPT", "DATA", "RSET", "MAIL", "RCPT", "DATA"]


async def test_when_mail_is_refused_the_refusals_that_follow_it_do_not_count(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(
        answers={"MAIL": ["451 4.3.0 Not now"], "RCPT": ["503 5.5.1 MAIL first"], "DATA": ["503 5.5.1 MAIL first"]}
    )
    adapter = adapter_to(server)
    with pytest.raises(ProviderDown) as raised:
        await adapter.send(mail_to(), Hold())
    assert raised.value.code == "451 4.3.0"
    await adapter.send(mail_to(), Hold())
    assert len(server.conversations) == 1


@pytest.mark.parametrize("offers", [PIPELINED, LOCKSTEP], ids=["pipelined", "lockstep"])
async def test_a_server_that_refuses_and_hangs_up_is_believed(
    offers: list[str], serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(offers=offers, answers={"RCPT": [Goodbye("550 5.1.1 No such user")]})
    with pytest.raises(RecipientRejected):
        await adapter_to(server).send(mail_to(), Hold())


# Hostile and odd servers


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"x" * 100_000, "reply_too_long"),
        (b"250-" + b"x" * 5000 + b"\r\n250 ok\r\n", "reply_too_long"),
        (b"250-more\r\n" * 1000, "reply_too_long"),
        (b"hello\r\n", "bad_reply"),
        (b"2500 ok\r\n", "bad_reply"),
        (b"999 ok\r\n", "bad_reply"),
        (b"\xff\xfe\x00\r\n", "bad_reply"),
        (b"\r\n", "bad_reply"),
    ],
)
async def test_a_server_that_talks_nonsense_is_left(reply: bytes, code: str, serve: Serve, adapter_to: Connect) -> None:
    server = await serve(always={"EHLO": reply})
    with pytest.raises(ProviderDown) as raised:
        await adapter_to(server).send(mail_to(), Hold())
    assert raised.value.code == code
    await server.until(lambda: server.open_now == 0)


@pytest.mark.parametrize("reply", [b"what?\r\n", b"250-" * 2000, b"354 once more\r\n"])
async def test_nonsense_after_the_dot_leaves_us_uncertain(reply: bytes, serve: Serve, adapter_to: Connect) -> None:
    server = await serve(always={"DOT": reply})
    with pytest.raises(Uncertain):
        await adapter_to(server).send(mail_to(), Hold())
    await server.until(lambda: server.open_now == 0)


async def test_a_250_that_comes_before_the_dot_is_not_taken_for_its_answer(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(always={"DATA": b"354 Go\r\n250 2.0.0 Ok: queued as FORGED\r\n"})
    with pytest.raises(ProviderDown) as raised:
        await adapter_to(server).send(mail_to(), Hold())
    assert raised.value.code == "out_of_step"
    assert not server.mails


@pytest.mark.parametrize(("rcpt", "error"), [("250 Ok", ProviderDown), ("550 5.1.1 No", RecipientRejected)])
async def test_a_reply_to_data_that_is_neither_354_nor_a_refusal_closes_the_connection(
    rcpt: str, error: type[Exception], serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(always={"RCPT": rcpt, "DATA": "250 Ok"})
    with pytest.raises(error):
        await adapter_to(server).send(mail_to(), Hold())
    await server.until(lambda: server.open_now == 0)


async def test_a_421_after_the_dot_is_a_refusal_and_a_goodbye(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(answers={"DOT": ["421 4.3.2 Shutting down"]})
    with pytest.raises(ProviderDown) as raised:
        await adapter_to(server).send(mail_to(), Hold())
    assert raised.value.code == "421 4.3.2"
    await server.until(lambda: server.open_now == 0)
    assert server.conversations[0].verbs[-1] == "DATA"  # without a word


async def test_bytes_that_are_not_utf8_are_replaced_and_lines_are_kept(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(always={"RCPT": b"451-4.7.1 caf\xe9\r\n451 4.7.1 later\r\n"})
    with pytest.raises(RecipientDeferred) as raised:
        await adapter_to(server).send(mail_to(), Hold())
    assert raised.value.response == "4.7.1 caf\N{REPLACEMENT CHARACTER}\n4.7.1 later"
    assert raised.value.code == "451 4.7.1"


# The engine's hold


async def test_the_body_waits_for_the_dispatch_and_the_dot_for_the_last_word(serve: Serve, adapter_to: Connect) -> None:
    server = await serve()

    class Watching(Hold):
        async def before_dispatch(self) -> None:
            await super().before_dispatch()
            [talk] = server.conversations
            assert talk.verbs[-1] == "DATA"  # ready, and nothing of the body has left
            assert talk.packets[-1].endswith(b"DATA\r\n")

    hold = Watching()
    await adapter_to(server).send(mail_to(), hold)
    assert (hold.dispatches, hold.last_bytes) == (1, 1)


async def test_a_refused_dispatch_closes_the_connection_before_the_body(serve: Serve, adapter_to: Connect) -> None:
    server = await serve()
    with pytest.raises(RuntimeError, match="lease lost"):
        await adapter_to(server).send(mail_to(), Hold(refuse_dispatch=RuntimeError("lease lost")))
    await server.until(lambda: server.open_now == 0)
    assert server.conversations[0].packets[-1].endswith(b"DATA\r\n")


async def test_a_hold_lost_before_the_dot_leaves_a_whole_body_without_it(serve: Serve, adapter_to: Connect) -> None:
    server = await serve()
    with pytest.raises(RuntimeError, match="lease lost"):
        await adapter_to(server).send(mail_to(), Hold(refuse_last_byte=RuntimeError("lease lost")))
    await server.until(lambda: server.open_now == 0)
    assert server.conversations[0].body == CONTENT
    assert not server.mails


async def test_a_refusal_in_the_midst_of_the_body_is_heard(serve: Serve, adapter_to: Connect) -> None:
    big = b"Subject: big\r\n\r\n" + (b"x" * 998 + b"\r\n") * 20_000
    server = await serve(answers={"BODY": ["552 5.3.4 Too big after all", Act.DEAFNESS]})
    with pytest.raises(PolicyRejected) as raised:
        await adapter_to(server).send(mail_to(content=big), Hold())
    assert raised.value.code == "552 5.3.4"
    assert not server.mails


async def test_a_refused_data_leaves_a_connection_that_serves_the_next_mail(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(answers={"DATA": ["554 5.7.1 Not this one"]})
    adapter = adapter_to(server)
    with pytest.raises(PolicyRejected):
        await adapter.send(mail_to(), Hold())
    await adapter.send(mail_to(), Hold())
    assert server.conversations[0].verbs[4:] == ["RSET", "MAIL", "RCPT", "DATA"]
    assert len(server.mails) == 1


async def test_data_out_of_step_closes_the_connection(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(answers={"DATA": ["503 5.5.1 RCPT first"]})
    adapter = adapter_to(server)
    with pytest.raises(ProviderDown):
        await adapter.send(mail_to(), Hold())
    await adapter.send(mail_to(), Hold())
    assert len(server.conversations) == 2


async def test_a_broken_set_up_is_said_to_be_the_providers(serve: Serve, adapter_to: Connect) -> None:
    server = await serve(offers=["PIPELINING"])
    with pytest.raises(ProviderBroken) as raised:
        await adapter_to(server, username="me", password="secret").send(mail_to(), Hold())
    assert (raised.value.code, raised.value.scope) == ("auth_not_offered", "provider")
