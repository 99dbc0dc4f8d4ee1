"""Mails with files on their way: read when they leave, whole, once for all recipients, and never without them."""

import asyncio
import email.policy
import gc
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from hashlib import sha256
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from janus_mail.content.addresses import Mailbox
from janus_mail.content.files import encoded_size
from janus_mail.delivery.letters import EventContent, Letters, outgoing
from janus_mail.delivery.queries import lease
from janus_mail.delivery.send import Sender
from janus_mail.delivery.weights import SMALL_BYTES, Weight, Weights
from janus_mail.worker import WorkerProcess
from tests.delivery.conftest import Workshop
from tests.delivery.test_races import Hand
from tests.providers.scripted_smtp import Act, ScriptedSmtp

PDF = b"%PDF-1.7\r\n.\r\n" + bytes(range(256)) * 40_000  # 10 MB
LOGO = b"\x89PNG\0"
SENDER = Mailbox("news@example.com")


class Inbox:
    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.at_once = self.most_at_once = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.02)
        self.at_once -= 1
        assert envelope.original_content is not None
        self.mails.append(envelope.original_content)
        return "250 Ok"

    @property
    def messages(self) -> list[EmailMessage]:
        read = [email.message_from_bytes(mail, policy=email.policy.default) for mail in self.mails]
        return [message for message in read if isinstance(message, EmailMessage)]


class SpiedWeights(Weights):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Weight] = []

    @asynccontextmanager
    async def held(self, weight: Weight) -> AsyncIterator[None]:
        self.seen.append(weight)
        async with super().held(weight):
            yield


@pytest.fixture
async def inbox(shop: Workshop) -> AsyncIterator[Inbox]:
    """What a real SMTP server took, which is the workspace's one provider."""
    inbox, loop = Inbox(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(inbox, loop=loop), "127.0.0.1", 0)
    await shop.smtp(server.sockets[0].getsockname()[1], "Server")
    yield inbox
    server.close()


async def attached(shop: Workshop, content: bytes, filename: str = "a.pdf", **fields: Any) -> dict[str, Any]:
    """A content in the database, as an event names it."""
    digest = sha256(content)
    await shop.database.pool.execute(
        "INSERT INTO attachments (workspace_id, digest, size, content) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        shop.workspace_id, digest.digest(), len(content), content,
    )  # fmt: skip
    return {
        "filename": filename, "content_type": "application/pdf", "size": len(content), "digest": digest.hexdigest(),
        "content_id": None, **fields,
    }  # fmt: skip


async def read(shop: Workshop, *event_ids: uuid.UUID) -> list[EventContent]:
    return [EventContent.of(row) for row in await shop.database.pool.fetch(lease.CONTENT, list(event_ids))]


def files_of(message: EmailMessage) -> dict[str | None, object]:
    return {p.get_filename(): p.get_payload(decode=True) for p in message.walk() if p.get_content_disposition()}


@pytest.mark.usefixtures("worker")
async def test_10_mb_arrive_over_smtp_with_their_name_and_the_image_in_the_html(shop: Workshop, inbox: Inbox) -> None:
    event_id = await shop.event(
        text="Hello.", html="<img src='cid:logo'>",
        attachments=[await attached(shop, PDF, "Rechnung März.pdf"),
                     await attached(shop, LOGO, "logo.png", content_type="image/png", content_id="logo")],
    )  # fmt: skip
    await shop.until(event_id, "sent")
    (message,) = inbox.messages
    assert files_of(message) == {"Rechnung März.pdf": PDF, "logo.png": LOGO}
    (logo,) = [part for part in message.walk() if part.get_content_type() == "image/png"]
    assert (logo["Content-ID"], logo.get_content_disposition()) == ("<logo>", "inline")
    assert len(inbox.mails[0]) > encoded_size(len(PDF))


