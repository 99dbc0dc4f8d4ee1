"""What is cleared away day by day. More of it stands in test_registering.py."""

import uuid

from uuid_utils.compat import uuid7

from janus_mail.gate.care import care
from janus_mail.storage.database import Database


async def test_an_invitation_is_forgotten_a_month_after_it_is_over(database: Database, workspace_id: uuid.UUID) -> None:
    cases = {  # days ago: accepted, withdrawn; from now: expires
        "open": (None, None, 7), "taken": (29, None, 7), "withdrawn": (None, 29, 7), "expired": (None, None, -29),
        "taken long ago": (31, None, -24), "withdrawn long ago": (None, 31, -24), "expired long ago": (None, None, -31),
    }  # fmt: skip
    for name, (accepted, revoked, expires) in cases.items():
        await database.pool.execute(
            """INSERT INTO invitations (id, workspace_id, email, role, digest, invited_by, accepted_at, revoked_at,
                                        expires_at)
               VALUES ($1, $2, $3, 'viewer', $4, 'Ann', now() - $5::int * interval '1 day',
                       now() - $6::int * interval '1 day', now() + $7::int * interval '1 day')""",
            uuid7(), workspace_id, name, name.encode(), accepted, revoked, expires,
        )  # fmt: skip
    await care(database)
    left = {row["email"] for row in await database.pool.fetch("SELECT email FROM invitations")}
    assert left == {"open", "taken", "withdrawn", "expired"}
