"""A workspace with one of everything that the pages can show, after the mock-ups of the design."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from uuid_utils.compat import uuid7

from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox

HTML = """<div style="padding:22px 24px;font:15px/1.55 Georgia,serif;color:#222">
<p style="font:600 13px Helvetica,Arial,sans-serif;letter-spacing:.04em">NORTHWIND TOOLS</p>
<p>Dear {{name}},</p><p>your invoice for March is ready: <b>€ 248.60</b>, due on 26 March.</p>
<p><a href="https://northwind.example/" style="display:inline-block;padding:9px 16px;background:#2f4a3a;color:#fff;
text-decoration:none;font:600 14px Helvetica,Arial,sans-serif;border-radius:4px">See the invoice</a></p>
<p style="color:#666;font-size:13px">Questions? Just answer this mail.</p></div>
"""
TEXT = "Dear {{name}},\n\nyour invoice for March is ready: € 248.60, due on 26 March.\n\nNorthwind Tools\n"


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt: at which provider, how it ended, how long after the message was due it began, how long it took."""

    provider: str
    outcome: str | None
    code: str = ""
    response: str = ""
    after_s: float = 0.04
    took_ms: int = 118


@dataclass(frozen=True, slots=True)
class Told:
    """What a service told of a mail afterwards, so long after the message was due."""

    type: str
    reason: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    after_s: float = 4.5


@dataclass(frozen=True, slots=True)
class Mail:
    """One message in a state, with its attempts."""

    recipient: str
    state: str = "scheduled"
    tries: tuple[Tried, ...] = ()
    name: str | None = None
    waiting_for: str | None = None
    feedback: tuple[Told, ...] = ()