async def test_many_big_mails_all_arrive_and_no_more_at_once_than_there_is_room_for(
    shop: Workshop, inbox: Inbox, worker: WorkerProcess
) -> None:
    content = PDF[:1_200_000]
    worker.engine._sender._weights = Weights(2 * 10_000_000)
    paper = await attached(shop, content)
    to = [f"r{number}@example.org" for number in range(12)]
    shared = await shop.event(*to, attachments=[paper])
    alone = [await shop.event(attachments=[await attached(shop, content + b"%d" % number)]) for number in range(6)]
    for event_id in (shared, *alone):
        await shop.until(event_id, "sent", within_s=30)
    assert len(inbox.mails) == 18
    assert inbox.most_at_once == 2  # 1.6 MB twice for each and 2.8 MB that some share, of 10 MB
    assert {mail["To"] for mail in inbox.messages} == {*to, "ann@example.org"}


@pytest.mark.usefixtures("worker")
async def test_small_mails_go_while_big_ones_wait(shop: Workshop, inbox: Inbox, worker: WorkerProcess) -> None:
    sender: Sender = worker.engine._sender
    big = await shop.event(attachments=[await attached(shop, PDF)], due_in_s=1000)
    (content,) = await read(shop, big)
    async with sender._weights.held(content.weight(1)._replace(own=2**30)):
        await shop.database.pool.execute("UPDATE messages SET next_try_at = clock_timestamp()")
        worker.engine.wake()
        small = await shop.event(attachments=[await attached(shop, bytes(700_000))])
        worker.engine.wake()
        await shop.until(small, "sent")
        (waiting,) = await shop.messages(big)
        assert waiting["state"] == "leased"
    await shop.until(big, "sent")


async def test_a_mail_is_weighed_for_whichever_provider_of_its_route_takes_most(
    shop: Workshop, inbox: Inbox, worker: WorkerProcess
) -> None:
    await shop.provider("SES", "ses", sandbox=False, config={"region": "eu-west-1", "access_key_id": "AKIA",
                                                             "secret_access_key": "s"})  # fmt: skip
    sender: Sender = worker.engine._sender
    weights = sender._weights = SpiedWeights()
    over_smtp = await shop.database.pool.fetchval("SELECT id FROM providers WHERE kind = 'smtp'")
    paper = await attached(shop, PDF)
    for columns in ({}, {"provider_id": over_smtp, "failover": False}):
        await shop.until(await shop.event(attachments=[paper], **columns), "sent")
    encoded = encoded_size(len(PDF))
    mail, shared = encoded + 2 * len("Hi there."), encoded + len(PDF)
    assert [(weight.own, weight.shared) for weight in weights.seen] == [(3 * mail, shared), (2 * mail, shared)]


