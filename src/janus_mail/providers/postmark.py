"""The `postmark` kind: Postmark's email API (https://postmarkapp.com/developer/api/email-api)."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import orjson
from pydantic import ConfigDict, Field

from janus_mail.providers.contract import MESSAGE_ID, Accepted, Address, Attachment, Fields, Mail, Refused, Verified
from janus_mail.providers.http_answers import known_by
from janus_mail.providers.http_config import HttpConfig, Secret, reveal
from janus_mail.providers.http_parts import address_line, base64_of, bodies, without_doubles
from janus_mail.providers.http_replies import Answer, Problem, Row, sender_broken
from janus_mail.providers.http_service import Request, Service, json_of
from janus_mail.providers.limits import Limits
from janus_mail.providers.outcomes import (
    DeliveryError,
    MessageRejected,
    ProviderBroken,
    ProviderDown,
    RecipientRejected,
    Throttled,
    all_refused,
)

BASE_URL = "https://api.postmarkapp.com"
FOR_TESTS = "POSTMARK_API_TEST"  # the token of mail that is looked at only
KEEP_ID = "X-PM-KeepID"  # without it Postmark writes a Message-ID of its own

# https://postmarkapp.com/developer/user-guide/send-email-with-api, «Attachments»: sizes count in base64.
_FORBIDDEN_FILES = """
    vbs exe bin bat chm com cpl crt hlp hta inf ins isp jse lnk mdb pcd pif reg scr sct shs vbe vba wsf wsh wsl msc msi
    msp mst
