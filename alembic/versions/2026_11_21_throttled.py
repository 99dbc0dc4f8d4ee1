"""incidents of providers that asked for a rest"""

from collections.abc import Sequence

from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Rows that are there are looked at in 0010, when this transaction's lock is gone.
    _causes("'failures', 'broken', 'throttled', 'probe', 'person', 'changed'")


def downgrade() -> None:
    # A row of the history cannot be changed, so that what is there already stays as it is.
    _causes("'failures', 'broken', 'probe', 'person', 'changed'")


def _causes(causes: str) -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE provider_incidents DROP CONSTRAINT ck_provider_incidents_cause")
    op.execute(
        f"ALTER TABLE provider_incidents ADD CONSTRAINT ck_provider_incidents_cause CHECK (cause IN ({causes})) NOT VALID"
    )
