"""The `mailtrap` kind: Mailtrap's sending API (https://docs.mailtrap.io/developers/email-sending/transactional)."""

import re
from collections.abc import Iterable
from email.utils import formataddr
from typing import Any, Literal, Self

import orjson
from pydantic import ConfigDict, Field, model_validator

from janus_mail.providers.contract import MESSAGE_ID, Accepted, Address, Fields, Mail, Verified
from janus_mail.providers.http_answers import known_by_complaint
from janus_mail.providers.http_config import HttpConfig, Secret, reveal
from janus_mail.providers.http_parts import address_object, bodies, file_object, header_value, without_doubles
from janus_mail.providers.http_replies import Answer, Problem, Row, classify, sender_broken
from janus_mail.providers.http_service import Request, Service, json_of
from janus_mail.providers.limits import Limits
from janus_mail.providers.outcomes import DeliveryError, ProviderBroken, RecipientRejected, Throttled

HOSTS = {
    "transactional": "https://send.api.mailtrap.io",
    "bulk": "https://bulk.api.mailtrap.io",
    "sandbox": "https://sandbox.api.mailtrap.io",
}

# «10 MB» and «1000 bytes», in the smaller reading: of longer variables it would keep none.
LIMITS = Limits(
    recipients=1000,
    octets=10_000_000,
    utf8_filenames=False,
    reserved_headers=frozenset({"x-mt-category", "x-mt-custom-variables"}),  # what `_body` says in fields of their own
    tags=1,
    tag=re.compile(r"(?s).{1,255}"),
    metadata_octets=900,
)

# Mailtrap has no codes, and 401 and 403 say «Unauthorized» and «Forbidden» for token and domain alike.
ROWS: tuple[Row, ...] = (
    Row("400", RecipientRejected, text=r"invalid in '(to|cc|bcc)'"),
    Row("400", sender_broken, text=r"'from' address is invalid|invalid sender"),
    Row("400 401 403 422", ProviderBroken, text=r"demo domain"),  # it writes to the account's owner alone
    Row("400 401 403 422", sender_broken, text=r"\bdomain\b"),
    Row("400", ProviderBroken, text=r"^(unauthorized|forbidden|incorrect api token)"),  # within a success
    Row("429", Throttled, text=r"per second|rate limit"),
    Row("429", ProviderBroken, text=r"\b(daily|monthly|plan|quota|limit reached)\b"),
)


class MailtrapConfig(HttpConfig):
    """An account at Mailtrap."""

    model_config = ConfigDict(title="Mailtrap")

    api_key: Secret = Field(
        None,
        title="API token",
        description="Of the sending domain, or of the sandbox. Settings, API Tokens.",
        examples=["5f4e0a1b2c3d4e5f6a7b8c9d0e1f2a3b"],
        max_length=512,
    )
    stream: Literal["transactional", "bulk", "sandbox"] = Field(
        "transactional",
        title="Stream",
        description="sandbox: Mailtrap keeps each mail in an inbox of its own and delivers none.",
        examples=["transactional"],
        json_schema_extra={"enumNames": ["Transactional", "Bulk", "Sandbox"]},
    )
    sandbox_id: int | None = Field(
        None,
        title="Sandbox",
        description="Its number, from the address of its page. With the stream sandbox only.",
        examples=[1234567],
        ge=1,
        lt=2**63,
    )
    webhook_secret: Secret = Field(
        None,
        title="Signing secret of the webhook",
        description="On the webhook's page. Without it what Mailtrap reports is not believed.",
        examples=["8d9a3c0e7f5b2d4a6c1e9f0b3a7d5c2e"],
        max_length=200,
    )

    def lacking(self) -> dict[str, str]:
        """And with the stream sandbox, which one it is."""
        numbered = self.stream != "sandbox" or self.sandbox_id is not None
        return super().lacking() | ({} if numbered else {"sandbox_id": "the number of the sandbox is needed"})

    @model_validator(mode="after")
    def _sandbox(self) -> Self:
        if self.sandbox_id is not None and self.stream != "sandbox":
            raise ValueError("sandbox_id: is for the stream sandbox")
        return self


