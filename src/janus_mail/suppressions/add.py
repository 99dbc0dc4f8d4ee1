"""Putting addresses on a workspace's list: they get no mail from then on."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from uuid_utils.compat import uuid7

from janus_mail.content.addresses import InvalidAddress, parse_mailbox
from janus_mail.models.states import SuppressionReason
from janus_mail.storage.database import Connection
from janus_mail.suppressions import queries


class Found(NamedTuple):
    """An address that must not be mailed, as someone said it. `source` is who, in words: «SendGrid», «API key ci»."""

    workspace_id: UUID
    address: str
    reason: SuppressionReason
    source: str
    message_id: UUID | None = None  # the mail that led to it
    since: datetime | None = None  # null: now


async def suppress(connection: Connection, found: Sequence[Found]) -> int:
    """How many of the addresses are new to the list. The same again changes nothing.

    One that is there stays as it is, unless it is found for a stronger reason: a complaint goes before an unsubscribe,
    that before a hard bounce, and that before what a person said. Then the entry is replaced as a whole. What is no
    address is left out: nothing could have been sent to it. Locks in the order of the addresses: call it once in a
    transaction.
    """
    readable = [(one, address) for one in found if (address := _wire_form(one.address)) is not None]
    if not readable:
        return 0
    added: int = await connection.fetchval(
        queries.ADD, [uuid7() for _ in readable], [one.workspace_id for one, _ in readable],
        [address for _, address in readable], [one.reason.value for one, _ in readable],
        [one.source for one, _ in readable], [one.message_id for one, _ in readable],
        [one.since for one, _ in readable],
    )  # fmt: skip
    return added


def _wire_form(address: str) -> str | None:
    try:
        return parse_mailbox(address).address
    except InvalidAddress:
        return None
