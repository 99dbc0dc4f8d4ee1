"""Reading a file of addresses: our own export, another service's list, or a bare column. Pure."""

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple
from uuid import UUID

from janus_mail.content.addresses import InvalidAddress, parse_mailbox
from janus_mail.content.characters import UNFIT_IN_NAME
from janus_mail.errors import InvalidInput
from janus_mail.models.states import SuppressionReason
from janus_mail.web.csv_cells import unguarded

COLUMNS: Final = ("address", "reason", "since", "source", "message_id")
MAX_SOURCE: Final = 200
_CLOCKS_DIFFER: Final = timedelta(minutes=5)  # ours, and that of whoever wrote the file
_ADDRESS_NAMES: Final = frozenset({"address", "email", "e-mail", "email address", "recipient"})
_REASONS: Final[Mapping[str, SuppressionReason]] = {
    "": SuppressionReason.MANUAL,
    **{reason.value: reason for reason in SuppressionReason},
    "bounce": SuppressionReason.HARD_BOUNCE,
    "bounced": SuppressionReason.HARD_BOUNCE,
    "spam": SuppressionReason.COMPLAINT,
    "spam_complaint": SuppressionReason.COMPLAINT,
    "spam_report": SuppressionReason.COMPLAINT,
    "unsubscribed": SuppressionReason.UNSUBSCRIBE,
}


class Line(NamedTuple):
    """One line that can be imported. `source` is empty and `since` null where the file does not say them."""

    number: int  # from 1
    address: str  # in wire form
    reason: SuppressionReason
    since: datetime | None
    source: str
    message_id: UUID | None


class BadLine(NamedTuple):
    """One that cannot, and why, in a sentence."""

    number: int
    error: str


class _Wrong(ValueError):
    """A line cannot be imported; the sentence says why."""


class CsvFile:
    """Gives its lines in parts, so that the largest file is never in memory as objects."""

    def __init__(self, data: bytes) -> None:
        """Raises InvalidInput (`not_utf8`, `no_address_column`)."""
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            number = data.count(b"\n", 0, error.start) + 1
            message = f"The file is not UTF-8 from line {number} on: save it as “CSV UTF-8”."
            raise InvalidInput(message, code="not_utf8") from None
        self._columns: dict[str, int] = {name: place for place, name in enumerate(COLUMNS)}
        self._has_header = False
        self._reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
        self._lines = self._read()

    def take(self, most: int) -> list[Line | BadLine]:
        """The next lines, up to so many; none at the end."""
        return list(islice(self._lines, most))

    def _read(self) -> Iterator[Line | BadLine]:
        first = True
        while True:
            number = self._reader.line_num + 1
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield BadLine(number, f"It cannot be read as CSV: {error}.")
                continue
            if not any(cell.strip() for cell in cells):
                continue
            if first:
                first = False
                if self._is_header(cells):
                    continue
            try:
                yield self._line(number, cells)
            except _Wrong as error:
                yield BadLine(number, str(error))

    def _is_header(self, cells: list[str]) -> bool:
        """And if it is one, what it names. Raises InvalidInput."""
        names = [cell.strip().lower() for cell in cells]
        address = next((place for place, name in enumerate(names) if name in _ADDRESS_NAMES), None)
        if address is None:
            if names[0] not in COLUMNS or "@" in "".join(names):
                return False
            raise InvalidInput("The first line names no column `address`.", code="no_address_column")
        self._has_header = True
        self._columns = {**{name: names.index(name) for name in COLUMNS if name in names}, "address": address}
        return True

    def _line(self, number: int, cells: list[str]) -> Line:
        """Raises _Wrong."""
        if not self._has_header and any(cell.strip() for cell in cells[len(COLUMNS) :]):
            raise _Wrong(f"It has more than {len(COLUMNS)} columns: name them in the first line.")
        given = {
            name: unguarded(cells[place]) if place < len(cells) else "" for name, place in self._columns.items()
        }  # fmt: skip
        return Line(
            number, _address(given["address"].strip()), _reason(given.get("reason", "")),
            _since(given.get("since", "").strip()), _source(given.get("source", "")),
            _message_id(given.get("message_id", "").strip()),
        )  # fmt: skip


def _delimiter(text: str) -> str:
    """Spreadsheets write semicolons where the comma is a decimal sign."""
    first = text[:10_000].lstrip().partition("\n")[0]
    return max((",", ";", "\t"), key=first.count)


def _address(text: str) -> str:
    if not text:
        raise _Wrong("There is no address.")
    try:
        return parse_mailbox(text).address
    except InvalidAddress as error:
        raise _Wrong(error.reason) from None


def _reason(text: str) -> SuppressionReason:
    word = "_".join(text.strip().lower().replace("-", " ").replace("_", " ").split())
    if word not in _REASONS:
        known = ", ".join(reason.value for reason in SuppressionReason)
        raise _Wrong(f"{_shown(text)} is no reason: there are {known}.")
    return _REASONS[word]


def _since(text: str) -> datetime | None:
    """Without an offset it is UTC."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise _Wrong(f"{_shown(text)} is no time: use ISO 8601, such as 2026-11-21T12:00:00Z.") from None
    if not 1970 <= at.year < 9999:
        raise _Wrong(f"{_shown(text)} is no time that an address can be here since.")
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    if at > datetime.now(UTC) + _CLOCKS_DIFFER:
        raise _Wrong(f"{_shown(text)} is in the future.")
    return at


def _source(text: str) -> str:
    if len(text) > MAX_SOURCE:
        raise _Wrong(f"Its source is longer than {MAX_SOURCE} characters.")
    if UNFIT_IN_NAME.search(text):
        raise _Wrong("Its source has a line break or a control character.")
    return text


def _message_id(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise _Wrong(f"{_shown(text)} is not the id of a message.") from None


def _shown(text: str) -> str:
    """For a sentence about it."""
    plain = UNFIT_IN_NAME.sub(" ", text.strip())
    return plain if len(plain) <= 60 else plain[:59] + "…"
