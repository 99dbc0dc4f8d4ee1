"""The `brevo` kind: Brevo's transactional emails (https://developers.brevo.com/reference/sendtransacemail)."""

import html
import re
import uuid
from collections.abc import Iterable
from email.charset import Charset
from typing import Any

import orjson
from pydantic import ConfigDict, Field

from janus_mail.providers.contract import MESSAGE_ID, Accepted, Address, Attachment, Fields, Mail, Verified
from janus_mail.providers.http_answers import known_by, said_in
from janus_mail.providers.http_config import HttpConfig, Secret, reveal
from janus_mail.providers.http_parts import address_object, base64_of, without_doubles
from janus_mail.providers.http_replies import Answer, Problem, Row, sender_broken
from janus_mail.providers.http_service import Request, Service
from janus_mail.providers.limits import Limits
from janus_mail.providers.outcomes import ProviderBroken, RecipientRejected, Uncertain

BASE_URL = "https://api.brevo.com"
METADATA, SANDBOX, KEY, SENDER_IP = "X-Mailin-custom", "X-Sib-Sandbox", "idempotencyKey", "sender.ip"

_KNOWN_FILES = """
    xlsx xls ods docx docm doc csv pdf txt gif jpg jpeg png tif tiff rtf bmp cgm css shtml html htm zip xml ppt pptx tar
    ez ics mobi msg pub eps odt mp3 m4a m4v wma ogg flac wav aif aifc aiff mp4 mov avi mkv mpeg mpg wmv pkpass xlsm
"""

_LONGEST_NAME = 70  # «You can have max 70 character in to name»

# Headers, and the metadata in one of them, leave as raw 8-bit where they are not ASCII, and such a header has one line
# (of 998, RFC 5322 2.1.1). File names are garbled likewise.
LIMITS = Limits(
    recipients=99,
    octets=20_000_000,
    reply_to=1,
    name_length=_LONGEST_NAME,
    inline_files=False,
    utf8_filenames=False,
    types_by_ending=True,
    file_endings=frozenset(_KNOWN_FILES.split()),
    utf8_headers=False,
    reserved_headers=frozenset(name.lower() for name in (METADATA, SANDBOX, KEY, SENDER_IP)),
    metadata_key=re.compile(r"[ -~]+"),
    metadata_value=re.compile(r"[ -~]*"),
    metadata_octets=950,
)

# By Brevo's own codes, whose statuses it does not promise.
ROWS: tuple[Row, ...] = (
    Row("4xx", Uncertain, code="duplicate_parameter"),  # see `accepted`
    Row("4xx", Uncertain, code="duplicate_request"),
    Row("4xx", ProviderBroken, code="unauthorized"),
    Row("4xx", ProviderBroken, code="not_enough_credits"),
    Row("4xx", ProviderBroken, code="account_under_validation"),
    Row("4xx", ProviderBroken, code="permission_denied"),
    Row("400 403", sender_broken, text=r"\bsender\b"),  # «valid sender email required», «the sender you used … is not»
    Row("400", RecipientRejected, text=r"^email is not valid in (to|cc|bcc)\b"),
    Row("406", ProviderBroken),  # its answer to a wrong Accept
)

_SPECIALS = re.compile(r'[()<>\[\]:;@\\,."]+')  # RFC 5322 3.2.3


class BrevoConfig(HttpConfig):
    """An account at Brevo."""

    model_config = ConfigDict(title="Brevo")

    api_key: Secret = Field(
        None,
        title="API key",
        description="Of version 3, not that of SMTP. It begins with xkeysib-.",
        examples=["xkeysib-0123456789abcdef-AbCdEfGhIjKlMnOp"],
        max_length=512,
    )
    sender_ip: str | None = Field(
        None,
        title="Dedicated IP",
        description="The address to send from, where the account has some of its own; left out for the usual one.",
        examples=["192.0.2.25"],
        pattern=r"^\d{1,3}(\.\d{1,3}){3}$",
    )
    validate_only: bool = Field(
        False,
        title="Only check",
        description="Brevo's sandbox mode: it looks at each mail and delivers none.",
    )
    webhook_password: Secret = Field(
        None,
        title="Password of the webhook",
        description="As entered at Brevo, as a token or in the webhook's address: without it whoever knows the hook's "
        "address is believed.",
        examples=["correct-horse-battery"],
        max_length=200,
    )


