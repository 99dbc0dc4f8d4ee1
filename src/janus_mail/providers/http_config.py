"""What the settings of services over HTTP share: keys, addresses, connections."""

from typing import Annotated, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from janus_mail.providers.network import ConnectedTo

_URL = TypeAdapter(HttpUrl)
_NO_URL = "This must be a plain address, such as https://mail.example.com"


def _one_word(value: SecretStr | None) -> SecretStr | None:
    key = value.get_secret_value() if value is not None else ""
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError("A key has no blanks and nothing beyond ASCII: copy it alone, as the service shows it")
    return value


def _bare_url(value: str) -> str:
    if not value:
        return value
    try:
        url = _URL.validate_python(value)
    except ValidationError:
        raise ValueError(_NO_URL) from None
    if url.query or url.fragment or url.username or url.password:
        raise ValueError(_NO_URL)
    return str(url).rstrip("/")


# A credential that travels in a header: one word of ASCII. Its field says title, description and example.
Secret = Annotated[SecretStr | None, AfterValidator(_one_word)]

Endpoint = Annotated[
    str,
    ConnectedTo.URL,
    AfterValidator(_bare_url),
    Field(
        title="Other address",
        description="Instead of the service's own: of a gateway of yours.",
        examples=["https://mail-gateway.example.com"],
        max_length=500,
    ),
]

Connections = Annotated[
    int,
    Field(title="Connections", description="At most so many at once from one process.", examples=[20], ge=1, le=1000),
]


class HttpConfig(BaseModel):
    """Settings of one service. `needed` names those without which no real connection works, and what each is.

    Validated with the context `{"sandbox": True}` it may lack them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    needed: ClassVar[dict[str, str]] = {"api_key": "an API key"}

    endpoint: Endpoint = ""
    max_connections: Connections = 20

    def lacking(self) -> dict[str, str]:
        """By field, what no real connection works without and is not there."""
        return {name: f"{what} is needed" for name, what in self.needed.items() if not reveal(getattr(self, name))}

    @model_validator(mode="after")
    def _complete(self, info: ValidationInfo) -> Self:
        """All that is lacking is told at once, each with its field and the type `needed`."""
        lacking = {} if info.context and info.context.get("sandbox") else self.lacking()
        if lacking:
            errors = [
                InitErrorDetails(type=PydanticCustomError("needed", "{what}", {"what": what}), loc=(name,), input=None)
                for name, what in lacking.items()
            ]
            raise ValidationError.from_exception_data(type(self).__name__, errors, hide_input=True)
        return self


def reveal(value: object) -> str:
    """A secret, or text, in plain; empty where there is none."""
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    return str(plain or "")
