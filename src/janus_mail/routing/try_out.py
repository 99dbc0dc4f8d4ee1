"""A test mail: composed here, sent at once through one provider, its one try shown in full."""

import re
import uuid
from functools import partial
from html import escape

from janus_mail.accounts.callers import Caller
from janus_mail.audit.record import record
from janus_mail.availability.allowances import Allowances
from janus_mail.availability.provider_book import ConfiguredProvider, ProviderBook
from janus_mail.delivery.one_off import Busy, NotBegun, OneOff, send_one
from janus_mail.delivery.rollup import roll_up
from janus_mail.errors import Conflict, Detail, InvalidInput, NotFound
from janus_mail.providers.registry import KINDS
from janus_mail.providers.timeouts import Timeouts
from janus_mail.routing import queries
from janus_mail.routing.config import without_secrets
from janus_mail.routing.read import no_such_provider
from janus_mail.routing.schemas import ProviderTest, ProviderTested, TestProvider
from janus_mail.suppressions.look_up import listed_among
from janus_mail.web.context import Context
from janus_mail.workspaces.senders import check_sender

SUBJECT = "Test mail through %(provider)s"
TEXT = """Hello,

this is a test mail. Somebody asked Janus to send it through the provider %(provider)s (%(service)s), to see whether it
works. You are reading it, so it does.

There is nothing to do, and no need to answer.

Janus, workspace %(workspace)s
"""
HTML = """<!doctype html>
<html lang="en"><body style="margin:0;padding:24px;background:#ffffff;color:#1d1b18">
<div style="max-width:34rem;font:15px/1.55 system-ui,Segoe UI,Helvetica,Arial,sans-serif">
<h1 style="margin:0 0 12px;font-size:20px;line-height:1.3">It works</h1>
<p style="margin:0 0 12px">This is a test mail. Somebody asked Janus to send it through the provider
<b>%(provider)s</b> (%(service)s), to see whether it works. You are reading it, so it does.</p>
<p style="margin:0 0 12px">There is nothing to do, and no need to answer.</p>
<p style="margin:24px 0 0;padding:12px 0 0;border-top:1px solid #e5e2dc;color:#5f5a52;font-size:13px">Janus, workspace
%(workspace)s</p>
</div></body></html>
"""


async def send_test(context: Context, caller: Caller, provider_id: uuid.UUID, wanted: ProviderTest) -> ProviderTested:
    """Whatever its circuit, its switch and the queue say; but never to a suppressed address, nor while the workspace
    is paused.

    Raises `NotFound`, `InvalidInput` (no recipient, no or a forbidden sender) and `Conflict` (`test_in_progress`,
    `paused`, `suppressed`, `provider_unusable`, `canceled`, `taken_over`).
    """
    allowed = Allowances.of(context.settings)
    book = ProviderBook(context.database, context.secrets, Timeouts(), allowed=allowed)
    try:
        provider = await _provider(book, caller.workspace_id, provider_id)
        mail = await _composed(context, caller, provider, wanted)
        config = await _config(context, caller.workspace_id, provider_id)
        discreet = partial(without_secrets, kind=provider.kind, config=config)
        hold = await send_one(
            context.database,
            provider,
            mail,
            grace_s=context.settings.grace_seconds,
            evidence_s=context.settings.evidence_seconds,
            discreet=discreet,
        )
    except Busy:
        raise Conflict("A test of this provider is under way.", code="test_in_progress", retry_after_s=5) from None
    except NotBegun as gone:
        if gone.taken_over:
            raise Conflict(
                f"Something else took it over before it began to leave: event {gone.event_id} says what becomes of it.",
                code="taken_over",
            ) from None
        raise Conflict("It was called back before it began to leave.", code="canceled") from None
    finally:
        await book.close()
    async with context.database.transaction() as connection:
        await record(
            connection, caller, "provider.tested", "provider", provider_id, workspace_id=caller.workspace_id,
            name=provider.name, after={"event_id": str(hold.event_id)},
        )  # fmt: skip
    await roll_up(context.database, context.list_cache, event_ids=[hold.event_id])
    return await read_test(context, caller.workspace_id, hold.id)


async def read_test(context: Context, workspace_id: uuid.UUID, message_id: uuid.UUID) -> ProviderTested:
    """How it ended, or how it stands. Raises `NotFound`."""
    row = await context.database.pool.fetchrow(queries.TESTED, workspace_id, message_id)
    if row is None:
        raise NotFound("There is no such test mail.")
    provider = TestProvider(id=row["provider_id"], kind=row["provider_kind"], name=row["provider_name"])
    return ProviderTested.model_validate({**row, "provider": provider})


async def _provider(book: ProviderBook, workspace_id: uuid.UUID, provider_id: uuid.UUID) -> ConfiguredProvider:
    known = await book.of(workspace_id)
    provider = next((p for p in known if p.id == provider_id and not p.removed), None)
    if provider is None:
        raise no_such_provider()
    if provider.adapter is None:
        raise Conflict(f"It cannot be used: {provider.unusable}.", code="provider_unusable")
    return provider


async def _composed(context: Context, caller: Caller, provider: ConfiguredProvider, wanted: ProviderTest) -> OneOff:
    facts = await context.database.pool.fetchrow(queries.TEST_FACTS, caller.workspace_id)
    if facts is None:
        raise NotFound("The workspace is gone.")
    recipient = wanted.to or (caller.person.email if caller.person is not None else facts["from_email"])
    if recipient is None:
        raise _missing("to", "Name the address that it is to go to: the workspace has no sender.")
    sender = wanted.from_email or provider.from_email
    if sender is None:
        raise _missing("from_email", "Name a sender: neither the provider nor the workspace has one.")
    check_sender(sender, facts["allowed_senders"])
    if provider.sender_domains is not None and sender.rpartition("@")[2].casefold() not in provider.sender_domains:
        raise _missing("from_email", f"This provider is for {', '.join(provider.sender_domains)}, not for {sender}.")
    if await listed_among(context.database.pool, caller.workspace_id, [recipient]):
        raise Conflict(f"{recipient} is on the list of addresses that must not be mailed.", code="suppressed")
    if facts["paused"]:
        raise Conflict("Sending is paused: nothing leaves this workspace.", code="paused")
    service = KINDS[provider.kind].label + (", sandbox" if provider.sandbox else "")
    said = {"provider": _literal(provider.name), "service": service, "workspace": _literal(facts["name"])}
    return OneOff(
        subject=SUBJECT % said, text=TEXT % said, html=HTML % {name: escape(word) for name, word in said.items()},
        recipient=recipient, from_email=sender, created_by=caller.label,
        from_name=provider.from_name if sender == provider.from_email else None,
    )  # fmt: skip


def _literal(name: str) -> str:
    """So that nothing in it is taken for a variable."""
    return re.sub(r"\{(?=\{)", "{ ", name)


async def _config(context: Context, workspace_id: uuid.UUID, provider_id: uuid.UUID) -> dict[str, object]:
    row = await context.database.pool.fetchrow(queries.PROVIDER, workspace_id, provider_id)
    if row is None:
        raise no_such_provider()
    return context.secrets.open(row["config"])


def _missing(field: str, sentence: str) -> InvalidInput:
    return InvalidInput(sentence, details=[Detail(field, sentence)])