def request(config: MailtrapConfig, _: Mail, fields: Fields) -> Request:
    """What is posted."""
    return Request(_path(config), _headers(config), orjson.dumps(_body(fields)))


def accepted(config: MailtrapConfig, _: Mail, answer: Answer) -> Accepted | DeliveryError | None:
    """200 with an id for each recipient; the sandbox has one, or none. What says that it failed is a refusal, and what
    has both ids and errors is neither."""
    reply = json_of(answer)
    if answer.status != 200 or not isinstance(reply, dict):
        return None
    ids = reply.get("message_ids") or []
    named = isinstance(ids, list) and all(isinstance(one, str) and one for one in ids)
    if _failed_within_success(answer):
        return classify(answer, problems(answer), ROWS, as_if=400)
    if reply.get("success") is not True or problems(answer) or not named or not (ids or config.stream == "sandbox"):
        return None
    return Accepted("200", answer.text, provider_message_id=ids[0] if ids else None)


def problems(answer: Answer) -> list[Problem]:
    """`{"success": false, "errors": ["…"]}`, or `{"error": "…"}`; none where the body is no such thing."""
    reply = json_of(answer)
    if not isinstance(reply, dict):
        return []
    said = reply.get("errors") or reply.get("error") or []
    return [Problem(str(one)) for one in (said if isinstance(said, list) else [said])]


def check(config: MailtrapConfig) -> Request:
    """A mail without anything: there is no other question at this address."""
    return Request(_path(config), _headers(config), b"{}")


def verified(answer: Answer) -> Verified | None:
    """It misses a sender, and not the token."""
    return known_by_complaint(answer, problems(answer), ROWS, as_if=400 if _failed_within_success(answer) else None)


SERVICE = Service(
    kind="mailtrap",
    label="Mailtrap",
    about="For sending mail, and with the stream sandbox for looking at it without sending any.",
    config=MailtrapConfig,
    base_url=lambda config: HOSTS[config.stream],
    request=request,
    accepted=accepted,
    problems=problems,
    rows=ROWS,
    limits=LIMITS,
    check=check,
    verified=verified,
)
KIND = SERVICE.as_kind()


def _failed_within_success(answer: Answer) -> bool:
    reply = json_of(answer)
    told = isinstance(reply, dict) and reply.get("success") is False and not reply.get("message_ids")
    return answer.status == 200 and told and bool(problems(answer))


def _path(config: MailtrapConfig) -> str:
    return f"/api/send/{config.sandbox_id}" if config.sandbox_id is not None else "/api/send"


def _headers(config: MailtrapConfig) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {reveal(config.api_key)}",
        "Content-Type": "application/json",
        "Accept": "application/json",
    }


def _body(fields: Fields) -> dict[str, Any]:
    to, cc, bcc = without_doubles(fields.to, fields.cc, fields.bcc)
    headers = {name: header_value(value) for name, value in fields.headers.items()}
    body: dict[str, Any] = {"from": address_object(fields.sender)}
    groups = {"to": to, "cc": cc, "bcc": bcc}
    body |= {role: [address_object(one) for one in group] for role, group in groups.items() if group}
    if len(fields.reply_to) == 1:
        body["reply_to"] = address_object(fields.reply_to[0])
    elif fields.reply_to:
        headers["Reply-To"] = _address_list(fields.reply_to)
    body["subject"] = fields.subject
    body |= bodies(fields, text="text", html="html")
    if fields.attachments:
        body["attachments"] = [file_object(file) for file in fields.attachments]
    if headers:
        body["headers"] = headers
    if tags := LIMITS.tags_of(fields.tags):
        body["category"] = tags[0]
    body["custom_variables"] = LIMITS.metadata_of(fields.metadata, {MESSAGE_ID: fields.message_uuid})
    return body


def _address_list(addresses: Iterable[Address]) -> str:
    """As a header has it, in ASCII (RFC 2047)."""
    return ", ".join(formataddr((address.name or "", address.email), "utf-8") for address in addresses)
