"""What a kind of provider is: the name of a service, what its settings must hold, how its adapter is made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from janus_mail.providers.contract import Adapter
from janus_mail.providers.limits import Limits
from janus_mail.providers.network import Network
from janus_mail.providers.timeouts import Timeouts


@dataclass(frozen=True, slots=True)
class Kind:
    """One email service."""

    kind: str
    label: str
    about: str  # a sentence for who has to choose
    config_model: type[BaseModel]
    make: Callable[[Any, Timeouts, Network], Adapter]
    limits: Limits
    prepare: Callable[[], object] | None = None  # loads what takes long, in a thread, before a mail waits for it
    destination: frozenset[str] = frozenset({"endpoint"})  # settings that say where the secrets are sent
    copies: int = 2  # so many times a large mail is in memory at most while it is sent, beside its files
    borrows: str | None = None  # the setting with which it takes credentials of the machine's own: whose mail pays them
