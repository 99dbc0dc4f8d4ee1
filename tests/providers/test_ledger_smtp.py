"""The ledger server itself: what the fault tests believe about it is true."""

import asyncio
import hashlib
import json
import smtplib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import EmailMessage
from typing import Any

import pytest

from janus_mail.providers.contract import Accepted
from janus_mail.providers.outcomes import ProviderDown, RecipientDeferred, Uncertain

from .conftest import CONTENT, Connect, Hold, mail_to


class LedgerProcess:
    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    async def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(10):
            answer: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return answer

    async def program(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        return await self.line()


Run = Callable[..., Awaitable[LedgerProcess]]


@pytest.fixture
async def ledger() -> AsyncIterator[Run]:
    processes: list[asyncio.subprocess.Process] = []

    async def run(*arguments: str) -> LedgerProcess:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.providers.ledger_smtp",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        processes.append(process)
        assert process.stdout is not None
        async with asyncio.timeout(20):
            return LedgerProcess(process, int(await process.stdout.readline()))

    yield run
    for process in processes:
        process.terminate()
        async with asyncio.timeout(10):
            assert await process.wait() == 0


async def test_each_mail_is_written_down_byte_for_byte(ledger: Run, adapter_to: Connect) -> None:
    server = await ledger()
    adapter = adapter_to(server.port)
    dotted = b"Message-ID: <7@example.com>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n und mehr\r\n\r\n.\r\n..a\r\n"
    await adapter.send(mail_to("b@example.net", "jürgen@example.net", content=dotted), Hold())
    first = await server.line()
    assert first.pop("at") > 1e9
    assert first == {
        "message_id": "<7@example.com>",
        "subject": "Grüße und mehr",
        "sender": "a@example.com",
        "recipients": ["b@example.net", "jürgen@example.net"],
        "size": len(dotted),
        "sha256": hashlib.sha256(dotted).hexdigest(),
    }
    await adapter.send(mail_to(), Hold())
    assert (await server.line())["sha256"] == hashlib.sha256(CONTENT).hexdigest()


async def test_a_client_that_is_not_ours_is_served_too(ledger: Run) -> None:
    server = await ledger()
    mail = EmailMessage()
    mail["Subject"], mail["Message-ID"], mail["From"], mail["To"] = "Hello", "<8@x.test>", "a@x.test", "b@x.test"
    mail.set_content("x\n" * 100_000 + ".\n")

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=10) as client:
            client.send_message(mail)
            client.send_message(mail)

    await asyncio.to_thread(send)
    for _ in range(2):
        assert (await server.line())["message_id"] == "<8@x.test>"


async def test_a_mail_cut_after_its_dot_is_in_the_ledger_and_marked(ledger: Run, adapter_to: Connect) -> None:
    server = await ledger("--cut-after-dot", "1")
    with pytest.raises(Uncertain):
        await adapter_to(server.port).send(mail_to(), Hold())
    assert (await server.line())["cut"] is True


async def test_a_mail_cut_within_its_body_is_not(ledger: Run, adapter_to: Connect) -> None:
    server = await ledger("--cut-mid-body", "1")
    big = b"Subject: big\r\n\r\n" + (b"x" * 998 + b"\r\n") * 20_000
    with pytest.raises(ProviderDown):
        await adapter_to(server.port).send(mail_to(content=big), Hold())
    assert (await server.program("{}"))["fired"]["cut_mid_body"] == 1


async def test_faults_strike_at_their_rate_and_the_same_way_with_the_same_seed(
    ledger: Run, adapter_to: Connect
) -> None:
    struck = []
    for _ in range(2):
        server = await ledger("--cut-after-dot", "0.2", "--seed", "7")
        adapter = adapter_to(server.port)
        results = [await asyncio.gather(adapter.send(mail_to(), Hold()), return_exceptions=True) for _ in range(100)]
        cuts = [(await server.line()).get("cut", False) for _ in range(100)]
        assert cuts == [not isinstance(result, Accepted) for [result] in results]
        struck.append(cuts)
    assert struck[0] == struck[1]
    assert 10 < sum(struck[0]) < 30


async def test_it_refuses_what_it_is_told_to_and_can_be_told_otherwise(ledger: Run, adapter_to: Connect) -> None:
    server = await ledger("--refuse", "MAIL", "451", "Not now")
    adapter = adapter_to(server.port)
    with pytest.raises(ProviderDown, match="451 Not now"):
        await adapter.send(mail_to(), Hold())
    answer = await server.program('{"refuse": {"RCPT": "451 4.7.1 Greylisted"}, "delay_250": 0.05}')
    assert answer["faults"]["refuse"] == {"RCPT": "451 4.7.1 Greylisted"}
    assert answer["fired"]["refuse"] == 1
    with pytest.raises(RecipientDeferred):
        await adapter.send(mail_to(), Hold())
    await server.program('{"refuse": {}}')
    await adapter.send(mail_to(), Hold())
    assert "cut" not in await server.line()
    assert (await server.program("{}"))["fired"]["delay_250"] == 1


async def test_a_421_is_followed_by_a_close_and_earlier_answers_are_not_lost(ledger: Run) -> None:
    server = await ledger("--refuse", "RCPT", "421", "4.3.2 Closing")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"EHLO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
    async with asyncio.timeout(10):
        said = await reader.read(-1)
    assert said.splitlines()[-2:] == [b"250 2.1.0 Ok", b"421 4.3.2 Closing"]
    writer.close()


@pytest.mark.parametrize("step", ["BANNER", "EHLO", "MAIL", "RCPT", "DATA", "DOT"])
async def test_it_hangs_where_it_is_told_to_and_takes_the_mail_only_at_the_dot(
    step: str, ledger: Run, adapter_to: Connect
) -> None:
    server = await ledger()
    await server.program(json.dumps({"hang": step}))
    adapter = adapter_to(server.port)
    sending = asyncio.create_task(adapter.send(mail_to(), Hold()))
    if step == "DOT":
        assert (await server.line())["hung"] is True
    else:
        while not (await server.program("{}"))["fired"].get("hang"):
            await asyncio.sleep(0.01)
    assert not sending.done()
    sending.cancel()
    await asyncio.wait([sending])
    await server.program('{"hang": null}')
    await adapter.send(mail_to(), Hold())
    assert "hung" not in await server.line()


@pytest.mark.parametrize(
    "line",
    ["nonsense", "[]", '{"cut": 1}', '{"cut_after_dot": 2}', '{"hang": "BODY"}', '{"refuse": {"MAIL": "250 Ok"}}'],
)
async def test_a_wrong_setting_is_said_and_changes_nothing(line: str, ledger: Run) -> None:
    server = await ledger("--delay-250", "0.5")
    assert set(await server.program(line)) == {"error"}
    assert (await server.program("{}"))["faults"] == {
        "cut_after_dot": 0,
        "cut_mid_body": 0,
        "delay_250": 0.5,
        "refuse": {},
        "hang": None,
    }
