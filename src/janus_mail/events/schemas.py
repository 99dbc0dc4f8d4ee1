"""What callers send: shapes and limits. What it means is read in `understand.py`."""

import re
from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    StringConstraints,
    Tag,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    with_config,
)
from pydantic_core import PydanticCustomError, PydanticKnownError
from typing_extensions import TypedDict

from janus_mail.content.characters import UNFIT_IN_HEADER, UNFIT_IN_NAME, check_text
from janus_mail.content.headers import check_custom_header
from janus_mail.errors import ApiError, InvalidInput
from janus_mail.events.attachments import Attachments
from janus_mail.web.validation import invalid_input

MAX_RECIPIENTS: Final = 10_000
MAX_BATCH: Final = 1_000
_MAX_BODY_OCTETS: Final = 1024 * 1024
_MAX_HEADERS: Final = 50
_MAX_HEADER_VALUE: Final = 4_096

PriorityWord = Literal["high", "normal", "bulk"]
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


def _given(value: Any) -> Any:
    """Nothing in a field that is required is the same as no field."""
    if value is None or value == "":
        raise PydanticKnownError("missing")
    return value


def plain(value: str) -> str:
    """Raises ValueError for characters that no text has."""
    check_text(value)
    return value


def _one_line(value: str) -> str:
    if UNFIT_IN_HEADER.search(value):
        raise ValueError("It has a line break or a control character.")
    return value


def _name(value: str | None) -> str | None:
    if value is not None and UNFIT_IN_NAME.search(value):
        raise ValueError("It has a line break or a control character.")
    return value.strip() or None if value else None


def _body(value: str | None) -> str | None:
    if value is not None:
        check_text(value)
        if len(value) > _MAX_BODY_OCTETS // 4 and len(value.encode()) > _MAX_BODY_OCTETS:
            raise ValueError("It may have up to 1 MiB of UTF-8.")
    return value


def _empty_as_none(value: Any) -> Any:
    return None if value == "" else value


def _custom_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        check_custom_header(name, value)
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("A header is given twice.")
    return headers


def _variables(values: dict[str, str]) -> dict[str, str]:
    for name in values:
        if _VARIABLE.fullmatch(name) is None:
            raise ValueError("A variable's name has up to 64 letters, digits and _, and does not begin with a digit.")
    return values


def _made_anew(empty: type[dict[str, Any]] | type[list[Any]]) -> Any:
    """A default that is made and not copied: pydantic's `deepcopy` of three takes a third of reading an event."""
    return Field(default_factory=empty, json_schema_extra={"default": empty()})


