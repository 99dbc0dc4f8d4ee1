"""What a person sets up for an SMTP provider."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic.config import JsonDict

from janus_mail.providers.network import ConnectedTo
from janus_mail.providers.smtp_presets import ONE_TOKEN, PRESETS, SERVICES, Preset

Security = Literal["starttls", "tls", "none"]

USUAL_PORTS: Mapping[str, int] = {"starttls": 587, "tls": 465, "none": 25}
# Where a form shows a field: at once, or where one looks for more.
_IN_SIGHT: JsonDict = {"advanced": False}
_OFTEN_LEFT: JsonDict = {"advanced": True}


class SmtpConfig(BaseModel):
    """An account at an SMTP server. A preset fills what is left out.

    Validated with the context `{"sandbox": True}` it may lack what only a real connection needs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, title="SMTP", hide_input_in_errors=True)

    preset: Preset = Field(
        "custom",
        title="Service",
        description="A known service fills in what is left out: server, port, security, often the user name.",
        examples=["gmail"],
        json_schema_extra={
            "enumNames": [SERVICES[name] for name in get_args(Preset)],
            "fills": {name: dict(filled) for name, filled in PRESETS.items()},
        },
    )
    host: Annotated[str, ConnectedTo.HOST] = Field(
        "", title="Server", description="Host name or IP address.", examples=["smtp.example.com"], max_length=253
    )
    port: int = Field(
        587,
        title="Port",
        description="Usually 587 (STARTTLS), 465 (TLS) or 25.",
        examples=[587],
        ge=1,
        le=65535,
        json_schema_extra=_IN_SIGHT,
    )
    security: Security = Field(
        "starttls",
        title="Security",
        description="starttls: TLS after the greeting, never without it; tls: from the first byte; "
        "none: everything, the password too, travels readable.",
        examples=["starttls"],
        json_schema_extra={"enumNames": ["STARTTLS", "TLS", "None"]},
    )
    username: str | None = Field(
        None,
        title="User name",
        description="Left out where the server asks for none. Gmail and Microsoft 365: the full address.",
        examples=["mailer@example.com"],
        max_length=255,
        json_schema_extra=_IN_SIGHT,
    )
    password: SecretStr | None = Field(
        None,
        title="Password",
        description="Gmail: an app password, not the account's. Of a service: its API key, token or SMTP password.",
        examples=["abcd efgh ijkl mnop"],
        max_length=1024,
    )
    verify_certificate: bool = Field(
        True,
        title="Check the certificate",
        description="Switch off only for a server of your own whose certificate nobody vouches for.",
        json_schema_extra=_OFTEN_LEFT,
    )
    max_connections: int = Field(
        20,
        title="Connections",
        description="At most so many at once from one process.",
        examples=[20],
        ge=1,
        le=1000,
        json_schema_extra=_OFTEN_LEFT,
    )
    max_mails_per_connection: int = Field(
        100,
        title="Mails per connection",
        description="After so many a connection is replaced.",
        examples=[100],
        ge=1,
        le=100_000,
        json_schema_extra=_OFTEN_LEFT,
    )
    idle_timeout_s: float = Field(
        30,
        title="Idle time in seconds",
        description="An unused connection is closed after it.",
        examples=[30],
        ge=0,
        le=3600,
        allow_inf_nan=False,
        json_schema_extra=_OFTEN_LEFT,
    )
    local_hostname: str | None = Field(
        None,
        title="Our name",
        description="What we call ourselves in EHLO; by default this machine's full name, else its address.",
        examples=["mail.example.com"],
        max_length=253,
        json_schema_extra=_OFTEN_LEFT,
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        preset, security = data.get("preset", "custom"), data.get("security")
        filled = {**(PRESETS.get(preset, {}) if isinstance(preset, str) else {}), **data}
        if "port" not in data and isinstance(security, str):
            filled["port"] = USUAL_PORTS.get(security, 587)
        return filled

    @field_validator("host", "local_hostname", "username")
    @classmethod
    def _one_word(cls, value: str | None, info: ValidationInfo) -> str | None:
        blank_allowed = info.field_name == "username"
        if value and not (value.isprintable() and (blank_allowed or " " not in value)):
            raise ValueError("must hold no blanks or control characters")
        if value and info.field_name == "local_hostname" and not value.isascii():
            raise ValueError("must be in its ASCII form")
        return value

    @field_validator("password")
    @classmethod
    def _no_nul(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and "\0" in value.get_secret_value():
            raise ValueError("must hold no NUL character")
        return value

    @model_validator(mode="after")
    def _complete(self, info: ValidationInfo) -> Self:
        if info.context and info.context.get("sandbox"):
            return self
        if not self.host:
            raise ValueError("host: a server is needed")
        if self.preset != "custom" and not self.password:
            raise ValueError(f"password: {SERVICES[self.preset]} needs one")
        if self.login is None and (self.username or self.password):
            raise ValueError("username and password: give both or neither")
        if self.preset in ONE_TOKEN and self.login is not None and self.username == self.login[1]:
            raise ValueError("username: leave it out; the token belongs into the password alone")
        return self

    @property
    def login(self) -> tuple[str, str] | None:
        """User name and password. Of some services one token is both, and it is given once, as what is secret."""
        password = self.password.get_secret_value() if self.password is not None else ""
        username = self.username or (password if self.preset in ONE_TOKEN else "")
        return (username, password) if username and password else None
