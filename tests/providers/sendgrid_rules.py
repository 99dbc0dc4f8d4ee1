"""What the real SendGrid checks of a request to v3 Mail Send, and the words in which it complains (from its pages
«Mail Send», «Errors» and «Rate limits»)."""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .fake_http import ADDRESS
from .fake_http import Refusal as Refusal

KEY = "SG.fake-key.for-tests"
HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#message."
MAX_BYTES = 30 * 1000 * 1000

TOP = {
    "personalizations": list, "from": dict, "reply_to": dict, "reply_to_list": list, "subject": str, "content": list,
    "attachments": list, "template_id": str, "headers": dict, "categories": list, "custom_args": dict, "send_at": int,
    "batch_id": str, "asm": dict, "ip_pool_name": str, "mail_settings": dict, "tracking_settings": dict,
}  # fmt: skip
PERSONALIZATION = {
    "to": list, "cc": list, "bcc": list, "from": dict, "subject": str, "headers": dict, "substitutions": dict,
    "dynamic_template_data": dict, "custom_args": dict, "send_at": int,
}  # fmt: skip
RESERVED = {
    "x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding", "to", "from",
    "subject", "reply-to", "cc", "bcc",
}  # fmt: skip


def errors(status: int, *problems: tuple[str, str | None], help_: str | None = None) -> Refusal:
    listed = [{"message": message, "field": field, "help": help_} for message, field in problems]
    return Refusal(status, json.dumps({"errors": listed}).encode())


GRANT_INVALID = errors(401, ("The provided authorization grant is invalid, expired, or revoked", None))
OUT_OF_CREDITS = errors(401, ("Maximum credits exceeded", None))
SENDER_UNVERIFIED = errors(
    403,
    (
        "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved. "
        "Visit https://sendgrid.com/docs/for-developers/sending-email/sender-identity/ to see the Sender Identity "
        "requirements",
        "from",
    ),
)
FORBIDDEN = errors(403, ("access forbidden", None))
TOO_LARGE = errors(413, ("The JSON payload you have included in your request is too large.", None))
TOO_MANY = errors(429, ("too many requests", None))
BROKEN = errors(500, ("An error occurred on a SendGrid server.", None))
UNAVAILABLE = errors(503, ("The SendGrid v3 Web API is not available.", None))


def refusal_of(method: str, path: str, headers: Mapping[str, str], body: bytes, key: str = KEY) -> Refusal | None:
    """What is wrong with a request, None where nothing is. Header names are in lower case."""
    if path != "/v3/mail/send":
        return errors(404, ("not found", None))
    if method != "POST":
        return errors(405, ("method not allowed", None))
    if headers.get("authorization") != f"Bearer {key}":
        return GRANT_INVALID
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return errors(415, ("Content-Type should be application/json.", None))
    if headers.get("accept", "*/*") not in ("application/json", "*/*"):
        return errors(406, ("Not Acceptable", None))
    if len(body) > MAX_BYTES:
        return TOO_LARGE
    try:
        mail = json.loads(body)
    except ValueError:
        return errors(400, ("Bad Request", None))
    found = list(problems_with(mail))
    return errors(400, *found, help_=HELP) if found else None


def problems_with(mail: Any) -> Iterator[tuple[str, str | None]]:
    """Message and field of each complaint about the mail."""
    if not isinstance(mail, dict) or any(
        key not in TOP or not isinstance(value, TOP[key]) for key, value in mail.items()
    ):
        yield "Bad Request", None
        return
    yield from _people(mail)
    if not mail.get("subject"):
        yield "The subject is required. You can get around this requirement if you use a template.", "subject"
    yield from _content(mail)
    yield from _labels(mail)
    for index, attachment in enumerate(mail.get("attachments", [])):
        yield from _attachment(attachment, f"attachments.{index}")


