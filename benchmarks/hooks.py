"""What services post: `POST /hooks/…` against one API process, signed as SendGrid signs.

First 5,000 events a second, as SendGrid's batches of 100 events at even distances, while a worker works on them: every
post is answered 200, and when the worker has come to the end each event is there once and each mail has its status.
Then posts of a single event over 32 connections that ask again at once, in turn with the bare FastAPI + asyncpg insert
of `accept.py`; each 200 stands for a row.
"""

import asyncio
import base64
import json
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from benchmarks.accept import load_of
from benchmarks.http_load import Load, Loaded, run_load
from benchmarks.peers.bare_insert import bare_insert
from benchmarks.progress import each_run
from benchmarks.rows import Fill, fill, workspace_named
from benchmarks.stand import Stand, stand
from benchmarks.table import Goal, Row, print_table, runs
from janus_mail.feedback.services.sendgrid import SIGNATURE, TIMESTAMP

NAME = "hooks"

_PER_SECOND = 5_000
_TOGETHER = 100
_CONNECTIONS = 32
_SINGLES = 4_000  # different ones
_DRAINED_S = 120.0
_KEY = ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True, slots=True)
class Posted:
    """How long each answer took, in order, and how long the worker went on after the last."""

    latencies_ms: list[float]
    behind_s: float


async def measure(quick: bool) -> list[Row]:
    """Batches, then single posts."""
    async with stand() as bench:
        path = await hook(bench)
        rows = await batches(bench, path, rounds=1 if quick else 3, seconds=1 if quick else 10)
        return rows + await singles(bench, path, rounds=runs(quick), seconds=1 if quick else 3)


async def hook(bench: Stand) -> str:
    """The address of a SendGrid sandbox's hook."""
    key = _KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    config = {"webhook_public_key": base64.b64encode(key).decode()}
    provider = {"kind": "sendgrid", "name": "SendGrid", "sandbox": True, "config": config}
    provider_id = (await bench.post("/api/providers", provider)).json()["id"]
    token = await bench.database.pool.fetchval("SELECT hook_token FROM providers WHERE id = $1", uuid.UUID(provider_id))
    return f"/hooks/{provider_id}/{token}"


async def batches(bench: Stand, path: str, *, rounds: int, seconds: int, per_second: int = _PER_SECOND) -> list[Row]:
    """So many events a second for so long, of mails that were sent."""
    many = per_second * seconds
    what = f"{per_second:,} feedback events/s for {seconds} s, batches of {_TOGETHER}, one API process"
    done = []
    for _ in each_run(rounds):
        await bench.clear()
        await fill(bench.database, [await workspace_named(bench.database)], Fill(messages=many, state="sent"))
        ids = [row["id"] for row in await bench.database.pool.fetch("SELECT id FROM messages ORDER BY random()")]
        bodies = [_batch(ids[first : first + _TOGETHER]) for first in range(0, many, _TOGETHER)]
        worker = bench.start_worker()
        await bench.workers_ready()
        done.append(await _post_evenly(bench, path, bodies, _TOGETHER / per_second))
        worker.stop()
        bench.workers.clear()
        await _nothing_lost(bench, many)
    return [
        Row(f"{what}: p50", "ms", [_percentile(one.latencies_ms, 0.5) for one in done]),
        Row(f"{what}: p99", "ms", [_percentile(one.latencies_ms, 0.99) for one in done], Goal("≤", 50)),
        Row(f"{what}: kept", "events", [float(many) for _ in done], Goal("≥", many)),  # else the run has failed
        Row(f"{what}: worked on after the last was answered", "s", [one.behind_s for one in done]),
    ]


