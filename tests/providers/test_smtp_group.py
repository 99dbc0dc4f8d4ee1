"""A mail to several recipients: who is refused by name hears it alone, and what blames the provider stops the mail."""

import pytest

from janus_mail.providers.outcomes import (
    DeliveryError,
    PolicyRejected,
    ProviderBroken,
    ProviderDown,
    RecipientDeferred,
    RecipientRejected,
    Refused,
    Throttled,
    Uncertain,
    all_refused,
)

from .conftest import CONTENT, Connect, Hold, Serve, mail_to
from .scripted_smtp import Act, Answer, Goodbye

PIPELINED = ["PIPELINING", "SIZE 50000000", "8BITMIME"]
LOCKSTEP = ["SIZE 50000000", "8BITMIME"]
GROUP = ("b@example.net", "c@example.net", "d@example.net")

either_way = pytest.mark.parametrize("offers", [PIPELINED, LOCKSTEP], ids=["pipelined", "lockstep"])


def named(refused: tuple[Refused, ...]) -> list[tuple[str, type[DeliveryError], str]]:
    return [(address, type(error), error.code) for address, error in refused]


@either_way
async def test_who_is_taken_gets_the_mail_and_the_others_are_named_with_their_errors(
    offers: list[str], serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(offers=offers, answers={"RCPT": ["550 5.1.1 No such user", "250 Ok", "451 4.7.1 Greylisted"]})
    adapter, hold = adapter_to(server), Hold()
    accepted = await adapter.send(mail_to(*GROUP), hold)
    assert accepted.code == "250 2.0.0"
    assert named(accepted.refused) == [
        ("b@example.net", RecipientRejected, "550 5.1.1"),
        ("d@example.net", RecipientDeferred, "451 4.7.1"),
    ]
    assert [(mail.recipients, mail.content) for mail in server.mails] == [(["c@example.net"], CONTENT)]
    assert (hold.dispatches, hold.last_bytes) == (1, 1)
    assert (await adapter.send(mail_to(*GROUP), Hold())).refused == ()
    [talk] = server.conversations
    assert "RSET" not in talk.verbs


@either_way
@pytest.mark.parametrize("reply", ["452 4.5.3 Too many recipients", "452 Too many", "552 Too many recipients"])
async def test_those_beyond_what_a_server_takes_at_once_are_deferred(
    reply: str, offers: list[str], serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(offers=offers, answers={"RCPT": ["250 Ok", reply, reply]})
    accepted = await adapter_to(server).send(mail_to(*GROUP), Hold())
    assert [(address, type(error)) for address, error in accepted.refused] == [
        ("c@example.net", RecipientDeferred),
        ("d@example.net", RecipientDeferred),
    ]
    assert server.mails[0].recipients == ["b@example.net"]


@either_way
@pytest.mark.parametrize(
    ("replies", "error", "code"),
    [
        (["550 5.1.1 No", "451 4.7.1 Later", "550 5.7.1 Blocked"], RecipientDeferred, "451 4.7.1"),
        (["550 5.1.1 No", "550 5.7.1 Blocked", "550 5.1.1 No"], PolicyRejected, "550 5.7.1"),
        (["550 5.1.1 No", "550 5.1.1 No", "551 No"], RecipientRejected, "550 5.1.1"),
    ],
    ids=["deferred", "policy", "rejected"],
)
async def test_when_all_are_refused_the_error_leads_to_the_right_next_step(
    replies: list[str], error: type[DeliveryError], code: str, offers: list[str], serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(offers=offers, answers={"RCPT": replies})
    adapter, hold = adapter_to(server), Hold()
    with pytest.raises(error) as raised:
        await adapter.send(mail_to(*GROUP), hold)
    assert type(raised.value) is error
    assert raised.value.code == code
    assert [address for address, _ in raised.value.refused] == list(GROUP)
    assert hold.dispatches == 0
    await adapter.send(mail_to(), Hold())  # nobody got anything, and the connection still serves
    [talk] = server.conversations
    first = [*["EHLO", "MAIL"], *["RCPT"] * 3, *(["DATA"] if offers is PIPELINED else [])]
    assert talk.verbs == [*first, "RSET", "MAIL", "RCPT", "DATA"]
    assert [mail.recipients for mail in server.mails] == [["b@example.net"]]


@either_way
@pytest.mark.parametrize(
    ("reply", "error", "scope"),
    [
        ("530 5.7.0 Authentication required", ProviderBroken, "provider"),
        ("550 5.4.5 Daily user sending limit exceeded", ProviderBroken, "provider"),
        ("550 5.1.8 Sender domain not verified", ProviderBroken, "sender"),
        ("454 4.4.9 What", ProviderDown, None),
        ("454 Throttling failure: Maximum sending rate exceeded.", Throttled, None),
        ("421 4.3.2 Closing", ProviderDown, None),
        (Goodbye("421 4.3.2 Closing"), ProviderDown, None),
        (Act.CLOSE, ProviderDown, None),
    ],
    ids=["530", "quota", "sender", "unknown", "throttled", "421", "421 and closed", "closed"],
)
@pytest.mark.parametrize("earlier", ["250 Ok", "550 5.1.1 No such user"], ids=["after one taken", "after one refused"])
async def test_an_answer_that_blames_the_provider_stops_the_mail_for_all(
    earlier: str,
    reply: Answer,
    error: type[DeliveryError],
    scope: str | None,
    offers: list[str],
    serve: Serve,
    adapter_to: Connect,
) -> None:
    server = await serve(offers=offers, answers={"RCPT": [earlier, reply, "250 Ok"]})
    adapter, hold = adapter_to(server), Hold()
    with pytest.raises(error) as raised:
        await adapter.send(mail_to(*GROUP), hold)
    assert type(raised.value) is error
    assert getattr(raised.value, "scope", None) == scope
    assert hold.dispatches == 0
    if offers is PIPELINED:  # DATA was asked for, and taken: a lone dot would send an empty mail
        await server.until(lambda: server.open_now == 0)
    assert not any(b"\r\n.\r\n" in packet or packet == b".\r\n" for packet in server.conversations[0].packets)
    await adapter.send(mail_to(), Hold())
    assert [mail.recipients for mail in server.mails] == [["b@example.net"]]


async def test_where_everybody_and_then_data_is_refused_a_providers_error_keeps_the_connection(
    serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(
        answers={"RCPT": ["550 5.1.1 No", "550 5.4.5 Daily limit"], "DATA": ["554 5.5.1 No valid recipients"]}
    )
    adapter = adapter_to(server)
    with pytest.raises(ProviderBroken):
        await adapter.send(mail_to("b@example.net", "c@example.net"), Hold())
    await adapter.send(mail_to(), Hold())
    assert len(server.conversations) == 1


@either_way
async def test_a_421_among_the_recipients_of_a_kept_connection_asks_for_all_of_them_again_on_a_fresh_one(
    offers: list[str], serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(offers=offers, answers={"RCPT": ["250 Ok", "250 Ok", "550 5.1.1 No", "421 4.4.2 Idle"]})
    adapter, hold = adapter_to(server), Hold()
    await adapter.send(mail_to(), Hold())
    assert (await adapter.send(mail_to(*GROUP), hold)).refused == ()
    assert hold.dispatches == 1
    assert server.mails[1].recipients == list(GROUP)
    assert len(server.conversations) == 2


@either_way
@pytest.mark.parametrize(
    ("verb", "answer", "error"),
    [
        ("DATA", "451 4.3.0 Local error", ProviderDown),
        ("DATA", "554 5.7.1 Not this one", PolicyRejected),
        ("DOT", "554 5.7.1 Not this one", PolicyRejected),
        ("DOT", Act.CLOSE, Uncertain),
    ],
    ids=["data down", "data policy", "dot policy", "dot cut"],
)
async def test_what_befalls_the_mail_later_is_about_the_others(
    verb: str, answer: Answer, error: type[DeliveryError], offers: list[str], serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(offers=offers, answers={"RCPT": ["250 Ok", "550 5.1.1 No", "250 Ok"], verb: [answer]})
    with pytest.raises(error) as raised:
        await adapter_to(server).send(mail_to(*GROUP), Hold())
    assert type(raised.value) is error
    assert named(raised.value.refused) == [("c@example.net", RecipientRejected, "550 5.1.1")]


@either_way
async def test_a_single_recipients_error_names_nobody(offers: list[str], serve: Serve, adapter_to: Connect) -> None:
    server = await serve(offers=offers, answers={"RCPT": ["552 5.2.2 Mailbox full"]})
    with pytest.raises(RecipientDeferred) as raised:
        await adapter_to(server).send(mail_to(), Hold())
    assert raised.value.final_on_repeat
    assert raised.value.refused == ()


def test_all_wait_as_long_as_the_most_patient_was_asked_to() -> None:
    error = all_refused(
        [
            Refused("a@x.test", RecipientRejected("550 5.1.1")),
            Refused("b@x.test", RecipientDeferred("452 5.2.2", final_on_repeat=True)),
            Refused("c@x.test", RecipientDeferred("451 4.7.1", retry_after_s=60)),
            Refused("d@x.test", RecipientDeferred("451 4.7.1", retry_after_s=300)),
        ]
    )
    assert isinstance(error, RecipientDeferred)
    assert error.retry_after_s == 300
    assert not error.final_on_repeat
    assert len(error.refused) == 4


def test_full_mailboxes_alone_are_final_when_they_are_full_again() -> None:
    full = [Refused(f"{name}@x.test", RecipientDeferred("552 5.2.2", final_on_repeat=True)) for name in "ab"]
    gone = Refused("c@x.test", RecipientRejected("550 5.1.1"))
    error = all_refused([*full, gone])
    assert isinstance(error, RecipientDeferred)
    assert error.final_on_repeat
