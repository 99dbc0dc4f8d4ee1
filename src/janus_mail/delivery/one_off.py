"""One mail, at once, through one provider alone: whatever its circuit, its limits and the queue say.

It is recorded as every mail is: begun before anything can leave, finished when there is an answer. What a crash leaves
behind, the patrol finds as it finds a dead worker's.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from uuid_utils.compat import uuid7

from janus_mail.availability.provider_book import ConfiguredProvider
from janus_mail.content.addresses import Mailbox
from janus_mail.delivery.attempt import Attempt
from janus_mail.delivery.control import cancel
from janus_mail.delivery.decide import Verdict
from janus_mail.delivery.hold import Hold, LeaseLost
from janus_mail.delivery.letters import Letters, outgoing
from janus_mail.delivery.queries import one_off
from janus_mail.delivery.record import Recorder
from janus_mail.models.states import OnUncertain, State
from janus_mail.providers.contract import Accepted, Adapter
from janus_mail.providers.outcomes import DeliveryError, ProviderDown, Uncertain
from janus_mail.storage.database import Database
from janus_mail.telemetry.boot_clock import boot_clock_s

MOST_S = 45.0  # for the try; after it nobody waits for the answer
_LEASE_S = 90.0

_log = logging.getLogger(__name__)


class Busy(Exception):
    """Another one is under way through this provider."""


class NotBegun(Exception):
    """It was canceled, or its workspace paused, before it began to leave here.

    `taken_over`: it could not be called back, for by then somebody else sends it.
    """

    def __init__(self, event_id: uuid.UUID, *, taken_over: bool) -> None:
        super().__init__(f"event {event_id}")
        self.event_id = event_id
        self.taken_over = taken_over


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOff:
    """What is sent, to one person."""

    subject: str
    text: str
    html: str
    recipient: str
    from_email: str
    from_name: str | None
    created_by: str


async def send_one(
    database: Database,
    provider: ConfiguredProvider,
    mail: OneOff,
    *,
    grace_s: float,
    evidence_s: float,
    discreet: Callable[[str], str],
) -> Hold:
    """Returns the message when the end of its one try is committed. Raises `Busy` and `NotBegun`.

    `discreet` takes out of what the server said what nobody is to read.
    """
    recorder = Recorder(database, provider.id, lease_s=_LEASE_S, grace_s=grace_s, evidence_s=evidence_s)
    hold = await _lease(database, provider, mail)
    event = (await Letters(database).of([hold]))[hold.event_id]
    out = outgoing(hold, event, Mailbox(mail.from_email, mail.from_name), provider.id)
    attempt = Attempt(recorder, hold, provider, out, patience_s=None)
    assert provider.adapter is not None  # noqa: S101  (the caller saw to it)
    try:
        ended = await _through(attempt, provider.adapter)
    except LeaseLost:
        if not attempt.opened:
            raise await _called_back(database, hold) from None
        ended = (
            Uncertain("lease_lost") if attempt.dispatched else ProviderDown("taken_back", "It had not begun to leave.")
        )
    if isinstance(ended, Accepted):
        said = replace(ended, response=discreet(ended.response))
        finish = attempt.accepted(said, Verdict(State.SENT), ())
    else:
        ended.response = discreet(ended.response)
        state = State.UNCERTAIN if isinstance(ended, Uncertain) else State.FAILED
        finish = attempt.failed(ended, Verdict(state), ())
    if not await recorder.finish(finish) and isinstance(ended, Accepted):
        await recorder.late_proof(finish)
    return hold


async def _lease(database: Database, provider: ConfiguredProvider, mail: OneOff) -> Hold:
    asked_at_s = boot_clock_s()
    async with database.transaction() as connection:
        await connection.execute(one_off.LOCK_PROVIDER, provider.id)
        row = await connection.fetchrow(
            one_off.LEASE, uuid7(), provider.workspace_id, provider.id, uuid7(), _LEASE_S, mail.subject, mail.text,
            mail.html, mail.from_email, mail.from_name, mail.recipient, provider.name,
            mail.created_by, OnUncertain.PARK,
        )  # fmt: skip
    if row is None:
        raise Busy
    return Hold.of(row, asked_at_s=asked_at_s, lease_s=_LEASE_S)


async def _called_back(database: Database, hold: Hold) -> NotBegun:
    """A pause gives to the queue what it takes back, and once it is over a worker may have it: there it ends."""
    async with database.transaction() as connection:
        done = await cancel(connection, hold.workspace_id, hold.event_id)
    return NotBegun(hold.event_id, taken_over=done.too_late > 0)


async def _through(attempt: Attempt, adapter: Adapter) -> Accepted | DeliveryError:
    """How it ended, whatever happened. Raises `LeaseLost`."""
    try:
        async with asyncio.timeout(MOST_S):
            return await attempt.through(adapter)
    except DeliveryError as error:
        return error
    except LeaseLost:
        raise
    except TimeoutError:
        return Uncertain("timeout") if attempt.dispatched else ProviderDown("timeout")
    except Exception:
        _log.exception("a mail outside the queue: the adapter failed")
        return Uncertain("internal_error") if attempt.dispatched else ProviderDown("internal_error")
