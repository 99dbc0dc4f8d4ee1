"""The words that are stored: states of a message, statuses of an event, priorities, choices."""

from enum import IntEnum, StrEnum


class State(StrEnum):
    """The state of a message."""

    SCHEDULED = "scheduled"  # waits for its time, or for its next try
    LEASED = "leased"  # a worker holds it; nothing has left
    SENDING = "sending"  # a try is under way; it may have left
    UNCERTAIN = "uncertain"  # it may have left and nobody knows
    SENT = "sent"  # a provider has accepted it
    FAILED = "failed"  # refused for good, or given up
    CANCELED = "canceled"  # by its caller, before it began to leave
    EXPIRED = "expired"  # its `expires_at` came first
    SUPPRESSED = "suppressed"  # the address must not be mailed
    PARKED = "parked"  # uncertain for good: a person decides


FINAL = (State.SENT, State.FAILED, State.CANCELED, State.EXPIRED, State.SUPPRESSED, State.PARKED)
# What may be canceled or changed: nothing of it has begun to leave.
CHANGEABLE = (State.SCHEDULED, State.LEASED)


class EventStatus(StrEnum):
    """The status of an event, derived from its messages' states."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    PARTLY_SENT = "partly_sent"
    PARKED = "parked"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"
    CANCELED = "canceled"


class Priority(IntEnum):
    """Stored as a number so that an index sorts by it."""

    HIGH = 0
    NORMAL = 1
    BULK = 2


class OnUncertain(StrEnum):
    """What to do with a mail that may have left: at least once, or at most once."""

    RESEND = "resend"
    PARK = "park"


class SendAs(StrEnum):
    """One mail a recipient, or one mail for all of them."""

    INDIVIDUAL = "individual"
    GROUP = "group"


class WaitingFor(StrEnum):
    """Why a scheduled message is not tried at its due time."""

    RETRY = "retry"  # the next round
    RATE = "rate"  # a provider's rate
    CIRCUIT = "circuit"  # no provider takes mail now
    QUOTA = "quota"  # a provider's daily quota
    EVIDENCE = "evidence"  # uncertain: whether it arrived


class CircuitState(StrEnum):
    """Whether a provider is asked."""

    CLOSED = "closed"  # it is
    OPEN = "open"  # it is not, until a time or until a person closes it
    HALF_OPEN = "half_open"  # one mail is trying it


class CircuitCause(StrEnum):
    """What changed a circuit."""

    FAILURES = "failures"  # too many tries failed
    BROKEN = "broken"  # the provider said that it needs a person
    THROTTLED = "throttled"  # the provider asked for a rest
    PROBE = "probe"  # a try after the rest: begun, passed or failed
    PERSON = "person"  # by hand
    CHANGED = "changed"  # its settings are others now


class RecipientState(StrEnum):
    """What became of one recipient of a group's mail."""

    SENT = "sent"
    DEFERRED = "deferred"  # to be tried again
    FAILED = "failed"
    SUPPRESSED = "suppressed"  # must not be mailed


class FeedbackType(StrEnum):
    """What a service tells of a mail that it had accepted: the words of every service become these."""

    QUEUED = "queued"  # the service has it
    SENT = "sent"  # handed to the recipient's server
    DEFERRED = "deferred"  # that server wants it later; the service tries again
    BOUNCED_SOFT = "bounced_soft"  # given up, though the address may be right
    DELIVERED = "delivered"
    OPENED = "opened"
    CLICKED = "clicked"
    UNSUBSCRIBED = "unsubscribed"
    REJECTED = "rejected"  # the service would not send it: on its own suppression list, a virus
    FAILED = "failed"  # the service could not
    BOUNCED_HARD = "bounced_hard"  # there is no such mailbox
    COMPLAINED = "complained"  # the recipient called it spam
    UNKNOWN = "unknown"  # a word that we do not know, kept as it came


# How far a mail has come. Its delivery status only moves forward in this order, so that what is told late, twice or in
# any order leads to the same.
DELIVERY_ORDER = tuple(kind for kind in FeedbackType if kind is not FeedbackType.UNKNOWN)


class SuppressionReason(StrEnum):
    """Why an address must not be mailed."""

    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    MANUAL = "manual"  # a person said so


class Role(StrEnum):
    """What a person is in a workspace, the mightiest first. `accounts/permissions.py` says what each may do."""

    OWNER = "owner"
    EDITOR = "editor"
    VIEWER = "viewer"


class LinkPurpose(StrEnum):
    """What a mailed or printed link is for."""

    SET_UP = "set_up"  # makes the first account, of the administrator
    CONFIRM = "confirm"  # the address of a new account
    RESET = "reset"  # a forgotten password
    CHANGE_EMAIL = "change_email"  # the new address of an account


class ActorKind(StrEnum):
    """Who did what the audit log says."""

    USER = "user"
    API_KEY = "api_key"
    ANONYMOUS = "anonymous"  # on this machine, under `make run`
    COMMAND = "command"  # `janus …`
    SYSTEM = "system"  # Janus by itself


def one_of(column: str, words: type[StrEnum]) -> str:
    """The check constraint that keeps a column to an enum's words."""
    return f"{column} IN ({', '.join(repr(word.value) for word in words)})"
