"""What travels over HTTP about a workspace and who is in it."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from janus_mail.content.addresses import bare_address
from janus_mail.events.instants import zone_named
from janus_mail.models.states import Role

MAX_NAME = 100
MAX_RETENTION_DAYS = 36_500
MAX_ALLOWED_SENDERS = 200


def _allowed(text: str) -> str:
    """An address or a domain, as `workspaces/senders.py` compares them."""
    entry = text.strip().removeprefix("@").lower()
    return bare_address(entry) if "@" in entry else bare_address(f"postmaster@{entry}").rpartition("@")[2]


def _zone(text: str) -> str:
    return zone_named(text).key


def _trimmed(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$"
Name = Annotated[
    str,
    BeforeValidator(_trimmed),
    Field(
        title="Name", description="What people call it; others may have the same.", min_length=1, max_length=MAX_NAME,
        pattern=_PRINTABLE, examples=["Northwind Tools"],
    ),
]  # fmt: skip
Email = Annotated[
    str,
    AfterValidator(bare_address),
    Field(title="Address", description="Who is invited.", max_length=320, examples=["noor@northwind.example"]),
]
TimeZone = Annotated[
    str,
    AfterValidator(_zone),
    Field(
        title="Time zone of times without an offset", description="An IANA name; null: the server's.",
        max_length=64, examples=["Europe/Berlin"],
    ),
]  # fmt: skip
Language = Literal["en-GB", "en-US", "en-AU", "en-CA", "en-IE", "en-IN", "en-NZ", "en-SG", "en-ZA"]
UsualLanguage = Annotated[
    Language,
    Field(
        title="Language of dates and numbers on pages",
        description="en-GB: 9 Mar 2026; en-US: Mar 9, 2026. Null: en-GB.", examples=["en-GB"],
    ),
]  # fmt: skip
FromEmail = Annotated[
    str,
    AfterValidator(bare_address),
    Field(
        title="Sender where nobody names one",
        description="One of those that are allowed; null: none.",
        max_length=320,
        examples=["hello@northwind.example"],
    ),
]
FromName = Annotated[
    str,
    BeforeValidator(_trimmed),
    Field(
        title="Name shown before that sender", description="Null: none.", min_length=1, max_length=200,
        pattern=_PRINTABLE, examples=["Northwind Tools"],
    ),
]  # fmt: skip
AllowedSenders = Annotated[
    list[Annotated[str, Field(max_length=320), AfterValidator(_allowed)]],
    Field(
        title="Senders that mail may come from",
        description="Addresses, and domains (without their subdomains). Null: any.",
        min_length=1, max_length=MAX_ALLOWED_SENDERS, examples=[["northwind.example", "noor@example.com"]],
    ),
]  # fmt: skip
OnUncertain = Annotated[
    Literal["resend", "park"],
    Field(
        title="When it is not known whether a mail left",
        description="For events that do not say it themselves: `resend` once (at least once), or `park` for a person "
        "to decide (at most once).",
        examples=["resend"],
    ),
]
RetentionDays = Annotated[
    int,
    Field(
        title="Days after which mail that is over is removed", description="Null: as the server does.", ge=1,
        le=MAX_RETENTION_DAYS, examples=[90],
    ),
]  # fmt: skip


class Workspace(BaseModel):
    """The tenant that the caller belongs to: its settings, and how much mail of it waits."""

    id: uuid.UUID
    name: str = Field(title="Name", examples=["default"])
    timezone: str = Field(title="Time zone of times without an offset", examples=["Europe/Berlin"])
    language: Language = Field(title="Language of dates and numbers on pages", examples=["en-GB"])
    from_email: str | None = Field(title="Sender where nobody names one", examples=["janus@example.com"])
    from_name: str | None = Field(title="Name shown before that sender", examples=["Janus"])
    allowed_senders: list[str] | None = Field(
        title="Senders that mail may come from", description="Null: any.", examples=[["example.com"]]
    )
    on_uncertain: OnUncertain
    retention_days: int | None = Field(
        title="Days after which mail that is over is removed", description="Null: as the server does.", examples=[90]
    )
    minute_quota: int = Field(
        title="Mails that it may accept in a minute", description="Set by who runs the server. 0: any number.",
        examples=[1_000],
    )  # fmt: skip
    monthly_quota: int = Field(
        title="Mails that it may accept in a calendar month, in UTC",
        description="Set by who runs the server. 0: any number.", examples=[100_000],
    )  # fmt: skip
    used_this_month: int | None = Field(
        title="Mails that it has accepted in this month", description="Null: without a monthly quota none is counted.",
        examples=[3_120],
    )  # fmt: skip
    paused_at: datetime | None = Field(
        title="Since when nothing leaves", description="Null: it is not paused.", examples=["2026-11-21T09:00:00Z"]
    )
    waiting: int = Field(title="Messages that wait for their time or their next try", examples=[12])
    due: int = Field(title="Those of them whose time has come", examples=[3])
    sending: int = Field(title="Messages that are leaving at this moment", examples=[0])
    uncertain: int = Field(
        title="Messages that may have left",
        description="Nobody knows yet; they are sent once more, or parked, as `on_uncertain` of their event says.",
        examples=[0],
    )


class WorkspaceAnswer(BaseModel):
    """The workspace after a change."""

    status: Literal["success"] = Field("success", title="Always `success`", examples=["success"])
    message: str = Field(title="What was done, in words", examples=["Paused; 12 messages waiting."])
    workspace: Workspace


@with_config(
    ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "Northwind Tools", "on_uncertain": "park"}], "minProperties": 1},
    )
)
class WorkspacePatch(TypedDict, total=False):
    """What to change; what is left out stays."""

    name: Name
    timezone: TimeZone | None
    language: UsualLanguage | None
    from_email: FromEmail | None
    from_name: FromName | None
    allowed_senders: AllowedSenders | None
    on_uncertain: OnUncertain
    retention_days: RetentionDays | None


class WorkspaceCreate(BaseModel):
    """A workspace of one’s own."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Northwind Tools"}]})

    name: Name
    timezone: TimeZone | None = None
    from_email: FromEmail | None = None


