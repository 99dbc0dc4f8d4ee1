"""How a try can end. One class each, as the delivery rules name them; adapters raise these and nothing else."""

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar, Literal, NamedTuple


class Outcome(StrEnum):
    """The outcome of an attempt, as stored and shown."""

    ACCEPTED = "accepted"  # the service has the mail
    RECIPIENT_DEFERRED = "recipient_deferred"  # this recipient, later
    THROTTLED = "throttled"  # this provider, not so fast
    PROVIDER_DOWN = "provider_down"  # cannot take it now
    PROVIDER_BROKEN = "provider_broken"  # credentials, quota, suspension, sender not verified
    RECIPIENT_REJECTED = "recipient_rejected"  # this recipient, never
    MESSAGE_REJECTED = "message_rejected"  # this content, never
    POLICY_REJECTED = "policy_rejected"  # refused by policy, size or a missing feature
    UNCERTAIN = "uncertain"  # the body left and no answer came


class DeliveryError(Exception):
    """A try that did not end in acceptance.

    `code` is short and for programs (`550 5.1.1`, `timeout`, `connection_refused`), `response` is what the server
    said, word for word as far as it can be decoded, empty where nothing was said. `refused` are those of several
    recipients that were refused by name; the error itself is about the others, where there are any. It is empty for a
    mail to one.
    """

    outcome: ClassVar[Outcome]

    def __init__(self, code: str, response: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{self.outcome}: {code} {response}".rstrip())
        self.code = code
        self.response = response
        self.retry_after_s = retry_after_s
        self.counts = True  # toward the provider's circuit, where its class does
        self.refused: tuple[Refused, ...] = ()


class Refused(NamedTuple):
    """One of several recipients that a server would not take, and why."""

    address: str
    error: DeliveryError


class RecipientDeferred(DeliveryError):
    """This recipient, later: greylisting, mailbox full.

    `final_on_repeat`: a second such answer to the same message counts as `RecipientRejected`.
    """

    outcome = Outcome.RECIPIENT_DEFERRED

    def __init__(
        self, code: str, response: str = "", *, retry_after_s: float | None = None, final_on_repeat: bool = False
    ) -> None:
        super().__init__(code, response, retry_after_s=retry_after_s)
        self.final_on_repeat = final_on_repeat


class Throttled(DeliveryError):
    """This provider, not so fast; it rests until `retry_after_s` and the next one is tried at once."""

    outcome = Outcome.THROTTLED


class ProviderDown(DeliveryError):
    """The provider cannot take it now; the next one is tried at once."""

    outcome = Outcome.PROVIDER_DOWN


class ProviderBroken(DeliveryError):
    """The provider needs a person: its credentials, quota or suspension, or (scope `sender`) this sender's domain."""

    outcome = Outcome.PROVIDER_BROKEN

    def __init__(self, code: str, response: str = "", *, scope: Literal["provider", "sender"] = "provider") -> None:
        super().__init__(code, response)
        self.scope = scope


class RecipientRejected(DeliveryError):
    """Refused for good. Never failed over: another provider would bounce too."""

    outcome = Outcome.RECIPIENT_REJECTED


class MessageRejected(DeliveryError):
    """This content is refused for good."""

    outcome = Outcome.MESSAGE_REJECTED


class PolicyRejected(DeliveryError):
    """Refused by policy, by size, or for a feature that the server lacks. Each other provider is tried once."""

    outcome = Outcome.POLICY_REJECTED


class Uncertain(DeliveryError):
    """The body left and no answer came. Never failed over."""

    outcome = Outcome.UNCERTAIN


def all_refused(refused: Sequence[Refused]) -> DeliveryError:
    """The error of a mail that was refused for each of its recipients by name (one at least).

    Its class leads to the right next step: `RecipientDeferred`, with the longest rest that was asked for, if any may
    take it later; else `PolicyRejected`, if anybody was refused by policy; else the first error's class.
    """
    errors = [error for _, error in refused]
    if len(errors) == 1:
        return errors[0]
    combined: DeliveryError
    if deferred := [error for error in errors if isinstance(error, RecipientDeferred)]:
        combined = RecipientDeferred(
            deferred[0].code,
            deferred[0].response,
            retry_after_s=max((e.retry_after_s for e in deferred if e.retry_after_s is not None), default=None),
            final_on_repeat=all(error.final_on_repeat for error in deferred),
        )
    else:
        first = next((error for error in errors if isinstance(error, PolicyRejected)), errors[0])
        combined = type(first)(first.code, first.response)
        if isinstance(combined, ProviderBroken) and isinstance(first, ProviderBroken):
            combined.scope = first.scope
    combined.refused = tuple(refused)
    return combined
