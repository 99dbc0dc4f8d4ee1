"""The `mandrill` kind: Mailchimp Transactional, which was called Mandrill
(https://mailchimp.com/developer/transactional/api/messages/send-new-message/)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parseaddr
from typing import Any

import orjson
from pydantic import ConfigDict, Field

from janus_mail.providers.contract import MESSAGE_ID, Accepted, Attachment, Fields, Mail, Verified
from janus_mail.providers.http_answers import known_by
from janus_mail.providers.http_config import HttpConfig, Secret, reveal
from janus_mail.providers.http_parts import address_line, address_object, base64_of, bodies, without_doubles
from janus_mail.providers.http_replies import Answer, AnyError, Problem, Row, sender_broken
from janus_mail.providers.http_service import Request, Service, json_of
from janus_mail.providers.limits import Limits
from janus_mail.providers.outcomes import (
    DeliveryError,
    MessageRejected,
    ProviderBroken,
    ProviderDown,
    RecipientRejected,
    Refused,
    all_refused,
)

_VERSION = "/api/1.0"
_VERSIONED = re.compile(r"/api/1\.\d+\Z")

# «25MB» and «200 bytes» (250 on its newer page) in the smaller reading. Of recipients it takes any number; its answer
# has a line for each, and 64 KiB of an answer are read.
LIMITS = Limits(
    recipients=150,
    octets=25_000_000,
    utf8_filenames=False,
    inline_images_only=True,
    reserved_prefixes=("x-mc-", "x-mandrill-"),  # they are options
    tag=re.compile(r"(?s)[^_].{0,49}"),
    metadata_key=re.compile(r"(?s)[^_].*"),
    metadata_octets=200,
)

# The status is mostly 500, whatever is wrong: the name decides.
_ANY = "4xx 500 503"
ROWS: tuple[Row, ...] = (
    Row(_ANY, ProviderBroken, code="Invalid_Key"),
    Row(_ANY, ProviderBroken, code="ValidationError", text=r"specify a key"),
    Row(_ANY, ProviderBroken, code="Unknown_Subaccount"),
    Row(_ANY, ProviderBroken, code="Unknown_Pool"),
    Row(_ANY, ProviderBroken, code="PaymentRequired"),
    Row(_ANY, ProviderBroken, code="PoorReputation"),  # of the account, which waits for a person
    Row(_ANY, ProviderBroken, code="Unknown_Template"),  # we name none: it is the account's set-up
    Row(_ANY, ProviderDown, code="ServiceUnavailable"),
    Row("400 500 503", ProviderDown, code="GeneralError"),
    Row(_ANY, sender_broken, code="ValidationError", field=r"^message\.from_email$"),
    Row(_ANY, RecipientRejected, code="ValidationError", field=r"^message\.to\.\d+\.email$"),
    Row(_ANY, MessageRejected, code="ValidationError"),
    Row(_ANY, MessageRejected, code="Invalid_Tag_Name"),
)

_TAKEN = frozenset({"sent", "queued", "scheduled"})
_REFUSED = frozenset({"rejected", "invalid"})
# Why it rejects a mail to a recipient, where that is not about the recipient.
_REASONS: Mapping[str, AnyError] = {
    "unsigned": sender_broken,
    "invalid-sender": sender_broken,
    "test-mode-limit": ProviderBroken,
}
_VALIDATION = "Validation error: "


class MandrillConfig(HttpConfig):
    """An account at Mailchimp Transactional."""

    model_config = ConfigDict(title="Mandrill (Mailchimp Transactional)")

    api_key: Secret = Field(
        None,
        title="API key",
        description="Settings, API keys. With a test key Mandrill takes each mail and delivers none.",
        examples=["md-AbCdEfGhIjKlMnOpQrStUv"],
        max_length=512,
    )
    subaccount: str | None = Field(
        None,
        title="Subaccount",
        description="The id of the subaccount to send for; it must exist.",
        examples=["customer-123"],
        max_length=255,
    )
    ip_pool: str | None = Field(
        None,
        title="IP pool",
        description="The pool of dedicated addresses to send from; left out for the account's usual one.",
        examples=["Main Pool"],
        max_length=255,
    )
    return_path_domain: str | None = Field(
        None,
        title="Return-path domain",
        description="The domain that bounces go to, set up at Mandrill; left out for the account's usual one.",
        examples=["bounces.example.com"],
        max_length=253,
    )
    webhook_key: Secret = Field(
        None,
        title="Webhook key",
        description="Settings, Webhooks, Key: without it what Mandrill reports is not believed.",
        examples=["bnZ0dGtZb1RvN0s4Q2JlUQ"],
        max_length=512,
    )
    webhook_url: str | None = Field(
        None,
        title="Address of the webhook",
        description="Exactly as it stands at Mandrill, where that is not the address that Janus shows: it is part of "
        "what Mandrill signs.",
        examples=["https://mail.example.com/hooks/4711/abc"],
        max_length=2_000,
    )


def request(config: MandrillConfig, mail: Mail, fields: Fields) -> Request:
    """What is posted. The key is in it: it is never logged."""
    asked: dict[str, Any] = {"key": reveal(config.api_key), "message": _message(config, mail, fields)}
    if config.ip_pool:
        asked["ip_pool"] = config.ip_pool
    return _post(config, "messages/send.json", asked)


def accepted(_: MandrillConfig, mail: Mail, answer: Answer) -> Accepted | DeliveryError | None:
    """200 with a status for each recipient, and perhaps for none a good one."""
    said = json_of(answer)
    if answer.status != 200 or not isinstance(said, list):
        return None
    told, others = _told(mail.recipients, said)
    refused = tuple(Refused(address, _refusal(item)) for address, item in told if item.get("status") in _REFUSED)
    explained = [item for _address, item in told]
    if all(map(_is_taken, others)):  # else one of the recipients was refused, and nobody knows which
        explained += others
    for item in filter(_is_taken, explained):
        return Accepted(f"200 {item['status']}", answer.text, provider_message_id=item["_id"], refused=refused)
    if len(refused) < len(mail.recipients):
        return None
    about_us = (error for _address, error in refused if isinstance(error, ProviderBroken))
    return next(about_us, None) or all_refused(refused)


def problems(answer: Answer) -> list[Problem]:
    """`{"status": "error", "code": -1, "name": "Invalid_Key", "message": "…"}`; none where it is no such thing.

    What it finds invalid it says in JSON within the message: `Validation error: {"message":{"from_email":"…"}}`.
    """
    said = json_of(answer)
    if not isinstance(said, dict) or not isinstance(said.get("name"), str):
        return []
    message = str(said.get("message") or "")
    try:
        found = orjson.loads(message.removeprefix(_VALIDATION)) if message.startswith(_VALIDATION) else None
    except orjson.JSONDecodeError:
        found = None
    listed = [Problem(complaint, field, said["name"]) for field, complaint in _complaints(found)]
    return listed or [Problem(message, "", said["name"])]


def check(config: MandrillConfig) -> Request:
    return _post(config, "users/ping2.json", {"key": reveal(config.api_key)})


def verified(answer: Answer) -> Verified | None:
    """`{"PING": "PONG!"}`"""
    return known_by("PING", answer, problems(answer), ROWS)


SERVICE = Service(
    kind="mandrill",
    label="Mandrill",
    about="Mailchimp's service for single mails, now called Mailchimp Transactional, through its web API.",
    config=MandrillConfig,
    base_url=lambda _: "https://mandrillapp.com",
    request=request,
    accepted=accepted,
    problems=problems,
    rows=ROWS,
    limits=LIMITS,
    check=check,
    verified=verified,
)
KIND = SERVICE.as_kind()


def _post(config: MandrillConfig, call: str, asked: Mapping[str, Any]) -> Request:
    """Another address than Mandrill's may name the version itself, as those of its libraries do."""
    path = f"/{call}" if _VERSIONED.search(config.endpoint) else f"{_VERSION}/{call}"
    return Request(path, {"Content-Type": "application/json", "Accept": "application/json"}, orjson.dumps(asked))


