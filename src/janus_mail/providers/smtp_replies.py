"""What an SMTP reply means: one table, readable next to RFC 5321 and RFC 3463, and the function that looks it up."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto
from functools import partial

from janus_mail.providers.outcomes import (
    DeliveryError,
    MessageRejected,
    PolicyRejected,
    ProviderBroken,
    ProviderDown,
    RecipientDeferred,
    RecipientRejected,
    Throttled,
    Uncertain,
)

logger = logging.getLogger(__name__)


class Step(Flag):
    """Where in the conversation a reply came."""

    CONNECT = auto()  # the banner
    EHLO = auto()  # EHLO, or HELO after it was refused
    STARTTLS = auto()
    AUTH = auto()
    MAIL = auto()
    RCPT = auto()
    DATA = auto()  # the reply to DATA, and the body up to its last byte
    DOT = auto()  # the final dot


AnyError = Callable[[str, str], DeliveryError]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; every condition that is given must hold.

    `basic` and `enhanced` list codes apart by blanks, `x` standing for any number; `none` in `enhanced` allows a reply
    without an enhanced code. `text` is searched in what the server said, ignoring case.
    """

    steps: Step
    error: AnyError
    basic: str = ""
    enhanced: str = ""
    text: str = ""


sender_broken: AnyError = partial(ProviderBroken, scope="sender")
deferred_once: AnyError = partial(RecipientDeferred, final_on_repeat=True)

ENVELOPE = Step.MAIL | Step.RCPT
CONTENT = Step.DATA | Step.DOT
NOT_ABOUT_THE_RECIPIENT = "none 5.0.x 5.1.0 5.1.7 5.1.8 5.5.x 5.7.x"

# The first row that fits decides. Rows that look at the text come first, because some services reuse a code for
# something else; then enhanced codes, the exact before the general; then basic codes, which count only where an
# enhanced code, if there is one, is of the same class (RFC 2034 section 4 has them agree; not every server does).
ROWS: tuple[Row, ...] = (
    # SES 454, Mailtrap 535: a used-up quota in the clothes of a throttle or of wrong credentials
    Row(Step.AUTH | ENVELOPE | CONTENT, ProviderBroken, text=r"daily message quota|monthly messages? limit"),
    Row(Step.AUTH, Throttled, basic="535", text=r"too many connections"),
    Row(ENVELOPE | CONTENT, Throttled, basic="550", text=r"too many (emails|messages) per second"),
    Row(ENVELOPE | CONTENT, Throttled, basic="454", text=r"throttling failure|sending rate exceeded"),
    Row(ENVELOPE | CONTENT, sender_broken, "5xx", NOT_ABOUT_THE_RECIPIENT, r"\bnot verified|\bnot owned"),
    Row(
        ENVELOPE,
        ProviderBroken,
        "5xx",
        "none 5.7.x",
        r"relay(ing)?( access)? (is )?(denied|prohibited)|relay(ing)? not (permitted|allowed)"
        r"|(unable|not permitted) to relay",
    ),
    # Enhanced codes
    Row(Step.AUTH, ProviderBroken, enhanced="5.7.8 5.7.9"),
    Row(ENVELOPE, sender_broken, enhanced="5.1.7 5.1.8"),
    Row(ENVELOPE | CONTENT, ProviderBroken, enhanced="5.4.5"),  # Gmail: daily limit; it comes at the dot too
    Row(ENVELOPE, ProviderBroken, basic="530"),  # before 5.7.x: «530 5.7.0 Authentication required»
    Row(Step.MAIL, Throttled, enhanced="4.7.x 4.3.2"),
    Row(Step.RCPT, RecipientDeferred, enhanced="4.2.x 4.7.x 4.5.3"),
    Row(Step.RCPT, deferred_once, enhanced="5.2.2"),  # mailbox full
    Row(Step.RCPT, RecipientRejected, enhanced="5.1.1 5.1.2 5.1.3 5.1.4 5.1.5 5.1.6 5.1.10 5.2.1"),
    Row(ENVELOPE | CONTENT, PolicyRejected, enhanced="5.3.4 5.2.3"),  # too large for the system, for the mailbox
    Row(ENVELOPE | CONTENT, PolicyRejected, enhanced="5.6.7 5.7.x"),  # 5.6.7: no SMTPUTF8 further on (RFC 6531)
    Row(CONTENT, MessageRejected, enhanced="5.6.x"),
    # Basic codes
    Row(Step.CONNECT | Step.EHLO | Step.STARTTLS | Step.AUTH, ProviderDown, basic="4xx"),
    Row(Step.CONNECT | Step.EHLO | Step.STARTTLS | Step.AUTH, ProviderBroken, basic="5xx"),
    Row(Step.MAIL, Throttled, basic="452"),
    Row(Step.MAIL, ProviderDown, basic="4xx"),
    Row(Step.RCPT, ProviderDown, basic="421"),  # it says goodbye to the connection, not to the recipient
    Row(Step.RCPT, RecipientDeferred, basic="450 451 452"),
    Row(Step.RCPT, RecipientDeferred, basic="552"),  # RFC 5321 4.5.3.1.10: an old «too many recipients»
    Row(Step.RCPT, RecipientRejected, basic="550 551 553 556"),
    Row(Step.DATA, ProviderDown, basic="500 501 502 503 504"),  # out of step
    Row(CONTENT, ProviderDown, basic="4xx"),
    Row(Step.DOT, PolicyRejected, basic="550 554", enhanced="none"),
)

