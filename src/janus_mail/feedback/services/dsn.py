"""Bounces that come as mail: delivery status notifications (RFC 3464; RFC 6533 for addresses beyond ASCII).

Anybody can mail to the address that bounces go to, so a notification counts only for what it proves to have seen: the
Message-ID of our mail, a number that only its recipients can know. What else arrives there (absence notes, answers,
bounces in a form of their own) is taken and means nothing. Only the beginning of a mail is read: its header and the
report come first, and what was returned may be as long as it likes and nested as deep.
"""

import hashlib
import re
from datetime import datetime
from email.errors import MessageError
from email.message import Message
from email.parser import BytesParser, HeaderParser
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, Final

from janus_mail.feedback.reader import Happened, Post, Reader, Unreadable
from janus_mail.feedback.values import (
    Object,
    digest_of,
    message_uuid_of,
    present,
    recipient_of,
    smtp_details,
    time_of,
)
from janus_mail.models.states import FeedbackType

# Python's parser looks into messages within a message, each kind in its own way and none of them decoded. Under other
# names they are plain leaves, and what a returned mail holds is not taken for the notification's own.
_REPORT: Final = "text/x-janus-report"
_RETURNED: Final = "text/x-janus-returned"
_LEAVES: Final = (
    (re.compile(rb"(?im)^(content-type:\s*)message/(?:global-)?delivery-status\b"), _REPORT),
    (
        re.compile(rb"(?im)^(content-type:\s*)(?:message/(?:rfc822|global)(?:-headers)?|text/rfc822-headers)\b"),
        _RETURNED,
    ),
)
# Python's parser takes lines times nesting.
MOST_OCTETS: Final = 1024 * 1024
_MOST_LINES: Final = 20_000
_MOST_NESTED: Final = 10
_MOST_BLOCKS: Final = 1000  # recipients that one mail tells of
_BOUNDARY: Final = re.compile(rb"(?i)boundary[*\d\s]*=")
# RFC 3464 section 2.3.3. What failed is told apart by its status.
_ACTIONS: Final = {
    "delayed": FeedbackType.DEFERRED,
    "delivered": FeedbackType.DELIVERED,
    "relayed": FeedbackType.DELIVERED,
    "expanded": FeedbackType.DELIVERED,
}
_OUR_ID: Final = re.compile(r"<([0-9a-f]{32})@[^<>@\s]+>", re.IGNORECASE)
_STATUS: Final = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")
_BLANK_LINE: Final = re.compile(r"\n[ \t]*\n")
_ENCODED: Final = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")  # RFC 6533 section 3
_XTEXT: Final = re.compile(r"\+(2B|3D)")  # RFC 3461 section 4; another «+» belongs to the address
_TYPED: Final = re.compile(r"([A-Za-z0-9-]+)\s*;\s*(.*)", re.DOTALL)


