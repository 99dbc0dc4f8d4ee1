"""A provider's config: checked against its kind's schema, its stored secrets kept where none is sent."""

from collections.abc import Mapping

from pydantic import ValidationError

from janus_mail.errors import Detail, InvalidInput
from janus_mail.providers.registry import KINDS, MASK, NoAdapter, UnknownKind, mask_config, validate_config
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
    except NoAdapter as error:
        raise InvalidInput(f"{error}.", code="no_adapter", details=[Detail("kind", str(error))]) from None
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        placed = [{**one, "loc": ("body", "config", *one["loc"])} for one in found]
        raise invalid_input(placed, {"config": config}) from None


def with_stored_secrets(kind: str, given: Mapping[str, object], stored: Mapping[str, object]) -> dict[str, object]:
    """The given config; secrets that it leaves out, or has as they are shown, are the stored ones. Null removes one.

    Raises `InvalidInput` (`secret_needed`) where a stored one would go to another server.
    """
    shown = mask_config(kind, stored)
    secrets = {name: value for name, value in stored.items() if shown[name] != value}
    untouched = {name: value for name, value in secrets.items() if given.get(name, shown[name]) == shown[name]}
    # Else whoever may change a provider could have its password sent to a server of their own.
    model = KINDS[kind].config_model
    usual = {name: model.model_fields[name].default for name in KINDS[kind].destination} if model is not None else {}
    moved = [name for name, value in usual.items() if given.get(name, value) != stored.get(name, value)]
    if untouched and moved:
        message = f"With another {' and '.join(sorted(moved))} the secrets must be given again."
        details = [Detail(f"config.{name}", message) for name in sorted(untouched)]
        raise InvalidInput(message, code="secret_needed", details=details)
    return {**given, **untouched}
