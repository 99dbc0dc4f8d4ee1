"""What travels over HTTP about providers."""

import uuid
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from janus_mail.content.addresses import InvalidAddress, parse_mailbox
from janus_mail.providers.sandbox import SandboxMode

MAX_PROVIDERS = 1_000


def _address(text: str) -> str:
    try:
        mailbox = parse_mailbox(text)
    except InvalidAddress as error:
        raise ValueError(error.reason) from None
    if mailbox.name:
        raise ValueError("Only the address: the name goes into from_name.")
    return mailbox.address


def _domain(text: str) -> str:
    try:
        return parse_mailbox(f"postmaster@{text}").domain
    except InvalidAddress as error:
        raise ValueError(error.reason) from None


NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f-\x9f]*$"

Name = Annotated[
    str, Field(min_length=1, max_length=100, pattern=r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*\S)?$")
]
Position = Annotated[int, Field(description="Its place in the route, lowest first.")]


class Circuit(BaseModel):
    """Whether the provider is tried at all: `open` rests it after failures."""

    state: Literal["closed", "open", "half_open"] = "closed"
    since: AwareDatetime | None = None
    reason: str | None = Field(None, examples=["5 failures in a row"])


class Provider(BaseModel):
    """One configured account at an email service."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "0193a2c4-7b1e-7c3d-9f00-1a2b3c4d5e6f",
                    "kind": "smtp",
                    "name": "Google SMTP",
                    "enabled": True,
                    "position": 2,
                    "sandbox": True,
                    "sandbox_mode": "ok",
                    "sandbox_failure_rate": 0.0,
                    "from_email": None,
                    "from_name": None,
                    "sender_domains": None,
                    "rate_per_second": None,
                    "daily_quota": None,
                    "circuit": {"state": "closed", "since": None, "reason": None},
                    "config": {"preset": "gmail", "username": "ann@example.com", "password": "•••• mnop"},
                    "from_environment": False,
                    "version": 1,
                    "created_at": "2026-11-21T09:00:00Z",
                    "updated_at": "2026-11-21T09:00:00Z",
                }
            ]
        }
    )

    id: uuid.UUID
    kind: str = Field(description="Names the service; see `GET /api/provider-kinds`.")
    name: str
    enabled: bool
    position: Position
    sandbox: bool = Field(description="Mail is built and classified for real, but ends in the local mailbox.")
    sandbox_mode: SandboxMode = Field(description="The dial of a sandbox provider.")
    sandbox_failure_rate: float = Field(description="The share of mails, 0 to 1, that find a sandbox provider down.")
    from_email: str | None = Field(description="Sender of mail that names none; null: the workspace's.")
    from_name: str | None
    sender_domains: list[str] | None = Field(description="The domains it may send from; null: any.")
    rate_per_second: float | None
    daily_quota: int | None
    circuit: Circuit
    config: dict[str, Any] | None = Field(
        description="Credentials show four characters at most; null: it opens with none of JANUS_SECRET_KEYS."
    )
    from_environment: bool = Field(description="Made of the server's MAIL_* settings and kept in step with them.")
    version: int = Field(description="Grows by one with each change.")
    created_at: AwareDatetime
    updated_at: AwareDatetime


@with_config(ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": False}, {"sandbox_mode": "down"}]}))
class ProviderPatch(TypedDict, total=False):
    """What to change; what is left out stays."""

    name: Name
    enabled: Annotated[bool, Field(strict=True)]
    from_email: Annotated[str, AfterValidator(_address), Field(max_length=320)] | None
    from_name: Annotated[str, Field(min_length=1, max_length=200, pattern=NO_CONTROL_CHARACTERS)] | None
    sender_domains: Annotated[list[Annotated[str, AfterValidator(_domain)]], Field(min_length=1, max_length=100)] | None
    sandbox_mode: Annotated[SandboxMode, Field(description="Sandbox providers only.")]
    sandbox_failure_rate: Annotated[float, Field(strict=True, ge=0, le=1, description="Sandbox providers only.")]
    version: Annotated[int, Field(strict=True, description="Refused with 409 when the provider has another by now.")]


class ProviderOrder(BaseModel):
    """The whole route, first to last."""

    model_config = ConfigDict(extra="forbid")

    order: list[uuid.UUID] = Field(max_length=MAX_PROVIDERS, description="Every provider's id, once.")


class ProviderKind(BaseModel):
    """A kind of provider that can be set up."""

    kind: str = Field(examples=["smtp"])
    label: str = Field(examples=["SMTP"])
    has_adapter: bool = Field(description="False: as a sandbox only.")
    config_schema: dict[str, Any] = Field(
        description="JSON Schema of its config, from which a form can be drawn.",
        examples=[{"title": "SMTP", "type": "object", "properties": {"host": {"title": "Server", "type": "string"}}}],
    )
