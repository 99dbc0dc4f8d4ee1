"""Roles of people and scopes of keys in words: what each is called, and what it lets one do."""

from collections.abc import Mapping
from typing import Final

from janus_mail.models.states import Role

ROLES: Final[Mapping[str, tuple[str, str]]] = {
    Role.OWNER: ("Owner", "everything: providers, members, keys and settings too"),
    Role.EDITOR: ("Editor", "schedules, changes, cancels and pauses mail; keeps the list of suppressed addresses"),
    Role.VIEWER: ("Viewer", "sees mail, members and how mail goes out; changes nothing"),
}
SCOPES: Final[Mapping[str, tuple[str, str]]] = {
    "events:read": ("See mail", "Events, messages, suppressions and how the workspace stands."),
    "events:write": ("Schedule mail", "Schedule, change, cancel and pause; suppress addresses."),
    "providers:read": ("See providers", "The route, with credentials masked."),
    "providers:write": ("Change providers", "Add, change and remove them: it decides where mail goes."),
    "admin": ("Everything", "All of it, and members, keys, settings and the audit log."),
}