Subject = Annotated[
    str,
    StringConstraints(min_length=1, max_length=998),
    AfterValidator(_one_line),
    BeforeValidator(_given),
    Field(title="Subject", description="Without line breaks.", examples=["Hello World"]),
]
Body = Annotated[str | None, AfterValidator(_body), BeforeValidator(_empty_as_none)]
Text = Annotated[
    Body,
    Field(
        title="Plain text",
        description="Up to 1 MiB. This or `email_html` is required.",
        examples=["This is a test email."],
    ),
]
Html = Annotated[
    Body,
    Field(
        title="HTML",
        description="Up to 1 MiB. Beside `email_content` both are sent; alone, a text is made from it.",
        examples=["<p>This is a test email.</p>"],
    ),
]
When = Annotated[
    str,
    StringConstraints(max_length=200),
    AfterValidator(plain),
    BeforeValidator(_given),
    Field(
        title="When to send",
        description="ISO 8601, with an offset or in `timezone`; `now`; or plain English such as `in 2 hours` and "
        "`tomorrow at 9am`. A time in the past means at once; more than 5 years ahead is refused.",
        examples=["2024-07-15T10:00:00", "2026-07-15T10:00:00+02:00", "tomorrow at 9am"],
    ),
]
Expiry = Annotated[
    str | None,
    StringConstraints(max_length=200),
    Field(
        title="Not after",
        description="Written as `expected_sent_at`, and after it: what has not left by then is `expired`.",
        examples=["2030-01-01T00:00:00Z"],
    ),
]
ZoneName = Annotated[
    str | None,
    StringConstraints(max_length=64),
    Field(
        title="Time zone",
        description="IANA name, for times without an offset. Default: the workspace's, else the server's `TZ`.",
        examples=["Europe/Berlin"],
    ),
]
Sender = Annotated[
    str | None,
    StringConstraints(min_length=1, max_length=2_300),
    Field(
        title="Sender's address",
        description="Default: the provider's, else the workspace's.",
        examples=["ann@example.com"],
    ),
]
SenderName = Annotated[
    str | None,
    StringConstraints(max_length=998),
    AfterValidator(_name),
    Field(
        title="Sender's name",
        description="Shown before the sender's address. Default: the provider's or the workspace's, with its address.",
        examples=["Ann Example"],
    ),
]
Priority = Annotated[
    PriorityWord,
    Field(title="Priority", description="With a backlog, `high` goes first and `bulk` last.", examples=["normal"]),
]
Headers = Annotated[
    dict[str, Annotated[str, StringConstraints(max_length=_MAX_HEADER_VALUE)]],
    AfterValidator(_custom_headers),
    Field(
        title="Extra headers",
        description="Those that Janus writes itself (From, To, Date, Message-ID, …) are refused.",
        max_length=_MAX_HEADERS,
        examples=[{"X-Campaign": "spring"}],
    ),
]
Tags = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(plain)]],
    Field(title="Tags", description="For filters.", max_length=10, examples=[["welcome"]]),
]
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(plain)],
        Annotated[str, StringConstraints(max_length=1_024), AfterValidator(plain)],
    ],
    Field(title="Metadata", description="Yours, given back as it is.", max_length=20, examples=[{"order": "4711"}]),
]


@with_config(ConfigDict(extra="forbid", title="Recipient"))
class RecipientIn(TypedDict):
    """One recipient with a name and what `{{placeholders}}` say to them."""

    email: Annotated[str, Field(title="Address", examples=["ann@example.com"])]
    name: NotRequired[Annotated[str | None, Field(title="Name", examples=["Ann"])]]
    variables: NotRequired[
        Annotated[dict[str, str], AfterValidator(_variables), Field(title="Variables", examples=[{"plan": "Pro"}])]
    ]


Recipients = Annotated[
    Annotated[str, Tag("text")]
    | Annotated[
        list[
            Annotated[
                Annotated[str, Tag("address")] | Annotated[RecipientIn, Tag("recipient")],
                Discriminator(lambda entry: "address" if isinstance(entry, str) else "recipient"),
            ]
        ],
        Tag("list"),
    ],
    Discriminator(
        lambda value: {str: "text", list: "list"}.get(type(value)),
        custom_error_type="invalid_recipients",
        custom_error_message="Give addresses as text with commas, or as a list.",
    ),
    Field(
        title="Recipients",
        examples=["test@example.com", "ann@example.com, Bob <bob@example.com>", [{"email": "ann@example.com"}]],
    ),
]

ReplyTo = Annotated[
    Recipients | None,
    Field(
        title="Where answers go",
        description="Written as `recipients`. Default: answers go to the sender.",
        examples=["help@example.com"],
    ),
]


