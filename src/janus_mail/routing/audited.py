"""What the audit log says of providers."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from janus_mail.audit.masking import difference, masked, named_like_a_secret, secrets_of
from janus_mail.audit.record import Actor, record
from janus_mail.storage.database import Connection

PROVIDER: Final = "provider"
_SAID: Final = (
    "name", "enabled", "from_email", "from_name", "sender_domains", "rate_per_second", "daily_quota", "sandbox_mode",
    "sandbox_failure_rate",
)  # fmt: skip
_CONFIG: Final = "config."


def settings_of(row: Mapping[str, Any], config: Mapping[str, Any] | None) -> dict[str, Any]:
    """One field each; those of the config, which is in plain, with «config.» before them."""
    said = {name: row[name] for name in _SAID if name in row}
    return said | {_CONFIG + name: value for name, value in (config or {}).items()}


async def provider_created(
    connection: Connection, actor: Actor, workspace_id: uuid.UUID, provider_id: uuid.UUID, kind: str,
    settings: Mapping[str, Any],
) -> None:  # fmt: skip
    after = {"kind": kind} | masked(settings, _secrets(kind, settings))
    await record(
        connection, actor, "provider.created", PROVIDER, provider_id, workspace_id=workspace_id, name=settings["name"],
        after=after,
    )  # fmt: skip


async def provider_changed(
    connection: Connection, actor: Actor, workspace_id: uuid.UUID, provider_id: uuid.UUID, kind: str,
    before: Mapping[str, Any], after: Mapping[str, Any],
) -> None:  # fmt: skip
    """Nothing where they say the same."""
    was, now = difference(before, after, _secrets(kind, before, after))
    if was != now:
        await record(
            connection, actor, "provider.changed", PROVIDER, provider_id, workspace_id=workspace_id,
            name=before["name"], before=was, after=now,
        )  # fmt: skip


async def provider_removed(
    connection: Connection, actor: Actor, workspace_id: uuid.UUID, provider_id: uuid.UUID, kind: str,
    settings: Mapping[str, Any],
) -> None:  # fmt: skip
    before = {"kind": kind} | masked(settings, _secrets(kind, settings))
    await record(
        connection, actor, "provider.removed", PROVIDER, provider_id, workspace_id=workspace_id, name=settings["name"],
        before=before,
    )  # fmt: skip


async def route_reordered(
    connection: Connection, actor: Actor, workspace_id: uuid.UUID, before: Sequence[str], after: Sequence[str]
) -> None:
    """`before` and `after`: the names, first to last. Nothing where they say the same."""
    if list(before) != list(after):
        await record(
            connection, actor, "route.reordered", "route", workspace_id=workspace_id, before={"order": list(before)},
            after={"order": list(after)},
        )  # fmt: skip


def _secrets(kind: str, *settings: Mapping[str, Any]) -> Callable[[str], bool]:
    """Whether a field of the settings is one: of the config its kind says so."""
    secret: set[str] = set()
    for one in settings:
        config = {name.removeprefix(_CONFIG): value for name, value in one.items() if name.startswith(_CONFIG)}
        secret |= {_CONFIG + name for name in secrets_of(kind, config)}
    return lambda name: name in secret if name.startswith(_CONFIG) else named_like_a_secret(name)
