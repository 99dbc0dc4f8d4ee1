"""What sends mail of our own: a task in every worker process.

At least once: one is put off before it is sent and removed when a service has it, so a crash between the two sends it
again. Twice the same link in a mailbox harms nobody; none at all would keep somebody out. The providers that
`JANUS_SYSTEM_PROVIDER` names are asked in their order, the next one as soon as one fails; then all of them again after
a growing pause, until the mail is of no more use.
"""

import asyncio
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

import asyncpg

from janus_mail.accounts.queries import WORKSPACE_CALLED
from janus_mail.availability.provider_book import ConfiguredProvider, ProviderBook
from janus_mail.content.addresses import Mailbox
from janus_mail.content.compose import Content, Letter, message_id
from janus_mail.notices import queries
from janus_mail.notices.system_mail import WORKSPACE, SystemMail, opened, provider_names, unknown_words
from janus_mail.providers.contract import Accepted, Address, Fields, Mail
from janus_mail.providers.outcomes import (
    DeliveryError,
    MessageRejected,
    ProviderBroken,
    ProviderDown,
    RecipientRejected,
)
from janus_mail.settings import Settings
from janus_mail.storage.database import CONNECTION_LOST, Database, connection_lost
from janus_mail.storage.secrets import SecretBox, UnreadableSecret

_AT_ONCE: Final = 4  # a provider that hangs must not keep the others waiting
_TICK_S: Final = 1.0  # somebody waits for it
_MOST_S: Final = 30.0  # for one try through one provider
_LEASE_S: Final = 180.0  # nobody else takes it meanwhile
_FIRST_PAUSE_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 600.0
_HEADERS: Final = (("Auto-Submitted", "auto-generated"),)  # RFC 3834: no vacation notice answers it

T = TypeVar("T")
_log = logging.getLogger(__name__)


class SystemMailWork:
    """One per worker process; `book` is its providers."""

    def __init__(self, settings: Settings, database: Database, secrets: SecretBox, book: ProviderBook) -> None:
        self._settings = settings
        self._database = database
        self._secrets = secrets
        self._book = book
        self._names = provider_names(settings)
        self._looked = False
        self._said: frozenset[str] = frozenset()  # names that were said to be nobody's

    async def run(self) -> None:
        """Lasts until it is cancelled. Never raises because of the database."""
        free = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as sending:
            while True:
                await free.acquire()
                row = await self._patiently(self._next)
                if row is None:
                    free.release()
                    await asyncio.sleep(_TICK_S)
                else:
                    task = sending.create_task(self._patiently(partial(self._handle, row)))
                    task.add_done_callback(lambda _: free.release())

    async def work(self) -> bool:
        """Send the next one that is due and that nobody else has; whether there was one."""
        row = await self._next()
        if row is not None:
            await self._handle(row)
        return row is not None

    async def _patiently(self, part: Callable[[], Awaitable[T]]) -> T | None:
        try:
            return await part()
        except CONNECTION_LOST as error:
            if not connection_lost(error):
                raise
            _log.debug("system mail: the database is away (%s)", type(error).__name__)
        return None

    async def _next(self) -> asyncpg.Record | None:
        if not self._looked and self._names:
            await self._providers()  # says at the start what the setting has wrong
            self._looked = True
        for row in await self._database.pool.fetch(queries.DELETE_EXPIRED_MAIL):
            _log.error(
                "system mail %s never left, in %d tries (%s), and is of no more use",
                row["id"], row["tries"], row["last_error"] or "no worker came to it",
            )  # fmt: skip
        taken: asyncpg.Record | None = await self._database.pool.fetchrow(queries.CLAIM_MAIL, _LEASE_S)
        return taken

    async def _handle(self, row: asyncpg.Record) -> None:
        try:
            mail = opened(row["sealed"], self._secrets)
        except UnreadableSecret:
            _log.error("system mail %s opens with none of JANUS_SECRET_KEYS and is dropped", row["id"])
            await self._database.pool.execute(queries.DELETE_MAIL, row["id"])
            return
        why = await self._through_any(row, mail)
        if why is None:
            await self._database.pool.execute(queries.DELETE_MAIL, row["id"])
        else:
            _log.warning("system mail %s did not leave (%s); it is tried again", row["id"], why)
            await self._database.pool.execute(queries.PUT_OFF_MAIL, row["id"], _pause_s(row["tries"]), why)

    async def _through_any(self, row: asyncpg.Record, mail: SystemMail) -> str | None:
        """Null: it is done. Else why it is not, without an address in it."""
        why = "no provider that JANUS_SYSTEM_PROVIDER names can be used"
        for provider in await self._providers():
            try:
                accepted = await _send(provider, row["id"], row["created_at"], mail, row["tries"])
            except (RecipientRejected, MessageRejected) as error:  # every other service would say the same
                _log.warning("system mail %s is refused for good (%s)", row["id"], error.code)
                return None
            except DeliveryError as error:
                why = f"{provider.name}: {error.outcome} {error.code}"
                _log.info("system mail %s: %s", row["id"], why)
                continue
            if accepted.captured is not None:
                self._say_caught(provider, mail)
            return None
        return why

    async def _providers(self) -> Sequence[ConfiguredProvider]:
        """Those that the setting names and that can be asked, in its order."""
        workspace = await self._database.pool.fetchrow(WORKSPACE_CALLED, WORKSPACE)
        known = await self._book.of(workspace["id"]) if workspace is not None else []
        found, missing = named(self._names, known)
        if missing and frozenset(missing) != self._said:
            _log.warning(unknown_words(missing))
        self._said = frozenset(missing)
        return [provider for provider in found if provider.adapter is not None and provider.enabled]

    def _say_caught(self, provider: ConfiguredProvider, mail: SystemMail) -> None:
        if self._settings.env == "development":
            _log.warning(
                "development: the sandbox %s caught this mail to %s\n%s\n%s",
                provider.name, mail.recipient, mail.subject, mail.text,
            )  # fmt: skip
        else:
            _log.warning("JANUS_SYSTEM_PROVIDER: %s is a sandbox: mail about accounts reaches nobody", provider.name)


