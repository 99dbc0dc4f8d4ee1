"""The worker process: the engine, the patrol, the roll-up, work on feedback, and arq to be woken by."""

import asyncio
import logging
import random
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

import uvloop
from arq import ArqRedis, func
from arq.typing import WorkerCoroutine
from arq.worker import Worker as ArqWorker
from redis.asyncio import Redis

from janus_mail.availability.admission import Admission
from janus_mail.availability.allowances import Allowances
from janus_mail.availability.circuits import Circuits, CircuitTimes
from janus_mail.availability.permits import Permits
from janus_mail.availability.provider_book import ProviderBook, prepare_kinds
from janus_mail.availability.quotas import Quotas
from janus_mail.availability.rates import Rates
from janus_mail.delivery import crash_points
from janus_mail.delivery.bell import BACKLOG, FEEDBACK, WAKE, Bell
from janus_mail.delivery.claim import Claimer
from janus_mail.delivery.control import try_all_waiting_now
from janus_mail.delivery.decide import Pace
from janus_mail.delivery.engine import Engine
from janus_mail.delivery.letters import Letters
from janus_mail.delivery.patrol import Patrol
from janus_mail.delivery.record import Recorder
from janus_mail.delivery.retention import Retention
from janus_mail.delivery.rollup import roll_up
from janus_mail.delivery.send import Sender
from janus_mail.feedback import sns
from janus_mail.feedback.work import FeedbackWork
from janus_mail.gate.care import care_daily
from janus_mail.notices.incident_mail import IncidentMail
from janus_mail.notices.system_mail_work import SystemMailWork
from janus_mail.providers.http_network import HttpNetwork
from janus_mail.providers.smtp_opening import SmtpTimeouts
from janus_mail.providers.timeouts import HttpTimeouts, Timeouts
from janus_mail.routing.environment import keep_environment_provider
from janus_mail.settings import Settings
from janus_mail.storage.database import CONNECTION_LOST, Database
from janus_mail.storage.list_cache import ListCache
from janus_mail.storage.migrate import is_migrated
from janus_mail.storage.redis import REDIS_AWAY, open_redis
from janus_mail.storage.secrets import SecretBox
from janus_mail.telemetry.collector import collect_seldom
from janus_mail.telemetry.metrics_server import serve_metrics
from janus_mail.watch.gauges import Gauges
from janus_mail.web.context import Context
from janus_mail.web.limiter import Limiter

_log = logging.getLogger(__name__)


def run(settings: Settings, *, worker_id: uuid.UUID, succeeds: uuid.UUID | None = None) -> int:
    """Work until SIGTERM or SIGINT; the exit code. `succeeds` names a worker whose end was seen."""
    uvloop.run(_work(settings, worker_id, succeeds))
    return 0


