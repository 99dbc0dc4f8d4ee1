"""What travels over HTTP about providers."""

import uuid
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from janus_mail.content.addresses import InvalidAddress, bare_address, parse_mailbox
from janus_mail.models.states import CircuitCause, CircuitState, State
from janus_mail.providers.outcomes import Outcome
from janus_mail.providers.sandbox import SandboxMode

MAX_PROVIDERS = 1_000
MAX_RATE_PER_SECOND = 1_000_000
MAX_DAILY_QUOTA = 2_147_483_647  # PostgreSQL's integer


def _domain(text: str) -> str:
    try:
        return parse_mailbox(f"postmaster@{text}").domain
    except InvalidAddress as error:
        raise ValueError(error.reason) from None


NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"

Name = Annotated[
    str,
    Field(
        description="No other provider of the workspace may have it.",
        min_length=1,
        max_length=100,
        pattern=r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f\u2028\u2029]*\S)?$",
    ),
]
Position = Annotated[int, Field(description="Its place in the route, lowest first.")]
SenderEmail = Annotated[
    str,
    AfterValidator(bare_address),
    Field(description="Sender of mail that names none; null: the workspace's.", max_length=320),
]
SenderName = Annotated[
    str,
    Field(description="Shown before `from_email`.", min_length=1, max_length=200, pattern=NO_CONTROL_CHARACTERS),
]
SenderDomains = Annotated[
    list[Annotated[str, AfterValidator(_domain)]],
    Field(description="The domains it may send from; null: any.", min_length=1, max_length=100),
]
Rate = Annotated[
    float,
    Field(
        description="Mails a second, over all workers; null: as many as it takes.",
        strict=True, gt=0, le=MAX_RATE_PER_SECOND, allow_inf_nan=False,
    ),
]  # fmt: skip
DailyQuota = Annotated[
    int,
    Field(
        description="Mails a day in UTC, over all workers; null: as many as it takes.",
        strict=True, ge=1, le=MAX_DAILY_QUOTA,
    ),
]  # fmt: skip
Enabled = Annotated[bool, Field(strict=True, description="False: mail goes through the others.")]
Config = Annotated[dict[str, Any], Field(max_length=100)]


class Circuit(BaseModel):
    """Whether the provider is tried at all."""

    state: CircuitState = Field(
        CircuitState.CLOSED, description="`open` rests it, after failures or by hand; `half_open`: one mail tries it."
    )
    since: AwareDatetime | None = Field(None, description="When it opened, or closed; null: it never opened.")
    reason: str | None = Field(None, examples=["5 failures in a row: 421 4.3.2 Service not available"])
    until: AwareDatetime | None = Field(
        None, description="When the next mail may try it; null: it is closed or by_hand."
    )
    by_hand: bool = Field(False, description="A person opened it, and it stays so until a person closes it.")


class BlockedSenderDomain(BaseModel):
    """A sender domain for which the provider is not tried, while it is for others."""

    domain: str = Field(examples=["example.com"])
    since: AwareDatetime
    until: AwareDatetime | None
    reason: str = Field(examples=["the provider refuses us: 550 5.7.1 Sender domain not verified"])


class Quota(BaseModel):
    """How much of its daily quota a provider has used."""

    used_today: int = Field(description="Workers take it in blocks, so it runs a little ahead of what has left.")
    resets_at: AwareDatetime = Field(description="The next midnight in UTC.")


