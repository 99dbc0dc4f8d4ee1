"""Whose hook it is: the provider behind an address that a service posts to, read once a second at most."""

import hmac
import logging
import uuid
from collections.abc import Sequence
from typing import Final

from cachetools import LRUCache
from pydantic import BaseModel, ValidationError

from janus_mail.feedback import queries
from janus_mail.providers.registry import UnknownKind, kind_named
from janus_mail.storage.coalesce import Coalescer
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox, UnreadableSecret
from janus_mail.telemetry.boot_clock import boot_clock_s

_FRESH_S: Final = 1.0
_MOST_KEPT: Final = 10_000  # of providers, and of ids that are none
_NOBODYS: Final = b"-" * 32

_log = logging.getLogger(__name__)


class Hook:
    """One provider's, as long as its settings stay what they are."""

    def __init__(self, provider_id: uuid.UUID, workspace_id: uuid.UUID, kind: str, token: str, sealed: bytes) -> None:
        self.provider_id = provider_id
        self.workspace_id = workspace_id
        self.kind = kind
        self._token = token.encode()
        self._sealed = sealed
        self._config: BaseModel | None = None
        self._complained = False

    def same_as(self, kind: str, token: str, sealed: bytes) -> bool:
        return (self.kind, self._token, self._sealed) == (kind, token.encode(), sealed)

    def config(self, secrets: SecretBox) -> BaseModel | None:
        """Its settings; None where they cannot be read, which is logged once until they change."""
        if self._config is None:
            try:
                # As of a sandbox: what only sending needs may be missing. A key that is none, its reader refuses.
                model = kind_named(self.kind).config_model
                self._config = model.model_validate(
                    secrets.open(self._sealed), context={"sandbox": True, "stored": True}
                )
            except (UnreadableSecret, UnknownKind, ValidationError) as error:
                if not self._complained:
                    _log.error("the hook of provider %s cannot be used: %s", self.provider_id, type(error).__name__)
                self._complained = True
        return self._config

    def opens_with(self, token: str) -> bool:
        return hmac.compare_digest(self._token, token.encode())


class Hooks:
    """One per process and database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: LRUCache[uuid.UUID, tuple[float, Hook | None]] = LRUCache(_MOST_KEPT)
        # Whoever asks is told at once when the database is away.
        self._reads = Coalescer(self._read, lanes=1, keep=lambda _: False)

    async def find(self, provider_id: uuid.UUID | None, token: str) -> Hook | None:
        """None for a provider that is not there or was removed, and for a token that is not its own."""
        hook = await self._of(provider_id) if provider_id is not None else None
        if hook is None:
            hmac.compare_digest(_NOBODYS, token.encode())
            return None
        return hook if hook.opens_with(token) else None

    async def _of(self, provider_id: uuid.UUID) -> Hook | None:
        read_at_s, hook = self._kept.get(provider_id, (float("-inf"), None))
        return hook if read_at_s >= boot_clock_s() - _FRESH_S else await self._reads(provider_id)

    async def _read(self, provider_ids: Sequence[uuid.UUID]) -> list[Hook | None]:
        read_at_s = boot_clock_s()
        rows = await self._database.pool.fetch(queries.HOOKS, list(set(provider_ids)))
        found = {row["id"]: row for row in rows}
        for provider_id in set(provider_ids):
            _, former = self._kept.get(provider_id, (0.0, None))
            hook: Hook | None = None
            if provider_id in found:
                _, workspace_id, kind, token, sealed = found[provider_id]
                unchanged = former is not None and former.same_as(kind, token, sealed)
                hook = former if unchanged else Hook(provider_id, workspace_id, kind, token, sealed)
            self._kept[provider_id] = (read_at_s, hook)
        return [self._kept.get(provider_id, (0.0, None))[1] for provider_id in provider_ids]
