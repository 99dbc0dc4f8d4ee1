"""Bounces that come as mail."""

import time
import uuid
from datetime import UTC, datetime

import pytest
from uuid_utils.compat import uuid7

from janus_mail.feedback.reader import Happened, Post, Unreadable
from janus_mail.feedback.services.dsn import READER
from tests.delivery.conftest import Workshop
from tests.feedback.bounces import AWAY, BOUNCES, ENCODED, FORWARDED, GMAIL, HEADLESS, POSTFIX, QMAIL
from tests.feedback.conftest import Service, message_sent, status_of

NOW = datetime(2026, 6, 12, 10, 0, 10, tzinfo=UTC)


def written(mail: str, message_id: uuid.UUID, to: str = "ann@example.org") -> bytes:
    return mail.format(id=message_id.hex, to=to).replace("\n", "\r\n").encode()


def read(mail: bytes) -> list[Happened]:
    return READER.read(Post({}, mail, "", NOW))


@pytest.mark.parametrize("server", BOUNCES)
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_the_words_of_each_server_are_understood(server: str, line_end: bytes) -> None:
    bounce, message_id = BOUNCES[server], uuid7()
    (happened,) = read(written(bounce.mail, message_id).replace(b"\r\n", line_end))
    assert (happened.type, happened.details.get("status")) == (bounce.type, bounce.status)
    assert happened.message_uuid == str(message_id)
    assert happened.reason == bounce.reason
    international = "xn--exmple-cua.org"  # as it goes on the wire
    assert happened.recipient == ("ann@" + international if server == "international" else "ann@example.org")


def test_the_time_is_that_of_the_last_attempt_where_it_is_told() -> None:
    (happened,) = read(written(GMAIL, uuid7()))
    assert happened.at == datetime(2026, 6, 12, 10, 0, 4, tzinfo=UTC)
    (happened,) = read(written(POSTFIX, uuid7()))
    assert happened.at == NOW


def test_several_recipients_are_several_events() -> None:
    more = "\nFinal-Recipient: rfc822; ben+news@example.org\nAction: delayed\nStatus: 4.7.1\n\n--hl--"
    several = read(written(HEADLESS.replace("\n--hl--", more), uuid7()))
    assert [(one.recipient, one.type) for one in several] == [
        ("ann@example.org", "bounced_hard"), ("ben+news@example.org", "deferred"),
    ]  # fmt: skip
    assert len({one.key for one in several}) == 2


@pytest.mark.parametrize("mail", [QMAIL, AWAY, FORWARDED, "", "\n\n", "just words", ENCODED.replace("YzgyM", "!!!!!")])
def test_what_is_no_notification_means_nothing(mail: str) -> None:
    assert read(written(mail, uuid7())) == []


def test_the_same_told_again_has_the_same_key_and_another_mails_has_not() -> None:
    message_id = uuid7()
    first, again, other = (read(written(POSTFIX, one))[0].key for one in (message_id, message_id, uuid7()))
    later = read(written(POSTFIX.replace("10:00:04", "10:05:04"), message_id))[0].key
    assert first == again == later != other


@pytest.mark.parametrize(
    "octets", [bytes(range(256)) * 40, b"Content-Type: multipart/report; boundary=\xff\r\n\r\n--\xff"]
)
def test_octets_that_are_no_mail_break_nothing(octets: bytes) -> None:
    try:
        assert read(octets) == []
    except Unreadable:
        pass  # kept and tried again


async def test_a_bounce_reaches_its_message_and_suppresses_its_recipient(shop: Workshop, sendgrid: Service) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    await sendgrid.bounce(written(POSTFIX, message_id))
    assert await status_of(shop, message_id) == ("sent", "bounced_hard")
    assert await sendgrid.suppressed() == {"ann@example.org": "hard_bounce"}
    await sendgrid.bounce(written(POSTFIX, message_id))
    assert len(await sendgrid.events()) == 1


async def test_a_bounce_suppresses_nobody_but_whom_the_mail_went_to(shop: Workshop, sendgrid: Service) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    await sendgrid.bounce(written(POSTFIX, message_id, to="victim@example.net"))
    assert await sendgrid.suppressed() == {"ann@example.org": "hard_bounce"}
    await sendgrid.bounce(written(POSTFIX, uuid7(), to="victim@example.net"))
    await sendgrid.bounce(written(POSTFIX, uuid7()).replace(b"Message-ID", b"X-None"))
    assert await sendgrid.suppressed() == {"ann@example.org": "hard_bounce"}


async def test_a_bounce_settles_a_mail_in_doubt(shop: Workshop, sendgrid: Service) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id, state="uncertain")
    await sendgrid.bounce(written(POSTFIX, message_id))
    assert await status_of(shop, message_id) == ("sent", "bounced_hard")


async def test_answers_and_absence_notes_are_taken_and_gone(shop: Workshop, sendgrid: Service) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    await sendgrid.bounce(written(AWAY, message_id))
    assert (await sendgrid.events(), await sendgrid.stored()) == ([], [])
    assert await status_of(shop, message_id) == ("sent", None)


def bomb(depth: int, filler: bytes) -> bytes:
    """A MiB of short lines, so many parts within one another."""
    parts = [b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(depth)]
    head = b"From: a@b\n" + b"".join(parts) + b"Content-Type: text/plain\n\n"
    return head + filler * ((2**20 - len(head)) // len(filler))


@pytest.mark.parametrize("depth", [1, 10, 200])
@pytest.mark.parametrize("filler", [b"\n", b"\r", b"--b0x\n"])
def test_a_mail_nested_ever_deeper_is_read_in_no_time(depth: int, filler: bytes) -> None:
    begun = time.monotonic()
    assert read(bomb(depth, filler)) == []
    assert time.monotonic() - begun < 2  # a tenth of a second on a quiet machine


def test_a_report_of_very_many_recipients_is_read_in_no_time() -> None:
    block = "\nFinal-Recipient: rfc822; {}@example.org\nAction: failed\nStatus: 5.1.1\n"
    many = "".join(block.format(n) for n in range(50_000)) + "\n--hl--"
    begun = time.monotonic()
    told = read(written(HEADLESS.replace("\n--hl--", many), uuid7()))
    assert 100 < len(told) <= 1000
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("server", BOUNCES)
def test_what_was_returned_may_be_long_and_deep(server: str) -> None:
    """The report comes first, and what follows is not needed."""
    bounce, message_id = BOUNCES[server], uuid7()
    mail = written(bounce.mail, message_id)
    end = mail.rstrip().rfind(b"\r\n--")
    returned = b"".join(b"\r\nContent-Type: multipart/mixed; boundary=x%d\r\n\r\n--x%d" % (n, n) for n in range(30))
    (happened,) = read(mail[:end] + returned + b"x" * 76 + b"\r\n" * 40_000 + mail[end:])
    assert (happened.type, happened.message_uuid) == (bounce.type, str(message_id))


async def test_of_a_mail_that_came_back_whole_the_beginning_is_kept(shop: Workshop, sendgrid: Service) -> None:
    message_id = await message_sent(shop, sendgrid.provider_id)
    whole = written(POSTFIX, message_id) + (b"x" * 76 + b"\r\n") * 150_000
    assert len(whole) > 11 * 2**20
    answer = await sendgrid.post(whole, {"content-type": "message/rfc822"}, path="/dsn")
    assert answer.status_code == 200, answer.text
    (post,) = await sendgrid.stored()
    assert post["body"] == whole[: 2**20]
    await sendgrid.done()
    assert await status_of(shop, message_id) == ("sent", "bounced_hard")
