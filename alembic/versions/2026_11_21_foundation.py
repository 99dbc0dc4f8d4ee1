"""foundation"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # A migration that would wait behind live traffic gives up instead; indexes on big tables: CONCURRENTLY.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "duties",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.UUID(), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_duties")),
    )
    op.create_table(
        "event_dirty",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("event_id", sa.UUID(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_dirty")),
    )
    op.create_table(
        "workers",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "workspaces",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("from_email", sa.Text(), nullable=True),
        sa.Column("from_name", sa.Text(), nullable=True),
        sa.Column("allowed_senders", postgresql.ARRAY(sa.TEXT()), nullable=True),
        sa.Column("on_uncertain", sa.Text(), server_default="resend", nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("on_uncertain IN ('resend', 'park')", name=op.f("ck_workspaces_on_uncertain")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces")),
        sa.UniqueConstraint("name", name=op.f("uq_workspaces_name")),
    )
    op.create_table(
        "api_keys",
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_api_keys_workspace_id_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_keys_prefix")),
    )
    op.create_index(op.f("ix_api_keys_workspace_id"), "api_keys", ["workspace_id"], unique=False)
    op.create_table(
        "events",
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("html", sa.Text(), nullable=True),
        sa.Column("from_email", sa.Text(), nullable=True),
        sa.Column("from_name", sa.Text(), nullable=True),
        sa.Column("reply_to", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("tags", postgresql.ARRAY(sa.TEXT()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("expected_sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("send_as", sa.Text(), server_default="individual", nullable=False),
        sa.Column("group_recipients", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("first_recipients", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("recipients_count", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("provider_id", sa.UUID(), nullable=True),
        sa.Column("failover", sa.Boolean(), nullable=False),
        sa.Column("on_uncertain", sa.Text(), nullable=False),
        sa.Column("warnings", postgresql.ARRAY(sa.TEXT()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("exactly_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("on_uncertain IN ('resend', 'park')", name=op.f("ck_events_on_uncertain")),
        sa.CheckConstraint("send_as IN ('individual', 'group')", name=op.f("ck_events_send_as")),
        sa.CheckConstraint(
            "status IN ('pending', 'sending', 'sent', 'partly_sent', 'parked', 'failed', 'suppressed', 'expired', 'canceled')",
            name=op.f("ck_events_status"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_events_workspace_id_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(
        "ix_events_expected",
        "events",
        ["workspace_id", "expected_sent_at"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_events_group",
        "events",
        ["group_recipients"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"group_recipients": "jsonb_path_ops"},
        postgresql_where=sa.text("group_recipients IS NOT NULL"),
    )
    op.create_index(
        "ix_events_list", "events", ["workspace_id", "id"], unique=False, postgresql_where=sa.text("deleted_at IS NULL")
    )
    op.create_index(
        "ix_events_status",
        "events",
        ["workspace_id", "status", "id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_events_subject",
        "events",
        [sa.literal_column("to_tsvector('simple', subject)")],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_events_tags",
        "events",
        ["tags"],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("resource_id", sa.UUID(), nullable=True),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_idempotency_keys_workspace_id_workspaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "route", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "providers",
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sandbox", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("sandbox_mode", sa.Text(), server_default=sa.text("'ok'"), nullable=False),
        sa.Column("sandbox_failure_rate", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("from_email", sa.Text(), nullable=True),
        sa.Column("from_name", sa.Text(), nullable=True),
        sa.Column("sender_domains", postgresql.ARRAY(sa.TEXT()), nullable=True),
        sa.Column("rate_per_second", sa.Double(), nullable=True),
        sa.Column("daily_quota", sa.Integer(), nullable=True),
        sa.Column("config", sa.LargeBinary(), nullable=False),
        sa.Column("from_environment", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint(
            "sandbox_mode IN ('ok', 'down', 'slow', 'throttled', 'broken_credentials', 'cut_off')",
            name=op.f("ck_providers_sandbox_mode"),
        ),
        sa.CheckConstraint("sandbox_failure_rate BETWEEN 0 AND 1", name=op.f("ck_providers_sandbox_failure_rate")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_providers_workspace_id_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_providers")),
    )
    op.create_index(
        "uq_providers_name",
        "providers",
        ["workspace_id", "name"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "messages",
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("event_id", sa.UUID(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("recipient_name", sa.Text(), nullable=True),
        sa.Column("variables", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("state", sa.Text(), server_default="scheduled", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("waiting_for", sa.Text(), nullable=True),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("give_up_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("round", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("retried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resends", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempt_count", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("leased_by", sa.UUID(), nullable=True),
        sa.Column("provider_id", sa.UUID(), nullable=True),
        sa.Column("provider_message_id", sa.Text(), nullable=True),
        sa.Column("message_id_header", sa.Text(), nullable=True),
        sa.Column("dated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("delivery_status", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.CheckConstraint(
            "state IN ('scheduled', 'leased', 'sending', 'uncertain', 'sent', 'failed', 'canceled', 'expired', 'suppressed', 'parked')",
            name=op.f("ck_messages_state"),
        ),
        sa.CheckConstraint(
            "waiting_for IN ('retry', 'rate', 'circuit', 'quota', 'evidence')", name=op.f("ck_messages_waiting_for")
        ),
        sa.ForeignKeyConstraint(
            ["event_id"], ["events.id"], name=op.f("fk_messages_event_id_events"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    op.create_index(
        "ix_messages_due", "messages", ["next_try_at"], unique=False, postgresql_where=sa.text("state = 'scheduled'")
    )
    op.create_index("ix_messages_event", "messages", ["event_id", "id"], unique=False)
    op.create_index(
        "ix_messages_lane",
        "messages",
        ["priority", "workspace_id", "next_try_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'scheduled'"),
    )
    op.create_index(
        "ix_messages_leases",
        "messages",
        ["lease_expires_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('leased', 'sending')"),
    )
    op.create_index("ix_messages_list", "messages", ["workspace_id", "id"], unique=False)
    op.create_index("ix_messages_recipient", "messages", ["workspace_id", "recipient", "id"], unique=False)
    op.create_index(
        "ix_messages_uncertain",
        "messages",
        ["next_try_at"],
        unique=False,
        postgresql_where=sa.text("state = 'uncertain'"),
    )
    op.create_table(
        "attempts",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("message_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("round", sa.SmallInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("worker_id", sa.UUID(), nullable=False),
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("provider_kind", sa.Text(), nullable=False),
        sa.Column("provider_name", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("latency_ms", sa.Integer(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("evidence_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_attempts_message_id_messages"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
    )
    op.create_index("ix_attempts_message", "attempts", ["message_id", "number"], unique=False)
    op.create_index("ix_attempts_provider", "attempts", ["workspace_id", "provider_id", "started_at"], unique=False)
    op.create_index(
        "uq_attempts_open", "attempts", ["message_id"], unique=True, postgresql_where=sa.text("finished_at IS NULL")
    )
    op.create_table(
        "captured_mails",
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("message_id", sa.UUID(), nullable=False),
        sa.Column("attempt_id", sa.UUID(), nullable=False),
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("recipients", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column(
            "captured_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_captured_mails_message_id_messages"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["provider_id"], ["providers.id"], name=op.f("fk_captured_mails_provider_id_providers")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_captured_mails_workspace_id_workspaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_captured_mails")),
    )
    op.create_index("ix_captured_mails_list", "captured_mails", ["workspace_id", "id"], unique=False)
    op.create_index(op.f("ix_captured_mails_message_id"), "captured_mails", ["message_id"], unique=False)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index(op.f("ix_captured_mails_message_id"), table_name="captured_mails")
    op.drop_index("ix_captured_mails_list", table_name="captured_mails")
    op.drop_table("captured_mails")
    op.drop_index("uq_attempts_open", table_name="attempts", postgresql_where=sa.text("finished_at IS NULL"))
    op.drop_index("ix_attempts_provider", table_name="attempts")
    op.drop_index("ix_attempts_message", table_name="attempts")
    op.drop_table("attempts")
    op.drop_index("ix_messages_uncertain", table_name="messages", postgresql_where=sa.text("state = 'uncertain'"))
    op.drop_index("ix_messages_recipient", table_name="messages")
    op.drop_index("ix_messages_list", table_name="messages")
    op.drop_index(
        "ix_messages_leases", table_name="messages", postgresql_where=sa.text("state IN ('leased', 'sending')")
    )
    op.drop_index("ix_messages_lane", table_name="messages", postgresql_where=sa.text("state = 'scheduled'"))
    op.drop_index("ix_messages_event", table_name="messages")
    op.drop_index("ix_messages_due", table_name="messages", postgresql_where=sa.text("state = 'scheduled'"))
    op.drop_table("messages")
    op.drop_index("uq_providers_name", table_name="providers", postgresql_where=sa.text("deleted_at IS NULL"))
    op.drop_table("providers")
    op.drop_index("ix_idempotency_keys_created_at", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index(
        "ix_events_tags", table_name="events", postgresql_using="gin", postgresql_where=sa.text("deleted_at IS NULL")
    )
    op.drop_index(
        "ix_events_subject", table_name="events", postgresql_using="gin", postgresql_where=sa.text("deleted_at IS NULL")
    )
    op.drop_index("ix_events_status", table_name="events", postgresql_where=sa.text("deleted_at IS NULL"))
    op.drop_index(
        "ix_events_group",
        table_name="events",
        postgresql_using="gin",
        postgresql_ops={"group_recipients": "jsonb_path_ops"},
        postgresql_where=sa.text("group_recipients IS NOT NULL"),
    )
    op.drop_index("ix_events_list", table_name="events", postgresql_where=sa.text("deleted_at IS NULL"))
    op.drop_index("ix_events_expected", table_name="events", postgresql_where=sa.text("deleted_at IS NULL"))
    op.drop_table("events")
    op.drop_index(op.f("ix_api_keys_workspace_id"), table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_table("workspaces")
    op.drop_table("workers")
    op.drop_table("event_dirty")
    op.drop_table("duties")
