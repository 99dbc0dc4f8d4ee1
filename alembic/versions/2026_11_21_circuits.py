"""circuits, their incidents, quotas, recipients of groups"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("messages", sa.Column("put_off_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("messages", sa.Column("cancel_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_workspaces_paused", "workspaces", ["id"], postgresql_where=sa.text("paused_at IS NOT NULL"))
    op.create_table(
        "circuits",
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("sender_domain", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("trips", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('closed', 'open', 'half_open')", name=op.f("ck_circuits_state")),
        sa.ForeignKeyConstraint(
            ["provider_id"], ["providers.id"], name=op.f("fk_circuits_provider_id_providers"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("provider_id", "sender_domain", name=op.f("pk_circuits")),
    )
    op.create_index(op.f("ix_circuits_workspace_id"), "circuits", ["workspace_id"])
    op.create_table(
        "provider_incidents",
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("sender_domain", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.CheckConstraint("state IN ('closed', 'open', 'half_open')", name=op.f("ck_provider_incidents_state")),
        sa.CheckConstraint(
            "cause IN ('failures', 'broken', 'probe', 'person', 'changed')", name=op.f("ck_provider_incidents_cause")
        ),
        sa.ForeignKeyConstraint(
            ["provider_id"],
            ["providers.id"],
            name=op.f("fk_provider_incidents_provider_id_providers"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_incidents")),
        sa.UniqueConstraint(
            "provider_id",
            "sender_domain",
            "number",
            name=op.f("uq_provider_incidents_provider_id_sender_domain_number"),
        ),
    )
    op.create_index("ix_provider_incidents_list", "provider_incidents", ["workspace_id", "provider_id", "id"])
    op.execute("""
        CREATE FUNCTION refuse_to_change_history() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$""")
    op.execute("""
        CREATE TRIGGER append_only BEFORE UPDATE ON provider_incidents
        FOR EACH ROW EXECUTE FUNCTION refuse_to_change_history()""")
    op.create_table(
        "message_recipients",
        sa.Column("message_id", sa.UUID(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('sent', 'deferred', 'failed')", name=op.f("ck_message_recipients_state")),
        sa.CheckConstraint("role IN ('to', 'cc', 'bcc')", name=op.f("ck_message_recipients_role")),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_message_recipients_message_id_messages"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("message_id", "address", name=op.f("pk_message_recipients")),
    )
    op.create_table(
        "provider_usage",
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["provider_id"], ["providers.id"], name=op.f("fk_provider_usage_provider_id_providers"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("provider_id", "day", name=op.f("pk_provider_usage")),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("provider_usage")
    op.drop_table("message_recipients")
    op.drop_index("ix_provider_incidents_list", table_name="provider_incidents")
    op.drop_table("provider_incidents")
    op.execute("DROP FUNCTION refuse_to_change_history()")
    op.drop_index(op.f("ix_circuits_workspace_id"), table_name="circuits")
    op.drop_table("circuits")
    op.drop_column("messages", "cancel_at")
    op.drop_column("messages", "put_off_at")
    op.drop_index("ix_workspaces_paused", table_name="workspaces", postgresql_where=sa.text("paused_at IS NOT NULL"))
