"""What callers send about events that are there: which to cancel, what became of a message."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from janus_mail.events.schemas import Strict, plain
from janus_mail.models.states import EventStatus

_Word = Annotated[str, StringConstraints(min_length=1, max_length=320), AfterValidator(plain)]
_INSTANT: Final = "ISO 8601; without an offset in the workspace's zone. `after` includes it, `before` does not."
_Instant = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100),
    AfterValidator(plain),
    Field(examples=["2026-07-15T10:00:00Z"]),
]


class EventsCancel(Strict):
    """Which events to cancel: those that fit every filter given, as in `GET /api/events`. One filter is required."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tag": "welcome", "dry_run": True}]})

    status: Annotated[
        EventStatus | None,
        Field(title="Status", description="What is over has nothing to cancel.", examples=["pending"]),
    ] = None
    recipient: Annotated[
        _Word | None,
        Field(title="To this address", description="The whole address, also in copies.", examples=["test@example.com"]),
    ] = None
    from_email: Annotated[
        _Word | None,
        Field(
            title="Naming this sender",
            description="As the event named it; who named none has none.",
            examples=["ann@example.com"],
        ),
    ] = None
    tag: Annotated[
        _Word | None, Field(title="With this tag", description="The whole tag, as it was given.", examples=["welcome"])
    ] = None
    provider: Annotated[
        _Word | None,
        Field(
            title="Asked for, or last tried",
            description="A provider's id, name or kind: the event asked for it, or a message was last tried with it.",
            examples=["Amazon SES"],
        ),
    ] = None
    q: Annotated[
        _Word | None,
        Field(title="Words of the subject", description="All of them, in any order.", examples=["invoice"]),
    ] = None
    created_after: _Instant | None = Field(None, title="Accepted from then on", description=_INSTANT)
    created_before: _Instant | None = Field(None, title="Accepted before", description=_INSTANT)
    expected_after: _Instant | None = Field(None, title="Due from then on", description=_INSTANT)
    expected_before: _Instant | None = Field(None, title="Due before", description=_INSTANT)
    dry_run: Annotated[
        bool,
        Field(
            strict=True,
            title="Only count",
            description="True unless you say otherwise: nothing is canceled by a request that does not mean it.",
        ),
    ] = True


class ResolveRequest(Strict):
    """A person's word on a message of which nobody knows whether it left."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"outcome": "sent"}]})

    outcome: Annotated[
        Literal["sent", "resend", "failed"],
        Field(title="Outcome", description="It arrived; send it again; or give it up.", examples=["resend"]),
    ]