async def _work(settings: Settings, worker_id: uuid.UUID, succeeds: uuid.UUID | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    crash_points.arm(settings.crash_at)
    database = await _first_connection(settings, stop)
    if database is None:
        return
    try:
        secrets = SecretBox(settings.require_secret_keys())
        await _patiently(stop, partial(keep_environment_provider, database, secrets, settings))
        async with opened(settings, database, worker_id) as worker:
            if succeeds is not None:
                await _patiently(stop, partial(worker.patrol.succeed, succeeds))
            await _patiently(stop, partial(prepare_kinds, database))
            collect_seldom()
            _log.info("worker %s is ready", worker_id)
            await worker.until(stop)
    finally:
        await database.close()
    _log.info("worker %s has stopped", worker_id)


async def _first_connection(settings: Settings, stop: asyncio.Event) -> Database | None:
    """Waits for PostgreSQL, and for its migrations, as long as it takes."""
    database: Database | None = None
    pause_s = 0.2
    while not stop.is_set():
        try:
            database = database or await Database.open(
                settings.database_dsn, pool_size=settings.database_pool_size, plan_once=True
            )
            if await is_migrated(database):
                return database
            _log.warning("the database is not migrated to this version: run `janus migrate`; waiting")
        except CONNECTION_LOST as error:
            _log.warning("PostgreSQL cannot be reached (%s); waiting", type(error).__name__)
        await _until(stop, pause_s)
        pause_s = min(pause_s * 2, 5)
    if database is not None:
        await database.close()
    return None


async def _patiently(stop: asyncio.Event, work: Callable[[], Awaitable[object]]) -> None:
    """Again and again while PostgreSQL is away."""
    while not stop.is_set():
        try:
            await work()
            return
        except CONNECTION_LOST as error:
            _log.warning("PostgreSQL cannot be reached (%s); waiting", type(error).__name__)
            await _until(stop, 0.2)


class WorkerProcess:
    """Everything a worker has, wired; also used as it is by tests and benchmarks."""

    def __init__(self, settings: Settings, database: Database, redis: Redis | None, worker_id: uuid.UUID) -> None:
        self._settings = settings
        self._database = database
        self._redis = redis
        self._list_cache = ListCache(redis, settings.list_cache_seconds)
        self.bell = Bell(redis, horizon_s=settings.horizon_seconds)
        times = CircuitTimes(settings.circuit_open_seconds, settings.circuit_cap_seconds)
        circuits = Circuits(database, times, self._wake_waiting)
        allowed = Allowances.of(settings)
        secrets = SecretBox(settings.require_secret_keys())
        self._book = ProviderBook(
            database, secrets, timeouts(settings), circuits.learn,
            allowed=allowed,
        )  # fmt: skip
        self._quotas = Quotas(database)
        permits = Permits(settings.worker_concurrency)
        admission = Admission(circuits, Rates(redis, lambda: self.patrol.live_workers), self._quotas)
        recorder = Recorder(
            database, worker_id, lease_s=settings.lease_seconds, grace_s=settings.grace_seconds,
            evidence_s=settings.evidence_seconds,
        )  # fmt: skip
        pace = Pace(settings.retry_base_seconds, settings.retry_cap_seconds)
        letters = Letters(database)
        self.engine = Engine(
            settings, database, Claimer(database, worker_id, lease_s=settings.lease_seconds), letters,
            Sender(letters, recorder, self._book, admission, permits, pace, stall_s=settings.stall_seconds,
                   probe_s=2 * settings.circuit_open_seconds),
            recorder, permits, self.bell,
        )  # fmt: skip
        recorder.on_wait = self.engine.expect
        self.feedback = FeedbackWork(
            database, tick_s=settings.patrol_seconds, on_mail_due=self.engine.wake,
            fetch=partial(sns.fetch, network=HttpNetwork(allowed.network)),
        )  # fmt: skip
        self.system_mail = SystemMailWork(settings, database, secrets, self._book)
        self.incident_mail = IncidentMail(
            Context(
                settings=settings, database=database, redis=redis, list_cache=self._list_cache, secrets=secrets,
                bell=self.bell, limiter=Limiter(redis),
            )
        )  # fmt: skip
        retention = Retention(database, self._list_cache, days=settings.retention_days)
        self.patrol = Patrol(settings, database, worker_id, self.bell, self.engine.wake, retention)

    async def until(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then finish what is sending."""
        engine = asyncio.create_task(self.engine.run())
        others = [
            asyncio.create_task(_for_ever(name, run))
            for name, run in (
                ("patrol", self.patrol.run),
                ("roll-up", self._roll_up),
                ("feedback", self.feedback.run),
                ("system mail", self.system_mail.run),
                ("care", partial(care_daily, self._database)),
                ("incident mail", self.incident_mail.run),
                ("wake-ups", self._listen),
                ("calls", self._hear_calls),
                ("metrics", self._serve_metrics),
            )
        ]
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([engine, stopping], return_when=asyncio.FIRST_COMPLETED)
        await self.engine.stop()
        try:
            await engine  # raises what the engine broke on: the process ends, and its supervisor starts another
        finally:
            await _end([*others, stopping])
            await self._leave()

    async def _leave(self) -> None:
        try:
            await roll_up(self._database, self._list_cache)
            await self.patrol.leave()
        except CONNECTION_LOST:
            pass  # another worker's roll-up and patrol do the same
        await self._quotas.close()
        await self._book.close()
        await self.bell.close()

    async def _roll_up(self) -> None:
        while True:
            try:
                await self._list_cache.renew_stale()
                if await roll_up(self._database, self._list_cache):
                    continue
            except CONNECTION_LOST as error:
                _log.debug("roll-up: the database is away (%s)", type(error).__name__)
            await asyncio.sleep(self._settings.rollup_seconds)

    async def _listen(self) -> None:
        """arq, only to be woken. It raises whenever Redis fails it; then a new one is made."""
        if self._redis is None:
            return
        while True:
            listener = ArqWorker(
                functions=[
                    func(cast("WorkerCoroutine", run), name=name, max_tries=1, keep_result=0)
                    for name, run in ((WAKE, self._on_wake), (FEEDBACK, self._on_feedback))
                ],
                redis_pool=ArqRedis(self._redis.connection_pool), handle_signals=False, poll_delay=0.05,
                max_jobs=100, job_timeout=5, health_check_interval=60,
            )  # fmt: skip
            try:
                await listener.async_run()
            except Exception as error:
                _log.debug("wake-ups: Redis is away (%s)", type(error).__name__)
            await asyncio.sleep(random.uniform(0.2, 1.0))  # noqa: S311

    async def _hear_calls(self) -> None:
        """What a busy worker calls out when there is more than it can take."""
        if self._redis is None:
            return
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(BACKLOG)
                    while True:
                        if await channel.get_message(timeout=10) is not None:
                            self.engine.wake()
            except REDIS_AWAY as error:
                _log.debug("calls: Redis is away (%s)", type(error).__name__)
            await asyncio.sleep(random.uniform(0.2, 1.0))  # noqa: S311

    async def _wake_waiting(self, workspace_id: uuid.UUID) -> None:
        """A provider takes mail again: what waited for one is due now."""
        await try_all_waiting_now(self._database, workspace_id)
        self.engine.wake()
        self.bell.ring([datetime.now(UTC)])

    async def _serve_metrics(self) -> None:
        if self._settings.metrics_port is not None:
            await serve_metrics(self._settings.host, self._settings.metrics_port, Gauges(self._database).read)

    async def _on_wake(self, _ctx: dict[str, Any]) -> None:
        self.engine.wake()

    async def _on_feedback(self, _ctx: dict[str, Any]) -> None:
        self.feedback.wake()


@asynccontextmanager
async def opened(settings: Settings, database: Database, worker_id: uuid.UUID) -> AsyncIterator[WorkerProcess]:
    """A `WorkerProcess` on this database, with a Redis connection of its own."""
    redis = open_redis(settings.redis_url.get_secret_value() if settings.redis_url else None)
    try:
        yield WorkerProcess(settings, database, redis, worker_id)
    finally:
        if redis is not None:
            await redis.aclose()


def timeouts(settings: Settings) -> Timeouts:
    """RFC 5321 4.5.3.2's, or what the settings say."""
    command_s = settings.smtp_command_timeout_seconds
    smtp = SmtpTimeouts(
        connect_s=settings.smtp_connect_timeout_seconds, greeting_s=command_s, mail_s=command_s, rcpt_s=command_s,
        data_s=settings.smtp_data_timeout_seconds, block_s=settings.smtp_block_timeout_seconds,
        dot_s=settings.smtp_dot_timeout_seconds,
    )  # fmt: skip
    answer_s = settings.http_timeout_seconds
    return Timeouts(smtp, HttpTimeouts(settings.http_connect_timeout_seconds, write_s=answer_s, read_s=answer_s))


async def _for_ever(name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A fault in one part must not end the others."""
    while True:
        try:
            return await run()
        except Exception:
            _log.exception("%s failed; it starts anew", name)
            await asyncio.sleep(1)


async def _end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancelled until they end: arq and its Redis client may swallow a cancellation, and must not keep us alive."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.2)


async def _until(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        pass  # not yet
