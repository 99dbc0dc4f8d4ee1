"""A provider's config: checked against its kind's schema, its stored secrets kept where none is sent."""

import base64
from collections.abc import Mapping
from urllib.parse import quote

from pydantic import ValidationError

from janus_mail.availability.allowances import LENDS_NOTHING
from janus_mail.errors import Detail, InvalidInput
from janus_mail.providers.registry import (
    MASK,
    UnknownKind,
    borrows_credentials,
    kind_named,
    mask_config,
    validate_config,
)
from janus_mail.web.validation import invalid_input


def valid_config(kind: str, config: Mapping[str, object], *, sandbox: bool) -> dict[str, object]:
    """The config as it is stored (sealed). Raises `InvalidInput`, never with a value in it."""
    masked = [name for name, value in config.items() if isinstance(value, str) and value.startswith(MASK)]
    if masked:
        details = [Detail(f"config.{name}", "This is a masked value: send the secret itself.") for name in masked]
        raise InvalidInput("A secret cannot be set from how it is shown.", code="masked_secret", details=details)
    try:
        return validate_config(kind, config, sandbox=sandbox)
    except UnknownKind as error:
        raise InvalidInput(f"{error}.", details=[Detail("kind", str(error))]) from None
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        placed = [{**one, "loc": ("body", "config", *one["loc"])} for one in found]
        raise _by_field(invalid_input(placed, {"config": config}), kind) from None


def refuse_borrowing(kind: str, config: Mapping[str, object], *, sandbox: bool, lends: bool) -> None:
    """Raises `InvalidInput` where a real provider would take the server's own credentials, which it does not lend."""
    if lends or sandbox or not borrows_credentials(kind, config):
        return
    sentence = f"{LENDS_NOTHING}."
    raise InvalidInput(
        "The server's own credentials are not for workspaces.", code="not_lent",
        details=[Detail(f"config.{kind_named(kind).borrows}", sentence)],
    )  # fmt: skip


def with_stored_secrets(kind: str, given: Mapping[str, object], stored: Mapping[str, object]) -> dict[str, object]:
    """The given config; secrets that it leaves out, or has as they are shown, are the stored ones. Null removes one.

    Raises `InvalidInput` (`secret_needed`) where a stored one would go to another server.
    """
    shown = mask_config(kind, stored)
    secrets = {name: value for name, value in stored.items() if shown[name] != value}
    untouched = {name: value for name, value in secrets.items() if given.get(name, shown[name]) == shown[name]}
    # Else whoever may change a provider could have its password sent to a server of their own.
    plain = {name: value for name, value in given.items() if name not in untouched}
    moved = _moved(kind, plain, stored) if untouched else []
    if moved:
        message = f"With another {' and '.join(sorted(moved))} the secrets must be given again."
        details = [Detail(f"config.{name}", message) for name in sorted(untouched)]
        raise InvalidInput(message, code="secret_needed", details=details)
    return {**given, **untouched}


def without_secrets(text: str, kind: str, config: Mapping[str, object]) -> str:
    """What a service said, with the config's secrets masked where it repeats one."""
    shown = mask_config(kind, config)
    secrets = [value for name, value in config.items() if isinstance(value, str) and value and shown[name] != value]
    for secret in sorted(secrets, key=len, reverse=True):
        for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()):
            text = text.replace(form, MASK)
    return text


def _moved(kind: str, given: Mapping[str, object], stored: Mapping[str, object]) -> list[str]:
    """The settings that say where the secrets are sent and do not say what they said."""
    known = kind_named(kind)
    before, after = in_force(kind, stored), in_force(kind, given)
    return [name for name in known.destination if name in known.config_model.model_fields
            and after.get(name) != before.get(name)]  # fmt: skip


def in_force(kind: str, config: Mapping[str, object]) -> dict[str, object]:
    """With what is filled in where it says nothing; as it is where that cannot be told, for then it is refused."""
    model = kind_named(kind).config_model
    try:
        values = model.model_validate(config, context={"sandbox": True})
    except ValidationError:
        return {name: config.get(name, field.default) for name, field in model.model_fields.items()}
    return {name: getattr(values, name) for name in model.model_fields}


def _by_field(refusal: InvalidInput, kind: str) -> InvalidInput:
    """A config that is wrong as a whole names the field first: «api_key: an API key is needed»."""
    return InvalidInput(
        refusal.message, code=refusal.code, details=[_placed(detail, kind) for detail in refusal.details]
    )


def _placed(detail: Detail, kind: str) -> Detail:
    names, _, sentence = detail.message.partition(": ")
    *others, name = names.split(" and ")  # of two, the one that is more often left out
    if detail.field != "config" or not sentence or name not in kind_named(kind).config_model.model_fields:
        return detail
    said = detail.message if others else sentence
    return Detail(f"config.{name}", f"{said[0].upper()}{said[1:]}")
