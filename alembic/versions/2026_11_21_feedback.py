"""what comes back from providers: posts to our hooks, feedback, the last check of credentials"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_NOW = sa.text("clock_timestamp()")
_TYPES = (
    "type IN ('queued', 'sent', 'deferred', 'bounced_soft', 'delivered', 'opened', 'clicked', 'unsubscribed', "
    "'rejected', 'failed', 'bounced_hard', 'complained', 'unknown')"
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # Another value for each row, so the table is written anew; it is a small one.
    default = sa.text("replace((gen_random_uuid())::text, '-'::text, ''::text)")
    op.add_column("providers", sa.Column("hook_token", sa.Text(), server_default=default, nullable=False))
    op.add_column("providers", sa.Column("heard_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("providers", sa.Column("verification", postgresql.JSONB(), nullable=True))
    op.add_column("message_recipients", sa.Column("delivery_status", sa.Text(), nullable=True))
    # What was removed keeps no secrets from now on. Those made of MAIL_* may come back, and bring theirs.
    op.execute("UPDATE providers SET config = '' WHERE deleted_at IS NOT NULL AND NOT from_environment")
    op.create_table(
        "hook_posts",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("headers", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hook_posts")),
    )
    op.create_index(op.f("ix_hook_posts_next_try_at"), "hook_posts", ["next_try_at"])
    op.create_table(
        "feedback_events",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("message_id", sa.UUID(), nullable=True),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("provider_message_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("details", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("raw", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.CheckConstraint(_TYPES, name=op.f("ck_feedback_events_type")),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_feedback_events_message_id_messages"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["provider_id"], ["providers.id"], name=op.f("fk_feedback_events_provider_id_providers"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback_events")),
        sa.UniqueConstraint("provider_id", "key", name=op.f("uq_feedback_events_provider_id_key")),
    )
    op.create_index("ix_feedback_events_message", "feedback_events", ["message_id", "occurred_at"])
    op.create_index("ix_feedback_events_list", "feedback_events", ["workspace_id", "id"])
    op.create_index(
        "ix_feedback_events_unmatched",
        "feedback_events",
        ["received_at"],
        postgresql_where=sa.text("message_id IS NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("feedback_events")
    op.drop_table("hook_posts")
    op.drop_column("message_recipients", "delivery_status")
    op.drop_column("providers", "verification")
    op.drop_column("providers", "heard_at")
    op.drop_column("providers", "hook_token")
