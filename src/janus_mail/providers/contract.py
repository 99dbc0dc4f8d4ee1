"""What an adapter is given and what it gives back. Adapters know no database, no web framework and no Redis."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from janus_mail.providers.outcomes import Refused as Refused

MESSAGE_ID = "janus_message_id"  # the name of `Fields.message_uuid` in metadata, under which it comes back


class Address(NamedTuple):
    """An address with an ASCII domain, and the name beside it."""

    email: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that a mail carries; with a `content_id` (without angle brackets) its HTML shows it as `cid:…`."""

    filename: str
    content_type: str  # `type/subtype` in lower case, without parameters
    content: bytes = field(repr=False)
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class Fields:
    """The same mail as its parts, for services that build the bytes themselves.

    `to`, `cc` and `bcc` are everyone whom the mail names, whoever of a group may have it already: who is still to get
    it, `Mail.recipients` says alone. A service that cannot tell the two apart refuses such a mail (`whole_group`).
    """

    sender: Address
    subject: str
    text: str | None
    html: str | None
    to: tuple[Address, ...]
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)  # the caller's own; none that Janus sets
    attachments: tuple[Attachment, ...] = ()
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    message_uuid: str = ""  # Janus's own id of the message, to match what comes back


@dataclass(frozen=True, slots=True)
class Mail:
    """One composed mail, ready for the wire.

    `sender` and `recipients` are the envelope (RFC 5321), addresses with ASCII domains; `content` is the whole message
    (RFC 5322) with CRLF line ends and no dot-stuffing, of `size` octets; `smtputf8` says that a header or the envelope
    needs RFC 6531.
    """

    sender: str
    recipients: tuple[str, ...]
    content: Callable[[], bytes]  # put together anew each time a service asks for it, and gone with who asked
    size: int
    smtputf8: bool
    message_id: str  # the Message-ID header's value with its angle brackets
    idempotency_key: str  # stable for message, provider and generation
    fields: Callable[[], Fields]  # made when a service asks for them
    attempt_number: int = 1  # which try of this message this is, counted from 1 over all providers
    key_used: bool = False  # an earlier try, of which nobody knows what became, may have left under this key


@dataclass(frozen=True, slots=True)
class Accepted:
    """The service has the mail, for all its recipients but the `refused` ones.

    `captured` is set by the sandbox alone: the bytes for the local mailbox.
    """

    code: str
    response: str
    provider_message_id: str | None = None
    captured: bytes | None = None
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class Verified:
    """The service knows our credentials. `response` says in a sentence what it answered."""

    code: str
    response: str


class Dispatch(Protocol):
    """The worker's hold on a message, asked before anything that cannot be taken back.

    All but the first raise an error of the worker's when the hold is lost; an adapter lets it through, having made sure
    that nothing more leaves (a half-sent body is cut by closing the connection).
    """

    def under_way(self) -> None:
        """Called, where mail may wait for one of our connections, once one is free: from now on it is the service that
        takes its time. Until `before_dispatch` the send may be cancelled, when another provider is faster."""

    async def begin_ahead(self) -> None:
        """May be awaited while the mail waits for one of our connections and will have it in a moment: what
        `before_dispatch` writes down is written meanwhile, and the connection need not wait for it."""

    async def before_dispatch(self) -> None:
        """Awaited once a try, with the session ready and before the first byte that cannot be taken back."""

    def before_last_byte(self) -> None:
        """Called right before the byte that completes the mail (SMTP: the final dot)."""


class Adapter(Protocol):
    """One configured provider, kept open between mails. Safe to use from many tasks at once."""

    async def send(self, mail: Mail, dispatch: Dispatch) -> Accepted:
        """Hand one mail over. Raises a `DeliveryError`, or lets `dispatch`'s error through; nothing else."""

    async def verify(self) -> Verified | None:
        """Ask the service whether it knows our credentials; no mail leaves. None: it offers no way to ask.

        Raises a `DeliveryError`, as `send` does where they are refused."""

    async def close(self) -> None:
        """Close kept connections. Sends under way are not waited for."""
