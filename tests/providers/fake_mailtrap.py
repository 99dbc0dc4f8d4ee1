"""Mailtrap on loopback: checks each request as the real service does (https://github.com/mailtrap/mailtrap-openapi),
and answers in the words that its clients have recorded."""

import base64
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from email.header import decode_header, make_header
from email.utils import getaddresses
from typing import Any

from janus_mail.providers.contract import Address, Attachment
from janus_mail.providers.outcomes import Outcome

from .bench import Bench, case
from .fake_http import ADDRESS, ID, FakeHttp, Reply, Request, TakenMail

TOKEN = "5f4e0a1b2c3d4e5f-fake-token-for-tests"
DOMAINS = {"example.com", "xn--bcher-kva.example"}
SANDBOX_ID = 1234567
MAX_BYTES = 10 * 2**20

FIELDS: Mapping[str, type] = {
    "from": dict, "to": list, "cc": list, "bcc": list, "reply_to": dict, "subject": str, "text": str, "html": str,
    "attachments": list, "headers": dict, "custom_variables": dict, "category": str, "template_uuid": str,
    "template_variables": dict,
}  # fmt: skip
ATTACHMENT = {"content", "filename", "type", "disposition", "content_id"}


def refusal(status: int, *errors: str, headers: Mapping[str, str] = {}) -> Reply:
    return Reply(status, json.dumps({"success": False, "errors": errors}).encode(), headers)


UNAUTHORIZED = refusal(401, "Unauthorized")


