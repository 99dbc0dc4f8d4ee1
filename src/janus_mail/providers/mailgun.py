"""The `mailgun` kind: Mailgun's v3 Messages
(https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages)."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from hashlib import sha256
from itertools import count
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field
from urllib3.fields import RequestField
from urllib3.filepost import encode_multipart_formdata

from janus_mail.providers.contract import MESSAGE_ID, Accepted, Attachment, Fields, Mail, Verified
from janus_mail.providers.http_answers import known_by_complaint, said_in
from janus_mail.providers.http_config import HttpConfig, Secret, reveal
from janus_mail.providers.http_parts import address_line, base64_of, bodies, without_doubles
from janus_mail.providers.http_replies import Answer, Problem, Row, sender_broken
from janus_mail.providers.http_service import Request, Service
from janus_mail.providers.limits import Limits
from janus_mail.providers.outcomes import DeliveryError, PolicyRejected, ProviderBroken, RecipientRejected, Throttled

REGIONS: Mapping[str, str] = {"us": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"}

# «25MB», in the smaller reading. All fields that begin with h:, o: or v: share 16 kB: these limits and what Janus adds
# are less together. Content-IDs go as quoted file names, in which some signs would not come back as they were.
LIMITS = Limits(
    recipients=1000,
    octets=25_000_000,
    content_id=re.compile(r'[^"\\/]+'),
    reserved_prefixes=("x-mailgun-",),  # they are options, and taken out
    header_octets=8_000,
    tags=10,
    tag=re.compile(r"[ -~]{1,128}"),
    metadata_key=re.compile(r"[^\"\\\x00-\x1f\x7f]+"),  # it becomes a field's name
    metadata_octets=4_000,
)
_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*", re.ASCII | re.IGNORECASE)
_ABOUT = re.compile(r"'?(from|to|cc|bcc)'? parameter ")
_UNTIL = re.compile(r"try again after (\w+, \d+ \w+ \d+ [\d:]+ UTC)")


def _limited(code: str, response: str) -> DeliveryError:
    """Of a domain's own limits it says the end in words: «try again after Mon, 25 Aug 2025 07:00:31 UTC»."""
    until = _UNTIL.search(response)
    return Throttled(
        code,
        response,
        retry_after_s=max(0.0, parsedate_to_datetime(until[1]).timestamp() - time.time()) if until else None,
    )


# It has no codes but those of HTTP, and 400 is nearly everything; 420 is what it calls too much besides 429.
ROWS: tuple[Row, ...] = (
    Row("400 403 420 429", _limited, text=r"limit exceeded|too fast"),
    Row("420", _limited),
    Row("400 403", PolicyRejected, text=r"large batches|recipients per request"),
    Row("400 403", ProviderBroken, text=r"domain is unverified"),  # the one of its settings, whoever the sender is
    # An account that may write to a few alone, as one that may not send at all, waits for its owner: of the recipient
    # it says nothing, and another provider takes the mail. So it is with every kind.
    Row("400 403", ProviderBroken, text=r"test purposes only|authorized recipients"),
    Row("400 403", ProviderBroken, text=r"activate your|account (is )?disabled"),
    Row("400 403 421", ProviderBroken, text=r"not allowed to send|can.t be used to send"),  # domain, account, plan, IP
    Row("400", RecipientRejected, field=r"^(to|cc|bcc)$", text=r"not a valid address"),
    Row("400", sender_broken, field=r"^from$", text=r"not a valid address"),
)


def _domain(value: str | None) -> str | None:
    if value and _DOMAIN.fullmatch(value) is None:  # with a slash in it Mailgun answers 200 and does nothing
        raise ValueError("must be a domain alone, in its ASCII form, such as mg.example.com")
    return value


class MailgunConfig(HttpConfig):
    """A domain at Mailgun (Sinch)."""

    model_config = ConfigDict(title="Mailgun")
    needed: ClassVar[dict[str, str]] = {"api_key": "an API key", "domain": "the domain to send through"}

    api_key: Secret = Field(
        None,
        title="API key",
        description="A sending key of the domain, or a key of the account.",
        examples=["0123456789abcdef0123456789abcdef-01234567-89abcdef"],
        max_length=512,
    )
    domain: Annotated[str | None, AfterValidator(_domain)] = Field(
        None,
        title="Domain",
        description="The domain that Mailgun sends through, as it is listed there.",
        examples=["mg.example.com"],
        max_length=253,
    )
    region: Literal["us", "eu"] = Field(
        "us",
        title="Region",
        description="Where the domain was made at Mailgun; the other region does not know it.",
        examples=["us"],
        json_schema_extra={"enumNames": ["United States", "European Union"]},
    )
    ip_pool: str | None = Field(
        None,
        title="IP pool",
        description="The id of the pool of addresses to send from; left out for the domain's usual one.",
        examples=["60140bc1fee3e84dec5abeeb"],
        max_length=64,
    )
    subaccount: str | None = Field(
        None,
        title="Subaccount",
        description="Its account id, where the key is the main account's and the domain a subaccount's.",
        examples=["646d00a1b32c35364a2ad34f"],
        pattern=r"^[A-Za-z0-9_-]+$",
        max_length=64,
    )
    test_mode: bool = Field(
        False,
        title="Only test",
        description="Mailgun's test mode: it takes each mail, reports it as delivered, bills it, and delivers none.",
    )
    webhook_signing_key: Secret = Field(
        None,
        title="HTTP webhook signing key",
        description="API security, HTTP webhook signing key. Left out, the API key is tried: new accounts have one key "
        "for both.",
        examples=["0123456789abcdef0123456789abcdef"],
        max_length=512,
    )


