"""The providers that a worker may use: read from the database once a second at most, their adapters kept open."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg

from janus_mail.availability import queries
from janus_mail.availability.allowances import NOTHING, Allowances, NotLent, adapter_of
from janus_mail.providers.contract import Adapter
from janus_mail.providers.registry import KINDS
from janus_mail.providers.sandbox import COPIES
from janus_mail.providers.timeouts import Timeouts
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox
from janus_mail.telemetry.boot_clock import boot_clock_s

_FRESH_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class ConfiguredProvider:
    """One place in a workspace's route. `unusable` says why it has no adapter."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    kind: str
    name: str
    enabled: bool
    removed: bool
    sandbox: bool
    from_email: str | None
    from_name: str | None
    sender_domains: tuple[str, ...] | None
    rate_per_second: float | None
    daily_quota: int | None
    adapter: Adapter | None
    unusable: str | None = None

    @property
    def copies(self) -> int:
        """So many times a large mail is in memory while it goes through here."""
        return COPIES if self.sandbox else KINDS[self.kind].copies


_UNREAD: tuple[float, list[ConfiguredProvider]] = (float("-inf"), [])


async def prepare_kinds(database: Database) -> None:
    """Load what the kinds in use need, so that the first mail of a worker does not wait for it."""
    for row in await database.pool.fetch(queries.KINDS_IN_USE):
        kind = KINDS.get(row["kind"])
        if kind is not None and kind.prepare is not None:
            await asyncio.to_thread(kind.prepare)


class ProviderBook:
    """One per worker process. `learn` is given the rows of a workspace's circuits whenever its providers are read.

    Those that would take what `allowed` does not are unusable, or connect nowhere.
    """

    def __init__(
        self,
        database: Database,
        secrets: SecretBox,
        timeouts: Timeouts,
        learn: Callable[[Sequence[asyncpg.Record]], None] | None = None,
        *,
        allowed: Allowances = NOTHING,
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._timeouts = timeouts
        self._learn = learn
        self._allowed = allowed
        self._reading: dict[uuid.UUID, asyncio.Lock] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._routes: dict[uuid.UUID, tuple[float, list[ConfiguredProvider]]] = {}
        self._known: dict[tuple[uuid.UUID, tuple[object, ...]], ConfiguredProvider] = {}

    async def of(self, workspace_id: uuid.UUID, *, since_s: float = float("-inf")) -> Sequence[ConfiguredProvider]:
        """In route order, those that are off or removed too: a route explains why it leaves one out.

        Read from the database at `since_s` (boot clock) or later, and within the last second.
        """
        read_at_s, providers = self._routes.get(workspace_id, _UNREAD)
        if read_at_s >= max(since_s, boot_clock_s() - _FRESH_S):
            return providers
        async with self._reading.setdefault(workspace_id, asyncio.Lock()):
            read_at_s, providers = self._routes.get(workspace_id, _UNREAD)
            if read_at_s < max(since_s, boot_clock_s() - _FRESH_S):
                providers = await self._read(workspace_id, providers)
        return providers

    def read_since(self, workspace_id: uuid.UUID, since_s: float) -> bool:
        """Whether what is known of the workspace was read at `since_s` or later."""
        return self._routes.get(workspace_id, _UNREAD)[0] >= since_s

    async def _read(self, workspace_id: uuid.UUID, former: list[ConfiguredProvider]) -> list[ConfiguredProvider]:
        read_at_s = boot_clock_s()
        rows = await self._database.pool.fetch(queries.PROVIDERS, workspace_id)
        if self._learn is not None:
            self._learn(await self._database.pool.fetch(queries.CIRCUITS, workspace_id))
        providers = [self._configured(row) for row in rows]
        self._routes[workspace_id] = (read_at_s, providers)
        self._drop([provider for provider in former if provider not in providers])
        return providers

    async def close(self) -> None:
        await asyncio.gather(*self._closing)
        for provider in self._known.values():
            if provider.adapter is not None:
                await provider.adapter.close()

    def _drop(self, superseded: Sequence[ConfiguredProvider]) -> None:
        """Idle connections close at once, busy ones after their mail; nobody waits for their goodbye."""
        for provider in superseded:
            self._known = {key: known for key, known in self._known.items() if known is not provider}
            if provider.adapter is not None:
                task = asyncio.create_task(provider.adapter.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    def _configured(self, row: asyncpg.Record) -> ConfiguredProvider:
        """The same object as long as its row has not changed. Of a changed one the old adapter finishes what it has."""
        key = (row["id"], tuple(tuple(value) if isinstance(value, list) else value for value in row.values()))
        if key not in self._known:
            # What was removed has no settings any more.
            adapter, unusable = (None, "removed") if row["removed"] else self._adapter(row)
            self._known[key] = ConfiguredProvider(
                id=row["id"], workspace_id=row["workspace_id"], kind=row["kind"], name=row["name"],
                enabled=row["enabled"], removed=row["removed"], sandbox=row["sandbox"],
                from_email=row["from_email"], from_name=row["from_name"],
                sender_domains=tuple(row["sender_domains"]) if row["sender_domains"] is not None else None,
                rate_per_second=row["rate_per_second"], daily_quota=row["daily_quota"],
                adapter=adapter, unusable=unusable,
            )  # fmt: skip
        return self._known[key]

    def _adapter(self, row: asyncpg.Record) -> tuple[Adapter | None, str | None]:
        try:
            return adapter_of(row, self._secrets.open(row["config"]), self._allowed, self._timeouts), None
        except NotLent as error:
            return None, str(error)
        except Exception as error:  # one unreadable row must not stop the other providers
            _log.error("provider %s cannot be used: %s", row["id"], type(error).__name__)
            return None, f"its settings cannot be read ({type(error).__name__})"