class Verification(BaseModel):
    """How the service answered when it was asked whether it knows these credentials."""

    ok: bool = Field(description="It does.")
    outcome: Outcome = Field(description="`accepted`, or what a mail would have met.")
    code: str = Field(examples=["535 5.7.8"])
    response: str = Field(description="What it said.", examples=["5.7.8 Username and password not accepted"])
    at: AwareDatetime
    latency_ms: int


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
                    "quota": None,
                    "circuit": {"state": "closed", "since": None, "reason": None, "until": None, "by_hand": False},
                    "blocked_sender_domains": [],
                    "config": {"preset": "gmail", "username": "ann@example.com", "password": "•••• mnop"},
                    "from_environment": False,
                    "verification": {
                        "ok": True,
                        "outcome": "accepted",
                        "code": "235 2.7.0",
                        "response": "2.7.0 Accepted",
                        "at": "2026-11-21T09:00:01Z",
                        "latency_ms": 412,
                    },
                    "hook_url": "https://janus.example.com/hooks/0193a2c4-7b1e-7c3d-9f00-1a2b3c4d5e6f/5c1f…",
                    "heard_at": None,
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
    rate_per_second: float | None = Field(description="Mails a second, over all workers; null: as many as it takes.")
    daily_quota: int | None = Field(description="Mails a day in UTC, over all workers; null: as many as it takes.")
    quota: Quota | None = Field(description="Null: it has no daily quota.")
    circuit: Circuit
    blocked_sender_domains: list[BlockedSenderDomain]
    config: dict[str, Any] | None = Field(
        description="Credentials show four characters at most; null: it opens with none of JANUS_SECRET_KEYS."
    )
    from_environment: bool = Field(description="Made of the server's MAIL_* settings and kept in step with them.")
    verification: Verification | None = Field(
        description="Of this config; null: it was not asked, or the service offers no way to ask."
    )
    hook_url: str | None = Field(
        None,
        description="Where the service is to post what becomes of the mail. It holds a secret: null for callers "
        "without `providers:write`, and where JANUS_PUBLIC_URL is not set.",
    )
    heard_at: AwareDatetime | None = Field(description="When its service last posted there, to the hour.")
    version: int = Field(description="Grows by one with each change.")
    created_at: AwareDatetime
    updated_at: AwareDatetime


class ProviderCreate(BaseModel):
    """A provider to set up."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "kind": "smtp",
                    "name": "Our relay",
                    "config": {"host": "smtp.example.com", "username": "mailer", "password": "a long password"},
                }
            ]
        },
    )

    kind: str = Field(max_length=100, description="Names the service; see `GET /api/provider-kinds`.")
    name: Name
    config: Config = Field(default={}, repr=False, description="As the kind's `config_schema` says.")
    sandbox: Annotated[bool, Field(strict=True, description="True: its mail ends in the local mailbox.")] = False
    enabled: Enabled = True
    position: Annotated[int, Field(strict=True, ge=1, le=MAX_PROVIDERS)] | None = Field(
        None, description="Its place in the route, from 1; left out, or beyond the end: last."
    )
    from_email: SenderEmail | None = None
    from_name: SenderName | None = None
    sender_domains: SenderDomains | None = None
    rate_per_second: Rate | None = None
    daily_quota: DailyQuota | None = None


@with_config(ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": False}, {"sandbox_mode": "down"}]}))
class ProviderPatch(TypedDict, total=False):
    """What to change; what is left out stays."""

    name: Name
    enabled: Enabled
    config: Annotated[
        Config,
        Field(
            description="The whole config. A secret that is left out or sent as it is shown, `•••• mnop`, stays; "
            "null removes it."
        ),
    ]
    from_email: SenderEmail | None
    from_name: SenderName | None
    sender_domains: SenderDomains | None
    rate_per_second: Rate | None
    daily_quota: DailyQuota | None
    sandbox_mode: Annotated[SandboxMode, Field(description="Sandbox providers only.")]
    sandbox_failure_rate: Annotated[float, Field(strict=True, ge=0, le=1, description="Sandbox providers only.")]
    version: Annotated[int, Field(strict=True, description="Refused with 409 when the provider has another by now.")]


class CircuitSwitch(BaseModel):
    """What a person makes of a provider's circuit."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"state": "closed"}]})

    state: Literal["open", "closed", "close"] = Field(
        description="`open`: it is not tried until someone closes it; `closed` (or `close`): it is tried again."
    )
    reason: Annotated[str, Field(min_length=1, max_length=300, pattern=NO_CONTROL_CHARACTERS)] | None = Field(
        None, description="Why it is opened, for the history.", examples=["The account is being moved."]
    )