@dataclass(slots=True)
class Gallery:
    """What was made, by name."""

    database: Database
    secrets: SecretBox
    workspace_id: uuid.UUID
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    providers: dict[str, uuid.UUID] = field(default_factory=dict)
    events: dict[str, uuid.UUID] = field(default_factory=dict)

    async def provider(self, name: str, kind: str, **columns: Any) -> None:
        given = {
            "id": uuid7(), "workspace_id": self.workspace_id, "kind": kind, "name": name, "sandbox": True,
            "position": len(self.providers) + 1, "config": self.secrets.seal(columns.pop("config", {})), **columns,
        }  # fmt: skip
        await self._insert("providers", [given])
        self.providers[name] = given["id"]

    async def worker(self) -> None:
        await self._insert("workers", [{"id": uuid7(), "host": "here", "pid": 1}])

    async def event(self, subject: str, mails: Sequence[Mail], *, due_in_s: float, status: str, **columns: Any) -> None:
        event_id, due_at = uuid7(), self.now + timedelta(seconds=due_in_s)
        counts: dict[str, int] = {}
        for mail in mails:
            counts[mail.state] = counts.get(mail.state, 0) + 1
        left = [_left_at(mail, due_at) for mail in mails if mail.state == "sent"]
        given = {
            "id": event_id, "workspace_id": self.workspace_id, "subject": subject, "text": TEXT,
            "expected_sent_at": due_at, "priority": 1, "failover": True, "on_uncertain": "resend",
            "first_recipients": [{"email": mail.recipient, "name": mail.name} for mail in mails[:20]],
            "recipients_count": len(mails), "counts": counts, "status": status, "created_by": "API key billing-web",
            "exactly_sent_at": min(left, default=None), "created_at": min(due_at, self.now) - timedelta(hours=5),
            "error_message": next((e for mail in reversed(mails) if (e := _error(mail))), None), **columns,
        }  # fmt: skip
        await self._insert("events", [given])
        self.events[subject] = event_id
        messages = [self._message(event_id, mail, due_at) for mail in mails]
        await self._insert("messages", messages)
        await self._insert(
            "attempts",
            [
                row
                for mail, message in zip(mails, messages, strict=True)
                for row in self._attempts(mail, message["id"], due_at)
            ],
        )
        await self._insert(
            "feedback_events",
            [
                {
                    "id": uuid7(), "workspace_id": self.workspace_id, "provider_id": message["provider_id"],
                    "message_id": message["id"], "key": str(uuid7()), "type": told.type, "recipient": mail.recipient,
                    "reason": told.reason, "details": dict(told.details),
                    "occurred_at": due_at + timedelta(seconds=told.after_s),
                }
                for mail, message in zip(mails, messages, strict=True)
                for told in mail.feedback
            ],
        )  # fmt: skip

    async def caught(self, subject: str, recipient: str, ago_s: float, html: str | None = HTML) -> None:
        """A mail in the mailbox, of a message that was made before it."""
        message_id = await self.database.pool.fetchval(
            "SELECT m.id FROM messages m JOIN events e ON e.id = m.event_id WHERE e.workspace_id = $1 LIMIT 1",
            self.workspace_id,
        )
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "Northwind Tools <orders@northwind.example>", recipient, subject
        mail.set_content(TEXT.replace("{{name}}", "Noor"))
        if html is not None:
            mail.add_alternative(html.replace("{{name}}", "Noor"), subtype="html")
        await self._insert(
            "captured_mails",
            [{
                "id": uuid7(), "workspace_id": self.workspace_id, "message_id": message_id, "attempt_id": uuid7(),
                "provider_id": next(iter(self.providers.values())), "sender": "orders@northwind.example",
                "recipients": [recipient], "subject": subject, "content": mail.as_bytes(policy=SMTP),
                "captured_at": self.now - timedelta(seconds=ago_s),
            }],
        )  # fmt: skip

    async def incident(
        self, provider: str, state: str, cause: str, reason: str, *, ago_s: float, for_s: float | None = None,
        domain: str = "", actor: str | None = None,
    ) -> None:  # fmt: skip
        """A change of a provider's circuit, which is as it says from then on."""
        scope = (self.providers[provider], domain)
        before = await self.database.pool.fetchrow(
            "SELECT number, since, state FROM circuits WHERE provider_id = $1 AND sender_domain = $2", *scope
        )
        at = self.now - timedelta(seconds=ago_s)
        change = {
            "workspace_id": self.workspace_id, "provider_id": scope[0], "sender_domain": domain,
            "number": before["number"] + 1 if before else 1, "state": state, "reason": reason,
            "until": at + timedelta(seconds=for_s) if for_s is not None else None,
        }  # fmt: skip
        await self._insert("provider_incidents", [{**change, "id": uuid7(), "cause": cause, "actor": actor, "at": at}])
        await self.database.pool.execute("DELETE FROM circuits WHERE provider_id = $1 AND sender_domain = $2", *scope)
        goes_on = before is not None and (before["state"] == "closed") == (state == "closed")
        since = before["since"] if before is not None and goes_on else at
        await self._insert("circuits", [{**change, "trips": 1, "since": since}])

    async def used(self, provider: str, many: int) -> None:
        """Of today's quota."""
        await self.database.pool.execute(
            "INSERT INTO provider_usage (provider_id, day, workspace_id, used) "
            "VALUES ($1, (clock_timestamp() AT TIME ZONE 'UTC')::date, $2, $3) "
            "ON CONFLICT (provider_id, day) DO UPDATE SET used = excluded.used",
            self.providers[provider], self.workspace_id, many,
        )  # fmt: skip

    async def answered(self, subject: str, address: str, role: str, state: str, code: str, response: str) -> None:
        """What a server said of one recipient of a group."""
        await self.database.pool.execute(
            "INSERT INTO message_recipients (message_id, address, workspace_id, role, state, code, response) "
            "SELECT id, $2, $3, $4, $5, $6, $7 FROM messages WHERE event_id = $1",
            self.events[subject], address, self.workspace_id, role, state, code, response,
        )  # fmt: skip

    async def suppressed(self, address: str, reason: str, source: str, ago_s: float, subject: str | None) -> None:
        """An address on the list; `subject` is of the event whose mail led to it."""
        message_id = await self.database.pool.fetchval(
            "SELECT id FROM messages WHERE event_id = $1 ORDER BY id LIMIT 1", self.events.get(subject or "")
        )
        await self._insert(
            "suppressions",
            [{
                "id": uuid7(), "workspace_id": self.workspace_id, "address": address, "reason": reason,
                "source": source, "message_id": message_id, "since": self.now - timedelta(seconds=ago_s),
            }],
        )  # fmt: skip

    def _message(self, event_id: uuid.UUID, mail: Mail, due_at: datetime) -> dict[str, Any]:
        last = mail.tries[-1] if mail.tries else None
        return {
            "id": uuid7(), "workspace_id": self.workspace_id, "event_id": event_id, "recipient": mail.recipient,
            "recipient_name": mail.name, "variables": {} if mail.name else {"name": "customer"}, "state": mail.state,
            "due_at": due_at,
            "next_try_at": self.now + timedelta(seconds=24) if mail.waiting_for else due_at,
            "waiting_for": mail.waiting_for, "priority": 1, "give_up_at": due_at + timedelta(days=1),
            "attempt_count": len(mail.tries), "provider_id": self.providers[last.provider] if last else None,
            "sent_at": _left_at(mail, due_at) if mail.state == "sent" else None, "last_error": _error(mail),
            "delivery_status": mail.feedback[-1].type if mail.feedback else None,
        }  # fmt: skip

    def _attempts(self, mail: Mail, message_id: uuid.UUID, due_at: datetime) -> list[dict[str, Any]]:
        rows = []
        for number, tried in enumerate(mail.tries, 1):
            started_at = due_at + timedelta(seconds=tried.after_s)
            finished = tried.outcome is not None
            rows.append({
                "id": uuid7(), "workspace_id": self.workspace_id, "message_id": message_id, "number": number,
                "round": 1, "fence": number, "worker_id": uuid7(), "provider_id": self.providers[tried.provider],
                "provider_kind": "ses", "provider_name": tried.provider, "started_at": started_at,
                "finished_at": started_at + timedelta(milliseconds=tried.took_ms) if finished else None,
                "outcome": tried.outcome, "code": tried.code or None, "response": tried.response,
                "latency_ms": tried.took_ms if finished else None,
            })  # fmt: skip
        return rows

    async def _insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            columns = list(rows[0])
            places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
            await self.database.pool.executemany(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", [list(row.values()) for row in rows]
            )


