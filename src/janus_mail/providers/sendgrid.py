"""The `sendgrid` kind: SendGrid's v3 Mail Send (https://www.twilio.com/docs/sendgrid/api-reference/mail-send)."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import orjson
from pydantic import ConfigDict, Field

from janus_mail.providers.contract import MESSAGE_ID, Accepted, Address, Fields, Mail, Verified
from janus_mail.providers.http_answers import known_by
from janus_mail.providers.http_config import HttpConfig, Secret, reveal
from janus_mail.providers.http_parts import address_object, bodies, file_object, header_value, without_doubles
from janus_mail.providers.http_replies import Answer, Problem, Row, sender_broken
from janus_mail.providers.http_service import Request, Service, json_of
from janus_mail.providers.limits import Limits
from janus_mail.providers.outcomes import ProviderBroken, RecipientRejected
from janus_mail.providers.webhook_keys import EcdsaKey

REGIONS: Mapping[str, str] = {"us": "https://api.sendgrid.com", "eu": "https://api.eu.sendgrid.com"}

# What SendGrid says of a mail when it tells of it: metadata of these names would be lost among them
# (https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event).
_EVENT_FIELDS = """
    asm_group_id attempt bounce_classification category cert_err domain email event group_id ip ip_pool
    marketing_campaign_id marketing_campaign_name newsletter pool post_type reason response send_at sg_content_type
    sg_event_id sg_machine_open sg_message_id sg_template_id sg_template_name sg_user_id singlesend_id singlesend_name
    smtp-id status template_id timestamp tls type url url_offset useragent
