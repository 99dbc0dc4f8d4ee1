"""What a caller takes back or changes while faults strike never leaves, or never in its old form."""

import asyncio
from datetime import UTC, datetime, timedelta

from tests.faults.proxy import Fault
from tests.faults.smtp_proxy import SmtpProxy
from tests.faults.workspace import Workspace

CHANGED = "Changed in time"


async def test_mail_that_a_stopped_worker_holds_is_canceled_and_changed(workspace: Workspace, line: SmtpProxy) -> None:
    stand = workspace.stand
    stand.stop_workers()
    line.orders.append(Fault.SLOW_ANSWER)
    await workspace.accept(12)
    frozen = await stand.start_worker(worker_concurrency="1", claim_batch="20")
    await line.until_fired(Fault.SLOW_ANSWER)
    frozen.freeze()
    held = [recipient for recipient, state in (await workspace.states()).items() if state == "leased"]
    assert len(held) >= 6
    assert all([await workspace.cancel(recipient) for recipient in held[:3]])
    assert all([await workspace.change(recipient, CHANGED) for recipient in held[3:6]])
    frozen.thaw()
    report = await workspace.settled()
    states = await workspace.states()
    assert [states[recipient] for recipient in held[:6]] == ["canceled"] * 3 + ["sent"] * 3
    assert report.sent == 9
    assert sum(entry.subject == CHANGED for entry in workspace.entries()) == 3


async def test_cancels_and_changes_race_with_the_second_in_which_mail_is_due(
    workspace: Workspace, line: SmtpProxy
) -> None:
    stand = workspace.stand
    await asyncio.gather(stand.start_worker(), stand.start_worker())
    due_at = (datetime.now(UTC) + timedelta(seconds=3)).replace(microsecond=0)
    recipients = await workspace.accept(120, due_at=due_at)
    await workspace.has_left()
    canceled = await asyncio.gather(*(workspace.cancel(recipient) for recipient in recipients[::3]))
    changed = await asyncio.gather(*(workspace.change(recipient, CHANGED) for recipient in recipients[1::3]))
    report = await workspace.settled()
    states = await workspace.states()
    assert [states[recipient] == "canceled" for recipient in recipients[::3]] == canceled
    assert sum(entry.subject == CHANGED for entry in workspace.entries()) == sum(changed)
    assert report.sent == 120 - sum(canceled)
