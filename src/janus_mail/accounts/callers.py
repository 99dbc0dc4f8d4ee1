"""Who calls: a key, a person, or somebody on this machine."""

import uuid
from dataclasses import dataclass, field

from janus_mail.accounts.permissions import RULES, Action, role_may, scopes_may
from janus_mail.errors import Forbidden
from janus_mail.models.states import ActorKind, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with an account, whichever workspace they are in."""

    user_id: uuid.UUID
    email: str
    name: str
    administrator: bool  # of the server


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, in which workspace. `label` names them in words: «API key ci», «ann@example.com», «anonymous»."""

    workspace_id: uuid.UUID
    workspace_name: str
    kind: ActorKind
    label: str
    address: str = ""  # from where
    scopes: frozenset[str] = frozenset()  # of a key
    role: Role | None = None  # of a person; who is anonymous is an owner
    person: Person | None = None
    key_id: uuid.UUID | None = None
    rate_limit: int | None = field(default=None)  # of a key: requests a minute instead of the server's

    @property
    def anonymous(self) -> bool:
        return self.kind is ActorKind.ANONYMOUS

    @property
    def actor_id(self) -> uuid.UUID | None:
        """The user's or the key's id."""
        return self.person.user_id if self.person is not None else self.key_id

    def may(self, action: Action) -> bool:
        return role_may(self.role, action) if self.role is not None else scopes_may(self.scopes, action)

    def require(self, action: Action) -> None:
        """Raises `Forbidden` (`insufficient_scope`, `insufficient_role`)."""
        if self.may(action):
            return
        if self.role is None:
            raise Forbidden(f"This API key lacks the scope {RULES[action].scope}.", code="insufficient_scope")
        raise Forbidden(
            f"As {_ARTICLE[self.role]} {self.role} of this workspace you may not do this: ask an owner.",
            code="insufficient_role",
        )


_ARTICLE = {Role.OWNER: "an", Role.EDITOR: "an", Role.VIEWER: "a"}
