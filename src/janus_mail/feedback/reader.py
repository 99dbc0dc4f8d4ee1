"""What every service's feedback becomes, and what a reader of one service's posts does. Readers are pure but for a
certificate that one of them may have to fetch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from janus_mail.models.states import FeedbackType


@dataclass(frozen=True, slots=True)
class Post:
    """One request to a provider's hook, as it came: header names in lower case, the body byte for byte."""

    headers: Mapping[str, str]
    body: bytes
    url: str  # as the service was told it: JANUS_PUBLIC_URL and the path
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One thing that happened to a mail at one recipient.

    `key` tells it from every other event of this provider and is the same when it is told again: the service's id of
    the event, else a hash of what makes it this one. `message_uuid` is Janus's own id, where the service gave it back.
    """

    key: str
    type: FeedbackType
    at: datetime
    recipient: str | None = None
    message_uuid: str | None = None
    provider_message_id: str | None = None  # as `Accepted.provider_message_id` gave it
    reason: str | None = None  # in the service's words
    details: Mapping[str, Any] = field(default_factory=dict)  # what there is more, by plain names: url, user_agent, …
    raw: Mapping[str, Any] = field(default_factory=dict)  # the event as it came


class Forged(Exception):
    """The post does not prove that it comes from the service: `code` for programs, and a sentence."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class NotSetUp(Forged):
    """There is no telling, since what it would take is not in the provider's settings; the sentence says what is."""

    def __init__(self, sentence: str) -> None:
        super().__init__("hook_not_set_up", sentence)


class NotNow(Exception):
    """It cannot be checked at this moment, a certificate cannot be fetched for example: the service is asked to post
    it again later."""


class Unreadable(Exception):
    """The post comes from the service and is not what it is documented to be."""


class Reader(Protocol):
    """Reads what one service posts. One a process; safe to use from many tasks at once."""

    keeps: frozenset[str]  # the headers, in lower case, that `read` needs: they are stored with the body
    fetches: bool = False  # whether `verify` may wait for something; another is run in a thread for a large post

    async def verify(self, config: Any, post: Post) -> None:
        """`config` is the provider's, of its kind's model. Raises `Forged` or `NotNow`. Signatures are compared in
        constant time, over the bytes as they came, and their age is checked where they have one."""

    def read(self, post: Post) -> list[Happened]:
        """What a verified post tells; an event of an unknown type comes as `FeedbackType.UNKNOWN`. Raises
        `Unreadable`."""

    def confirmations(self, post: Post) -> list[str]:
        """The addresses that a verified post asks us to fetch before the service tells anything more (SNS does). Most
        services ask for none: a reader that inherits from this class has no need to say so."""
        return []
