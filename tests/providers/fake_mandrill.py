"""Mailchimp Transactional on loopback: checks each request as the real service does, in its words (from its pages
«Messages» and «Errors», and the models of its own libraries)."""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from email.utils import getaddresses
from typing import Any

from janus_mail.providers.contract import Address, Attachment
from janus_mail.providers.outcomes import Outcome

from .bench import Bench, Case
from .fake_http import ADDRESS, ID, FakeHttp, Reply, Request, Step, TakenMail

KEY = "md-fake0key0for0tests00"
MAX_MESSAGE = 25 * 2**20

TOP = {"key": str, "message": dict, "async": bool, "ip_pool": str, "send_at": str}
MESSAGE: Mapping[str, type] = {
    "html": str, "text": str, "subject": str, "from_email": str, "from_name": str, "to": list, "headers": dict,
    "important": bool, "track_opens": bool, "track_clicks": bool, "auto_text": bool, "auto_html": bool,
    "inline_css": bool, "url_strip_qs": bool, "preserve_recipients": bool, "view_content_link": bool,
    "bcc_address": str, "tracking_domain": str, "signing_domain": str, "return_path_domain": str, "merge": bool,
    "merge_language": str, "global_merge_vars": list, "merge_vars": list, "tags": list, "subaccount": str,
    "google_analytics_domains": list, "google_analytics_campaign": str, "metadata": dict, "recipient_metadata": list,
    "attachments": list, "images": list,
}  # fmt: skip
SINGLE_AT = "An email address must contain a single @"
BLANK = "Sorry, this field can't be left blank."


def error(name: str, code: int, message: str, status: int = 500) -> Reply:
    body = {"status": "error", "code": code, "name": name, "message": message}
    return Reply(status, json.dumps(body).encode())


def invalid(found: Mapping[str, Any]) -> Reply:
    return error("ValidationError", -2, f"Validation error: {json.dumps(found, separators=(',', ':'))}")


def answered(*items: Mapping[str, str | None]) -> Reply:
    """200 with these; each is also given the id or the reason that it does not say."""
    return Reply(200, json.dumps([{"_id": "e5f7a1b2c3d4", "reject_reason": None, **item} for item in items]).encode())


INVALID_KEY = error("Invalid_Key", -1, "Invalid API key")
INVALID_KEY_NEWLY = error("Invalid_Key", 401, "Invalid API key", 401)
NO_SUBACCOUNT = error("Unknown_Subaccount", 12, "No subaccount exists with the id 'customer-123'")
UNPAID = error("PaymentRequired", 10, "The requested feature requires payment.")
GENERAL = error("GeneralError", -99, "An unexpected error occurred processing the request. Mandrill developers will be "
                "notified.")  # fmt: skip
UNAVAILABLE = error("ServiceUnavailable", 9, "The subsystem providing this API call is down for maintenance", 503)


