"""The sandbox: every outcome can be asked for, and each is the one that a real server's answer would have."""

import asyncio

import pytest

from janus_mail.providers.outcomes import (
    DeliveryError,
    MessageRejected,
    ProviderBroken,
    ProviderDown,
    RecipientDeferred,
    RecipientRejected,
    Throttled,
    Uncertain,
)
from janus_mail.providers.sandbox import SandboxAdapter, SandboxMode

from .conftest import CONTENT, Hold, mail_to


def sandbox(mode: SandboxMode = SandboxMode.OK, failure_rate: float = 0.0, **options: float) -> SandboxAdapter:
    return SandboxAdapter("ses", mode, failure_rate, coin=lambda: options.get("coin", 0.5), slow_s=0.0)


async def test_a_mail_is_kept_for_the_local_mailbox_byte_for_byte() -> None:
    hold = Hold()
    accepted = await sandbox().send(mail_to(), hold)
    assert accepted.captured == CONTENT
    assert accepted.code == "250 2.0.0"
    assert (hold.dispatches, hold.last_bytes) == (1, 1)


@pytest.mark.parametrize(
    ("recipient", "error", "code", "dispatched"),
    [
        ("bounced@example.net", RecipientRejected, "550 5.1.1", 0),
        ("Bounced+17@example.net", RecipientRejected, "550 5.1.1", 0),
        ("rejected@example.net", MessageRejected, "554 5.6.0", 1),
        ("delayed@example.net", RecipientDeferred, "451 4.7.1", 0),
        ("timeout@example.net", Uncertain, "timeout", 1),
    ],
)
async def test_the_recipient_chooses_the_outcome(
    recipient: str, error: type[DeliveryError], code: str, dispatched: int
) -> None:
    hold = Hold()
    with pytest.raises(error) as raised:
        await sandbox().send(mail_to(recipient), hold)
    assert (raised.value.code, raised.value.refused) == (code, ())
    assert hold.dispatches == dispatched


async def test_of_several_recipients_those_who_would_be_refused_by_name_are_and_the_others_have_it() -> None:
    hold = Hold()
    mail = mail_to("b@example.net", "bounced@example.net", "delayed@example.net")
    accepted = await sandbox().send(mail, hold)
    assert accepted.captured == CONTENT
    assert [(address, type(error)) for address, error in accepted.refused] == [
        ("bounced@example.net", RecipientRejected),
        ("delayed@example.net", RecipientDeferred),
    ]
    assert hold.dispatches == 1


async def test_when_each_of_several_recipients_is_refused_so_is_the_mail() -> None:
    hold = Hold()
    with pytest.raises(RecipientDeferred) as raised:
        await sandbox().send(mail_to("bounced@example.net", "delayed@example.net"), hold)
    assert [address for address, _ in raised.value.refused] == ["bounced@example.net", "delayed@example.net"]
    assert hold.dispatches == 0


@pytest.mark.parametrize(("recipient", "error"), [("rejected", MessageRejected), ("timeout", Uncertain)])
async def test_what_befalls_the_content_befalls_it_for_all_who_were_not_refused_before(
    recipient: str, error: type[DeliveryError]
) -> None:
    hold = Hold()
    mail = mail_to("b@example.net", f"{recipient}@example.net", "bounced@example.net")
    with pytest.raises(error) as raised:
        await sandbox().send(mail, hold)
    assert [address for address, _ in raised.value.refused] == ["bounced@example.net"]
    assert (hold.dispatches, hold.last_bytes) == (1, 1)


async def test_a_delayed_recipient_takes_the_second_try_whoever_makes_it() -> None:
    mail = mail_to("delayed@example.net", attempt_number=2)
    assert (await sandbox().send(mail, Hold())).captured == CONTENT


@pytest.mark.parametrize(
    ("mode", "error", "retry_after_s", "dispatched"),
    [
        (SandboxMode.DOWN, ProviderDown, None, 0),
        (SandboxMode.THROTTLED, Throttled, 30.0, 0),
        (SandboxMode.BROKEN_CREDENTIALS, ProviderBroken, None, 0),
        (SandboxMode.CUT_OFF, Uncertain, None, 1),
    ],
)
async def test_the_dial_chooses_the_outcome_and_goes_before_the_recipient(
    mode: SandboxMode, error: type[DeliveryError], retry_after_s: float | None, dispatched: int
) -> None:
    for recipient in ("b@example.net", "bounced@example.net"):
        hold = Hold()
        with pytest.raises(error) as raised:
            await sandbox(mode).send(mail_to(recipient), hold)
        assert raised.value.retry_after_s == retry_after_s
        assert hold.dispatches == dispatched


async def test_a_slow_provider_accepts_after_its_time_and_asks_again_before_the_last_byte() -> None:
    adapter = SandboxAdapter("ses", SandboxMode.SLOW, 0.0, slow_s=0.05)
    hold = Hold()
    sending = asyncio.create_task(adapter.send(mail_to("bounced@example.net"), hold))
    done, _ = await asyncio.wait([sending], timeout=0.01)
    assert not done
    assert (hold.dispatches, hold.last_bytes) == (1, 0)
    assert (await sending).captured == CONTENT
    assert hold.last_bytes == 1


@pytest.mark.parametrize(("coin", "down"), [(0.0, True), (0.29, True), (0.3, False), (0.99, False)])
async def test_a_share_of_the_mails_finds_the_provider_down(coin: float, down: bool) -> None:
    adapter = sandbox(failure_rate=0.3, coin=coin)
    if down:
        with pytest.raises(ProviderDown):
            await adapter.send(mail_to(), Hold())
    else:
        assert (await adapter.send(mail_to(), Hold())).captured == CONTENT


async def test_a_lost_hold_keeps_the_mail_out_of_the_mailbox() -> None:
    for hold in (Hold(refuse_dispatch=RuntimeError("lost")), Hold(refuse_last_byte=RuntimeError("lost"))):
        with pytest.raises(RuntimeError, match="lost"):
            await sandbox().send(mail_to(), hold)