class WorkspaceDelete(BaseModel):
    """Its name, typed out, so that none is deleted by a slip."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Northwind Tools"}]})

    name: str = Field(
        title="The name of the workspace", description="Exactly as it is.", max_length=MAX_NAME,
        examples=["Northwind Tools"],
    )  # fmt: skip


class Place(BaseModel):
    """A workspace that the caller is in."""

    id: uuid.UUID
    name: str = Field(title="Name", examples=["Northwind Tools"])
    role: Role | None = Field(title="What they are in it", description="Null for an API key.", examples=["owner"])
    current: bool = Field(title="Whether it is the one that the credentials are for", examples=[True])


class Done(BaseModel):
    """What was done, where nothing is left to show."""

    status: Literal["success"] = Field("success", title="Always `success`", examples=["success"])
    message: str = Field(title="What was done, in words", examples=["You have left the workspace."])


class Member(BaseModel):
    """Somebody in the workspace."""

    user_id: uuid.UUID
    email: str = Field(title="Address", examples=["noor@northwind.example"])
    name: str = Field(title="Name", examples=["Noor Haddad"])
    role: Role = Field(title="What they are in the workspace", examples=["editor"])
    since: datetime = Field(title="Since when", examples=["2026-11-21T09:00:00Z"])


class MemberPatch(BaseModel):
    """Another role."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"role": "editor"}]})

    role: Role = Field(
        title="Role",
        description="`owner`: everything; `editor`: mail and suppressions; `viewer`: looks. Owners make owners.",
        examples=["editor"],
    )


class InvitationCreate(BaseModel):
    """Whom to invite, and as what."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"email": "noor@northwind.example", "role": "editor"}]}
    )

    email: Email
    role: Role = Field(
        Role.EDITOR, title="Role", description="As for members. Only an owner invites owners.", examples=["editor"]
    )


class Invitation(BaseModel):
    """A place that waits for somebody."""

    id: uuid.UUID
    email: str = Field(title="Address", examples=["noor@northwind.example"])
    role: Role = Field(title="What they will be", examples=["editor"])
    invited_by: str = Field(title="Who invited them", examples=["mara@northwind.example"])
    created_at: datetime
    expires_at: datetime


class InvitationMade(BaseModel):
    """An invitation that was just made."""

    invitation: Invitation
    mailed: bool = Field(title="Whether it goes out by mail", examples=[True])
    link: str | None = Field(
        title="What opens it, this once",
        description="Only where the server has no mail set up, so that it must be passed on by hand. Whoever has it "
        "comes in.",
        examples=[None],
    )
