"""Header lines (RFC 5322): encoding, folding, and which headers callers may set."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from operator import itemgetter

from janus_mail.content.addresses import InvalidAddress, Mailbox
from janus_mail.content.characters import UNFIT_IN_HEADER, UNFIT_IN_NAME
from janus_mail.content.encoded_words import LEAST_ROOM, encode_words

MAX_NAME_LENGTH = 126  # Amazon SES's limit, the smallest known
_FOLD_AT = 78  # RFC 5322 2.1.1
_FOLD_ENCODED_AT = 76  # RFC 2047 2: a line with an encoded-word
_MAX_WORD = 800  # a longer word is encoded, so that a line with name, gap and word stays within 998 octets
_MAX_GAP = _FOLD_ENCODED_AT - LEAST_ROOM  # a longer gap is encoded, so that an encoded-word fits behind any other

_NAME = re.compile(r"[!-9;-~]+", re.ASCII)
_WORD = re.compile(r"[^ \t]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)

OWNED_HEADERS = frozenset(
    {
        "apparently-to",
        "authentication-results",
        "bcc",
        "cc",
        "date",
        "delivered-to",
        "dkim-signature",
        "domainkey-signature",
        "from",
        "message-id",
        "mime-version",
        "received",
        "received-spf",
        "reply-to",
        "return-path",
        "sender",
        "subject",
        "to",
    }
)
OWNED_PREFIXES = ("arc-", "content-", "resent-")


class InvalidHeader(ValueError):
    """A header that cannot be sent as given, or that Janus writes itself."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"Header {name}: {reason}")
        self.name = name
        self.reason = reason


def valid_header_name(name: str) -> bool:
    """Whether RFC 5322 2.2 allows the name: printable ASCII without space and colon, 1 to 126 characters."""
    return len(name) <= MAX_NAME_LENGTH and _NAME.fullmatch(name) is not None


def check_header_value(name: str, value: str) -> None:
    """Refuse line breaks, control characters but the tab, and half surrogate pairs. Raises InvalidHeader."""
    # The second test alone would do; the first spares nearly every value the scan.
    if not value.isprintable() and UNFIT_IN_HEADER.search(value):
        raise InvalidHeader(name, "It has a line break or a control character.")


def check_custom_header(name: str, value: str) -> None:
    """Refuse a header that a caller may not set, or not so. Raises InvalidHeader."""
    if not valid_header_name(name):
        raise InvalidHeader(name, "A name is 1 to 126 printable ASCII characters without spaces and colons.")
    lowered = name.lower()
    if lowered in OWNED_HEADERS or lowered.startswith(OWNED_PREFIXES):
        raise InvalidHeader(name, "Janus writes this header itself.")
    check_header_value(name, value)


def encode_unstructured(name: str, value: str) -> bytes:
    """The header with its line ends. A reader gets back exactly `value`. Raises InvalidHeader."""
    check_header_value(name, value)
    if len(name) + 2 + len(value) <= _FOLD_AT and value.isascii() and _stays_plain(value):
        return f"{name}: {value}\r\n".encode("ascii")
    lines = _Lines(name)
    lines.add_runs(value, _runs(value))
    return lines.to_bytes()


def encode_mailboxes(name: str, mailboxes: Sequence[Mailbox], *, smtputf8: bool = False) -> bytes:
    """An address header with its line ends; names are atoms, quoted or encoded (RFC 2047 5(3)).

    A local part beyond ASCII is written as UTF-8 where `smtputf8` allows it (RFC 6532). Raises InvalidAddress.
    """
    lines = _Lines(name)
    for position, mailbox in enumerate(mailboxes, start=1):
        _check_mailbox(mailbox, smtputf8=smtputf8)
        comma = "," if position < len(mailboxes) else ""
        if not mailbox.name:
            lines.add(" ", mailbox.address + comma)
            continue
        lines.add_phrase(mailbox.name)
        lines.add(" ", f"<{mailbox.address}>{comma}")
    return lines.to_bytes()


class _Lines:
    """A header that grows word by word and is folded before the word that would make a line too long."""

    def __init__(self, name: str) -> None:
        self._pieces = [name, ":"]
        self._column = len(name) + 1
        self._fold_at = _FOLD_AT

    def add(self, gap: str, word: str) -> None:
        # Not before the first word: a value that begins on the second line is legal and often misread.
        if self._column + len(gap) + len(word) > self._fold_at and len(self._pieces) > 2:
            self._fold()
        self._pieces += gap, word
        self._column += len(gap) + len(word)

    def add_encoded(self, gap: str, text: str) -> None:
        self._fold_at = _FOLD_ENCODED_AT
        if self._fold_at - self._column - len(gap) < LEAST_ROOM:
            self._fold()
        for word in encode_words(text, self._fold_at - self._column - len(gap)):
            self.add(gap, word)
            gap = " "

    def add_runs(self, value: str, runs: Iterable[tuple[int, int, bool]]) -> None:
        end = 0
        for start, stop, is_plain in runs:
            add = self.add if is_plain else self.add_encoded
            add(value[end:start] or " ", value[start:stop])
            end = stop

    def add_phrase(self, name: str) -> None:
        phrase = name if _ATOMS.fullmatch(name) else _quoted_string(name)
        if len(phrase) < _FOLD_AT and _word_stays_plain(phrase):  # nearly every name, and no need to look into it
            self.add(" ", phrase)
            return
        runs = list(_runs(phrase))
        if all(is_plain for _, _, is_plain in runs):
            self.add_runs(phrase, runs)
        else:
            self.add_encoded(" ", name)

    def _fold(self) -> None:
        self._pieces.append("\r\n")
        self._column = 0

    def to_bytes(self) -> bytes:
        self._pieces.append("\r\n")
        return "".join(self._pieces).encode()


def _stays_plain(value: str) -> bool:
    return "=?" not in value and value.strip(" \t") == value


def _runs(value: str) -> Iterator[tuple[int, int, bool]]:
    """`value` cut into words that stay as they are (True) and runs of words that are encoded together (False).

    Encoded are: what is not ASCII, what looks like an encoded-word, what is too long for a line, and white space that
    a reader would strip (at both ends) or that is too long for a line.
    """
    words = [match.span() for match in _WORD.finditer(value)] or [(0, len(value))]
    plain = [_word_stays_plain(value[start:stop]) for start, stop in words]
    for left, ((_, end), (start, _)) in enumerate(pairwise(words)):
        if start - end > _MAX_GAP:
            plain[left] = plain[left + 1] = False
    if words[0][0] > 0:
        words[0], plain[0] = (0, words[0][1]), False
    if words[-1][1] < len(value):
        words[-1], plain[-1] = (words[-1][0], len(value)), False
    for is_plain, run in groupby(zip(plain, words, strict=True), key=itemgetter(0)):
        spans = [span for _, span in run]
        if is_plain:
            yield from ((start, stop, True) for start, stop in spans)
        else:
            yield spans[0][0], spans[-1][1], False


def _word_stays_plain(word: str) -> bool:
    return len(word) <= _MAX_WORD and word.isascii() and "=?" not in word and not word.isspace()


def _quoted_string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _check_mailbox(mailbox: Mailbox, *, smtputf8: bool) -> None:
    address, name = mailbox.address, mailbox.name
    if UNFIT_IN_NAME.search(address) or (name and UNFIT_IN_NAME.search(name)):
        raise InvalidAddress(address, "Line breaks and control characters are not allowed.")
    if mailbox.needs_smtputf8 and not smtputf8:
        raise InvalidAddress(address, "The part before the @-sign is beyond ASCII, which needs SMTPUTF8.")
