"""find failed, parked and waiting messages without reading the others"""

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
        op.create_index(
            "ix_messages_waiting",
            "messages",
            ["workspace_id", "waiting_for", "priority", "due_at"],
            postgresql_where=sa.text("state = 'scheduled' AND waiting_for IS NOT NULL"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index("ix_messages_waiting", table_name="messages", postgresql_concurrently=True, if_exists=True)
        op.drop_index("ix_messages_trouble", table_name="messages", postgresql_concurrently=True, if_exists=True)
