"""Contents that no event refers to go; those that one does, or may be about to, stay."""

import asyncio
import uuid
from hashlib import sha256
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from janus_mail.delivery import unused_files
from janus_mail.delivery.bell import Bell
from janus_mail.delivery.patrol import Patrol
from janus_mail.delivery.queries.files import REMOVE_UNUSED
from janus_mail.delivery.unused_files import UnusedFiles
from janus_mail.events.queries import KEEP_FILE
from tests.delivery.conftest import Workshop


@pytest.fixture
def broom(shop: Workshop) -> UnusedFiles:
    return UnusedFiles(shop.database, pause_s=0)


async def keep(shop: Workshop, content: bytes, *, days: float = 2, workspace_id: uuid.UUID | None = None) -> None:
    """A content that an event came with so many days ago."""
    await shop.database.pool.execute(
        """INSERT INTO attachments (workspace_id, digest, size, content, used_at)
           VALUES ($1, $2, $3, $4, clock_timestamp() - $5 * interval '1 day')""",
        workspace_id or shop.workspace_id, sha256(content).digest(), len(content), content, days,
    )  # fmt: skip


def named(content: bytes) -> dict[str, Any]:
    """As an event refers to it."""
    digest = sha256(content).hexdigest()
    return {"filename": "a", "content_type": "a/b", "size": len(content), "digest": digest, "content_id": None}


async def left(shop: Workshop) -> list[bytes]:
    return [row["content"] for row in await shop.database.pool.fetch("SELECT content FROM attachments ORDER BY 1")]


async def sweep(broom: UnusedFiles) -> int:
    """Until it has come to the end and begins anew."""
    removed = 0
    while True:
        removed += await broom.tick()
        if broom._after == unused_files._START:
            return removed


async def test_what_no_event_refers_to_goes_a_day_after_it_was_used(shop: Workshop, broom: UnusedFiles) -> None:
    await keep(shop, b"gone")
    await keep(shop, b"young", days=0.9)
    await keep(shop, b"referred to", days=400)
    await keep(shop, b"one of two", days=400)
    await shop.event(attachments=[named(b"referred to")])
    await shop.event(attachments=[named(b"another"), named(b"one of two")], due_in_s=1e6)
    assert await sweep(broom) == 1
    assert await left(shop) == [b"one of two", b"referred to", b"young"]


async def test_an_event_of_another_workspace_keeps_nothing(shop: Workshop, broom: UnusedFiles) -> None:
    other = uuid7()
    await shop.database.pool.execute("INSERT INTO workspaces (id, handle, name) VALUES ($1, 'other', 'other')", other)
    await keep(shop, b"same")
    await keep(shop, b"same", workspace_id=other)
    await shop.event(attachments=[named(b"same")], workspace_id=other)
    await sweep(broom)
    assert await shop.database.pool.fetchval("SELECT workspace_id FROM attachments") == other


async def test_what_is_hidden_but_not_removed_yet_keeps_its_files(shop: Workshop, broom: UnusedFiles) -> None:
    await keep(shop, b"x")
    event_id = await shop.event(attachments=[named(b"x")])
    await shop.database.pool.execute("UPDATE events SET deleted_at = clock_timestamp() WHERE id = $1", event_id)
    assert await sweep(broom) == 0
    await shop.database.pool.execute("DELETE FROM messages")
    await shop.database.pool.execute("DELETE FROM events")
    assert await sweep(broom) == 1


async def test_many_take_several_ticks_and_those_that_stay_do_not_hide_the_others(
    shop: Workshop, broom: UnusedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unused_files, "LOOKED_AT", 3)
    monkeypatch.setattr(unused_files, "_OCTETS", 25)
    stay = [b"stays %d" % number for number in range(7)]
    for number, content in enumerate(stay):
        await keep(shop, content, days=100 - number)
        await shop.event(attachments=[named(content)])
    for number in range(7):
        await keep(shop, b"x" * (number * 10), days=50)
    ticks: list[int] = []
    while not ticks or broom._after != unused_files._START:
        ticks.append(await broom.tick())
    assert sum(ticks) == 7
    assert max(ticks) <= 3
    assert await left(shop) == stay


async def test_what_an_event_is_just_coming_with_stays(shop: Workshop, broom: UnusedFiles) -> None:
    """Whoever comes first: the one waits for the other, or leaves the content alone."""
    await keep(shop, b"x")
    given = (shop.workspace_id, sha256(b"x").digest(), 1, b"x")
    async with shop.database.transaction() as accepting:
        await accepting.execute(KEEP_FILE, *given)
        assert await broom.tick() == 0  # it is locked, and is not waited for
    assert await sweep(broom) == 0
    await shop.database.pool.execute("UPDATE attachments SET used_at = '2020-01-01'")
    async with shop.database.transaction() as removing:
        await removing.fetch(REMOVE_UNUSED, *unused_files._START, 86_400.0, 10, 10)
        accepted = asyncio.create_task(shop.database.pool.execute(KEEP_FILE, *given))
        done, _ = await asyncio.wait({accepted}, timeout=0.2)
        assert not done
    await accepted
    assert await left(shop) == [b"x"]


async def test_the_patrol_removes_them_and_rests_at_the_end(shop: Workshop) -> None:
    await keep(shop, b"gone")
    patrol = Patrol(shop.settings, shop.database, uuid7(), Bell(None, horizon_s=1), lambda: None)
    await patrol.tick()
    assert await left(shop) == []
    await patrol.tick()  # the end
    await keep(shop, b"later")
    await patrol.tick()
    assert await left(shop) == [b"later"]
    await patrol.leave()
