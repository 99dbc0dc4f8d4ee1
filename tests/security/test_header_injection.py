"""Whatever a caller writes into whatever field: the mail has the headers that it should have, each once."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses
from typing import Any, Final
from urllib.parse import quote

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from janus_mail.models.states import FINAL
from janus_mail.storage.database import Database
from tests.pages.conftest import Visitor
from tests.security.asking import ask
from tests.security.stored import places
from tests.security.surfaces import Field, Operation

EVE: Final = "eve@example.net"
TRICKS: Final[Mapping[str, str]] = {
    "CRLF": f"x\r\nBcc: {EVE}",
    "LINE SEPARATOR": f"x\u2028Bcc: {EVE}",
    "encoded as Q": f"=?utf-8?q?x=0D=0ABcc:_{EVE}?=",
    "LF": f"x\nBcc: {EVE}",
    "CR": f"x\rBcc: {EVE}",
    "at the end": "x\r\n",
    "folded": f"x\r\n Bcc: {EVE}",
    "body": "x\r\n\r\nAnother body",
    "NUL": f"x\0Bcc: {EVE}",
    "VT": f"x\vBcc: {EVE}",
    "FF": f"x\fBcc: {EVE}",
    "NEL": f"x\x85Bcc: {EVE}",
    "PARAGRAPH SEPARATOR": f"x\u2029Bcc: {EVE}",
    "encoded as B": "=?utf-8?b?eA0KQmNjOiBldmVAZXhhbXBsZS5uZXQ=?=",
    "percent": f"x%0d%0aBcc:%20{EVE}",
    "closed": f'x">\r\nBcc: {EVE}',
    "second": f"ann@example.net, {EVE}",
    "parameter": 'x"; name="y',
}
FEW: Final = tuple(TRICKS)[:3]  # where the same field was tried with all of them elsewhere
_ALWAYS: Final = ("date", "from", "to", "subject", "message-id", "mime-version", "content-type")
_OF_PARTS: Final = {"content-type", "content-transfer-encoding", "content-disposition", "content-id"}
_BREAKS: Final = set("\r\n\0\x85\u2028\u2029")
_DUE: Final = "m.due_at < clock_timestamp()"
_WAITING: Final = f"SELECT 1 FROM messages m WHERE {_DUE} AND NOT m.state = ANY($1)"

pytestmark = pytest.mark.usefixtures("sandboxes")


@dataclass(slots=True)
class Caller:
    """Sends bodies, and has an event at hand for each that changes one."""

    api: httpx.AsyncClient
    key: str
    ids: dict[str, str]
    waiting: Iterator[str]
    names: int = 0
    faults: list[str] = field(default_factory=list)

    async def send(self, operation: Operation, body: Any) -> httpx.Response:
        if "event_id" in operation.surface.parameters:
            self.ids["event_id"] = next(self.waiting)
        address = operation.surface.at(self.ids)
        if operation.is_json:
            return await self.api.request(operation.surface.method, address, json=body, headers={"If-Match": '"1"'})
        return await self.api.request(operation.surface.method, address, data={**body, "TOKEN": self.key})

    async def attack(self, operation: Operation, base: Any, text: Field, trick: str) -> None:
        answer = await self.send(operation, text.put(self.named_anew(base), TRICKS[trick]))
        if answer.status_code >= 500:
            self.faults.append(f"{operation.surface}, {text}, {trick}: {answer.status_code} {answer.text[:200]}")

    def named_anew(self, body: Any) -> Any:
        self.names += 1
        return body | {"name": f"Relay {self.names}"} if "name" in body else body


@pytest.fixture
async def caller(api: httpx.AsyncClient, api_key: str, database: Database) -> Caller:
    """With a route of sandboxes, and events that wait."""
    one = {
        "email_subject": "Later", "email_content": "Hello", "expected_sent_at": "2029-01-01T00:00:00Z",
        "recipients": "ann@example.net",
    }  # fmt: skip
    made = (await api.post("/api/events/batch", json={"events": [one] * 500})).json()["data"]
    provider_id = await database.pool.fetchval("SELECT id FROM providers WHERE kind = 'smtp'")
    ids = await places(database.pool) | {"provider_id": str(provider_id)}
    return Caller(api, api_key, ids, (event["id"] for event in made))


async def test_no_field_of_any_body_adds_a_header_or_a_recipient(
    caller: Caller, every_operation: list[Operation], database: Database, worker: object
) -> None:
    tried: set[tuple[str | int, ...]] = set()
    for operation in every_operation:
        here: set[Field] = set()
        for base in _bases(operation.body):
            answer = await caller.send(operation, caller.named_anew(base))
            if answer.status_code == 400 and "order" not in base:
                caller.faults.append(f"{operation.surface} does not take {base}: {answer.text}")
            for text in operation.fields:
                if text in here or not _is_in(base, text):
                    continue
                here.add(text)
                known_as = text.steps[2:] if text.steps[0] == "events" else text.steps
                tricks = FEW if known_as in tried else TRICKS
                tried.add(known_as)
                await asyncio.gather(*(caller.attack(operation, base, text, trick) for trick in tricks))
    providers = [str(row["id"]) for row in await database.pool.fetch("SELECT id FROM providers")]
    for provider_id in providers:
        answer = await caller.api.post(f"/api/providers/{provider_id}/test", json={"to": "ann@example.net"})
        if answer.status_code != 200 or answer.json()["outcome"] != "accepted":
            caller.faults.append(f"the test of a provider that was taken: {answer.status_code} {answer.text}")
    assert len(tried) > 30
    assert "\n".join(caller.faults + await _faults_of_what_left(database, at_least=100)) == ""


async def test_no_field_of_the_form_adds_a_header_or_a_recipient(
    visitor: Visitor, database: Database, worker: object
) -> None:
    page = await visitor.get("/add")
    base = page.form("/add").values() | {
        "email_subject": "Hello", "email_content": "Hello", "recipients": "ann@example.net", "when": "now",
    }  # fmt: skip

    async def sent(name: str, trick: str) -> int:
        typed = {**base, name: base[name] + TRICKS[trick], "ticket": f"{name} {trick}"}
        answer = await visitor.client.post("/add", data=typed, follow_redirects=False)
        assert answer.status_code in (303, 400), (name, trick, answer.text[-500:])
        return answer.status_code

    tried = [(name, trick) for name in base.keys() - {"csrf_token", "ticket"} for trick in (*FEW[:2], "NUL")]
    assert (await asyncio.gather(*(sent(*one) for one in tried))).count(400) > 20
    assert "\n".join(await _faults_of_what_left(database, at_least=10)) == ""


async def test_what_stands_in_an_address_or_a_header_adds_no_header_to_the_answer(
    app: FastAPI, api_key: str, every_operation: list[Operation], database: Database
) -> None:
    """`ask` looks at every answer's headers."""
    ids = await places(database.pool)
    credentials = (b"authorization", f"Bearer {api_key}".encode())
    seen: set[str] = set()
    for number, operation in enumerate(every_operation):
        target, method = operation.surface.at(ids), operation.surface.method
        for place, name in (*operation.parameters, ("header", "X-Request-ID"), ("query", "unheard-of")):
            # All of them where a header is first read, and later one after the other.
            tricks = list(TRICKS) if place == "header" and name not in seen else [list(TRICKS)[number % len(TRICKS)]]
            seen.add(name)
            for trick in tricks:
                headers = [credentials, (b"content-type", b"application/json")]
                if place == "header":
                    headers.append((name.lower().encode(), TRICKS[trick].encode()))
                asked = f"{target}?{name}={quote(TRICKS[trick])}" if place == "query" else target
                answer = await ask(app, method, asked, headers=headers, body=b"{}")
                assert answer.status < 500, (operation.surface, name, trick)
    assert {"prefer", "Idempotency-Key", "X-Request-ID", "cursor"} <= seen


