"""Every request that changes something, and what the audit log says of it. `CASES` and `EXCEPTIONS` are to name each
route of the application that is not only read: see `test_audit_coverage.py`."""

import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx
from fastapi import FastAPI

from janus_mail.gate.links import make_link
from janus_mail.gate.passwords import digest_password
from janus_mail.models.states import LinkPurpose, Role
from janus_mail.storage.database import Database
from tests.delivery.conftest import Workshop
from tests.people import HTML, add_person

PASSWORD: Final = "four words in a row"
OWNER: Final = "owner@example.com"
MARA: Final = "mara@example.com"
EXCEPTIONS: Final = {
    "POST /account/second-factor": "begins what a code confirms, and is in force only then",
    "POST /add": "schedules: `created_by` of the event says who",
    "POST /add/check": "stores nothing",
    "POST /add/first": "schedules: `created_by` of the event says who",
    "POST /add/recipients": "stores nothing",
    "POST /api/auth/refresh": "the same program goes on, every ten minutes; a token that comes twice is in the log",
    "POST /api/events": "schedules: `created_by` of the event says who",
    "POST /api/events/batch": "schedules: `created_by` of each event says who",
    "POST /api/events/dry-run": "stores nothing",
    "POST /api/providers/{provider_id}/verify": "asks the service, and keeps its last answer",
    "POST /providers/{provider_id}/verify": "asks the service, and keeps its last answer",
    "POST /send_email": "schedules: `created_by` of the event says who",
    "POST /send_email/": "schedules: `created_by` of the event says who",
    "POST /theme": "a cookie of the browser",
    "POST /workspaces/{workspace_id}/switch": "what a browser shows",
    # What a service tells is kept in feedback, with what it did to each message.
    "POST /hooks/{provider_id}/{token}": "a service, not a person",
    "POST /hooks/{provider_id}/{token}/dsn": "a service, not a person",
}
_TOKEN: Final = re.compile(r'name="csrf_token" value="([^"]+)"')
_LASTS_S: Final = 600


@dataclass
class Stage:
    """An application, a workspace with a provider, a key with every scope, its owner in a browser, and a stranger."""

    app: FastAPI
    database: Database
    shop: Workshop
    api: httpx.AsyncClient
    browser: httpx.AsyncClient
    owner_id: uuid.UUID
    stranger: httpx.AsyncClient

    async def form(self, path: str, client: httpx.AsyncClient | None = None, /, **fields: str) -> httpx.Response:
        client = client or self.browser
        page = await client.get("/audit" if client is self.browser else "/login", headers=HTML)
        token = _TOKEN.findall(page.text)[0]
        return await client.post(path, data={"csrf_token": token, **fields}, headers=HTML)

    async def asked(self, method: str, path: str, **options: Any) -> Any:
        answer = await self.api.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json()

    async def event(self, state: str = "scheduled") -> uuid.UUID:
        event_id = await self.shop.event(due_in_s=3_600)
        await self.database.pool.execute("UPDATE messages SET state = $2 WHERE event_id = $1", event_id, state)
        return event_id

    async def message(self, state: str) -> uuid.UUID:
        found: uuid.UUID = (await self.shop.message(await self.event(state)))["id"]
        return found

    async def provider(self, **columns: Any) -> uuid.UUID:
        return await self.shop.provider(**columns)

    async def suppression(self) -> str:
        made = await self.asked("POST", "/api/suppressions", json={"addresses": ["ann@example.com"]})
        return str(made["data"][0]["id"])

    async def member(self, role: Role = Role.EDITOR, *, confirmed: bool = True) -> uuid.UUID:
        """Somebody with a password."""
        digest = await digest_password(PASSWORD)
        user_id = await add_person(
            self.database, MARA, workspace_id=self.shop.workspace_id, role=role, password_digest=digest
        )
        if not confirmed:
            await self.database.pool.execute("UPDATE users SET confirmed_at = NULL WHERE id = $1", user_id)
        return user_id

    async def link(self, purpose: LinkPurpose, user_id: uuid.UUID | None) -> str:
        async with self.database.transaction() as connection:
            return await make_link(
                connection, purpose, user_id=user_id, email=MARA if user_id else None, lasts_s=_LASTS_S
            )

    async def key(self) -> str:
        made = await self.asked("POST", "/api/keys", json={"name": "ci", "scopes": ["events:read"]})
        return str(made["key"]["id"])

    async def invitation(self, email: str = "new@example.com") -> dict[str, Any]:
        made: dict[str, Any] = await self.asked("POST", "/api/invitations", json={"email": email, "role": "viewer"})
        # As though it had been sent a while ago: the next mail may go.
        await self.database.pool.execute("UPDATE invitations SET created_at = created_at - interval '1 hour'")
        return made

    async def another_workspace(self) -> uuid.UUID:
        """Of the same owner, in the browser."""
        answer = await self.form("/workspaces/new", name="Another", from_email=OWNER, timezone="UTC")
        assert answer.status_code == 303, answer.text
        found: uuid.UUID = await self.database.pool.fetchval("SELECT id FROM workspaces WHERE name = 'Another'")
        return found

    async def bearer(self, **fields: str) -> dict[str, Any]:
        """Tokens of the owner."""
        await self.database.pool.execute(
            "UPDATE users SET password_digest = $2 WHERE id = $1", self.owner_id, await digest_password(PASSWORD)
        )
        given = {"grant_type": "password", "username": OWNER, "password": PASSWORD, **fields}
        answer = await self.stranger.post("/api/auth/token", data=given)
        assert answer.is_success, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def open_registration(self) -> None:
        context = self.app.state.context
        settings = context.settings.model_copy(update={"registration": "open"})
        self.app.state.context = replace(context, settings=settings)