class FakeMandrill(FakeHttp):
    """Knows one key and one subaccount."""

    def __init__(
        self, *steps: Step, key: str = KEY, subaccounts: tuple[str, ...] = ("customer-1",), **more: Any
    ) -> None:
        super().__init__(*steps, **more)
        self._key = key
        self._subaccounts = subaccounts

    def answer(self, request: Request) -> Reply:
        path = re.fullmatch(r"/api/1\.\d/(.+?)(\.json)?", request.path)
        call = path[1] if path else request.path
        if call not in ("messages/send", "users/ping2") or request.method != "POST":
            return error("Unknown_Method", -3, f'Unknown method "{call}"', 404)
        try:
            asked = json.loads(request.body)
        except ValueError:
            return error("ValidationError", -2, "You must specify a key value")
        if not isinstance(asked, dict) or not asked.get("key"):
            return error("ValidationError", -2, "You must specify a key value")
        if asked["key"] != self._key:
            return INVALID_KEY
        if call == "users/ping2":
            return Reply(200, b'{"PING":"PONG!"}')
        found = next(problems_with(asked), None)
        if found is not None:
            return invalid(found)
        if asked["message"].get("subaccount", "customer-1") not in self._subaccounts:
            return NO_SUBACCOUNT
        return self._taken(asked["message"])

    def _taken(self, message: Mapping[str, Any]) -> Reply:
        """A line for each recipient: the addresses that stand for refusals are refused."""
        many = len(message["to"]) > 10
        items = []
        for recipient in message["to"]:
            refused = recipient["email"].startswith(("reject@", "hard_bounce@"))
            items.append(
                {"email": recipient["email"].lower(), "status": "rejected", "reject_reason": "hard-bounce", "_id": "r1"}
                if refused
                else {
                    "email": recipient["email"].lower(), "status": "queued" if many else "sent", "_id": ID,
                    "reject_reason": None, "queued_reason": "multiple-recipients" if many else None,
                }
            )  # fmt: skip
        return Reply(200, json.dumps(items).encode(), takes_it=any(item["status"] != "rejected" for item in items))

    def read(self, request: Request, id_: str) -> TakenMail:
        mail = request.mail["message"]
        metadata = dict(mail.get("metadata", {}))
        headers = dict(mail.get("headers", {}))
        files = [(file, None) for file in mail.get("attachments", [])]
        files += [(file, file["name"]) for file in mail.get("images", [])]
        to, cc, bcc = (tuple(_address(a) for a in mail["to"] if a["type"] == role) for role in ("to", "cc", "bcc"))
        return TakenMail(
            id=id_, janus_message_id=metadata.pop("janus_message_id", None),
            sender=Address(mail["from_email"], mail.get("from_name")), to=to, cc=cc, bcc=bcc,
            reply_to=tuple(Address(e, n or None) for n, e in getaddresses([headers.pop("Reply-To", "")]) if e),
            subject=mail["subject"], text=mail.get("text"), html=mail.get("html"), headers=headers,
            attachments=tuple(
                Attachment(file["name"], file["type"], base64.b64decode(file["content"]), content_id)
                for file, content_id in files
            ),
            tags=tuple(mail.get("tags", [])), metadata=metadata, mail=mail,
        )  # fmt: skip