def _left_at(mail: Mail, due_at: datetime) -> datetime:
    last = mail.tries[-1]
    return due_at + timedelta(seconds=last.after_s, milliseconds=last.took_ms)


def _error(mail: Mail) -> str | None:
    if mail.state == "suppressed":
        return "suppressed: complaint, told by Postmark on 2026-03-12"
    if mail.state == "sent" or not mail.tries or mail.tries[-1].outcome is None:
        return None
    last = mail.tries[-1]
    return f"{last.outcome}: {last.code} {last.response}".rstrip()


SLOW_DOWN = Tried("Amazon SES", "throttled", "450 4.7.1", "4.7.1 Sending rate exceeded, rest a while", 0.041)
KEY_REFUSED = Tried("SendGrid", "provider_broken", "535 5.7.8", "5.7.8 Username and password not accepted", 0.16, 94)
TAKEN = Tried("Mailgun", "accepted", "250 2.0.0", "2.0.0 Ok: queued as 9F3A1C", 0.29, 1611)
NO_MAILBOX = Tried("Google SMTP", "recipient_rejected", "550 5.1.1", "5.1.1 User unknown", 0.4, 240)
CUT = Tried("Mailgun", "uncertain", "disconnected", "", 0.3, 2000)
LATER = Tried("Mailgun", "recipient_deferred", "451 4.7.1", "4.7.1 Greylisted, please come back later", 0.5, 310)
AT_SES = Tried("Amazon SES", "accepted", "250 2.0.0", "2.0.0 Ok: 0102018e2b-7d3e", 0.04, 118)
INVOICE = "Your March invoice is ready"
GROUP = "Minutes of Tuesday’s meeting"
DOUBTFUL = "Two tickets for the fair"
HOUR, DAY = 3600.0, 86_400.0


