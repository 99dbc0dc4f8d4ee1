"""keep what events say beside the row that the roll-up writes and lists read"""

from collections.abc import Sequence

from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Of a row beyond 2 kB, bodies go to the TOAST table until half a kilobyte is left: a change of the counts need not
    # copy them. Rows that are there already stay as they are.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE events SET (toast_tuple_target = 512)")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE events RESET (toast_tuple_target)")
