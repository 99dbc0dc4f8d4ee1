"""Every kind of provider, by name: its label, what its config must hold, and how its adapter is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from janus_mail.providers.contract import Adapter
from janus_mail.providers.sandbox import SandboxAdapter, SandboxMode
from janus_mail.providers.sendgrid import MAX_RECIPIENTS, SendGridAdapter
from janus_mail.providers.sendgrid_config import SendGridConfig
from janus_mail.providers.smtp import SmtpAdapter
from janus_mail.providers.smtp_config import SmtpConfig
from janus_mail.providers.timeouts import Timeouts

MASK = "••••"
ENOUGH_TO_SHOW_THE_END = 8


class UnknownKind(ValueError):
    """There is no such kind of provider."""


class NoAdapter(ValueError):
    """This kind can only be used as a sandbox so far."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One email service. Without `config_model` and `make` it exists as a sandbox only."""

    kind: str
    label: str
    config_model: type[BaseModel] | None = None
    make: Callable[[Any, Timeouts], Adapter] | None = None
    most_recipients: int | None = None  # of one mail, in all; null: no limit is known
    destination: frozenset[str] = frozenset()  # settings that say where the secrets are sent


def _smtp(config: SmtpConfig, timeouts: Timeouts) -> Adapter:
    return SmtpAdapter(config, timeouts=timeouts.smtp)


def _sendgrid(config: SendGridConfig, timeouts: Timeouts) -> Adapter:
    return SendGridAdapter(config, timeouts=timeouts.http)


KINDS: Mapping[str, Kind] = {
    kind.kind: kind
    for kind in (
        Kind(
            "smtp",
            "SMTP",
            SmtpConfig,
            _smtp,
            destination=frozenset({"preset", "host", "port", "security", "verify_certificate"}),
        ),
        Kind("ses", "Amazon SES", most_recipients=50),
        Kind(
            "sendgrid",
            "SendGrid",
            SendGridConfig,
            _sendgrid,
            most_recipients=MAX_RECIPIENTS,
            destination=frozenset({"endpoint"}),
        ),
        Kind("mailgun", "Mailgun", most_recipients=1000),
        Kind("mandrill", "Mandrill"),
        Kind("mailtrap", "Mailtrap"),
        Kind("postmark", "Postmark", most_recipients=50),
        Kind("resend", "Resend", most_recipients=50),
        Kind("brevo", "Brevo"),
    )
}


def kind_named(kind: str) -> Kind:
    """Raises `UnknownKind`."""
    try:
        return KINDS[kind]
    except KeyError:
        raise UnknownKind(f"unknown provider kind {kind!r}; known: {', '.join(KINDS)}") from None


def adapter_for(
    kind: str,
    config: Mapping[str, object],
    *,
    sandbox: bool = False,
    sandbox_mode: str = SandboxMode.OK,
    sandbox_failure_rate: float = 0.0,
    timeouts: Timeouts | None = None,
) -> Adapter:
    """The adapter of a stored provider. Raises `UnknownKind`, `NoAdapter`, pydantic's `ValidationError`."""
    known = kind_named(kind)
    if sandbox:
        return SandboxAdapter(kind, SandboxMode(sandbox_mode), sandbox_failure_rate)
    if known.config_model is None or known.make is None:
        raise NoAdapter(f"{known.label} can only be used as a sandbox so far")
    return known.make(known.config_model.model_validate(config), timeouts or Timeouts())


def validate_config(kind: str, config: Mapping[str, object], *, sandbox: bool = False) -> dict[str, object]:
    """The given settings as they are to be stored (secrets readable: encrypt them), and no others.

    Raises `UnknownKind`, `NoAdapter`, pydantic's `ValidationError` (show it with `include_input=False`).
    """
    known = kind_named(kind)
    if known.config_model is None:
        if not sandbox:
            raise NoAdapter(f"{known.label} can only be used as a sandbox so far")
        return dict(config)
    values = known.config_model.model_validate(config, context={"sandbox": sandbox})
    return {name: _plain(getattr(values, name)) for name in config}


def mask_config(kind: str, config: Mapping[str, object]) -> dict[str, object]:
    """For showing: secrets as `•••• last4`. Where nothing says which settings are secret, every text is."""
    model = kind_named(kind).config_model
    secret = _secret_fields(model) if model is not None else {k for k, v in config.items() if isinstance(v, str)}
    return {name: _masked(value) if name in secret else value for name, value in config.items()}


def config_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of the config, from which a form can be drawn."""
    model = kind_named(kind).config_model
    if model is None:
        return {"title": KINDS[kind].label, "type": "object", "properties": {}, "additionalProperties": True}
    return model.model_json_schema()


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _secret_fields(model: type[BaseModel]) -> set[str]:
    fields = model.model_fields.items()
    return {name for name, field in fields if SecretStr in (field.annotation, *get_args(field.annotation))}


def _masked(value: object) -> object:
    if not isinstance(value, str) or not value:
        return value
    return f"{MASK} {value[-4:]}" if len(value) >= ENOUGH_TO_SHOW_THE_END else MASK
