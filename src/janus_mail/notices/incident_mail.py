"""One mail to a workspace's owners when one of its providers stops taking mail, through another of its providers.

It is an event of the workspace as any other, so that it is sent, seen and kept like one. Accepting it is remembered
under the incident's id: a worker that dies in between, or two at once, make no second mail. Where the workspace cannot
send it, the server's own mail goes to each owner, in the transaction that notes it.
"""

import asyncio
import logging
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg

from janus_mail.accounts.callers import Caller
from janus_mail.errors import ApiError
from janus_mail.events.accept import accept_once
from janus_mail.events.schemas import EventCreate
from janus_mail.gate.links import public_address
from janus_mail.models.states import ActorKind, CircuitCause, Role
from janus_mail.notices import queries
from janus_mail.notices.system_mail import SystemMail, can_mail, queue_mail, worded
from janus_mail.settings import Settings
from janus_mail.storage.database import CONNECTION_LOST, connection_lost
from janus_mail.web.context import Context
from janus_mail.web.idempotency import once_only

TAG: Final = "janus-incident"
ENOUGH_S: Final = 15 * 60.0  # a provider that comes and goes is one mail in so long
_MOST: Final = 200
_KEEP_S: Final = 86_400
_OF_USE_S: Final = 86_400  # later than that a mail about it tells nothing

_NEEDS_A_PERSON = "It wants a person: look at its credentials, its quota and its verified senders."
_BY_ITSELF = "Its mail goes through the other providers meanwhile, and every now and then one mail tries it again."

_log = logging.getLogger(__name__)


class IncidentMail:
    """One per worker process; whichever comes first tells."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def run(self) -> None:
        """Lasts until it is cancelled. Never raises because of the database."""
        while True:
            try:
                await self.tick()
            except CONNECTION_LOST as error:
                if not connection_lost(error):
                    raise
                _log.debug("incident mail: the database is away (%s)", type(error).__name__)
            await asyncio.sleep(self._context.settings.patrol_seconds)

    async def tick(self) -> None:
        """Tell of what has happened since the last time."""
        rows = await self._context.database.pool.fetch(queries.UNTOLD, _least_id(), ENOUGH_S, _MOST)
        for row in rows:
            owners = [
                one["email"] for one in await self._context.database.pool.fetch(queries.OWNERS, row["workspace_id"])
            ]
            try:
                event_id = await self._by_the_workspace(row, owners)
                if event_id is None and owners and not can_mail(self._context.settings):
                    continue  # within the hour another provider may take mail again
            except ApiError as error:
                if error.code == "idempotency_key_in_use":  # another worker tells at this moment
                    continue
                _log.warning("a workspace may not tell of an incident of %s: %s", row["provider_id"], error.code)
                event_id = None
            await self._told(row, owners, event_id)

    async def _by_the_workspace(self, incident: asyncpg.Record, owners: Sequence[str]) -> uuid.UUID | None:
        """The event that tells them, or null where there is nobody or no other provider. Raises `ApiError`."""
        stand_in = await self._context.database.pool.fetchrow(
            queries.STAND_IN, incident["workspace_id"], incident["provider_id"], incident["sandbox"]
        )
        return await self._through(stand_in, incident, owners) if owners and stand_in is not None else None

    async def _told(self, incident: asyncpg.Record, owners: Sequence[str], event_id: uuid.UUID | None) -> None:
        """Note it; whoever does so first, where no event tells them, tells them by the server's own mail."""
        context = self._context
        async with context.database.transaction() as connection:
            first = await connection.fetchval(queries.TOLD, incident["id"], incident["workspace_id"], event_id)
            if first is None or event_id is not None or not can_mail(context.settings):
                return
            for owner in owners:
                await queue_mail(connection, context, _mail(incident, owner, context.settings), lasts_s=_OF_USE_S)

    async def _through(self, stand_in: asyncpg.Record, incident: asyncpg.Record, owners: Sequence[str]) -> uuid.UUID:
        caller = Caller(
            workspace_id=incident["workspace_id"], workspace_name=incident["workspace"], kind=ActorKind.SYSTEM,
            label="Janus", role=Role.OWNER,
        )  # fmt: skip
        mail = _mail(incident, owners[0], self._context.settings)
        event = EventCreate.model_validate(
            {
                "email_subject": mail.subject, "email_content": mail.text, "email_html": mail.html,
                "expected_sent_at": "now", "recipients": list(owners), "from_email": stand_in["from_email"],
                "from_name": "Janus", "provider": str(stand_in["id"]), "priority": "high", "tags": [TAG],
                "headers": {"Auto-Submitted": "auto-generated"},
                "expires_at": (datetime.now(UTC) + timedelta(seconds=_OF_USE_S)).isoformat(),
            }
        )  # fmt: skip
        once = once_only(
            f"incident {incident['id']}", method="TELL", path="/incidents", query="", body=b"", keep_s=_KEEP_S
        )
        accepted, _ = await accept_once(self._context, caller, event, once)
        return accepted.id


def _mail(incident: asyncpg.Record, owner: str, settings: Settings) -> SystemMail:
    name, domain = incident["name"], incident["sender_domain"]
    senders = f" from senders of {domain}" if domain else ""
    since = f"{incident['at'].astimezone(UTC):%H:%M} UTC"
    paragraphs = [
        f"The provider “{name}” of the workspace “{incident['workspace']}” takes no mail{senders} since {since}: "
        f"{incident['reason']}",
        f"{_NEEDS_A_PERSON} {_BY_ITSELF}" if incident["cause"] == CircuitCause.BROKEN else _BY_ITSELF,
        "You get this mail because you are an owner of the workspace: one for each incident.",
    ]
    page = public_address(settings, f"/providers/{incident['provider_id']}/history")
    return worded(owner, f"{name} takes no mail{senders}", paragraphs, button=("What happened", page))


def _least_id() -> uuid.UUID:
    """The least UUIDv7 of two hours ago: what is older is not looked at, whose clock ever made it."""
    ms = int((datetime.now(UTC) - timedelta(hours=2)).timestamp() * 1000)
    return uuid.UUID(int=ms << 80)
