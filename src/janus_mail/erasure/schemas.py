"""What travels over HTTP about erasing."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ErasureRequest(BaseModel):
    """Whom to erase."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"email": "ann@example.com"}]})

    email: str = Field(description="The recipient’s address, in any case of letters.", min_length=3, max_length=320)
    unsuppress: bool = Field(
        False,
        strict=True,
        description="Also take the address off the suppressions. Else it stays there if it is there, and nowhere else: "
        "without it nobody would know any more that it must not be mailed.",
    )


class Erased(BaseModel):
    """What was done."""

    status: Literal["success"] = Field("success", title="Always `success`", examples=["success"])
    message: str = Field(title="What was done, in words", examples=["Erased; 2 messages canceled before."])
    pseudonym: str = Field(title="What stands in place of the address", examples=["erased-1f0c9a3e@erased.invalid"])
    canceled: int = Field(title="Messages that waited and do not leave any more", examples=[2])
    suppression: Literal["none", "kept", "removed"] = Field(
        title="The address on the suppressions", description="`none`: it was not there.", examples=["kept"]
    )
    counts: dict[str, int] = Field(
        title="Rows changed or removed, by table", examples=[{"events": 3, "messages": 3, "attempts": 1}]
    )
