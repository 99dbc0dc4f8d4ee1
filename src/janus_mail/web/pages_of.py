"""Lists in pages: newest first, by a cursor that stays right while rows are added."""

import base64
import binascii
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from janus_mail.errors import Detail, InvalidInput

Item = TypeVar("Item")
Row = TypeVar("Row")


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    data: list[Item]
    has_more: bool = Field(description="Whether older items follow.", examples=[True])
    next_cursor: str | None = Field(
        description="Send it as `cursor` for the next page; null on the last.", examples=["AZJx8mX9cQ-Jd3mJmYbC2w"]
    )


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page is asked for: the `limit` newest rows whose id is below `cursor`."""

    limit: int = 10
    cursor: uuid.UUID | None = None

    @property
    def fetch(self) -> int:
        """How many rows to read: one more than is shown tells whether more follow."""
        return self.limit + 1

    def cut(self, rows: Sequence[Row], id_of: Callable[[Row], uuid.UUID]) -> tuple[Sequence[Row], bool, str | None]:
        """The rows to show, `has_more` and `next_cursor`, from up to `fetch` rows."""
        shown = rows[: self.limit]
        has_more = len(rows) > self.limit
        return shown, has_more, encode_cursor(id_of(shown[-1])) if has_more else None


def encode_cursor(id: uuid.UUID) -> str:  # noqa: A002  (the field's own name)
    """22 characters that need no escaping in a URL."""
    return base64.urlsafe_b64encode(id.bytes).rstrip(b"=").decode()


def decode_cursor(text: str) -> uuid.UUID:
    """Raises `InvalidInput` (`invalid_cursor`) for what `encode_cursor` did not make."""
    try:
        id_ = uuid.UUID(bytes=base64.b64decode(text + "==", altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        id_ = None
    if id_ is None or encode_cursor(id_) != text:
        detail = Detail("cursor", "Take it from `next_cursor` of the page before.")
        raise InvalidInput("This cursor is not one of ours.", code="invalid_cursor", details=[detail])
    return id_


async def _page_request(
    limit: Annotated[int, Query(ge=1, le=100, description="How many items.")] = 10,
    cursor: Annotated[
        str | SkipJsonSchema[None],
        Query(
            description="`next_cursor` of the page before.",
            examples=["AZJx8mX9cQ-Jd3mJmYbC2w"],
            # Said, not checked here: `decode_cursor` has the better sentence.
            json_schema_extra={"pattern": "^[A-Za-z0-9_-]{21}[AQgw]$"},
        ),
    ] = None,
) -> PageRequest:
    return PageRequest(limit, decode_cursor(cursor) if cursor is not None else None)


PageQuery = Annotated[PageRequest, Depends(_page_request)]
