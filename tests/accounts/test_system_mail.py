"""Mail of our own: kept sealed, sent at least once through whichever named provider takes it, never in a log."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import NamedTuple, cast

import pytest

from janus_mail.availability.allowances import Allowances
from janus_mail.availability.provider_book import ProviderBook
from janus_mail.notices.queries import CLAIM_MAIL
from janus_mail.notices.system_mail import SystemMail, can_mail, queue_mail, worded
from janus_mail.notices.system_mail_check import check_system_mail
from janus_mail.notices.system_mail_work import SystemMailWork
from janus_mail.providers.timeouts import Timeouts
from janus_mail.routing.create import create_provider
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox
from janus_mail.worker import opened
from tests.accounts.mailing import BOX
from tests.providers.scripted_smtp import Act, Answer, ScriptedSmtp

MAIL = worded(
    "mara@example.org", "A link for {{you}}", ["Follow it, <b>Mara</b> {{name}}:", "Or do not."],
    button=("Open", "https://janus.example/reset/s3cret"),
)  # fmt: skip


class Post(NamedTuple):
    """What `queue_mail` asks for."""

    settings: Settings
    secrets: SecretBox


class Office:
    """The providers of the workspace `default`, servers behind them, and a worker that sends."""

    def __init__(self, database: Database, settings: Settings, workspace_id: uuid.UUID) -> None:
        self.database, self.settings, self.workspace_id = database, settings, workspace_id
        self.servers: list[ScriptedSmtp] = []

    async def relay(self, name: str, **always: Answer) -> ScriptedSmtp:
        server = await ScriptedSmtp(always=always).start()
        self.servers.append(server)
        config = {"host": "127.0.0.1", "port": server.port, "security": "none"}
        await create_provider(self.database, BOX, self.workspace_id, kind="smtp", name=name, config=config)
        return server

    def named(self, names: str | None, **more: str) -> Post:
        return Post(self.settings.model_copy(update={"system_provider": names, **more}), BOX)

    async def queue(self, post: Post, mail: SystemMail = MAIL, *, lasts_s: float = 600) -> None:
        async with self.database.transaction() as connection:
            await queue_mail(connection, post, mail, lasts_s=lasts_s)

    @asynccontextmanager
    async def worker(self, post: Post) -> AsyncIterator[SystemMailWork]:
        book = ProviderBook(self.database, BOX, Timeouts(), allowed=Allowances(private_hosts=True))
        try:
            yield SystemMailWork(post.settings, self.database, BOX, book)
        finally:
            await book.close()

    async def sends(self, post: Post) -> bool:
        async with self.worker(post) as worker:
            return await worker.work()

    async def left(self) -> int:
        return cast("int", await self.database.pool.fetchval("SELECT count(*) FROM system_mails"))

    async def pass_time(self) -> None:
        await self.database.pool.execute("UPDATE system_mails SET next_try_at = now()")


@pytest.fixture
async def office(database: Database, settings: Settings, workspace_id: uuid.UUID) -> AsyncIterator[Office]:
    office = Office(database, settings, workspace_id)
    yield office
    for server in office.servers:
        await server.stop()


def read(server: ScriptedSmtp) -> EmailMessage:
    [mail] = server.mails
    return message_from_bytes(mail.content, policy=default)


async def test_it_leaves_as_a_whole_mail_that_no_machine_answers(office: Office) -> None:
    server, post = await office.relay("Post"), office.named("post")
    await office.queue(post)
    assert await office.sends(post)
    mail = read(server)
    assert (server.mails[0].sender, server.mails[0].recipients) == ("janus@example.com", ["mara@example.org"])
    assert (mail["From"], mail["To"]) == ("Janus <janus@example.com>", "mara@example.org")
    assert mail["Subject"] == "A link for { {you}}"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@example.com>")
    text, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    assert "Follow it, <b>Mara</b> { {name}}:" in text.get_content()
    assert "https://janus.example/reset/s3cret" in text.get_content()
    assert "&lt;b&gt;Mara&lt;/b&gt;" in html.get_content()
    assert 'href="https://janus.example/reset/s3cret"' in html.get_content()
    assert await office.left() == 0
    assert not await office.sends(post)


async def test_what_waits_is_sealed(office: Office) -> None:
    await office.queue(office.named("post"))
    row = await office.database.pool.fetchrow("SELECT m::text AS said, sealed FROM system_mails m")
    assert row is not None
    assert b"mara" not in row["sealed"]
    assert "s3cret" not in row["said"]


async def test_nothing_is_sent_of_what_was_rolled_back(office: Office) -> None:
    server, post = await office.relay("Post"), office.named("post")
    async with office.database.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await queue_mail(connection, post, MAIL, lasts_s=60)
        await transaction.rollback()
    assert not await office.sends(post)
    assert server.mails == []


@pytest.mark.parametrize(
    "answers",
    [
        {"BANNER": "421 4.3.2 Closed"},
        {"MAIL": "451 4.3.0 Not now"},
        {"RCPT": "451 4.7.1 Greylisted"},
        {"DOT": "554 5.7.1 Not from you"},
        {"DOT": Act.CLOSE},
    ],
    ids=["down", "not-now", "greylisted", "policy", "cut-after-the-dot"],
)
async def test_the_next_provider_is_asked_at_once_when_one_fails(office: Office, answers: dict[str, Answer]) -> None:
    first, second = await office.relay("First", **answers), await office.relay("Second")
    post = office.named("First, Second")
    await office.queue(post)
    await office.sends(post)
    assert first.conversations
    assert read(second)["To"] == "mara@example.org"
    assert await office.left() == 0


async def test_providers_are_asked_in_the_order_of_the_setting_by_name_or_id(office: Office) -> None:
    first, second = await office.relay("First"), await office.relay("Second")
    second_id = await office.database.pool.fetchval("SELECT id FROM providers WHERE name = 'Second'")
    post = office.named(f" {second_id} ,first")
    await office.queue(post)
    await office.sends(post)
    assert (len(first.mails), len(second.mails)) == (0, 1)


async def test_when_all_fail_it_is_tried_again_later_and_in_the_end_dropped(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    server, post = await office.relay("Post", MAIL="451 4.3.0 Not now"), office.named("Post")
    await office.queue(post)
    assert await office.sends(post)
    assert not await office.sends(post)  # not at once
    waits = await office.database.pool.fetchval(
        "SELECT extract(epoch FROM next_try_at - clock_timestamp()) FROM system_mails"
    )
    assert 3 < waits <= 5
    server.always.clear()
    await office.pass_time()
    assert await office.sends(post)
    assert len(server.mails) == 1

    await office.queue(post, lasts_s=-1)
    assert not await office.sends(post)
    assert await office.left() == 0
    assert "never left" in caplog.text


async def test_a_recipient_that_is_refused_for_good_is_not_asked_for_again(office: Office) -> None:
    first, second = await office.relay("First", RCPT="550 5.1.1 No such mailbox"), await office.relay("Second")
    post = office.named("First,Second")
    await office.queue(post)
    await office.sends(post)
    assert (second.conversations, await office.left()) == ([], 0)
    assert first.mails == []


async def test_what_a_killed_worker_had_taken_is_sent_by_the_next(office: Office) -> None:
    """A cancelled task leaves behind what a killed process does: the row, put off."""
    server, post = await office.relay("Post", DOT=Act.SILENCE), office.named("Post")
    await office.queue(post)
    async with office.worker(post) as worker:
        working = asyncio.create_task(worker.work())
        await server.until(lambda: any(talk.step == "DOT" for talk in server.conversations))
        assert not await office.sends(post)  # nobody else takes it meanwhile
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert await office.left() == 1
    server.always.clear()
    await office.pass_time()
    assert await office.sends(post)
    assert len({mail.content for mail in server.mails}) == 1  # twice at most, and then the very same mail
    assert await office.left() == 0


async def test_several_workers_send_each_mail_once(office: Office) -> None:
    server, post = await office.relay("Post"), office.named("Post")
    for n in range(12):
        await office.queue(post, worded(f"p{n}@example.org", "Hello", ["Hello."]))

    async def work() -> None:
        async with office.worker(post) as worker:
            while await worker.work():
                pass

    await asyncio.gather(work(), work(), work())
    assert sorted(mail.recipients[0] for mail in server.mails) == sorted(f"p{n}@example.org" for n in range(12))


async def test_what_one_worker_is_taking_the_others_pass_by(office: Office) -> None:
    server, post = await office.relay("Post"), office.named("Post")
    for n in range(2):
        await office.queue(post, worded(f"p{n}@example.org", "Hello", ["Hello."]))
    async with office.database.transaction() as connection:
        assert await connection.fetchrow(CLAIM_MAIL, 60.0) is not None
        async with asyncio.timeout(5):
            assert await office.sends(post)
            assert not await office.sends(post)
    assert [mail.recipients for mail in server.mails] == [["p1@example.org"]]


async def test_a_worker_process_sends_by_itself_and_one_that_hangs_does_not_keep_the_others(office: Office) -> None:
    server, post = await office.relay("Post"), office.named("Post")
    server.script({"BANNER": [Act.SILENCE]})
    for _ in range(2):
        await office.queue(post)
    async with office.worker(post) as worker:
        working = asyncio.create_task(worker.run())
        await server.until(lambda: len(server.mails) == 1)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert len(server.conversations) == 2


async def test_every_worker_process_has_a_task_that_sends(office: Office) -> None:
    server, post = await office.relay("Post"), office.named("Post")
    await office.queue(post)
    stop = asyncio.Event()
    async with opened(post.settings, office.database, uuid.uuid4()) as worker:
        working = asyncio.create_task(worker.until(stop))
        await server.until(lambda: len(server.mails) == 1)
        stop.set()
        await working


async def test_no_address_and_no_link_is_in_the_log(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await office.relay("Post", RCPT="451 4.7.1 <mara@example.org> is greylisted")
    post = office.named("Post,Nowhere", env="production")
    await office.queue(post)
    await office.sends(post)
    row = await office.database.pool.fetchrow("SELECT last_error FROM system_mails")
    assert row is not None
    for said in (caplog.text, row["last_error"], repr(MAIL)):
        assert "mara" not in said
        assert "s3cret" not in said
    assert "did not leave" in caplog.text


async def test_without_a_provider_it_is_logged_in_development_alone(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    await office.queue(office.named(None))
    assert "development" in caplog.text
    assert "https://janus.example/reset/s3cret" in caplog.text
    caplog.clear()
    await office.queue(office.named(None, env="production"))
    assert "could not be sent" in caplog.text
    assert "s3cret" not in caplog.text
    assert "mara" not in caplog.text
    assert await office.left() == 0


async def test_a_sandbox_says_in_development_what_it_caught(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    await create_provider(
        office.database, BOX, office.workspace_id, kind="smtp", name="Sandbox", sandbox=True, config={}
    )
    for env, shown in (("development", True), ("production", False)):
        caplog.clear()
        post = office.named("Sandbox", env=env)
        await office.queue(post)
        assert await office.sends(post)
        assert ("s3cret" in caplog.text) is shown
        assert "andbox" in caplog.text
    assert await office.left() == 0


async def test_a_name_that_is_nobodys_is_said_once_and_by_the_check(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    await office.relay("Post")
    post = office.named("Post,Pots")
    async with office.worker(post) as worker:
        for _ in range(3):
            await worker.work()
    assert caplog.text.count("no provider Pots") == 1
    said = await check_system_mail(post.settings)
    assert not said.good
    assert "no provider Pots" in said.text
    assert (await check_system_mail(office.named("post").settings)).good
    assert "is not set" in (await check_system_mail(office.named(None).settings)).text


@pytest.mark.parametrize(
    ("names", "can"), [(None, False), ("", False), (" , ", False), ("post", True), ("a,b", True)],
    ids=["unset", "empty", "commas", "one", "two"],
)  # fmt: skip
def test_mail_goes_out_where_a_provider_is_named(settings: Settings, names: str | None, can: bool) -> None:
    assert can_mail(settings.model_copy(update={"system_provider": names})) is can


def test_nothing_that_a_person_wrote_makes_a_line_of_a_header() -> None:
    mail = worded("mara@example.org", "You are in «x\r\nBcc: y@z.example»", ["a\nb\u2028c"])
    assert "\n" not in mail.subject
    assert "a b c" in mail.text
