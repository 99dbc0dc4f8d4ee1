"""Mail of our own: it is kept sealed, in the transaction of what it is about, until a worker has sent it."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from textwrap import fill
from typing import Final, Protocol

from uuid_utils.compat import uuid7

from janus_mail.content.characters import UNFIT_IN_HEADER
from janus_mail.notices import queries
from janus_mail.settings import Settings
from janus_mail.storage.database import Connection
from janus_mail.storage.secrets import SecretBox

_log = logging.getLogger(__name__)

WORKSPACE: Final = "default"  # whose providers the setting names
_PAGE: Final = """<!doctype html>
<html lang="en"><body style="margin:0;padding:24px;background:#ffffff;color:#1d1b18">
<div style="max-width:34rem;font:15px/1.55 system-ui,Segoe UI,Helvetica,Arial,sans-serif">
<h1 style="margin:0 0 12px;font-size:20px;line-height:1.3">%(title)s</h1>
%(body)s
<p style="margin:24px 0 0;padding:12px 0 0;border-top:1px solid #e5e2dc;color:#5f5a52;font-size:13px">Janus</p>
</div></body></html>
"""
# The address stands there as well: whoever looks before they follow a link can.
_BUTTON: Final = """<p style="margin:0 0 12px"><a href="%(address)s" style="display:inline-block;padding:9px 16px;\
border-radius:6px;background:#1d1b18;color:#ffffff;text-decoration:none">%(words)s</a></p>
<p style="margin:0 0 12px;color:#5f5a52;font-size:13px;word-break:break-all">%(address)s</p>"""


@dataclass(frozen=True, slots=True)
class SystemMail:
    """What is sent, to one person. Its links open accounts, so none of it is shown in logs."""

    recipient: str = field(repr=False)
    subject: str = field(repr=False)
    text: str = field(repr=False)
    html: str = field(repr=False)


class Holder(Protocol):
    """What has the settings and the keys: a `Context`, or what stands for one."""

    @property
    def settings(self) -> Settings: ...
    @property
    def secrets(self) -> SecretBox: ...


def can_mail(settings: Settings) -> bool:
    """Whether a provider is named that mail of our own goes through."""
    return bool(provider_names(settings))


def provider_names(settings: Settings) -> tuple[str, ...]:
    """Names or ids, in the order in which they are tried."""
    return tuple(name for part in (settings.system_provider or "").split(",") if (name := part.strip()))


def unknown_words(missing: Sequence[str]) -> str:
    """For the log and for `janus config check`."""
    said = ", ".join(missing)
    return f"JANUS_SYSTEM_PROVIDER: the workspace {WORKSPACE} has no provider {said}: mail about accounts needs one"


def worded(
    recipient: str, subject: str, paragraphs: Sequence[str], *, button: tuple[str, str] | None = None
) -> SystemMail:
    """A mail of these paragraphs, in text and HTML; `button` is what a link says and where it leads, after the first.

    Nothing in them is read as HTML or as a placeholder.
    """
    said = [_literal(paragraph) for paragraph in paragraphs]
    plain = [fill(paragraph, 76, break_long_words=False, break_on_hyphens=False) for paragraph in said]
    rich = [f'<p style="margin:0 0 12px">{escape(paragraph)}</p>' for paragraph in said]
    if button is not None:
        words, address = button
        plain.insert(1, f"{words}:\n{address}")
        rich.insert(1, _BUTTON % {"words": escape(words), "address": escape(address)})
    text = "\n\n".join(["Hello,", *plain, "Janus"]) + "\n"
    html = _PAGE % {"title": escape(_literal(subject)), "body": "\n".join(rich)}
    return SystemMail(recipient, _literal(subject), text, html)


async def queue_mail(connection: Connection, holder: Holder, mail: SystemMail, *, lasts_s: float) -> None:
    """Once the transaction commits a worker sends it, at least once, for `lasts_s` at most: then its links are dead.

    Without a provider it is logged in development, since somebody at this machine waits for its link. In production
    nothing of it is.
    """
    settings = holder.settings
    if can_mail(settings):
        sealed = holder.secrets.seal(
            {"recipient": mail.recipient, "subject": mail.subject, "text": mail.text, "html": mail.html}
        )
        await connection.execute(queries.INSERT_MAIL, uuid7(), sealed, lasts_s)
    elif settings.env == "development":
        _log.warning(
            "development: no mail is set up (JANUS_SYSTEM_PROVIDER); this would have been sent to %s\n%s\n%s",
            mail.recipient, mail.subject, mail.text,
        )  # fmt: skip
    else:
        _log.warning("a mail about an account could not be sent: JANUS_SYSTEM_PROVIDER names no provider")


def opened(sealed: bytes, secrets: SecretBox) -> SystemMail:
    """What `queue_mail` sealed. Raises `UnreadableSecret`."""
    return SystemMail(**secrets.open(sealed))


def _literal(text: str) -> str:
    """On one line, with nothing that is taken for a variable: names of people and workspaces stand in these mails."""
    return re.sub(r"\{(?=\{)", "{ ", re.sub(r"\s+", " ", UNFIT_IN_HEADER.sub(" ", text)).strip())
