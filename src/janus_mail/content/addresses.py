"""Mail addresses: reading what people type, refusing what cannot be mailed, giving the form that goes on the wire."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from email_validator import EmailNotValidError, validate_email

from janus_mail.content.characters import UNFIT_IN_NAME, InvalidText, check_text

MAX_ADDRESS_OCTETS = 254  # RFC 3696 erratum 1690, which email-validator checks as well
MAX_NAME_LENGTH = 998
MAX_TEXT_LENGTH = 2 * MAX_NAME_LENGTH + MAX_ADDRESS_OCTETS + 4  # every character of the name escaped

# What nearly all addresses look like, checked without email-validator (20 times faster; a test shows that both agree).
# The lookahead leaves labels with «--» (Punycode and its misuse) to email-validator.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN_ADDRESS = re.compile(
    rf"({_ATOM}(?:\.{_ATOM})*+)@(?!.*--)((?:{_LABEL}\.)+{_LABEL}(?<=[A-Za-z])|localhost)", re.ASCII
)

# A phrase (RFC 5322 3.2.5), read generously: dots, commas and any script need no quotes before «<».
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_NAMED = re.compile(rf"((?:[^<\"]|{_QUOTED})*+)<(.*)>")
_QUOTED_STRING = re.compile(r'"((?:[^"\\]|\\.)*+)"')
_OPEN_QUOTED = r'"(?:[^"\\]|\\.?)*+(?:"|\Z)'
_PIECE = re.compile(rf'(?:[^,"<]|{_OPEN_QUOTED}|<(?:[^">]|{_OPEN_QUOTED})*+(?:>|\Z))++')

# email-validator refuses these without asking; people test with them and mail inside their own network.
_SPECIAL_USE = re.compile(r".*\.(?:arpa|invalid|local|localhost|onion|test)|localhost")
_STAND_IN = ".x"  # put behind such a domain while email-validator looks at the rest


class InvalidAddress(ValueError):
    """`text` is not an address that mail can be sent to; `reason` is one sentence for a person."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"{text}: {reason}")
        self.text = text
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address in wire form (local part as given, domain in lower-case ASCII) and the name that goes before it."""

    address: str
    name: str | None = None

    @property
    def needs_smtputf8(self) -> bool:
        """Whether the local part is beyond ASCII, so that only servers with RFC 6531 can take it."""
        return not self.address.isascii()

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Recipient(Mailbox):
    """A mailbox with what `{{name}}` placeholders say to it."""

    variables: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class InvalidEntry:
    """One recipient that was refused: its place in the list (from 0), what was given, and why."""

    index: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class ParsedRecipients:
    """The recipients in the order given; `doubles` counts those left out because their address came before."""

    recipients: list[Recipient]
    invalid: list[InvalidEntry]
    doubles: int


def bare_address(text: str) -> str:
    """An address in wire form, for a field that takes no name beside it. Raises ValueError with a sentence."""
    try:
        mailbox = parse_mailbox(text)
    except InvalidAddress as error:
        raise ValueError(error.reason) from None
    if mailbox.name:
        raise ValueError("Only the address: the name goes elsewhere.")
    return mailbox.address


def parse_mailbox(text: str) -> Mailbox:
    """Read `a@x`, `Ann <a@x>`, `"Lee, Ann" <a@x>`, quoted local parts and any script. Raises InvalidAddress."""
    plain = _parse_plain(text)
    if plain is not None:
        return Mailbox(plain)
    if len(text) > MAX_TEXT_LENGTH:
        raise InvalidAddress(text[:MAX_ADDRESS_OCTETS] + "…", "It is too long for an address.")
    if UNFIT_IN_NAME.search(text):
        raise InvalidAddress(text, "Line breaks and control characters are not allowed.")
    stripped = text.strip()
    if not stripped.endswith(">"):
        return Mailbox(_parse_address(stripped, text))
    named = _NAMED.fullmatch(stripped)
    if named is None:
        raise InvalidAddress(text, "A quote or an angle bracket has no partner.")
    return Mailbox(_parse_address(named[2].strip(), text), _parse_name(_unquote(named[1]), text))


def parse_recipients(value: str | Sequence[str | Mapping[str, Any]]) -> ParsedRecipients:
    """Read a list of recipients: text split at commas and line ends, or addresses and `{email, name, variables}`.

    Never raises for a bad entry: it is listed in `invalid` and the others are read. The first of doubles is kept.
    """
    plain = _parse_plain(value) if isinstance(value, str) else None
    if plain is not None:  # one address, which is what most requests have
        return ParsedRecipients([Recipient(plain)], [], 0)
    entries = _split(value) if isinstance(value, str) else value
    recipients: dict[str, Recipient] = {}
    invalid: list[InvalidEntry] = []
    doubles = 0
    for index, entry in enumerate(entries):
        try:
            recipient = _parse_entry(entry)
        except InvalidAddress as error:
            invalid.append(InvalidEntry(index, error.text, error.reason))
            continue
        if recipients.setdefault(recipient.address, recipient) is not recipient:
            doubles += 1
    return ParsedRecipients(list(recipients.values()), invalid, doubles)


def unicode_domain(domain: str) -> str:
    """The form of an ASCII domain that people read: `xn--bcher-kva.example` is `bücher.example`."""
    return _validate("x", domain)[2] if "xn--" in domain else domain


def _parse_entry(entry: str | Mapping[str, Any]) -> Recipient:
    if isinstance(entry, str):
        mailbox = parse_mailbox(entry)
        return Recipient(mailbox.address, mailbox.name)
    text, name = entry.get("email"), entry.get("name")
    if not isinstance(text, str):
        raise InvalidAddress("", "An email address is required.")
    mailbox = parse_mailbox(text)
    variables: Mapping[str, str] = entry.get("variables") or {}
    for variable, value in variables.items():
        try:
            check_text(value)
        except InvalidText as error:
            raise InvalidAddress(text, f"Variable {variable}: {error}") from None
    return Recipient(mailbox.address, _parse_name(name, text) if name else mailbox.name, variables)


def _split(text: str) -> Iterator[str]:
    for line in re.split(r"[\r\n]+", text):
        pieces = _PIECE.findall(line) if '"' in line or "<" in line else line.split(",")
        yield from filter(None, map(str.strip, pieces))


def _parse_plain(text: str) -> str | None:
    match = _PLAIN_ADDRESS.fullmatch(text) if len(text) <= MAX_ADDRESS_OCTETS else None
    return f"{match[1]}@{match[2].lower()}" if match else None


def _unquote(phrase: str) -> str:
    return _QUOTED_STRING.sub(lambda match: re.sub(r"\\(.)", r"\1", match[1]), phrase)


def _parse_name(name: str, text: str) -> str | None:
    if UNFIT_IN_NAME.search(name):
        raise InvalidAddress(text, "The name has line breaks or control characters.")
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidAddress(text, f"The name is longer than {MAX_NAME_LENGTH} characters.")
    return name.strip() or None


def _parse_address(address: str, text: str) -> str:
    plain = _parse_plain(address)
    if plain is not None:
        return plain
    local, at, domain = address.rpartition("@")
    if not at:
        raise InvalidAddress(text, "An email address must have an @-sign.")
    try:
        valid_local, ascii_domain, _ = _validate(local, domain)
    except EmailNotValidError as error:
        raise InvalidAddress(text, str(error)) from None
    # email-validator writes `Info@` and its like (RFC 2142) in lower case; whose case it is, is the receiver's to say.
    return f"{local if valid_local == local.lower() else valid_local}@{ascii_domain}"


def _validate(local: str, domain: str) -> tuple[str, str, str]:
    """The local part, the domain in ASCII and in Unicode. Raises EmailNotValidError."""
    stand_in = _STAND_IN if _SPECIAL_USE.fullmatch(unicodedata.normalize("NFKC", domain).lower()) else ""
    valid = validate_email(f"{local}@{domain}{stand_in}", allow_quoted_local=True, check_deliverability=False)
    return valid.local_part, valid.ascii_domain.removesuffix(stand_in), valid.domain.removesuffix(stand_in)