"""

# «30MB» with everything, in the smaller reading.
LIMITS = Limits(
    recipients=1000,
    octets=30_000_000,
    reserved_headers=frozenset({"x-sg-id", "x-sg-eid"}),
    tags=10,
    tag=re.compile(r"(?s).{1,255}"),
    metadata_key=re.compile(rf"(?s)(?!(?:{'|'.join(_EVENT_FIELDS.split())})\Z).+"),
    metadata_octets=9_999,
)

# What SendGrid means otherwise, or more exactly, than the table for all services. 401 is «The provided authorization
# grant is invalid, expired, or revoked» and «Maximum credits exceeded» alike, and both wait for a person.
ROWS: tuple[Row, ...] = (
    Row("400", RecipientRejected, field=r"^personalizations\.\d+\.(to|cc|bcc)\.\d+\.email$"),
    Row("403", sender_broken, text=r"sender identity|from address"),  # else: «access forbidden», a scope is missing
    Row("406", ProviderBroken),  # its answer to a wrong Accept
)

_SEPARATORS = re.compile(r"(?<!\s)\s*+[,;]\s*")


class SendGridConfig(HttpConfig):
    """An account at SendGrid (Twilio)."""

    model_config = ConfigDict(title="SendGrid")

    api_key: Secret = Field(
        None,
        title="API key",
        description="With the permission «Mail Send». It begins with SG.",
        examples=["SG.abc.def"],
        max_length=512,
    )
    region: Literal["us", "eu"] = Field(
        "us",
        title="Region",
        description="European Union: for accounts whose data stays there.",
        examples=["us"],
        json_schema_extra={"enumNames": ["Global", "European Union"]},
    )
    ip_pool: str | None = Field(
        None,
        title="IP pool",
        description="The pool of addresses to send from; left out for the account's usual one.",
        examples=["transactional"],
        min_length=2,
        max_length=64,
    )
    validate_only: bool = Field(
        False,
        title="Only check",
        description="SendGrid's sandbox mode: it looks at each mail and delivers none.",
    )
    webhook_public_key: EcdsaKey = Field(
        None,
        title="Verification key of the event webhook",
        description="Settings, Mail Settings, Signed Event Webhook: without it what SendGrid reports is not believed.",
        examples=["MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O…"],
        max_length=500,
    )


def request(config: SendGridConfig, mail: Mail, fields: Fields) -> Request:
    """What is posted."""
    return Request("/v3/mail/send", _headers(config), orjson.dumps(_body(config, mail, fields)))


def accepted(config: SendGridConfig, _: Mail, answer: Answer) -> Accepted | None:
    """202, without a body, under an id."""
    taken_as = answer.headers.get("x-message-id", "")
    if answer.status == 202 and taken_as:
        return Accepted("202", answer.text, provider_message_id=taken_as)
    if answer.status == 200 and config.validate_only:
        return Accepted("200", "SendGrid has looked at the mail; it delivers none in its sandbox mode.")
    return None


def problems(answer: Answer) -> list[Problem]:
    """`{"errors": [{"message", "field", "help"}]}`; none where the body is no such thing."""
    try:
        return [Problem(str(error["message"]), str(error.get("field") or "")) for error in json_of(answer)["errors"]]
    except (KeyError, TypeError, AttributeError):
        return []


def check(config: SendGridConfig) -> Request:
    """The permissions of the key; a key may read its own."""
    return Request("/v3/scopes", _headers(config), method="GET")


def verified(answer: Answer) -> Verified | None:
    """`{"scopes": ["mail.send"]}`. Raises `ProviderBroken` for a key that may do other things alone."""
    known = known_by("scopes", answer, problems(answer), ROWS)
    scopes = json_of(answer)["scopes"] if known else None
    if not isinstance(scopes, list):
        return None
    if "mail.send" not in scopes:
        raise ProviderBroken("200", "The key lacks the permission «Mail Send».")
    return known


SERVICE = Service(
    kind="sendgrid",
    label="SendGrid",
    about="Twilio's email service, through its web API.",
    config=SendGridConfig,
    base_url=lambda config: REGIONS[config.region],
    request=request,
    accepted=accepted,
    problems=problems,
    rows=ROWS,
    limits=LIMITS,
    reset_header="x-ratelimit-reset",
    check=check,
    verified=verified,
)
KIND = SERVICE.as_kind()


def _headers(config: SendGridConfig) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {reveal(config.api_key)}",
        "Content-Type": "application/json",
        "Accept": "application/json",
    }


def _body(config: SendGridConfig, mail: Mail, fields: Fields) -> dict[str, Any]:
    to, cc, bcc = without_doubles(fields.to, fields.cc, fields.bcc)
    named = {"to": _recipients(to), "cc": _recipients(cc), "bcc": _recipients(bcc)}
    body: dict[str, Any] = {
        "personalizations": [{role: addresses for role, addresses in named.items() if addresses}],
        "from": address_object(fields.sender),
        "subject": fields.subject,
        # Plain text comes first, and no part may be empty.
        "content": [{"type": k, "value": v} for k, v in bodies(fields, text="text/plain", html="text/html").items()],
        # Our Message-ID, so that a mail sent again can be told from a second one.
        "headers": {"Message-ID": mail.message_id, **{k: header_value(v) for k, v in fields.headers.items()}},
        "custom_args": LIMITS.metadata_of(fields.metadata, {MESSAGE_ID: fields.message_uuid}),
    }
    if len(fields.reply_to) == 1:
        body["reply_to"] = address_object(fields.reply_to[0])
    elif fields.reply_to:
        body["reply_to_list"] = [address_object(address) for address in fields.reply_to]
    if fields.attachments:
        body["attachments"] = [file_object(file) for file in fields.attachments]
    if categories := LIMITS.tags_of(fields.tags):
        body["categories"] = categories
    if config.ip_pool:
        body["ip_pool_name"] = config.ip_pool
    if config.validate_only:
        body["mail_settings"] = {"sandbox_mode": {"enable": True}}
    return body


def _recipients(addresses: Iterable[Address]) -> list[dict[str, str]]:
    """A comma or a semicolon in a recipient's name would begin another recipient."""
    return [address_object(Address(email, _SEPARATORS.sub(" ", name or "").strip())) for email, name in addresses]