class Strict(BaseModel):
    """A body that may have no other fields."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


_EXAMPLE: Final[dict[str, JsonValue]] = {
    "email_subject": "Hello World",
    "email_content": "This is a test email.",
    "expected_sent_at": "2024-07-15T10:00:00",
    "recipients": "test@example.com",
}
# The smallest GIF there is: one pixel, within the HTML.
_WITH_FILES: Final[dict[str, JsonValue]] = {
    **_EXAMPLE,
    "email_html": '<p>This is a test email. <img src="cid:dot" alt=""></p>',
    "attachments": [
        {"filename": "hello.txt", "content_type": "text/plain", "content": "SGVsbG8sIFdvcmxkIQo="},
        {"filename": "dot.gif", "content": "R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=", "content_id": "dot"},
    ],
}


class EventCreate(Strict):
    """An email and a time."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE, _WITH_FILES]})

    email_subject: Subject
    email_html: Html = None
    email_content: Text = Field(default=None, validate_default=True)
    expected_sent_at: When
    timezone: ZoneName = None
    recipients: Annotated[
        Recipients,
        BeforeValidator(lambda value: _given(value) if value is None else value),
        Field(description="1 to 10,000: text with commas, or a list. Doubles get one mail."),
    ]
    cc: Annotated[Recipients | None, Field(title="Copies", description="Only with `send_as: group`.")] = None
    bcc: Annotated[Recipients | None, Field(title="Blind copies", description="Only with `send_as: group`.")] = None
    reply_to: ReplyTo = None
    send_as: Annotated[
        Literal["individual", "group"],
        Field(title="One mail each, or one for all", description="`individual`: no recipient sees another."),
    ] = "individual"
    from_email: Sender = None
    from_name: SenderName = None
    provider: Annotated[
        str | None,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
        Field(
            title="Provider",
            description="A provider's id, name or kind: tried first; the others stay as failover.",
            examples=["Amazon SES"],
        ),
    ] = None
    failover: Annotated[
        bool, Field(strict=True, title="Failover", description="False: only the first provider of the route.")
    ] = True
    priority: Priority = "normal"
    expires_at: Expiry = None
    on_uncertain: Annotated[
        Literal["resend", "park"] | None,
        Field(
            title="When it is not known whether it left",
            description="`resend` once (at least once), or `park` for a person to decide (at most once). "
            "Default: the workspace's.",
        ),
    ] = None
    headers: Headers = _made_anew(dict)
    tags: Tags = _made_anew(list)
    metadata: Metadata = _made_anew(dict)
    attachments: Attachments = _made_anew(list)

    @field_validator("email_content")
    @classmethod
    def _some_content(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("email_html", "refused") is None:
            raise PydanticKnownError("missing")
        return value

    @field_validator("recipients")
    @classmethod
    def _some_recipient(cls, value: Any) -> Any:
        if not value or (isinstance(value, str) and not value.strip(" \t\r\n,")):
            raise PydanticCustomError("recipients_required", "Recipients are required.")
        return value


class EventChange(Strict):
    """What to change of an event. What is left out stays; null empties a field that may be empty."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"version": 1, "expected_sent_at": "tomorrow at 9am"}]})

    version: Annotated[
        int | None,
        Field(
            title="Version", ge=1, description="The version that is to be changed; or send `If-Match`.", examples=[1]
        ),
    ] = None
    email_subject: Subject | None = None
    email_content: Text = None
    email_html: Html = None
    expected_sent_at: When | None = None
    timezone: ZoneName = None
    reply_to: ReplyTo = None
    from_email: Sender = None
    from_name: SenderName = None
    priority: Priority | None = None
    expires_at: Expiry = None
    headers: Headers | None = None
    tags: Tags | None = None
    metadata: Metadata | None = None
    attachments: Annotated[
        Attachments | None, Field(description="In place of those that are there; null or `[]`: none any more.")
    ] = None


class Refused:
    """An event of a batch that is none, and why."""

    def __init__(self, error: ApiError) -> None:
        self.error = error


def _or_refused(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    if not isinstance(value, dict):
        return Refused(InvalidInput("An event is an object."))
    try:
        return read(value)
    except ValidationError as error:
        return Refused(invalid_input(error.errors(include_url=False), value))


class BatchCreate(Strict):
    """Many events at once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"events": [_EXAMPLE]}]})

    # In Python a list of `EventCreate | Refused`, so that one that is wrong hides nothing of the others.
    events: Annotated[
        list[Annotated[EventCreate, WrapValidator(_or_refused)]],
        Field(title="Events", description="Each as in `POST /api/events`.", min_length=1, max_length=MAX_BATCH),
    ]
