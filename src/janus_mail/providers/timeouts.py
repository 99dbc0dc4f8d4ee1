"""How long adapters wait for what."""

from dataclasses import dataclass, field

from janus_mail.providers.smtp_opening import SmtpTimeouts


@dataclass(frozen=True, slots=True)
class HttpTimeouts:
    """For services that are reached over HTTP. An answer that does not come in time leaves the mail in doubt."""

    connect_s: float = 10.0
    write_s: float = 60.0
    read_s: float = 60.0
    pool_s: float = 30.0  # for one of the connections to come free
    # Between the repetitions of a request under its idempotency key, while nobody knows what became of the first.
    again_after_s: tuple[float, ...] = (0.25, 1.0)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """What every adapter is made with."""

    smtp: SmtpTimeouts = field(default_factory=SmtpTimeouts)
    http: HttpTimeouts = field(default_factory=HttpTimeouts)