def named(
    names: Sequence[str], known: Sequence[ConfiguredProvider]
) -> tuple[list[ConfiguredProvider], list[str]]:  # fmt: skip
    """The providers of these names or ids, and the names that are nobody's."""
    found: list[ConfiguredProvider] = []
    missing: list[str] = []
    for name in names:
        fits = [p for p in known if not p.removed and name.casefold() in (p.name.casefold(), str(p.id))]
        found += [provider for provider in fits if provider not in found]
        if not fits:
            missing.append(name)
    return found, missing


async def _send(
    provider: ConfiguredProvider, mail_id: uuid.UUID, dated_at: datetime, mail: SystemMail, tries: int
) -> Accepted:
    """Raises a `DeliveryError`, and nothing else."""
    assert provider.adapter is not None  # noqa: S101  (the caller saw to it)
    if provider.from_email is None:
        raise ProviderBroken("no_sender", "Neither the provider nor its workspace has a sender.")
    try:
        async with asyncio.timeout(_MOST_S):
            return await provider.adapter.send(_composed(provider, mail_id, dated_at, mail, tries), _Freely())
    except DeliveryError:
        raise
    except TimeoutError:
        raise ProviderDown("timeout") from None
    except Exception as error:
        _log.error("system mail %s through %s: %s", mail_id, provider.name, type(error).__name__)
        raise ProviderDown("internal_error") from None


def _composed(
    provider: ConfiguredProvider, mail_id: uuid.UUID, dated_at: datetime, mail: SystemMail, tries: int
) -> Mail:
    """The same bytes at each try. Nothing in it is a placeholder."""
    subject, text, html = (re.sub(r"\{(?=\{)", "{ ", said) for said in (mail.subject, mail.text, mail.html))
    sender, to = Mailbox(provider.from_email or "", provider.from_name), Mailbox(mail.recipient)
    letter = Letter(Content(subject, text, html, headers=_HEADERS), sender, boundary_seed=mail_id.hex)
    header = message_id(mail_id.hex, sender.domain)
    composed = letter.compose(to=[to], variables={}, message_id=header, date=dated_at)
    return Mail(
        sender=sender.address, recipients=(to.address,), content=lambda: composed.content, size=composed.size,
        smtputf8=composed.smtputf8, message_id=header, idempotency_key=f"{mail_id.hex}-{provider.id.hex}",
        key_used=tries > 1, attempt_number=tries,
        fields=lambda: Fields(
            sender=Address(sender.address, sender.name), subject=subject, text=text, html=html,
            to=(Address(to.address),), headers=dict(_HEADERS), message_uuid=str(mail_id),
        ),
    )  # fmt: skip


class _Freely:
    """An adapter's `Dispatch` where nothing is asked before a mail leaves: it may leave twice."""

    def under_way(self) -> None:
        pass

    async def begin_ahead(self) -> None:
        pass

    async def before_dispatch(self) -> None:
        pass

    def before_last_byte(self) -> None:
        pass


def _pause_s(tries: int) -> float:
    return min(_FIRST_PAUSE_S * 2.0 ** min(max(tries - 1, 0), 20), _LONGEST_PAUSE_S)