async def singles(
    bench: Stand, path: str, *, rounds: int, seconds: float, connections: int = _CONNECTIONS, different: int = _SINGLES
) -> list[Row]:
    """Ours and the bare insert in turn; no worker takes what is stored meanwhile."""
    load = load_of(bench, connections=connections, seconds=seconds)
    bodies = [_batch([uuid.uuid4()]) for _ in range(different)]
    post = replace(load, path=path, bodies=[b.decode() for b in bodies], own_headers=[_signed(b) for b in bodies])
    ours: list[Loaded] = []
    theirs: list[Loaded] = []
    async with bare_insert(bench) as port:
        bare = replace(load, port=port, path="/events", headers={})
        for _ in each_run(rounds):
            await bench.database.pool.execute("TRUNCATE hook_posts")
            ours.append(await _run_and_count(bench, post))
            theirs.append(await run_load(bare))
            theirs[-1].expect(201)
    rates, bare_rates = [one.per_second for one in ours], [one.per_second for one in theirs]
    what = f"POST /hooks/…, one signed event each, one API process, {connections} connections"
    return [
        Row(what, "requests/s", rates, Goal("≥", 0.4, of="ratio"), "bare FastAPI + asyncpg insert", bare_rates),
        Row(f"{what}: p50", "ms", [one.percentile_ms(0.5) for one in ours]),
        Row(f"{what}: p99", "ms", [one.percentile_ms(0.99) for one in ours]),
    ]


async def _post_evenly(bench: Stand, path: str, bodies: Sequence[bytes], every_s: float) -> Posted:
    """Each at its time, however long the others take. Raises RuntimeError unless all are answered 200."""
    signed = [(body, _signed(body)) for body in bodies]
    latencies_ms: list[float] = []

    async def post(client: httpx.AsyncClient, body: bytes, headers: dict[str, str]) -> None:
        began_s = time.perf_counter()
        answer = await client.post(path, content=body, headers=headers)
        latencies_ms.append((time.perf_counter() - began_s) * 1000)
        if answer.status_code != 200:
            raise RuntimeError(f"answered {answer.status_code}: {answer.text[:200]}")

    async with httpx.AsyncClient(base_url=str(bench.api.base_url), timeout=30) as client, asyncio.TaskGroup() as group:
        start_s = time.perf_counter()
        for number, (body, headers) in enumerate(signed):
            await asyncio.sleep(start_s + number * every_s - time.perf_counter())
            group.create_task(post(client, body, headers))
    answered_s = time.perf_counter()
    async with asyncio.timeout(_DRAINED_S):
        while await bench.database.pool.fetchval("SELECT EXISTS (SELECT FROM hook_posts)"):
            await asyncio.sleep(0.1)
    return Posted(sorted(latencies_ms), time.perf_counter() - answered_s)


async def _nothing_lost(bench: Stand, many: int) -> None:
    """Raises RuntimeError."""
    found = await bench.database.pool.fetchrow(
        """SELECT (SELECT count(*) FROM feedback_events WHERE message_id IS NOT NULL) AS events,
                  (SELECT count(*) FROM messages WHERE delivery_status = 'delivered') AS mails"""
    )
    if found is None or tuple(found) != (many, many):
        raise RuntimeError(f"{many} events were answered for, but (events, mails) are {found and tuple(found)}")


async def _run_and_count(bench: Stand, load: Load) -> Loaded:
    """Raises RuntimeError unless each answer is a 200 that stands for a row."""
    done = await run_load(load)
    done.expect(200)
    rows, answers = await bench.database.pool.fetchval("SELECT count(*) FROM hook_posts"), sum(done.statuses.values())
    if rows != answers:
        raise RuntimeError(f"{answers} answers promised as many rows, but {rows} are stored")
    return done


def _batch(message_ids: Sequence[uuid.UUID]) -> bytes:
    now = int(time.time())
    return json.dumps([
        {
            "email": f"reader{number}@example.com", "timestamp": now, "smtp-id": "<14c5d75ce93.dfd@example.com>",
            "event": "delivered", "category": ["spring"], "sg_event_id": uuid.uuid4().hex,
            "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0", "ip": "192.0.2.17", "tls": 1,
            "response": "250 2.0.0 OK  1750000000 d2e1a72fcca58-7489ff81cc4si123456b3a.12 - gsmtp",
            "janus_message_id": str(message_id),
        }
        for number, message_id in enumerate(message_ids)
    ]).encode()  # fmt: skip


def _signed(body: bytes) -> dict[str, str]:
    timestamp = str(int(time.time()))
    signature = _KEY.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))
    return {SIGNATURE: base64.b64encode(signature).decode(), TIMESTAMP: timestamp}


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


if __name__ == "__main__":
    print_table(asyncio.run(measure(quick="--quick" in sys.argv)))
