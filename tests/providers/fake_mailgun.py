"""Mailgun on loopback: checks each request as the real service does, in its words (from its pages «Messages», «API
Response Codes», and what its users report of it)."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from email.utils import getaddresses
from typing import Any, NamedTuple

from python_multipart.multipart import MultipartParser, parse_options_header

from janus_mail.providers.contract import Address, Attachment
from janus_mail.providers.http_parts import base64_of
from janus_mail.providers.outcomes import Outcome

from .bench import Bench, Case, case
from .fake_http import ADDRESS, ID, FakeHttp, Reply, Request, Step, TakenMail

KEY = "0123456789abcdef0123456789abcdef-fa4e0000-fa4e0001"
DOMAIN = "mg.example.com"
MAX_REQUEST = int(52.4 * 2**20)
MAX_MESSAGE = 25 * 2**20
MAX_OPTIONS = 16_000

ONCE = {"from", "subject", "text", "html", "amp-html", "template", "recipient-variables"}
AGAIN = {"to", "cc", "bcc", "attachment", "inline", "o:tag"}
FILES = {"attachment", "inline"}
YES_OR_NO = {"yes", "no", "true", "false"}
OPTIONS = {
    "o:testmode": YES_OR_NO, "o:dkim": YES_OR_NO, "o:tracking": YES_OR_NO, "o:tracking-opens": YES_OR_NO,
    "o:tracking-clicks": YES_OR_NO | {"htmlonly"}, "o:require-tls": YES_OR_NO, "o:skip-verification": YES_OR_NO,
    "o:sending-ip-pool": None, "o:sending-ip": None, "o:deliverytime": None, "o:tag": None,
}  # fmt: skip


class Part(NamedTuple):
    """One field of the form."""

    name: str
    value: bytes
    filename: str | None = None
    content_type: str | None = None

    @property
    def text(self) -> str:
        return self.value.decode()


def complaint(status: int, message: str) -> Reply:
    return Reply(status, json.dumps({"message": message}).encode())


def not_allowed(why: str, status: int = 403) -> Reply:
    return complaint(status, f"Domain {DOMAIN} is not allowed to send: {why}")


FORBIDDEN = Reply(401, b"Forbidden", {"Content-Type": "text/plain"})
MAGNIFICENT = Reply(200, b"Mailgun Magnificent API", {"Content-Type": "text/plain"})
TOO_LARGE = complaint(413, "request size exceeds 52.4MiB limit")
LIMITED = "recipient limit exceeded, try again after Mon, 25 Aug 2025 07:00:31 UTC"
TOO_FAST = "You are sending too fast. Your account is on probation and the account has been temporarily disabled."
UNVERIFIED = ("The domain is unverified and requires DNS configuration. Log in to your control panel to view required "
              "DNS records.")  # fmt: skip
SANDBOX = (
    "Sandbox subdomains are for test purposes only. Please add your own domain or add the address to authorized "
    "recipients in Account Settings."
)


def invalid(parameter: str) -> str:
    return f"'{parameter}' parameter is not a valid address. please check documentation"


class FakeMailgun(FakeHttp):
    """Knows one domain and one key."""

    def __init__(self, *steps: Step, key: str = KEY, domain: str = DOMAIN, **options: Any) -> None:
        super().__init__(*steps, **options)
        self._key = f"Basic {base64_of(f'api:{key}'.encode())}"
        self._domain = domain

    def answer(self, request: Request) -> Reply:
        path = re.fullmatch(r"/v3/([^/%]+)/messages", request.path)
        if path is None:
            return MAGNIFICENT
        if request.method != "POST":
            return complaint(405, "Method Not Allowed")
        if request.headers.get("authorization") != self._key:
            return FORBIDDEN
        if path[1] != self._domain:
            return complaint(404, f"Domain not found: {path[1]}")
        if len(request.body) > MAX_REQUEST:
            return TOO_LARGE
        try:
            parts = parts_of(request.headers.get("content-type", ""), request.body)
        except ValueError as error:
            return complaint(400, str(error))
        found = next(problems_with(parts), None)
        if found is not None:
            return complaint(400, found)
        taken = {"id": ID, "message": "Queued. Thank you."}
        if any(part.name == "o:testmode" and part.text in ("yes", "true") for part in parts):
            return Reply(200, json.dumps(taken).replace(ID, self.new_id()).encode())
        return Reply(200, json.dumps(taken).encode(), takes_it=True)

    def new_id(self) -> str:
        return f"<20251121120000.1.{super().new_id()}@{self._domain}>"

    def read(self, request: Request, id_: str) -> TakenMail:
        parts = parts_of(request.headers["content-type"], request.body)
        one = {part.name: part.text for part in parts if part.filename is None}
        headers = {name.removeprefix("h:"): text for name, text in one.items() if name.startswith("h:")}
        metadata = {name.removeprefix("v:"): text for name, text in one.items() if name.startswith("v:")}
        return TakenMail(
            id=id_, janus_message_id=metadata.pop("janus_message_id", None), sender=_addresses([one["from"]])[0],
            to=_addresses(_all("to", parts)), cc=_addresses(_all("cc", parts)), bcc=_addresses(_all("bcc", parts)),
            reply_to=_addresses([headers.pop("Reply-To", "")]),
            subject=one["subject"], text=one.get("text"), html=one.get("html"),
            headers={"Message-ID" if name == "Message-Id" else name: value for name, value in headers.items()},
            attachments=tuple(map(_file, (part for part in parts if part.name in FILES))),
            tags=tuple(_all("o:tag", parts)), metadata=metadata, mail=one,
        )  # fmt: skip


def parts_of(content_type: str, body: bytes) -> list[Part]:
    """The fields of the form, in their order. Raises `ValueError` in Mailgun's words."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise ValueError(f"Invalid request content type. Expecting 'multipart/form-data' but got '{kind.decode()}'")
    found: list[tuple[dict[str, bytes], bytearray]] = []
    header, ended = [bytearray(), bytearray()], []

    def keep_header() -> None:
        found[-1][0][header[0].decode().lower()] = bytes(header[1])
        header[:] = [bytearray(), bytearray()]

    MultipartParser(
        options.get(b"boundary", b""),
        {
            "on_part_begin": lambda: found.append(({}, bytearray())),
            "on_header_field": lambda data, start, end: header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: header[1].extend(data[start:end]),
            "on_header_end": keep_header,
            "on_part_data": lambda data, start, end: found[-1][1].extend(data[start:end]),
            "on_end": lambda: ended.append(True),
        },
    ).write(body)
    if not ended:
        raise ValueError("unable to parse request: unexpected EOF")
    return [_part(headers, bytes(value)) for headers, value in found]


