"""Accepting many events in one transaction."""

import asyncio
import uuid
from collections.abc import Sequence

from janus_mail.accounts.callers import Caller
from janus_mail.errors import ApiError, Detail, InvalidInput
from janus_mail.events.accept import announce
from janus_mail.events.answers import BatchAnswer, BatchItem, BatchRefusal
from janus_mail.events.attachments import read_files
from janus_mail.events.intake import insert, read_facts
from janus_mail.events.rows import NewEvent
from janus_mail.events.schemas import EventCreate, Refused
from janus_mail.events.suppressed import warn_of_suppressed
from janus_mail.events.understand import Facts, understand
from janus_mail.models.states import EventStatus
from janus_mail.storage.database import Connection
from janus_mail.web import idempotency
from janus_mail.web.context import Context
from janus_mail.web.idempotency import OnceOnly
from janus_mail.workspaces.usage import Refusals, over_minute, over_month

MAX_MESSAGES = 100_000

_MOST_NAMED = 20
_AT_ONCE = 50  # understood in one go, before other requests have their turn


async def accept_batch(
    context: Context,
    caller: Caller,
    events: Sequence[EventCreate | Refused],
    *,
    permissive: bool,
    once: OnceOnly | None = None,
) -> tuple[BatchAnswer, bool]:
    """Strict: all or none; permissive: the good ones. True when `once` had been answered before.

    Raises InvalidInput (`invalid_batch`, `too_many_messages`), TooManyRequests for a quota, or Conflict for the key.
    """
    async with context.database.transaction() as connection:
        kept = await idempotency.begin(connection, caller.workspace_id, once) if once else None
        if kept is not None:
            return BatchAnswer.model_validate(kept.answer), True
        facts = await read_facts(context, connection, caller.workspace_id)
        made = await _understand(events, facts, caller)
        refused = {index: event.error for index, event in enumerate(made) if isinstance(event, Refused)}
        if refused and not permissive:
            raise _invalid_batch(refused, len(made))
        _check_messages(made)
        await _keep_to_quotas(context, connection, facts, made, permissive=permissive)
        new = [event for event in made if isinstance(event, NewEvent)]
        if facts.suppresses:
            await warn_of_suppressed(connection, new)
        answer = _answer(made)
        await _store(context, connection, caller, new, answer, once)
    await announce(context, caller.workspace_id, new)
    return answer, False


async def _understand(
    events: Sequence[EventCreate | Refused], facts: Facts, caller: Caller
) -> list[NewEvent | Refused]:
    made: list[NewEvent | Refused] = []
    for index, event in enumerate(events):
        if index % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        if isinstance(event, Refused):
            made.append(event)
            continue
        try:
            files = await read_files(event.attachments)
            made.append(
                understand(event, facts, workspace_id=caller.workspace_id, created_by=caller.label, files=files)
            )
        except InvalidInput as error:
            made.append(Refused(error))
    return made


def _check_messages(made: Sequence[NewEvent | Refused]) -> None:
    """Before quotas are charged. Raises InvalidInput."""
    messages = sum(len(event.messages) for event in made if isinstance(event, NewEvent))
    if messages > MAX_MESSAGES:
        message = f"A batch may make up to {MAX_MESSAGES:,} messages; this one makes {messages:,}."
        raise InvalidInput(message, code="too_many_messages", details=[Detail("events", message)])


async def _keep_to_quotas(
    context: Context, connection: Connection, facts: Facts, made: list[NewEvent | Refused], *, permissive: bool
) -> None:
    """Puts a `Refused` in the place of each that goes beyond one. Strict: raises TooManyRequests instead."""

    async def minute(workspace_id: uuid.UUID, mails: Sequence[int]) -> Refusals:
        return await over_minute(context, workspace_id, facts.minute_quota, mails, whole=not permissive)

    async def month(workspace_id: uuid.UUID, mails: Sequence[int]) -> Refusals:
        return await over_month(connection, workspace_id, facts.monthly_quota, mails, whole=not permissive)

    for over in (minute, month):
        new = [(place, event) for place, event in enumerate(made) if isinstance(event, NewEvent)]
        if not new:
            return
        refusals = await over(new[0][1].row.workspace_id, [event.mails for _, event in new])
        for (place, _), refusal in zip(new, refusals, strict=True):
            if refusal is None:
                continue
            if not permissive:
                raise refusal
            made[place] = Refused(refusal)


async def _store(
    context: Context,
    connection: Connection,
    caller: Caller,
    new: Sequence[NewEvent],
    answer: BatchAnswer,
    once: OnceOnly | None,
) -> None:
    if new:
        await insert(connection, new, context.settings.give_up_seconds)
    if once is not None:
        await idempotency.keep(connection, caller.workspace_id, once, answer=answer.model_dump(mode="json"))


def _answer(made: Sequence[NewEvent | Refused]) -> BatchAnswer:
    data: list[BatchItem | BatchRefusal] = []
    for index, event in enumerate(made):
        if isinstance(event, Refused):
            data.append(BatchRefusal(error=event.error.message, code=event.error.code, index=index))
        else:
            data.append(BatchItem(id=event.row.id, status=EventStatus.PENDING))
    accepted = sum(isinstance(item, BatchItem) for item in data)
    return BatchAnswer(data=data, accepted=accepted, rejected=len(data) - accepted)


def _invalid_batch(refused: dict[int, ApiError], total: int) -> InvalidInput:
    details: list[Detail] = []
    for index, error in refused.items():
        details += [
            Detail(f"events[{index}].{detail.field}".removesuffix("."), detail.message)
            for detail in error.details or (Detail("", error.message),)
        ]
    first, error = next(iter(refused.items()))
    return InvalidInput(
        f"{len(refused)} of {total} events cannot be accepted, so none was. events[{first}]: {error.message}",
        code="invalid_batch",
        details=details[:_MOST_NAMED],
    )
