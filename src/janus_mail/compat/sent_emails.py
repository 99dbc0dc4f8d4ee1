"""The older form API's list: every message of the workspace, newest first, in numbered pages."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Literal
from urllib.parse import urlencode

import asyncpg
import orjson
from pydantic import BaseModel, ConfigDict, Field

from janus_mail.compat import queries
from janus_mail.content.addresses import Recipient
from janus_mail.content.text_from_html import text_from_html
from janus_mail.content.variables import InvalidVariable, Template, placeholders, values_for
from janus_mail.models.states import State
from janus_mail.storage.list_cache import CacheUse
from janus_mail.web.context import Context

PAGE_SIZE = 10
MAX_PAGE_DIGITS = 9

SENT_VIA: Mapping[str, str] = {"ses": "amazon_SES", "smtp": "google_SMTP", "sendgrid": "send_grid"}
_FAILED: Mapping[str, str] = {
    State.FAILED: "It was refused.",
    State.CANCELED: "It was canceled.",
    State.EXPIRED: "It expired before it could be sent.",
    State.SUPPRESSED: "The address must not be mailed.",
}


class SentEmail(BaseModel):
    """One message."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "0199f2b8-6d0c-7a3e-9f5b-30a1c2d3e4f5",
                    "from_email": "ann@example.com",
                    "to_email": "test@example.com",
                    "subject": "Hello World",
                    "body_text": "This is a test email.",
                    "sent_via": "amazon_SES",
                    "created": "2026-07-15T08:00:00Z",
                    "status": "sent",
                    "error": None,
                }
            ]
        }
    )

    id: uuid.UUID
    from_email: str | None
    to_email: str
    subject: str
    body_text: str
    sent_via: str | None = Field(
        description="`amazon_SES`, `google_SMTP`, `send_grid` or another provider's kind: the last one tried, else the "
        "one that is preferred; null where nothing is known yet."
    )
    created: datetime
    status: Literal["sent", "failed", "pending"]
    error: str | None


class SentEmails(BaseModel):
    """A page."""

    count: int = Field(description="On all pages.", examples=[11])
    next: str | None = Field(
        description="Address of the next page, with the TOKEN that was sent.",
        examples=["http://localhost:8000/view_sent_emails/?TOKEN=janus_…&page=2"],
    )
    previous: str | None = Field(examples=[None])
    results: list[SentEmail]


class NoSuchPage(Exception):
    """Not a page number, or beyond the last page."""


def page_number(text: str) -> int:
    """Raises `NoSuchPage`."""
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_PAGE_DIGITS and int(text) > 0):
        raise NoSuchPage
    return int(text)


async def page_of(
    context: Context, workspace_id: uuid.UUID, number: int, *, address: str, token: str
) -> tuple[bytes, CacheUse]:
    """A `SentEmails` in JSON, from the list cache where it can be. Raises `NoSuchPage`."""
    # Neither the token nor this server's address lies in Redis: the links are put in on the way out.
    stored, use = await context.list_cache.serve(
        workspace_id, f"sent_emails:{number}", lambda: _make(context, workspace_id, number)
    )
    count, _, results = stored.partition(b"\n")
    pages = max(1, -(-int(count) // PAGE_SIZE))
    if number > pages:
        raise NoSuchPage

    def link(to: int) -> bytes:
        query = {"TOKEN": token, "page": to} if to > 1 else {"TOKEN": token}
        return orjson.dumps(f"{address}?{urlencode(query)}")

    following = link(number + 1) if number < pages else b"null"
    previous = link(number - 1) if number > 1 else b"null"
    return b'{"count":%b,"next":%b,"previous":%b,"results":%b}' % (count, following, previous, results), use


async def _make(context: Context, workspace_id: uuid.UUID, number: int) -> bytes:
    count = await context.database.pool.fetchval(queries.COUNT, workspace_id)
    rows = await context.database.pool.fetch(queries.SENT_EMAILS, workspace_id, PAGE_SIZE, (number - 1) * PAGE_SIZE)
    return b"%d\n%b" % (count, orjson.dumps([_shown(row).model_dump(mode="json") for row in rows]))


def _shown(row: asyncpg.Record) -> SentEmail:
    recipient = Recipient(row["recipient"], row["recipient_name"], row["variables"])
    values = values_for(recipient, recipient.variables)
    if row["text"] is not None:
        body = Template(row["text"])
    else:
        body = Template(text_from_html(row["html"]), placeholders(row["html"]))
    kind, state = row["kind"], row["state"]
    return SentEmail(
        id=row["id"],
        from_email=row["from_email"],
        to_email=row["recipient"],
        subject=_filled(Template(row["subject"]), values),
        body_text=_filled(body, values),
        sent_via=SENT_VIA.get(kind, kind),
        created=row["created_at"],
        status="sent" if state == State.SENT else "failed" if state in _FAILED else "pending",
        error=row["last_error"] or _FAILED.get(state),
    )


def _filled(template: Template, values: Mapping[str, str]) -> str:
    try:
        return template.fill(values)
    except InvalidVariable:  # of a group only the first recipient's variables count
        return template.text
