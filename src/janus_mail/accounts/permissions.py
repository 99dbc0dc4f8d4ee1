"""What each role, and each scope of a key, may do: one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from janus_mail.models.states import Role

Scope = Literal["events:read", "events:write", "providers:read", "providers:write", "admin"]
Action = Literal[
    "events:read",
    "events:write",
    "providers:read",
    "providers:write",
    "workspace:write",
    "members:read",
    "members:write",
    "keys:read",
    "keys:write",
    "audit:read",
    "data:erase",
]

ALL_SCOPES: Final[tuple[Scope, ...]] = ("events:read", "events:write", "providers:read", "providers:write", "admin")

_EVERYBODY: Final = frozenset(Role)
_EDITORS: Final = frozenset({Role.OWNER, Role.EDITOR})
_OWNERS: Final = frozenset({Role.OWNER})


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may: people in these roles, and keys with this scope."""

    roles: frozenset[Role]
    scope: Scope


# Who may change a provider may make it send its credentials elsewhere, so that is for owners. `admin` implies every
# scope.
RULES: Final[Mapping[Action, Rule]] = MappingProxyType(
    {
        "events:read": Rule(_EVERYBODY, "events:read"),  # also the mailbox, suppressions, the workspace
        "events:write": Rule(_EDITORS, "events:write"),  # also suppressions, pausing and resuming
        "providers:read": Rule(_EVERYBODY, "providers:read"),
        "providers:write": Rule(_OWNERS, "providers:write"),
        "workspace:write": Rule(_OWNERS, "admin"),
        "members:read": Rule(_EVERYBODY, "admin"),
        "members:write": Rule(_OWNERS, "admin"),
        "keys:read": Rule(_OWNERS, "admin"),
        "keys:write": Rule(_OWNERS, "admin"),
        "audit:read": Rule(_OWNERS, "admin"),
        "data:erase": Rule(_OWNERS, "admin"),
    }
)


def role_may(role: Role, action: Action) -> bool:
    """Whether somebody in this role may do it."""
    return role in RULES[action].roles


def scopes_may(scopes: frozenset[str], action: Action) -> bool:
    """Whether a key with these scopes may do it."""
    return RULES[action].scope in scopes or "admin" in scopes
