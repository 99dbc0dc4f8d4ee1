"""hold the checks that were widened against the rows that are there"""

from collections.abc import Sequence

from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Rows are read and written meanwhile, which the transaction that changes a check would not let them be.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE message_recipients VALIDATE CONSTRAINT ck_message_recipients_state")
    op.execute("ALTER TABLE provider_incidents VALIDATE CONSTRAINT ck_provider_incidents_cause")


def downgrade() -> None:
    pass  # that a check holds for all rows does no harm
