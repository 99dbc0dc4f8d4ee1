"""Resend on loopback: checks each request as the real service does, and answers in its words (from its pages «Send
Email», «Errors», «Idempotency Keys» and «Managing Tags»)."""

import base64
import binascii
import json
import mimetypes
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from email.header import decode_header, make_header
from email.utils import parseaddr
from typing import Any

from janus_mail.providers.contract import Address, Attachment
from janus_mail.providers.outcomes import Outcome

from .bench import Bench, case
from .fake_http import ADDRESS, ID, Complaint, FakeHttp, Reply, Request, TakenMail

KEY = "re_fake_key_with_full_access"
SENDING_KEY = "re_fake_key_for_sending_only"
DOMAINS = {"example.com"}
MAX_BYTES = 40 * 1024 * 1024
FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "from": str, "to": (str, list), "cc": (str, list), "bcc": (str, list), "reply_to": (str, list), "subject": str,
    "html": str, "text": str, "headers": dict, "attachments": list, "tags": list, "scheduled_at": str,
    "template": dict, "topic_id": str,
}  # fmt: skip
ATTACHMENT = {"content", "filename", "path", "content_type", "content_id", "inline_content_id"}
FORBIDDEN = {"app", "asp", "bat", "cer", "cmd", "com", "exe", "js", "lnk", "msi", "ps1", "reg", "scr", "url", "vbs"}
TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")
FORM = "The email address needs to follow the `email@example.com` or `Name <email@example.com>` format."


def refusal(status: int, name: str, message: str, headers: Mapping[str, str] = {}) -> Reply:
    return Reply(status, json.dumps({"statusCode": status, "name": name, "message": message}).encode(), headers)


RATES = {"ratelimit-limit": "5", "ratelimit-remaining": "0", "ratelimit-reset": "1"}
MISSING_KEY = refusal(401, "missing_api_key", "Missing API key in the authorization header.")
INVALID_KEY = refusal(403, "invalid_api_key", "API key is invalid.")
INVALID_KEY_TOO = refusal(401, "validation_error", "API key is invalid")
RESTRICTED_KEY = refusal(401, "restricted_api_key", "This API key is restricted to only send emails.")
OTHER_BODY = refusal(
    409,
    "invalid_idempotent_request",
    "This idempotency key has been used on a request with a different payload. Retrying this request is useless "
    "without changing the idempotency key or payload.",
)
STILL_AT_IT = refusal(
    409, "concurrent_idempotent_requests", "Another request with the same idempotency key is currently in progress."
)


