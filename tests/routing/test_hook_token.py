"""Another address for a provider's hook, when the one it has is known to somebody."""

import asyncio
import uuid

import httpx

from janus_mail.feedback.hooks import Hooks
from janus_mail.web.context import Context


async def test_it_answers_with_an_address_that_nobody_knew(api: httpx.AsyncClient, context: Context, real: str) -> None:
    before = (await api.get(f"/api/providers/{real}")).json()
    made = [await api.post(f"/api/providers/{real}/hook-token") for _ in range(2)]
    assert [answer.status_code for answer in made] == [200, 200]
    addresses = [before["hook_url"], *(answer.json()["hook_url"] for answer in made)]
    assert len(set(addresses)) == 3
    for address in addresses:
        assert address.startswith(f"http://testserver/hooks/{real}/")
        assert len(address.rpartition("/")[2]) == 32
    after = (await api.get(f"/api/providers/{real}")).json()
    told = {"hook_url", "version", "updated_at"}
    assert after == made[-1].json()
    assert {name for name in after if after[name] != before[name]} == told
    assert after["version"] == before["version"] + 2


async def test_the_old_address_is_refused_within_a_second_and_the_new_one_is_not(
    api: httpx.AsyncClient, context: Context, real: str
) -> None:
    old = (await api.get(f"/api/providers/{real}")).json()["hook_url"].rpartition("/")[2]
    hooks, provider_id = Hooks(context.database), uuid.UUID(real)
    assert await hooks.find(provider_id, old) is not None
    new = (await api.post(f"/api/providers/{real}/hook-token")).json()["hook_url"].rpartition("/")[2]
    async with asyncio.timeout(3):
        while await hooks.find(provider_id, old) is not None:
            await asyncio.sleep(0.05)
    assert await hooks.find(provider_id, new) is not None
    refused = await api.post(f"/hooks/{real}/{old}/dsn", content=b"x")
    assert refused.status_code == 401


async def test_the_page_shows_again_when_something_came_to_the_new_address(
    api: httpx.AsyncClient, context: Context, real: str
) -> None:
    await context.database.pool.execute("UPDATE providers SET heard_at = clock_timestamp()")
    assert (await api.post(f"/api/providers/{real}/hook-token")).json()["heard_at"] is None


async def test_it_is_for_those_alone_who_may_change_the_provider(
    api: httpx.AsyncClient, reader: httpx.AsyncClient, context: Context, real: str
) -> None:
    token = await context.database.pool.fetchval("SELECT hook_token FROM providers")
    assert (await reader.post(f"/api/providers/{real}/hook-token")).status_code == 403
    assert (await api.post(f"/api/providers/{uuid.uuid4()}/hook-token")).status_code == 404
    assert await context.database.pool.fetchval("SELECT hook_token FROM providers") == token
    await api.delete(f"/api/providers/{real}")
    assert (await api.post(f"/api/providers/{real}/hook-token")).status_code == 404
