"""The `resend` kind: Resend's sending API (https://resend.com/docs/api-reference/emails/send-email)."""

import re
from collections.abc import Iterable
from typing import Any

import orjson
from pydantic import ConfigDict, Field

from janus_mail.providers.contract import MESSAGE_ID, Accepted, Address, Attachment, Fields, Mail, Verified
from janus_mail.providers.http_answers import known_by, said_in
from janus_mail.providers.http_config import HttpConfig, Secret, reveal
from janus_mail.providers.http_parts import (
    TAG_NAME,
    TAG_WORD,
    address_line,
    base64_of,
    bodies,
    header_value,
    numbered,
    without_doubles,
)
from janus_mail.providers.http_replies import Answer, Problem, Row, sender_broken
from janus_mail.providers.http_service import Request, Service
from janus_mail.providers.limits import Limits, type_of_ending
from janus_mail.providers.outcomes import MessageRejected, ProviderBroken, RecipientRejected
from janus_mail.providers.webhook_keys import SvixSecret

BASE_URL = "https://api.resend.com"

# https://resend.com/docs/knowledge-base/what-attachment-types-are-not-supported
_UNSUPPORTED_FILES = """
    adp app asp bas bat cer chm cmd com cpl crt csh der exe fxp gadget hlp hta inf ins isp its js jse ksh lib lnk mad
    maf mag mam maq mar mas mat mau mav maw mda mdb mde mdt mdw mdz msc msh msh1 msh2 mshxml msh1xml msh2xml msi msp mst
    ops pcd pif plg prf prg reg scf scr sct shb shs sys ps1 ps1xml ps2 ps2xml psc1 psc2 tmp url vb vbe vbs vps vsmacros
    vss vst vsw vxd ws wsc wsf wsh xnk
"""

# It loses mails whose files are of another type than their ending says, and says nothing.
LIMITS = Limits(
    recipients=50,
    octets=40_000_000,
    types_by_ending=True,
    bad_file_endings=frozenset(_UNSUPPORTED_FILES.split()),
    tag=TAG_WORD,
    metadata_key=TAG_NAME,
    metadata_value=TAG_WORD,
)

# https://resend.com/docs/api-reference/errors. 409 is either «same key, another body» or «still at it», and 5xx an
# `application_error`: as everywhere.
ROWS: tuple[Row, ...] = (
    Row("400 401 403", ProviderBroken, text=r"API key is invalid"),  # under several names
    # An account without a domain of its own writes to its owner alone: another provider takes the mail.
    Row("403", ProviderBroken, text=r"only send testing emails"),
    Row("403", sender_broken, code="validation_error"),  # domain not verified
    Row("403", sender_broken, text=r"not authorized to send emails from"),
    Row("400 422", sender_broken, code="invalid_from_address"),
    Row("400 422", sender_broken, text=r"invalid `from` field"),
    Row("400 422", RecipientRejected, text=r"invalid `(to|cc|bcc)` field"),
    Row("400", MessageRejected, code="invalid_idempotency_key"),
    Row("429", ProviderBroken, code="daily_quota_exceeded"),
    Row("429", ProviderBroken, code="monthly_quota_exceeded"),
    Row("451", ProviderBroken),  # `security_error`: it holds the account back, whatever the mail
)

_PLAIN_NAME = re.compile(r'[^()<>\[\]:;@\\,."]+')  # none of RFC 5322's specials


class ResendConfig(HttpConfig):
    """An account at Resend."""

    model_config = ConfigDict(title="Resend")

    api_key: Secret = Field(
        None,
        title="API key",
        description="«Sending access» is enough. It begins with re_.",
        examples=["re_c1tpEyD8_NKFusih9vKVQknRAQfmFcWCv"],
        max_length=512,
    )
    webhook_secret: SvixSecret = Field(
        None,
        title="Signing secret of the webhook",
        description="On the webhook's page; it begins with whsec_. Without it what Resend reports is not believed.",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        max_length=200,
    )