async def fill(gallery: Gallery, *, many: int = 10_000) -> None:
    """The events of the mock-ups, oldest first, and six caught mails; the largest event has `many` messages."""
    await gallery.provider("Amazon SES", "ses")
    await gallery.provider("SendGrid", "sendgrid", sandbox_mode="broken_credentials")
    await gallery.provider("Mailgun", "mailgun", sandbox_failure_rate=0.25)
    await gallery.provider("Google SMTP", "smtp", config={"preset": "gmail"}, enabled=False)
    await gallery.worker()
    for subject, status, due_in_s, mails, columns in _events(gallery.now, many):
        await gallery.event(subject, mails, due_in_s=due_in_s, status=status, **columns)
    for subject, recipient, ago_s in CAUGHT:
        await gallery.caught(subject, recipient, ago_s)
    for address, reason, source, ago_s, led_to_it in SUPPRESSED:
        await gallery.suppressed(address, reason, source, ago_s, led_to_it)


def _events(now: datetime, many: int) -> list[tuple[str, str, float, list[Mail], dict[str, Any]]]:
    """Subject, status, seconds until due, messages, further columns."""
    invoice = {
        "tags": ["billing", "2026-03"], "html": HTML, "metadata": {"batch": "inv-2026-03"},
        "from_email": "billing@northwind.example", "from_name": "Northwind Tools",
        "expires_at": now + timedelta(days=1), "reply_to": [{"email": "accounts@northwind.example", "name": None}],
    }  # fmt: skip
    window = [Mail("lucia.moreno@example.com", "sent", (AT_SES,))] * 209
    window += [Mail("gone@example.com", "failed", (NO_MAILBOX,))] * 3
    flash_sale = [Mail(f"customer{n}@example.com", "canceled") for n in range(many // 5)]
    quote = [Mail("purchasing@example.org", "failed", (NO_MAILBOX,))]
    welcome = [Mail("priya.raman@example.com", "sent", (SLOW_DOWN, TAKEN))]
    card = [Mail("samir@example.org", "parked", (CUT,))]
    reset = [Mail("wei.zhang@example.net", "sent", (AT_SES,))]
    workshop = [Mail(f"guest{n}@example.org") for n in range(24)]
    order = [Mail("noor.haddad@example.com")]
    return [
        ("Flash sale reminder", "canceled", -0.85 * DAY, flash_sale, {"tags": ["campaign"]}),
        ("Delivery window changed to Friday", "partly_sent", -4 * HOUR, window, {"tags": ["order"]}),
        ("Quote Q-1187 for 12 bench vices", "failed", -2 * HOUR, quote, {"tags": ["sales"]}),
        ("Welcome to Northwind, Priya", "sent", -44 * 60, welcome, {"tags": ["account"]}),
        ("Card payment did not go through", "parked", -26 * 60, card, {"tags": ["billing"], "on_uncertain": "park"}),
        (INVOICE, "sending", -30, INVOICE_MAILS, invoice),
        ("Reset your password", "sent", -2 * 60, reset, {"tags": ["account"]}),
        ("Workshop on Saturday: what to bring", "pending", 19 * HOUR, workshop, {"tags": ["workshop"]}),
        ("Your order 20418 has shipped", "pending", 6 * 60, order, {"tags": ["order"]}),
        ("Spring catalogue: 40 new hand planes", "sending", -8 * 60, _catalogue(many), {}),
    ]


CAUGHT = (
    ("Hello from Janus", "mara@northwind.example", DAY),
    ("Workshop on Saturday: what to bring", "jonas@example.org", 5 * HOUR),
    ("Welcome to Northwind, Priya", "priya.raman@example.com", 2.5 * HOUR),
    (INVOICE, "delayed@example.com", HOUR),
    ("Reset your password", "wei.zhang@example.net", 120.0),
    ("Your order 20418 has shipped", "Noor Haddad <noor.haddad@example.com>", 23.0),
)
SUPPRESSED = (
    ("press@oldshop.example", "manual", "API key billing-web: asked for it by phone", 40 * DAY, None),
    ("h.tanaka@example.jp", "complaint", "Postmark", 3 * DAY, None),
    ("no.news@example.net", "unsubscribe", "Mailgun", DAY, None),
    ("purchasing@example.org", "hard_bounce", "Google SMTP", 2 * HOUR, "Quote Q-1187 for 12 bench vices"),
)
DELIVERED = Told("delivered", details={"server": "mx1.example.com"})
BOUNCED = Told("bounced_hard", "550 5.1.1 no such mailbox")
INVOICE_MAILS = [
    Mail("ada.lindqvist@example.com", "sent", (SLOW_DOWN, KEY_REFUSED, TAKEN), name="Ada", feedback=(DELIVERED,)),
    Mail("felix.brandt@example.net", "sent", (KEY_REFUSED, TAKEN), feedback=(DELIVERED,)),
    Mail("grace.oduya@example.com", "sent", (KEY_REFUSED, TAKEN)),
    Mail("info@oldshop.example", "sent", (SLOW_DOWN, TAKEN), feedback=(BOUNCED,)),
    Mail("pietr@example.org", "failed", (SLOW_DOWN, KEY_REFUSED, NO_MAILBOX)),
    Mail("h.tanaka@example.jp", "suppressed"),
    Mail("samir@example.org", "uncertain", (CUT,)),
    Mail("lucia.moreno@example.com", "scheduled", (SLOW_DOWN, KEY_REFUSED, LATER), waiting_for="retry"),
]


def _catalogue(many: int) -> list[Mail]:
    """62 % done, a few of them failed."""
    failed = max(1, many * 14 // 10_000)
    done = many * 6212 // 10_000
    return [
        Mail(f"customer{n}@example.com", "sent", (AT_SES,))
        if n < done - failed
        else Mail(f"customer{n}@example.com", "failed", (NO_MAILBOX,))
        if n < done
        else Mail(f"customer{n}@example.com", "leased")
        for n in range(many)
    ]


async def trouble(gallery: Gallery) -> None:
    """On top of `fill`: circuits with their history, limits, blocked senders, a group that was taken in part."""
    await _circuits(gallery)
    await gallery.database.pool.execute(
        "UPDATE providers SET rate_per_second = 14, daily_quota = 50000 WHERE id = $1", gallery.providers["Amazon SES"]
    )
    await gallery.used("Amazon SES", 31_412)
    later = Tried("Mailgun", "recipient_deferred", "451 4.7.1", "4.7.1 <ben@example.org>: try again later", 0.3, 240)
    members = {
        "to": [{"email": "ann@example.com", "name": "Ann Lee"}, {"email": "ben@example.org", "name": None}],
        "cc": [{"email": "gone@example.net", "name": None}],
        "bcc": [],
    }
    await gallery.event(
        GROUP, [Mail("ann@example.com", "scheduled", (later,), waiting_for="retry")], due_in_s=-60, status="sending",
        send_as="group", group_recipients=members, recipients_count=3,
    )  # fmt: skip
    await gallery.answered(GROUP, "ann@example.com", "to", "sent", "250", "2.1.5 Ok")
    await gallery.answered(GROUP, "ben@example.org", "to", "deferred", "451 4.7.1", "4.7.1 try again later")
    await gallery.answered(GROUP, "gone@example.net", "cc", "failed", "550 5.1.1", "5.1.1 User unknown")
    doubtful = [Mail("iris@example.com", "sent", (AT_SES,)), Mail("omar@example.org", "parked", (CUT,))]
    await gallery.event(DOUBTFUL, doubtful, due_in_s=-20 * 60, status="partly_sent", on_uncertain="park")


async def _circuits(gallery: Gallery) -> None:
    down = "5 failures in a row: 421 4.3.2 Service not available, closing transmission channel"
    keys = "the provider refuses us: 535 5.7.8 Username and password not accepted"
    await gallery.incident("Amazon SES", "open", "failures", down, ago_s=HOUR, for_s=30)
    await gallery.incident("Amazon SES", "half_open", "probe", down, ago_s=HOUR - 31)
    await gallery.incident("Amazon SES", "open", "probe", "the probe failed: 421 4.3.2", ago_s=HOUR - 32, for_s=60)
    await gallery.incident("Amazon SES", "half_open", "probe", down, ago_s=HOUR - 100)
    await gallery.incident("Amazon SES", "closed", "probe", "the probe passed", ago_s=HOUR - 101)
    await gallery.incident("SendGrid", "open", "broken", keys, ago_s=30, for_s=600)
    await gallery.incident("Mailgun", "open", "person", "the account is being moved", ago_s=300, actor="API key ops")
    unverified = "the provider refuses us: 550 5.1.8 Sender domain not verified"
    await gallery.incident("Amazon SES", "open", "broken", unverified, ago_s=60, for_s=600, domain="old.example")
