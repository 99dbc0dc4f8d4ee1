"""A workspace of one test on the shared stand: it accepts over HTTP, remembers what was accepted, and is checked."""

import asyncio
import itertools
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from janus_mail.keys.key import create_key
from janus_mail.models.states import FINAL
from janus_mail.routing.create import create_provider
from janus_mail.routing.seed import seed_workspace
from janus_mail.storage.secrets import SecretBox
from tests.faults.invariants import Expectations, Report, check
from tests.faults.ledger import Entry, Ledger, entries_to
from tests.faults.proxy import Proxy
from tests.faults.stand import Stand, unique_name
from tests.providers.sendgrid_rules import KEY

_AGAIN_S = 0.2


@dataclass
class Workspace:
    """Each mail it accepts has a recipient of its own, at the domain `domain`."""

    stand: Stand
    id: uuid.UUID
    domain: str
    headers: dict[str, str]
    accepted: dict[str, uuid.UUID] = field(default_factory=dict)
    proxies: list[Proxy] = field(default_factory=list)
    ledgers: list[Ledger] = field(default_factory=list)  # of its own, beside the stand's
    refused: set[str] = field(default_factory=set)
    unavailable: list[httpx.Response] = field(default_factory=list)  # each 503 that a request was answered first
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    @classmethod
    async def make(cls, stand: Stand) -> "Workspace":
        name = unique_name()
        workspace_id = await seed_workspace(stand.database, name, from_email=f"janus@{name}.example", from_name="Janus")
        key = await create_key(stand.database, workspace=name, name="faults")
        return cls(stand, workspace_id, f"{name}.example", {"Authorization": f"Bearer {key}"})

    async def provider(self, port: int, name: str = "smtp", **config: Any) -> uuid.UUID:
        """An SMTP provider on loopback at the end of the route."""
        config = {"host": "127.0.0.1", "port": port, "security": "none", **config}
        return await self._provider("smtp", name, config)

    async def http_provider(self, port: int, name: str = "http") -> uuid.UUID:
        """A SendGrid on loopback at the end of the route."""
        return await self._provider("sendgrid", name, {"api_key": KEY, "endpoint": f"http://127.0.0.1:{port}"})

    async def _provider(self, kind: str, name: str, config: dict[str, Any]) -> uuid.UUID:
        secrets = SecretBox([self.stand.environment["JANUS_SECRET_KEYS"]])
        return await create_provider(self.stand.database, secrets, self.id, kind=kind, name=name, config=config)

    # Accepting

    async def accept(
        self, many: int = 1, *, due_in_s: float = 0, due_at: datetime | None = None, per_event: int = 1, **fields: Any
    ) -> list[str]:
        """So many mails through the HTTP API, in batches; their recipients. A 503 or a broken line is tried again,
        as a caller would, under the same Idempotency-Key."""
        at = due_at or datetime.now(UTC) + timedelta(seconds=due_in_s)
        recipients = [f"m{next(self.numbers)}@{self.domain}" for _ in range(many)]
        groups = [recipients[start : start + per_event] for start in range(0, many, per_event)]
        for start in range(0, len(groups), 1000):
            batch = groups[start : start + 1000]
            events = [
                {"email_subject": f"To {group[0]}", "email_content": "Hello.\n" * 40,
                 "expected_sent_at": at.isoformat(), "recipients": group, **fields}
                for group in batch
            ]  # fmt: skip
            answer = await self.post("/api/events/batch", {"events": events})
            for group, item in zip(batch, answer.json()["data"], strict=True):
                self.accepted |= dict.fromkeys(group, uuid.UUID(item["id"]))
        return recipients

    async def post(self, path: str, body: Any, *, within_s: float = 90) -> httpx.Response:
        """Patiently; raises for any other answer than success."""
        headers = {**self.headers, "Idempotency-Key": uuid.uuid4().hex}
        async with asyncio.timeout(within_s):
            while True:
                try:
                    answer = await self.stand.client.post(path, json=body, headers=headers)
                except httpx.TransportError:
                    await asyncio.sleep(_AGAIN_S)
                    continue
                if answer.status_code == 503:
                    self.unavailable.append(answer)
                elif not (answer.status_code == 409 and answer.json()["code"] == "idempotency_key_in_use"):
                    assert answer.is_success, answer.text
                    return answer
                await asyncio.sleep(_AGAIN_S)

    async def cancel(self, recipient: str) -> bool:
        """Whether its mail could be called back."""
        path = f"/api/events/{self.accepted[recipient]}"
        answer = await self.stand.client.delete(path, headers=self.headers)
        assert answer.is_success or answer.status_code == 409, answer.text
        return answer.is_success and answer.json()["event"]["counts"].get("canceled", 0) > 0

    async def change(self, recipient: str, subject: str) -> bool:
        """Whether it was in time."""
        path = f"/api/events/{self.accepted[recipient]}"
        headers = {**self.headers, "If-Match": "1"}
        answer = await self.stand.client.patch(path, json={"email_subject": subject}, headers=headers)
        assert answer.is_success or answer.status_code == 409, answer.text
        return answer.is_success

    # Looking

    def entries(self) -> list[Entry]:
        """What has left so far."""
        return entries_to((self.stand.smtp, self.stand.http, *self.ledgers), self.domain)

    async def states(self) -> dict[str, str]:
        """The state of each message, by recipient."""
        rows = await self.stand.database.pool.fetch(
            "SELECT recipient, state FROM messages WHERE workspace_id = $1", self.id
        )
        return {row["recipient"]: row["state"] for row in rows}

    async def has(self, *states: str, within_s: float = 10) -> None:
        """Wait until a message is in one of these states."""
        async with asyncio.timeout(within_s):
            while not await self.stand.ask(
                "SELECT exists(SELECT FROM messages WHERE workspace_id = $1 AND state = ANY($2))", self.id, states
            ):
                await asyncio.sleep(0.01)

    async def tried(self, many: int, within_s: float = 15) -> None:
        """Wait until so many tries have ended without success."""
        async with asyncio.timeout(within_s):
            while many > await self.stand.ask(
                "SELECT count(*) FROM attempts WHERE workspace_id = $1 AND outcome <> 'accepted'", self.id
            ):
                await asyncio.sleep(0.02)

    async def has_left(self, many: int = 1, within_s: float = 15) -> None:
        """Wait until so many copies are in the ledgers."""
        async with asyncio.timeout(within_s):
            while len(self.entries()) < many:
                await asyncio.sleep(0.01)

    async def all_final(self, within_s: float = 20) -> None:
        """Wait until no message is on its way any more."""
        try:
            async with asyncio.timeout(within_s):
                while await self.stand.ask(
                    "SELECT exists(SELECT FROM messages WHERE workspace_id = $1 AND state <> ALL($2))", self.id, FINAL
                ):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pass  # `check` says which, and how far they got

    async def settled(self, *, within_s: float = 20) -> Report:
        """All is final, and every invariant holds; else an `AssertionError` that says which message broke which."""
        await self.all_final(within_s)
        return (await self.check()).demand()

    async def check(self) -> Report:
        lost = {worker.id: worker.concurrency for worker in self.stand.workers if worker.killed}
        entries = self.entries()
        struck = {recipient for proxy in self.proxies for recipient in proxy.doubtful}
        struck |= {entry.recipient for entry in entries if entry.cut}
        expected = Expectations(self.accepted, struck, lost, self.refused)
        return await check(self.stand.database, [self.id], entries, expected)

    async def lateness_s(self, recipients: Collection[str]) -> list[float]:
        """From due to in the ledger, each, in seconds, sorted."""
        rows = await self.stand.database.pool.fetch(
            "SELECT recipient, due_at FROM messages WHERE workspace_id = $1", self.id
        )
        due = {row["recipient"]: row["due_at"].timestamp() for row in rows}
        return sorted(entry.at - due[entry.recipient] for entry in self.entries() if entry.recipient in recipients)