def request(config: ResendConfig, mail: Mail, fields: Fields) -> Request:
    """What is posted."""
    headers = {**_headers(config), "Content-Type": "application/json", "Idempotency-Key": mail.idempotency_key}
    return Request("/emails", headers, orjson.dumps(_body(fields)))


def accepted(_: ResendConfig, __: Mail, answer: Answer) -> Accepted | None:
    """200 with an id; the same again for the same key."""
    taken_as = said_in(answer, "id")
    return Accepted("200", answer.text, provider_message_id=taken_as) if answer.status == 200 and taken_as else None


def problems(answer: Answer) -> list[Problem]:
    """`{"statusCode", "name", "message"}`; none where the body is no such thing."""
    name = said_in(answer, "name")
    return [Problem(said_in(answer, "message"), code=name)] if name else []


def check(config: ResendConfig) -> Request:
    """Its domains."""
    return Request("/domains", _headers(config), method="GET")


def verified(answer: Answer) -> Verified | None:
    """A key that may only send may not see the domains, and is told so by name."""
    if answer.status == 401 and any(problem.code == "restricted_api_key" for problem in problems(answer)):
        return Verified("401 restricted_api_key", "It knows this key, which may do nothing but send.")
    return known_by("data", answer, problems(answer), ROWS)


SERVICE = Service(
    kind="resend",
    label="Resend",
    about="A service for developers, on top of Amazon SES, that knows a mail which it is given twice.",
    config=ResendConfig,
    base_url=lambda _: BASE_URL,
    request=request,
    accepted=accepted,
    problems=problems,
    rows=ROWS,
    limits=LIMITS,
    reset_header="ratelimit-reset",
    check=check,
    verified=verified,
    idempotent=True,
)
KIND = SERVICE.as_kind()


def _headers(config: ResendConfig) -> dict[str, str]:
    return {"Authorization": f"Bearer {reveal(config.api_key)}", "Accept": "application/json"}


def _body(fields: Fields) -> dict[str, Any]:
    """Without our Message-ID: Amazon SES, through which Resend sends, writes one of its own."""
    to, cc, bcc = without_doubles(fields.to, fields.cc, fields.bcc)
    lists = {"to": to, "cc": cc, "bcc": bcc, "reply_to": fields.reply_to}
    body: dict[str, Any] = {
        "from": _address(fields.sender),
        **{name: _addresses(addresses) for name, addresses in lists.items() if addresses},
        "subject": fields.subject,
        **bodies(fields, text="text", html="html"),
        "tags": [{"name": name, "value": value} for name, value in _tags(fields).items()],
    }
    if fields.headers:
        body["headers"] = {name: header_value(value) for name, value in fields.headers.items()}
    if fields.attachments:
        body["attachments"] = [_attachment(attachment) for attachment in fields.attachments]
    return body


def _tags(fields: Fields) -> dict[str, str]:
    metadata = LIMITS.metadata_of(fields.metadata, {MESSAGE_ID: fields.message_uuid})
    return metadata | numbered(LIMITS.tags_of(fields.tags))


def _attachment(attachment: Attachment) -> dict[str, str]:
    """The type is left out where the ending says it, perhaps by another name."""
    part = {"filename": attachment.filename, "content": base64_of(attachment.content)}
    if type_of_ending(attachment.filename) in (None, attachment.content_type):
        part["content_type"] = attachment.content_type
    return part | {"content_id": attachment.content_id} if attachment.content_id else part


def _addresses(addresses: Iterable[Address]) -> list[str]:
    return [_address(address) for address in addresses]


def _address(address: Address) -> str:
    """`Ann <ann@example.com>`; in quotes only what needs them, which not every version of its API has taken."""
    if address.name and _PLAIN_NAME.fullmatch(address.name):
        return f"{address.name} <{address.email}>"
    return address_line(address)
