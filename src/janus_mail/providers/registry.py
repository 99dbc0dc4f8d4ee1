"""Every kind of provider, by name, and what is done with a stored one: its config checked, masked, made an adapter."""

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from janus_mail.providers import brevo, mailgun, mailtrap, mandrill, postmark, resend, sendgrid, ses, smtp
from janus_mail.providers.contract import Adapter
from janus_mail.providers.kind import Kind
from janus_mail.providers.network import PUBLIC, ConnectedTo, Network
from janus_mail.providers.sandbox import SandboxAdapter, SandboxMode
from janus_mail.providers.timeouts import Timeouts

MASK = "••••"
ENOUGH_TO_SHOW_THE_END = 8


class UnknownKind(ValueError):
    """There is no such kind of provider."""


# In the order in which they are offered.
KINDS: Mapping[str, Kind] = {
    kind.kind: kind
    for kind in (
        smtp.KIND,
        ses.KIND,
        sendgrid.KIND,
        mailgun.KIND,
        mandrill.KIND,
        mailtrap.KIND,
        postmark.KIND,
        resend.KIND,
        brevo.KIND,
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
    network: Network = PUBLIC,
) -> Adapter:
    """The adapter of a stored provider. Raises `UnknownKind`, pydantic's `ValidationError`."""
    known = kind_named(kind)
    if sandbox:
        return SandboxAdapter(kind, SandboxMode(sandbox_mode), sandbox_failure_rate)
    return known.make(known.config_model.model_validate(config), timeouts or Timeouts(), network)


def validate_config(kind: str, config: Mapping[str, object], *, sandbox: bool = False) -> dict[str, object]:
    """The given settings as they are to be stored (secrets readable: encrypt them), and no others.

    Raises `UnknownKind`, pydantic's `ValidationError` (show it with `include_input=False`).
    """
    known = kind_named(kind)
    values = known.config_model.model_validate(config, context={"sandbox": sandbox})
    return {name: _plain(getattr(values, name)) for name in config}


def borrows_credentials(kind: str, config: Mapping[str, object]) -> bool:
    """Whether a real provider with this config takes credentials of the machine's own, in place of the workspace's."""
    setting = kind_named(kind).borrows
    return setting is not None and bool(config.get(setting))


def fields_connected_to(kind: str) -> dict[str, ConnectedTo]:
    """The settings that name a host, and how. Raises `UnknownKind`."""
    fields = kind_named(kind).config_model.model_fields.items()
    return {name: mark for name, field in fields for mark in field.metadata if isinstance(mark, ConnectedTo)}


def mask_config(kind: str, config: Mapping[str, object]) -> dict[str, object]:
    """For showing: secrets as `•••• last4`, and whatever its kind does not know any more likewise."""
    plain = _plain_fields(kind_named(kind).config_model)
    return {name: value if name in plain else _masked(value) for name, value in config.items()}


def config_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of the config, from which a form can be drawn."""
    return kind_named(kind).config_model.model_json_schema()


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _plain_fields(model: type[BaseModel]) -> set[str]:
    fields = model.model_fields.items()
    return {name for name, field in fields if SecretStr not in (field.annotation, *get_args(field.annotation))}


def _masked(value: object) -> object:
    if not isinstance(value, str) or not value:
        return value
    return f"{MASK} {value[-4:]}" if len(value) >= ENOUGH_TO_SHOW_THE_END else MASK
