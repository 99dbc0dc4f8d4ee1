"""The bytes of a mail as Janus composes it, for services that are sent those."""

from collections.abc import Iterable
from datetime import UTC, datetime

from janus_mail.content.addresses import Mailbox
from janus_mail.content.compose import Content, Letter
from janus_mail.content.files import File
from janus_mail.providers.contract import Address, Fields


def composed(fields: Fields) -> bytes:
    """The whole message under the Message-ID <1@example.com>."""
    content = Content(
        subject=fields.subject,
        text=fields.text if fields.text is not None or fields.html is not None else "",
        html=fields.html,
        reply_to=_mailboxes(fields.reply_to),
        headers=tuple(fields.headers.items()),
        files=tuple(File(file.filename, file.content_type, file.content, file.content_id)
                    for file in fields.attachments),
    )  # fmt: skip
    letter = Letter(content, Mailbox(fields.sender.email, fields.sender.name), boundary_seed="seed")
    return letter.compose(
        to=_mailboxes(fields.to),
        cc=_mailboxes(fields.cc),
        variables={},
        message_id="<1@example.com>",
        date=datetime(2026, 7, 20, 12, 0, tzinfo=UTC),
    ).content


def _mailboxes(addresses: Iterable[Address]) -> tuple[Mailbox, ...]:
    return tuple(Mailbox(address.email, address.name) for address in addresses)
