"""suppressions: addresses that must not be mailed"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "suppressions",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("message_id", sa.UUID(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint(
            "reason IN ('hard_bounce', 'complaint', 'unsubscribe', 'manual')", name=op.f("ck_suppressions_reason")
        ),
        sa.CheckConstraint("address = lower(address)", name=op.f("ck_suppressions_address")),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_suppressions_workspace_id_workspaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppressions")),
        sa.UniqueConstraint("workspace_id", "address", name=op.f("uq_suppressions_workspace_id_address")),
    )
    op.create_index("ix_suppressions_list", "suppressions", ["workspace_id", "id"])
    # Rows that are there are looked at in 0010, when this transaction's lock is gone.
    _recipient_states("'sent', 'deferred', 'failed', 'suppressed'", "NOT VALID")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("UPDATE message_recipients SET state = 'failed' WHERE state = 'suppressed'")
    _recipient_states("'sent', 'deferred', 'failed'")
    op.drop_table("suppressions")


def _recipient_states(states: str, how: str = "") -> None:
    op.execute("ALTER TABLE message_recipients DROP CONSTRAINT ck_message_recipients_state")
    op.execute(
        f"ALTER TABLE message_recipients ADD CONSTRAINT ck_message_recipients_state CHECK (state IN ({states})) {how}"
    )
