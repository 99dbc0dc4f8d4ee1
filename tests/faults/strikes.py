"""Every fault as something that can be done to a stand under load at any moment; it answers how often it fired."""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from janus_mail.delivery.queries import lease, tries
from tests.faults.http_proxy import HttpProxy
from tests.faults.postgres_proxy import Cut, Order, PostgresProxy
from tests.faults.process import Worker
from tests.faults.proxy import Fault, Proxy
from tests.faults.smtp_proxy import SmtpProxy
from tests.faults.stand import LEASE_S, Stand
from tests.faults.workspace import Workspace

OUTAGE_S = 3.0
WORKERS = 2


@dataclass
class Scene:
    """One round: a workspace with traffic, its wires, and the dice."""

    stand: Stand
    workspace: Workspace
    smtp: SmtpProxy
    http: HttpProxy
    dice: random.Random

    async def healthy(self) -> list[Worker]:
        """Two workers that nothing has happened to, started where they are missing."""
        alive = [w for w in self.stand.workers if w.process.alive and not (w.killed or w.altered)]
        alive += await asyncio.gather(*(self.stand.start_worker() for _ in range(WORKERS - len(alive))))
        return alive

    async def one(self) -> Worker:
        return self.dice.choice(await self.healthy())


Strike = Callable[[Scene], Awaitable[int]]
STRIKES: dict[str, Strike] = {}


def _named(name: str) -> Callable[[Strike], Strike]:
    def keep(strike: Strike) -> Strike:
        STRIKES[name] = strike
        return strike

    return keep


# Processes


@_named("worker: SIGKILL")
async def _kill_a_worker(scene: Scene) -> int:
    (await scene.one()).kill()
    return 1


@_named("worker: SIGKILL of all")
async def _kill_all_workers(scene: Scene) -> int:
    workers = await scene.healthy()
    for worker in workers:
        worker.kill()
    return len(workers)


def _crash(place: str) -> Strike:
    async def crash(scene: Scene) -> int:
        doomed = await scene.stand.start_worker(crash_at=f"{place}:{scene.dice.randint(1, 20)}")
        if doomed.process.alive:
            (await scene.one()).process.send(signal.SIGTERM)  # leaves it more to do
        await doomed.crashed(within_s=30)
        return 1

    return crash


for _place in ("after_claim", "after_begin", "before_last_byte", "after_accepted", "after_finish"):
    STRIKES[f"worker: SIGKILL {_place.replace('_', ' ')}"] = _crash(_place)


@_named("worker: SIGKILL of the patrol's holder")
async def _kill_the_patrol(scene: Scene) -> int:
    for worker in await scene.healthy():
        worker.process.send(signal.SIGTERM)
    doomed = await scene.stand.start_worker(crash_at=f"in_patrol:{scene.dice.randint(1, 4)}")
    await doomed.crashed(within_s=30)
    return 1


@_named("worker: SIGTERM")
async def _end_a_worker(scene: Scene) -> int:
    worker = await scene.one()
    worker.process.send(signal.SIGTERM)
    code = await worker.process.ended(within_s=15)
    assert code == 0, f"a worker ended with {code} after SIGTERM"
    return 1


@_named("worker: SIGSTOP past the lease, SIGCONT")
async def _freeze_a_worker(scene: Scene) -> int:
    worker = await scene.one()
    worker.freeze()
    await asyncio.sleep(scene.dice.uniform(1.5, 4) * LEASE_S)
    worker.thaw()
    return 1


@_named("worker: clock five minutes off")
async def _wrong_clock(scene: Scene) -> int:
    for worker in await scene.healthy():
        worker.process.send(signal.SIGTERM)
    await scene.stand.start_worker(clock_offset_s=scene.dice.choice((-300, 300)))
    await asyncio.sleep(2)
    return 1


@_named("API: SIGKILL between commit and ring")
async def _kill_the_api(scene: Scene) -> int:
    doomed = await scene.stand.start_api(crash_at=f"after_accept:{scene.dice.randint(1, 5)}")
    assert await doomed.ended(within_s=30) == -signal.SIGKILL
    await scene.stand.start_api()
    return 1


# The wire


