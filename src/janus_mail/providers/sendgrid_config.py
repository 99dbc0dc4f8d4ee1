"""What a person sets up for SendGrid."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationInfo,
    field_validator,
    model_validator,
)

REGIONS: Mapping[str, str] = {"us": "https://api.sendgrid.com", "eu": "https://api.eu.sendgrid.com"}
_URL = TypeAdapter(HttpUrl)


class SendGridConfig(BaseModel):
    """An account at SendGrid (Twilio).

    Validated with the context `{"sandbox": True}` it may lack what only a real connection needs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, title="SendGrid", hide_input_in_errors=True)

    api_key: SecretStr | None = Field(
        None,
        title="API key",
        description="With the permission «Mail Send». It begins with SG.",
        examples=["SG.abc.def"],
        max_length=512,
    )
    region: Literal["us", "eu"] = Field(
        "us", title="Region", description="eu: for accounts whose data stays in the European Union.", examples=["us"]
    )
    endpoint: str = Field(
        "",
        title="Other address",
        description="Instead of the region's: of a gateway of your own, without /v3.",
        examples=["https://sendgrid.example.com"],
        max_length=500,
    )
    ip_pool: str | None = Field(
        None,
        title="IP pool",
        description="The pool of addresses to send from; left out for the account's usual one.",
        examples=["transactional"],
        min_length=2,
        max_length=64,
    )
    validate_only: bool = Field(
        False,
        title="Only check",
        description="SendGrid's sandbox mode: it looks at each mail and delivers none.",
    )
    max_connections: int = Field(
        20, title="Connections", description="At most so many at once from one process.", examples=[20], ge=1, le=1000
    )

    @field_validator("api_key")
    @classmethod
    def _one_word(cls, value: SecretStr | None) -> SecretStr | None:
        key = value.get_secret_value() if value is not None else ""
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ValueError("must hold no blanks, and nothing but ASCII")
        return value

    @field_validator("endpoint")
    @classmethod
    def _bare_url(cls, value: str) -> str:
        if not value:
            return value
        url = _URL.validate_python(value)
        if url.query or url.fragment or url.username or url.password:
            raise ValueError("must be a plain address, such as https://sendgrid.example.com")
        return str(url).rstrip("/")

    @model_validator(mode="after")
    def _complete(self, info: ValidationInfo) -> Self:
        if not (info.context and info.context.get("sandbox")) and not (
            self.api_key and self.api_key.get_secret_value()
        ):
            raise ValueError("api_key: an API key is needed")
        return self

    @property
    def base_url(self) -> str:
        return self.endpoint or REGIONS[self.region]