"""
LIMITS = Limits(
    recipients=50,
    octets=10_000_000,
    reserved_headers=frozenset({KEEP_ID.lower()}),
    bad_file_endings=frozenset(_FORBIDDEN_FILES.split()),
    tags=1,
    tag=re.compile(r"(?s).{1,1000}"),
    metadata=10,
    metadata_caseless=True,
    metadata_key=re.compile(r"(?s).{1,20}"),
    metadata_value=re.compile(r"(?s).{0,80}"),
)

# By Postmark's own codes, which come with 422 and, it is said, with 200 too.
# https://postmarkapp.com/developer/api/overview#error-codes
ROWS: tuple[Row, ...] = (
    Row("xxx", ProviderDown, code="100"),  # maintenance
    Row("xxx", sender_broken, code="300", text=r"'From'"),
    Row("xxx", RecipientRejected, code="300", text=r"'(To|Cc|Bcc)'"),
    Row("xxx", MessageRejected, code="300"),
    Row("xxx", sender_broken, code="400"),  # sender signature not found
    Row("xxx", sender_broken, code="401"),  # not confirmed
    Row("xxx", MessageRejected, code="402"),  # invalid JSON
    Row("xxx", MessageRejected, code="403"),  # incompatible JSON
    Row("xxx", ProviderBroken, code="405"),  # not allowed to send: out of credits
    Row("xxx", RecipientRejected, code="406"),  # all inactive: they bounced or complained
    Row("xxx", MessageRejected, code="409"),  # headers for JSON
    Row("xxx", MessageRejected, code="410"),  # too many in a batch
    Row("xxx", MessageRejected, code="411"),  # forbidden type of attachment
    Row("xxx", ProviderBroken, code="412"),  # account pending: it writes to its own domain alone
    Row("xxx", ProviderBroken, code="413"),  # account may not send
    Row("xxx", Throttled, code="429"),
    Row("200 401 403 404 422", ProviderBroken, own_body=True),  # 10: token; 500 to 1500: server, stream
)

_INACTIVE = re.compile(r"inactive addresses:\s*+(.+?)\.(?:\s|$)", re.DOTALL)


class PostmarkConfig(HttpConfig):
    """A server of an account at Postmark."""

    model_config = ConfigDict(title="Postmark")
    needed: ClassVar[dict[str, str]] = {"server_token": "a server token"}

    server_token: Secret = Field(
        None,
        title="Server token",
        description="Of one server, on its page «API Tokens»; not that of the account.",
        examples=["8d1f2a64-0c4e-4c52-9d53-5b6f1c2a7e90"],
        max_length=512,
    )
    message_stream: str | None = Field(
        None,
        title="Message stream",
        description="The id of a stream of that server; left out for the usual one of single mails.",
        examples=["outbound"],
        pattern=r"^[a-z0-9][a-z0-9_-]*$",
        max_length=30,
    )
    validate_only: bool = Field(
        False,
        title="Only check",
        description="Postmark's test token is sent instead: it looks at each mail and delivers none.",
    )
    webhook_password: Secret = Field(
        None,
        title="Password of the webhooks",
        description="As entered at Postmark for HTTP Basic: without it whoever knows the hook's address is believed.",
        examples=["correct-horse-battery"],
        max_length=200,
    )


def request(config: PostmarkConfig, mail: Mail, fields: Fields) -> Request:
    """What is posted."""
    token = FOR_TESTS if config.validate_only else reveal(config.server_token)
    return Request("/email", _headers(token), orjson.dumps(_body(config, mail, fields)))


def accepted(_: PostmarkConfig, mail: Mail, answer: Answer) -> Accepted | DeliveryError | None:
    """200 under an id and without an error, which some inactive addresses are not; all of them are one."""
    reply = json_of(answer)
    if not isinstance(reply, dict):
        return None
    code, said, taken_as = reply.get("ErrorCode"), str(reply.get("Message")), reply.get("MessageID")
    inactive = [Refused(address, RecipientRejected(f"{answer.status} 406", said)) for address in mail.recipients]
    if code == 406:
        return all_refused(inactive)
    # «Message accepted, but delivery may be delayed.» comes without a code.
    taken = code == 0 or (code is None and "delivery may be delayed" in said)
    if answer.status != 200 or not taken or not isinstance(taken_as, str) or not taken_as:
        return None
    named = _INACTIVE.search(said)
    addresses = {address.strip().lower() for address in named[1].split(",")} if named else set()
    refused = tuple(one for one in inactive if one.address.lower() in addresses)
    return Accepted("200", answer.text, provider_message_id=taken_as, refused=refused)


def problems(answer: Answer) -> list[Problem]:
    """`{"ErrorCode", "Message"}`; none where the body is no such thing."""
    reply = json_of(answer)
    code = reply.get("ErrorCode") if isinstance(reply, dict) else None
    return [Problem(str(reply.get("Message") or ""), code=str(code))] if code else []


def check(config: PostmarkConfig) -> Request:
    """The server that the token is of."""
    return Request("/server", _headers(reveal(config.server_token)), method="GET")


def verified(answer: Answer) -> Verified | None:
    """A server has a number."""
    return known_by("ID", answer, problems(answer), ROWS)


SERVICE = Service(
    kind="postmark",
    label="Postmark",
    about="ActiveCampaign's service for single mails, through its web API.",
    config=PostmarkConfig,
    base_url=lambda _: BASE_URL,
    request=request,
    accepted=accepted,
    problems=problems,
    rows=ROWS,
    limits=LIMITS,
    check=check,
    verified=verified,
)
KIND = SERVICE.as_kind()


def _headers(token: str) -> dict[str, str]:
    return {"X-Postmark-Server-Token": token, "Content-Type": "application/json", "Accept": "application/json"}


def _body(config: PostmarkConfig, mail: Mail, fields: Fields) -> dict[str, Any]:
    to, cc, bcc = without_doubles(fields.to, fields.cc, fields.bcc)
    lists = {"To": to, "Cc": cc, "Bcc": bcc, "ReplyTo": fields.reply_to}
    headers = {"Message-ID": mail.message_id, KEEP_ID: "true", **fields.headers}
    body: dict[str, Any] = {
        "From": address_line(fields.sender),
        **{name: _addresses(addresses) for name, addresses in lists.items() if addresses},
        "Subject": fields.subject,
        **bodies(fields, text="TextBody", html="HtmlBody"),
        "Headers": [{"Name": name, "Value": value} for name, value in headers.items()],
        "Metadata": LIMITS.metadata_of(fields.metadata, {MESSAGE_ID: fields.message_uuid}),
    }
    if fields.attachments:
        body["Attachments"] = [_attachment(attachment) for attachment in fields.attachments]
    for tag in LIMITS.tags_of(fields.tags):
        body["Tag"] = tag
    if config.message_stream:
        body["MessageStream"] = config.message_stream
    return body


def _addresses(addresses: Iterable[Address]) -> str:
    return ", ".join(address_line(address) for address in addresses)


def _attachment(attachment: Attachment) -> Mapping[str, str]:
    part = {
        "Name": attachment.filename,
        "Content": base64_of(attachment.content),
        "ContentType": attachment.content_type,
    }
    return part | {"ContentID": f"cid:{attachment.content_id}"} if attachment.content_id else part
