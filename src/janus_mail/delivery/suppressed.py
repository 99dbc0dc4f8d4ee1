"""Who of a group must not be mailed. Of a mail to one person the claim itself has seen to it."""

import uuid
from collections.abc import Mapping, Sequence

from janus_mail.delivery.hold import Hold
from janus_mail.delivery.letters import EventContent
from janus_mail.delivery.queries import lease
from janus_mail.storage.database import Database


async def look_up_groups(database: Database, holds: Sequence[Hold], contents: Mapping[uuid.UUID, EventContent]) -> None:
    """Notes in the hold of each group whom its mail leaves out, and why. Where there is no group nothing is asked."""
    asked = [
        (hold, mailbox.address)
        for hold in holds
        if (content := contents.get(hold.event_id)) is not None and content.group is not None
        for part in content.group
        for mailbox in part
    ]
    if not asked:
        return
    rows = await database.pool.fetch(
        lease.SUPPRESSED, [hold.id for hold, _ in asked], [hold.workspace_id for hold, _ in asked],
        [address for _, address in asked],
    )  # fmt: skip
    by_id = {hold.id: hold for hold in holds}
    for row in rows:
        by_id[row["message_id"]].suppressed[row["address"]] = row["why"]
