"""What must be one line is one: a line break in a header, a name or an address would begin another header (CWE-93)."""

from collections.abc import Iterator

from janus_mail.providers.contract import Fields
from janus_mail.providers.outcomes import MessageRejected

_BREAKS = ("\r", "\n", "\0")


def refuse_line_breaks(fields: Fields) -> None:
    """Such mail is refused when it is accepted already. Raises `MessageRejected` (`line_break`)."""
    for name, value in _lines(fields):
        if any(sign in value for sign in _BREAKS):
            raise MessageRejected("line_break", f"There is a line break in {name}.")


def _lines(fields: Fields) -> Iterator[tuple[str, str]]:
    yield "the subject", fields.subject
    for role in ("to", "cc", "bcc", "reply_to"):
        for address in getattr(fields, role):
            yield f"an address of {role}", f"{address.email}{address.name or ''}"
    yield "the sender", f"{fields.sender.email}{fields.sender.name or ''}"
    for name, value in fields.headers.items():
        yield "a header", name + value
    for file in fields.attachments:
        yield "a file's name, type or id", f"{file.filename}{file.content_type}{file.content_id or ''}"
