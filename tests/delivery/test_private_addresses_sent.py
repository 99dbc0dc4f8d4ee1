"""A provider that leads into our own network gets no mail; the next one does, and the operator's own is exempt."""

from redis.asyncio import Redis

from tests.providers.fake_sendgrid import FakeSendGrid
from tests.providers.scripted_smtp import ScriptedSmtp
from tests.providers.sendgrid_rules import KEY

from .conftest import Workshop, working


async def test_its_circuit_opens_nothing_has_left_and_the_operators_own_which_is_next_takes_the_mail(
    shop: Workshop, redis: Redis
) -> None:
    smtp, http, own = await ScriptedSmtp().start(), await FakeSendGrid().start(), await ScriptedSmtp().start()
    await shop.provider("gateway", "sendgrid", sandbox=False, config={"api_key": KEY, "endpoint": http.url})
    await shop.smtp(smtp.port, "relay")
    await shop.smtp(own.port, "environment", from_environment=True)  # of MAIL_*
    event_id = await shop.event()
    production = shop.settings.model_copy(update={"allow_private_hosts": False})
    async with working(production, shop.database, redis):
        await shop.until(event_id, "sent")
    *before, last = await shop.attempts(event_id)
    assert [(one["outcome"], one["code"], one["dispatched_at"]) for one in before] == [
        ("provider_broken", "private_address", None)
    ] * 2
    assert (last["outcome"], len(own.mails), smtp.conversations, http.connections) == ("accepted", 1, [], 0)
    rows = await shop.database.pool.fetch("SELECT reason FROM circuits WHERE state = 'open'")
    assert len(rows) == 2
    assert all("leads to an address that is not public" in row["reason"] for row in rows)
    for server in (smtp, http, own):
        await server.stop()
