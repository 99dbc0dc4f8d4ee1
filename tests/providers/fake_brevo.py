"""Brevo on loopback: checks each request as the real service does, and answers in its words (from its reference «Send
a transactional email», its page on idempotency, its SDK's own notes, and what django-anymail met)."""

import base64
import binascii
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from email.header import decode_header, make_header
from typing import Any

from janus_mail.providers.contract import Address, Attachment
from janus_mail.providers.outcomes import Outcome

from .bench import Bench, case
from .fake_http import ADDRESS, ID, FakeHttp, Reply, Request, TakenMail

KEY = "xkeysib-fake-key-for-tests"
SENDERS = {"example.com"}
MAX_BYTES = 20 * 1024 * 1024
FIELDS: Mapping[str, type] = {
    "sender": dict, "to": list, "cc": list, "bcc": list, "replyTo": dict, "subject": str, "htmlContent": str,
    "textContent": str, "attachment": list, "headers": dict, "tags": list, "params": dict, "templateId": int,
    "messageVersions": list, "scheduledAt": str, "batchId": str, "preheader": str,
}  # fmt: skip
ENDINGS = {"xlsx", "docx", "csv", "pdf", "txt", "gif", "jpg", "jpeg", "png", "html", "zip", "xml", "ics", "mp3", "mp4"}
TYPES = {"pdf": "application/pdf", "png": "image/png", "csv": "text/csv", "txt": "text/plain"}
SPECIALS = re.compile(r'[()<>\[\]:;@\\,."]')
SPECIAL_HEADERS = {"x-mailin-custom", "x-sib-sandbox", "idempotencykey", "sender.ip"}
STANDARD_HEADERS = {"message-id", "from", "to", "cc", "bcc", "subject", "date", "reply-to", "sender"}


def refusal(status: int, code: str, message: str, headers: Mapping[str, str] = {}) -> Reply:
    return Reply(status, json.dumps({"code": code, "message": message}).encode(), headers)


RATES = {"x-sib-ratelimit-limit": "1000", "x-sib-ratelimit-remaining": "0", "x-sib-ratelimit-reset": "3"}
KEY_NOT_FOUND = refusal(401, "unauthorized", "Key not found")
DUPLICATE = refusal(400, "duplicate_parameter", "idempotencyKey already used")


