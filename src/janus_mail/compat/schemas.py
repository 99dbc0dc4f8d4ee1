"""What the older form API answers."""

import uuid
from typing import Literal

from pydantic import BaseModel, Field


class Sent(BaseModel):
    """A provider has accepted it."""

    message: Literal["Email sent successfully"] = "Email sent successfully"
    status: Literal[200] = 200


class UnderWay(BaseModel):
    """It is accepted, and what became of it is not known yet."""

    message: Literal["Email accepted"] = "Email accepted"
    status: Literal[202] = 202
    id: uuid.UUID = Field(description="Its id in `/view_sent_emails/`.")


class NotSent(BaseModel):
    """What is wrong by field; `__all__`: with none of them."""

    errors: dict[str, list[str]] = Field(examples=[{"to_email": ["Enter a valid email address."]}])
    status: Literal[400] = 400


class TooMany(BaseModel):
    """More than a limit allows now."""

    errors: dict[str, list[str]] = Field(
        examples=[{"__all__": ["Too many requests of this API key: at most 60 a minute. Try again in 12 seconds."]}]
    )
    status: Literal[429] = 429


class Refused(BaseModel):
    """The TOKEN does not let in."""

    message: str = Field(examples=["Token is missing !!", "invalid token !!"])


class InvalidPage(BaseModel):
    """There is no such page."""

    detail: Literal["Invalid page."] = "Invalid page."
