"""Why a service takes none of our mail, as data: by the codes of its answers, and by what it says where its code tells
too little. Each row is the sentence, why it matters, and short words; `{provider}` is its name."""

import re
from collections.abc import Mapping, Sequence

KEY = (
    "{provider} refused our key",
    "It is wrong or was revoked. Someone has to put in a new one.",
    "refused our key",
)
_SENDER = (
    "{provider} has not verified this sender",
    "The sender’s address or domain has to be verified there first.",
    "sender not verified",
)
_NOT_VERIFIED = (  # Amazon says the same of both
    "{provider} has not verified this sender",
    "The sender has to be verified there first; while the account is in Amazon’s sandbox, the recipient too.",
    "sender not verified",
)
_QUOTA = (
    "Our quota at {provider} is used up",
    "It takes no more of our mail until the quota is renewed or raised.",
    "our quota there is used up",
)
_SUSPENDED = (
    "{provider} has suspended our account",
    "It holds the account back until somebody has cleared that up there.",
    "has suspended our account",
)
_ON_TRIAL = (
    "{provider} lets our account mail only its own addresses",
    "It is set up for tests so far. A domain of your own has to be verified there, or the account approved.",
    "account only for tests",
)

_BY_CODE: Sequence[tuple[str, tuple[str, str, str]]] = (
    # Postmark's numbers stand behind the status, and are like statuses.
    (r"\d{3} (?:300|400|401)\b", _SENDER),
    (r"\d{3} 405\b", _QUOTA),
    (r"\d{3} 412\b", _ON_TRIAL),
    (r"\d{3} 413\b", _SUSPENDED),
    (r"\d{3} 10\b", KEY),
    # Amazon SES
    (r"MailFromDomainNotVerifiedException", _SENDER),
    (r"AccountSuspendedException|SendingPausedException", _SUSPENDED),
    (
        r"AccessDenied|ExpiredToken|IncompleteSignature|InvalidClientTokenId|InvalidSignatureException"
        r"|MissingAuthenticationToken|OptInRequired|RequestExpired|SignatureDoesNotMatch|UnrecognizedClientException",
        KEY,
    ),
    # Mandrill
    (r"Invalid_Key\b", KEY),
    (r"PaymentRequired\b", _QUOTA),
    (r"PoorReputation\b", _SUSPENDED),
    (r"unsigned\b|invalid-sender\b", _SENDER),
    (r"test-mode-limit\b", _ON_TRIAL),
    # Resend
    (r"(?:invalid|missing|restricted|suspended)_api_key\b", KEY),
    (r"(?:daily|monthly)_quota_exceeded\b", _QUOTA),
    (r"security_error\b|^451\b", _SUSPENDED),
    (r"invalid_from_address\b|403 validation_error\b", _SENDER),
    # Brevo
    (r"not_enough_credits\b", _QUOTA),
    (r"account_under_validation\b|permission_denied\b", _SUSPENDED),
    # SMTP, and statuses of HTTP
    (r"[45]\.1\.[78]", _SENDER),
    (r"5\.4\.5|^402\b", _QUOTA),
    (r"53[0458]|[45]\.7\.[89]|^401\b|auth|unauthorized\b", KEY),
)
REFUSALS: tuple[tuple[str, str, str, str], ...] = (
    *((code, *words) for code, words in _BY_CODE),
    (
        "starttls_not_offered",
        "{provider} offered no encryption",
        "Its settings ask for it, so nothing was sent without.",
        "offered no encryption",
    ),
    (
        "",
        "{provider} took none of our mail",
        "Its account or its settings have to be put right.",
        "took none of our mail",
    ),
)

# As the tables in `providers/` read them; what they say of one service is said by no other of something else.
_TEXTS: Mapping[str, tuple[str, str, str]] = {
    r"test purposes only|authorized recipients|demo domain|only send testing emails": _ON_TRIAL,
    r"maximum credits exceeded|\b(daily|monthly)\b.*\b(quota|limit)\b|\b(plan|email) limit\b|limit reached": _QUOTA,
    r"following identities failed": _NOT_VERIFIED,
    r"sending (suspended|paused)|activate your|account (is )?(disabled|suspended)|is not allowed to send"
    r"|can.t be used to send": _SUSPENDED,
    r"\b(not|isn.t) (been )?verified|unverified|sender identity|from address|'from' address is invalid"
    r"|invalid sender|\bnot owned|not authorized to send emails from|invalid `from` field|from_email"
    r"|valid sender email|the sender you used": _SENDER,
    r"API key is invalid|specify a key|incorrect api token|invalid api key|key not found": KEY,
}
REFUSALS_BY_TEXT: tuple[tuple[re.Pattern[str], tuple[str, str, str]], ...] = tuple(
    (re.compile(text, re.IGNORECASE), words) for text, words in _TEXTS.items()
)