class FakeBrevo(FakeHttp):
    """Knows the keys of what it took: the same again is called a double, and dropped."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._keys = set[str]()

    def new_id(self) -> str:
        return f"<202410181025.{uuid.uuid4().int % 10**11}@smtp-relay.mailin.fr>"

    def answer(self, request: Request) -> Reply:
        if request.headers.get("api-key") != KEY:
            return KEY_NOT_FOUND
        if request.headers.get("accept", "*/*") not in ("application/json", "*/*"):
            return refusal(406, "not_acceptable", "Not acceptable")
        if (request.method, request.path) == ("GET", "/v3/account"):
            return Reply(200, b'{"email":"owner@example.com","plan":[{"type":"free","credits":300}]}')
        if request.path != "/v3/smtp/email":
            return refusal(404, "document_not_found", "Route not found")
        if request.method != "POST":
            return refusal(405, "method_not_allowed", "Method not allowed")
        if len(request.body) > MAX_BYTES:
            return refusal(413, "bad_request", "Request entity too large")
        try:
            mail = request.mail
        except ValueError:
            return refusal(400, "bad_request", "Input must be a valid JSON object")
        for status, code, message in problems_with(mail):
            return refusal(status, code, message)
        headers = mail.get("headers", {})
        if headers.get("idempotencyKey") in self._keys:
            return DUPLICATE
        if headers.get("X-Sib-Sandbox") == "drop":
            return Reply(201, json.dumps({"messageId": self.new_id()}).encode())
        return Reply(201, f'{{"messageId":"{ID}"}}'.encode(), RATES, takes_it=True)

    def read(self, request: Request, id_: str) -> TakenMail:
        mail = request.mail
        given = mail.get("headers", {})
        key = given.get("idempotencyKey")
        if key is not None:
            self._keys.add(key)
        metadata = json.loads(given.get("X-Mailin-custom", "{}"))
        headers = {_title(name): value for name, value in given.items() if name.lower() not in SPECIAL_HEADERS}
        return TakenMail(
            id=id_, janus_message_id=metadata.pop("janus_message_id", None), sender=address(mail["sender"]),
            to=addresses(mail.get("to", [])), cc=addresses(mail.get("cc", [])), bcc=addresses(mail.get("bcc", [])),
            reply_to=(address(mail["replyTo"]),) if "replyTo" in mail else (), subject=mail["subject"],
            text=mail.get("textContent"), html=mail["htmlContent"], headers={**headers, "Message-ID": id_},
            attachments=tuple(
                Attachment(file["name"], TYPES[file["name"].rpartition(".")[2]], base64.b64decode(file["content"]))
                for file in mail.get("attachment", [])
            ),
            tags=tuple(mail.get("tags", [])), metadata=metadata, idempotency_key=key, mail=mail,
        )  # fmt: skip


def _title(name: str) -> str:
    return "-".join(word[:1].upper() + word[1:].lower() for word in name.split("-"))


def address(given: Mapping[str, str]) -> Address:
    """As it would stand in the mail: names beyond ASCII that hold a special get lost, unless they are encoded."""
    name = given.get("name", "")
    if not name.isascii() and SPECIALS.search(name):
        name = ""
    return Address(given["email"], str(make_header(decode_header(name))) or None)


def addresses(given: list[Mapping[str, str]]) -> tuple[Address, ...]:
    return tuple(address(one) for one in given)


Words = tuple[int, str, str]


def problems_with(mail: Any) -> Iterator[Words]:
    """Status, code and message of each complaint about the mail."""
    for field, value in mail.items() if isinstance(mail, dict) else [("body", None)]:
        if field not in FIELDS or not isinstance(value, FIELDS[field]):
            yield 400, "invalid_parameter", f"{field} is not valid"
            return
    yield from _people(mail)
    for field in ("subject", "htmlContent"):
        if not mail.get(field):
            yield 400, "missing_parameter", f"{field} is missing"
    for file in mail.get("attachment", []):
        yield from _attachment(file)
    if "attachment" in mail and not mail["attachment"]:
        yield 400, "missing_parameter", "attachment is missing"
    yield from _labels(mail)


def _people(mail: Mapping[str, Any]) -> Iterator[Words]:
    sender = mail.get("sender", {})
    if ADDRESS.fullmatch(sender.get("email", "")) is None:
        yield 400, "invalid_parameter", "valid sender email required"
    elif sender["email"].rpartition("@")[2] not in SENDERS:
        words = f"Sending has been rejected because the sender you used {sender['email']} is not valid."
        yield 400, "invalid_parameter", f"{words} Validate your sender or authenticate your domain"
    if not mail.get("to"):
        yield 400, "missing_parameter", "to is missing"
    groups = {role: mail.get(role, []) for role in ("to", "cc", "bcc")}
    if sum(map(len, groups.values())) > 99:
        yield 400, "out_of_range", "Maximum 99 recipients are allowed"
    for role, people in {**groups, "sender": [sender], "replyTo": [mail[r] for r in ("replyTo",) if r in mail]}.items():
        if role in mail and not people:
            yield 400, "missing_parameter", f"{role} is missing"
        for person in people:
            name = person.get("name", "x")
            if set(person) - {"email", "name"} or not isinstance(name, str) or not name:
                yield 400, "invalid_parameter", f"name is not valid in {role}"
            elif len(name) > 70:
                yield 400, "invalid_parameter", f"You can have max 70 character in {role} name"
            elif ADDRESS.fullmatch(person.get("email", "")) is None:
                yield 400, "invalid_parameter", f"email is not valid in {role}"


def _attachment(file: Mapping[str, Any]) -> Iterator[Words]:
    if set(file) != {"name", "content"}:
        yield 400, "missing_parameter", "Name is mandatory for attachment content"
        return
    if file["name"].rpartition(".")[2].lower() not in ENDINGS:
        yield 400, "invalid_parameter", f"Unsupported file format: {file['name']}"
    if not file["name"].isascii():  # the real one garbles it
        yield 400, "invalid_parameter", f"Non-ASCII file name: {file['name']}"
    try:
        base64.b64decode(file["content"], validate=True)
    except binascii.Error:
        yield 400, "invalid_parameter", "Attachment content is not valid base64 content"


def _labels(mail: Mapping[str, Any]) -> Iterator[Words]:
    for name, value in mail.get("headers", {}).items():
        if name.lower() in STANDARD_HEADERS:
            yield 400, "invalid_parameter", f"{name} is a standard header"
        elif not isinstance(value, str) or not (name + value).isascii() or "\n" in value or len(value) > 998:
            yield 400, "invalid_parameter", f"{name} is not valid in headers"
    key = mail.get("headers", {}).get("idempotencyKey")
    try:
        if key is not None:
            uuid.UUID(key)
    except ValueError:
        yield 400, "invalid_parameter", "idempotencyKey should be a valid UUID"
    if not all(isinstance(tag, str) and tag for tag in mail.get("tags", [])) or mail.get("tags") == []:
        yield 400, "invalid_parameter", "tags should be a list of strings"


_NO_SENDER = "Sending has been rejected because the sender you used a@example.com is not valid. Validate your sender …"
_INVALID = "invalid_parameter"

BENCH = Bench(
    kind="brevo",
    fake=FakeBrevo,
    config={"api_key": KEY},
    strange_config={"api_key": "xkeysib-key-of-yesterday-0001"},
    lacks=frozenset(
        {"inline_files", "utf8_filenames", "utf8_headers", "several_reply_to", "message_id", "text_only"}
    ),
    cases=(
        case("key", KEY_NOT_FOUND, Outcome.PROVIDER_BROKEN, "provider"),
        case("unknown IP", refusal(401, "unauthorized", "We have detected you are using an unrecognised IP address"),
              Outcome.PROVIDER_BROKEN, "provider"),
        case("credits", refusal(400, "not_enough_credits", "…"), Outcome.PROVIDER_BROKEN, "provider"),
        case("credits, 402", refusal(402, "not_enough_credits", "…"), Outcome.PROVIDER_BROKEN, "provider"),
        case("validation", refusal(402, "account_under_validation", "…"), Outcome.PROVIDER_BROKEN, "provider"),
        case("not activated", refusal(403, "permission_denied", "Your SMTP account is not yet activated."),
              Outcome.PROVIDER_BROKEN, "provider"),
        case("no sender", refusal(400, _INVALID, "valid sender email required"), Outcome.PROVIDER_BROKEN, "sender"),
        case("sender", refusal(400, _INVALID, _NO_SENDER), Outcome.PROVIDER_BROKEN, "sender"),
        case("to", refusal(400, _INVALID, "email is not valid in to"), Outcome.RECIPIENT_REJECTED),
        case("reply-to", refusal(400, _INVALID, "email is not valid in replyTo"), Outcome.MESSAGE_REJECTED),
        case("missing", refusal(400, "missing_parameter", "subject is missing"), Outcome.MESSAGE_REJECTED),
        case("range", refusal(400, "out_of_range", "…"), Outcome.MESSAGE_REJECTED),
        case("bad request", refusal(400, "bad_request", "…"), Outcome.MESSAGE_REJECTED),
        case("a double that is none", DUPLICATE, Outcome.UNCERTAIN),
        case("another double", refusal(400, "duplicate_request", "…"), Outcome.UNCERTAIN),
        case("not found", refusal(404, "document_not_found", "…"), Outcome.PROVIDER_BROKEN, "provider"),
        case("method", refusal(405, "method_not_allowed", "…"), Outcome.PROVIDER_BROKEN, "provider"),
        case("not acceptable", refusal(406, "not_acceptable", "…"), Outcome.PROVIDER_BROKEN, "provider"),
        case("too large", refusal(413, "bad_request", "…"), Outcome.MESSAGE_REJECTED),
        case("throttled", refusal(429, "too_many_requests", "…", RATES), Outcome.THROTTLED, after_s=3),
        case("500", refusal(500, "internal_server_error", "…"), Outcome.PROVIDER_DOWN),
        case("503", refusal(503, "service_unavailable", "…"), Outcome.PROVIDER_DOWN),
    ),
    odd_successes=(
        Reply(201, b'{"messageId":""}'), Reply(201, b'{"messageIds":["<1@x>"]}'), Reply(200, b'{"messageId":"<1@x>"}'),
    ),
)  # fmt: skip
