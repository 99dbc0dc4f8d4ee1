"""What travels over HTTP about API keys."""

import uuid
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from janus_mail.accounts.permissions import Scope

MAX_NAME: Final = 100
MAX_RATE: Final = 1_000_000
MAX_DAYS: Final = 3_650
MAX_OVERLAP_HOURS: Final = 720
USUAL_OVERLAP_HOURS: Final = 24


def _trimmed(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


KeyName = Annotated[
    str,
    BeforeValidator(_trimmed),
    Field(
        title="What it is for", description="In words; others may have the same.", min_length=1, max_length=MAX_NAME,
        examples=["shop"],
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$",
    ),
]  # fmt: skip
RateLimit = Annotated[
    int,
    Field(
        title="Requests a minute",
        description="Of each class, instead of the server’s. Null: the server’s; 0: no limit of its own.", ge=0,
        le=MAX_RATE, strict=True, examples=[600],
    ),
]  # fmt: skip


class ApiKey(BaseModel):
    """What may be shown of a key."""

    id: uuid.UUID
    name: str = Field(title="What it is for", examples=["shop"])
    prefix: str = Field(title="How it begins, behind `janus_`", examples=["Zk3vQ9mT1x"])
    scopes: tuple[str, ...] = Field(title="What it may do", examples=[["events:read", "events:write"]])
    status: Literal["active", "expired", "revoked"] = Field(title="Whether it opens anything", examples=["active"])
    rate_limit: int | None = Field(
        title="Requests a minute", description="Null: the server’s; 0: no limit of its own.", examples=[None]
    )
    created_at: datetime
    created_by: str | None = Field(title="Who made it", examples=["mara@northwind.example"])
    expires_at: datetime | None = Field(title="When it ends", description="Null: never.")
    last_used_at: datetime | None = Field(title="Its last use, to the minute", description="Null: it was never used.")
    revoked_at: datetime | None = Field(title="When it was revoked", description="Null: it was not.")
    successor_id: uuid.UUID | None = Field(title="The key that takes its place", description="Null: none does.")


class ApiKeyCreate(BaseModel):
    """A key to make."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "shop", "scopes": ["events:read", "events:write"], "expires_in_days": 90}]
        },
    )

    name: KeyName
    scopes: list[Scope] = Field(
        title="What it may do", description="`admin` implies all the others.", min_length=1, max_length=5,
        examples=[["events:read", "events:write"]],
    )  # fmt: skip
    expires_at: AwareDatetime | None = Field(
        None,
        title="When it ends",
        description=f"Within {MAX_DAYS:,} days; null: never.",
        examples=["2027-11-21T09:00:00Z"],
    )
    expires_in_days: Annotated[int, Field(strict=True, ge=1, le=MAX_DAYS)] | None = Field(
        None, title="The same as days from now", description="Instead of `expires_at`.", examples=[90]
    )
    rate_limit: RateLimit | None = None


@with_config(ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "shop"}], "minProperties": 1}))
class ApiKeyPatch(TypedDict, total=False):
    """What to change; what is left out stays. What a key may do and when it ends are for a new key."""

    name: KeyName
    rate_limit: RateLimit | None


class Rotation(BaseModel):
    """How the next key takes over."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"overlap_hours": 24}]})

    overlap_hours: int = Field(
        USUAL_OVERLAP_HOURS, title="For how many hours the old key still opens", description="0: it ends at once.",
        strict=True, ge=0, le=MAX_OVERLAP_HOURS, examples=[24],
    )  # fmt: skip


class ApiKeyMade(BaseModel):
    """A key that was just made."""

    key: ApiKey
    secret: str | None = Field(
        title="The key itself, this once",
        description="Only its digest is kept. Null where the same request had been answered before.",
        examples=["janus_Zk3vQ9mT1x_8pYt…"],
    )
