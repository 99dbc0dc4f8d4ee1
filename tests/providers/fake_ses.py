"""Amazon SES on loopback: botocore's own model of its API and botocore's own signature check each request."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from email.headerregistry import AddressHeader
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP
from functools import cache
from hashlib import sha256
from typing import Any, cast

import botocore.auth
import botocore.session
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

from janus_mail.providers.contract import Address, Attachment
from janus_mail.providers.outcomes import Outcome

from .bench import Bench, Case
from .fake_http import ID, FakeHttp, Reply, Request, TakenMail

KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
REGION = "eu-west-1"
CONFIG = {"region": REGION, "access_key_id": KEY_ID, "secret_access_key": SECRET_KEY}
KNOWN_SETS = ("janus",)

ACCOUNT = {
    "DedicatedIpAutoWarmupEnabled": True, "EnforcementStatus": "HEALTHY", "ProductionAccessEnabled": True,
    "SendQuota": {"Max24HourSend": 50000.0, "MaxSendRate": 14.0, "SentLast24Hours": 1204.0}, "SendingEnabled": True,
    "SuppressionAttributes": {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]},
}  # fmt: skip

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)
_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")
_ADDRESS = re.compile(r"[!-~]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


def error(status: int, name: str, message: str, *, capital: bool = False) -> Reply:
    """As SES says it: the name in a header, with or without what follows the colon."""
    body = json.dumps({"Message" if capital else "message": message}).encode()
    return Reply(status, body, {"x-amzn-ErrorType": name, "x-amzn-RequestId": "9f1c2e8a-4f0b-4a52-8a0c-0d8c1f8f1c11"})


BAD_SIGNATURE = error(
    403,
    "InvalidSignatureException",
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details.",
)
UNKNOWN_KEY = error(403, "UnrecognizedClientException", "The security token included in the request is invalid.")


@cache
def model() -> ServiceModel:
    """What botocore knows of the API."""
    return botocore.session.Session().get_service_model("sesv2")


class FakeSes(FakeHttp):
    """One account, out of the sandbox."""

    session_token: str | None = None  # what requests must carry

    def answer(self, request: Request) -> Reply:
        refused = _unsigned(request, self.session_token)
        if refused is not None:
            return refused
        if (request.method, request.path) == ("GET", "/v2/email/account"):
            return Reply(200, json.dumps(ACCOUNT).encode())
        if (request.method, request.path) != ("POST", "/v2/email/outbound-emails"):
            return error(404, "UnknownOperationException", "")
        try:
            given = json.loads(request.body)
        except ValueError:
            return error(400, "SerializationException", "Could not parse request body")
        shape = model().operation_model("SendEmail").input_shape
        found = next(_misshapen(given, shape, ""), None) or ParamValidator().validate(_decoded(given, shape), shape)
        if not isinstance(found, Reply) and found.has_errors():
            found = error(400, "BadRequestException", found.generate_report())
        if not isinstance(found, Reply):
            found = _unfit(given)
        return found or Reply(200, json.dumps({"MessageId": ID}).encode(), takes_it=True)

    def new_id(self) -> str:
        return f"0102019{super().new_id()[:20].lower()}-000000"

    def read(self, request: Request, id_: str) -> TakenMail:
        given = request.mail
        message = _message(given)
        tags = {tag["Name"]: tag["Value"] for tag in given.get("EmailTags", [])}
        named = {a.email: a for header in ("to", "cc") for a in _addresses(message, header)}
        envelope = {
            role: tuple(named.get(email, Address(email)) for email in given["Destination"].get(f"{role}Addresses", []))
            for role in ("To", "Cc", "Bcc")
        }
        return TakenMail(
            id=id_, janus_message_id=tags.pop("janus_message_id", None), sender=_addresses(message, "from")[0],
            to=envelope["To"], cc=envelope["Cc"], bcc=envelope["Bcc"], reply_to=_addresses(message, "reply-to"),
            subject=str(message["subject"]), text=_body(message, "plain"), html=_body(message, "html"),
            headers={name: str(value) for name, value in message.items()}
            | {"Message-ID": f"<{id_}@{REGION}.amazonses.com>"},
            attachments=tuple(_attachments(message)),
            tags=tuple(tags.pop(name) for name in list(tags) if re.fullmatch(r"tag_\d+", name)), metadata=tags,
            mail=given,
        )  # fmt: skip


def _unsigned(request: Request, session_token: str | None) -> Reply | None:
    """What is wrong with the signature, as botocore itself would have made it."""
    headers = request.headers
    if "authorization" not in headers:
        return error(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    parts = _AUTHORIZATION.fullmatch(headers["authorization"])
    if parts is None or "x-amz-date" not in headers:
        return error(400, "IncompleteSignatureException", "Authorization header requires its parts.")
    key_id, day, region, service, names, signature = parts.groups()
    if key_id != KEY_ID or headers.get("x-amz-security-token") != session_token:
        return UNKNOWN_KEY
    if (day, region, service) != (headers["x-amz-date"][:8], REGION, "ses"):
        return error(403, "InvalidSignatureException", f"Credential should be scoped to a valid region: {region}.")
    if headers.get("x-amz-content-sha256", hashed := sha256(request.body).hexdigest()) != hashed:
        return BAD_SIGNATURE
    again = AWSRequest(request.method, f"http://{headers['host']}{request.path}", data=request.body)
    for name in names.split(";"):
        if name != "host":
            again.headers[name] = headers[name]
    again.context["timestamp"] = headers["x-amz-date"]
    signer = botocore.auth.SigV4Auth(Credentials(KEY_ID, SECRET_KEY), "ses", REGION)
    made = signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
    return None if made == signature and {"host", "x-amz-date"} <= set(names.split(";")) else BAD_SIGNATURE


def _misshapen(given: Any, shape: Shape, where: str) -> Iterator[Reply]:
    """What the model does not know, and what is no base64."""
    match shape.type_name, given:
        case "structure", dict():
            for name, value in given.items():
                if name not in shape.members:
                    yield error(400, "SerializationException", f"Unexpected field {where}{name}")
                else:
                    yield from _misshapen(value, shape.members[name], f"{where}{name}.")
        case "list", list():
            for value in given:
                yield from _misshapen(value, shape.member, where)
        case "blob", str():
            try:
                base64.b64decode(given, validate=True)
            except ValueError:
                yield error(400, "SerializationException", f"{where} is not valid base64")
        case "blob" | "structure" | "list", _:
            yield error(400, "SerializationException", f"{where} is of another type")


def _decoded(given: Any, shape: Shape) -> Any:
    match shape.type_name:
        case "structure":
            return {name: _decoded(value, shape.members[name]) for name, value in given.items()}
        case "list":
            return [_decoded(value, shape.member) for value in given]
        case "blob":
            return base64.b64decode(given)
    return given


def _unfit(given: Mapping[str, Any]) -> Reply | None:
    """What SES says of a request that has the right shape."""
    if list(given["Content"]) != ["Raw"]:
        return error(400, "BadRequestException", "Exactly one of Simple, Raw and Template is needed.")
    everyone = [address for role in given.get("Destination", {}).values() for address in role]
    if not everyone:
        return error(400, "BadRequestException", "Missing required header 'To'.")
    if len(everyone) > 50:
        return error(400, "BadRequestException", "Recipient count exceeds 50.")
    for address in everyone:
        if _ADDRESS.fullmatch(address) is None:
            return error(400, "BadRequestException", "Missing final '@domain'")
    names = [tag["Name"] for tag in given.get("EmailTags", [])]
    for word in (word for tag in given.get("EmailTags", []) for word in tag.values()):
        if _TAG.fullmatch(word) is None:
            return error(400, "BadRequestException", f"Invalid tag value <{word}>: only alphanumeric ASCII characters, "
                         "'_', and '-' are allowed.")  # fmt: skip
    if len(set(names)) != len(names):
        return error(400, "BadRequestException", "Duplicate tag name.")
    if given.get("ConfigurationSetName", KNOWN_SETS[0]) not in KNOWN_SETS:
        wrong = given["ConfigurationSetName"]
        return error(404, "NotFoundException", f"Configuration set <{wrong}> does not exist.")
    return _unfit_bytes(base64.b64decode(given["Content"]["Raw"]["Data"]))


def _unfit_bytes(data: bytes) -> Reply | None:
    if len(data) > 41_943_040:
        return error(400, "BadRequestException", f"Message length is more than 41943040 bytes long: '{len(data)}'.")
    if not data.isascii() or any(len(line) > 998 for line in data.split(b"\r\n")):
        return error(400, "BadRequestException", "The message is not clean for seven bits and lines of 998.")
    message = BytesParser(policy=SMTP).parsebytes(data, headersonly=True)
    for name in ("From", "MIME-Version"):
        if len(message.get_all(name, [])) != 1:
            return error(400, "BadRequestException", f"Missing required header '{name}'.")
    return None


def _message(given: Mapping[str, Any]) -> EmailMessage:
    data = base64.b64decode(given["Content"]["Raw"]["Data"])
    return BytesParser(policy=SMTP).parsebytes(data)


def _addresses(message: EmailMessage, name: str) -> tuple[Address, ...]:
    header = cast("AddressHeader | None", message[name])
    return tuple(Address(a.addr_spec, a.display_name or None) for a in header.addresses) if header else ()


def _body(message: EmailMessage, subtype: str) -> str | None:
    part = message.get_body((subtype,))
    return cast("str", part.get_content()).replace("\r\n", "\n") if part is not None else None


def _attachments(message: EmailMessage) -> Iterator[Attachment]:
    for part in message.walk():
        if (filename := part.get_filename()) is not None:
            content_id = cast("str | None", part["content-id"])
            inline = part.get_content_disposition() == "inline"
            content = cast("bytes", part.get_payload(decode=True))
            shown_as = content_id.strip().strip("<>") if inline and content_id else None
            yield Attachment(filename, part.get_content_type(), content, shown_as)


def _case(said: str, reply: Reply, outcome: Outcome, scope: str | None = None) -> Case:
    return Case(said=said, reply=reply, outcome=outcome, scope=scope)


_BROKEN = Outcome.PROVIDER_BROKEN
_UNVERIFIED = "Email address is not verified. The following identities failed the check in region EU-WEST-1: "

BENCH = Bench(
    kind="ses",
    fake=FakeSes,
    config=CONFIG,
    strange_config={"access_key_id": "AKIAREVOKEDYESTERDAY", "secret_access_key": "ANVj9+revoked/key/of/yesterday"},
    cases=(
        _case("too fast", error(429, "TooManyRequestsException", "Maximum sending rate exceeded."), Outcome.THROTTLED),
        _case("throttling", error(400, "ThrottlingException:http://internal.amazon.com/coral/com.amazon.coral.service/",
                                  "Rate exceeded", capital=True), Outcome.THROTTLED),
        *(_case(f"day's quota, {said!r}", error(status, name, said), _BROKEN, "provider") for status, name, said in (
            (429, "TooManyRequestsException", "Daily message quota exceeded."),
            (429, "TooManyRequestsException", "Daily quota exceeded"),
            (429, "TooManyRequestsException", "Maximum sending limit reached: the daily sending quota is used up."),
            (400, "ThrottlingException", "Daily sending quota exceeded."),
        )),
        _case("unknown key", UNKNOWN_KEY, _BROKEN, "provider"),
        _case("bad signature", BAD_SIGNATURE, _BROKEN, "provider"),
        _case("expired token", error(403, "ExpiredTokenException", "The security token included in the request is "
                                     "expired"), _BROKEN, "provider"),
        _case("clock", error(400, "RequestExpired", "Request has expired."), _BROKEN, "provider"),
        _case("no permission", error(403, "AccessDeniedException", "User: arn:aws:iam::123456789012:user/janus is not "
                                     "authorized to perform: ses:SendEmail on resource: arn:aws:ses:eu-west-1:"
                                     "123456789012:identity/example.com"), _BROKEN, "provider"),
        _case("an endpoint's policy", Reply(403, b'{"Message":"User is not authorized"}'), _BROKEN, "provider"),
        _case("suspended", error(400, "AccountSuspendedException", "The account's ability to send email has been "
                                 "permanently restricted."), _BROKEN, "provider"),
        _case("paused", error(400, "SendingPausedException", "Email sending is paused for this account."), _BROKEN,
              "provider"),
        _case("old words for it", error(400, "MessageRejected", "Sending suspended for this account. For more "
                                        "information, please check the inbox of the email address associated with "
                                        "your AWS account."), _BROKEN, "provider"),
        _case("sender not verified", error(400, "MessageRejected", f"{_UNVERIFIED}Ann <a@example.com>"), _BROKEN,
              "sender"),
        _case("both not verified", error(400, "MessageRejected", f"{_UNVERIFIED}b@example.net, a@example.com"),
              _BROKEN, "sender"),
        _case("in the sandbox", error(400, "MessageRejected", f"{_UNVERIFIED}b@example.net"), _BROKEN, "provider"),
        _case("nobody named", error(400, "MessageRejected", "Email address is not verified."), _BROKEN, "sender"),
        _case("MAIL FROM", error(400, "MailFromDomainNotVerifiedException", "The sending domain isn't verified."),
              _BROKEN, "sender"),
        _case("no such set", error(404, "NotFoundException", "Configuration set <janus> does not exist."), _BROKEN,
              "provider"),
        _case("no such set, in the old way", error(400, "BadRequestException", "Configuration set <janus> does not "
                                                   "exist."), _BROKEN, "provider"),
        _case("a resource's limit", error(400, "LimitExceededException", "Limit exceeded."), Outcome.PROVIDER_DOWN),
        _case("bad content", error(400, "MessageRejected", "Bad content"), Outcome.MESSAGE_REJECTED),
        _case("bad header", error(400, "BadRequestException", "Header too long: 'Subject'."),
              Outcome.MESSAGE_REJECTED),
        _case("bad recipient", error(400, "BadRequestException", "Illegal address: b@example.net."),
              Outcome.RECIPIENT_REJECTED),
        _case("500", error(500, "InternalServiceErrorException", "An error occurred."), Outcome.PROVIDER_DOWN),
        _case("503", error(503, "ServiceUnavailable", "Service is unavailable."), Outcome.PROVIDER_DOWN),
        _case("a proxy's 503", Reply(503, b"<!DOCTYPE html><p>Busy</p>"), Outcome.UNCERTAIN),
        _case("a proxy's 500", Reply(500, b'{"message": "who knows"}'), Outcome.UNCERTAIN),
    ),
    odd_successes=(Reply(200, b'{"MessageId":""}'), Reply(202, b'{"MessageId":"1"}'), Reply(200, b'{"MessageId":7}')),
    lacks=frozenset({"message_id", "html_only"}),
    partial_groups=True,
)  # fmt: skip