def _part(headers: Mapping[str, bytes], value: bytes) -> Part:
    kind, options = parse_options_header(headers.get("content-disposition", b""))
    if kind != b"form-data" or b"name" not in options or b"filename*" in headers["content-disposition"]:
        raise ValueError("malformed multipart/form-data request")
    filename = options.get(b"filename")
    return Part(
        _unquoted(options[b"name"]),
        value,
        None if filename is None else _unquoted(filename),
        headers["content-type"].decode() if "content-type" in headers else None,
    )


def _unquoted(name: bytes) -> str:
    """As browsers quote it (WHATWG HTML 4.10.21.8)."""
    return name.decode().replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")


def problems_with(parts: Sequence[Part]) -> Iterator[str]:
    """What it complains of."""
    names = [part.name for part in parts]
    for name in ("from", "to"):
        if name not in names:
            yield f"{name} parameter is missing"
    yield from _addressing(parts)
    if not {"text", "html", "amp-html", "template"} & set(names):
        yield "Need at least one of 'text' or 'html' parameters specified"
    for part in parts:
        yield from _field(part, again=names.count(part.name) > 1)
    options = [part for part in parts if re.match("[ohvt]:", part.name)]
    if sum(len(part.name) + len(part.value) for part in options) > MAX_OPTIONS:
        yield "Send options (parameters starting with o:, h:, or v:) are limited to 16 kB total"
    tags = _all("o:tag", parts)
    if len(tags) > 10 or not all(tag.isascii() and len(tag) <= 128 for tag in tags):
        yield "Too many tags, or one that is not ASCII or too long"
    if sum(len(part.value) if part.name not in FILES else len(part.value) * 4 // 3 for part in parts) > MAX_MESSAGE:
        yield "Message is too large; max is 25MB"


def _addressing(parts: Sequence[Part]) -> Iterator[str]:
    for name in ("from", "to", "cc", "bcc"):
        for value in _all(name, parts):
            if not all(ADDRESS.fullmatch(email) for _, email in getaddresses([value])):
                yield invalid(name)
    if sum(len(getaddresses(_all(name, parts))) for name in ("to", "cc", "bcc")) > 1000:
        yield "Too many recipients; max is 1000"


def _field(part: Part, *, again: bool) -> Iterator[str]:
    """It is a field that the API has, of the right kind, as often as may be."""
    prefix, _, rest = part.name.partition(":")
    if (part.name in FILES) != (part.filename is not None) or part.filename == "":
        yield f"'{part.name}' parameter is {'not ' if part.name in FILES else ''}a file"
    if prefix == "h" and not (rest and rest.isascii()):
        yield f"Header name must be pure ASCII: {rest}"
    elif prefix == "o":
        allowed = OPTIONS.get(part.name, set())
        if allowed is not None and part.text not in allowed:
            yield f"'{part.name}' parameter is not valid"
    elif prefix not in ("h", "v") and part.name not in ONCE | AGAIN:
        yield f"'{part.name}' parameter is unknown"
    if again and part.name not in AGAIN:
        yield f"'{part.name}' parameter is given twice"


def _all(name: str, parts: Sequence[Part]) -> list[str]:
    return [part.text for part in parts if part.name == name]


def _addresses(lines: Sequence[str]) -> tuple[Address, ...]:
    return tuple(Address(email, name or None) for name, email in getaddresses(lines) if email)


def _file(part: Part) -> Attachment:
    name, kind = part.filename or "", part.content_type or "application/octet-stream"
    return Attachment(name, kind, part.value, name if part.name == "inline" else None)


def _broken(said: str, reply: Reply) -> Case:
    return Case(said=said, reply=reply, outcome=Outcome.PROVIDER_BROKEN, scope="provider")


BENCH = Bench(
    kind="mailgun",
    fake=FakeMailgun,
    config={"api_key": KEY, "domain": DOMAIN},
    strange_config={"api_key": "revoked-key-of-yesterday"},
    cases=(
        _broken("wrong key", FORBIDDEN),
        _broken("account disabled", not_allowed("Account disabled")),
        _broken("sandbox domain", not_allowed(SANDBOX)),
        _broken("sandbox domain, in short", complaint(400, SANDBOX)),
        _broken("free account", complaint(400, SANDBOX.replace("Sandbox subdomains", "Free accounts"))),
        _broken("not activated", complaint(400, "Please activate your Mailgun account. Check your inbox or log in.")),
        _broken("account disabled, in short", complaint(400, "Account disabled")),
        case("domain unverified", not_allowed(UNVERIFIED, 400), Outcome.PROVIDER_BROKEN, "provider"),
        case("domain unverified, in short", complaint(400, UNVERIFIED), Outcome.PROVIDER_BROKEN, "provider"),
        _broken("domain unknown", complaint(404, f"Domain not found: {DOMAIN}")),
        _broken("IP not its own", complaint(403, "Rejected: IP 10.0.0.1 can’t be used to send the message")),
        _broken("unpaid", complaint(402, "Payment Required")),
        Case(said="bad recipient", reply=complaint(400, invalid("to")), outcome=Outcome.RECIPIENT_REJECTED),
        Case(
            said="bad cc, unquoted",
            reply=complaint(400, invalid("cc").replace("'", "")),
            outcome=Outcome.RECIPIENT_REJECTED,
        ),
        Case(said="bad sender", reply=complaint(400, invalid("from")), outcome=Outcome.PROVIDER_BROKEN, scope="sender"),
        Case(
            said="nothing said",
            reply=complaint(400, "Need at least one of 'text' or 'html' parameters specified"),
            outcome=Outcome.MESSAGE_REJECTED,
        ),
        Case(said="too large", reply=TOO_LARGE, outcome=Outcome.MESSAGE_REJECTED),
        Case(
            said="group too large for a new domain",
            reply=complaint(403, f"Domain {DOMAIN} is not allowed to send large batches yet"),
            outcome=Outcome.POLICY_REJECTED,
        ),
        Case(said="limited", reply=not_allowed(LIMITED, 429), outcome=Outcome.THROTTLED, retry_after_s=0),
        Case(said="limited with 420", reply=not_allowed(LIMITED, 420), outcome=Outcome.THROTTLED),
        Case(said="too fast", reply=not_allowed(TOO_FAST, 400), outcome=Outcome.THROTTLED),
        Case(
            said="too many requests",
            reply=Reply(429, b'{"message": "Too Many Requests"}', {"X-RateLimit-Reset": "30"}),
            outcome=Outcome.THROTTLED,
            retry_after_s=30,
        ),
        Case(said="500", reply=complaint(500, "Internal Server Error"), outcome=Outcome.PROVIDER_DOWN),
        Case(said="503", reply=complaint(503, "Service Unavailable"), outcome=Outcome.PROVIDER_DOWN),
    ),
    odd_successes=(
        MAGNIFICENT,
        Reply(200, b'{"message": "Queued. Thank you."}'),
        Reply(200, b'{"id": "", "message": "Queued. Thank you."}'),
        Reply(202, b'{"id": "<1@mg.example.com>"}'),
    ),
    lacks=frozenset({"inline_names"}),
)
