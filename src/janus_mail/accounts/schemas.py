"""What travels over HTTP about a workspace."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

OnUncertain = Annotated[
    Literal["resend", "park"],
    Field(
        title="When it is not known whether a mail left",
        description="For events that do not say it themselves: `resend` once (at least once), or `park` for a person "
        "to decide (at most once).",
        examples=["resend"],
    ),
]


class Workspace(BaseModel):
    """The tenant that the caller belongs to, and how much mail of it waits."""

    id: uuid.UUID
    name: str = Field(title="Name", examples=["default"])
    timezone: str = Field(title="Time zone of times without an offset", examples=["Europe/Berlin"])
    from_email: str | None = Field(title="Sender where nobody names one", examples=["janus@example.com"])
    on_uncertain: OnUncertain
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


class WorkspacePatch(BaseModel):
    """What to change."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"on_uncertain": "park"}]})

    on_uncertain: OnUncertain