class ProviderOrder(BaseModel):
    """The whole route, first to last."""

    model_config = ConfigDict(extra="forbid")

    order: list[uuid.UUID] = Field(max_length=MAX_PROVIDERS, description="Every provider's id, once.")


class ProviderTest(BaseModel):
    """A mail to see whether a provider works."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"to": "ann@example.com"}]})

    to: Annotated[str, AfterValidator(bare_address)] | None = Field(
        None, description="Null: the caller's own address, where a key calls the workspace's sender.", max_length=320
    )
    from_email: SenderEmail | None = Field(None, description="Null: the provider's sender, else the workspace's.")


class TestProvider(BaseModel):
    """The provider that was tested."""

    __test__ = False

    id: uuid.UUID
    kind: str = Field(examples=["smtp"])
    name: str = Field(examples=["Our relay"])


class ProviderTested(BaseModel):
    """The one try of a test mail, in full."""

    outcome: Outcome | None = Field(description="`accepted`: the service has the mail. Null: it is not over.")
    code: str | None = Field(examples=["250 2.0.0"])
    response: str | None = Field(
        description="What the service said, word for word.", examples=["2.0.0 Ok: queued as 4XyZ12"]
    )
    latency_ms: int | None
    started_at: AwareDatetime
    dispatched_at: AwareDatetime | None = Field(description="From here on it may have left; null: it has not.")
    finished_at: AwareDatetime | None
    provider: TestProvider
    provider_message_id: str | None = Field(examples=["4XyZ12"])
    to: str = Field(examples=["ann@example.com"])
    from_email: str = Field(examples=["janus@example.com"])
    message_id_header: str | None = Field(examples=["<0193a2c47b1e7c3d9f001a2b3c4d5e6f@example.com>"])
    event_id: uuid.UUID = Field(description="The event that was made of it.")
    message_id: uuid.UUID
    state: State = Field(description="Of the message.")


class ProviderKind(BaseModel):
    """A kind of provider that can be set up."""

    kind: str = Field(examples=["smtp"])
    label: str = Field(examples=["SMTP"])
    about: str = Field(description="A sentence for who has to choose.", examples=["Any server that speaks SMTP."])
    config_schema: dict[str, Any] = Field(
        description="JSON Schema of its config, from which a form can be drawn.",
        examples=[{"title": "SMTP", "type": "object", "properties": {"host": {"title": "Server", "type": "string"}}}],
    )


class IncidentChange(BaseModel):
    """One change of a circuit."""

    state: CircuitState = Field(description="The state that began here.")
    cause: CircuitCause
    reason: str = Field(examples=["the probe failed: 421 4.3.2 Service not available"])
    actor: str | None = Field(description="Who did it by hand.", examples=["API key ops"])
    at: AwareDatetime
    until: AwareDatetime | None = Field(description="When it may be tried next; null: it is closed, or opened by hand.")


class IncidentProvider(BaseModel):
    """A provider that stood in."""

    id: uuid.UUID
    kind: str = Field(examples=["ses"])
    name: str = Field(examples=["Amazon SES"])


class Instead(BaseModel):
    """What another provider took meanwhile."""

    provider: IncidentProvider
    messages: int


class Incident(BaseModel):
    """The time in which a provider's circuit was not closed, from its first opening on."""

    id: uuid.UUID
    sender_domain: str | None = Field(
        description="Null: the whole provider; else only mail from this domain.", examples=["example.com"]
    )
    opened_at: AwareDatetime
    closed_at: AwareDatetime | None = Field(description="Null: it is not over.")
    cause: CircuitCause = Field(description="Of the first opening, as are `reason` and `actor`.")
    reason: str = Field(examples=["5 failures in a row: 421 4.3.2 Service not available"])
    actor: str | None = Field(description="Who opened it by hand.", examples=["API key ops"])
    probes: int = Field(description="How often a try after the rest failed.")
    instead: list[Instead] = Field(description="Which providers behind it took its mail, in the order of the route.")
    changes: list[IncidentChange] = Field(description="Oldest first; of a long incident the last 100.")