Run = Callable[[Stage], Awaitable[httpx.Response]]
# «POST /api/…» → the actions that it writes, and a request that succeeds.
CASES: Final[dict[str, tuple[frozenset[str], Run]]] = {}


def case(surface: str, *actions: str) -> Callable[[Run], Run]:
    def keep(run: Run) -> Run:
        CASES[surface] = (frozenset(actions), run)
        return run

    return keep


def simple(surface: str, action: str, run: Run) -> None:
    case(surface, action)(run)


# ---- events and messages ----
async def _event(stage: Stage, method: str, path: str, state: str = "scheduled", **options: Any) -> httpx.Response:
    return await stage.api.request(method, f"/api/events/{await stage.event(state)}{path}", **options)


async def _event_form(stage: Stage, path: str, state: str = "scheduled") -> httpx.Response:
    return await stage.form(f"/events/{await stage.event(state)}/{path}")


simple("DELETE /api/events/{event_id}", "event.canceled", lambda s: _event(s, "DELETE", ""))
simple(
    "PATCH /api/events/{event_id}", "event.changed",
    lambda s: _event(s, "PATCH", "", json={"email_subject": "Another", "priority": "high", "version": 1}),
)  # fmt: skip
simple("POST /api/events/{event_id}/retry", "event.retried", lambda s: _event(s, "POST", "/retry", "failed"))
simple("POST /api/events/{event_id}/send-now", "event.sent_now", lambda s: _event(s, "POST", "/send-now"))
simple("POST /events/{event_id}/cancel", "event.canceled", lambda s: _event_form(s, "cancel"))
simple("POST /events/{event_id}/retry", "event.retried", lambda s: _event_form(s, "retry", "failed"))
simple("POST /events/{event_id}/send-now", "event.sent_now", lambda s: _event_form(s, "send-now"))


@case("POST /api/events/cancel", "events.canceled")
async def _(stage: Stage) -> httpx.Response:
    await stage.event()
    return await stage.api.post("/api/events/cancel", json={"status": "pending", "dry_run": False})


@case("POST /cancel", "events.canceled")
async def _(stage: Stage) -> httpx.Response:
    await stage.event()
    return await stage.form("/cancel", status="pending")


@case("POST /api/messages/{message_id}/resolve", "message.resolved")
async def _(stage: Stage) -> httpx.Response:
    path = f"/api/messages/{await stage.message('parked')}/resolve"
    return await stage.api.post(path, json={"outcome": "failed"})


@case("POST /messages/{message_id}/resolve", "message.resolved")
async def _(stage: Stage) -> httpx.Response:
    return await stage.form(f"/messages/{await stage.message('parked')}/resolve", outcome="sent")


@case("POST /mailbox/empty", "mailbox.emptied")
async def _(stage: Stage) -> httpx.Response:
    return await stage.form(f"/mailbox/empty?up_to={uuid.UUID(int=2**128 - 1)}")


# ---- providers ----
_NEW_PROVIDER: Final = {"kind": "ses", "name": "SES", "sandbox": True}


async def _provider(stage: Stage, method: str, path: str = "", **options: Any) -> httpx.Response:
    return await stage.api.request(method, f"/api/providers/{await stage.provider()}{path}", **options)


async def _provider_form(stage: Stage, path: str, **fields: str) -> httpx.Response:
    return await stage.form(f"/providers/{await stage.provider()}/{path}", **fields)