_ENHANCED = re.compile(r"^[#(\[]?([245]\.\d{1,3}\.\d{1,3})\b", re.MULTILINE)


def classify(step: Step, code: int, text: str) -> DeliveryError:
    """The error that a refusal means. An enhanced status code (RFC 3463) in `text` wins over the basic `code`."""
    enhanced = enhanced_code(text)
    shown = f"{code} {enhanced}".rstrip()
    row = row_for(step, code, text)
    if row is not None:
        return row.error(shown, text)
    # The text stays out of the log: servers like to repeat addresses in it.
    logger.warning("SMTP reply without a row of its own: %s at %s", shown, step.name)
    return PolicyRejected(shown, text) if _class_of(code, enhanced) == "5" else ProviderDown(shown, text)


def classify_cut(step: Step, code: str, response: str = "") -> DeliveryError:
    """The error that a cut (disconnect, timeout, nonsense) means: once the dot is written nobody knows."""
    return Uncertain(code, response) if step is Step.DOT else ProviderDown(code, response)


def enhanced_code(text: str) -> str:
    """The first enhanced status code that opens a line of the reply, or nothing."""
    match = _ENHANCED.search(text)
    return match[1] if match else ""


def row_for(step: Step, code: int, text: str) -> Row | None:
    """The row that decides, None where the default does."""
    enhanced = enhanced_code(text)
    agree = _class_of(code, enhanced) == str(code)[0]
    return next((row for row in ROWS if step in row.steps and _fits(row, code, enhanced, text, agree=agree)), None)


def _class_of(code: int, enhanced: str) -> str:
    return (enhanced or str(code))[0]


def _fits(row: Row, code: int, enhanced: str, text: str, *, agree: bool) -> bool:
    if row.basic and not (agree and _listed(str(code), row.basic)):
        return False
    if row.enhanced and not _listed(enhanced or "none", row.enhanced):
        return False
    return not row.text or re.search(row.text, text, re.IGNORECASE) is not None


def _listed(code: str, codes: str) -> bool:
    """`4xx` lists any 4yz, `5.7.x` any detail of 5.7."""
    for listed in codes.split():
        if listed == code or (listed.endswith("x") and code.startswith(listed.rstrip("x"))):
            return True
    return False
