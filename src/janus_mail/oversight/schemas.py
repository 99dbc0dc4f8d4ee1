"""What travels over HTTP of the audit log."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from janus_mail.models.states import ActorKind

_ONE: JsonDict = {
    "id": "0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a01",
    "at": "2026-11-21T12:00:00Z",
    "actor": {"kind": "user", "id": "0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a04", "label": "ann@example.com"},
    "address": "203.0.113.7",
    "request_id": "0199f2b86d0c7a3e9f5b2f6f1d1c9a05",
    "action": "provider.changed",
    "object": {"kind": "provider", "id": "0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a02", "name": "SendGrid"},
    "before": {"rate_per_second": 10, "config.api_key": "••••"},
    "after": {"rate_per_second": 50, "config.api_key": "•••• changed"},
}


class AuditActor(BaseModel):
    """Who did it."""

    kind: ActorKind = Field(title="What they are")
    id: UUID | None = Field(title="The user’s or the API key’s id", description="Null for anybody else.")
    label: str = Field(title="In words", examples=["ann@example.com", "API key ci"])


class AuditObject(BaseModel):
    """To what it was done."""

    kind: str = Field(title="What it is", examples=["provider"])
    id: UUID | None = Field(title="Its id")
    name: str | None = Field(title="How it was called then", examples=["SendGrid"])


class AuditEntryOut(BaseModel):
    """Who did what, when, from where, to which object."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ONE]})

    id: UUID = Field(title="Id")
    at: datetime = Field(title="When")
    actor: AuditActor = Field(title="Who did it")
    address: str | None = Field(title="From where", description="An IP address; null where nobody called over HTTP.")
    request_id: str | None = Field(title="`X-Request-ID` of the request")
    action: str = Field(title="What was done", description="What it was done to, a point, and a verb.")
    object: AuditObject = Field(title="To what")
    before: dict[str, Any] | None = Field(title="What changed, as it was", description="Secrets are `••••`.")
    after: dict[str, Any] | None = Field(title="As it was from then on", description="Secrets are `••••`.")