def _people(mail: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    if "from" not in mail:
        yield "The from object must be provided for every email send.", "from.email"
    else:
        yield from _address(mail["from"], "from")
    if "reply_to" in mail and "reply_to_list" in mail:
        yield "You cannot use both the reply_to and reply_to_list parameters.", "reply_to"
    if "reply_to" in mail:
        yield from _address(mail["reply_to"], "reply_to")
    for index, address in enumerate(mail.get("reply_to_list", [])):
        yield from _address(address, f"reply_to_list.{index}")
    blocks = mail.get("personalizations") or []
    if not 1 <= len(blocks) <= 1000:
        yield "You must have at least one personalization.", "personalizations"
    if sum(len(block.get(role, [])) for block in blocks for role in ("to", "cc", "bcc")) > 1000:
        yield "There is a limit of 1000 total recipients (to + cc + bcc) per request.", "personalizations"
    for number, block in enumerate(blocks):
        yield from _personalization(block, f"personalizations.{number}")


def _personalization(block: Mapping[str, Any], field: str) -> Iterator[tuple[str, str | None]]:
    if any(key not in PERSONALIZATION or not isinstance(value, PERSONALIZATION[key]) for key, value in block.items()):
        yield "Bad Request", None
        return
    if not block.get("to"):
        yield "The to array is required for all personalization objects.", f"{field}.to"
    seen = set()
    for role in ("to", "cc", "bcc"):
        if role in block and not block[role]:
            yield f"The {role} array, when used, must hold an address.", f"{field}.{role}"
        for index, address in enumerate(block.get(role, [])):
            where = f"{field}.{role}.{index}"
            yield from _address(address, where)
            if re.search("[,;]", address.get("name", "")):
                yield "The name may not hold a comma or a semicolon.", f"{where}.name"
            email = str(address.get("email", "")).lower()
            if email in seen:
                yield (
                    "Each email address in the personalization block should be unique between to, cc, and bcc. We "
                    f"found the first duplicate instance of [{email}] in the {field}.{role} field.",
                    field,
                )
            seen.add(email)
    yield from _arguments(block.get("custom_args", {}), f"{field}.custom_args")


def _address(address: Any, field: str) -> Iterator[tuple[str, str | None]]:
    if not isinstance(address, dict) or set(address) - {"email", "name"}:
        yield "Bad Request", None
    elif not isinstance(address.get("name", "x"), str) or address.get("name") == "":
        yield "The name must be a string.", f"{field}.name"
    elif not isinstance(address.get("email"), str) or ADDRESS.fullmatch(address["email"]) is None:
        yield "Does not contain a valid address.", f"{field}.email"


def _content(mail: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    parts = mail.get("content") or []
    if not parts and "template_id" not in mail:
        yield "Unless a valid template_id is provided, the content parameter is required.", "content"
    for index, part in enumerate(parts):
        if set(part) != {"type", "value"} or not all(isinstance(value, str) for value in part.values()):
            yield "Bad Request", None
        elif not part["value"]:
            yield "The content value must be a string at least one character in length.", f"content.{index}.value"
    kinds = [part.get("type") for part in parts]
    usual = [kind for kind in ("text/plain", "text/html") if kind in kinds]
    if kinds[: len(usual)] != usual:
        yield "If present, text/plain and text/html must be first, in that order.", "content"


def _labels(mail: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    for name, value in mail.get("headers", {}).items():
        if name.lower() in RESERVED:
            yield f"The following header is reserved: {name}.", f"headers.{name}"
        elif not isinstance(value, str) or not (name.isascii() and value.isascii()):
            yield "Headers must be strings, and properly encoded.", f"headers.{name}"
    categories = mail.get("categories", [])
    if len(categories) > 10 or len(set(categories)) < len(categories) or any(len(c) > 255 for c in categories):
        yield "The categories must be unique, at most 10, of at most 255 characters each.", "categories"
    yield from _arguments(mail.get("custom_args", {}), "custom_args")


def _arguments(arguments: Mapping[str, Any], field: str) -> Iterator[tuple[str, str | None]]:
    if not all(isinstance(value, str) for value in arguments.values()):
        yield "Bad Request", None
    elif len(json.dumps(arguments, ensure_ascii=False, separators=(",", ":")).encode()) >= 10_000:
        yield "The custom_args must be less than 10,000 bytes.", field


def _attachment(attachment: Mapping[str, Any], field: str) -> Iterator[tuple[str, str | None]]:
    try:
        base64.b64decode(attachment["content"], validate=True)
    except (KeyError, TypeError, binascii.Error):
        yield "The attachment content must be base64 encoded.", f"{field}.content"
    if not attachment.get("filename"):
        yield "The attachment filename is required.", f"{field}.filename"
