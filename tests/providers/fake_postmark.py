"""Postmark on loopback: checks each request as the real service does, and answers in its words (from its pages «Email
API», «API overview» and «Send email with API»; what it says of inactive addresses as django-anymail met it)."""

import base64
import binascii
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from email.utils import getaddresses
from typing import Any

from janus_mail.providers.contract import Address, Attachment
from janus_mail.providers.outcomes import Outcome

from .bench import Bench, case
from .fake_http import ADDRESS, ID, Complaint, FakeHttp, Reply, Request, TakenMail

TOKEN = "8d1f2a64-0c4e-4c52-9d53-5b6f1c2a7e90"
TEST_TOKEN = "POSTMARK_API_TEST"
SENDERS = {"example.com"}
STREAMS = {"outbound", "broadcast"}
MAX_BYTES = 10_485_760
FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "From": str, "To": str, "Cc": str, "Bcc": str, "ReplyTo": str, "Subject": str, "Tag": str, "HtmlBody": str,
    "TextBody": str, "Headers": list, "TrackOpens": (bool, type(None)), "TrackLinks": str, "Attachments": list,
    "Metadata": dict, "MessageStream": str,
}  # fmt: skip
FORBIDDEN = {"vbs", "exe", "bin", "bat", "com", "jse", "lnk", "reg", "scr", "vbe", "wsf", "msi", "msp"}
INACTIVE = "Inactive recipients are ones that have generated a hard bounce, a spam complaint, or a manual suppression."


def refusal(code: int, message: str, status: int = 422) -> Reply:
    return Reply(status, json.dumps({"ErrorCode": code, "Message": message}).encode())


BAD_TOKEN = refusal(
    10,
    "Request does not contain a valid Server token. Please verify that you are using a valid token.",
    401,
)