def problems_with(asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What it complains of, each in the shape of its own answer."""
    for name, value in asked.items():
        if name not in TOP or type(value) is not TOP[name]:
            yield {name: "Unknown field, or not of the right type"}
    message = asked.get("message")
    if not isinstance(message, dict):
        yield {"message": "Please enter an array"}
        return
    for field, what in _message_problems(message):
        yield {"message": {field: what}}


def _message_problems(message: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in message.items():
        if name not in MESSAGE or type(value) is not MESSAGE[name]:
            yield name, "Unknown field, or not of the right type"
            return
    if not ADDRESS.fullmatch(message.get("from_email", "")):
        yield "from_email", SINGLE_AT
    yield from _recipient_problems(message.get("to", []))
    if not message.get("text") and not message.get("html"):
        yield "html", BLANK
    for name, value in message.get("headers", {}).items():
        if not isinstance(value, str) or not name.isascii():
            yield "headers", {name: "Please enter a string"}
    yield from _label_problems(message)
    size = sum(len(message.get(part, "").encode()) for part in ("text", "html"))
    for field in ("attachments", "images"):
        for number, file in enumerate(message.get(field, [])):
            yield from ((field, {number: what}) for what in _file_problems(file, image=field == "images"))
            size += len(file.get("content", ""))
    if size > MAX_MESSAGE:
        yield "attachments", "The message is larger than 25MB"


def _recipient_problems(recipients: list[Any]) -> Iterator[tuple[str, Any]]:
    if not recipients:
        yield "to", BLANK
    for number, one in enumerate(recipients):
        before: list[dict[str, str]] = [{}] * number  # it says which by the place in a list
        if (
            not isinstance(one, dict)
            or set(one) - {"email", "name", "type"}
            or not isinstance(one.get("name", ""), str)
        ):
            yield "to", [*before, {"email": "Unknown field"}]
        elif not one.get("email"):
            yield "to", [*before, {"email": BLANK}]
        elif not ADDRESS.fullmatch(one["email"]):
            yield "to", [*before, {"email": SINGLE_AT}]
        elif one.get("type", "to") not in ("to", "cc", "bcc"):
            yield "to", [*before, {"type": "Please pick one of to, cc, bcc"}]


def _label_problems(message: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for tag in message.get("tags", []):
        if not isinstance(tag, str) or tag.startswith("_") or not 1 <= len(tag) <= 50:
            yield "tags", "Tags have up to 50 characters and do not start with an underscore"
    metadata = message.get("metadata", {})
    if not all(isinstance(value, str | int | float | bool | None) for value in metadata.values()):
        yield "metadata", "Nested data structures aren't supported"
    if any(key.startswith("_") for key in metadata) or len(json.dumps(metadata, ensure_ascii=False).encode()) > 250:
        yield "metadata", "Limited to 250 bytes of JSON-encoded data, and keys may not start with an underscore"


def _file_problems(file: Any, *, image: bool) -> Iterator[str]:
    if not isinstance(file, dict) or set(file) != {"type", "name", "content"}:
        yield "Please enter type, name and content"
        return
    if image and not file["type"].startswith("image/"):
        yield 'The MIME type of the image, must start with "image/"'
    try:
        base64.b64decode(file["content"], validate=True)
    except binascii.Error:
        yield "Please enter base64"


def _address(given: Mapping[str, str]) -> Address:
    return Address(given["email"], given.get("name"))


def _broken(said: str, reply: Reply, scope: str = "provider") -> Case:
    return Case(said=said, reply=reply, outcome=Outcome.PROVIDER_BROKEN, scope=scope)


def _rejected(said: str, reply: Reply) -> Case:
    return Case(said=said, reply=reply, outcome=Outcome.RECIPIENT_REJECTED)


_B = {"email": "b@example.net"}

BENCH = Bench(
    kind="mandrill",
    fake=FakeMandrill,
    config={"api_key": KEY},
    strange_config={"api_key": "md-revoked-yesterday"},
    cases=(
        _broken("wrong key", INVALID_KEY),
        _broken("wrong key, newly", INVALID_KEY_NEWLY),
        _broken("no key", error("ValidationError", -2, "You must specify a key value")),
        _broken("unknown subaccount", NO_SUBACCOUNT),
        _broken("unknown IP pool", error("Unknown_Pool", 18, 'Unknown pool "Main Pool"')),
        _broken("unknown template", error("Unknown_Template", 5, 'No such template "welcome"')),
        _broken("unpaid", UNPAID),
        _broken("poor reputation", error("PoorReputation", 19, "The requested feature is not allowed")),
        _broken("bad sender", invalid({"message": {"from_email": SINGLE_AT}}), "sender"),
        _broken("unsigned", answered({**_B, "status": "rejected", "reject_reason": "unsigned"}), "sender"),
        _broken("invalid sender", answered({**_B, "status": "rejected", "reject_reason": "invalid-sender"}), "sender"),
        _broken("test key spent", answered({**_B, "status": "rejected", "reject_reason": "test-mode-limit"})),
        _rejected("bounced before", answered({**_B, "status": "rejected", "reject_reason": "hard-bounce"})),
        _rejected("unsubscribed", answered({**_B, "status": "rejected", "reject_reason": "unsub"})),
        _rejected("no address", answered({**_B, "status": "invalid"})),
        _rejected("bad address", invalid({"message": {"to": [{"email": SINGLE_AT}]}})),
        _rejected("bad address, by number", invalid({"message": {"to": {"0": {"email": BLANK}}}})),
        Case(
            said="bad file",
            reply=invalid({"message": {"attachments": {"0": "Please enter base64"}}}),
            outcome=Outcome.MESSAGE_REJECTED,
        ),
        Case(
            said="invalid, in words alone",
            reply=error("ValidationError", -2, "Validation error: what?", 400),
            outcome=Outcome.MESSAGE_REJECTED,
        ),
        Case(
            said="bad tag",
            reply=error("Invalid_Tag_Name", 7, "The tag name is invalid"),
            outcome=Outcome.MESSAGE_REJECTED,
        ),
        Case(said="throttled", reply=error("Too_Many_Requests", -6, "Slow down", 429), outcome=Outcome.THROTTLED),
        Case(said="general error", reply=GENERAL, outcome=Outcome.PROVIDER_DOWN),
        Case(said="unavailable", reply=UNAVAILABLE, outcome=Outcome.PROVIDER_DOWN),
        Case(said="an error to come", reply=error("Brand_New", 99, "Who knows"), outcome=Outcome.PROVIDER_DOWN),
    ),
    odd_successes=(
        Reply(200, b"[]"),
        Reply(200, b"{}"),
        Reply(200, b'[{"email": "b@example.net"}]'),
        Reply(200, b'[{"email": "b@example.net", "status": "sent"}]'),
        Reply(200, b'[{"email": "b@example.net", "status": "dreamt", "_id": "1"}]'),
        Reply(200, b'[{"email": "x@example.net", "status": "sent", "_id": "1"}, {"email": "y@", "status": "invalid"}]'),
        Reply(202, b'[{"email": "b@example.net", "status": "sent", "_id": "1"}]'),
    ),
    lacks=frozenset({"inline_names", "utf8_filenames"}),
)
