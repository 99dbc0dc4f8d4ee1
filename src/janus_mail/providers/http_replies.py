"""What an answer over HTTP means: one table for all services, each service's own rows before it, and the look-up."""

import logging
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from typing import NamedTuple

from janus_mail.providers.outcomes import (
    DeliveryError,
    MessageRejected,
    ProviderBroken,
    ProviderDown,
    Throttled,
    Uncertain,
)

logger = logging.getLogger(__name__)

_LONGEST_WAIT_S = 10_000_000  # 115 days; more than that is a point in time
_MILLISECONDS_FROM = 100_000_000_000  # the year 5138 in seconds

AnyError = Callable[[str, str], DeliveryError]


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: header names in lower case; `whole` is false where the body broke off or was longer than is read."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = True

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Problem(NamedTuple):
    """One complaint of a service's own error body. What the service does not name is empty."""

    message: str = ""
    field: str = ""  # which part of the request it is about
    code: str = ""  # for programs


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table; every condition that is given must hold.

    `statuses` lists them apart by blanks, `x` standing for any number. `code` is one that the service names, `field`
    and `text` are searched in what it complains of (`text` ignoring case), and one complaint must fit all three.
    `own_body`: only with the service's own error body, for a proxy on the way may answer in its place.
    """

    statuses: str
    error: AnyError
    code: str = ""
    field: str = ""
    text: str = ""
    own_body: bool = False


sender_broken: AnyError = partial(ProviderBroken, scope="sender")

# The first row that fits decides, after the service's own.
ROWS: tuple[Row, ...] = (
    Row("429", Throttled),
    Row("401 402", ProviderBroken),  # credentials, quota, suspended
    Row("403", ProviderBroken),  # which of them means the sender, the service's own rows say
    Row("3xx 404 405 415", ProviderBroken),  # a wrong address or set-up
    Row("400 413 422", MessageRejected),
    Row("409", Uncertain),  # same idempotency key, other payload: what was taken is not known
    Row("500 503", ProviderDown, own_body=True),
    # No answer of the service itself: what is behind may have taken the mail
    Row("408 5xx", Uncertain),
    Row("2xx", Uncertain),  # the service's own is told before; a captive portal is no email service
)


def classify(
    answer: Answer,
    problems: Sequence[Problem] = (),
    own_rows: Sequence[Row] = (),
    *,
    reset_header: str = "",
    as_if: int | None = None,
) -> DeliveryError:
    """The error that an answer other than the service's success means.

    `problems` is what its own error body says, empty where the body is none; `reset_header` names (in lower case) a
    header that says when requests are taken again, where the service has one; `as_if` is the status that a refusal in
    a success's clothes should have had.
    """
    code = " ".join(filter(None, (str(answer.status), next((p.code for p in problems if p.code), ""))))
    row = row_for(answer.status if as_if is None else as_if, problems, own_rows)
    if row is not None:
        error = row.error(code, answer.text)
    else:
        # The text stays out of the log: services like to repeat addresses in it.
        logger.warning("HTTP answer without a row of its own: %s", code)
        error = (MessageRejected if 400 <= answer.status < 500 else Uncertain)(code, answer.text)
    if isinstance(error, Throttled | ProviderDown):
        told_s = retry_after_s(answer.headers, reset_header)
        error.retry_after_s = error.retry_after_s if told_s is None else told_s  # some rows read it in the body
    return error


def row_for(status: int, problems: Sequence[Problem] = (), own_rows: Sequence[Row] = ()) -> Row | None:
    """The row that decides, None where the default does."""
    return next((row for row in (*own_rows, *ROWS) if _fits(row, status, problems)), None)


def retry_after_s(headers: Mapping[str, str], reset_header: str = "") -> float | None:
    """Seconds to wait: `Retry-After` (RFC 9110 10.2.3, seconds or a date), else the reset header, which holds
    seconds or a Unix time in seconds or milliseconds; None where neither is there or can be read. Times are counted
    from the server's own `Date`, so that no clock of ours matters."""
    given = headers.get("retry-after", "").strip()
    if given.isascii() and given.isdigit():
        return _finite(given)
    moment = _date_s(given) if given else None
    if moment is None and reset_header:
        moment = _finite(headers.get(reset_header, ""))
        if moment is not None and 0 <= moment < _LONGEST_WAIT_S:
            return moment
        if moment is not None and moment > _MILLISECONDS_FROM:
            moment /= 1000
    if moment is None:
        return None
    now_s = _date_s(headers.get("date", ""))
    return max(0.0, moment - (time.time() if now_s is None else now_s))


def _fits(row: Row, status: int, problems: Sequence[Problem]) -> bool:
    if not any(re.fullmatch(listed.replace("x", r"\d"), str(status)) for listed in row.statuses.split()):
        return False
    if row.own_body and not problems:
        return False
    return not (row.code or row.field or row.text) or any(_about(row, problem) for problem in problems)


def _about(row: Row, problem: Problem) -> bool:
    return (
        (not row.code or row.code == problem.code)
        and (not row.field or re.search(row.field, problem.field) is not None)
        and (not row.text or re.search(row.text, problem.message, re.IGNORECASE) is not None)
    )


def _date_s(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
