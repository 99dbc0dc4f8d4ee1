"""What an event would be and where its mail would go at this moment, without storing anything."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import asyncpg

from janus_mail.accounts.callers import Caller
from janus_mail.availability.allowances import Allowances
from janus_mail.availability.provider_book import ConfiguredProvider, ProviderBook
from janus_mail.delivery.route import Wish, route
from janus_mail.events import queries
from janus_mail.events.answers import DryRunAnswer, LeftOut, ProviderRef, RouteOut, RouteStep
from janus_mail.events.attachments import read_files
from janus_mail.events.intake import read_facts
from janus_mail.events.schemas import EventCreate
from janus_mail.events.show import show_understood
from janus_mail.events.suppressed import warn_of_suppressed
from janus_mail.events.understand import understand
from janus_mail.models.states import CircuitState
from janus_mail.providers.timeouts import Timeouts
from janus_mail.web.context import Context

_MOST_NAMED = 20


@dataclass(slots=True)
class _Standing:
    """What keeps one provider back."""

    used: int  # of its daily quota
    new_day: datetime
    circuits: list[asyncpg.Record] = field(default_factory=list)


async def dry_run(context: Context, caller: Caller, event: EventCreate) -> DryRunAnswer:
    """Raises InvalidInput, as accepting the event would."""
    files = await read_files(event.attachments)
    async with context.database.pool.acquire() as connection:
        facts = await read_facts(context, connection, caller.workspace_id)
    new = understand(event, facts, workspace_id=caller.workspace_id, created_by=caller.label, files=files)
    if facts.suppresses:
        await warn_of_suppressed(context.database.pool, [new])
    wish = Wish(provider_id=new.row.provider_id, failover=new.row.failover, from_email=new.row.from_email)
    return DryRunAnswer(
        message="Nothing was stored.", event=show_understood(new.row), messages=len(new.messages), due_at=new.due_at,
        route=await explain_route(context, caller.workspace_id, wish),
    )  # fmt: skip


async def explain_route(context: Context, workspace_id: uuid.UUID, wish: Wish) -> RouteOut:
    """Whom a mail with this wish would be tried with now, and why each other provider is left out."""
    rows = await context.database.pool.fetch(queries.STANDING, workspace_id)
    standings = _standings(rows)
    allowed = Allowances.of(context.settings)
    book = ProviderBook(context.database, context.secrets, Timeouts(), allowed=allowed)
    try:
        known = [provider for provider in await book.of(workspace_id) if not provider.removed]
    finally:
        await book.close()
    chosen = route(wish, known)
    explained = RouteOut(providers=[], left_out=[], notes=[])
    for provider in chosen.order:
        ref = ProviderRef(id=provider.id, kind=provider.kind, name=provider.name)
        standing = standings.get(provider.id)
        against, until, note = _at_this_moment(provider, standing, wish) if standing else (None, None, None)
        if against is None:
            explained.providers.append(RouteStep(provider=ref, sandbox=provider.sandbox, note=note))
        else:
            explained.left_out.append(LeftOut(provider=ref, reason=against, until=until))
    explained.left_out += [
        LeftOut(provider=ProviderRef(id=provider.id, kind=provider.kind, name=provider.name), reason=why, until=None)
        for provider, why in chosen.left_out
    ]
    if not explained.providers:
        explained.notes.append("No provider can take the mail now: it waits until one can.")
    if rows and rows[0]["paused_at"] is not None:
        explained.notes.append("The workspace is paused: nothing leaves until it is resumed.")
    return explained


async def what_is_against(context: Context, caller: Caller, event_id: uuid.UUID) -> list[str]:
    """What keeps an event's due mail back at this moment, a sentence each; none where a provider can take it."""
    record = await context.database.pool.fetchrow(queries.EVENT, caller.workspace_id, event_id)
    if record is None:  # removed meanwhile
        return []
    wish = Wish(provider_id=record["provider_id"], failover=record["failover"], from_email=record["from_email"])
    explained = await explain_route(context, caller.workspace_id, wish)
    if explained.providers:
        return explained.notes
    against = [f"{out.provider.name}: {out.reason}{_until(out.until)}." for out in explained.left_out[:_MOST_NAMED]]
    return [*explained.notes, *against]


def _until(until: datetime | None) -> str:
    return "" if until is None else f", until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _standings(rows: Sequence[asyncpg.Record]) -> dict[uuid.UUID, _Standing]:
    standings: dict[uuid.UUID, _Standing] = {}
    for row in rows:
        if row["provider_id"] is None:
            continue
        standing = standings.setdefault(row["provider_id"], _Standing(row["used"], row["new_day"]))
        if row["state"] is not None:
            standing.circuits.append(row)
    return standings


def _at_this_moment(
    provider: ConfiguredProvider, standing: _Standing, wish: Wish
) -> tuple[str | None, datetime | None, str | None]:
    """Why it is not tried now, and until when; else a note, or nothing."""
    domain = (wish.from_email or provider.from_email or "").rpartition("@")[2].casefold()
    notes: list[str] = []
    for circuit in standing.circuits:
        if circuit["sender_domain"] not in ("", domain):
            continue
        scope = f" for senders at {domain}" if circuit["sender_domain"] else ""
        if circuit["rested"]:
            notes.append(f"It was resting{scope}: one mail tries it, and the others wait for how that ends.")
        elif circuit["state"] == CircuitState.HALF_OPEN:
            return f"one mail is trying whether it works again{scope}", circuit["until"], None
        else:
            return f"its circuit is open{scope}: {circuit['reason']}", circuit["until"], None
    if provider.daily_quota is not None and standing.used >= provider.daily_quota:
        return "its daily quota is used up", standing.new_day, None
    if provider.rate_per_second is not None:
        notes.append(f"At most {provider.rate_per_second:g} mails a second.")
    return None, None, " ".join(notes) or None
