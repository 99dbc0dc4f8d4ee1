"""find the events that name a file without reading the others"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Alone in its revision, which thereby can be run again. One that broke off has left an index that is not valid.
    with op.get_context().autocommit_block():
        op.drop_index("ix_events_attachments", table_name="events", postgresql_concurrently=True, if_exists=True)
        op.create_index(
            "ix_events_attachments",
            "events",
            ["attachments"],
            postgresql_using="gin",
            postgresql_ops={"attachments": "jsonb_path_ops"},
            postgresql_where=sa.text("attachments <> '[]'"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index("ix_events_attachments", table_name="events", postgresql_concurrently=True, if_exists=True)