class DsnReader(Reader):
    """One POST is one mail as it came (RFC 5322)."""

    keeps = frozenset()

    async def verify(self, config: Any, post: Post) -> None:
        """There is no signature: the token in the address proves that our own mail server posts."""

    def read(self, post: Post) -> list[Happened]:
        source = _beginning(post.body)
        own_head = _head(source)
        for kind, name in _LEAVES:
            source = kind.sub(rb"\1" + name.encode(), source)
        try:
            mail: Message = BytesParser().parsebytes(source)
            parts = [(part.get_content_type(), part) for part in mail.walk()]
            reports = [_headers(block) for kind, part in parts if kind == _REPORT for block in _blocks(part)]
            reports = [block for block in reports if block.get("action")]
            returned = [_headers(_text(part)) for kind, part in parts if kind == _RETURNED]
            message_uuid = _our_id(returned, _headers(own_head))
            source_digest = hashlib.sha256(post.body).hexdigest()
            return [_happened(block, message_uuid, source_digest, post) for block in reports]
        except (MessageError, LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise Unreadable(f"It is not mail that can be read: {type(error).__name__}") from None


READER: Final[Reader] = DsnReader()


def _happened(block: Object, message_uuid: str | None, source_digest: str, post: Post) -> Happened:
    action = block["action"].lower().partition(" ")[0]  # a comment may follow
    status = _STATUS.search(block.get("status", ""))
    code = status[0] if status else None
    kind = _ACTIONS.get(action, FeedbackType.UNKNOWN)
    if action == "failed":
        kind = FeedbackType.BOUNCED_SOFT if (code or "").startswith("4") else FeedbackType.BOUNCED_HARD
    diagnostic = _typed(block.get("diagnostic-code", ""))[1]
    final = _address(block.get("final-recipient", ""))
    recipient = _address(block.get("original-recipient", "")) or final  # the one that we wrote to
    # Servers give no id; the same is told again in the same words, or it is another mail.
    same = [message_uuid, recipient, action, code] if message_uuid else [source_digest, recipient, action]
    return Happened(
        key=f"dsn/{digest_of(same)}",
        type=kind,
        at=_time(block.get("last-attempt-date", "")) or post.received_at,
        recipient=recipient,
        message_uuid=message_uuid,
        reason=diagnostic or code or action,
        details=smtp_details(diagnostic)
        | present(
            action=action,
            status=code,
            server=_typed(block.get("remote-mta", ""))[1] or None,
            final_recipient=final if final != recipient else None,
        ),
        raw=block,
    )


def _beginning(mail: bytes) -> bytes:
    """As much as is read: up to so many octets, lines and announcements of parts."""
    mail = b"".join(mail[:MOST_OCTETS].splitlines(keepends=True)[:_MOST_LINES])
    beyond = next(islice(_BOUNDARY.finditer(mail), _MOST_NESTED, None), None)
    return mail if beyond is None else mail[: beyond.start()]


def _our_id(returned: list[Object], own: Object) -> str | None:
    """Janus's id of the mail that was returned, from its Message-ID; else of what the notification answers to."""
    named = [headers.get("message-id", "") for headers in returned]
    named += [own.get(name, "") for name in ("in-reply-to", "references")]
    found = next((ids[-1] for value in named if (ids := _OUR_ID.findall(value))), None)
    return message_uuid_of(found)


def _blocks(report: Message) -> list[str]:
    """Groups of fields: of the mail first, then one a recipient."""
    return _BLANK_LINE.split(_text(report).strip(), maxsplit=_MOST_BLOCKS)[:_MOST_BLOCKS]


def _text(part: Message) -> str:
    """Decoded, with LF; octets beyond ASCII are UTF-8 (RFC 6533)."""
    octets = part.get_payload(decode=True)
    return octets.decode("utf-8", "replace").replace("\r\n", "\n").lstrip() if isinstance(octets, bytes) else ""


def _head(mail: bytes) -> str:
    return mail.replace(b"\r\n", b"\n").lstrip().partition(b"\n\n")[0].decode("utf-8", "replace")


def _headers(text: str) -> Object:
    """The fields at the beginning, names in lower case, values in one line; the first of several."""
    fields: Object = {}
    for name, value in HeaderParser().parsestr(_BLANK_LINE.split(text, maxsplit=1)[0]).items():
        fields.setdefault(name.lower(), " ".join(str(value).split()))
    return fields


def _typed(value: str) -> tuple[str, str]:
    """`smtp; 550 5.1.1 …` as its type, in lower case, and the rest."""
    typed = _TYPED.fullmatch(value)
    return (typed[1].lower(), typed[2].strip()) if typed else ("", value)


def _address(value: str) -> str | None:
    """`rfc822; ann@example.org`; `utf-8; …` may hold `\\x{…}` for what its writer could not write."""
    kind, text = _typed(value)
    if kind == "utf-8":
        text = _ENCODED.sub(lambda hexadecimal: chr(min(int(hexadecimal[1], 16), 0x10FFFF)), text)
    elif kind == "rfc822":
        text = _XTEXT.sub(lambda hexadecimal: chr(int(hexadecimal[1], 16)), text)
    return recipient_of(text.strip("<>"))


def _time(value: str) -> datetime | None:
    try:
        return time_of(parsedate_to_datetime(value).isoformat())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
