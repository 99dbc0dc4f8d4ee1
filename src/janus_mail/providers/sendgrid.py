"""The `sendgrid` kind: SendGrid's v3 Mail Send (https://www.twilio.com/docs/sendgrid/api-reference/mail-send)."""

import re
from collections.abc import Iterable
from email.header import Header
from typing import Any

import orjson

from janus_mail.providers.contract import Accepted, Adapter, Address, Dispatch, Fields, Mail
from janus_mail.providers.http_client import HttpClient
from janus_mail.providers.http_parts import ascii_mailboxes, whole_group, without_doubles
from janus_mail.providers.http_replies import Answer, Problem, Row, classify, sender_broken
from janus_mail.providers.outcomes import PolicyRejected, ProviderBroken, RecipientRejected
from janus_mail.providers.sendgrid_config import SendGridConfig
from janus_mail.providers.timeouts import HttpTimeouts

# What SendGrid means otherwise, or more exactly, than the table for all services. 401 is «The provided authorization
# grant is invalid, expired, or revoked» and «Maximum credits exceeded» alike, and both wait for a person.
ROWS: tuple[Row, ...] = (
    Row("400", RecipientRejected, field=r"^personalizations\.\d+\.(to|cc|bcc)\.\d+\.email$"),
    Row("403", sender_broken, text=r"sender identity|from address"),  # else: «access forbidden», a scope is missing
    Row("406", ProviderBroken),  # its answer to a wrong Accept
)

MAX_REQUEST_BYTES = 30 * 1000 * 1000  # «30MB» with everything; the smaller reading
MAX_RECIPIENTS = 1000
MAX_CATEGORIES = 10
MAX_CUSTOM_ARGS_BYTES = 9_999
RESERVED_HEADERS = frozenset({"x-sg-id", "x-sg-eid"})  # and those that Janus writes itself
ID_ARG = "janus_message_id"  # with it SendGrid's events say which message they are about
_SEPARATORS = re.compile(r"\s*[,;]\s*")


class SendGridAdapter(Adapter):
    """Made and used within one event loop. SendGrid knows no idempotency key: a request in doubt stays in doubt."""

    def __init__(self, config: SendGridConfig, *, timeouts: HttpTimeouts) -> None:
        self._config = config
        self._client = HttpClient(config.base_url, timeouts, max_connections=config.max_connections)

    async def send(self, mail: Mail, dispatch: Dispatch) -> Accepted:
        body = orjson.dumps(request_body(self._config, mail, mail.fields()))
        if len(body) > MAX_REQUEST_BYTES:
            raise PolicyRejected("too_large", f"{len(body)} bytes")
        key = self._config.api_key
        headers = {
            "Authorization": f"Bearer {key.get_secret_value() if key is not None else ''}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        answer = await self._client.post("/v3/mail/send", headers, body, dispatch)
        taken_as = answer.headers.get("x-message-id", "")
        if answer.status == 202 and taken_as:
            return Accepted("202", answer.text, provider_message_id=taken_as)
        if answer.status == 200 and self._config.validate_only:
            return Accepted("200", "SendGrid has looked at the mail; it delivers none in its sandbox mode.")
        raise classify(answer, problems_of(answer), ROWS, reset_header="x-ratelimit-reset")

    async def close(self) -> None:
        await self._client.close()


def request_body(config: SendGridConfig, mail: Mail, fields: Fields) -> dict[str, Any]:
    """What is posted. Raises `PolicyRejected` for what SendGrid cannot express."""
    whole_group(mail, fields)
    ascii_mailboxes([fields.sender], fields.to, fields.cc, fields.bcc, fields.reply_to)
    to, cc, bcc = without_doubles(fields.to, fields.cc, fields.bcc)
    if len(to) + len(cc) + len(bcc) > MAX_RECIPIENTS:
        raise PolicyRejected("too_many_recipients", f"It takes {MAX_RECIPIENTS} at once.")
    named = {"to": _recipients(to), "cc": _recipients(cc), "bcc": _recipients(bcc)}
    body: dict[str, Any] = {
        "personalizations": [{role: addresses for role, addresses in named.items() if addresses}],
        "from": _address(fields.sender),
        "subject": fields.subject,
        "content": _content(fields),
        "headers": _headers(mail, fields),
        "custom_args": _custom_args(fields),
    }
    if len(fields.reply_to) == 1:
        body["reply_to"] = _address(fields.reply_to[0])
    elif fields.reply_to:
        body["reply_to_list"] = [_address(address) for address in fields.reply_to]
    categories = list(dict.fromkeys(fields.tags))[:MAX_CATEGORIES]
    if categories:
        body["categories"] = categories
    if config.ip_pool:
        body["ip_pool_name"] = config.ip_pool
    if config.validate_only:
        body["mail_settings"] = {"sandbox_mode": {"enable": True}}
    return body


def problems_of(answer: Answer) -> list[Problem]:
    """`{"errors": [{"message", "field", "help"}]}`; none where the body is no such thing."""
    try:
        found = orjson.loads(answer.body)["errors"]
        return [Problem(str(error["message"]), str(error.get("field") or "")) for error in found]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return []


def _content(fields: Fields) -> list[dict[str, str]]:
    """Plain text comes first, and no part may be empty."""
    parts = (("text/plain", fields.text), ("text/html", fields.html))
    return [{"type": kind, "value": value} for kind, value in parts if value] or [{"type": "text/plain", "value": "\n"}]


def _headers(mail: Mail, fields: Fields) -> dict[str, str]:
    """The caller's, and our Message-ID, so that a mail sent again can be told from a second one."""
    for name in fields.headers:
        if name.lower() in RESERVED_HEADERS:
            raise PolicyRejected("reserved_header", name)
    return {"Message-ID": mail.message_id, **{name: _encoded(value) for name, value in fields.headers.items()}}


def _encoded(value: str) -> str:
    """SendGrid wants what is beyond ASCII encoded (RFC 2047)."""
    return value if value.isascii() else Header(value, "utf-8").encode(linesep="")


def _custom_args(fields: Fields) -> dict[str, str]:
    """The caller's metadata with the id that Janus needs; the id alone where SendGrid has no room for both."""
    args = {**fields.metadata, ID_ARG: fields.message_uuid}
    return args if len(orjson.dumps(args)) <= MAX_CUSTOM_ARGS_BYTES else {ID_ARG: fields.message_uuid}


def _recipients(addresses: Iterable[Address]) -> list[dict[str, str]]:
    """A comma or a semicolon in a recipient's name would begin another recipient."""
    return [_address(Address(email, _SEPARATORS.sub(" ", name).strip() if name else None)) for email, name in addresses]


def _address(address: Address) -> dict[str, str]:
    return {"email": address.email, "name": address.name} if address.name else {"email": address.email}
