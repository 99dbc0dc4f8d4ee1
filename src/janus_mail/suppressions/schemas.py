"""What travels over HTTP about suppressions."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from janus_mail.models.states import SuppressionReason

MAX_ADDRESSES = 1_000
MAX_NOTE = 120
_NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
_ONE: JsonDict = {
    "id": "0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a01",
    "address": "ann@example.com",
    "reason": "hard_bounce",
    "source": "SendGrid",
    "message_id": "0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a02",
    "event_id": "0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a03",
    "since": "2026-11-21T12:00:00Z",
}


class Suppression(BaseModel):
    """An address that gets no mail of this workspace."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ONE]})

    id: UUID = Field(title="Id")
    address: str = Field(title="Address", description="In lower case, its domain as it goes on the wire.")
    reason: SuppressionReason = Field(
        title="Why",
        description="`complaint` goes before `unsubscribe`, that before `hard_bounce`, and that before `manual`: the "
        "stronger reason is kept.",
    )
    source: str = Field(title="Who said so", description="A provider's name, an API key's, a file's.")
    message_id: UUID | None = Field(title="The message that led to it", description="Null where none did.")
    event_id: UUID | None = Field(title="Its event", description="Null where none did, or it is not kept any more.")
    since: datetime = Field(title="Since when", description="When the source said so.")


class SuppressionsAdd(BaseModel):
    """Addresses to be mailed no more."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"addresses": ["ann@example.com"], "note": "asked for it by phone"}]},
    )

    addresses: list[str] = Field(
        min_length=1, max_length=MAX_ADDRESSES, description=f"1 to {MAX_ADDRESSES:,}. What is there already stays."
    )
    reason: SuppressionReason = Field(SuppressionReason.MANUAL, description="Why they must not be mailed.")
    note: Annotated[str, Field(max_length=MAX_NOTE, pattern=_NO_CONTROL_CHARACTERS)] | None = Field(
        None, description="A few words, kept behind your name in `source`.", examples=["asked for it by phone"]
    )


class SuppressionsAdded(BaseModel):
    """The addresses as they stand on the list now."""

    status: Literal["success"] = Field("success", title="Always `success`", examples=["success"])
    message: str = Field(title="What was done, in words", examples=["1 address is new to the list."])
    added: int = Field(title="How many are new to the list", examples=[1])
    data: list[Suppression] = Field(title="All of them, in the order of the request")


class LineError(BaseModel):
    """A line that was left out."""

    line: int = Field(title="Its number", description="From 1.", examples=[3])
    error: str = Field(title="One sentence for a person", examples=["An email address must have an @-sign."])


class ImportAnswer(BaseModel):
    """What became of a file."""

    status: Literal["success"] = Field("success", title="Always `success`", examples=["success"])
    message: str = Field(title="What was done, in words", examples=["1,200 addresses are new to the list."])
    added: int = Field(title="Addresses that are new to the list", examples=[1200])
    known: int = Field(title="Lines whose address was there already, in the list or further up", examples=[30])
    rejected: int = Field(title="Lines that were left out", examples=[1])
    errors: list[LineError] = Field(title="The first of these, up to 100")
