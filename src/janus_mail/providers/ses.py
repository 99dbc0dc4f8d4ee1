"""The `ses` kind: Amazon SES through its API v2 (https://docs.aws.amazon.com/ses/latest/APIReference-V2/).

It is sent our own bytes, as SMTP servers are, with an envelope of its own: whom a mail names and who gets it are two
things here. SES writes its own Message-ID and Date over ours.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from janus_mail.providers.contract import Accepted, Adapter, Dispatch, Fields, Mail, Verified
from janus_mail.providers.http_config import reveal
from janus_mail.providers.http_replies import Problem, Row, classify, sender_broken
from janus_mail.providers.http_service import NOTHING_LEAVES
from janus_mail.providers.kind import Kind
from janus_mail.providers.limits import Limits, keep_within
from janus_mail.providers.network import PUBLIC, Network
from janus_mail.providers.outcomes import (
    DeliveryError,
    PolicyRejected,
    ProviderBroken,
    ProviderDown,
    RecipientRejected,
    Throttled,
    Uncertain,
)
from janus_mail.providers.ses_body import LARGE_BYTES, PLACEHOLDER
from janus_mail.providers.ses_client import Account, Heard, SesClient, load_library
from janus_mail.providers.ses_config import SesConfig
from janus_mail.providers.timeouts import HttpTimeouts

MESSAGE_ID = "janus_message_id"  # with it SES's events say which message they are about
MOST_BYTES = 40_000_000  # of a message «after base64 encoding», which ours is: «40 MB», in the smaller reading

_UNSUPPORTED_FILES = """
    ade adp app asp bas bat cer chm cmd com cpl crt csh der exe fxp gadget hlp hta inf ins isp its js jse ksh lib lnk
    mad maf mag mam maq mar mas mat mau mav maw mda mdb mde mdt mdw mdz msc msh msh1 msh2 mshxml msh1xml msh2xml msi
    msp mst ops pcd pif plg prf prg reg scf scr sct shb shs sys ps1 ps1xml ps2 ps2xml psc1 psc2 tmp url vb vbe vbs vps
    vsmacros vss vst vsw vxd ws wsc wsf wsh xnk