async def test_a_mail_below_a_mebibyte_is_not_weighed_and_a_bigger_one_is(shop: Workshop) -> None:
    fits = (SMALL_BYTES // 78 - 1) * 57
    ids = [await shop.event(attachments=[await attached(shop, bytes(octets))]) for octets in (fits, fits + 200)]
    ids.append(await shop.event(text="x" * SMALL_BYTES))
    sizes = {event.id: event.is_big for event in await read(shop, *ids)}
    assert [sizes[event_id] for event_id in ids] == [False, True, True]


@pytest.mark.usefixtures("worker")
async def test_a_mail_whose_file_is_lost_does_not_leave_without_it(
    shop: Workshop, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    paper = await attached(shop, b"paper")
    event_id = await shop.event(attachments=[paper, paper | {"digest": "00" * 32, "filename": "lost.pdf"}])
    async with asyncio.timeout(5):
        while (await shop.message(event_id))["last_error"] is None:
            await asyncio.sleep(0.02)
    message = await shop.message(event_id)
    assert message["last_error"].startswith("internal_error")
    assert (message["state"], message["waiting_for"], message["attempt_count"]) == ("scheduled", "retry", 0)
    assert "'lost.pdf' is not in the database" in caplog.text
    assert inbox.mails == []
    await shop.database.pool.execute("UPDATE events SET attachments = $1 WHERE id = $2", [paper], event_id)
    await shop.until(event_id, "sent")
    assert files_of(inbox.messages[0]) == {"a.pdf": b"paper"}


async def test_who_is_under_way_shares_what_was_read_and_nothing_is_kept_after(shop: Workshop) -> None:
    event_id = await shop.event(attachments=[await attached(shop, PDF)])
    letters = Letters(shop.database)
    (event,) = await read(shop, event_id)
    completed = await asyncio.gather(*(letters.complete(event) for _ in range(5)))
    assert len(set(map(id, completed))) == 1
    assert completed[0].content.files[0].content == PDF
    assert event.content.files == ()
    del completed
    async with asyncio.timeout(2):
        while letters._complete or letters._reading:  # the loop holds finished tasks for a turn or two
            await asyncio.sleep(0.01)


async def test_small_files_of_many_recipients_are_kept_with_their_event(shop: Workshop) -> None:
    event_id = await shop.event("a@example.org", "b@example.org", attachments=[await attached(shop, LOGO)])
    letters, hand = Letters(shop.database), Hand(shop)
    holds = await hand.claimer.claim(10)
    (event,) = (await letters.of(holds)).values()
    complete = await letters.complete(event)
    assert complete.size > event.size
    await shop.database.pool.execute("DELETE FROM attachments")
    assert (await letters.of(holds))[event_id] is complete
    assert await letters.complete(complete) is complete


async def test_a_mail_that_is_sent_again_is_the_same_mail(shop: Workshop) -> None:
    event_id = await shop.event(html="<p>", attachments=[await attached(shop, LOGO, content_id="x")])
    (event,) = await read(shop, event_id)
    hold = await Hand(shop).claim()
    provider_id, mails = uuid.uuid4(), []
    for _ in range(2):
        complete = await Letters(shop.database).complete(event)
        out = outgoing(hold, complete, SENDER, provider_id)
        hold.message_id_header, hold.dated_at = out.mail.message_id, out.dated_at
        mails.append(out.mail)
    assert mails[0].content() == mails[1].content()
    assert mails[0].idempotency_key == mails[1].idempotency_key
    (file,) = mails[0].fields().attachments
    assert (file.filename, file.content_type, file.content, file.content_id) == ("a.pdf", "application/pdf", LOGO, "x")


async def test_without_html_a_service_is_given_no_image_to_show_in_it(shop: Workshop) -> None:
    event_id = await shop.event(attachments=[await attached(shop, LOGO, content_id="x")])
    (event,) = await read(shop, event_id)
    complete = await Letters(shop.database).complete(event)
    mail = outgoing(await Hand(shop).claim(), complete, SENDER, uuid.uuid4()).mail
    assert mail.fields().attachments[0].content_id is None


@pytest.mark.parametrize(
    "script",
    [
        {"RCPT": ["450 4.2.1 Later"]}, {"DOT": ["451 4.3.0 Not now"]}, {"BODY": [Act.RESET]}, {"DATA": [Act.CLOSE]},
        {"BANNER": [Act.CLOSE]},
    ],
    ids=str,
)  # fmt: skip
async def test_what_a_try_held_is_free_when_it_has_failed_and_not_when_python_looks_for_rings(
    shop: Workshop, worker: WorkerProcess, script: dict[str, list[Any]]
) -> None:
    """An error that keeps its own frame would keep the mail's bytes: a worker whose server refuses grows and grows."""
    server = await ScriptedSmtp(answers=script).start()
    await shop.smtp(server.port, "Refuses")
    letters: Letters = worker.engine._letters
    gc.collect()
    gc.disable()
    try:
        event_id = await shop.event(attachments=[await attached(shop, PDF[:2_000_000])])
        worker.engine.wake()
        await shop.until(event_id, "sent")
        assert len(await shop.attempts(event_id)) == 2
        async with asyncio.timeout(2):
            while letters._complete:
                await asyncio.sleep(0.02)
    finally:
        gc.enable()
        await server.stop()