def request(config: BrevoConfig, mail: Mail, fields: Fields) -> Request:
    """What is posted. The key goes where Brevo's page shows it and where some of its clients put it."""
    key = str(uuid.uuid5(uuid.NAMESPACE_OID, mail.idempotency_key))
    headers = {**_headers(config), "Content-Type": "application/json", KEY: key}
    return Request("/v3/smtp/email", headers, orjson.dumps(_body(config, key, fields)))


def accepted(_: BrevoConfig, mail: Mail, answer: Answer) -> Accepted | None:
    """201 with an id. What Brevo calls a double has been taken before, under an id that it does not tell, where an
    earlier try may have left under this key; else it cannot be one."""
    if 400 <= answer.status < 500 and said_in(answer, "code") == "duplicate_parameter" and mail.key_used:
        return Accepted(f"{answer.status} duplicate_parameter", answer.text)
    taken_as = said_in(answer, "messageId")
    if answer.status not in (201, 202) or not taken_as:
        return None
    return Accepted(str(answer.status), answer.text, provider_message_id=taken_as)


def problems(answer: Answer) -> list[Problem]:
    """`{"code", "message"}`; none where the body is no such thing."""
    code = said_in(answer, "code")
    return [Problem(said_in(answer, "message"), code=code)] if code else []


def check(config: BrevoConfig) -> Request:
    """The account."""
    return Request("/v3/account", _headers(config), method="GET")


def verified(answer: Answer) -> Verified | None:
    """An account has an address."""
    return known_by("email", answer, problems(answer), ROWS)


SERVICE = Service(
    kind="brevo",
    label="Brevo",
    about="A European service, once Sendinblue, through its web API.",
    config=BrevoConfig,
    base_url=lambda _: BASE_URL,
    request=request,
    accepted=accepted,
    problems=problems,
    rows=ROWS,
    limits=LIMITS,
    reset_header="x-sib-ratelimit-reset",
    check=check,
    verified=verified,
    # Its key is said to work in one place or another, and not always: nothing is repeated in the hope of it.
    idempotent=False,
)
KIND = SERVICE.as_kind()


def _headers(config: BrevoConfig) -> dict[str, str]:
    return {"api-key": reveal(config.api_key), "Accept": "application/json"}


def _body(config: BrevoConfig, key: str, fields: Fields) -> dict[str, Any]:
    """Without our Message-ID: Brevo writes one of its own."""
    to, cc, bcc = without_doubles(fields.to, fields.cc, fields.bcc)
    metadata = LIMITS.metadata_of(fields.metadata, {MESSAGE_ID: fields.message_uuid})
    body: dict[str, Any] = {
        "sender": _address(fields.sender),
        **{name: _addresses(group) for name, group in {"to": to, "cc": cc, "bcc": bcc}.items() if group},
        "subject": fields.subject,
        "htmlContent": fields.html or _as_html(fields.text or ""),
        "headers": {**fields.headers, METADATA: orjson.dumps(metadata).decode(), KEY: key},
    }
    if fields.text:
        body["textContent"] = fields.text
    for address in fields.reply_to:
        body["replyTo"] = _address(address, encoded=False)
    if fields.attachments:
        body["attachment"] = [_attachment(attachment) for attachment in fields.attachments]
    if tags := LIMITS.tags_of(fields.tags):
        body["tags"] = tags
    if config.sender_ip:
        body["headers"][SENDER_IP] = config.sender_ip
    if config.validate_only:
        body["headers"][SANDBOX] = "drop"
    return body


def _as_html(text: str) -> str:
    """Brevo takes no mail without HTML."""
    return f'<div style="white-space: pre-wrap">{html.escape(text, quote=False) or "&nbsp;"}</div>'


def _attachment(attachment: Attachment) -> dict[str, str]:
    return {"name": attachment.filename, "content": base64_of(attachment.content)}


def _addresses(addresses: Iterable[Address]) -> list[dict[str, str]]:
    return [_address(address) for address in addresses]


def _address(address: Address, *, encoded: bool = True) -> dict[str, str]:
    return address_object(Address(address.email, _name(address.name or "", encoded=encoded)))


def _name(name: str, *, encoded: bool) -> str:
    """Names beyond ASCII that hold a comma, a dot or the like get lost, if they are not `encoded` (RFC 2047) already.
    Names for answers must not be, as they are shown in that form: of these such signs are left out."""
    if not name.isascii() and _SPECIALS.search(name):
        word = Charset("utf-8").header_encode(name)
        if encoded and len(word) <= _LONGEST_NAME:
            return word
        name = " ".join(_SPECIALS.sub(" ", name).split())
    return name[:_LONGEST_NAME].rstrip()