"""  # https://docs.aws.amazon.com/ses/latest/dg/mime-types.html

# SES's tags have names and values: metadata goes as it is, Janus's tags as tag_1, tag_2, …: no name stands twice.
LIMITS = Limits(
    recipients=50,
    octets=MOST_BYTES,
    bad_file_endings=frozenset(_UNSUPPORTED_FILES.split()),
    reserved_prefixes=("x-ses-",),  # SES takes these as orders, such as other tags than the request's
    tag=re.compile(r"[A-Za-z0-9_-]{1,256}"),
    metadata_key=re.compile(r"(?!tag_[0-9]+\Z)[A-Za-z0-9_-]{1,256}"),
    metadata_value=re.compile(r"[A-Za-z0-9_-]{1,256}"),
)

_THROTTLED = (
    "TooManyRequestsException", "ThrottlingException", "Throttling", "ThrottledException", "RequestThrottled",
    "RequestThrottledException", "RequestLimitExceeded", "SlowDown",
)  # fmt: skip
_CREDENTIALS = (
    "AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature",
    "InvalidClientTokenId", "InvalidSignatureException", "MissingAuthenticationToken",
    "MissingAuthenticationTokenException", "OptInRequired", "RequestExpired", "SignatureDoesNotMatch",
    "UnrecognizedClientException",
)  # fmt: skip

# What SES means by its names of errors. `field` is whom a text is about: `from` or `to`.
ROWS: tuple[Row, ...] = (
    # «Daily message quota exceeded», «Daily quota exceeded»: it is called throttling, but no pause of seconds helps.
    Row("400 429", ProviderBroken, text=r"\bdaily\b.*\bquota\b"),
    *(Row("400 429 503", Throttled, code=name) for name in _THROTTLED),
    *(Row("400 401 403", ProviderBroken, code=name) for name in _CREDENTIALS),  # or the clock
    Row("400", ProviderBroken, code="AccountSuspendedException"),
    Row("400", ProviderBroken, code="SendingPausedException"),
    Row("400", ProviderDown, code="LimitExceededException"),
    Row("400", sender_broken, code="MailFromDomainNotVerifiedException"),
    # The whole account is in Amazon's sandbox, and writes to verified addresses alone: the next recipient would hear
    # the same, and this one is no bad address for it, so another provider is to have the mail.
    Row("400", ProviderBroken, code="MessageRejected", field="^to$", text="not verified"),
    Row("400", sender_broken, code="MessageRejected", text="not verified"),
    Row("400", ProviderBroken, code="MessageRejected", text=r"sending (suspended|paused)"),
    Row("400", ProviderBroken, text=r"configuration set\b.*\b(not exist|not found|paused|disabled)"),
    Row("400", RecipientRejected, code="BadRequestException", field="^to$"),
)

# From where an address can begin, and never back: an answer may have 64 KiB.
_ADDRESS = re.compile(r"(?<![^\s<>,;:\"'()\[\]@])[^\s<>,;:\"'()\[\]@]++@[^\s<>,;:\"'()\[\]]*[^\s<>,;:\"'()\[\].]")


class SesAdapter(Adapter):
    """One account in one region. Made and used within one event loop."""

    def __init__(self, config: SesConfig, *, timeouts: HttpTimeouts, network: Network = PUBLIC) -> None:
        self._config = config
        account = Account(
            config.region, reveal(config.access_key_id), reveal(config.secret_access_key),
            reveal(config.session_token), config.endpoint,
        )  # fmt: skip
        self._client = SesClient(account, timeouts, network, max_connections=config.max_connections)

    async def send(self, mail: Mail, dispatch: Dispatch) -> Accepted:
        fields = mail.fields()
        keep_within(LIMITS, mail, fields)
        if mail.size > MOST_BYTES:
            raise PolicyRejected("too_large", f"{mail.size} bytes")
        if mail.size < LARGE_BYTES:
            asked, large = parameters(self._config, mail, fields, mail.content()), None
        else:
            asked, large = parameters(self._config, mail, fields, PLACEHOLDER), mail.content
        heard = await self._client.call("send_email", asked, dispatch, large)
        taken_as = heard.fields.get("MessageId")
        if heard.answer.status == 200 and isinstance(taken_as, str) and taken_as:
            return Accepted("200", heard.answer.text, provider_message_id=taken_as)
        raise meaning(heard, mail)

    async def verify(self) -> Verified:
        try:
            heard = await self._client.call("get_account", {}, NOTHING_LEAVES)
        except Uncertain as error:  # no mail is in it, so nothing is in doubt
            raise ProviderDown(error.code, error.response) from None
        if (found := verified(heard)) is not None:
            return found
        means = meaning(heard)
        raise ProviderDown(means.code, means.response) if isinstance(means, Uncertain) else means

    async def close(self) -> None:
        await self._client.close()


def parameters(config: SesConfig, mail: Mail, fields: Fields, data: bytes) -> dict[str, Any]:
    """What `SendEmail` is given, with `data` as the message."""
    given: dict[str, Any] = {
        "Content": {"Raw": {"Data": data}},
        "Destination": destination(mail, fields),
        "EmailTags": [{"Name": name, "Value": value} for name, value in _tags(fields)],
    }
    if config.configuration_set:
        given["ConfigurationSetName"] = config.configuration_set
    if config.from_arn:
        given["FromEmailAddressIdentityArn"] = config.from_arn
    return given


def destination(mail: Mail, fields: Fields) -> dict[str, list[str]]:
    """The envelope: of those whom the mail names only who is still to get it, each once, as what they are named."""
    left = dict.fromkeys(mail.recipients)
    found: dict[str, list[str]] = {}
    for role, named in (("ToAddresses", fields.to), ("CcAddresses", fields.cc), ("BccAddresses", fields.bcc)):
        for address in named:
            if address.email in left:
                del left[address.email]
                found.setdefault(role, []).append(address.email)
    if left:
        found.setdefault("BccAddresses", []).extend(left)
    return found


def meaning(heard: Heard, mail: Mail | None = None) -> DeliveryError:
    """The error that an answer other than a success means."""
    named = [Problem(heard.message, _about(heard.message, mail), heard.code)] if heard.code else []
    return classify(heard.answer, named, ROWS)


def verified(heard: Heard) -> Verified | None:
    """What an account is and may, in a sentence; null where the answer is none of SES's or refuses the keys."""
    if heard.code in ("AccessDeniedException", "AccessDenied") and "GetAccount" in heard.message:
        return Verified(str(heard.answer.status), "It knows these keys; what else they may do is not theirs to ask.")
    if "SendingEnabled" not in heard.fields:
        return None
    account: Mapping[str, Any] = heard.fields
    quota = account.get("SendQuota", {})
    told = [
        "It knows these keys.",
        "Sending is on." if account["SendingEnabled"] else "Sending is switched off for this account.",
        "It may write to anyone." if account.get("ProductionAccessEnabled") else
        "It is in the sandbox: it writes to verified addresses alone.",
    ]  # fmt: skip
    if "Max24HourSend" in quota:
        most = "any number" if quota["Max24HourSend"] < 0 else f"{quota['Max24HourSend']:,.0f}"
        told.append(
            f"{quota.get('SentLast24Hours', 0):,.0f} of {most} mails in the last 24 hours are used, "
            f"{quota.get('MaxSendRate', 0):,g} a second may be sent."
        )
    return Verified(str(heard.answer.status), " ".join(told))


def _tags(fields: Fields) -> Iterator[tuple[str, str]]:
    own = {MESSAGE_ID: fields.message_uuid} if fields.message_uuid else {}
    yield from LIMITS.metadata_of(fields.metadata, own).items()
    for number, tag in enumerate(LIMITS.tags_of(fields.tags), start=1):
        yield f"tag_{number}", tag


def _about(message: str, mail: Mail | None) -> str:
    """Whose address a text names, the sender's before all others; empty where it names nobody's."""
    if mail is None:
        return ""
    named = {address.lower() for address in _ADDRESS.findall(message)}
    if mail.sender.lower() in named:
        return "from"
    return "to" if any(address.lower() in named for address in mail.recipients) else ""


KIND = Kind(
    "ses", "Amazon SES", "Amazon's email service, through its API: cheap, and at home in AWS.", SesConfig,
    lambda config, timeouts, network: SesAdapter(config, timeouts=timeouts.http, network=network), LIMITS,
    prepare=load_library, copies=3, borrows="use_default_credentials",
)  # fmt: skip
