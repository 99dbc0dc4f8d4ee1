"""How long a process takes to be ready: the API until `/readyz` answers 200, a worker until its log says so."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from benchmarks.progress import each_run
from benchmarks.stand import Process, Stand, free_port, running, stand
from benchmarks.table import Goal, Row, print_table, runs

NAME = "start"

_PATIENCE_S = 30.0
_LOOK_EVERY_S = 0.005
_GOAL_S = Goal("≤", 2)


async def measure(quick: bool) -> list[Row]:
    """Seconds, with the files in the page cache: every run but the machine's first is like that."""
    async with stand(api=False) as bench:
        await started_api(bench)
        rounds = runs(quick)
        return [
            Row("start of the API, to ready", "s", [await started_api(bench) for _ in each_run(rounds)], _GOAL_S),
            Row("start of a worker, to ready", "s", [await started_worker(bench) for _ in each_run(rounds)], _GOAL_S),
        ]


async def started_api(bench: Stand) -> float:
    """Seconds from the start of its process."""
    port = await free_port()
    began_s = time.perf_counter()
    command = [sys.executable, "-m", "janus_mail.cli", "api"]
    with running(Process(bench.folder, "api", command, bench.environment | {"PORT": str(port)})):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client, asyncio.timeout(_PATIENCE_S):
            while not await _is_ready(client):
                await asyncio.sleep(_LOOK_EVERY_S)
        return time.perf_counter() - began_s


async def started_worker(bench: Stand) -> float:
    """Seconds from the start of its process."""
    began_s = time.perf_counter()
    async with _worker(bench) as log, asyncio.timeout(_PATIENCE_S):
        async for line in log:
            if b"is ready" in line:
                return time.perf_counter() - began_s
    raise RuntimeError("the worker ended before it was ready")


@asynccontextmanager
async def _worker(bench: Stand) -> AsyncIterator[asyncio.StreamReader]:
    """Its log."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "janus_mail.cli", "worker", env=bench.environment | {"JANUS_LOG_LEVEL": "INFO"},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stderr is not None
    try:
        yield child.stderr
    finally:
        if child.returncode is None:
            child.terminate()
        await child.communicate()


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False  # not listening yet


if __name__ == "__main__":
    print_table(asyncio.run(measure(quick="--quick" in sys.argv)))