class FakePostmark(FakeHttp):
    """`inactive` holds addresses that it does not write to any more, in lower case."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.inactive: set[str] = set()

    def new_id(self) -> str:
        return str(uuid.uuid4())

    def answer(self, request: Request) -> Reply:
        token = request.headers.get("x-postmark-server-token")
        if (request.method, request.path) == ("GET", "/server"):
            server = {"ID": 1, "Name": "Production", "ApiTokens": [TOKEN], "DeliveryType": "Live"}
            return Reply(200, json.dumps(server).encode()) if token == TOKEN else BAD_TOKEN
        if request.path != "/email":
            return Reply(404)
        if request.method != "POST":
            return Reply(405)
        if token not in (TOKEN, TEST_TOKEN):
            return BAD_TOKEN
        if len(request.body) > MAX_BYTES:
            return Reply(413)
        try:
            _check(request)
            said = self._said_of(request.mail)
        except Complaint as complaint:
            return refusal(*complaint.args)
        body = {"SubmittedAt": "2014-02-17T07:25:01.4178645-05:00", "MessageID": ID, "ErrorCode": 0, "Message": said}
        if "To" in request.mail:
            body["To"] = request.mail["To"]
        if token == TEST_TOKEN:
            tried = {**body, "MessageID": str(uuid.uuid4()), "Message": "Test job accepted"}
            return Reply(200, json.dumps(tried).encode())
        return Reply(200, json.dumps(body).encode(), takes_it=True)

    def read(self, request: Request, id_: str) -> TakenMail:
        mail = request.mail
        headers = {header["Name"]: header["Value"] for header in mail.get("Headers", [])}
        if headers.pop("X-PM-KeepID", "") != "true":
            headers["Message-ID"] = f"<{id_}@mtasv.net>"
        metadata = dict(mail.get("Metadata", {}))
        (sender,) = addresses(mail["From"])
        return TakenMail(
            id=id_, janus_message_id=metadata.pop("janus_message_id", None), sender=sender,
            to=addresses(mail.get("To", "")), cc=addresses(mail.get("Cc", "")), bcc=addresses(mail.get("Bcc", "")),
            reply_to=addresses(mail.get("ReplyTo", "")), subject=mail["Subject"], text=mail.get("TextBody"),
            html=mail.get("HtmlBody"), headers=headers,
            attachments=tuple(
                Attachment(
                    file["Name"], file["ContentType"], base64.b64decode(file["Content"]),
                    file["ContentID"].removeprefix("cid:") if "ContentID" in file else None,
                )
                for file in mail.get("Attachments", [])
            ),
            tags=(mail["Tag"],) if "Tag" in mail else (), metadata=metadata, mail=mail,
        )  # fmt: skip

    def _said_of(self, mail: Mapping[str, Any]) -> str:
        everyone = [a.email.lower() for role in ("To", "Cc", "Bcc") for a in addresses(mail.get(role, ""))]
        gone = [email for email in everyone if email in self.inactive]
        if gone == everyone:
            found = f"Found inactive addresses: {', '.join(gone)}.\n{INACTIVE}"
            raise Complaint(406, f"You tried to send to a recipient that has been marked as inactive.\n{found} ")
        if gone:
            return f"Message OK, but will not deliver to these inactive addresses: {', '.join(gone)}. {INACTIVE}"
        return "OK"


def addresses(line: str) -> tuple[Address, ...]:
    return tuple(Address(email, name or None) for name, email in getaddresses([line]) if name or email)


def _check(request: Request) -> None:
    """Raises `Complaint`."""
    kinds = [request.headers.get(name, "").partition(";")[0] for name in ("content-type", "accept")]
    if kinds != ["application/json", "application/json"]:
        raise Complaint(409, "The request should have «Accept» and «Content-Type» with «application/json».")
    try:
        mail = request.mail
    except ValueError:
        raise Complaint(402, "Received invalid JSON input.") from None
    for field, value in mail.items() if isinstance(mail, dict) else [("", None)]:
        if field not in FIELDS or not isinstance(value, FIELDS[field]):
            raise Complaint(403, f"Received JSON input that is not compatible with this endpoint: {field}.")
    for complaint in (*_people(mail), *_content(mail), *_labels(mail)):
        raise complaint


def _people(mail: Mapping[str, Any]) -> Iterator[Complaint]:
    sender = addresses(mail.get("From", ""))
    if len(sender) != 1 or ADDRESS.fullmatch(sender[0].email) is None:
        yield Complaint(300, f"Invalid 'From' address: '{mail.get('From', '')}'.")
    elif sender[0].email.rpartition("@")[2] not in SENDERS:
        yield Complaint(400, f"The 'From' address you supplied ({sender[0].email}) is not a Sender Signature.")
    count = 0
    for field, shown in {"To": "To", "Cc": "Cc", "Bcc": "Bcc", "ReplyTo": "Reply-To"}.items():
        given = addresses(mail.get(field, ""))
        count += len(given) if field != "ReplyTo" else 0
        if field in mail and not given:
            yield Complaint(300, f"Error parsing '{shown}': no address.")
        for address in given:
            if ADDRESS.fullmatch(address.email) is None:
                yield Complaint(300, f"Error parsing '{shown}': Illegal email address '{address.email}'.")
    if not count:
        yield Complaint(300, "Zero recipients specified.")
    if count > 50:
        yield Complaint(300, "You may only specify up to 50 recipients per message.")
    if mail.get("MessageStream", "outbound") not in STREAMS:
        yield Complaint(1235, f"The stream provided: '{mail['MessageStream']}' does not exist on this server.")


def _content(mail: Mapping[str, Any]) -> Iterator[Complaint]:
    if not (mail.get("TextBody") or mail.get("HtmlBody")):
        yield Complaint(300, "Provide either email TextBody or HtmlBody or both.")
    for file in mail.get("Attachments", []):
        if not {"Name", "Content", "ContentType"} <= set(file) <= {"Name", "Content", "ContentType", "ContentID"}:
            yield Complaint(403, "Received JSON input that is not compatible with this endpoint: Attachments.")
            return
        if file["Name"].rpartition(".")[2].lower() in FORBIDDEN:
            yield Complaint(411, f"Attachment {file['Name']} is of a forbidden type.")
        if "ContentID" in file and not file["ContentID"].startswith("cid:"):
            yield Complaint(300, "Invalid ContentID.")
        try:
            base64.b64decode(file["Content"], validate=True)
        except binascii.Error:
            yield Complaint(300, f"Attachment {file['Name']} is not in base64.")


def _labels(mail: Mapping[str, Any]) -> Iterator[Complaint]:
    for header in mail.get("Headers", []):
        if set(header) != {"Name", "Value"} or not all(isinstance(part, str) for part in header.values()):
            yield Complaint(403, "Received JSON input that is not compatible with this endpoint: Headers.")
        elif not re.fullmatch(r"[!-9;-~]+", header["Name"]) or re.search(r"[\r\n]", header["Value"]):
            yield Complaint(300, f"Invalid header {header['Name']}.")
    if len(mail.get("Tag", "")) > 1000:
        yield Complaint(300, "Tags may have up to 1000 characters.")
    metadata = mail.get("Metadata", {})
    fits = len({key.lower() for key in metadata}) == len(metadata) <= 10 and all(
        isinstance(value, str) and 0 < len(key) <= 20 and len(value) <= 80 for key, value in metadata.items()
    )
    if not fits:
        yield Complaint(300, "Invalid metadata content. Metadata keys must be unique, of up to 20 characters.")


_MAINTENANCE = "The Postmark API is offline for maintenance."
_LATER = b'{"To":"b@example.net","SubmittedAt":"2014-02-17T07:25:01.4178645-05:00","ErrorCode":0,"Message":"OK"}'

BENCH = Bench(
    kind="postmark",
    fake=FakePostmark,
    config={"server_token": TOKEN},
    strange_config={"server_token": "token-of-yesterday-0001"},
    tags=("welcome",),
    cases=(
        case("token", BAD_TOKEN, Outcome.PROVIDER_BROKEN, "provider"),
        case("maintenance", refusal(100, _MAINTENANCE, 503), Outcome.PROVIDER_DOWN),
        case("bad to", refusal(300, "Invalid 'To' address: 'b@example'."), Outcome.RECIPIENT_REJECTED),
        case(
            "bad cc",
            refusal(300, "Error parsing 'Cc': Illegal email domain 'x' in address 'b@x'."),
            Outcome.RECIPIENT_REJECTED,
        ),
        case("bad from", refusal(300, "Invalid 'From' address: 'a@x'."), Outcome.PROVIDER_BROKEN, "sender"),
        case("bad reply-to", refusal(300, "Error parsing 'Reply-To': Illegal …"), Outcome.MESSAGE_REJECTED),
        case("metadata", refusal(300, "Invalid metadata content."), Outcome.MESSAGE_REJECTED),
        case("no signature", refusal(400, "… is not a Sender Signature"), Outcome.PROVIDER_BROKEN, "sender"),
        case("not confirmed", refusal(401, "… is not confirmed"), Outcome.PROVIDER_BROKEN, "sender"),
        case("invalid JSON", refusal(402, "Invalid JSON"), Outcome.MESSAGE_REJECTED),
        case("incompatible JSON", refusal(403, "Incompatible JSON"), Outcome.MESSAGE_REJECTED),
        case("out of credits", refusal(405, "Not allowed to send"), Outcome.PROVIDER_BROKEN, "provider"),
        case("inactive", refusal(406, f"Found inactive addresses: b@example.net.\n{INACTIVE}"),
              Outcome.RECIPIENT_REJECTED),
        case("headers", refusal(409, "JSON required"), Outcome.MESSAGE_REJECTED),
        case("attachment", refusal(411, "Forbidden attachment type"), Outcome.MESSAGE_REJECTED),
        case("pending", refusal(412, "Account is Pending"), Outcome.PROVIDER_BROKEN, "provider"),
        case("may not send", refusal(413, "Account May Not Send"), Outcome.PROVIDER_BROKEN, "provider"),
        case("too large", Reply(413), Outcome.MESSAGE_REJECTED),
        case("throttled", refusal(429, "Rate Limit Exceeded", 429), Outcome.THROTTLED),
        case("throttled within 422", refusal(429, "Rate Limit Exceeded"), Outcome.THROTTLED),
        case("stream", refusal(1235, "The stream provided does not exist."), Outcome.PROVIDER_BROKEN, "provider"),
        case("an error in 200", refusal(405, "Not allowed to send", 200), Outcome.PROVIDER_BROKEN, "provider"),
        case("unknown in 200", refusal(451, "Helpful explanation.", 200), Outcome.PROVIDER_BROKEN, "provider"),
        case("500", refusal(500, "Internal Server Error", 500), Outcome.PROVIDER_DOWN),
        case("503", refusal(503, "Service Unavailable", 503), Outcome.PROVIDER_DOWN),
    ),
    odd_successes=(
        Reply(200, _LATER),
        Reply(200, b'{"ErrorCode":0,"Message":"OK","MessageID":""}'),
        Reply(200, b'{"Message":"OK","MessageID":"0a129aee-e1cd-480d-b08d-4f48548ff48d"}'),
        Reply(200, b'[{"ErrorCode":0,"Message":"OK","MessageID":"0a129aee-e1cd-480d-b08d-4f48548ff48d"}]'),
    ),
)  # fmt: skip
