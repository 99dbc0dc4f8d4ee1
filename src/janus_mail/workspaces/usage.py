"""How many mails a workspace may schedule, and has: in a minute, and in a calendar month (UTC).

A mail counts for each of its recipients, once it is accepted, whatever becomes of it. The minute is counted with the
rate limits; the month in PostgreSQL, in the transaction that accepts, and only where it has a quota.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from math import ceil

from janus_mail.errors import NotFound, TooManyRequests
from janus_mail.settings import Settings
from janus_mail.storage.database import Connection
from janus_mail.web.context import Context
from janus_mail.web.limiter import Bucket
from janus_mail.workspaces import queries_usage as queries

# What became of each part of a request: null where it fits.
Refusals = list[TooManyRequests | None]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a workspace may and did; 0: any number. `used` is null where there is no monthly quota."""

    minute_quota: int
    monthly_quota: int
    used: int | None
    resets_at: datetime


async def over_minute(
    context: Context, workspace_id: uuid.UUID, quota: int, mails: Sequence[int], *, whole: bool
) -> Refusals:
    """Charges each part's mails, in their order as far as they fit; `whole`: all or nothing."""
    if not quota:
        return [None] * len(mails)
    bucket, wanted = Bucket(f"mails:{workspace_id}", quota), sum(mails)
    verdict = await context.limiter.charge([bucket], wanted)
    if verdict is None or verdict.fits:
        return [None] * len(mails)
    error = _over_minute(quota, wanted, verdict.tightest.reset_s)
    fit = [False] * len(mails) if whole else fitting(mails, verdict.tightest.remaining)
    some = sum(many for many, fits in zip(mails, fit, strict=True) if fits)
    if some:
        verdict = await context.limiter.charge([bucket], some)
        if verdict is not None and not verdict.fits:  # others came in between
            fit = [False] * len(mails)
    return [None if fits else error for fits in fit]


async def over_month(
    connection: Connection, workspace_id: uuid.UUID, quota: int, mails: Sequence[int], *, whole: bool
) -> Refusals:
    """The same for the month, in the transaction that stores what fits; others of this workspace wait for its end."""
    if not quota:
        return [None] * len(mails)
    row = await connection.fetchrow(queries.LOCK_USED, workspace_id)
    while row is None:
        await connection.execute(queries.COUNT_MONTH, workspace_id)
        row = await connection.fetchrow(queries.LOCK_USED, workspace_id)
    used, ends = row["used"], row["next"]
    left = max(quota - used, 0)
    fit = [sum(mails) <= left] * len(mails) if whole else fitting(mails, left)
    some = sum(many for many, fits in zip(mails, fit, strict=True) if fits)
    if some:
        await connection.execute(queries.ADD_USED, workspace_id, some)
    error = _over_month(quota, used, ends)
    return [None if fits else error for fits in fit]


async def read_usage(connection: Connection, workspace_id: uuid.UUID, settings: Settings) -> Usage:
    """Raises `NotFound` when the workspace is gone."""
    row = await connection.fetchrow(queries.USAGE, workspace_id)
    if row is None:
        raise NotFound("The workspace is gone.")
    minute = settings.minute_quota if row["minute_quota"] is None else row["minute_quota"]
    monthly = settings.monthly_quota if row["monthly_quota"] is None else row["monthly_quota"]
    used: int | None = row["used"]
    if monthly and used is None:
        used = await connection.fetchval(queries.SCHEDULED_THIS_MONTH, workspace_id)
    ends: date = row["next"]
    return Usage(minute, monthly, used if monthly else None, datetime(ends.year, ends.month, ends.day, tzinfo=UTC))


async def count_month(connection: Connection, workspace_id: uuid.UUID) -> None:
    """To be called when a monthly quota is set: without one nothing was counted."""
    await connection.execute(queries.COUNT_MONTH, workspace_id)


def fitting(mails: Sequence[int], left: int) -> list[bool]:
    """Which of them fit, each in its turn."""
    fit = []
    for many in mails:
        fit.append(many <= left)
        left -= many if many <= left else 0
    return fit


def _over_minute(quota: int, wanted: int, reset_s: int) -> TooManyRequests:
    if wanted > quota:
        message = f"This workspace may schedule {quota:,} mails a minute, not {wanted:,}: send fewer at once."
    else:
        message = f"This workspace may schedule {quota:,} mails a minute. Try again in {reset_s} seconds."
    return TooManyRequests(message, code="minute_quota_exceeded", retry_after_s=reset_s)


def _over_month(quota: int, used: int, ends: date) -> TooManyRequests:
    until = datetime(ends.year, ends.month, ends.day, tzinfo=UTC)
    return TooManyRequests(
        f"This workspace has scheduled {used:,} of {quota:,} mails of this month (until {ends.isoformat()}, UTC).",
        code="quota_exceeded",
        retry_after_s=max(ceil((until - datetime.now(UTC)).total_seconds()), 1),
    )
