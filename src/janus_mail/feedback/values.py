"""Single values out of what a service posted. No shape is taken for granted: what is not there or is of another type
comes as None, never as an error."""

import hashlib
import json
import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from janus_mail.content.addresses import InvalidAddress, parse_mailbox
from janus_mail.feedback.reader import Unreadable
from janus_mail.models.states import FeedbackType
from janus_mail.providers.contract import MESSAGE_ID

MAX_KEY_LENGTH = 200
MESSAGE_UUID_NAME = MESSAGE_ID  # under which every service carries Janus's own id of a mail

Object = dict[str, Any]

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")  # of an even number of backslashes each pair is one backslash
_MILLISECONDS_FROM = 1e11  # as seconds it is the year 5138, as milliseconds 1973

# A reply code is one only at the start, behind a label («smtp;», «bounced (») or before an enhanced code.
_REPLY_CODE = re.compile(r"(?:^|[;:(])\s*([245][0-5]\d)(?=[ -])|(?<![\d.])([245][0-5]\d)[ -](?=[245]\.\d)")
_ENHANCED_CODE = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")


def parse_json(source: bytes | str) -> Any:
    """The value, without what PostgreSQL cannot store: of strings NULs are left out and lone surrogates become «?».
    Raises `Unreadable`."""
    written = source.encode("utf-8", "replace") if isinstance(source, str) else source
    if rb"\u0000" in written:
        written = _NUL.sub(rb"\1", written)
    try:
        try:
            value = orjson.loads(written)
        except orjson.JSONDecodeError:  # a lone surrogate is no reason to lose a batch
            value = orjson.loads(json.dumps(json.loads(written), ensure_ascii=False).encode("utf-8", "replace"))
        orjson.dumps(value)  # what is nested too deep to be written could not be stored either
    except (ValueError, TypeError, RecursionError) as error:
        raise Unreadable(f"It is not JSON: {error}") from None
    return value


def events_among(values: Any, word: str) -> list[Object]:
    """Those of a list that say under `word` what happened. Raises `Unreadable` where there are values and none does."""
    if not isinstance(values, list):
        raise Unreadable("It is not a list of events.")
    events = [value for value in values if isinstance(value, dict) and text_of(value.get(word))]
    if values and not events:
        raise Unreadable(f"No event says under «{word}» what happened.")
    return events


def inside(value: Any, *names: str) -> Any:
    """What lies under these names, one within the other."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def text_of(value: Any) -> str | None:
    """Text, or a number as text, without the space around it; None where nothing is left."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value).strip() or None


def whole_number_of(value: Any) -> int | None:
    """A whole number, also as text."""
    said = text_of(value)
    return int(said) if said and said.isascii() and said.isdigit() and len(said) < 16 else None


def first_text(*values: Any) -> str | None:
    """The first of them that says something."""
    return next(filter(None, map(text_of, values)), None)


def time_of(value: Any) -> datetime | None:
    """A moment in UTC: ISO 8601 (of more than six decimals the rest is cut, without an offset it is UTC), Unix seconds
    or, as its size tells, milliseconds; numbers also as text."""
    said = text_of(value)
    if said is None:
        return None
    try:
        number = float(said)
    except ValueError:
        number = None
    try:
        if number is not None:
            return datetime.fromtimestamp(number / 1000 if number > _MILLISECONDS_FROM else number, UTC)
        moment = datetime.fromisoformat(said)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None


def recipient_of(value: Any) -> str | None:
    """An address in wire form, its domain in lower case; None where it cannot be mailed."""
    said = text_of(value)
    if said is None:
        return None
    try:
        return parse_mailbox(said).address
    except InvalidAddress:
        return None


def message_uuid_of(value: Any) -> str | None:
    """Janus's own id as the service gave it back: text, or a list of one (SES)."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    try:
        return str(uuid.UUID(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def in_angle_brackets(message_id: str | None) -> str | None:
    """A Message-ID as it stands in its header, for services that take the brackets off where they tell of a mail."""
    return f"<{message_id.strip('<>')}>" if message_id else None


def smtp_details(said: str | None) -> dict[str, Any]:
    """`smtp_code` and `status` (RFC 3463), as far as a server's answer has them."""
    reply = _REPLY_CODE.search(said) if said else None
    enhanced = _ENHANCED_CODE.search(said) if said else None
    return present(smtp_code=int(reply[1] or reply[2]) if reply else None, status=enhanced[1] if enhanced else None)


def unknown(kind: FeedbackType, word: str) -> str | None:
    """The service's word for what happened, where we have none of our own: all that can be said of it."""
    return word if kind is FeedbackType.UNKNOWN else None


def present(**details: Any) -> dict[str, Any]:
    """The details that are there."""
    return {name: value for name, value in details.items() if value is not None}


def key_of(*parts: str | None) -> str:
    """A key made of a service's id and what else tells two events apart."""
    key = "/".join(part or "" for part in parts)
    return key if len(key) <= MAX_KEY_LENGTH and key.isprintable() else digest_of(parts)


def digest_of(value: Sequence[Any] | Object) -> str:
    """A key made of everything that makes an event this one, for services that give their events no id."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