simple("POST /api/providers", "provider.created", lambda s: s.api.post("/api/providers", json=_NEW_PROVIDER))
simple(
    "PATCH /api/providers/{provider_id}", "provider.changed",
    lambda s: _provider(s, "PATCH", json={"rate_per_second": 5}),
)  # fmt: skip
simple("DELETE /api/providers/{provider_id}", "provider.removed", lambda s: _provider(s, "DELETE"))
simple(
    "POST /api/providers/{provider_id}/circuit", "circuit.opened",
    lambda s: _provider(s, "POST", "/circuit", json={"state": "open", "reason": "tired of it"}),
)  # fmt: skip
simple(
    "POST /api/providers/{provider_id}/hook-token", "provider.hook_renewed",
    lambda s: _provider(s, "POST", "/hook-token"),
)  # fmt: skip
simple(
    "POST /api/providers/{provider_id}/test", "provider.tested",
    lambda s: _provider(s, "POST", "/test", json={"to": "you@example.com"}),
)  # fmt: skip
simple(
    "POST /providers/{provider_id}/circuit", "circuit.closed", lambda s: _provider_form(s, "circuit", state="closed")
)
simple(
    "POST /providers/{provider_id}/dial", "provider.changed",
    lambda s: _provider_form(s, "dial", sandbox_mode="down", sandbox_failure_percent="0"),
)  # fmt: skip
simple(
    "POST /providers/{provider_id}/limits", "provider.changed", lambda s: _provider_form(s, "limits", daily_quota="9")
)
simple("POST /providers/{provider_id}/switch", "provider.changed", lambda s: _provider_form(s, "switch", enabled="off"))
simple("POST /providers/{provider_id}/hook-token", "provider.hook_renewed", lambda s: _provider_form(s, "hook-token"))
simple("POST /providers/{provider_id}/remove", "provider.removed", lambda s: _provider_form(s, "remove"))
simple(
    "POST /providers/{provider_id}/test", "provider.tested", lambda s: _provider_form(s, "test", to="you@example.com")
)
simple(
    "POST /providers/{provider_id}/edit",
    "provider.changed",
    lambda s: _provider_form(s, "edit", name="Other", version="1"),
)
simple(
    "POST /providers/add/{kind}", "provider.created",
    lambda s: s.form("/providers/add/ses", name="SES", sandbox="on"),
)  # fmt: skip


async def _two(stage: Stage) -> list[str]:
    return [str(await stage.provider()), str(await stage.provider())][::-1]


@case("POST /api/providers/order", "route.reordered")
async def _(stage: Stage) -> httpx.Response:
    return await stage.api.post("/api/providers/order", json={"order": await _two(stage)})


@case("POST /providers/order", "route.reordered")
async def _(stage: Stage) -> httpx.Response:
    return await stage.form("/providers/order", order=",".join(await _two(stage)))


@case("POST /providers/{provider_id}/move", "route.reordered")
async def _(stage: Stage) -> httpx.Response:
    last, _first = await _two(stage)
    return await stage.form(f"/providers/{last}/move", move="up")


@case("POST /providers/sandboxes", "provider.created")
async def _(stage: Stage) -> httpx.Response:
    return await stage.form("/providers/sandboxes")


# ---- suppressions, erasing ----
simple(
    "POST /api/suppressions", "suppressions.added",
    lambda s: s.api.post("/api/suppressions", json={"addresses": ["ann@example.com"]}),
)  # fmt: skip
simple(
    "POST /api/suppressions/import", "suppressions.imported",
    lambda s: s.api.post(
        "/api/suppressions/import", content=b"ann@example.com\r\n", headers={"Content-Type": "text/csv"}
    ),
)  # fmt: skip
simple("POST /suppressions/add", "suppressions.added",
       lambda s: s.form("/suppressions/add", addresses="a@example.com", why="manual"))  # fmt: skip
simple("POST /api/erasures", "recipient.erased", lambda s: s.api.post("/api/erasures", json={"email": "a@example.com"}))
simple("POST /erasures", "recipient.erased", lambda s: s.form("/erasures", email="a@example.com", sure="on"))


@case("DELETE /api/suppressions/{suppression}", "suppression.removed")
async def _(stage: Stage) -> httpx.Response:
    return await stage.api.delete(f"/api/suppressions/{await stage.suppression()}")


@case("POST /suppressions/{suppression_id}/remove", "suppression.removed")
async def _(stage: Stage) -> httpx.Response:
    return await stage.form(f"/suppressions/{await stage.suppression()}/remove")


@case("POST /suppressions/import", "suppressions.imported")
async def _(stage: Stage) -> httpx.Response:
    token = _TOKEN.findall((await stage.browser.get("/audit")).text)[0]
    file = {"file": ("list.csv", b"ann@example.com\r\n", "text/csv")}
    return await stage.browser.post("/suppressions/import", data={"csrf_token": token}, files=file)
