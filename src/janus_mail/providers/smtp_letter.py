"""A mail as SMTP wants it: commands that cannot be broken out of, and a body that ends where it should."""

from dataclasses import dataclass

from janus_mail.providers.contract import Mail
from janus_mail.providers.outcomes import MessageRejected


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail made ready. `body` is dot-stuffed and ends in CRLF, `size` is its length before (RFC 1870)."""

    sender: bytes
    recipients: tuple[bytes, ...]
    body: bytes
    size: int
    needs_smtputf8: bool
    needs_8bitmime: bool


def letter_from(mail: Mail) -> Letter:
    """Raises `MessageRejected` (`no_recipient`, `bad_address`, `bare_line_end`) for what could break the dialogue."""
    if not mail.recipients:
        raise MessageRejected("no_recipient")
    content = mail.content()
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    # A lone CR or LF is where servers disagree about the end of a mail (smuggling), so none leaves us.
    if not content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r"):
        raise MessageRejected("bare_line_end")
    body = content.replace(b"\r\n.", b"\r\n..")
    envelope = (mail.sender, *mail.recipients)
    return Letter(
        sender=_path(mail.sender),
        recipients=tuple(_path(address) for address in mail.recipients),
        body=b"." + body if body.startswith(b".") else body,
        size=len(content),
        needs_smtputf8=mail.smtputf8 or not all(address.isascii() for address in envelope),
        needs_8bitmime=not content.isascii(),
    )


def _path(address: str) -> bytes:
    """What stands between the angle brackets; only a quoted local part may hold brackets or blanks."""
    local, _, domain = address.rpartition("@")
    bare = domain if local.startswith('"') and local.endswith('"') else address
    if not address.isprintable() or any(sign in bare for sign in "<> "):
        raise MessageRejected("bad_address")
    return address.encode()