def request(config: MailgunConfig, mail: Mail, fields: Fields) -> Request:
    """What is posted."""
    return _post(config, _form(config, mail, fields), fields.attachments, seed=mail.message_id)


def accepted(_: MailgunConfig, __: Mail, answer: Answer) -> Accepted | None:
    """200 with an id. A path that it does not have it answers with 200 and «Mailgun Magnificent API»."""
    taken_as = said_in(answer, "id")
    return Accepted("200", answer.text, provider_message_id=taken_as) if answer.status == 200 and taken_as else None


def problems(answer: Answer) -> list[Problem]:
    """`{"message": "'to' parameter is not a valid address. please check documentation"}`; none where it is no such
    thing: «Forbidden» of a wrong key is plain text."""
    message = said_in(answer, "message")
    about = _ABOUT.match(message)
    return [Problem(message, about[1] if about else "")] if message else []


def check(config: MailgunConfig) -> Request:
    """A mail with nothing in it. A domain's sending key may do nothing but send, and so this alone can tell."""
    return _post(config, [("o:testmode", "yes")], (), seed="check")


def verified(answer: Answer) -> Verified | None:
    """Key and domain are looked at before the mail is."""
    return known_by_complaint(answer, problems(answer), ROWS)


SERVICE = Service(
    kind="mailgun",
    label="Mailgun",
    about="Sinch's email service, through its web API, in the United States or the European Union.",
    config=MailgunConfig,
    base_url=lambda config: REGIONS[config.region],
    request=request,
    accepted=accepted,
    problems=problems,
    rows=ROWS,
    limits=LIMITS,
    reset_header="x-ratelimit-reset",
    check=check,
    verified=verified,
)
KIND = SERVICE.as_kind()


def _form(config: MailgunConfig, mail: Mail, fields: Fields) -> list[tuple[str, str]]:
    """The fields that are no files; an address of several has a field of its own."""
    to, cc, bcc = without_doubles(fields.to, fields.cc, fields.bcc)
    return [
        ("from", address_line(fields.sender)),
        *((role, address_line(address)) for role, group in (("to", to), ("cc", cc), ("bcc", bcc)) for address in group),
        ("subject", fields.subject),
        *bodies(fields, text="text", html="html").items(),
        *_options(config, mail, fields),
    ]


def _options(config: MailgunConfig, mail: Mail, fields: Fields) -> Iterable[tuple[str, str]]:
    yield "h:Message-Id", mail.message_id  # it takes ours instead of its own
    if fields.reply_to:
        yield "h:Reply-To", ", ".join(map(address_line, fields.reply_to))
    yield from ((f"h:{name}", value) for name, value in fields.headers.items())  # it encodes what is beyond ASCII
    metadata = LIMITS.metadata_of(fields.metadata, {MESSAGE_ID: fields.message_uuid})
    yield from ((f"v:{key}", value) for key, value in metadata.items())
    yield from (("o:tag", tag) for tag in LIMITS.tags_of(fields.tags))
    if config.ip_pool:
        yield "o:sending-ip-pool", config.ip_pool
    if config.test_mode:
        yield "o:testmode", "yes"


def _post(config: MailgunConfig, form: Iterable[tuple[str, str]], files: Sequence[Attachment], *, seed: str) -> Request:
    """As multipart/form-data (RFC 7578), names quoted as browsers do (WHATWG HTML 4.10.21.8), beyond ASCII in UTF-8:
    a `filename*` makes Mailgun lose the file. Equal arguments give equal bytes."""
    said = [(name, value.encode()) for name, value in form]
    parts = [RequestField(name, value) for name, value in said]
    for part in parts:
        part.make_multipart()
    parts += map(_file, files)
    boundary = _boundary(seed, [*(value for _, value in said), *(file.content for file in files)])
    body, kind = encode_multipart_formdata(parts, boundary)
    headers = {
        "Authorization": f"Basic {base64_of(f'api:{reveal(config.api_key)}'.encode())}",
        "Content-Type": kind,
        "Accept": "application/json",
    }
    if config.subaccount:
        headers["X-Mailgun-On-Behalf-Of"] = config.subaccount
    return Request(f"/v3/{config.domain}/messages", headers, body)


def _file(attachment: Attachment) -> RequestField:
    name, shown_as = ("inline", attachment.content_id) if attachment.content_id else ("attachment", attachment.filename)
    part = RequestField(name, attachment.content, filename=shown_as)
    part.make_multipart(content_type=attachment.content_type)
    return part


def _boundary(seed: str, contents: Sequence[bytes]) -> str:
    """One that stands in none of them."""
    tries = (f"janus-{sha256(f'{number} {seed}'.encode()).hexdigest()[:32]}" for number in count())
    return next(boundary for boundary in tries if not any(boundary.encode() in content for content in contents))