class FakeMailtrap(FakeHttp):
    """The stream for single mails, and one sandbox."""

    def answer(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {TOKEN}" and request.headers.get("api-token") != TOKEN:
            return UNAUTHORIZED
        if request.path not in ("/api/send", f"/api/send/{SANDBOX_ID}"):
            return refusal(404, "Not Found")
        if request.method != "POST":
            return refusal(405, "Method Not Allowed")
        if not request.headers.get("user-agent"):
            return Reply(403, b"<html>Forbidden</html>", {"Content-Type": "text/html"})
        if len(request.body) > MAX_BYTES * 4 // 3:
            return refusal(413, "Request entity too large")
        try:
            mail = request.mail
        except ValueError:
            return refusal(400, "invalid JSON")
        if errors := list(_complaints(mail)):
            return refusal(400, *errors)
        if mail["from"]["email"].rpartition("@")[2] not in DOMAINS:
            return UNAUTHORIZED
        if request.path != "/api/send":
            return Reply(200, f'{{"success":true,"message_ids":["{ID}"]}}'.encode(), takes_it=True)
        everyone = sum(len(mail.get(role, [])) for role in ("to", "cc", "bcc"))
        ids = [ID, *(str(uuid.uuid4()) for _ in range(everyone - 1))]
        return Reply(200, json.dumps({"success": True, "message_ids": ids}).encode(), takes_it=True)

    def new_id(self) -> str:
        return str(uuid.uuid4())

    def read(self, request: Request, id_: str) -> TakenMail:
        mail = request.mail
        variables = dict(mail.get("custom_variables", {}))
        headers = {name: str(make_header(decode_header(value))) for name, value in mail.get("headers", {}).items()}
        listed = getaddresses([headers.pop("Reply-To", "")])
        return TakenMail(
            id=id_, janus_message_id=variables.pop("janus_message_id", None), sender=_address(mail["from"]),
            to=_addresses(mail.get("to", [])), cc=_addresses(mail.get("cc", [])), bcc=_addresses(mail.get("bcc", [])),
            reply_to=_addresses([mail["reply_to"]] if "reply_to" in mail else [])
            or tuple(Address(email, name or None) for name, email in listed if email),
            subject=mail["subject"], text=mail.get("text"), html=mail.get("html"), headers=headers,
            attachments=tuple(
                Attachment(file["filename"], file["type"], base64.b64decode(file["content"]), file.get("content_id"))
                for file in mail.get("attachments", [])
            ),
            tags=(mail["category"],) if "category" in mail else (), metadata=variables, mail=mail,
        )  # fmt: skip


def _complaints(mail: Any) -> Iterator[str]:
    """All that is wrong with a mail."""
    if not isinstance(mail, dict):
        yield "invalid JSON"
        return
    for name, value in mail.items():
        if name not in FIELDS:
            yield f"unknown field '{name}'"
        elif not isinstance(value, FIELDS[name]):
            yield f"'{name}' has a wrong type"
            return
    if "from" not in mail:
        yield "'from' is required"
    if not any(mail.get(role) for role in ("to", "cc", "bcc")):
        yield "'to', 'cc' or 'bcc' address is required"
    yield from _people(mail)
    if not mail.get("subject"):
        yield "'subject' is required"
    if not (mail.get("text") or mail.get("html")) or "" in (mail.get("text"), mail.get("html")):
        yield "must specify either text or html body"
    yield from _labels(mail)
    for place, file in enumerate(mail.get("attachments", [])):
        yield from _file(place, file)


def _people(mail: Mapping[str, Any]) -> Iterator[str]:
    for role in ("from", "reply_to"):
        if role in mail and not _valid(mail[role]):
            yield f"'{role}' address is invalid"
    for role in ("to", "cc", "bcc"):
        if len(mail.get(role, [])) > 1000:
            yield f"'{role}' has more than 1000 addresses"
        for place, address in enumerate(mail.get(role, [])):
            if not _valid(address):
                yield f"address is invalid in '{role}' {place}"


def _valid(address: Any) -> bool:
    return (
        isinstance(address, dict)
        and set(address) <= {"email", "name"}
        and isinstance(address.get("name", ""), str)
        and ADDRESS.fullmatch(str(address.get("email"))) is not None
    )


def _labels(mail: Mapping[str, Any]) -> Iterator[str]:
    for name in ("headers", "custom_variables"):
        if not all(isinstance(value, str) for value in mail.get(name, {}).values()):
            yield f"'{name}' must hold strings"
    if not all(value.isascii() and value.isprintable() for value in mail.get("headers", {}).values()):
        yield "'headers' must be encoded"
    if len(json.dumps(mail.get("custom_variables", {}), ensure_ascii=False).encode()) > 1000:
        yield "'custom_variables' is longer than 1000 bytes"
    if len(mail.get("category", "")) > 255:
        yield "'category' is longer than 255 characters"


def _file(place: int, file: Any) -> Iterator[str]:
    if not isinstance(file, dict) or not set(file) <= ATTACHMENT or not file.get("filename"):
        yield f"'attachments' {place} is invalid"
        return
    if file.get("disposition", "attachment") not in ("attachment", "inline"):
        yield f"'disposition' is invalid in 'attachments' {place}"
    if not file["filename"].isascii():  # it takes it, and garbles it
        yield f"'filename' is garbled in 'attachments' {place}"
    try:
        base64.b64decode(file["content"], validate=True)
    except (KeyError, ValueError):
        yield f"'content' is not base64 in 'attachments' {place}"


def _addresses(given: Sequence[Mapping[str, str]]) -> tuple[Address, ...]:
    return tuple(_address(address) for address in given)


def _address(given: Mapping[str, str]) -> Address:
    return Address(given["email"], given.get("name"))


BENCH = Bench(
    kind="mailtrap",
    fake=FakeMailtrap,
    config={"api_key": TOKEN},
    strange_config={"api_key": "token-of-yesterday-revoked"},
    cases=(
        case("token revoked", UNAUTHORIZED, Outcome.PROVIDER_BROKEN, "provider"),
        case("token revoked, as in 2022", Reply(401, b'{"errors":["Unauthorized"]}'), Outcome.PROVIDER_BROKEN,
              "provider"),
        case("token revoked, in other words", Reply(401, b'{"success":false,"error":"Incorrect API token"}'),
              Outcome.PROVIDER_BROKEN, "provider"),
        case("forbidden", refusal(403, "Forbidden"), Outcome.PROVIDER_BROKEN, "provider"),
        case("other domain", refusal(403, "Sending from domain is not allowed"), Outcome.PROVIDER_BROKEN, "sender"),
        case("other domain in the header", refusal(400, "'From' header does not match the sender's domain"),
              Outcome.PROVIDER_BROKEN, "sender"),
        case("bad sender", refusal(400, "'from' address is invalid"), Outcome.PROVIDER_BROKEN, "sender"),
        case("bad recipient", refusal(400, "address is invalid in 'to' 0"), Outcome.RECIPIENT_REJECTED),
        case("no subject", Reply(400, b'{"errors":["\'subject\' is required",'
                                       b'"must specify either text or html body"]}'), Outcome.MESSAGE_REJECTED),
        case("too large", refusal(413, "Request entity too large"), Outcome.MESSAGE_REJECTED),
        case("success that is none", Reply(200, b'{"success":false,"errors":["\'subject\' is required"]}'),
              Outcome.MESSAGE_REJECTED),
        case("token revoked within a success", Reply(200, b'{"success":false,"errors":["Unauthorized"]}'),
              Outcome.PROVIDER_BROKEN, "provider"),
        case("success with errors", Reply(200, b'{"success":true,"message_ids":["1"],"errors":["x"]}'),
              Outcome.UNCERTAIN),
        case("demo domain", refusal(403, "Demo domains can only be used to send emails to account owners"),
              Outcome.PROVIDER_BROKEN, "provider"),
        case("too fast", refusal(429, "Too Many Requests"), Outcome.THROTTLED),
        case("too fast in the sandbox", refusal(429, "Too many emails per second. Please upgrade your plan"),
              Outcome.THROTTLED),
        case("month's limit", refusal(429, "Monthly messages limit reached"), Outcome.PROVIDER_BROKEN, "provider"),
        case("500", refusal(500, "Internal server error"), Outcome.PROVIDER_DOWN),
    ),
    odd_successes=(
        Reply(200, b'{"success":true}'),
        Reply(200, b'{"success":false}'),
        Reply(200, b'{"success":true,"message_ids":[]}'),
        Reply(200, b'{"success":true,"message_ids":[7]}'),
        Reply(200, b'{"message_ids":["0c7fd939-02cf-11ed-88c2-0a58a9feac02"]}'),
        Reply(200, b'{"success":false,"message_ids":["0c7fd939-02cf-11ed-88c2-0a58a9feac02"]}'),
    ),
    lacks=frozenset({"message_id", "utf8_filenames"}),
    tags=("welcome",),
)  # fmt: skip
