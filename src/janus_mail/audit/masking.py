"""What of a change the audit log may hold: no secret, not even the end of one, for it is kept for ever."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from janus_mail.providers.registry import UnknownKind, mask_config

HIDDEN: Final = "••••"  # there is one
CHANGED: Final = "•••• changed"  # there is another one than before
_NAMED_SO: Final = re.compile(
    r"pass(word|wd|phrase)|secret|token|credential|digest|signature|cookie|authorization|otp|recovery"
    r"|(^|_)(api|private|signing|webhook|access|server)_?key$",
    re.IGNORECASE,
)


def named_like_a_secret(field: str) -> bool:
    """Whether a field of no known kind must not be shown."""
    return _NAMED_SO.search(field) is not None


def secrets_of(kind: str, config: Mapping[str, Any]) -> frozenset[str]:
    """The fields of a provider's config that its kind's schema has as `Secret`, or does not know (any more)."""
    try:
        shown = mask_config(kind, config)
    except UnknownKind:
        return frozenset(config)
    return frozenset(name for name, value in config.items() if shown[name] != value)


def masked(values: Mapping[str, Any], is_secret: Callable[[str], bool] = named_like_a_secret) -> dict[str, Any]:
    """What there is, without what is empty."""
    return {
        name: _shown(value, secret=is_secret(name)) for name, value in values.items() if value not in (None, {}, [])
    }


def difference(
    before: Mapping[str, Any], after: Mapping[str, Any], is_secret: Callable[[str], bool] = named_like_a_secret
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that differ, as they were and as they are. Of a secret it says that it is another one."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    was = {name: _shown(before.get(name), secret=is_secret(name)) for name in names}
    now = {name: _shown(after.get(name), secret=is_secret(name)) for name in names}
    for name in names:
        if is_secret(name) and was[name] == now[name] == HIDDEN:
            now[name] = CHANGED
    return was, now


def _shown(value: Any, *, secret: bool) -> Any:
    if secret:
        return HIDDEN if value else None
    if isinstance(value, Mapping):
        return {name: _shown(inner, secret=named_like_a_secret(str(name))) for name, inner in value.items()}
    return value