class FakeResend(FakeHttp):
    """Knows the keys of what it took: the same request again gets the same answer."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._taken: dict[str, tuple[bytes, str]] = {}

    def new_id(self) -> str:
        return str(uuid.uuid4())

    def answer(self, request: Request) -> Reply:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not key:
            return MISSING_KEY
        if key not in (KEY, SENDING_KEY):
            return INVALID_KEY
        if request.path == "/domains":
            if key == SENDING_KEY:
                return RESTRICTED_KEY
            return Reply(200, b'{"object":"list","has_more":false,"data":[{"id":"d91cd9bd","name":"example.com"}]}')
        if request.path != "/emails":
            return refusal(404, "not_found", "The requested endpoint does not exist.")
        if request.method != "POST":
            return refusal(405, "method_not_allowed", "Method is not allowed for the requested path.")
        return self._answer_to_mail(request)

    def _answer_to_mail(self, request: Request) -> Reply:
        key = request.headers.get("idempotency-key")
        if key is not None and not 1 <= len(key) <= 256:
            return refusal(400, "invalid_idempotency_key", "The key must be between 1-256 chars.")
        if key in self._taken:
            body, id_ = self._taken[key]
            return Reply(200, json.dumps({"id": id_}).encode()) if body == request.body else OTHER_BODY
        if len(request.body) > MAX_BYTES:
            return refusal(413, "validation_error", "The email is too large.")
        try:
            _check(request)
        except Complaint as complaint:
            return refusal(*complaint.args)
        return Reply(200, f'{{"id":"{ID}"}}'.encode(), RATES, takes_it=True)

    def read(self, request: Request, id_: str) -> TakenMail:
        mail = request.mail
        key = request.headers.get("idempotency-key")
        if key is not None:
            self._taken[key] = (request.body, id_)
        metadata = {tag["name"]: tag["value"] for tag in mail.get("tags", [])}
        numbered = [name for name in metadata if re.fullmatch(r"tag_\d+", name)]
        headers = {k: str(make_header(decode_header(v))) for k, v in mail.get("headers", {}).items()}
        return TakenMail(
            id=id_, janus_message_id=metadata.pop("janus_message_id", None), sender=address(mail["from"]),
            to=addresses(mail["to"]), cc=addresses(mail.get("cc", [])), bcc=addresses(mail.get("bcc", [])),
            reply_to=addresses(mail.get("reply_to", [])), subject=mail["subject"], text=mail.get("text"),
            html=mail.get("html"), headers={**headers, "Message-ID": f"<{id_}@eu-west-1.amazonses.com>"},
            attachments=tuple(
                Attachment(
                    file["filename"], file.get("content_type") or mimetypes.guess_type(file["filename"])[0] or "",
                    base64.b64decode(file["content"]), file.get("content_id"),
                )
                for file in mail.get("attachments", [])
            ),
            tags=tuple(metadata.pop(name) for name in numbered), metadata=metadata, idempotency_key=key, mail=mail,
        )  # fmt: skip


def address(line: str) -> Address:
    name, email = parseaddr(line)
    return Address(email, name or None)


def addresses(lines: str | Sequence[str]) -> tuple[Address, ...]:
    return tuple(address(line) for line in ([lines] if isinstance(lines, str) else lines))


def _check(request: Request) -> None:
    """Raises `Complaint`."""
    if request.headers.get("content-type") != "application/json":
        raise Complaint(415, "validation_error", "Unsupported Media Type")
    try:
        mail = request.mail
    except ValueError:
        raise Complaint(400, "validation_error", "The request body is not valid JSON.") from None
    for field, value in mail.items() if isinstance(mail, dict) else [("", None)]:
        if field not in FIELDS or not isinstance(value, FIELDS[field]):
            raise Complaint(422, "validation_error", f"Invalid `{field}` field.")
    for complaint in (*_people(mail), *_content(mail), *_labels(mail)):
        raise Complaint(*complaint)


Words = tuple[int, str, str]


def _people(mail: Mapping[str, Any]) -> Iterator[Words]:
    for field in ("from", "to", "subject"):
        if not mail.get(field):
            yield 422, "missing_required_field", f"Missing `{field}` field."
            return
    sender = address(mail["from"])
    if ADDRESS.fullmatch(sender.email) is None:
        yield 422, "validation_error", f"Invalid `from` field. {FORM}"
    domain = sender.email.rpartition("@")[2]
    if domain not in DOMAINS:
        message = f"The {domain} domain is not verified. Please, add and verify your domain on"
        yield 403, "validation_error", f"{message} https://resend.com/domains"
    for field in ("to", "cc", "bcc", "reply_to"):
        given = addresses(mail.get(field, []))
        if field in mail and not 1 <= len(given) <= 50:
            yield 422, "validation_error", f"The `{field}` field may hold up to 50 addresses."
        for email, name in given:
            if ADDRESS.fullmatch(email) is None or (name and not name.isprintable()):
                yield 422, "validation_error", f"Invalid `{field}` field. {FORM}"
            elif field != "reply_to" and email.endswith(("@example.com", "@test.com")):
                testing = "Please use our testing email address instead of domains like `example.com`."
                yield 422, "validation_error", f"Invalid `{field}` field. {testing}"


def _content(mail: Mapping[str, Any]) -> Iterator[Words]:
    if not (mail.get("html") or mail.get("text")):
        yield 422, "validation_error", "Missing `html` or `text` field."
    for file in mail.get("attachments", []):
        if set(file) - ATTACHMENT or not file.get("filename"):
            yield 422, "invalid_attachment", "Attachment must have either a `content` or `path`, and a `filename`."
            return
        if file["filename"].rpartition(".")[2].lower() in FORBIDDEN:
            yield 422, "invalid_attachment", f"The attachment {file['filename']} is of a type that is not supported."
        said = mimetypes.guess_type(file["filename"])[0]
        if said and file.get("content_type", said) != said:  # the real one takes such a mail, and drops it
            yield 422, "invalid_attachment", f"The attachment {file['filename']} is not of its ending's type."
        try:
            base64.b64decode(file.get("content", ""), validate=True)
        except binascii.Error:
            yield 422, "invalid_attachment", "Attachment content is not in base64."


def _labels(mail: Mapping[str, Any]) -> Iterator[Words]:
    for name, value in mail.get("headers", {}).items():
        if not isinstance(value, str) or not (name.isascii() and value.isascii()) or "\n" in value:
            yield 422, "validation_error", "Invalid `headers` field."
    tags = mail.get("tags", [])
    for tag in tags:
        if set(tag) != {"name", "value"} or not all(TAG.fullmatch(part) for part in tag.values()):
            only = "Tags should only contain ASCII letters, numbers, underscores, or dashes."
            yield 422, "validation_error", f"{only}"
    if len({tag["name"] for tag in tags}) < len(tags) or len(tags) > 75:
        yield 422, "validation_error", "Tags must be unique, and at most 75."


_NOT_VERIFIED = "The example.com domain is not verified. Please, add and verify your domain."
_ONLY_TESTING = "You can only send testing emails to your own email address (a@example.com). To send emails to other …"
_TOO_FAST = "Too many requests. You can only make 5 requests per second."

BENCH = Bench(
    kind="resend",
    fake=FakeResend,
    config={"api_key": KEY},
    strange_config={"api_key": "re_key_of_yesterday_0001"},
    lacks=frozenset({"message_id"}),
    idempotent=True,
    cases=(
        case("no key", MISSING_KEY, Outcome.PROVIDER_BROKEN, "provider"),
        case("invalid key", INVALID_KEY, Outcome.PROVIDER_BROKEN, "provider"),
        case("invalid key, as met", INVALID_KEY_TOO, Outcome.PROVIDER_BROKEN, "provider"),
        case("invalid key, as once", refusal(400, "validation_error", "API key is invalid"),
              Outcome.PROVIDER_BROKEN, "provider"),
        case("restricted key", RESTRICTED_KEY, Outcome.PROVIDER_BROKEN, "provider"),
        case("domain", refusal(403, "validation_error", _NOT_VERIFIED), Outcome.PROVIDER_BROKEN, "sender"),
        case("test mode", refusal(403, "validation_error", _ONLY_TESTING), Outcome.PROVIDER_BROKEN, "provider"),
        case("from", refusal(422, "invalid_from_address", "Invalid from."), Outcome.PROVIDER_BROKEN, "sender"),
        case("from, by field", refusal(422, "validation_error", f"Invalid `from` field. {FORM}"),
              Outcome.PROVIDER_BROKEN, "sender"),
        case("to", refusal(422, "validation_error", f"Invalid `to` field. {FORM}"), Outcome.RECIPIENT_REJECTED),
        case("validation", refusal(400, "validation_error", "We found an error."), Outcome.MESSAGE_REJECTED),
        case("field", refusal(422, "missing_required_field", "Missing `subject` field."), Outcome.MESSAGE_REJECTED),
        case("attachment", refusal(422, "invalid_attachment", "…"), Outcome.MESSAGE_REJECTED),
        case("bad key", refusal(400, "invalid_idempotency_key", "1-256 chars."), Outcome.MESSAGE_REJECTED),
        case("not found", refusal(404, "not_found", "…"), Outcome.PROVIDER_BROKEN, "provider"),
        case("method", refusal(405, "method_not_allowed", "…"), Outcome.PROVIDER_BROKEN, "provider"),
        case("throttled", refusal(429, "rate_limit_exceeded", _TOO_FAST, RATES), Outcome.THROTTLED, after_s=1),
        case("daily quota", refusal(429, "daily_quota_exceeded", "…"), Outcome.PROVIDER_BROKEN, "provider"),
        case("monthly quota", refusal(429, "monthly_quota_exceeded", "…"), Outcome.PROVIDER_BROKEN, "provider"),
        case("security", refusal(451, "security_error", "We may have found a security issue."),
              Outcome.PROVIDER_BROKEN, "provider"),
        case("500", refusal(500, "application_error", "An unexpected error occurred."), Outcome.PROVIDER_DOWN),
        case("503", refusal(503, "service_unavailable", "…"), Outcome.PROVIDER_DOWN),
    ),
    odd_successes=(Reply(200, b'{"id":""}'), Reply(200, b'{"data":[{"id":"1"}]}'), Reply(202, b'{"id":"1"}')),
)  # fmt: skip
