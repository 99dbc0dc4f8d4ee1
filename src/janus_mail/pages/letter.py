"""Reading a caught mail: its headers and its two forms, as a mail program would show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass(frozen=True, slots=True)
class Letter:
    """One parsed mail. `source` is its bytes as text, an odd byte shown as a question mark in a diamond."""

    headers: Sequence[tuple[str, str]]
    html: str | None
    text: str | None
    source: str

    def header(self, name: str) -> str:
        """The first of this name, decoded; nothing where there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    @property
    def forms(self) -> list[tuple[str, str]]:
        """The tabs that this mail has, as (view, words)."""
        tabs = [("html", "HTML")] if self.html is not None else []
        return [*tabs, ("text", "Text"), ("headers", f"Headers ({len(self.headers)})"), ("source", "Source")]


def read_letter(content: bytes) -> Letter:
    """Never raises: what cannot be decoded is shown with replacement characters."""
    message = message_from_bytes(content, _class=EmailMessage, policy=policy.default)
    return Letter(
        headers=[(name, _readable(message, name, place)) for place, name in enumerate(message.keys())],
        html=_part(message, "html"),
        text=_part(message, "plain"),
        source=content.decode("utf-8", "replace").replace("\r\n", "\n"),
    )


def _readable(message: EmailMessage, name: str, place: int) -> str:
    try:
        return str(message.values()[place])
    except Exception:  # the parser of structured headers raises many things on odd input
        return str(message.get_all(name, [""])[0])


def _part(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body(preferencelist=(kind,))
    if part is None:
        return None
    payload = part.get_payload(decode=True)
    octets = payload if isinstance(payload, bytes) else b""
    try:
        text = octets.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:  # a charset that nobody knows
        text = octets.decode("utf-8", "replace")
    return text.replace("\r\n", "\n")