def _message(config: MandrillConfig, mail: Mail, fields: Fields) -> dict[str, Any]:
    groups = zip(("to", "cc", "bcc"), without_doubles(fields.to, fields.cc, fields.bcc), strict=True)
    headers = {"Message-ID": mail.message_id, **fields.headers}  # it encodes what is beyond ASCII
    if fields.reply_to:
        headers["Reply-To"] = ", ".join(map(address_line, fields.reply_to))
    message: dict[str, Any] = {
        "from_email": fields.sender.email,
        "to": [{**address_object(address), "type": role} for role, addresses in groups for address in addresses],
        "subject": fields.subject,
        "headers": headers,
        "metadata": LIMITS.metadata_of(fields.metadata, {MESSAGE_ID: fields.message_uuid}),
        "preserve_recipients": True,  # else each gets a mail of his own, in which cc is no cc
    }
    if fields.sender.name:
        message["from_name"] = fields.sender.name
    message |= bodies(fields, text="text", html="html")
    if tags := LIMITS.tags_of(fields.tags):
        message["tags"] = tags
    if attached := [_file(file, file.filename) for file in fields.attachments if not file.content_id]:
        message["attachments"] = attached
    if shown := [_file(file, file.content_id) for file in fields.attachments if file.content_id]:
        message["images"] = shown
    for name in ("subaccount", "return_path_domain"):
        if value := getattr(config, name):
            message[name] = value
    return message


def _file(file: Attachment, name: str) -> dict[str, str]:
    return {"type": file.content_type, "name": name, "content": base64_of(file.content)}


_Item = Mapping[str, Any]


def _told(recipients: Sequence[str], said: Sequence[object]) -> tuple[list[tuple[str, _Item]], list[_Item]]:
    """Which line of the answer is about whom, and the lines about nobody. One recipient and one line that are left
    belong together."""
    items: dict[str, _Item] = {_spelled(str(item.get("email"))): item for item in said if isinstance(item, dict)}
    told = [(address, items.pop(_spelled(address))) for address in recipients if _spelled(address) in items]
    found = {address for address, _item in told}
    left = [address for address in recipients if address not in found]
    if len(left) == len(items) == 1:
        told.append((left[0], items.popitem()[1]))
    return told, list(items.values())


def _spelled(address: str) -> str:
    """One spelling of all: without a name, in small letters, the domain in its own script."""
    local, _, domain = parseaddr(address)[1].lower().rpartition("@")
    return f"{local}@{'.'.join(map(_own_script, domain.split('.')))}"


def _own_script(label: str) -> str:
    try:
        return label[4:].encode().decode("punycode") if label.startswith("xn--") else label
    except UnicodeError:
        return label


def _is_taken(item: _Item) -> bool:
    return item.get("status") in _TAKEN and isinstance(item.get("_id"), str)


def _refusal(item: Mapping[str, Any]) -> DeliveryError:
    """Of one recipient, in its own words."""
    reason = str(item.get("reject_reason") or "")
    code = " ".join(filter(None, ("200", str(item.get("status")), reason)))
    return _REASONS.get(reason, RecipientRejected)(code, orjson.dumps(item).decode())


def _complaints(found: object, path: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Where, `message.to.0.email` for example, and what."""
    if isinstance(found, str):
        yield ".".join(path), found
    elif isinstance(found, dict | list):
        for key, inner in found.items() if isinstance(found, dict) else enumerate(found):
            yield from _complaints(inner, (*path, str(key)))
