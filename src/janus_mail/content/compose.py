"""The bytes of a mail (RFC 5322). What all recipients of an event share is built once; the rest is filled per mail."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from hashlib import sha256
from html import escape
from typing import NamedTuple

from janus_mail.content.addresses import Mailbox
from janus_mail.content.body import TextPart, encode_text, normal_line_ends
from janus_mail.content.characters import InvalidText, check_text
from janus_mail.content.files import File
from janus_mail.content.headers import check_custom_header, encode_mailboxes, encode_unstructured
from janus_mail.content.text_from_html import text_from_html
from janus_mail.content.variables import InvalidVariable, Template, check_header_values, values_for

_MESSAGE_ID = re.compile(r"<[!-;=?A-~]+@[!-;=?A-~]+>", re.ASCII)


@dataclass(frozen=True, slots=True)
class Content:
    """What an event says, once, with its placeholders. At least one of `text` and `html` is given."""

    subject: str
    text: str | None
    html: str | None
    reply_to: tuple[Mailbox, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    files: tuple[File, ...] = ()


@dataclass(frozen=True, slots=True)
class Composed:
    """One mail: the message in `pieces`, with CRLF and no dot-stuffing, and the subject as the recipient reads it.

    `smtputf8` says that a header holds an address beyond ASCII (RFC 6532); of the envelope it says nothing.
    """

    pieces: tuple[bytes, ...] = field(repr=False)  # those of files are shared by all who have them
    smtputf8: bool
    subject: str

    @property
    def size(self) -> int:
        """Octets."""
        return sum(map(len, self.pieces))

    @property
    def content(self) -> bytes:
        """The whole message, made anew each time: a large one is not to be held longer than it is needed."""
        return b"".join(self.pieces)


class Texts(NamedTuple):
    """What one mail says, filled: for services that build the bytes themselves."""

    text: str
    html: str | None


class _Filled(NamedTuple):
    subject: str
    subject_line: bytes
    body: tuple[bytes, ...]  # in pieces, from MIME-Version on: files are shared and not copied


class Letter:
    """The part that all recipients of one event and one sender share, built once.

    Equal arguments give equal bytes, so that a mail sent again is the same mail. Raises InvalidAddress, InvalidHeader,
    InvalidText.
    """

    def __init__(self, content: Content, sender: Mailbox, *, boundary_seed: str) -> None:
        for name, value in content.headers:
            check_custom_header(name, value)
        self._text, self._html = text, html = _templates(content)
        self._subject = Template(content.subject)
        self._html_names = html.names if html else frozenset()
        self._names = self._subject.names.union(text.names, self._html_names)
        self._smtputf8 = sender.needs_smtputf8 or any(mailbox.needs_smtputf8 for mailbox in content.reply_to)
        self._from = _from_header(sender)
        self._reply_to = encode_mailboxes("Reply-To", content.reply_to, smtputf8=True) if content.reply_to else b""
        # Also with placeholders, so that a subject that no mail can have is refused here.
        self._subject_line = encode_unstructured("Subject", content.subject)
        self._headers = b"".join(encode_unstructured(name, value) for name, value in content.headers)
        self._text_part = _part(text, "plain")
        self._html_part = _part(html, "html") if html else None
        self._shown = tuple(f.part(inline=True) for f in content.files if html and f.content_id is not None)
        self._attached = tuple(f.part(inline=False) for f in content.files if not html or f.content_id is None)
        self._boundary_seed = boundary_seed
        self._shared = None if self._names else self._fill({})

    def compose(
        self,
        *,
        to: Sequence[Mailbox],
        cc: Sequence[Mailbox] = (),
        variables: Mapping[str, str],
        message_id: str,
        date: datetime,
    ) -> Composed:
        """One mail. `{{name}}` and `{{email}}` are those of a sole mailbox in `to`, unless `variables` has them.

        `to` is not empty, `date` is aware, `message_id` has its angle brackets. Raises InvalidVariable, InvalidAddress.
        """
        if _MESSAGE_ID.fullmatch(message_id) is None:
            raise ValueError(f"not a Message-ID: {message_id!r}")
        if date.tzinfo is None:
            raise ValueError("The date must be aware.")
        filled = self._shared or self._fill(values_for(to[0], variables) if len(to) == 1 else variables)
        smtputf8 = self._smtputf8 or any(mailbox.needs_smtputf8 for mailbox in (*to, *cc))
        pieces = (
            _date_header(date),
            self._from,
            encode_mailboxes("To", to, smtputf8=True),
            encode_mailboxes("Cc", cc, smtputf8=True) if cc else b"",
            self._reply_to,
            filled.subject_line,
            f"Message-ID: {message_id}\r\n".encode("ascii"),
            self._headers,
            *filled.body,
        )
        return Composed(pieces, smtputf8, filled.subject)

    def texts(self, *, to: Sequence[Mailbox], variables: Mapping[str, str]) -> Texts:
        """The bodies of the same mail with LF, the text made from the HTML where only that was given.

        `to` and `variables` as for `compose`. Raises InvalidVariable.
        """
        values = _checked(self._names, values_for(to[0], variables) if len(to) == 1 else variables)
        text = normal_line_ends(self._text.fill(values))
        if self._html is None:
            return Texts(text, None)
        return Texts(text, normal_line_ends(self._html.fill({name: escape(values[name]) for name in self._html_names})))

    def _fill(self, variables: Mapping[str, str]) -> _Filled:
        values = _checked(self._names, variables)
        subject, subject_line = self._subject.text, self._subject_line
        if self._subject.names:
            check_header_values(self._subject.names, variables)
            subject = self._subject.fill(variables)
            subject_line = encode_unstructured("Subject", subject)
        text = _encoded(self._text_part, values)
        html = None
        if self._html_part is not None:
            html = _encoded(self._html_part, {name: escape(values[name]) for name in self._html_names})
        return _Filled(subject, subject_line, self._body(text, html))

    def _body(self, text: bytes, html: bytes | None) -> tuple[bytes, ...]:
        """multipart/mixed(multipart/alternative(text, multipart/related(HTML, its images)), the other files), and no
        level that holds one part alone (RFC 2046 5.1, RFC 2387)."""
        body: tuple[bytes, ...]
        if html is None:
            body = (text if text.endswith(b"\r\n") else text + b"\r\n",)
        else:
            shown: tuple[bytes, ...] = (html,)
            if self._shown:
                boundary = self._boundary(" related", text, html)
                shown = _multipart(b'related; type="text/html"', boundary, (shown, *self._shown))
            body = _multipart(b"alternative", self._boundary("", text, html), ((text,), shown))
        if self._attached:
            body = _multipart(b"mixed", self._boundary(" mixed", text, html or b""), (body, *self._attached))
        return (b"MIME-Version: 1.0\r\n", *body)

    def _boundary(self, level: str, text: bytes, html: bytes) -> bytes:
        """One that stands in neither; the base64 of files has no «=_»."""
        number = 0
        while (boundary := _boundary(self._boundary_seed + level, number)) in text or boundary in html:
            number += 1
        return boundary


def _multipart(subtype: bytes, boundary: bytes, parts: Iterable[Iterable[bytes]]) -> tuple[bytes, ...]:
    pieces = [b'Content-Type: multipart/%b; boundary="%b"\r\n' % (subtype, boundary)]
    for part in parts:
        pieces += (b"\r\n--%b\r\n" % boundary, *part)
    pieces.append(b"\r\n--%b--\r\n" % boundary)
    return tuple(pieces)


@lru_cache(maxsize=64)  # a busy second's mails share it
def _date_header(date: datetime) -> bytes:
    return f"Date: {format_datetime(date.astimezone(UTC))}\r\n".encode("ascii")


@lru_cache(maxsize=256)
def _from_header(sender: Mailbox) -> bytes:
    return encode_mailboxes("From", [sender], smtputf8=True)


def message_id(unique_hex: str, domain: str) -> str:
    """`<hex@domain>` (RFC 5322 3.6.4)."""
    value = f"<{unique_hex}@{domain}>"
    if _MESSAGE_ID.fullmatch(value) is None:
        raise ValueError(f"not fit for a Message-ID: {value!r}")
    return value


def _templates(content: Content) -> tuple[Template, Template | None]:
    """The text, made from the HTML where there is none, and the HTML if any."""
    html = None if content.html is None else Template(content.html)
    if content.text is not None:
        return Template(content.text), html
    if html is None:
        raise ValueError("A mail needs text or HTML.")
    # Tags that split a placeholder in the HTML are gone in the text: only what the HTML has filled is filled.
    return Template(text_from_html(html.text), html.names), html


def _part(template: Template, subtype: str) -> TextPart | bytes:
    return TextPart(template, subtype) if template.names else encode_text(template.text, subtype)


def _encoded(part: TextPart | bytes, values: Mapping[str, str]) -> bytes:
    return part if isinstance(part, bytes) else part.encode(values)


def _checked(names: Iterable[str], variables: Mapping[str, str]) -> dict[str, str]:
    """The values of `names` as bodies need them: with LF, and without what no mail can carry."""
    values: dict[str, str] = {}
    for name in names:
        if name not in variables:
            raise InvalidVariable(name, "It is missing.")
        try:
            check_text(variables[name])
        except InvalidText as error:
            raise InvalidVariable(name, str(error)) from None
        values[name] = normal_line_ends(variables[name])
    return values


@lru_cache(maxsize=256)  # all mails of an event share it
def _boundary(seed: str, number: int) -> bytes:
    """Never inside quoted-printable or base64, which have no «=_» (RFC 2045 6.7)."""
    return b"=_" + sha256(f"{number} {seed}".encode()).hexdigest()[:24].encode("ascii")