def _some(fault: Fault, over: Callable[[Scene], Proxy]) -> Strike:
    async def some(scene: Scene) -> int:
        proxy = over(scene)
        share = scene.dice.choice((0.02, 0.1, 0.3))
        proxy.chance = lambda: fault if scene.dice.random() < share else None
        await proxy.until_fired(fault, scene.dice.randint(1, 3), within_s=30)
        proxy.chance = lambda: None
        await asyncio.sleep(fault.delay_s)
        return proxy.fired[fault]

    return some


def _black_hole(over: Callable[[Scene], Proxy]) -> Strike:
    async def black_hole(scene: Scene) -> int:
        over(scene).black_hole()
        await asyncio.sleep(OUTAGE_S)
        await over(scene).heal()
        return 1

    return black_hole


def _refusal(over: Callable[[Scene], Proxy]) -> Strike:
    async def refusal(scene: Scene) -> int:
        over(scene).refuse()
        await asyncio.sleep(OUTAGE_S)
        await over(scene).heal()
        return 1

    return refusal


def _smtp(scene: Scene) -> Proxy:
    return scene.smtp


def _http(scene: Scene) -> Proxy:
    return scene.http


for _protocol, _over in (("SMTP", _smtp), ("HTTP", _http)):
    for _fault in Fault:
        if not (_protocol == "HTTP" and _fault is Fault.SLOW_BODY):
            STRIKES[f"{_protocol}: {_fault}"] = _some(_fault, _over)
    STRIKES[f"{_protocol}: black hole"] = _black_hole(_over)
    STRIKES[f"{_protocol}: connection refused"] = _refusal(_over)


# Redis


@_named("Redis: FLUSHALL, then a worker restarts")
async def _flush(scene: Scene) -> int:
    await scene.stand.redis.flushall()
    (await scene.one()).kill()
    return 1


@_named("Redis: restart")
async def _restart_redis(scene: Scene) -> int:
    await scene.stand.end_redis()
    await scene.stand.start_redis()
    return 1


@_named("Redis: out of memory")
async def _fill_redis(scene: Scene) -> int:
    await scene.stand.redis.config_set("maxmemory", 1)
    await asyncio.sleep(OUTAGE_S)
    await scene.stand.redis.config_set("maxmemory", 0)
    return 1


@_named("Redis: gone")
async def _end_redis(scene: Scene) -> int:
    await scene.stand.end_redis()
    await asyncio.sleep(OUTAGE_S)
    await scene.stand.start_redis()
    return 1


# PostgreSQL


@_named("PostgreSQL: immediate restart")
async def _restart_postgres(scene: Scene) -> int:
    await scene.stand.end_postgres(immediate=True)
    await scene.stand.start_postgres()
    return 1


@_named("PostgreSQL: gone for three leases")
async def _end_postgres(scene: Scene) -> int:
    await scene.stand.end_postgres(immediate=scene.dice.random() < 0.5)
    await asyncio.sleep(OUTAGE_S)
    await scene.stand.start_postgres()
    return 1


@_named("PostgreSQL: backends killed")
async def _kill_backends(scene: Scene) -> int:
    killed: int = await scene.stand.ask(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = 'janus' AND pid <> pg_backend_pid()"
    )
    return killed


@_named("PostgreSQL: connection cut during COMMIT")
async def _cut_commits(scene: Scene) -> int:
    folder = scene.stand.folder / f"proxy-{scene.workspace.domain}"
    async with PostgresProxy.to(scene.stand.environment["DATABASE_URL"], folder) as (proxy, dsn):
        statements = [lease.CLAIM_BY_TIME, tries.BEGIN, tries.FINISH]
        proxy.orders.extend(Order(scene.dice.choice(statements), scene.dice.choice(list(Cut))) for _ in range(4))
        worker = await scene.stand.start_worker(database_url=dsn)
        await proxy.all_fired(within_s=30)
        worker.process.send(signal.SIGTERM)
        assert await worker.process.ended(within_s=15) == 0
        return proxy.fired.total()


# Load


@_named("10,000 mails due in one second")
async def _many_at_once(scene: Scene) -> int:
    await scene.workspace.accept(10_000, due_in_s=2, per_event=100)
    return 1
