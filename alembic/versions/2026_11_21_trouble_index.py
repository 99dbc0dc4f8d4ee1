"""find failed and parked messages without reading what was sent"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_messages_trouble",
            "messages",
            ["workspace_id", "state", "id"],
            postgresql_where=sa.text("state IN ('failed', 'parked', 'uncertain')"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index("ix_messages_trouble", table_name="messages", postgresql_concurrently=True, if_exists=True)
