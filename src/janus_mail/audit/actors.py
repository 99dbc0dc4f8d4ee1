"""Who acts where nobody calls over HTTP."""

import uuid
from dataclasses import dataclass
from typing import Final

from janus_mail.models.states import ActorKind


@dataclass(frozen=True, slots=True)
class Other:
    """An actor that is neither a key nor signed in."""

    kind: ActorKind
    label: str
    actor_id: uuid.UUID | None = None
    address: str = ""


COMMAND: Final = Other(ActorKind.COMMAND, "a command on the server")
SYSTEM: Final = Other(ActorKind.SYSTEM, "Janus")