def _bases(body: Any) -> Iterator[Any]:
    """A mail to each, and one for all, which alone may have copies."""
    if body is None:
        return
    one = body["events"][0] if "events" in body else body
    if "send_as" not in one:
        yield body
        return
    alone = {name: value for name, value in one.items() if name not in ("cc", "bcc")} | {"email_subject": "Hi {{Any}}"}
    for event in (alone, one | {"send_as": "group"}):
        yield {"events": [event]} if "events" in body else event


def _is_in(body: Any, text: Field) -> bool:
    for step in text.steps:
        if step in ("*", "?"):
            return True
        if isinstance(body, dict) and step not in body:
            return False
        body = body[step]
    return True


async def _faults_of_what_left(database: Database, *, at_least: int) -> list[str]:
    """Everything that was accepted and is due leaves, as what was accepted."""
    faults = []
    for _ in range(200):
        if not await database.pool.fetchval(f"{_WAITING} LIMIT 1", list(FINAL)):
            break
        await asyncio.sleep(0.05)
    rows = await database.pool.fetch(
        f"""SELECT e.*, m.state, m.last_error, m.recipient, c.content, c.recipients FROM messages m
            JOIN events e ON e.id = m.event_id LEFT JOIN captured_mails c ON c.message_id = m.id WHERE {_DUE}"""
    )
    assert len(rows) >= at_least
    for row in rows:
        if row["state"] != "sent":
            faults.append(f"accepted, and {row['state']}: {row['subject']!r} {row['from_name']!r} {row['last_error']}")
        else:
            faults += [f"{fault} in {row['content']!r}" for fault in _faults_of_mail(row)]
    return faults


def _faults_of_mail(row: asyncpg.Record) -> Iterator[str]:
    mail = message_from_bytes(row["content"])
    group = row["group_recipients"]
    wanted = Counter([*_ALWAYS, *(name.lower() for name in row["headers"])])
    wanted.update(["reply-to"] if row["reply_to"] else [])
    wanted.update(["cc"] if group and group["cc"] else [])
    wanted.update([] if mail.is_multipart() else ["content-transfer-encoding"])
    names = Counter(name.lower() for name in mail)
    if names != wanted:
        yield f"the headers {sorted((names - wanted) + (wanted - names))}"
    if EVE in row["recipients"] or EVE in _addresses(mail):
        yield "another recipient"
    if any(set(str(make_header(decode_header(value)))) & _BREAKS for value in mail.values() if "=?" in value):
        yield "a line break in what a header says"
    parts = list(mail.walk())
    if any(not {name.lower() for name in part} <= _OF_PARTS for part in parts[1:]):
        yield "a header of a part"
    if any(part.defects for part in parts):
        yield "a defect"
    if sum(not part.is_multipart() for part in parts) != 1 + bool(row["html"]) + len(row["attachments"]):
        yield "another part"


def _addresses(mail: Message) -> list[str]:
    fields = [mail[name] for name in ("From", "To", "Cc", "Reply-To") if name in mail]
    return [address for _, address in getaddresses(fields)]
